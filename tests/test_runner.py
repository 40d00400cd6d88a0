"""The runner on throw-away notebooks: what counts as a run, and what must not."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from throwaway import SAVE, change, notebook, run, snapshot

from paper_utils import publishing, runner, sources


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """A good notebook beside every poisoned one, all run by one command."""
    root = tmp_path_factory.mktemp("poison")
    (root / "notebooks").mkdir()
    shutil.copytree(runner.ROOT / "paper_utils", root / "paper_utils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(runner.ROOT / "requirements.lock", root / "requirements.lock")
    for number, (name, poison) in enumerate(POISONED.items(), 1):
        notebook(root, f"{number:02}_{name}", **poison)
    return root, run(root, "figures", MAKEFLAGS="-j2")


POISONED = {
    "good": {},
    "exit": {"middle": "raise SystemExit(0)"},
    "quit": {"middle": "import os\nos._exit(0)"},
    "shell": {"middle": "get_ipython().system('exit 3')"},
    "killed": {"middle": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"},
    "unwritten": {"save": "plt.close(fig)"},
    "error": {"middle": "1 / 0"},
    "half": {"save": SAVE + '\n(results._run.folder / "curve.png").write_bytes(b"half")'},
    "silent": {"middle": "import builtins\nbuiltins.print = lambda *a, **k: None"},
    "syntax": {"middle": "x = = 1"},
    "slash": {"save": SAVE.replace('"curve"', '"02_exit/curve"')},
    "foreign": {"save": SAVE.replace('"curve"', '"ablation"')},
    "unknown": {"save": SAVE + '\nresults.record("y", 1)'},
    "captured": {"save": "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    " + SAVE},
}


def test_the_good_one_is_published_and_the_command_fails_for_the_others(ran):
    root, done = ran
    assert done.returncode == 1, done.stdout + done.stderr
    assert sorted(p.name for p in (root / "figures" / "01_good").iterdir()) == ["curve.png", "curve.svg"]
    assert json.loads((root / "figures" / "numbers.json").read_text()) == {"01_good": {"x": 1.0}}
    entry = json.loads((root / "figures" / "manifest.json").read_text())["01_good"]
    assert entry["mode"] == "full" and entry["source"] == "exact" and entry["figures"]["curve"]["alt"]
    assert "complete" in next(row for row in done.stdout.splitlines() if row.startswith("01_good "))
    assert "01_good/curve.svg" in (root / "figures" / "index.html").read_text()


@pytest.mark.parametrize("number, name", [(n, name) for n, name in enumerate(POISONED, 1) if name != "good"])
def test_a_poisoned_notebook_fails_and_publishes_nothing(ran, number, name):
    root, done = ran
    full = f"{number:02}_{name}"
    row = next(row for row in done.stdout.splitlines() if row.startswith(full + " "))
    assert row.endswith("FAILED")
    assert f"{full}: FAILED." in done.stdout
    assert not (root / "figures" / full).exists()
    assert (root / "build" / "staging" / full / f"{full}.ipynb").exists()


@pytest.mark.parametrize(
    "name, words",
    [
        ("02_exit", ["The middle"]),
        ("03_quit", ["The middle", "never executed"]),
        ("04_shell", ["The middle", "CalledProcessError", "exit status 3"]),
        ("05_killed", ["The middle", "DeadKernelError"]),
        ("06_unwritten", ["declared but not written: figure curve"]),
        (
            "07_error",
            [
                "code cell 3 of 5",
                "The middle",
                "notebooks/07_error.py line 27",
                "ZeroDivisionError: division by zero",
                "1 / 0",
            ],
        ),
        ("08_half", ["curve.png was not written by this run"]),
        ("10_syntax", ["code cell 3 of 5", "SyntaxError", "notebooks/10_syntax.py line 27"]),
        ("11_slash", ["notebooks/11_slash.py line 32", "no folder, no ending; got '02_exit/curve'"]),
        (
            "12_foreign",
            ["12_foreign.py line 32", "'ablation' is not declared in begin(figures=...): ['curve']"],
        ),
        ("13_unknown", ["notebooks/13_unknown.py line 33", "'y' is not declared in begin(numbers=...): ['x']"]),
        ("14_captured", ["no cell's output says that it wrote curve"]),
    ],
)
def test_a_failure_says_where_and_what(ran, name, words):
    text = ran[1].stdout
    said = text[text.index(f"{name}: FAILED.") :].split("\n[")[0]
    for word in [*words, f"build/staging/{name}"]:
        assert word in said, said


def test_a_shell_line_that_works_is_no_failure(checkout):
    notebook(
        checkout,
        middle="get_ipython().system('echo from the shell')\nassert get_ipython().getoutput('echo a') == ['a']",
    )
    done = run(checkout, "figures")
    assert done.returncode == 0, done.stdout


# ---- parameters


@pytest.mark.parametrize(
    "words, message",
    [
        (["TOKN=jump"], "unknown parameter TOKN: this notebook knows MODE='full', SEED=0, TOKEN='swim', SCALE=1.0"),
        (["SEED=a"], "parameter SEED takes int (0 by default), got 'a'"),
        (["SEED=1.5"], "parameter SEED takes int"),
        (["NB=07"], "no notebook starts with '07': there are 01_try"),
    ],
)
def test_a_mistyped_parameter_is_refused_before_a_kernel_starts(checkout, words, message):
    notebook(checkout)
    done = run(checkout, "figures", *words)
    assert done.returncode == 2 and message in done.stderr, done
    assert not (checkout / "build").exists()


def test_values_take_the_type_of_the_default():
    known = {"TOKEN": "swim", "SEED": 0, "SCALE": 1.0, "WORDS": ["a"], "FLAG": True}
    given = {"TOKEN": "3", "SEED": "7", "SCALE": "2", "WORDS": "['b', 'c']", "FLAG": "False"}
    assert sources.parse_parameters(given, known) == {
        "TOKEN": "3",
        "SEED": 7,
        "SCALE": 2.0,
        "WORDS": ["b", "c"],
        "FLAG": False,
    }


@pytest.mark.parametrize("line", ["MODE = str(1)", "import os", "A = B = 1 + x"])
def test_the_parameters_cell_holds_literals_only(checkout, line):
    path = notebook(checkout)
    path.write_text(path.read_text().replace("SEED = 0", line))
    with pytest.raises(ValueError, match="literal"):
        sources.parameters(sources.read(path))


# ---- up to date, by content; and where figures go


def test_what_runs_again_and_what_does_not(checkout, monkeypatch):
    path = notebook(checkout, files='{"data.txt": "900150983cd24fb0d6963f7d28e17f72"}')
    (checkout / "data").mkdir()
    (checkout / "data" / "data.txt").write_bytes(b"abc")
    monkeypatch.setenv("PAPER_DATA", str(checkout / "data"))
    assert run(checkout, "figures").returncode == 0

    def why(**changed_parameters) -> list[str]:
        values = sources.parameters(sources.read(path)) | changed_parameters
        return publishing.stale_because(path, values, checkout / "figures" / "01_try", checkout)

    def after(file: Path, old: str, new: str) -> list[str]:
        before = file.read_text()
        assert old in before
        file.write_text(before.replace(old, new))
        answer = why()
        file.write_text(before)
        return answer

    package = checkout / "paper_utils"
    assert why() == []
    os.utime(path)
    assert why() == [], "a touched file has not changed"
    assert after(path, "## The middle", "## Another caption") == []
    assert after(path, "SCALE = 1.0", "SCALE = 2.0") == ["code changed", "parameters changed"]
    assert why(SCALE=2.0) == ["parameters changed"]
    assert after(package / "results.py", '"""What a', '"""Whatever a') == ["module results changed"]
    assert after(package / "bilinear.py", '"""Bilinear', '"""bilinear') == [], "the notebook does not reach it"
    assert after(checkout / "requirements.lock", "torch==", "torch== ") == ["lock changed"]
    assert after(checkout / "data" / "data.txt", "abc", "abd") == ["input file data.txt changed"]
    assert after(checkout / "figures" / "01_try" / "curve.svg", "<svg", "< svg") == ["curve.svg is missing or altered"]
    assert run(checkout, "why").stdout == "01_try: up to date\n"
    second = run(checkout, "figures")
    assert second.returncode == 0 and "up to date" in second.stdout and "complete in" not in second.stdout


@pytest.mark.parametrize(
    "words, source, place",
    [
        (["quick"], '"exact"', "build/quick"),
        (["figures"], '"uci-digits"', "build/stand-in"),
        (["figures", "SCALE=3"], '"exact"', "build/variants"),
        (["figures"], '"exact"', "figures"),
    ],
)
def test_only_the_papers_own_run_writes_figures(checkout, words, source, place):
    notebook(checkout, source=source)
    (checkout / "figures" / "01_try").mkdir(parents=True)
    (checkout / "figures" / "01_try" / "curve.png").write_text("the old figure")
    done = run(checkout, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (checkout / place / "01_try" / "curve.svg").exists()
    kept = (checkout / "figures" / "01_try" / "curve.png").read_bytes() == b"the old figure"
    assert kept is (place != "figures")


@pytest.mark.parametrize("command", ["figures", "quick"])
def test_what_was_made_of_stand_in_data_is_made_again(checkout, command):
    """By then there may be the real data: a run of old says nothing about that."""
    notebook(checkout, source='"uci-digits"')
    for _ in range(2):
        assert "complete in" in run(checkout, command).stdout


def test_what_a_notebook_says_in_capitals_is_said_on_the_terminal_too(checkout):
    said = "STAND-IN DATA: nobody answers. Going on with the UCI digits."
    notebook(checkout, middle=f'print("SEED: 3")\nprint("quiet")\nprint("{said}")')
    lines = run(checkout, "figures").stdout.splitlines()
    assert f"    {said}" in lines and not any("quiet" in line or "SEED: 3" in line for line in lines)


@pytest.mark.parametrize("values", [{}, {"SEED": 3}])
def test_the_last_cell_is_counted_as_the_last(checkout, values):
    """papermill adds a cell where a parameter is given: "cell 9/8" would be shown."""
    path, seen = notebook(checkout), []
    show = SimpleNamespace(
        cell=lambda name, index, total: seen.append((index + 1, total)), kernels={}, interrupted=False
    )
    runner.execute(path, runner.read(path), values, checkout / "staging", 1, show)
    assert seen[-1][0] == seen[-1][1]


def executed(root: Path) -> set[str]:
    """The notebooks that `make figures` executes now."""
    done = run(root, "figures", MAKEFLAGS="-j2")
    assert done.returncode == 0, done.stdout + done.stderr
    ran = set(re.findall(r"^\[\d/\d\] (\w+): complete in", done.stdout, re.M))
    up_to_date = set(re.findall(r"^\[\d/\d\] (\w+): up to date", done.stdout, re.M))
    assert ran | up_to_date == {"01_data", "02_helper"} and not ran & up_to_date
    return ran


def test_what_make_figures_executes(checkout):
    """DESIGN's sentences on what is up to date, by the runs themselves: one notebook reads data, the other a helper."""
    (checkout / "data").mkdir()
    (checkout / "data" / "data.txt").write_bytes(b"abc")
    (checkout / "paper_utils" / "helper.py").write_text("FACTOR = 2\n")
    digest = "hashlib.md5(pathlib.Path(os.environ['PAPER_DATA'], 'data.txt').read_bytes()).hexdigest()"
    data = notebook(checkout, "01_data", files=f"{{'data.txt': {digest}}}")
    change(data, "import matplotlib", "import hashlib, os, pathlib\nimport matplotlib")
    helper = notebook(checkout, "02_helper", middle="from paper_utils import helper\nSCALE = SCALE * helper.FACTOR")
    both = {"01_data", "02_helper"}

    def entry() -> dict:
        return json.loads((checkout / "figures" / "manifest.json").read_text())["01_data"]

    assert executed(checkout) == both
    assert executed(checkout) == set(), "nothing changed"
    for path in checkout.rglob("*.*"):
        os.utime(path)
    assert executed(checkout) == set(), "touched is not changed"

    before, run_of = snapshot(checkout / "figures"), entry()
    change(data, "# rises.", "# rises steeply.")
    change(data, "# %% [markdown]\n# ## The middle", "# %% [markdown]\n# New.\n\n# %% [markdown]\n# ## The centre")
    assert executed(checkout) == set(), "a caption, another paragraph and a heading are no code"
    curve = entry()["figures"]["curve"]
    assert curve["caption"] == "A line that rises steeply." and curve["cell"] == {"index": 6, "heading": "The centre"}
    run_of["figures"]["curve"] |= {"caption": curve["caption"], "cell": curve["cell"]}
    assert entry() == run_of, "and nothing else of the manifest moved"
    after = snapshot(checkout / "figures")
    assert {name for name in before if before[name] != after[name]} == {"manifest.json", "index.html"}

    change(checkout / "paper_utils" / "helper.py", "2", "3")
    assert executed(checkout) == {"02_helper"}, "the notebook that imports the helper and no other"
    change(checkout / "paper_utils" / "bilinear.py", '"""Bilinear', '"""The bilinear')
    assert executed(checkout) == set(), "a module that no notebook reaches"
    (checkout / "data" / "data.txt").write_bytes(b"abd")
    assert executed(checkout) == {"01_data"}, "the notebook that read the data"
    change(helper, "SCALE = 1.0", "SCALE = 1.5")
    assert executed(checkout) == {"02_helper"}, "a parameter"
    (checkout / "figures" / "02_helper" / "curve.png").unlink()
    assert executed(checkout) == {"02_helper"}, "a figure that is gone"
    (checkout / "figures" / "numbers.json").unlink()
    assert executed(checkout) == both, "the numbers that are gone"
    change(checkout / "requirements.lock", "\ntorch==", "\ntorch>=")
    assert executed(checkout) == both, "the lock"
    assert json.loads((checkout / "figures" / "numbers.json").read_text()) == {
        "01_data": {"x": 1.0}, "02_helper": {"x": 4.5}
    }  # fmt: skip


