"""The notebooks' first cell without Colab: what it installs, what it leaves alone, and that it is enough to go on with.

The last test, of whole notebooks, needs minutes and a package index; it runs where PAPER_COLAB names a folder to make
its environment in: `PAPER_COLAB=build/colab pytest tests/test_colab.py`, with the last of tests/colab-RUNTIME.txt. It
is no Colab, whose own builds of torch and torchvision the package index does not hold: under the runtime's Python the
index's builds of the same versions stand in for them, under another Python those of requirements.lock; all else has the
versions that Colab publishes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import colab as lists
import nbclient
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from paper_utils.files import ROOT
from reproduce import notebook as sources

ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]

LISTED = lists.read(lists.LISTS[-1].read_text())
# The index's torchvision is built for CUDA and does not load beside a CPU torch (see paper_utils.data.torchvision);
# Colab's own two builds fit together, and there transformers imports torchvision before any code of ours runs.
MATCHED = """
import torch
if not torch.version.cuda:
    torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def bootstrap(path: Path) -> str:
    return next(c.source for c in sources.code_cells(sources.read(path)) if sources.only_on_colab(c.source))


def git(*words: str, cwd: Path) -> str:
    return subprocess.run(["git", *words], cwd=cwd, check=True, capture_output=True, text=True).stdout


# ---- what is installed


@pytest.mark.parametrize("path", lists.LISTS, ids=lambda path: path.stem)
def test_colab_satisfies_every_bound_and_lacks_little(path):
    """A bound that Colab misses is a bound to reconsider: what is loaded there cannot be changed."""
    present = lists.read(path.read_text())
    assert lists.too_old(lists.NEEDED, present) == []
    lacking = {re.split(r"[>=]", requirement)[0] for requirement in lists.missing(lists.NEEDED, present)}
    assert lacking <= {"jaxtyping", "loky", "nnsight", "transformer_lens", "papermill"}


def test_a_list_is_read_as_pip_writes_it():
    text = "# by pip\nTorch_Vision==0.24.0+cpu\nspacy-en @ https://somewhere/x.whl#sha256=a==b\nnumpy==2.0.2\n"
    assert lists.read(text) == {"torch-vision": "0.24.0+cpu", "numpy": "2.0.2"}
    assert lists.too_old(["numpy>=2.1", "torch_vision>=0.24"], lists.read(text)) == ["numpy 2.0.2 (>=2.1)"]
    assert lists.missing(["numpy>=2", "einops>=0.8"], lists.read(text)) == ["einops>=0.8"]


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """An empty package, as pip installs it."""
    info = f"{name}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {f"{name}.py": f'version = "{version}"\n', f"{info}/RECORD": ""}
    files[f"{info}/METADATA"] = head + "".join(f"Requires-Dist: {need}\n" for need in needs)
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        for path, content in files.items():
            file.writestr(path, content)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """An environment that has `base` 1.0, beside an index of four packages."""
    folder = tmp_path_factory.mktemp("small")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    (index := folder / "index").mkdir()
    packages = ("base", "1.0"), ("base", "2.0"), ("addon", "1.0", "base"), ("addon", "2.0", "base>=2")
    for package in (*packages, ("picky", "1.0", "base>=2")):
        wheel(index, *package)
    subprocess.run([folder / "venv" / "bin" / "pip", "install", "-q", "base==1.0"], check=True, env=offline(folder))
    return folder


