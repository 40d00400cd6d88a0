"""Runs notebooks, a process each, and judges from what was executed and written whether each really ran."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
from filelock import FileLock, Timeout
from nbformat import NotebookNode

from paper_utils import numerics
from paper_utils.files import ROOT, digest, read_json, replacing
from reproduce import notebook as nb
from reproduce import record as records
from reproduce.claims import near

CELL = re.compile(r"^cell \d+/\d+$", re.MULTILINE)  # what the child says at each cell's start


@dataclass
class Job:
    """A notebook in one invocation: what is asked for, how far it is, what became of it."""

    path: Path
    values: dict[str, object]
    own: bool  # whether it runs with its own parameters
    number: str = "1/1"
    needed: set[str] = field(default_factory=set)  # the numbers of its record that claims.yml names
    out: Path | None = None  # where its folder goes, if not where its record says
    verdict: str = ""  # "complete", "up to date", or what went wrong
    record: dict = field(default_factory=dict)
    cells: int = 0
    started: float = 0.0
    seconds: float = 0.0
    expected: float = 0.0  # seconds that the last run took
    peak_mb: int = 0
    heard: str = ""  # from the child
    child: subprocess.Popen | None = None
    fingerprint: dict[str, str] = field(default_factory=dict)
    source: NotebookNode | None = None

    def __post_init__(self) -> None:
        self.name = self.path.stem
        self.folder = self.place({"mode": self.values["MODE"], "stamp": ""}) / self.name
        self.staging = ROOT / "build" / "staging" / self.folder.parent.name / self.name
        self.executed = self.staging / f"{self.name}.ipynb"

    def place(self, record: Mapping) -> Path:
        """Say where the folder of a run with such a record goes: what stand-in data gave is never put elsewhere."""
        return self.out if self.out and not record["stamp"] else records.place(record, self.own)

    @property
    def ok(self) -> bool:
        return self.verdict in ("complete", "up to date")

    def say(self, line: str = "") -> None:
        print(("\r\x1b[K" if sys.stdout.isatty() else "") + f"[{self.number}] {self.name}{line}", flush=True)


def plan(command: str, given: Mapping[str, str], pattern: str = "") -> list[Job]:
    """List the notebooks that a command asks for, with parameters given as NAME=text.

    Raises: ValueError for a wrong parameter, and where a notebook could not end well: a shell line, or a literal
        caption or figure without the other.
    """
    jobs, mode = [], {"MODE": "quick"} if command == "quick" else {}
    for k, path in enumerate(found := nb.notebooks(ROOT, pattern), 1):
        try:
            known = nb.parameters(source := nb.read(path))
            if "MODE" not in known:
                raise ValueError("the parameters cell must set MODE")
            changed = nb.parse_parameters(given, known)
            nb.refuse_shell(path, source)
            if wrong := nb.unmatched_literals(source):
                raise ValueError("; ".join(wrong))
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"{path.stem}: {error}") from error
        jobs.append(Job(path, known | mode | changed, not changed, f"{k}/{len(found)}"))
    return jobs


def unrecorded(job: Job) -> list[str]:
    """List the numbers that claims.yml names and no cell can record; none where a cell records **numbers."""
    keywords = [keyword.arg for call in nb.literals(nb.read(job.path), "record") for keyword in call.keywords]
    lacking = [] if None in keywords else sorted(job.needed - set(keywords))
    told = "{}: claims.yml names the number {!r}, which no results.record of the notebook records{}"
    return [told.format(job.name, name, near(name, keywords)) for name in lacking]


def only_one(path: Path) -> AbstractContextManager:
    """Hold the lock of this checkout; a second command says who holds it, and waits."""
    lock, holder = FileLock(path), path.with_suffix(".pid")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text() if holder.exists() else "unknown"
        print(f"another run is going on here (process {who}): waiting for it", flush=True)
        held = lock.acquire()
    holder.write_text(str(os.getpid()))
    return held


def jobs_of(flags: str, default: int = 1) -> int:
    """Read from make's flags how many notebooks run side by side: -j2 two, -j one a core, else `default`."""
    asked = re.search(r"(?:^|\s)-j ?(\d*)(?:\s|$)", flags)
    return int(asked[1] or os.cpu_count() or 1) if asked else default