def test_a_malformed_claim_is_refused_before_anything_runs(checkout):
    notebook(checkout)
    (checkout / "claims.yml").write_text("- id: a\n  sentance: It rises.\n")
    done = run(checkout, "figures")
    assert done.returncode == 2 and "claims.yml, line 1 (claim a): lacks sentence" in done.stderr
    assert not (checkout / "figures").exists() and not (checkout / "build").exists()


def test_modules_are_followed_through_each_other(checkout):
    path = notebook(checkout, middle="from paper_utils.bilinear import BilinearMLP")
    reached = [m.stem for m in sources.modules_reached(sources.read(path), checkout)]
    assert reached == ["bilinear", "files", "results", "training"]


@pytest.mark.parametrize(
    "line",
    [
        "from paper_utils import bilinear, files",
        "from . import bilinear, files",
        "from .bilinear import x\nfrom .files import y",
        "import paper_utils.bilinear, paper_utils.files",
        "!pip install x\nimport torch\nfrom paper_utils.bilinear import x\nfrom paper_utils.files import *",
    ],
)
def test_every_way_to_import_is_seen(line):
    assert sources.imported_modules(line) == {"bilinear", "files"}


@pytest.mark.parametrize("flags, jobs", [("", 1), ("-j2 --jobserver-auth=3,4", 2), ("k -j3", 3), (" -- NB=01", 1)])
def test_jobs_are_makes(flags, jobs):
    assert runner.jobs_of(flags) == jobs
    assert runner.jobs_of(flags, 4) == (4 if jobs == 1 else jobs)


