"""`reproduce` on throw-away notebooks: what counts as a run, and what must not; what runs again; where results go."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from throwaway import SAVE, change, notebook, packages, run, snapshot

from reproduce import notebook as nb
from reproduce import record
from reproduce import run as runner

CLAIMS = """originals: []
findings:
  - id: rises
    notebook: 01_try
    sentence: It rises.
    measured: {}
    at_least: 1
"""
FAMILY = "for i in range(int(SCALE)): results.save_figure(plt.figure(), f'map_{i}', alt='one of many maps')\n" + SAVE
HALF = SAVE + "\nimport os, pathlib\npathlib.Path(os.environ['PAPER_OUT'], 'curve.png').write_bytes(b'half')"
TWO = SAVE + f"\nfig, name = plt.figure(), 'ablation'\n{SAVE.replace(chr(34) + 'curve' + chr(34), 'name')}"
SLASH = SAVE.replace('"curve"', '"02_exit" + "/curve"')
# Each notebook that must not count as a run, and what the terminal must say of it.
POISONED = {
    "exit": ("raise SystemExit(0)", SAVE, ["The middle", "SystemExit"]),
    "killed": ("import os\nos.kill(os.getpid(), 9)", SAVE, ["The middle", "DeadKernelError"]),
    "error": ("1 / 0", SAVE, ["code cell 3 of 5", "The middle", "03_error.py line 20", "division by zero", "1 / 0"]),
    "unwritten": ("pass", "if SCALE < 0: " + SAVE, ["the caption `curve` names no figure that was written"]),
    "half": ("pass", HALF, ["curve.png was not written by this run"]),
    "uncaptioned": ("pass", TWO, ["figure ablation has no caption **Figure `ablation`.**"]),
    "unfinished": ("results.finish = lambda: None", SAVE, ["the last cell must call results.finish()"]),
    "slash": ("pass", SLASH, ["notebooks/08_slash.py line 25", "no folder, no ending; got '02_exit/curve'"]),
    "stolen": ("results._run.notebook = '01_exit'", SAVE, ["results.begin names another notebook, 01_exit"]),
    "mode": ("results._run.mode = 'quick'", SAVE, ["results.begin was given mode 'quick', but MODE is 'full'"]),
    "order": ("get_ipython().execution_count += 2", SAVE, ["executed as number", "out of order"]),
}
NAMES = {f"{number:02}_{name}": name for number, name in enumerate(POISONED, 1)}
FAST = ("01_exit", "02_killed", "03_error", "04_unwritten")


@pytest.fixture(scope="module")
def ran(request, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """A good notebook beside poisoned ones, all run by one command."""
    root = packages(tmp_path_factory.mktemp("poison"))
    for name in request.param:
        notebook(root, name, *POISONED[NAMES[name]][:2])
    notebook(root, "99_good")
    return root, run(root, "figures", MAKEFLAGS="-j3")


@pytest.mark.parametrize(
    "ran",
    [pytest.param(FAST, id="fast"), pytest.param(NAMES.keys() - FAST, id="others", marks=pytest.mark.slow)],
    indirect=True,
)
def test_a_poisoned_notebook_fails_publishes_nothing_and_says_where_and_what(ran):
    root, done = ran
    assert done.returncode == 1, done.stdout + done.stderr
    for name in (path.stem for path in nb.notebooks(root) if path.stem != "99_good"):
        assert re.search(rf"^{name} .*FAILED$", done.stdout, re.M)
        said = done.stdout[done.stdout.index(f"{name}: FAILED.") :].split("\n[")[0]
        for word in [*POISONED[NAMES[name]][2], f"build/staging/figures/{name}"]:
            assert word in said, said
        assert (root / "build" / "staging" / "figures" / name / f"{name}.ipynb").exists()
    assert re.search(r"^99_good +5 .*complete$", done.stdout, re.M), "the others do not keep a good one from its end"
    listed = {"99_good/curve.png", "99_good/curve.svg", "99_good/record.json"}
    assert snapshot(root / "figures").keys() == listed
    assert record.read(root / "figures" / "99_good")["numbers"] == {"x": 1.0}


@pytest.mark.parametrize(
    "words, message",
    [
        (["TOKN=jump"], "unknown parameter TOKN: this notebook knows MODE='full', SEED=0, TOKEN='swim', SCALE=1.0"),
        (["SEED=1.5"], "parameter SEED takes int (0 by default), got '1.5'"),
        (["NB=07"], "no notebook starts with '07': there are 01_try"),
        ([], "01_try: line 20: '!exit 3': a notebook has no shell lines or magics"),
        (["TOKEN=x"], "claims.yml, line 3 (rises): sentence: Field required"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_does(checkout, words, message):
    notebook(checkout, middle="!exit 3" if not words else "pass")
    (checkout / "claims.yml").write_text(CLAIMS.format("x").replace("sentence", "sentance"))
    done = run(checkout, "figures", *words)
    assert done.returncode == 2 and message in done.stderr, done
    assert not (checkout / "build").exists()


@pytest.mark.parametrize(
    "middle, save, named, message",
    [
        ("x = = 1", SAVE, "x", "01_try: invalid syntax"),
        ("pass", "plt.close(fig)", "x", "01_try: the caption `curve` names no figure that was written"),
        (
            "pass",
            SAVE.replace("curve", "ablation"),
            "x",
            "01_try: figure ablation has no caption **Figure `ablation`.**",
        ),
        (
            "pass",
            SAVE,
            "xx",
            "01_try: claims.yml names the number 'xx', which no results.record of the notebook records",
        ),
    ],
)
def test_what_could_not_end_well_is_named_in_seconds(checkout, middle, save, named, message):
    notebook(checkout, middle=middle, save=save)
    (checkout / "claims.yml").write_text(CLAIMS.format(named))
    done = run(checkout, "figures")
    assert done.returncode == 2 and message in done.stderr and not (checkout / "build").exists(), done


@pytest.mark.slow
def test_a_number_that_claims_name_is_recorded_or_the_run_fails(checkout):
    path = notebook(checkout)
    change(path, "results.record(x=SCALE)", "results.record(**{'x': SCALE})")
    (checkout / "claims.yml").write_text(CLAIMS.format("y"))
    done = run(checkout, "figures")
    assert done.returncode == 1 and "claims.yml names numbers that were not recorded: y" in done.stdout
    assert run(checkout, "quick").returncode == 0, "a quick run makes no claim"
    (checkout / "claims.yml").write_text(CLAIMS.format("x"))
    (checkout / "README.md").write_text("<!-- headlines: written by make verify -->\n<!-- end of headlines -->\n")
    done = run(checkout, "figures")
    assert done.returncode == 0 and "01_try: 1 of 1 claims are as stated" in done.stdout, done.stdout
    assert (checkout / "CLAIMS.md").exists()
    (checkout / "claims.yml").write_text(CLAIMS.format("x").replace("at_least: 1", "at_least: 2"))
    told = run(checkout, "figures")
    assert told.returncode == 0 and "    MISSED rises: 1, at least 2; before 1" in told.stdout, "told, not an error"
    assert (checkout / "build/executed/figures/01_try.comparison.md").read_text() in told.stdout
    judged = run(checkout, "verify")
    assert judged.returncode == 1 and "MISSED            1; at least 2  rises" in judged.stdout


@pytest.mark.slow
def test_a_family_that_loses_a_member_fails_until_its_picture_is_deleted(checkout):
    path = notebook(checkout, save=FAMILY)
    change(path, "# **Figure `curve`", "# **Figure `map_*`.** One map.\n#\n# **Figure `curve`")
    change(path, "SCALE = 1.0", "SCALE = 3.0")
    assert run(checkout, "figures").returncode == 0
    change(path, "SCALE = 3.0", "SCALE = 1.0")
    before = snapshot(checkout / "figures")
    done = run(checkout, "figures")
    said = "an earlier run wrote map_1, map_2, this one did not; if that is meant, delete figures/01_try/map_1.png"
    assert done.returncode == 1 and said in done.stdout and snapshot(checkout / "figures") == before
    for lost in ("map_1", "map_2"):
        (checkout / "figures" / "01_try" / f"{lost}.png").unlink()
    assert run(checkout, "figures").returncode == 0
    change(path, "SCALE = 1.0", "SCALE = 0.0")
    assert "the caption `map_*` names no figure" in run(checkout, "figures").stdout, "a family has a member"


@pytest.mark.parametrize(
    "words, source, place",
    [
        pytest.param(["quick"], "exact", "build/quick", marks=pytest.mark.slow),
        (["figures"], "uci-digits", "build/stand-in"),
        pytest.param(["figures", "SCALE=3"], "exact", "build/variants", marks=pytest.mark.slow),
        pytest.param(["figures"], "exact", "figures", marks=pytest.mark.slow),
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
    # What a real run made stands; by the next run there may be the real data.
    again = "complete in" if place == "build/stand-in" else "up to date"
    assert again in run(checkout, *words).stdout


@pytest.mark.slow
def test_a_page_lies_beside_the_figures_and_counts_as_one_of_them(checkout):
    page = "import plotly.graph_objects as go\nresults.save_page(go.Figure(), 'turn', alt='a page')\n" + SAVE
    notebook(checkout, save=page)
    for command, place in (("quick", "build/quick/01_try/pages"), ("figures", "figures/01_try/pages")):
        assert run(checkout, command).returncode == 0
        assert sorted(p.name for p in (checkout / place).iterdir()) == ["plotly.min.js", "turn.html"]
    assert record.problems(checkout) == []
    (checkout / "figures" / "01_try" / "pages" / "turn.html").unlink()
    assert run(checkout, "why").stdout == "01_try: would run: pages/turn.html is missing or altered\n"


def test_reasons_to_run_again(checkout, monkeypatch):
    helper = "from paper_utils import helper"
    path = notebook(checkout, middle=helper, files='{"data.txt": "900150983cd24fb0d6963f7d28e17f72"}')
    (checkout / "data").mkdir()
    (checkout / "data" / "data.txt").write_bytes(b"abc")
    (checkout / "paper_utils" / "helper.py").write_text("FACTOR = 2\n")
    monkeypatch.setattr(record, "data_folder", lambda: checkout / "data")
    assert run(checkout, "figures").returncode == 0

    def why(**other) -> list[str]:
        values = nb.parameters(nb.read(path)) | other
        return record.stale_because(nb.fingerprint(path, values, checkout), checkout / "figures" / "01_try", checkout)

    for touched in checkout.rglob("*.*"):
        os.utime(touched)
    assert why() == [], "touched is not changed"
    assert why(SCALE=2.0) == ["parameters changed"]
    for file, old, new, reasons in (
        ("notebooks/01_try.py", "## The middle", "## Another heading", []),
        ("notebooks/01_try.py", "# rises.", "# falls.", []),
        ("notebooks/01_try.py", "SCALE = 1.0", "SCALE = 2.0", ["code changed", "parameters changed"]),
        ("paper_utils/helper.py", "2", "3", ["module helper changed"]),
        ("paper_utils/helper.py", "2", "2  # two", []),
        ("paper_utils/bilinear.py", "1e-3", "2e-3", []),  # the notebook did not load it
        ("data/data.txt", "abc", "abd", ["input file data.txt changed"]),
        ("figures/01_try/curve.svg", "<svg", "< svg", ["curve.svg is missing or altered"]),
        ("figures/01_try/record.json", '"x": 1.0', '"x": 2.0', ["record.json is missing or altered"]),
    ):
        before = (checkout / file).read_text()
        assert old in before
        (checkout / file).write_text(before.replace(old, new))
        assert why() == reasons, f"{new} in {file}"
        (checkout / file).write_text(before)
    assert run(checkout, "why").stdout == "01_try: up to date\n"
    again = run(checkout, "figures")
    assert again.returncode == 0 and "01_try: up to date\n" in again.stdout and "complete in" not in again.stdout
    (checkout / "build" / "executed" / "figures" / "01_try.ipynb").unlink()
    (checkout / "data" / "data.txt").unlink()
    assert why() == ["no run recorded here"] and record.problems(checkout) == [], "data are a matter of the machine"


@pytest.mark.parametrize(
    "flags, jobs",
    [
        ("", 1),
        ("-j --jobserver-auth=3,4", os.cpu_count()),
        ("-j2 --jobserver-auth=3,4", 2),
        ("k -j3", 3),
        (" -- NB=01", 1),
    ],
)
def test_jobs_are_makes(flags, jobs):
    assert runner.jobs_of(flags) == jobs
    assert runner.jobs_of(flags, 4) == (jobs if "-j" in flags else 4)


def test_memory_is_that_of_all_that_a_process_started():
    hold = "x = bytearray(200_000_000)"
    child = f"{hold}; print(flush=True); input()"
    code = "import subprocess, sys; " + "subprocess.Popen([sys.executable, '-c', sys.argv[1]]); " * 2 + "input()"
    command = [sys.executable, "-c", code, child]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(2):
            process.stdout.readline()
        assert 400 < runner.memory_mb(process.pid) < 500
        process.communicate("\n\n\n")
    assert runner.memory_mb(process.pid) == 0


def test_the_committed_notebook_takes_the_outputs_of_the_last_full_run(checkout):
    noise = "import sys, time\nprint('noise of a library', file=sys.stderr)\n"
    loud = "STAND-IN DATA: nobody answers."
    path = notebook(checkout, middle=noise + f"print('first\\n{loud}', flush=True)\ntime.sleep(0.5)\nprint('kept')")
    said = run(checkout, "figures").stdout.splitlines()
    assert f"    {loud}" in said and "first" not in said, "what it says in capitals is said on the terminal too"
    assert run(checkout, "notebooks").returncode == 0
    text = path.with_suffix(".ipynb").read_text()
    assert "image/png" in text
    streams = [o for c in json.loads(text)["cells"] for o in c.get("outputs", []) if o["output_type"] == "stream"]
    assert ["first\n", f"{loud}\n", "kept\n"] in [o["text"] for o in streams], "one output, however many chunks"
    assert '"noise of a library\\n"' not in text and str(checkout) not in text and "papermill" not in text
    assert run(checkout, "notebooks").returncode == 0 and path.with_suffix(".ipynb").read_text() == text
    change(path, "# rises.", "# rises, says its caption.")
    notebook(checkout, "02_other")
    done = run(checkout, "notebooks", "NB=01")
    assert done.returncode == 0, "02_other, which never ran, is not asked for"
    words = path.with_suffix(".ipynb").read_text()
    assert "rises, says its caption." in words and "image/png" in words, "prose needs no run"
    both = run(checkout, "notebooks")
    assert both.returncode == 1 and "02_other: no full run" in both.stdout and "01_try" not in both.stdout
    change(path, "print('kept')", "print('new')")
    stale = run(checkout, "notebooks")
    assert stale.returncode == 1 and "no full run on the real data of its code as it is" in stale.stdout
