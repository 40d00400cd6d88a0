# `make` alone lists the targets. Every recipe runs in .venv, which is made from requirements.lock on first use.
PYTHON ?= python3
BIN := .venv/bin
# Named after the lock's content: the environment is made again only when the lock changed.
ENV := .venv/made-from-$(shell cksum < requirements.lock | cut -d' ' -f1)
RUN := $(BIN)/python -m paper_utils.runner
# Each NAME=value of the command line, the value through the environment: there it may hold spaces and quotes.
GIVEN = $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),"$(name)=$$$(name)"))

.DEFAULT_GOAL := help
# See paper_utils/runner.py: threads that wait should soon let others run.
export GOMP_SPINCOUNT ?= 100000

.PHONY: help figures quick why seeds test verify lint notebooks train-dihedral train-tinystories compare-tinystories bench clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1	\2/p' Makefile | expand -t 20

figures: $(ENV) ## run the notebooks that are not up to date and write figures/ (NB=01 picks, NAME=value sets a parameter, -j2 runs two at a time)
	+@$(RUN) figures $(GIVEN)

quick: $(ENV) ## the same with short trainings, under build/quick/
	+@$(RUN) quick $(GIVEN)

why: $(ENV) ## what `make figures` would run, and because of what
	@$(RUN) why $(GIVEN)

seeds: $(ENV) ## repeat short trainings over seeds 0 to N-1 (N=5, NB=03 picks, SCHEDULER=tcp://host:port for a Dask cluster)
	@$(BIN)/python -m paper_utils.seeds $(GIVEN)

test: $(ENV) ## the tests
	@$(BIN)/python -m pytest

verify: $(ENV) ## judge claims.yml by the recorded numbers, hold figures/ against its manifest, write README's tables and the gallery; no run
	@$(BIN)/python -m paper_utils.verify

lint: $(ENV) ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

notebooks: $(ENV) ## write the committed notebooks/*.ipynb from the last full run
	@$(RUN) notebooks

.PHONY: address
address: $(ENV) ## put the repository's public address everywhere (URL=https://github.com/me/repository)
	@$(BIN)/python -m paper_utils.address "$$URL"

train-dihedral: $(ENV) ## train checkpoints/dihedral_D53 anew (about 10 minutes on 2 cores; resumes where it was stopped)
	@$(BIN)/python -m paper_utils.groups

train-tinystories: $(ENV) ## train checkpoints/tinystories anew (under an hour on 2 cores; resumes where it was stopped)
	@$(BIN)/python -m paper_utils.pretraining

compare-tinystories: $(ENV) ## the settings compared before: five trainings of a quarter epoch, written into its card
	@$(BIN)/python -m paper_utils.pretraining --compare

bench: $(ENV) ## our training against the seeds' way of doing it, as ratios
	@status=0; for file in tests/benchmarks/bench_*.py; do $(BIN)/python $$file || status=1; done; exit $$status

clean: ## remove what runs leave behind; .venv, data/ and figures/ stay
	rm -rf build .pytest_cache .ruff_cache .hypothesis

# torch first and alone: once it is there, nothing below can pull in another build of it.
$(ENV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
