"""figures/<notebook>/record.json: what stands in it, and that every disagreement with it is named without a run."""

import base64
import hashlib
import io
import json
import shutil
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image
from throwaway import change, notebook, packages, run

from paper_utils.files import digest
from reproduce import record

CHECKPOINT, SWEEP = b"weights", b"seed,x\n0,1.0\n"
INPUTS = {"checkpoints/net.bin": CHECKPOINT, "figures/sweeps/01_try.csv": SWEEP}
FILES = str({name: hashlib.sha256(content).hexdigest() for name, content in INPUTS.items()})


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A checkout after one full run of its one notebook."""
    root = packages(tmp_path_factory.mktemp("published"))
    for name, content in INPUTS.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(content)
    (root / "requirements.lock").write_text("torch==2.13.0\n")
    notebook(root, files=FILES)
    done = run(root, "figures")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture
def clone(published, tmp_path):
    """The same as another machine gets it: nothing that git ignores."""
    shutil.copytree(published, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build", "__pycache__"))
    return tmp_path


def test_a_record_says_where_a_figure_comes_from(published):
    run_of = record.read(published / "figures" / "01_try")
    assert set(run_of) == {
        "notebook", "mode", "seeds", "source", "stamp", "inputs", "modules", "environment", "weights", "figures",
        "pages", "numbers", "parameters", "made_from", "commit", "dirty", "seconds", "peak_mb", "sealed",
    }  # fmt: skip
    assert run_of["parameters"] == {"MODE": "full", "SEED": 0, "TOKEN": "swim", "SCALE": 1.0}
    assert set(run_of["made_from"]) == {
        "code",
        "parameters",
        "numerics",
        *(f"module {m}" for m in ("files", "numerics", "results")),
    }
    assert run_of["made_from"]["numerics"] == run_of["environment"]["numerics"] == "free"
    assert run_of["environment"]["threads"] == 1 and "torch" in run_of["environment"] and run_of["peak_mb"] > 50
    curve = run_of["figures"]["curve"]
    assert curve["alt"] == "a line that rises" and "caption" not in curve
    for file, expected in curve["files"].items():
        assert digest(published / "figures" / "01_try" / file) == expected
    copy = json.loads((published / "build" / "executed" / "figures" / "01_try.ipynb").read_text())
    assert copy["metadata"]["paper"] == {"record": digest(published / "figures" / "01_try" / "record.json")}


def test_a_clone_without_a_build_folder_agrees(clone):
    assert record.problems(clone) == []
    assert run(clone, "why").stdout == "01_try: would run: no run recorded here\n"


BOOK, DRAWN = "notebooks/01_try.py", "figures/01_try"


def seal_anew(root, **other):
    """Seal a record anew in which something else stands."""
    path = root / DRAWN / "record.json"
    made = json.loads(path.read_text()) | other
    path.write_text(json.dumps(made | {"sealed": record.seal(made)}))


def versions(root, **other):
    made = json.loads((root / DRAWN / "record.json").read_text())
    seal_anew(root, environment=made["environment"] | other)


@pytest.mark.parametrize(
    "what, named",
    [
        (
            lambda r: change(r / DRAWN / "curve.svg", "<?xml", " <?xml"),
            "figures/01_try/curve.svg is missing or altered",
        ),
        (lambda r: (r / DRAWN / "curve.png").unlink(), "figures/01_try/curve.png is missing or altered"),
        (lambda r: (r / DRAWN / "other.png").touch(), "figures/01_try/other.png stands in no record"),
        (lambda r: notebook(r, "02_new"), "figures/02_new: there is no record.json: `make figures` runs"),
        (lambda r: shutil.copytree(r / DRAWN, r / "figures/03_old"), "figures/03_old is of no notebook"),
        (lambda r: change(r / BOOK, "[0, SCALE]", "[1, SCALE]"), "the figures of 01_try are stale: code changed."),
        (lambda r: change(r / BOOK, "SEED = 0", "SEED = 1"), "01_try are stale: code changed; parameters changed."),
        (
            lambda r: change(r / "paper_utils/files.py", "parents=True, exist_ok=True", "parents=True"),
            "stale: module files changed.",
        ),
        (
            lambda r: seal_anew(r, stamp="stand-in data"),
            "figures/01_try: its record is of stand-in data, not of a full",
        ),
        (lambda r: versions(r, torch="2.12.0+cpu"), f"01_try are stale: torch is {version('torch')}, was 2.12.0"),
        (lambda r: (r / "checkpoints/net.bin").write_bytes(b"!"), "stale: input file checkpoints/net.bin changed."),
        (lambda r: (r / "figures/sweeps/01_try.csv").unlink(), "input file figures/sweeps/01_try.csv changed."),
        (
            lambda r: change(r / BOOK, "Figure `curve`", "Figure `line`"),
            "01_try.py: figure curve has no caption **Figure `curve`.**; the caption `line` names no figure",
        ),
        (
            lambda r: change(r / DRAWN / "record.json", '"x": 1.0', '"x": 1.01'),
            "figures/01_try: record.json is not as its run left it",
        ),
        (lambda r: (r / DRAWN / "record.json").write_text("{"), "figures/01_try: record.json is no valid JSON"),
    ],
)
def test_a_disagreement_is_named_alone(clone, what, named):
    what(clone)
    (found,) = record.problems(clone)
    assert named in found


def test_prose_and_a_module_that_the_notebook_does_not_load_make_nothing_stale(clone):
    change(clone / BOOK, "# rises", "# falls")
    change(clone / "paper_utils" / "bilinear.py", "lr: float = 1e-3", "lr: float = 2e-3")
    assert record.problems(clone) == []


def test_comments_docstrings_and_the_texts_of_errors_make_nothing_stale(clone):
    change(clone / "paper_utils" / "files.py", '"""Where', '"""Whither')
    change(clone / "paper_utils" / "results.py", "call results.begin(...) first", "begin first")
    change(clone / BOOK, "import matplotlib.pyplot as plt", "import matplotlib.pyplot as plt  # draws")
    (clone / "paper_utils" / "progress.py").write_text("raise SystemExit\n")
    (clone / "requirements.lock").write_text("torch==2.14.0\n")
    assert record.problems(clone) == []


def test_an_exact_record_serves_where_free_numbers_are_asked_for_and_not_the_other_way_round(clone, monkeypatch):
    monkeypatch.setenv("PAPER_NUMERICS", "exact")
    (found,) = record.problems(clone)
    assert "the figures of 01_try are stale: numerics changed" in found
    path = clone / DRAWN / "record.json"
    made = json.loads(path.read_text())
    made["made_from"]["numerics"] = "exact"
    path.write_text(json.dumps(made | {"sealed": record.seal(made)}))
    monkeypatch.setenv("PAPER_NUMERICS", "free")
    assert record.problems(clone) == []


def test_a_picture_with_a_palette_is_smaller_and_looks_the_same():
    ramp = np.linspace(0, 255, 300).astype(np.uint8)
    noisy = np.stack([np.tile(ramp, (300, 1)), np.tile(ramp[:, None], (1, 300)), np.full((300, 300), 40, np.uint8)], -1)
    full = io.BytesIO()
    Image.fromarray(noisy).save(full, "PNG")
    png = base64.b64encode(full.getvalue()).decode()
    small = record._with_palette(png)
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(small))).convert("RGB")).astype(int)
    assert len(small) <= len(png) and np.abs(seen - noisy).mean() < 8
