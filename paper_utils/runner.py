"""Runs notebooks headless and decides, from what was executed and written, whether each really ran.

Called by the Makefile: `python -m paper_utils.runner figures|quick|why|notebooks [NB=01] [PARAMETER=value ...]`. No
torch here: the decision that nothing has to run must take no time.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import papermill
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.log import logger as papermill_log

from paper_utils import claims, gallery, manifest, sources
from paper_utils.files import ROOT, digest, replacing
from paper_utils.publishing import (
    outputs,
    place,
    prepare,
    publish,
    refresh,
    stale_because,
    stamp_path,
    update_captions,
)
from paper_utils.sources import code_cells, fingerprint, notebooks, parameters, parse_parameters, read

# Runs in the kernel before the first cell: IPython itself lets a failing shell line pass.
STRICT_SHELL = "from paper_utils.shell import strict_shell; strict_shell(get_ipython()); del strict_shell"


@dataclass
class Outcome:
    """What became of one notebook in one invocation."""

    name: str
    verdict: str = "complete"  # "complete", "up to date", or what went wrong
    cells: int = 0
    seconds: float = 0.0
    account: dict = field(default_factory=dict)
    published: Path | None = None

    @property
    def ok(self) -> bool:
        return self.verdict in ("complete", "up to date")


class Engine(NBClientEngine):
    """papermill's engine with a kernel of this very interpreter over ipc, and a word at each cell's start."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *, env, name, on_cell, kernels, **kwargs):
        # ipc: no port that another process could take between choosing and binding it. Its path must stay short.
        with tempfile.TemporaryDirectory(prefix="paper-") as folder:
            km = AsyncKernelManager(transport="ipc", ip=f"{folder}/k", connection_file=f"{folder}/c.json")
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            km._kernel_spec = KernelSpec(
                argv=[*command, f"--IPKernelApp.exec_lines={STRICT_SHELL}"],
                display_name="Python 3",
                language="python",
                env=env,
            )
            client = PapermillNotebookClient(
                nb_man, km=km, kernel_name=kernel_name, log=papermill_log, timeout=None, startup_timeout=60
            )
            client.owns_km = True  # so that the kernel is shut down however the run ends
            client.on_cell_start = lambda cell, cell_index: on_cell(cell_index)
            kernels[name] = km
            try:
                client.execute()
            finally:
                del kernels[name]


papermill_engines.register("paper", Engine)


def judge(notebook: NotebookNode, path: Path, staging: Path) -> str:
    """The verdict on the executed notebook of `path`: "complete", or the first thing that shows it is not.

    Complete means: every code cell has a count, the counts are 1, 2, 3, ..., no output is an error, the last cell
    printed the sentinel, and every figure that the account names was written by this run, by a cell that says so.
    """
    name, cells = path.stem, code_cells(notebook)
    for index, cell in enumerate(cells):
        error = next((o for o in cell.outputs if o.output_type == "error"), None)
        heading = sources.heading(notebook, notebook.cells.index(cell))
        where = f"{name}, code cell {index + 1} of {len(cells)}" + (f", under {heading!r}" if heading else "")
        if error is not None:
            text = _plain("\n".join(error.traceback))
            lines = [line for line in text.splitlines() if line.strip()][-8:]
            said = f"{where}{_line(path, cell, text)}: {error.ename}: {error.evalue}"
            return "\n    ".join([said[:900], *lines])
        if cell.execution_count is None:
            return f"{where}: was never executed (the kernel ended, or a cell before it stopped the run)"
        if cell.execution_count != index + 1:
            return f"{where}: executed as number {cell.execution_count}, out of order"
    account = read_account(staging)
    if account is None:
        return f"{name}: no account of the run was written: the last cell must call results.finish()"
    printed = "".join(o.get("text", "") for o in cells[-1].outputs if o.output_type == "stream")
    if account["sentinel"] not in printed:
        return f"{name}: the last cell did not print {account['sentinel']!r}"
    if untold := account["figures"].keys() - manifest.written_by(notebook):
        return f"{name}: no cell's output says that it wrote {', '.join(sorted(untold))}"
    for figure, entry in account["figures"].items():
        for file, expected in entry["files"].items():
            if digest(staging / file) != expected:
                return f"{name}: figure {figure}: {file} was not written by this run"
    return "complete"


def loud(notebook: NotebookNode) -> list[str]:
    """What the notebook printed in capitals, "STAND-IN DATA: ...": whoever started the run must see that too."""
    printed = [o.text for c in code_cells(notebook) for o in c.outputs if o.get("name") == "stdout"]
    return re.findall(r"^[A-Z][A-Z -]{7,}[,:] .*$", "".join(printed), re.MULTILINE)


