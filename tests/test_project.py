"""What must agree across the project's files, and that the README says what there is."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

from paper_utils import bilinear
from paper_utils.files import ROOT
from reproduce import notebook, report

LOCKED = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[0] != "#"]
LOCK = dict(line.split("==") for line in LOCKED)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED_FOR = "torch torchvision einops jaxtyping matplotlib seaborn plotly nnsight transformer_lens jupytext papermill"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_locked_at_a_version_its_lower_bound_allows():
    locked = {normal(name): version for name, version in LOCK.items()}
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    for requirement in PROJECT["dependencies"] + extras:
        name, bound = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
        found = locked[normal(name)]
        assert [int(n) for n in re.findall(r"\d+", found)[:3]] >= [int(n) for n in bound.split(".")], requirement
    assert {normal(name) for name in ASKED_FOR.split()} <= {normal(r.split(">=")[0]) for r in PROJECT["dependencies"]}


def test_conda_users_get_the_same_versions():
    assert [line for line in LOCKED if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == [] and LOCK["torch"] == "2.13.0"
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["dependencies"][-1] == {"pip": ["-r requirements.lock"]}
    python = next(d for d in environment["dependencies"] if str(d).startswith("python="))
    assert PROJECT["requires-python"] == ">=" + python.removeprefix("python=")


def test_imports_run_one_way():
    """What pyproject.toml says under tool.importlinter; `make lint` says the same."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "."})
    assert done.returncode == 0, done.stdout + done.stderr


# ---- README


README = (ROOT / "README.md").read_text()


def test_readme_commands_are_targets_and_their_words_parameters():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z%-]+):", makefile, re.M))
    calls = re.findall(r"(?:`|^ {4})make ((?:[\w./=:-]+ ?)+)", README, re.M)
    used = {word for call in calls for word in call.split() if "=" not in word}
    assert {"figures", "quick", "test", "site", "verify"} <= used <= targets
    for call in calls:
        given = dict(word.split("=") for word in call.split() if "=" in word)
        makes = {name for name in given if f"$({name})" in makefile or name in ("N", "NB", "EXACT")}
        for path in (ROOT / "notebooks").glob(f"{given.get('NB', 'none')}*.py"):
            known = notebook.parameters(notebook.read(path))
            notebook.parse_parameters({name: value for name, value in given.items() if name not in makes}, known)
        assert given.keys() <= makes or list((ROOT / "notebooks").glob(f"{given['NB']}*.py")), call
    (python,) = re.findall(r"You need Python ([\d.]+) or newer", README)
    assert f"({python.replace('.', ', ')})" in makefile and f"Python {python} or newer" in makefile


def test_readme_code_does_what_it_says(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in example.splitlines() if line]) <= 7, "six lines and an import"
    exec(example, {})
    assert capsys.readouterr().out.strip() == example.rpartition("# ")[2].strip()
    (model,) = re.findall(r"`(Bilinear.*?)`", README)
    assert isinstance(eval(model, vars(bilinear).copy()), torch.nn.Module)
    (call,) = re.findall(r"`bilinear\.train\((.*?)\)`", README)
    inspect.signature(bilinear.train).bind(*call.split(", ")[:-1], **dict([call.split(", ")[-1].split("=")]))


def test_readme_is_short_and_cites_this_version():
    written = README[: README.index(report.START)] + README[README.index(report.END) :]
    assert len(re.sub(r"```.*?```|\(http\S+\)", "", written, flags=re.S).split()) <= 750
    assert f"version = {{{PROJECT['version']}}}" in README and PROJECT["urls"]["Repository"] in README


def test_readme_links_and_rows():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
    for path in notebook.notebooks():
        assert f"notebooks/{path.stem}.ipynb" in README


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.stem)
def test_workflows_call_make_and_nothing_else(path):
    content = yaml.safe_load(path.read_text())
    steps = [step for job in content["jobs"].values() for step in job["steps"]]
    called = [word for step in steps if "run" in step for word in step["run"].split() if "=" not in word]
    targets = set(re.findall(r"^([a-z%-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert called and set(called[::2]) == {"make"} and set(called[1::2]) <= targets
    if linter := shutil.which("actionlint"):
        done = subprocess.run([linter, path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_citation_is_of_this_version():
    """`cffconvert --validate` said that it is valid; this holds it to pyproject.toml."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert (cited["version"], cited["license"]) == (PROJECT["version"], PROJECT["license"])
    assert cited["repository-code"] == PROJECT["urls"]["Repository"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("checkpoints/*/train.py")), ids=lambda p: p.parent.name)
def test_released_weights_have_a_model_card(path):
    _, head, body = (path.parent / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(head)
    assert (
        card["license"] == "mit" and card["library_name"] == "pytorch" and "interpretability" in " ".join(card["tags"])
    )
    assert body.lstrip().startswith("# ") and all(word in body for word in ("## Use", "imits", "from_pretrained("))


@pytest.mark.committed
def test_no_path_of_a_machine_is_committed():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    kinds = (".py", ".md", ".yml", ".toml", ".json", ".ipynb", ".svg", ".lock", ".html")
    for path in (ROOT / name for name in files if name.endswith(kinds) and not name.endswith("test_notebooks.py")):
        assert not path.exists() or not re.search(r"/(root|home/\w+|Users/\w+)/", path.read_text()), path
