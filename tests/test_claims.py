import json
import math
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from paper_utils import claims, verify
from paper_utils.files import ROOT

GOOD = {
    "id": "a",
    "sentence": "The model is 98 % right.",
    "notebook": "01_try",
    "key": "accuracy",
    "expected": 0.98,
    "tolerance": 0.01,
    "kind": "tolerance",
    "source": "ours",
}
RANGE = {k: v for k, v in GOOD.items() if k not in ("expected", "tolerance")} | {"range": [0.9, 1]}


def load(tmp_path, *entries):
    path = tmp_path / "claims.yml"
    path.write_text(yaml.safe_dump(list(entries), sort_keys=False))
    return claims.load(path)


# ---- judged


@pytest.mark.parametrize("value, expected", [(0.98, True), (0.971, True), (0.969, False), (0.9901, False)])
def test_a_number_is_held_against_its_tolerance(tmp_path, value, expected):
    (claim,) = load(tmp_path, GOOD)
    assert claims.holds(claim, {"01_try": {"accuracy": value}}) is expected


def test_a_range(tmp_path):
    (claim,) = load(tmp_path, RANGE)
    assert (claim.low, claim.high) == (0.9, 1)


def test_what_a_number_must_be_is_shown_as_it_was_stated(tmp_path):
    tight, bitwise = GOOD | {"expected": 5.066e-6, "tolerance": 5e-10}, GOOD | {"kind": "bitwise", "expected": 8}
    del bitwise["tolerance"]
    shown = [claim.bound for claim in load(tmp_path, tight, RANGE | {"id": "b"}, bitwise | {"id": "c"})]
    assert shown == ["5.066e-06 ± 5e-10", "0.9 to 1", "8"]


def test_a_claim_of_the_seed_that_is_not_met_is_kept_and_judged(tmp_path):
    (claim,) = load(tmp_path, GOOD | {"met": False, "reason": "another initialisation", "source": "seed"})
    assert claims.tally([claim], {"01_try": {"accuracy": 0.5}}, "01_try") == ([], 1)
    assert claims.tally([claim], {"01_try": {"accuracy": 0.98}}, "01_try") == (["a"], 1)
    printed, missed = verify.report([claim], {"01_try": {"accuracy": 0.5}})
    assert missed == 0 and "not met, as stated" in printed and "a: another initialisation" in printed


def test_an_unrecorded_number_is_named_and_does_not_turn_out(tmp_path):
    (claim,) = load(tmp_path, GOOD)
    with pytest.raises(KeyError, match=r"claims\.yml, line 4 \(claim a\): no number 'accuracy' of 01_try"):
        claims.holds(claim, {"01_try": {}})
    assert claims.tally([claim], {"01_try": {}}, "01_try") == (["a"], 1)


ACCURACY = {"values": [0.9, 1.0, 0.95], "mean": 0.95, "sd": 0.05, "se": 0.03, "n": 3}


@pytest.mark.parametrize(
    "statistic, value", [("mean", 0.95), ("sd", 0.05), ("se", 0.03), ("min", 0.9), ("max", 1.0), ("n", 3)]
)
def test_a_statistical_claim_reads_the_repetition_over_seeds(tmp_path, statistic, value):
    (tmp_path / "numbers.json").write_text('{"01_try": {"accuracy": 0.99}}')
    (tmp_path / "seeds.json").write_text(json.dumps({"01_try": {"measures": {"accuracy": ACCURACY}}}))
    entry = GOOD | {"kind": "statistical", "seeds": [0, 1, 2], "error_bar": "standard deviation", "file": "seeds.json"}
    (claim,) = load(tmp_path, entry | {"key": f"accuracy.{statistic}", "expected": value, "tolerance": 0})
    numbers = claims.read_numbers(tmp_path)
    assert numbers["01_try"]["accuracy"] == 0.99 and claims.holds(claim, numbers)
    numbers["01_try"][f"accuracy.{statistic}"] += 0.01
    assert not claims.holds(claim, numbers)


STATED = claims.load(ROOT / "claims.yml")
NUMBERS = claims.read_numbers(ROOT / "figures")


@pytest.mark.parametrize("claim", STATED, ids=lambda claim: claim.id)
def test_a_perturbed_number_fails_exactly_its_claim(claim):
    """For every claim of the paper: its number moved over the nearer end of its range, all others as recorded."""
    value = NUMBERS[claim.notebook][claim.key]
    if claim.met:
        over, under = math.nextafter(claim.high, math.inf), math.nextafter(claim.low, -math.inf)
        moved = over if abs(over - value) <= abs(under - value) else under
    else:  # said not to be met: it fails as soon as the number does meet it
        moved = claim.low if value < claim.low else claim.high
    perturbed = NUMBERS | {claim.notebook: NUMBERS[claim.notebook] | {claim.key: moved}}
    names = {c.notebook for c in STATED}
    failing = lambda numbers: [i for name in names for i in claims.tally(STATED, numbers, name)[0]]  # noqa: E731
    assert failing(NUMBERS) == []
    # Where two claims read one number (ours, and the seed's that is not met), the other may rightly fail with it.
    readers = [c.id for c in STATED if (c.notebook, c.key) == (claim.notebook, claim.key)]
    assert claim.id in failing(perturbed) and set(failing(perturbed)) <= set(readers)
    if len(readers) == 1:
        assert failing(perturbed) == [claim.id]


