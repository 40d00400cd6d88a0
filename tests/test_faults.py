"""What goes wrong while figures are made: nothing is half-written, the old figures stand, the next run recovers."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from throwaway import SAVE, change, end, notebook, run, snapshot, start

from paper_utils import manifest, publishing
from paper_utils.files import ROOT

# A cell that waits for as long as the file named by HOLD is there, and says in it which process it is.
WAITS = """import os, pathlib, time
if hold := os.environ.get("HOLD"):
    pathlib.Path(hold).write_text(str(os.getpid()))
    while pathlib.Path(hold).exists():
        time.sleep(0.05)"""
# What a picture of noise takes on disk: more than a file system of 128 KiB has, whatever the compression.
NOISE = "import numpy as np\nfig.set_size_inches(5, 5)\n"
NOISE += "ax.imshow(np.random.default_rng(int(SCALE)).random((500, 500)))\n" + SAVE


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A checkout with the figures of a full run."""
    root = tmp_path_factory.mktemp("made")
    shutil.copytree(ROOT / "paper_utils", root / "paper_utils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "requirements.lock", root / "requirements.lock")
    (root / "notebooks").mkdir()
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
    assert json.loads(now["numbers.json"]) == {"01_try": {"x": 2.0}} and manifest.problems(root) == []


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


def test_a_kernel_killed_at_a_random_cell(root):
    old = snapshot(root / "figures")
    cells = random.Random(20).sample(range(4), 3)
    for cell in cells:
        done = run(root, "figures", STRIKE=str(cell))
        assert done.returncode == 1 and "DeadKernelError" in done.stdout, f"cell {cell}: {done.stdout}"
        assert snapshot(root / "figures") == old, f"cell {cell}"
    recovers(root, old)


def kernels_that_fail(root: Path, times: int) -> None:
    """Make the first so many kernels of this checkout end before they answer."""
    (root / "ipykernel_launcher.py").write_text(
        "import pathlib\n"
        "with open('starts', 'a') as log: log.write('start ')\n"
        f"if len(pathlib.Path('starts').read_text().split()) <= {times}: raise SystemExit('no memory')\n"
        "from ipykernel import kernelapp\nkernelapp.launch_new_instance()\n"
    )


def test_a_kernel_that_does_not_come_up_is_started_once_more(root):
    old = snapshot(root / "figures")
    kernels_that_fail(root, times=1)
    recovers(root, old)
    assert (root / "starts").read_text().split() == ["start"] * 2


def test_a_kernel_that_never_comes_up_fails_the_run(root):
    old = snapshot(root / "figures")
    kernels_that_fail(root, times=9)
    done = run(root, "figures")
    assert done.returncode == 1 and "01_try: FAILED." in done.stdout and "died before replying" in done.stdout
    assert (root / "starts").read_text().split() == ["start"] * 2 and snapshot(root / "figures") == old


# ---- the disk


def test_the_disk_is_full_while_a_figure_is_written(root, mounted):
    old, staging = snapshot(root / "figures"), root / "build" / "staging"
    shutil.rmtree(staging / "01_try")
    mounted(staging, "128k")
    done = run(root, "figures")
    assert done.returncode == 1 and "No space left on device" in done.stdout, done.stdout + done.stderr
    assert "01_try, code cell 4 of 5, under 'The middle'" in done.stdout
    assert snapshot(root / "figures") == old
    remount(staging, "size=16m")
    recovers(root, old)


def test_the_disk_is_full_where_the_figures_go(root, mounted):
    old, figures = snapshot(root / "figures"), root / "figures"
    mounted(figures, f"{sum(map(len, old.values())) // 1024 + 64}k")
    done = run(root, "figures")
    assert done.returncode == 1 and "No space left on device" in done.stdout, done.stdout + done.stderr
    assert "its figures are in build/staging/01_try" in done.stdout and "Traceback" not in done.stderr
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
        r"cannot write to figures: .*(Read-only file system|Permission denied).*It was not run", done.stdout
    )
    assert snapshot(figures) == old
    remount(figures, "rw") if os.geteuid() == 0 else figures.chmod(0o755)
    recovers(root, old)


# ---- publishing: what is written beside, then renamed, can break off at every step


class Steps:
    """Lets so many writes and renames pass, then has one fail as `error`; what runs after that passes again."""

    def __init__(self, monkeypatch, error: BaseException, passing: int) -> None:
        self.left, self.error = passing, error
        monkeypatch.setattr(shutil, "copyfile", self.counting(shutil.copyfile))
        for name in ("mkdir", "write_text", "rename", "replace"):
            monkeypatch.setattr(Path, name, self.counting(getattr(Path, name)))

    def counting(self, function):
        def step(*args, **kwargs):
            self.left -= 1
            if self.left == -1:
                raise self.error
            return function(*args, **kwargs)

        return step


def account_of(scale: float, staging: Path) -> dict:
    staging.mkdir(parents=True, exist_ok=True)
    (staging / "curve.png").write_bytes(f"a picture of {scale}".encode())
    files = {"curve.png": publishing.digest(staging / "curve.png")}
    return {"notebook": "01_try", "figures": {"curve": {"files": files}}, "numbers": {"x": scale}, "pages": {}}


class Killed(BaseException):
    """Stands for the end of the process: nothing that would tidy up may run."""


