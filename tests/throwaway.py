"""Throw-away notebooks for the tests of `reproduce`: five code cells that write one figure and one number."""

import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from paper_utils.files import ROOT

HEADER = """# %% [markdown]
# # A throw-away notebook

# %% tags=["parameters"]
MODE = "full"
SEED = 0
TOKEN = "swim"
SCALE = 1.0

# %%
import matplotlib.pyplot as plt
from types import SimpleNamespace
from paper_utils import results
results.begin("{name}", mode=MODE, seeds=[SEED], data=SimpleNamespace(source="{source}", files={files}))
"""
MIDDLE = """
# %% [markdown]
# ## The middle

# %%
{middle}
"""
END = """
# %%
fig, ax = plt.subplots(figsize=(2, 1))
ax.plot([0, SCALE])
{save}
results.record(x=SCALE)

# %% [markdown]
# **Figure `curve`.** A line that
# rises.

# %%
results.finish()
"""
SAVE = 'results.save_figure(fig, "curve", alt="a line that rises")'


def notebook(root: Path, name="01_try", middle="pass", save=SAVE, source="exact", files="{}") -> Path:
    """Write notebooks/<name>.py; `files` is the source of the mapping of input files to their hashes."""
    path = root / "notebooks" / f"{name}.py"
    head = HEADER.format(name=name, source=source, files=files)
    path.write_text(head + MIDDLE.format(middle=middle) + END.format(save=save))
    return path


def packages(root: Path) -> Path:
    """Copy what runs a notebook to `root`, and make room for notebooks."""
    (root / "notebooks").mkdir()
    for package in ("paper_utils", "reproduce"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "requirements.lock", root / "requirements.lock")
    return root


def start(root: Path, *words: str, **env: str) -> subprocess.Popen:
    """The command as the Makefile gives it, in a checkout of its own, as a process group of its own."""
    environment = os.environ | {"PYTHONPATH": str(root), "PAPER_DATA": str(root / "data"), "OMP_NUM_THREADS": "1"} | env
    command = [sys.executable, "-m", "reproduce", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell's background job ignores Ctrl-C, and so would every command that a test run as one starts.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=root, env=environment, start_new_session=True, preexec_fn=heed, **pipes)


def end(process: subprocess.Popen) -> subprocess.CompletedProcess:
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run(root: Path, *words: str, **env: str) -> subprocess.CompletedProcess:
    return end(start(root, *words, **env))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its content."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))