# ---- the README


def test_the_readmes_tables_are_whole_and_made_anew(tmp_path):
    entry = GOOD | {"sentence": "A mean |cos| of 0.98.", "figure": "curve", "headline": True, "seed_value": 0.9}
    stated, numbers = load(tmp_path, entry), {"01_try": {"accuracy": 0.98}}
    readme = "top\n"
    for marker in ("headlines", "claims"):
        readme += f"<!-- {marker}: written by make verify -->\nold\n<!-- end of {marker} -->\n"
    account = {"01_try": {"seconds": 90, "peak_mb": 1500, "weights": {"a.safetensors": "trained"}}}
    text = verify.write_readme(readme, stated, numbers, account)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [7] * 7 and "old" not in text
    assert "0.98 | 0.9 | 1.5 | 1.5 GB" in rows[2] and "0.98 ± 0.01 | tolerance | 0.9 | [curve]" in rows[6]
    assert verify.write_readme(text, stated, numbers, account) == text
    with pytest.raises(ValueError, match="markers"):
        verify.write_readme("no markers", stated, numbers, account)


def test_minutes_add_up_and_say_where_weights_were_there_before():
    runs = [{"seconds": 90, "weights": {}}, {"seconds": 60, "weights": {"a": "trained", "b": "trained"}}]
    assert verify.minutes(runs) == "2.5"
    assert verify.minutes([*runs, {"seconds": 30, "weights": {"a": "trained", "b": "kept"}}]) == "3.0 (weights kept)"


# ---- the schema: what is wrong is named with its file and line


@pytest.mark.parametrize(
    "change, line, message",
    [
        ({"kind": "certain"}, 7, "kind must be one of bitwise, tolerance, statistical, not 'certain'"),
        ({"source": "rumour"}, 8, "source must be one of seed, published, ours, not 'rumour'"),
        ({"surprise": 1}, 9, "unknown field surprise; known: id, sentence"),
        ({"toleranz": 1}, 9, r"unknown field toleranz \(near: tolerance\)"),
        ({"range": [0, 1]}, 9, "either range"),
        ({"kind": "statistical"}, 7, "seeds and its error_bar"),
        ({"kind": "bitwise"}, 7, "no tolerance"),
        ({"met": False}, 9, "reason"),
        ({"met": "no"}, 9, "met must be of type bool, is 'no'"),
        ({"headline": True}, 9, "names the figure"),
        ({"key": 3}, 4, "key must be of type str, is 3"),
        ({"expected": "high"}, 5, "expected must be of type int or float, is 'high'"),
        ({"expected": True}, 5, "expected must be of type int or float, is True"),
        ({"tolerance": -1.0}, 5, "no range"),
        ({"expected": math.nan}, 5, "no range"),
        ({"key": "accuracy.mean"}, 4, "key of numbers.json is a plain name"),
        ({"file": "seeds.json"}, 4, "MEASURE.STATISTIC"),
        ({"file": "seeds.json", "key": "accuracy.median"}, 4, "mean, sd, se, n, min, max; got 'accuracy.median'"),
        ({"file": "other.json"}, 9, "file must be one of numbers.json, seeds.json"),
    ],
)  # fmt: skip
def test_a_malformed_claim_names_file_line_and_claim(tmp_path, change, line, message):
    with pytest.raises(ValueError, match=rf"^claims\.yml, line {line} \(claim a\): .*{message}"):
        load(tmp_path, GOOD | change)


@pytest.mark.parametrize("ends", [[1, 0], [0], [0, 1, 2], ["low", "high"], [0, True], [0, math.inf]])
def test_a_range_is_two_numbers_in_order(tmp_path, ends):
    with pytest.raises(ValueError, match=r"^claims\.yml, line 7 \(claim a\): .*range"):
        load(tmp_path, RANGE | {"range": ends})


