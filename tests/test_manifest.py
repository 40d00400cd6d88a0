"""figures/manifest.json: what stands in an entry, and that every disagreement with it is named without a run."""

import hashlib
import json
import re
import shutil

import pytest
from throwaway import change, notebook, run

from paper_utils import manifest, sources, verify
from paper_utils.files import ROOT

CHECKPOINT = b"weights"
FILES = f'{{"checkpoints/net.bin": "{hashlib.sha256(CHECKPOINT).hexdigest()}"}}'
MARKERS = "".join(f"<!-- {m}: written by make verify -->\n<!-- end of {m} -->\n" for m in ("headlines", "claims"))
CLAIM = """- id: rises
  sentence: It rises.
  notebook: 01_try
  figure: curve
  key: x
  expected: 1
  kind: bitwise
  source: ours
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A checkout after one full run of its one notebook."""
    root = tmp_path_factory.mktemp("published")
    shutil.copytree(ROOT / "paper_utils", root / "paper_utils", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "notebooks").mkdir()
    (root / "checkpoints").mkdir()
    (root / "checkpoints" / "net.bin").write_bytes(CHECKPOINT)
    (root / "requirements.lock").write_text("torch==2.13.0\n")
    (root / "README.md").write_text(MARKERS)
    (root / "claims.yml").write_text(CLAIM)
    notebook(root, middle="import time\ntime.sleep(0.3)", files=FILES)
    done = run(root, "figures")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^01_try .* 1/1 +complete$", done.stdout, re.M), "the closing table counts the claims"
    return root


