"""What a newcomer types: `make` alone, a parameter, a notebook of one's own; each by make, in a copy of the project."""

import re

import nbformat
from throwaway import notebook

from paper_utils.files import ROOT
from reproduce import notebook as nb
from reproduce import record


def test_make_alone_lists_every_target_on_a_line_of_its_own(make):
    done = make()
    assert done.returncode == 0, done.stderr
    rows = [re.fullmatch(r"([a-z%-]+) +(\S.*)", line) for line in done.stdout.splitlines()]
    assert all(rows) and max(map(len, done.stdout.splitlines())) <= 160
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert sorted(row[1] for row in rows) == sorted([*phony.split(), "train-%"])


def test_one_file_is_a_notebook_and_takes_a_parameter(make):
    """Nothing else is told of it; the value has a space, a quote and a dollar in it and arrives whole."""
    notebook(make.root, "98_own", middle="results.record(token=TOKEN)")
    names = [*(path.stem for path in nb.notebooks()), "98_own"]
    assert [line.split(":")[0] for line in make("why").stdout.splitlines()][: len(names)] == names
    done = make("quick", "NB=98")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (make.root / "build" / "quick" / "98_own" / "curve.png").exists()
    executed = nbformat.read(make.root / "build" / "executed" / "quick" / "98_own.ipynb", 4)
    outputs = [output for cell in nb.code_cells(executed) for output in cell.outputs]
    (picture,) = (output for output in outputs if "image/png" in output.get("data", {}))
    assert picture.metadata == {"image/png": {"alt": "a line that rises"}}
    done = make("figures", "NB=98", 'TOKEN=it\'s "two" $$words')
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = record.read(make.root / "build" / "variants" / "98_own")["numbers"]
    assert numbers == {"token": 'it\'s "two" $words', "x": 1.0}