def _line(path: Path, cell: NotebookNode, traceback: str) -> str:
    """Where in the .py the error came from, ", notebooks/01_try.py line 30"; empty where that cannot be told."""
    here = [index for index, c in enumerate(read(path).cells) if c.source == cell.source]
    raised = re.findall(r"Cell In\[\d+\], line (\d+)", traceback)
    first = sources.first_line(path, here[0]) if len(here) == 1 and raised else None
    # The first frame is the cell's own; a function of an earlier cell would come after it.
    return f", notebooks/{path.name} line {first + int(raised[0]) - 1}" if first else ""


def read_account(folder: Path) -> dict | None:
    """What results.finish() wrote, or None where it never came to that."""
    path = folder / "run.json"
    return json.loads(path.read_text()) if path.exists() else None


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def execute(
    path: Path, notebook: NotebookNode, values: Mapping[str, object], staging: Path, threads: int, show: "Progress"
) -> tuple[NotebookNode, str]:
    """Run the notebook read from `path` in a kernel of its own; the executed one, and the verdict on it."""
    name = path.stem
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    source, executed = staging / "source.ipynb", staging / f"{name}.ipynb"
    nbformat.write(notebook, source)
    env = {
        "PAPER_OUT": str(staging),
        "PAPER_PROGRESS": str(staging / "progress.log"),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # Threads that wait by spinning for long steal the processor from each other as soon as anything else runs here;
        # none at all costs much too. Measured on training steps of notebook 1, alone and beside another process.
        "GOMP_SPINCOUNT": "100000",
        "MPLBACKEND": "agg",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    total = len(notebook.cells) + bool(values)  # papermill adds a cell of its own where a parameter is given
    failure = ""
    # A kernel that does not come up is a matter of the machine and gets a second chance; one that dies later does not.
    for attempt in (1, 2):
        try:
            papermill.execute_notebook(
                str(source),
                str(executed),
                dict(values),
                engine_name="paper",
                kernel_name="python3",
                progress_bar=False,
                request_save_on_cell_execute=True,
                env=env,
                name=name,
                on_cell=lambda index: show.cell(name, index, total),
                kernels=show.kernels,
            )
        except papermill.PapermillExecutionError:
            pass  # judged below from the notebook, like everything else
        except Exception as error:
            failure = f"{name}: {type(error).__name__}: {error}"
        done = _read_executed(executed)
        started = done is not None and any(c.execution_count for c in code_cells(done))
        if started or not failure or show.interrupted or attempt == 2:
            break
        failure = ""
    if done is None:
        return notebook, failure or f"{name}: papermill left no notebook that can be read"
    verdict = judge(done, path, staging)
    if failure and verdict != "complete":
        verdict = f"{verdict}\n    {failure}"
    return done, failure if verdict == "complete" and failure else verdict


def _read_executed(path: Path) -> NotebookNode | None:
    """The notebook as papermill left it; None where it left none, or half of one on a full disk."""
    try:
        return nbformat.read(path, 4)
    except (OSError, ValueError):
        return None


class Progress:
    """One line on the terminal for what is running now: notebook k of n, cell i of m, and what the training says."""

    def __init__(self, total: int) -> None:
        self.total, self.interrupted = total, False
        self.kernels: dict[str, AsyncKernelManager] = {}
        self.peaks: dict[str, int] = {}  # the most memory, in MB, that each notebook's processes were seen to hold
        self._running: dict[str, tuple[int, str, Path]] = {}
        self._started = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def begin(self, name: str, staging: Path) -> None:
        self._go_on()
        with self._lock:
            self._started += 1
            self._running[name] = (self._started, "starting", staging / "progress.log")
        self.say(f"[{self._running[name][0]}/{self.total}] {name}")

    def cell(self, name: str, index: int, total: int) -> None:
        self._go_on()
        with self._lock:
            k, _, log = self._running[name]
            log.unlink(missing_ok=True)
            self._running[name] = (k, f"cell {index + 1}/{total}", log)

    def end(self, name: str, line: str) -> None:
        with self._lock:
            k, _, _ = self._running.pop(name)
        self.say(f"[{k}/{self.total}] {name}: {line}")

    def stop(self) -> None:
        """Let no further notebook and no further cell start, and kill the kernels that run."""
        self.interrupted = True
        for pid in self._processes().values():
            os.kill(pid, signal.SIGKILL)

    def say(self, line: str) -> None:
        # One write: two notebooks that end together would mix their lines.
        print(("\r\x1b[K" if sys.stdout.isatty() else "") + f"{line}\n", end="", flush=True)

    def _go_on(self) -> None:
        # A kernel that was just starting when Ctrl-C came has no process to kill yet: it stops at its first cell.
        if self.interrupted:
            raise InterruptedError("interrupted")

    def _processes(self) -> dict[str, int]:
        started = {name: km.provisioner.process for name, km in list(self.kernels.items()) if km.provisioner}
        return {name: process.pid for name, process in started.items() if process}

    def _watch(self) -> None:
        live, said = sys.stdout.isatty(), time.monotonic()
        while not self._over.wait(0.5):
            for name, pid in self._processes().items():
                self.peaks[name] = max(self.peaks.get(name, 0), memory_mb(pid))
            if not live and time.monotonic() - said < 20:
                continue
            said = time.monotonic()
            with self._lock:
                lines = [
                    f"[{k}/{self.total}] {n}  {cell}  {_last_line(log)}" for n, (k, cell, log) in self._running.items()
                ]
            if live and lines:
                width = shutil.get_terminal_size().columns - 1
                print(f"\r\x1b[K{' | '.join(lines)[:width]}", end="", flush=True)
            elif lines:
                print("\n".join(f"    {line}" for line in lines), flush=True)


def memory_mb(pid: int) -> int:
    """Resident memory of a process and all it started, in MB; what they share counts for each. 0 once it is over."""
    try:
        process = psutil.Process(pid)
        return round(sum(p.memory_info().rss for p in [process, *process.children(recursive=True)]) / 1e6)
    except psutil.Error:
        return 0


def _last_line(path: Path) -> str:
    try:
        return path.read_text().splitlines()[-1]
    except (OSError, IndexError):
        return ""


def run_one(path: Path, values: Mapping[str, object], changed: bool, threads: int, show: Progress) -> Outcome:
    """Run one notebook unless its figures are up to date, judge it, publish it."""
    name, started = path.stem, time.monotonic()
    aim = place({"mode": values["MODE"], "stamp": ""}, changed)
    outcome = Outcome(name, published=aim)
    show.begin(name, staging := ROOT / "build" / "staging" / name)
    try:
        if not stale_because(path, values, aim / name):
            outcome.verdict = "up to date"
            outcome.account = json.loads(stamp_path(name, aim / name).read_text())["account"]
            renewed = update_captions(outcome.account, aim, read(path))
            show.end(name, "up to date" + (", its captions brought into the manifest" if renewed else ""))
            return outcome
        prepare(aim)
    except (OSError, ValueError) as error:
        outcome.verdict = f"{name}: cannot write to {_relative(aim)}: {error}. It was not run"
        show.end(name, f"FAILED. {outcome.verdict}")
        return outcome
    # As they are now: whoever edits the notebook while it runs has another one.
    before, source = fingerprint(path, values), read(path)
    given = {k: v for k, v in values.items() if v != parameters(source)[k]}
    kept = staging / f"{name}.ipynb"
    try:
        notebook, outcome.verdict = execute(path, source, given, staging, threads, show)
        outcome.seconds, outcome.cells = time.monotonic() - started, len(code_cells(notebook))
        if outcome.ok:
            account = outcome.account = read_account(staging) | {"cells": manifest.written_by(notebook)}
            # The whole run's: from the kernel's start, and with the processes that it trained in.
            account["seconds"] = round(outcome.seconds, 1)
            account["peak_mb"] = max(account["peak_mb"], show.peaks.get(name, 0))
            outcome.published = out = place(account, changed)
            prepare(out)
            publish(account, staging, out, manifest.entry(account, source, values, before))
            kept = ROOT / "build" / "executed" / out.name / f"{name}.ipynb"
            with replacing(kept) as beside:
                nbformat.write(notebook, beside)
            stamp = {
                "fingerprint": before,
                "stand_in": "stand-in" in account["stamp"],
                "files": account["files"],
                "outputs": outputs(account),
            }
            with replacing(stamp_path(name, aim / name)) as beside:
                beside.write_text(json.dumps({**stamp, "account": account}))
    except (OSError, ValueError) as error:
        ran = f"The notebook itself ran: its figures are in {_relative(staging)}" if outcome.cells else "It did not run"
        outcome.verdict = f"{name}: cannot write: {error}. {ran}"
    if outcome.ok:
        note = f" ({account['stamp']}: {_relative(out)})" if account["stamp"] else f" ({_relative(out / name)})"
        said = f"complete in {outcome.seconds:.0f} s, {len(account['figures'])} figures{note}"
        show.end(name, "\n    ".join([said, *loud(notebook)]))
    else:
        show.end(name, f"FAILED. {outcome.verdict}\n    as far as it came: {_relative(kept)}")
    return outcome


def _relative(path: Path) -> str:
    return os.path.relpath(path, ROOT)


def summary(outcomes: Sequence[Outcome], stated: list[claims.Claim]) -> str:
    """The closing table: notebook, cells, minutes, peak memory, figures, claims as stated, verdict."""
    rows = [("notebook", "cells", "minutes", "peak MB", "figures", "claims", "verdict")]
    for o in outcomes:
        judged = "-"
        if o.ok and o.published == ROOT / "figures":
            off, total = claims.tally(stated, claims.read_numbers(ROOT / "figures"), o.name)
            judged = f"{total - len(off)}/{total}" + (f" (not: {', '.join(off)})" if off else "")
        verdict = o.verdict if o.ok else "FAILED"
        minutes = f"{o.seconds / 60:.1f}" if o.cells else "-"
        cells, figures = str(o.cells or "-"), str(len(o.account.get("figures", {})) or "-")
        rows.append((o.name, cells, minutes, str(o.account.get("peak_mb", "-")), figures, judged, verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock of this checkout; a second command says who holds it, and waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            print(
                f"another run is going on here (process {file.read().strip() or 'unknown'}): waiting for it", flush=True
            )
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def jobs_of(flags: str, default: int = 1) -> int:
    """How many notebooks side by side: make's -j, else `default`."""
    found = re.search(r"(?:^|\s)-j ?(\d+)", flags)
    return int(found[1]) if found else os.cpu_count() or 1 if re.search(r"(?:^|\s)-j(\s|$)", flags) else default


def main(words: Sequence[str]) -> int:
    command, *rest = words or ["help"]
    # make passes every variable of its command line; these are its own.
    given = dict(word.split("=", 1) for word in rest if not word.startswith(("PYTHON=", "N=", "URL=", "SCHEDULER=")))
    pattern = given.pop("NB", "")
    if command == "notebooks":
        problems = refresh()
        print("\n".join(problems) or "notebooks/*.ipynb hold the last full run")
        return 1 if problems else 0
    if command not in ("figures", "quick", "why"):
        print(__doc__)
        return 2
    todo = []
    try:
        chosen = notebooks(pattern=pattern)
        # Read before anything runs: a slip in it should not show after twenty minutes.
        stated = claims.load(ROOT / "claims.yml") if (ROOT / "claims.yml").exists() else []
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for path in chosen:
        try:
            known = parameters(read(path))
            if "MODE" not in known:
                raise ValueError("the parameters cell must set MODE")
            mode = {"MODE": "quick"} if command == "quick" else {}
            own = parse_parameters(given, known)
        except ValueError as error:
            print(f"{path.stem}: {error}", file=sys.stderr)
            return 2
        todo.append((path, {**known, **mode, **own}, bool(own)))
    if command == "why":
        for path, values, changed in todo:
            reasons = stale_because(path, values, place({"mode": values["MODE"], "stamp": ""}, changed) / path.stem)
            print(f"{path.stem}: {'would run: ' + '; '.join(reasons) if reasons else 'up to date'}")
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Quick runs mostly start up and import, which more threads do not speed up: one notebook a core.
    jobs = min(jobs_of(os.environ.get("MAKEFLAGS", ""), cores if command == "quick" else 1), len(todo))
    threads = max(1, cores // jobs)
    try:
        with only_one(ROOT / "build" / "lock"), Progress(len(todo)) as show, ThreadPoolExecutor(jobs) as pool:
            try:  # with the first notebook already running, an interrupt must find its way to it
                futures = [pool.submit(run_one, path, values, changed, threads, show) for path, values, changed in todo]
                outcomes = [future.result() for future in futures]
            except KeyboardInterrupt:
                show.stop()
                raise
    except KeyboardInterrupt:
        print("\ninterrupted: nothing half-written; the same command goes on where this one stopped")
        return 130
    print("\n" + summary(outcomes, stated))
    if any(outcome.ok and outcome.published == ROOT / "figures" for outcome in outcomes):
        try:
            gallery.write(ROOT)
        except (OSError, ValueError) as error:
            print(f"the gallery cannot be made: {error}", file=sys.stderr)
            return 1
    return 0 if all(outcome.ok for outcome in outcomes) else 1


if __name__ == "__main__":
    papermill_log.setLevel("ERROR")
    sys.exit(main(sys.argv[1:]))