# ---- The child: one notebook, one kernel


def execute(staging: Path, name: str, given: Mapping[str, object]) -> int:
    """Run `staging`/source.ipynb by papermill; prints the cell that it is at, and errors that are not a cell's own."""
    import papermill
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    def end_with_parent() -> None:
        sys.stdin.read()  # returns when the parent ends, however it ends
        kill(os.getpid())

    def at_cell(cell: NotebookNode, cell_index: int) -> None:
        came_up.append(cell_index)
        Path(os.environ["PAPER_PROGRESS"]).unlink(missing_ok=True)
        print(f"cell {cell_index + 1}/{total}", flush=True)

    class Kernel(AsyncKernelManager):
        """This interpreter's kernel. Over ipc: of tcp, another process may take a port before the kernel binds it."""

        def __init__(self, **kwargs: object) -> None:
            # In a folder of its own because the path of a socket must be short.
            super().__init__(transport="ipc", ip=f"{folder}/k", connection_file=f"{folder}/c.json", **kwargs)
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            self._kernel_spec = KernelSpec(argv=argv, display_name="Python 3", language="python")

    threading.Thread(target=end_with_parent, daemon=True).start()
    came_up: list[int] = []
    # papermill adds a cell of its own where a parameter is given.
    total = len(read_json(staging / "source.ipynb")["cells"]) + bool(given)
    files = (str(staging / "source.ipynb"), str(staging / f"{name}.ipynb"))
    options = {"kernel_name": "python3", "kernel_manager_class": Kernel, "on_cell_start": at_cell}
    # A kernel that does not come up is a matter of the machine and gets a second try; one that dies later does not.
    for is_last in (False, True):
        with tempfile.TemporaryDirectory(prefix="paper-") as folder:
            try:
                papermill.execute_notebook(*files, dict(given), progress_bar=False, **options)
                break
            except papermill.PapermillExecutionError:
                break  # stands in the notebook, where `judge` finds it
            except Exception as error:
                if is_last or came_up:
                    print(f"{type(error).__name__}: {error}", flush=True)
                    return 1
    return 0


def kill(pid: int) -> None:
    """Kill a process, all that it started, and their groups: a kernel leads one, with its training workers."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in reversed([process, *process.children(recursive=True)]):
            with suppress(OSError):
                os.killpg(os.getpgid(each.pid), signal.SIGKILL)


def memory_mb(pid: int) -> int:
    """Sum the resident memory of all that a process started, in MB; what they share counts for each. 0 at its end."""
    with suppress(psutil.Error):
        return round(sum(p.memory_info().rss for p in psutil.Process(pid).children(recursive=True)) / 1e6)
    return 0


# ---- The parent: starts, watches, judges, publishes


def run(jobs: Sequence[Job], side_by_side: int, threads: int) -> None:
    """Run the notebooks that are not up to date, so many at a time, and publish those that are complete."""
    waiting, running, shown = list(jobs), [], time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < side_by_side:
                if start(job := waiting.pop(0), threads):
                    running.append(job)
            if running:
                select.select([job.child.stdout for job in running], [], [], 0.5)
            for job in list(running):
                over = job.child.poll() is not None  # asked before its last words are read
                job.heard += (job.child.stdout.read() or b"").decode(errors="replace")
                job.peak_mb = max(job.peak_mb, memory_mb(job.child.pid))
                if over:
                    running.remove(job)
                    end(job)
            if running and (sys.stdout.isatty() or time.monotonic() - shown > 20):
                shown = time.monotonic()
                show(running)
    except BaseException:
        for job in running:
            kill(job.child.pid)
        raise


def show(running: Sequence[Job]) -> None:
    """Print in one line, which a terminal shows over again, each notebook's cell, time, and what its training says."""
    parts = []
    for job in running:
        about = f" of about {clock(job.expected)}" if job.expected else ""
        parts += [f"[{job.number}] {job.name}", *(CELL.findall(job.heard) or ["starting"])[-1:]]
        parts.append(clock(time.monotonic() - job.started) + about)
        with suppress(OSError, IndexError):
            parts.append((job.staging / "progress.log").read_text().splitlines()[-1])
    line, columns = "  ".join(parts), shutil.get_terminal_size().columns
    print(*([f"\r\x1b[K{line[: columns - 1]}"] if sys.stdout.isatty() else [f"    {line}\n"]), end="", flush=True)


def clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def start(job: Job, threads: int) -> bool:
    """Start a notebook in a process of its own; False where it is up to date, or its results could not be written."""
    with suppress(OSError, ValueError):
        job.expected = read_json(job.folder / "record.json")["seconds"]
    job.say(f": took {clock(job.expected)} the last time" if job.expected else "")
    try:
        # Read before the run: what is edited during it counts as a change.
        job.fingerprint, job.source = nb.fingerprint(job.path, job.values), nb.read(job.path)
        if not records.stale_because(job.fingerprint, job.folder):
            job.verdict, job.record = "up to date", records.read(job.folder)
            job.say(": up to date")
            return False
        # Whether the results can be written is seen before the run, not after it.
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=job.folder.parent):
            records.recover(job.folder.parent)
        shutil.rmtree(job.staging, ignore_errors=True)
        with replacing(job.staging / "source.ipynb") as beside:
            nbformat.write(job.source, beside)
    except (OSError, ValueError) as error:
        job.verdict = f"{job.name}: cannot write: {error}. It was not run"
        job.say(f": FAILED. {job.verdict}")
        return False
    defaults = nb.parameters(job.source)
    given = {name: value for name, value in job.values.items() if value != defaults.get(name)}
    env = numerics.environment(nb.numerics_asked(job.values), threads) | {"MPLBACKEND": "agg"}
    env |= {"PAPER_OUT": str(job.staging), "PAPER_PROGRESS": str(job.staging / "progress.log")}
    # As in Jupyter, which starts in notebooks/: there draw/ lies.
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "notebooks"), *filter(None, [env.get("PYTHONPATH")])])
    # Threads that wait by spinning for long take the processor from each other as soon as anything else runs here;
    # none at all costs much too. Measured on training steps of notebook 1, alone and beside another process.
    env["GOMP_SPINCOUNT"] = "100000"
    command = [sys.executable, "-m", "reproduce", "execute", str(job.staging), job.name, repr(given)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    job.started = time.monotonic()
    # In a session of its own: Ctrl-C reaches this process alone, which ends the child.
    job.child = subprocess.Popen(command, env=env, start_new_session=True, bufsize=0, **pipes)
    os.set_blocking(job.child.stdout.fileno(), False)
    return True


def end(job: Job) -> None:
    """Judge what a child left, and publish it where it is complete."""
    job.seconds = time.monotonic() - job.started
    said = [line for line in CELL.sub("", job.heard).splitlines() if line.strip()]
    errors = [*said[-8:], f"exit status {job.child.returncode}"] if job.child.returncode else []
    try:
        cells = nb.code_cells(executed := nbformat.read(job.executed, 4))
        job.cells = len(cells)
        job.record = read_json(job.staging / "record.json") if (job.staging / "record.json").exists() else {}
        job.verdict = judge(executed, job)
        if job.ok and not errors:
            cost = {"seconds": round(job.seconds, 1), "peak_mb": job.peak_mb}
            job.record = records.complete(job.record, job.values, job.fingerprint, cost)
            job.folder = job.place(job.record) / job.name
            records.publish(job.record, job.staging, job.folder, executed)
    except (OSError, ValueError) as error:
        ran = f"The notebook itself ran: its figures are in {relative(job.staging)}" if job.cells else "It did not run"
        job.verdict = f"{job.name}: cannot write or read: {error}. {ran}"
    if errors:
        job.verdict = "\n    ".join([f"{job.name}: the run broke off" if job.ok else job.verdict, *errors])
    if not job.ok:
        job.say(f": FAILED. {job.verdict}\n    as far as it came: {relative(job.executed)}")
        return
    # What it printed in capitals, "STAND-IN DATA: ...", whoever started the run must see too.
    printed = "".join(o.text for cell in cells for o in cell.outputs if o.get("name") == "stdout")
    loud = re.findall(r"^[A-Z][A-Z -]{7,}[,:] .*$", printed, re.MULTILINE)
    where = f"{job.record['stamp']}: {relative(job.folder)}".removeprefix(": ")
    done = f": complete in {job.seconds:.0f} s, {len(job.record['figures'])} figures ({where})"
    job.say("\n    ".join([done, *loud]))


def judge(executed: NotebookNode, job: Job) -> str:
    """Judge an executed notebook and its record: "complete", or the first thing that shows that it is not.

    Every code cell was executed, in order and without an error; results.finish wrote the record; this run wrote each
    figure, and captions and figures match. What goes to figures/ has every number that claims.yml names, and every
    member of a family that is there.
    """
    name, cells, record = job.name, nb.code_cells(executed), job.record
    for index, cell in enumerate(cells):
        error = next((output for output in cell.outputs if output.output_type == "error"), None)
        under = nb.headings(executed, executed.cells.index(cell))[-1:]
        where = f"{name}, code cell {index + 1} of {len(cells)}" + "".join(f", under {text!r}" for text in under)
        if error is not None:
            text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
            raised = re.search(r"Cell In\[\d+\], line (\d+)", text)  # the first frame is the cell's own
            here = [i for i, source in enumerate(job.source.cells) if source.source == cell.source]
            if raised and len(here) == 1 and (first := nb.first_line(job.path, here[0])):
                where += f", notebooks/{job.path.name} line {first + int(raised[1]) - 1}"
            lines = [line for line in text.splitlines() if line.strip()][-8:]
            return "\n    ".join([f"{where}: {error.ename}: {error.evalue}"[:900], *lines])
        if cell.execution_count is None:
            return f"{where}: was never executed (the kernel ended, or a cell before it stopped the run)"
        if cell.execution_count != index + 1:
            return f"{where}: executed as number {cell.execution_count}, out of order"
    if not record:
        return f"{name}: no record of the run was written: the last cell must call results.finish()"
    if record["notebook"] != name:
        return f"{name}: results.begin names another notebook, {record['notebook']}"
    if record["mode"] != job.values["MODE"]:
        return f"{name}: results.begin was given mode {record['mode']!r}, but MODE is {job.values['MODE']!r}"
    if foreign := [f for f, sha in records.pictures(record).items() if digest(job.staging / f) != sha]:
        return f"{name}: {', '.join(foreign)} was not written by this run"
    if wrong := nb.unmatched(executed, record["figures"]):
        return f"{name}: {'; '.join(wrong)}"
    if (folder := job.place(record) / name).parent == ROOT / "figures":
        if unrecorded := sorted(job.needed - record["numbers"].keys()):
            return f"{name}: claims.yml names numbers that were not recorded: {', '.join(unrecorded)}"
        there, found = {path.stem for path in folder.glob("*.png")}, nb.captions(executed)
        if lost := sorted(figure for figure in there - record["figures"].keys() if nb.head_of(figure, found)):
            meant = f"if that is meant, delete figures/{name}/{lost[0]}.png"
            return f"{name}: an earlier run wrote {', '.join(lost)}, this one did not; {meant}"
    return "complete"


def relative(path: Path) -> str:
    return os.path.relpath(path, ROOT)


def summary(jobs: Sequence[Job]) -> str:
    """Write the closing table: notebook, cells, minutes, peak memory, figures, numerics, verdict; last the machine."""
    rows, machines = [("notebook", "cells", "minutes", "peak MB", "figures", "numerics", "verdict")], []
    for job in jobs:
        minutes, figures = f"{job.seconds / 60:.1f}" if job.cells else "-", len(job.record.get("figures", {})) or "-"
        made = job.record.get("environment", {})
        cost = (job.cells or "-", minutes, job.record.get("peak_mb", "-"), figures, made.get("numerics", "-"))
        rows.append((job.name, *map(str, cost), job.verdict if job.ok else "FAILED"))
        machines += [f"{made['processor']}, threads {made['threads']}"] if made.get("processor") else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*table, *(f"on {machine}" for machine in dict.fromkeys(machines))])