@pytest.mark.parametrize("end", ["full", "killed"])
def test_publishing_that_breaks_off_at_any_step_leaves_old_or_new(tmp_path, monkeypatch, end):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_try.py").touch()
    monkeypatch.setattr(publishing, "ROOT", tmp_path)
    out = tmp_path / "figures"

    def publish(scale: float) -> None:
        account = account_of(scale, tmp_path / "staging")
        publishing.publish(account, tmp_path / "staging", out, {"figures": account["figures"]})

    publish(1.0)
    old, steps, failures, whole = snapshot(out), 0, 0, set()
    publish(2.0)
    new = snapshot(out)
    publish(1.0)
    assert snapshot(out) == old and new.keys() == old.keys()
    error = OSError(errno.ENOSPC, "No space left on device") if end == "full" else Killed()
    while failures == steps:
        with monkeypatch.context() as patch:
            account = account_of(2.0, tmp_path / "staging")
            if end == "killed":
                patch.setattr(publishing, "recover", lambda out: None)
            Steps(patch, error, steps)
            try:
                publishing.publish(account, tmp_path / "staging", out, {"figures": account["figures"]})
            except type(error):
                failures += 1
        if end == "killed":  # what the next run does first
            publishing.prepare(out)
        found = snapshot(out)
        assert found in (old, new), f"step {steps}"
        whole.add(found == new)
        publish(1.0)
        steps += 1
    assert failures >= 8 and whole == {False, True}


def test_notebooks_published_side_by_side_do_not_lose_each_other(tmp_path, monkeypatch):
    names = [f"{i:02}_try" for i in range(8)]
    (tmp_path / "notebooks").mkdir()
    for name in names:
        (tmp_path / "notebooks" / f"{name}.py").touch()
    monkeypatch.setattr(publishing, "ROOT", tmp_path)

    def publish(name: str) -> None:
        account = account_of(1.0, tmp_path / name) | {"notebook": name}
        publishing.prepare(tmp_path / "figures")
        publishing.publish(account, tmp_path / name, tmp_path / "figures", {"figures": account["figures"]})

    for _ in range(20):
        shutil.rmtree(tmp_path / "figures", ignore_errors=True)
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(publish, names))
        for account in ("numbers.json", "manifest.json"):
            assert sorted(json.loads((tmp_path / "figures" / account).read_text())) == names
        assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == [*names, "manifest.json", "numbers.json"]


# ---- the person at the keyboard


def held(hold: Path, process: subprocess.Popen) -> int:
    """Wait until a kernel waits in its cell; its process."""
    while not (hold.exists() and hold.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return int(hold.read_text())


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


def test_ctrl_c(root):
    old, hold = snapshot(root / "figures"), root / "hold"
    process = start(root, "figures", HOLD=str(hold))
    kernel = held(hold, process)
    os.killpg(process.pid, signal.SIGINT)
    done = end(process)
    assert done.returncode == 130 and "interrupted: nothing half-written" in done.stdout, done
    assert "Traceback" not in done.stderr and ends(kernel) and snapshot(root / "figures") == old
    recovers(root, old)


def test_ctrl_c_while_the_kernel_still_starts(root):
    old = snapshot(root / "figures")
    process = start(root, "figures", HOLD=str(root / "hold"))
    assert process.stdout.readline() == "[1/1] 01_try\n"
    os.killpg(process.pid, signal.SIGINT)
    done = end(process)  # would wait in its cell for ever, had the notebook gone on
    assert done.returncode == 130 and not (root / "hold").exists() and snapshot(root / "figures") == old


def test_a_run_killed_outright(root):
    old, hold = snapshot(root / "figures"), root / "hold"
    process = start(root, "figures", HOLD=str(hold))
    kernel = held(hold, process)
    process.kill()
    end(process)
    assert ends(kernel) and snapshot(root / "figures") == old
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
    assert manifest.problems(root) == []


def test_a_notebook_edited_while_it_runs_is_run_again(root):
    hold, path = root / "hold", root / "notebooks" / "01_try.py"
    process = start(root, "figures", HOLD=str(hold))
    held(hold, process)
    change(path, "# ## The middle", "# ## The middle\n\n# %%\nnew = 1")
    hold.unlink()
    assert end(process).returncode == 0
    assert run(root, "why").stdout == "01_try: would run: code changed\n"
    assert manifest.problems(root)[0].startswith("the figures of 01_try are stale: code changed.")


def test_twenty_quick_runs_of_two_notebooks_side_by_side(checkout):
    for name in ("01_left", "02_right"):
        notebook(checkout, name)
    for i in range(20):
        done = run(checkout, "quick", f"SCALE={i}", MAKEFLAGS="-j2")
        assert done.returncode == 0 and done.stdout.count("complete in") == 2, f"run {i}: {done.stdout}{done.stderr}"
        quick = checkout / "build" / "quick"
        assert json.loads((quick / "numbers.json").read_text()) == {n: {"x": float(i)} for n in ("01_left", "02_right")}
        listed = {"01_left/curve.png", "01_left/curve.svg", "02_right/curve.png", "02_right/curve.svg"}
        assert snapshot(quick).keys() == listed | {"manifest.json", "numbers.json"}
        for name, entry in json.loads((quick / "manifest.json").read_text()).items():
            assert all(publishing.digest(quick / name / f) == d for f, d in entry["figures"]["curve"]["files"].items())
    assert not (checkout / "figures").exists()