def test_memory_is_that_of_a_process_and_all_it_started():
    hold = "x = bytearray(200_000_000)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); {hold}; print(); input()"
    child = f"{hold}; print(flush=True); input()"
    command = [sys.executable, "-c", code, child]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(2):
            process.stdout.readline()
        assert 400 < runner.memory_mb(process.pid) < 500
        process.communicate("\n\n")
    assert runner.memory_mb(process.pid) == 0


def test_a_second_command_waits_and_says_for_whom(tmp_path):
    lock = tmp_path / "lock"
    with runner.only_one(lock):
        code = "import sys, pathlib\nfrom paper_utils import runner\n"
        code += "with runner.only_one(pathlib.Path(sys.argv[1])): print('in')"
        waiting = subprocess.Popen(
            [sys.executable, "-u", "-c", code, str(lock)], stdout=subprocess.PIPE, text=True, cwd=runner.ROOT
        )
        first = waiting.stdout.readline()
        assert f"process {os.getpid()}" in first
    assert waiting.communicate(timeout=300)[0] == "in\n"


def test_the_committed_notebook_takes_the_outputs_of_the_last_full_run(checkout):
    noise = "import sys, time\nprint('noise of a library', file=sys.stderr)\n"
    path = notebook(checkout, middle=noise + "print('first', flush=True)\ntime.sleep(0.5)\nprint('kept')")
    assert run(checkout, "figures").returncode == 0
    assert run(checkout, "notebooks").returncode == 0
    text = path.with_suffix(".ipynb").read_text()
    assert "image/png" in text and '"first\\n",' in text and '"kept\\n"' in text
    streams = [o for c in json.loads(text)["cells"] for o in c.get("outputs", []) if o["output_type"] == "stream"]
    assert ["first\n", "kept\n"] in [o["text"] for o in streams], "one output, however many chunks the kernel sent"
    assert '"noise of a library\\n"' not in text and str(checkout) not in text and "papermill" not in text
    first = text
    assert run(checkout, "notebooks").returncode == 0 and path.with_suffix(".ipynb").read_text() == first
    path.write_text(path.read_text().replace("print('kept')", "print('new')"))
    stale = run(checkout, "notebooks")
    assert stale.returncode == 1 and "its code changed since the last full run" in stale.stdout