@pytest.fixture
def clone(published, tmp_path):
    """The same as another machine gets it: nothing that git ignores."""
    shutil.copytree(published, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build", "__pycache__"))
    return tmp_path


def test_an_entry_says_where_a_figure_comes_from(published):
    run_of = json.loads((published / "figures" / "manifest.json").read_text())["01_try"]
    assert set(run_of) == {
        "mode", "seeds", "source", "files", "environment", "weights", "seconds", "peak_mb", "parameters", "commit",
        "dirty", "lock", "fingerprint", "numbers", "figures",
    }  # fmt: skip
    assert run_of["parameters"] == {"MODE": "full", "SEED": 0, "TOKEN": "swim", "SCALE": 1.0}
    assert set(run_of["fingerprint"]) == {"code", "parameters", "lock", "module files", "module results"}
    assert run_of["lock"] == hashlib.sha256(b"torch==2.13.0\n").hexdigest()
    assert run_of["environment"]["threads"] == 1 and "torch" in run_of["environment"]
    curve = run_of["figures"]["curve"]
    assert set(curve) == {"files", "alt", "caption", "cell", "seconds"}
    assert curve["caption"] == "A line that rises." and curve["alt"] == "a line that rises"
    assert curve["cell"] == {"index": 5, "heading": "The middle"} and 0.3 <= curve["seconds"] <= run_of["seconds"]
    for file, expected in curve["files"].items():
        assert hashlib.sha256((published / "figures" / "01_try" / file).read_bytes()).hexdigest() == expected


def test_a_clone_without_a_build_folder_agrees_and_is_verified(clone, capsys):
    assert manifest.problems(clone) == []
    assert verify.main(clone) == 0
    assert "1 of 1 claims turn out as stated" in capsys.readouterr().out
    assert run(clone, "why").stdout == "01_try: would run: no run recorded here\n"


def without_fingerprint(path):
    accounts = json.loads(path.read_text())
    del accounts["01_try"]["fingerprint"]
    path.write_text(json.dumps(accounts))


BOOK, DRAWN, ACCOUNT = "notebooks/01_try.py", "figures/01_try", "figures/manifest.json"


@pytest.mark.parametrize(
    "what, named",
    [
        (lambda r: change(r / DRAWN / "curve.svg", "<?xml", " <?xml"), "figures/01_try/curve.svg was altered"),
        (lambda r: (r / DRAWN / "curve.png").unlink(), "figures/01_try/curve.png is missing, but has an entry"),
        (lambda r: (r / DRAWN / "other.png").write_bytes(b""), "figures/01_try/other.png has no entry"),
        (lambda r: notebook(r, "02_new"), "notebooks/02_new.py has no entry"),
        (lambda r: change(r / BOOK, "[0, SCALE]", "[1, SCALE]"), "the figures of 01_try are stale: code changed."),
        (lambda r: change(r / BOOK, "SEED = 0", "SEED = 1"), "01_try are stale: code changed; parameters changed."),
        (lambda r: change(r / "paper_utils/files.py", '"""Where', '"""Whither'), "stale: module files changed."),
        (lambda r: change(r / "requirements.lock", "2.13.0", "2.14.0"), "stale: lock changed."),
        (lambda r: (r / "checkpoints/net.bin").write_bytes(b"other"), "stale: checkpoints/net.bin changed."),
        (lambda r: change(r / BOOK, "# rises", "# falls"), "other captions than in figures/manifest.json, of curve."),
        (lambda r: change(r / BOOK, "Figure `curve`", "Figure `line`"), "01_try.py has no caption **Figure `curve`.**"),
        (lambda r: change(r / "figures/numbers.json", "1.0", "1.01"), "the numbers of 01_try are not those"),
        (lambda r: without_fingerprint(r / ACCOUNT), "the entry of 01_try lacks fingerprint"),
    ],
)
def test_a_disagreement_is_named_alone(clone, capsys, what, named):
    what(clone)
    (found,) = manifest.problems(clone)
    assert named in found
    assert verify.main(clone) == 1 and found in capsys.readouterr().out


def test_an_entry_of_no_notebook_is_named(clone):
    notebook(clone, "02_new")
    (clone / "notebooks" / "01_try.py").unlink()
    assert manifest.problems(clone) == [
        "figures/manifest.json has an entry of 01_try, which is no notebook",
        "notebooks/02_new.py has no entry in figures/manifest.json: `make figures` runs it",
    ]


def test_a_module_that_the_notebook_does_not_reach_makes_nothing_stale(clone):
    change(clone / "paper_utils" / "bilinear.py", '"""Bilinear', '"""The bilinear')
    assert manifest.problems(clone) == []


def test_figures_over_seeds_are_held_to_their_own_account(clone):
    (clone / "figures" / "seeds").mkdir()
    drawn = clone / "figures" / "seeds" / "01_try.png"
    drawn.write_bytes(b"dots")
    assert manifest.problems(clone) == ["figures/seeds/01_try.png has no entry in figures/manifest.json"]
    entry = {"provenance": {"figure": {"files": {"01_try.png": hashlib.sha256(b"dots").hexdigest()}}}}
    (clone / "figures" / "seeds.json").write_text(json.dumps({"01_try": entry}))
    assert manifest.problems(clone) == []
    drawn.write_bytes(b"other dots")
    assert "figures/seeds/01_try.png was altered" in manifest.problems(clone)[0]


def test_captions(tmp_path):
    path = tmp_path / "01_try.py"
    prose = "**Figure `map_*`.** One\n# of many.\n#\n# Not of it.\n#\n# **Figure `map_all`.** All\n# **together.**"
    path.write_text(f"# %% [markdown]\n# # Title\n\n# %% [markdown]\n# {prose}\n\n# %%\npass\n")
    book = sources.read(path)
    assert sources.caption(book, "map_3") == "One of many."
    assert sources.caption(book, "map_all") == "All **together.**"
    assert sources.caption(book, "other") == ""
    assert sources.heading(book, 2) == "Title" and sources.heading(book, 0) == "Title"
    assert sources.first_line(path, 2) == 14 and path.read_text().splitlines()[13] == "pass"


@pytest.mark.parametrize("path", sources.notebooks(), ids=lambda path: path.stem)
def test_every_cell_of_the_notebooks_is_found_in_its_file(path):
    lines = path.read_text().splitlines()
    for index, cell in enumerate(sources.read(path).cells):
        if cell.cell_type == "code" and not cell.source.startswith(("!", "%")):
            assert lines[sources.first_line(path, index) - 1] == cell.source.splitlines()[0]
