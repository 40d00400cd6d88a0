"""What must agree across the project's files, and that the README says what there is."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from paper_utils import claims, sources
from paper_utils.files import ROOT

LOCKED = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[0] != "#"]
LOCK = dict(line.split("==") for line in LOCKED)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED_FOR = [
    "torch",
    "torchvision",
    "einops",
    "jaxtyping",
    "matplotlib",
    "seaborn",
    "plotly",
    "nnsight",
    "transformer_lens",
    "jupytext",
    "papermill",
]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_locked_at_a_version_its_bound_allows():
    locked = {normal(name): version for name, version in LOCK.items()}
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    for requirement in PROJECT["dependencies"] + extras:
        name, bound = requirement.split(">=")
        found = locked[normal(name)]
        assert [int(n) for n in re.findall(r"\d+", found)[:3]] >= [int(n) for n in bound.split(".")], requirement


def test_bounds_are_lower_bounds_only():
    for requirement in PROJECT["dependencies"]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", requirement)


def test_the_packages_asked_for_are_dependencies():
    assert {normal(n) for n in ASKED_FOR} <= {normal(r.split(">=")[0]) for r in PROJECT["dependencies"]}


def test_conda_users_get_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["dependencies"][-1] == {"pip": ["-r requirements.lock"]}
    python = next(d for d in environment["dependencies"] if str(d).startswith("python="))
    assert PROJECT["requires-python"] == ">=" + python.removeprefix("python=")


def test_the_lock_names_versions_only():
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.]+|#.*", line), line
    assert LOCK["torch"] == "2.13.0"


def test_rooms_import_one_way():
    """Ground floor imports no sibling but files; subject rooms import training at most; nobody imports the runner."""
    ground = {name: set() for name in ("files", "hub", "plotting", "shell")}
    ground |= {"data": {"files", "hub"}, "results": {"files"}, "training": {"files"}, "sources": {"files"}}
    ground |= {"manifest": {"files", "sources"}, "gallery": {"claims", "files"}}
    ground |= {"claims": {"files"}, "verify": {"claims", "files", "gallery", "manifest"}}
    ground |= {"publishing": {"files", "manifest", "sources"}}
    ground |= {"runner": {"claims", "files", "gallery", "manifest", "publishing", "sources"}}
    subjects = "bilinear sae groups superposition training data plotting results manifest publishing files"
    ground |= {"seeds": {*subjects.split(), "seeds"}}  # itself: see its last lines
    for path in (ROOT / "paper_utils").glob("*.py"):
        found = sources.imported_modules(path.read_text())
        more = {"transformer": {"bilinear", "hub"}, "pretraining": {"data", "transformer"}}
        allowed = ground.get(path.stem, {"training", "files"} | more.get(path.stem, set()))
        assert found <= allowed, f"{path.stem} imports {found - allowed}"


def test_what_runs_no_notebook_needs_no_torch():
    modules = "paper_utils.runner, paper_utils.verify, paper_utils.colab, paper_utils.address"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# ---- figures/, as committed


MANIFEST = json.loads((ROOT / "figures" / "manifest.json").read_text())
NUMBERS = claims.read_numbers(ROOT / "figures")


@pytest.mark.parametrize("name", [p.stem for p in sources.notebooks()])
def test_committed_figures_are_of_a_full_run_on_the_real_data(name):
    entry = MANIFEST[name]
    assert entry["mode"] == "full" and entry["source"] in ("mnist", "exact", "tinystories")
    assert entry["parameters"] == sources.parameters(sources.read(ROOT / "notebooks" / f"{name}.py"))
    assert entry["lock"] == hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()
    listed = {file: digest for figure in entry["figures"].values() for file, digest in figure["files"].items()}
    folder = ROOT / "figures" / name
    assert {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()} == listed


def test_every_claim_is_judged_and_turns_out_as_stated():
    stated = claims.load(ROOT / "claims.yml")
    names = [p.stem for p in sources.notebooks()]
    assert {claim.notebook for claim in stated} == set(names)
    for name in names:
        assert claims.tally(stated, NUMBERS, name)[0] == []
    assert claims.unresolved(stated, NUMBERS, MANIFEST) == []


# ---- README


README = (ROOT / "README.md").read_text()


def test_readme_commands_are_targets():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    used = set(re.findall(r"\bmake (?:-j\d+ )?([a-z-]+)", README))
    assert {"figures", "test"} <= used <= targets


def test_readme_links_and_rows():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
    for path in sources.notebooks():
        assert f"notebooks/{path.stem}.ipynb" in README


def test_ci_runs_the_readmes_commands():
    script = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^make (\w+)", script, re.M) == ["lint", "test", "quick"]


def test_no_path_of_a_machine_is_committed():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, files):
        path = ROOT / name
        if (
            path.suffix in (".py", ".md", ".yml", ".toml", ".json", ".ipynb", ".svg", ".lock")
            and path.name != "test_notebooks.py"
        ):
            assert not re.search(r"/(root|home/\w+|Users/\w+)/", path.read_text()), name
