# `make` alone lists the targets. Every recipe runs in .venv, which is made from requirements.lock on first use.
PYTHON ?= python3
BIN := .venv/bin
# Named after the lock's content: the environment is made again only when the lock changed.
ENV := .venv/made-from-$(shell cksum < requirements.lock | cut -d' ' -f1)
# uv installs the same versions sooner, where it is there.
UV := $(shell command -v uv 2>/dev/null)
PIP = $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)
# With TORCH=cpu, as .venv is made: the CPU builds of torch and torchvision, from PyTorch's own index.
TORCH_INDEX = $(if $(TORCH),--index-url https://download.pytorch.org/whl/$(TORCH))
# Each NAME=value of the command line, the value through the environment: there it may hold spaces and quotes.
GIVEN = $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),"$(name)=$$$(name)"))

.DEFAULT_GOAL := help
.PHONY: help figures quick why sweeps seeds robustness verify test test-all lint notebooks site colab bench address release clean

help: ## this list
	@sed -n 's/^\([a-z%-]*\):[^#]*## \(.*\)/\1	\2/p' Makefile | expand -t 20

figures: $(ENV) ## run the notebooks that are not up to date and write figures/ (NB=01 picks, NAME=value sets a parameter, EXACT=1 gives the committed bits)
	+@$(BIN)/python -m reproduce figures $(GIVEN)

quick: $(ENV) ## the same with short trainings, under build/quick/
	+@$(BIN)/python -m reproduce quick $(GIVEN)

why: $(ENV) ## what `make figures` and `make sweeps` would run, and because of what
	@$(BIN)/python -m reproduce why $(GIVEN)
	@$(BIN)/python -m sweeps why $(filter "NB=%,$(GIVEN))

sweeps: $(ENV) ## train what is missing of sweeps/ and write figures/sweeps/ (NB=03 picks, SCHEDULER=tcp://host:port for a Dask cluster)
	@$(BIN)/python -m sweeps $(GIVEN)

seeds: $(ENV) ## the same over N seeds, into build/variants/sweeps/ (N=8)
	@$(BIN)/python -m sweeps $(if $(N),,N=8) $(GIVEN)

robustness: $(ENV) ## run every notebook with three further seeds, under build/robustness/, and write ROBUSTNESS.md (an hour)
	@$(BIN)/python -m reproduce robustness $(GIVEN)

verify: $(ENV) ## judge claims.yml by the records, hold figures/ against them, write CLAIMS.md, figures/README.md and README's table; no run
	@$(BIN)/python -m reproduce verify $(GIVEN)
	@$(BIN)/python -m sweeps verify

test: $(ENV) ## the fast tests, three minutes on two idle cores
	@$(BIN)/python -m pytest -n 2 -m "not slow and not committed"

test-all: $(ENV) ## all tests; tests/README.md says which are slow and why
	@$(BIN)/python -m pytest -n 2 -m "not committed"

lint: $(ENV) ## ruff, and the one direction in which the packages import
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@for folder in paper_utils reproduce tests notebooks sweeps; do echo "$$folder: $$(git ls-files "$$folder/*.py" | xargs cat | wc -l) lines"; done

notebooks: $(ENV) ## write the committed notebooks/*.ipynb from the last full run (NB=01 picks)
	@$(BIN)/python -m reproduce notebooks $(GIVEN)

site: $(ENV) ## build build/site/ from the committed notebooks as they are: nothing runs, no network
	@$(BIN)/python site/paper_site.py build/site

colab: ## whether the package still fits Colab's newest published versions (PYTHON=python3.13 as there, LIST=file, AT=commit)
	@$(PYTHON) -m venv build/colab && build/colab/bin/python -m pip install --quiet --disable-pip-version-check packaging
	@build/colab/bin/python tests/colab.py $(GIVEN)

train-%: $(ENV) ## train checkpoints/% anew: train-tinystories (an hour on 2 cores), train-dihedral_D53 (half an hour); resumes where it was stopped
	@$(BIN)/python -m checkpoints.$*.train $(OPTIONS)

bench: $(ENV) ## our trainings against their own matrix products and the plain way, as ratios
	@status=0; for file in bench/bench_*.py; do PYTHONPATH=. PAPER_PROGRESS=/dev/null $(BIN)/python $$file || status=1; done; exit $$status

address: ## put the repository's public address in place of OWNER/REPO everywhere (TO=me/repository)
	@test -n "$(TO)" || { echo "address: say where to, as in make address TO=me/repository"; exit 2; }
	@git grep -lF OWNER/REPO -- ':!Makefile' ':!tests' | while read file; do sed -i.before 's|OWNER/REPO|$(TO)|g' "$$file" && rm "$$file.before"; done

release: ## let the notebooks on Colab fetch this release instead of main (AT=v0.2.0, before that tag is set)
	@test -n "$(AT)" || { echo "release: say which, as in make release AT=v0.2.0"; exit 2; }
	@for file in notebooks/*.py notebooks/*.ipynb; do sed -i.before -E '/address, at, folder = /s|(", \\?")[^",\\]+(\\?", os)|\1$(AT)\2|; s|(/blob)/[^/]+(/notebooks)|\1/$(AT)\2|' "$$file" && rm "$$file.before"; done

clean: ## remove what runs leave behind; .venv, data/ and figures/ stay
	rm -rf build .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# torch and torchvision first: once they are there, nothing below can pull in other builds of them.
$(ENV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5) and "Python 3.11.5 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --clear .venv
	$(PIP) $$(grep -E '^$(if $(TORCH),torch(vision)?,torch)==' requirements.lock) $(TORCH_INDEX)
	$(PIP) -r requirements.lock
	$(PIP) --no-deps --editable .
	@touch $@
