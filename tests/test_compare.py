"""What a run is told to have in common with the committed record, and the table of findings over further seeds."""

import json
import re

import pytest
import yaml
from throwaway import change, notebook, run

from paper_utils.files import read_json
from reproduce import claims, compare

FINDING = {"id": "rises", "notebook": "01_try", "sentence": "It rises.", "measured": "x", "at_least": 1}

ORIGINAL = yaml.safe_load("{id: o, notebook: 01_try, statement: It is 1 to 9., measured: x, within: [0, 9]}")
ORIGINAL |= {"verdict": "reproduced"}


def stated(tmp_path, *changes: dict) -> claims.Claims:
    entries = {"originals": [ORIGINAL], "findings": [FINDING | change for change in changes]}
    (tmp_path / "claims.yml").write_text(yaml.safe_dump(entries))
    return claims.load(tmp_path / "claims.yml")


def record(**numbers) -> dict:
    files = {"curve.png": "a", "dot.png": "b"}
    figures = {"curve": {"files": files}}
    return {"notebook": "01_try", "numbers": numbers, "figures": figures, "pages": {}, "environment": {}}


def test_a_run_is_compared_number_by_number_with_the_committed_record(tmp_path):
    judged = stated(tmp_path, {}, {"id": "each", "measured": "y", "each": "runs"})
    old = record(x=2.0, y=[2.0, 4.0], word="a", gone=1)
    assert compare.comparison(old, old, judged).splitlines() == [
        "01_try: 3 of 3 claims are as stated",
        "    numbers: 5 of 5 are equal",
        "    pictures: 2 of 2 are equal",
    ]
    new = record(x=0.5, y=[2.0, 3.0], word="a", more=[1, 2])
    new["figures"]["curve"]["files"]["dot.png"] = "c"
    new["environment"] = {"numerics": "exact"}
    assert compare.comparison(new, old, judged).splitlines() == [
        "01_try: 2 of 3 claims are as stated",
        "    MISSED rises: 0.5, at least 1; before 2",
        "    numbers: 2 of 4 are equal; the largest difference is 0.75 of its size (x); 1 are new "
        "or of another length; gone are gone",
        "    pictures: 1 of 2 are equal; not: dot.png",
        "    this run is in exact numerics, the one before in free: bits can agree in exact ones only",
    ]
    assert "there is no record from before" in compare.comparison(new, None, judged)


def test_the_table_of_seeds_names_what_fails_and_what_is_too_close(tmp_path):
    entries = [
        {},
        {"id": "b", "measured": "y", "each": "runs"},
        {"id": "c", "measured": "z"},
        {"id": "d", "measured": "w"},
    ]
    judged = stated(tmp_path, *entries)
    runs = [
        ("committed", record(x=5.0, y=[3.0, 3.2], z=1.3, w=2)),
        ("seed 100", record(x=5.2, y=[0.9, 3.1], z=1.05, w=2)),
    ]
    text = compare.robustness(judged, {"01_try": runs})
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| It rises")]
    assert [row[-1] for row in rows] == ["holds |", "**fails in seed 100** |", "**too close** |", "holds |"]
    assert [row[-2] for row in rows] == ["29.0", "1.4", "1.0", "no spread"]
    assert rows[1][2:4] == ["3", "0.9"], "of several values the least favourable"


@pytest.mark.parametrize(
    "line, seeds",
    [("SEED = 0", [100, 200, 300]), ("SEED = 2  # @param [1, 2, 3, 4]", [1, 3, 4]), ("SEED = 1  # @param [1]", [])],
)
def test_further_seeds_are_those_that_the_notebook_lists_or_far_from_its_own(checkout, line, seeds):
    path = notebook(checkout)
    change(path, "SEED = 0", line)
    assert compare.seeds(path) == seeds


@pytest.mark.slow
def test_make_robustness_runs_further_seeds_once_and_writes_the_table(checkout):
    change(notebook(checkout), "results.record(x=SCALE)", "results.record(x=SCALE + SEED)")
    stated(checkout, {})
    (checkout / "README.md").write_text("<!-- headlines: written by make verify -->\n<!-- end of headlines -->\n")
    assert run(checkout, "figures").returncode == 0
    done = run(checkout, "robustness")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (checkout / "ROBUSTNESS.md").read_text()
    assert re.search(r"\| It rises. \| at least 1 \| 1 \| 101 \| 201 \| 301 \| 1\.2 \| \*\*too close\*\* \|", text), (
        text
    )
    made = checkout / "build" / "robustness" / "seed-200" / "01_try" / "record.json"
    assert read_json(made)["parameters"]["SEED"] == 200 and json.loads(made.read_text())["numbers"] == {"x": 201.0}
    again = run(checkout, "robustness")
    assert "complete in" not in again.stdout and (checkout / "ROBUSTNESS.md").read_text() == text