def test_malformed_files(tmp_path):
    path = tmp_path / "claims.yml"
    with pytest.raises(ValueError, match=r"^claims\.yml, line 9 \(claim a\): the id stands twice, first in line 1"):
        load(tmp_path, GOOD, dict(GOOD))
    with pytest.raises(ValueError, match=r"^claims\.yml, line 9 \(claim b\): lacks kind"):
        load(tmp_path, GOOD, {k: v for k, v in GOOD.items() if k != "kind"} | {"id": "b"})
    path.write_text("- id: [")
    with pytest.raises(ValueError, match=r"(?s)^claims\.yml is no valid YAML.*line 1"):
        claims.load(path)
    path.write_text("# no list\nid: a")
    with pytest.raises(ValueError, match=r"^claims\.yml, line 2: must be a list"):
        claims.load(path)
    path.write_text("- a claim\n")
    with pytest.raises(ValueError, match=r"^claims\.yml, line 1: a claim must be a mapping"):
        claims.load(path)
    path.write_text("- id: a\n  key: b\n  key: c\n")
    with pytest.raises(ValueError, match=r"^claims\.yml, line 3 \(claim a\): key stands twice"):
        claims.load(path)


# ---- make verify, on a copy of what is committed


@pytest.fixture
def copy(tmp_path):
    """The committed figures, notebooks and claims, and nothing else: what `make verify` may look at."""
    for folder in ("figures", "notebooks", "paper_utils", "checkpoints"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
    for file in ("claims.yml", "README.md", "requirements.lock"):
        shutil.copyfile(ROOT / file, tmp_path / file)
    return tmp_path


def run_verify(root, capsys):
    status = verify.main(root)
    said = capsys.readouterr()
    return status, said.out + said.err


def test_verify_counts_a_perturbed_number_and_writes_it_into_the_readme(copy, capsys):
    claim = next(c for c in STATED if c.met)
    perturbed = NUMBERS | {claim.notebook: NUMBERS[claim.notebook] | {claim.key: claim.high + 1.0}}
    (copy / "figures" / "numbers.json").write_text(json.dumps(perturbed))
    status, said = run_verify(copy, capsys)
    assert status == 1 and [line.split()[-1] for line in said.splitlines() if "MISSED" in line] == [claim.id]
    assert f"{len(STATED) - 1} of {len(STATED)} claims turn out as stated" in said
    row = next(row for row in (copy / "README.md").read_text().splitlines() if "**MISSED**" in row)
    assert row.startswith(f"| {claim.sentence}")


def test_verify_needs_neither_torch_nor_a_plot_and_is_quick(copy):
    code = "import sys; from paper_utils import verify; verify.main(); "
    code += "sys.exit(len({'torch', 'matplotlib', 'numpy', 'papermill'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0 and "claims turn out as stated" in done.stdout, done


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("key: test_accuracy\n", "key: tset_accuracy\n", r"has no number 'tset_accuracy' \(near: test_accuracy"),
        ("figure: training_curves\n", "figure: ablation\n", r"no figure 'ablation' \(it is one of 04_dihedral"),
        ("figure: training_curves\n", "figure: a/b\n", "01_mnist_bilinear has no figure 'a/b'"),
        ("notebook: 01_mnist_bilinear\n", "notebook: 01_mnist\n", r"no run of 01_mnist is on record \(near: .*01_mn"),
    ],
)  # fmt: skip
def test_a_claim_of_what_does_not_exist_is_named_with_its_line(copy, capsys, old, new, message):
    text = (copy / "claims.yml").read_text()
    line = text[: text.index(old)].count("\n") + 1
    (copy / "claims.yml").write_text(text.replace(old, new, 1))
    before = (copy / "README.md").read_text()
    status, said = run_verify(copy, capsys)
    assert status == 2 and re.search(rf"claims\.yml, line {line} \(claim bilinear-accuracy\): .*{message}", said), said
    assert (copy / "README.md").read_text() == before


@pytest.mark.parametrize("name", ["numbers.json", "manifest.json", "seeds.json"])
def test_a_damaged_account_is_named_with_its_line(copy, capsys, name):
    (copy / "figures" / name).write_text('{\n "01_mnist_bilinear": {\n')
    status, said = run_verify(copy, capsys)
    assert status == 2 and f"{name} is no valid JSON" in said and "line 3" in said


@pytest.mark.parametrize(
    "entry, words",
    [
        ({"range": [0.98, 1]}, "0.98 to 1"),
        ({"expected": 0.88, "tolerance": 0.01}, "0.88 ± 0.01"),
        ({"expected": 5.066e-06, "tolerance": 1e-10}, "5.066e-06 ± 1e-10"),
        ({"expected": 5506.7, "tolerance": 953.0}, "5506.7 ± 953"),
        ({"expected": 8}, "8"),
    ],
)
def test_bounds_are_shown_as_claims_yml_puts_them(tmp_path, entry, words):
    assert (
        load(tmp_path, {k: v for k, v in GOOD.items() if k not in ("range", "expected", "tolerance")} | entry)[0].bound
        == words
    )