def offline(folder: Path) -> dict[str, str]:
    """An environment whose pip sees that index only, and whose Python finds this package."""
    (folder / "path").mkdir(exist_ok=True)
    if not (folder / "path" / "paper_utils").exists():
        (folder / "path" / "paper_utils").symlink_to(ROOT / "paper_utils")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder / "index"), "PIP_CONFIG_FILE": os.devnull}
    return kept | pip | {"PYTHONPATH": str(folder / "path"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def install(folder: Path, *needed: str) -> subprocess.CompletedProcess:
    (folder / "pyproject.toml").write_text(f"[project]\ndependencies = {json.dumps(needed)}\n")
    code = "import base, pathlib, sys\nfrom paper_utils import colab\ncolab.install(pathlib.Path(sys.argv[1]))\n"
    code += "import importlib.metadata as m, addon\nprint('then', addon.version, m.version('base'), base.version)"
    command = [folder / "venv" / "bin" / "python", "-c", code, folder]
    return subprocess.run(command, env=offline(folder), capture_output=True, text=True)


def test_what_is_there_stays_and_what_is_added_fits_it(small):
    """The newest addon wants another base; what Colab has loaded must stay, so it is the older addon that comes."""
    for needed in ("picky>=1", "base>=2"):  # what is there is too old for it, or is itself too old
        done = install(small, "base>=1", needed)
        assert "could not add what this runtime lacks" in done.stderr and "base==1.0" in done.stdout
    first = install(small, "base>=1", "addon>=1")
    assert first.returncode == 0, first.stderr
    assert "Installing collected packages: addon" in first.stdout, "pip's words are printed"
    assert first.stdout.endswith("then 1.0 1.0 1.0\n")
    again = install(small, "base>=1", "addon>=1").stdout
    assert "Installing" not in again and "All that the notebook needs is there" in again


# ---- the cell


def test_the_cell_is_the_same_everywhere_and_acts_on_colab_only():
    (cell,) = {bootstrap(path) for path in sources.notebooks()}
    assert f'"{ADDRESS}"' in cell
    for elsewhere in ("x = 1", "else:\n    x = 1"):
        assert not sources.only_on_colab(f"{cell}\n{elsewhere}")
    assert not sources.only_on_colab(cell.replace(" in sys", " not in sys"))
    assert not sources.only_on_colab(f"!ls\n{cell}")


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A bare repository with the working tree as its only commit: what Colab would get once it is published."""
    tree, bare = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("published") / "repo.git"
    for name in git("ls-files", "-coz", "--exclude-standard", cwd=ROOT).split("\0"):
        if name and (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)
    git("init", "-q", "-b", "main", cwd=tree)
    git("add", "-A", cwd=tree)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all", cwd=tree)
    git("tag", "v9", cwd=tree)
    git("clone", "-q", "--bare", str(tree), str(bare), cwd=tree)
    return bare


@pytest.mark.slow
def test_the_cell_takes_a_tag_or_a_commit_and_tries_again_after_a_failure(published, tmp_path):
    """`make address AT=v9` writes a release's tag into it."""
    commit, cell = git("rev-parse", "v9", cwd=published).strip(), bootstrap(sources.notebooks()[0])
    for at in ("v9", commit):
        (content := tmp_path / at).mkdir()
        env = on_colab(published, content / "stand-in")
        for wanted in ("no-such-tag", at):
            code = "import google.colab\n" + cell.replace('"main"', f'"{wanted}"')
            done = subprocess.run([sys.executable, "-c", code], cwd=content, env=env, capture_output=True, text=True)
            assert (done.returncode == 0) is (wanted == at), done.stderr
        assert git("rev-parse", "HEAD", cwd=content / "paper").strip() == commit


def on_colab(published: Path, stand_in: Path) -> dict[str, str]:
    """An environment in which google.colab can be imported and git finds the address's repository on this disk."""
    (stand_in / "google" / "colab").mkdir(parents=True)
    (stand_in / "google" / "colab" / "__init__.py").write_text("")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PAPER_OUT", "PAPER_PROGRESS"))}
    redirect = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{published}.insteadOf"}
    return kept | redirect | {"GIT_CONFIG_VALUE_0": ADDRESS, "PYTHONPATH": str(stand_in)}


def test_the_cell_brings_the_package_and_every_released_weight(published, tmp_path):
    content, env = tmp_path / "content", on_colab(published, tmp_path / "stand-in")
    content.mkdir()
    cell = bootstrap(sources.notebooks()[0])
    then = "from paper_utils import files\nprint(MODE, files.ROOT)\n"
    for times in (2, 1):  # twice in one session, then once more in another
        code = 'import google.colab\nMODE = "full"\n' + times * (cell + "\n") + then
        done = subprocess.run([sys.executable, "-c", code], cwd=content, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Checked against Colab's runtime 2026.01" in done.stdout
        assert done.stdout.splitlines()[-1] == f"quick {content / 'paper'}", "the short recipe, unless asked"
    code = "".join(c.source for path in sources.notebooks() for c in sources.code_cells(sources.read(path)))
    loaded = re.findall(r'"checkpoints" / "([\w.]+)"', code)
    assert loaded and all((content / "paper" / "checkpoints" / name).exists() for name in loaded)


# ---- by hand, with PAPER_COLAB=folder: whole notebooks


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The Python of an environment with Colab's versions; whatever a notebook adds is taken away after it."""
    if not os.environ.get("PAPER_COLAB"):
        pytest.skip("takes minutes and a package index: set PAPER_COLAB to a folder for its environment")
    folder = Path(os.environ["PAPER_COLAB"]).absolute() / "venv"
    if not folder.exists():
        lock = dict(re.findall(r"^(torch|torchvision)==(.+)$", (ROOT / "requirements.lock").read_text(), re.M))
        own = "Python {}.{}.".format(*sys.version_info) in lists.LISTS[-1].read_text()
        stand_ins = {"setuptools": "80.9.0"} | ({} if own else lock)
        versions = {name: stand_ins.get(name, version).partition("+")[0] for name, version in LISTED.items()}
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin" / "pip", "install", "-q"]
        subprocess.run([*pip, f"torch=={versions['torch']}"], check=True)  # with what its CUDA build needs
        subprocess.run([*pip, "--no-deps", *(f"{name}=={version}" for name, version in versions.items())], check=True)
    return folder / "bin" / "python"


def freeze(python: Path) -> set[str]:
    done = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("path", sources.notebooks(), ids=lambda p: p.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_end(path, runtime, published, tmp_path):
    content, before = tmp_path / "content", freeze(runtime)
    content.mkdir()
    assert not any(line.startswith(("jaxtyping", "transformer-lens", "nnsight")) for line in before)
    env = on_colab(published, tmp_path / "stand-in") | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    km = AsyncKernelManager(transport="ipc", ip=str(tmp_path / "k"), connection_file=str(tmp_path / "c.json"))
    command = [str(runtime), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (tmp_path / "stand-in" / "matched.py").write_text(MATCHED)
    loaded = "--IPKernelApp.exec_lines=import numpy, google.colab, matched"
    km._kernel_spec = KernelSpec(argv=[*command, loaded], display_name="Colab", language="python", env=env)
    notebook = sources.read(path)
    for cell in sources.code_cells(notebook):
        cell.source = re.sub(r'^MODE = "full"', 'MODE = "quick"', cell.source)
    try:
        resources = {"metadata": {"path": str(content)}}
        client = nbclient.NotebookClient(notebook, km=km, timeout=900, resources=resources)
        client.owns_km = True  # so that the kernel ends with the run
        client.execute()
        assert before <= freeze(runtime), "everything Colab has is there, at its version"
    finally:
        if extra := [line.split("==")[0] for line in freeze(runtime) - before]:
            subprocess.run([runtime, "-m", "pip", "uninstall", "-qy", *extra], check=True)
    assert f"{path.stem} complete:" in "".join(sources.code_cells(notebook)[-1].outputs[-1].text)
    assert (content / "paper" / "build" / "by-hand" / path.stem / "record.json").exists()
