"""What goes wrong while figures are made: nothing is half-written, the old figures stand, the next run recovers."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from throwaway import SAVE, change, end, notebook, packages, run, snapshot, start

from paper_utils.files import digest
from reproduce import record

# A cell that waits for as long as the file named by HOLD is there, and says in it which process it is, and its worker.
WAITS = """import os, pathlib, subprocess, sys, time
if hold := os.environ.get("HOLD"):
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path(hold).write_text(f"{os.getpid()} {worker.pid}")
    while pathlib.Path(hold).exists():
        time.sleep(0.05)
    worker.kill()"""
# What a picture of noise takes on disk: more than a file system of 128 KiB has, whatever the compression.
NOISE = "import numpy as np\nfig.set_size_inches(5, 5)\n"
NOISE += "ax.imshow(np.random.default_rng(int(SCALE)).random((500, 500)))\n" + SAVE


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A checkout with the figures of a full run."""
    root = packages(tmp_path_factory.mktemp("made"))
    path = notebook(root, middle=WAITS, save=NOISE)
    cells = path.read_text().split("\n# %%\n")
    # Each cell but the parameters' can be told from outside to have its kernel killed.
    strike = 'import os\nos.environ.get("STRIKE") == "{}" and os.kill(os.getpid(), 9)\n'
    path.write_text("\n# %%\n".join([cells[0], *(strike.format(i) + cell for i, cell in enumerate(cells[1:]))]))
    done = run(root, "figures")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture
