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


def test_the_environment_has_the_torch_that_is_asked_for(make):
    """By pip, or by uv where it is there; all else is the lock's in any case."""
    (make.root / ".venv").rename(make.root / "no-venv")
    for uv, installs in (("", ".venv/bin/python -m pip install"), ("uv", "uv pip install")):
        for torch, index in (("", ""), ("TORCH=cpu", " --index-url https://download.pytorch.org/whl/cpu")):
            done = make("-n", f"UV={uv}", *filter(None, [torch]), "site")
            first, second, own = (line.rstrip() for line in done.stdout.splitlines() if line.startswith(installs))
            # With a CUDA build torchvision follows from the lock; the index's own does not load beside a CPU torch.
            assert ("torch(vision)?" in first) is bool(torch) and first.endswith(f"requirements.lock){index}")
            assert second.endswith(" -r requirements.lock") and own.endswith(" --no-deps --editable .")


def test_a_release_is_what_the_notebooks_fetch_on_colab(make):
    assert "say which" in make("release").stdout
    assert make("release", "AT=v0.2.0").returncode == 0
    for path in (make.root / "notebooks").glob("*.*"):
        text = path.read_text().replace('\\"', '"')
        assert '/REPO", "v0.2.0", os.path' in text and "/blob/v0.2.0/notebooks/" in text and "/blob/main/" not in text


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
