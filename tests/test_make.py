"""What a newcomer types: `make` alone, a parameter, a notebook of one's own; each by make, in a copy of the project."""

import json
import re

import nbformat
import pytest

from paper_utils import sources
from paper_utils.files import ROOT

OWN = """# %% [markdown]
# # A notebook of one's own, without a jupytext header

# %% tags=["parameters"]
MODE = "full"
SEED = 0
TOKEN = "swim"

# %%
import matplotlib.pyplot as plt

from paper_utils import results

results.begin("98_own", mode=MODE, seed=SEED, source="exact", files={}, figures=["line"], numbers=["token"])
fig, ax = plt.subplots(figsize=(2, 1))
ax.plot([0, 1])
results.save_figure(fig, "line", alt="a line that rises")
results.record("token", TOKEN)
results.finish()
"""


def test_make_alone_lists_every_target_on_a_line_of_its_own(make):
    done = make()
    assert done.returncode == 0, done.stderr
    rows = [re.fullmatch(r"([a-z-]+) +(\S.*)", line) for line in done.stdout.splitlines()]
    assert all(rows) and max(map(len, done.stdout.splitlines())) <= 160
    phony = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert sorted(row[1] for row in rows) == sorted(" ".join(phony).split())


@pytest.mark.parametrize(
    "words, message",
    [
        (["figures", "SEDE=1"], "unknown parameter SEDE: this notebook knows MODE='full', SEED="),
        (["figures", "NB=01", "SEED=one"], "parameter SEED takes int (0 by default), got 'one'"),
        (["quick", "NB=77"], "no notebook starts with '77': there are 01_"),
    ],
)
def test_a_mistyped_word_is_refused_before_anything_runs(make, words, message):
    done = make(*words)
    assert done.returncode == 2 and message in done.stderr, done
    assert not (make.root / "build").exists()


def test_one_file_is_a_notebook_and_takes_a_parameter(make):
    """Nothing else is told of it; the value has a space, a quote and a dollar in it and arrives whole."""
    (make.root / "notebooks" / "98_own.py").write_text(OWN)
    assert [line.split(":")[0] for line in make("why").stdout.splitlines()] == [
        *(path.stem for path in sources.notebooks()),
        "98_own",
    ]
    done = make("quick", "NB=98")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (make.root / "build" / "quick" / "98_own" / "line.png").exists()
    executed = nbformat.read(make.root / "build" / "executed" / "quick" / "98_own.ipynb", 4)
    picture = next(o for o in sources.code_cells(executed)[-1].outputs if "image/png" in o.get("data", {}))
    assert picture.metadata == {"image/png": {"alt": "a line that rises"}}
    done = make("figures", "NB=98", 'TOKEN=it\'s "two" $$words')
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = json.loads((make.root / "build" / "variants" / "numbers.json").read_text())
    assert numbers == {"98_own": {"token": 'it\'s "two" $words'}}