def root(made, tmp_path) -> Path:
    """That checkout, with a change that makes its figures old ones."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    assert run(tmp_path, "why").stdout == "01_try: up to date\n", "a checkout that was moved is as up to date as before"
    change(tmp_path / "notebooks" / "01_try.py", "SCALE = 1.0", "SCALE = 2.0")
    return tmp_path


def recovers(root: Path, old: dict[str, bytes]) -> None:
    """The same command, with nothing mended by hand, brings the new figures."""
    done = run(root, "figures")
    assert done.returncode == 0, done.stdout + done.stderr
    now = snapshot(root / "figures")
    assert now.keys() == old.keys() and now["01_try/curve.png"] != old["01_try/curve.png"]
    assert record.read(root / "figures" / "01_try")["numbers"] == {"x": 2.0} and record.problems(root) == []


@pytest.fixture
def mounted(request):
    """A function that mounts a small file system in memory on a folder, content kept; skips where that is forbidden."""

    def mount(folder: Path, size: str) -> None:
        content = snapshot(folder)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
        if done.returncode:
            pytest.skip(f"needs the right to mount a file system: {done.stderr.decode().strip()}")
        request.addfinalizer(lambda: subprocess.run(["umount", folder], check=True))
        for name, data in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

    return mount


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


# ---- the kernel


@pytest.mark.slow  # the fast tier has a killed kernel among its poisoned notebooks
@pytest.mark.parametrize("cell", [0, 1, 2, 3])
def test_a_kernel_killed_at_any_cell(root, cell):
    old = snapshot(root / "figures")
    done = run(root, "figures", STRIKE=str(cell))
    assert done.returncode == 1 and "DeadKernelError" in done.stdout, done.stdout
    assert snapshot(root / "figures") == old
    recovers(root, old)


def kernels_that_fail(root: Path, times: int) -> None:
    """Make the first so many kernels of this checkout end before they answer."""
    (root / "ipykernel_launcher.py").write_text(
        "import pathlib\n"
        "with open('starts', 'a') as log: log.write('start ')\n"
        f"if len(pathlib.Path('starts').read_text().split()) <= {times}: raise SystemExit('no memory')\n"
        "from ipykernel import kernelapp\nkernelapp.launch_new_instance()\n"
    )


@pytest.mark.parametrize("times", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_a_kernel_that_does_not_come_up_is_started_once_more(root, times):
    old = snapshot(root / "figures")
    kernels_that_fail(root, times)
    if times == 1:
        recovers(root, old)
    else:
        done = run(root, "figures")
        assert done.returncode == 1 and "01_try: FAILED." in done.stdout and "died before replying" in done.stdout
        assert snapshot(root / "figures") == old
    assert (root / "starts").read_text().split() == ["start"] * 2


# ---- the disk


def test_the_disk_is_full_where_the_figures_go(root, mounted):
    old, figures = snapshot(root / "figures"), root / "figures"
    mounted(figures, f"{sum(map(len, old.values())) // 1024 + 64}k")
    done = run(root, "figures")
    assert done.returncode == 1 and "No space left on device" in done.stdout, done.stdout + done.stderr
    assert "its figures are in build/staging/figures/01_try" in done.stdout and "Traceback" not in done.stderr
    assert snapshot(figures) == old
    remount(figures, "size=16m")
    recovers(root, old)


def test_figures_that_cannot_be_written_are_seen_before_the_run(root, mounted):
    old, figures = snapshot(root / "figures"), root / "figures"
    if os.geteuid() == 0:  # to whom permissions are nothing
        mounted(figures, "16m")
        remount(figures, "ro")
    else:
        figures.chmod(0o555)
    done = run(root, "figures", STRIKE="0")
    assert done.returncode == 1, done.stdout
    assert re.search(
        r"cannot write: .*(Read-only file system|Permission denied): .*/figures/.*It was not run", done.stdout
    )
    assert snapshot(figures) == old
    remount(figures, "rw") if os.geteuid() == 0 else figures.chmod(0o755)
    recovers(root, old)


# ---- publishing: what is written beside, then renamed, can break off at every step


class Killed(BaseException):
    """Stands for the end of the process: nothing that would tidy up may run."""


def break_off(monkeypatch, error: BaseException, passing: int) -> None:
    """Let so many writes and renames pass, then have one fail as `error`: of a kill, all that come after it too."""
    left = iter([*[False] * passing, True])

    def counting(function):
        def step(*args, **kwargs):
            if next(left, isinstance(error, Killed)):
                raise error
            return function(*args, **kwargs)

        return step

    monkeypatch.setattr(shutil, "copyfile", counting(shutil.copyfile))
    monkeypatch.setattr(os, "replace", counting(os.replace))
    for name in ("mkdir", "write_text", "rename"):
        monkeypatch.setattr(Path, name, counting(getattr(Path, name)))
    if isinstance(error, Killed):
        monkeypatch.setattr(shutil, "rmtree", counting(shutil.rmtree))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Killed()], ids=["full", "killed"])
def test_publishing_that_breaks_off_at_any_step_leaves_old_or_new(tmp_path, monkeypatch, error):
    monkeypatch.setattr(record, "executed_copy", lambda folder: tmp_path / "executed.ipynb")
    staging, out = tmp_path / "staging", tmp_path / "figures"
    staging.mkdir()

    def publish(scale: float) -> None:
        (staging / "curve.png").write_bytes(f"a picture of {scale}".encode())
        figures = {"curve": {"files": {"curve.png": digest(staging / "curve.png")}}}
        content = {"figures": figures, "numbers": {"x": scale}, "pages": {}}
        with monkeypatch.context() as patch:
            if steps is not None:
                break_off(patch, error, steps)
            record.publish(content, staging, out / "01_try", {"metadata": {}})

    steps = None
    publish(2.0)
    new = snapshot(out)
    publish(1.0)
    old, whole = snapshot(out), []
    assert new.keys() == old.keys() and new != old
    for steps in range(20):
        try:
            publish(2.0)
            break
        except type(error):
            record.recover(out)  # what the next run does first
        found = snapshot(out)
        assert found in (old, new), f"step {steps}: {found.keys()}"
        whole.append(found == new)
        before, steps = steps, None
        publish(1.0)
        assert snapshot(out) == old, f"step {before}"
    assert whole == sorted(whole) and set(whole) == {False, True} and len(whole) >= 8


# ---- the person at the keyboard


def held(hold: Path, process: subprocess.Popen) -> list[int]:
    """Wait until a kernel waits in its cell; its process and that of a worker that it started."""
    while not (hold.exists() and hold.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return [int(pid) for pid in hold.read_text().split()]


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text() if sys.platform == "linux" else True
    except (OSError, ValueError):
        return False


def ends(pid: int) -> bool:
    for _ in range(300):
        if not runs(pid):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_run_that_is_interrupted_or_killed_leaves_no_process_and_no_half(root, how):
    old, hold = snapshot(root / "figures"), root / "hold"
    process = start(root, "figures", HOLD=str(hold))
    kernel, worker = held(hold, process)
    os.killpg(process.pid, how)
    done = end(process)
    if how == signal.SIGINT:
        assert done.returncode == 130 and "interrupted: nothing half-written" in done.stdout, done
        assert "Traceback" not in done.stderr
    assert ends(kernel) and ends(worker) and snapshot(root / "figures") == old
    recovers(root, old)


def test_two_runs_at_once(root):
    old, hold = snapshot(root / "figures"), root / "hold"
    first = start(root, "figures", HOLD=str(hold))
    held(hold, first)
    second = start(root, "figures")
    said = second.stdout.readline()
    assert said == f"another run is going on here (process {first.pid}): waiting for it\n"
    assert first.poll() is None and snapshot(root / "figures") == old
    hold.unlink()
    assert end(first).returncode == 0
    done = end(second)
    assert done.returncode == 0 and "01_try: up to date" in done.stdout and "complete in" not in done.stdout
    assert record.problems(root) == []


@pytest.mark.slow
def test_a_notebook_edited_while_it_runs_is_run_again(root):
    hold, path = root / "hold", root / "notebooks" / "01_try.py"
    process = start(root, "figures", HOLD=str(hold))
    held(hold, process)
    change(path, "# ## The middle", "# ## The middle\n\n# %%\nnew = 1")
    hold.unlink()
    assert end(process).returncode == 0
    assert run(root, "why").stdout == "01_try: would run: code changed\n"
    assert record.problems(root)[0].startswith("the figures of 01_try are stale: code changed.")
