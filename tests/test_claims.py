import re

import pytest
import yaml

from paper_utils import claims

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


def load(tmp_path, *entries):
    path = tmp_path / "claims.yml"
    path.write_text(yaml.safe_dump(list(entries)))
    return claims.load(path)


@pytest.mark.parametrize("value, expected", [(0.98, True), (0.971, True), (0.969, False), (0.9901, False)])
def test_a_number_is_held_against_its_tolerance(tmp_path, value, expected):
    (claim,) = load(tmp_path, GOOD)
    assert claims.holds(claim, {"01_try": {"accuracy": value}}) is expected


def test_the_readmes_tables_are_whole_and_made_anew(tmp_path):
    entry = GOOD | {"sentence": "A mean |cos| of 0.98.", "figure": "curve", "headline": True, "seed_value": 0.9}
    stated, numbers = load(tmp_path, entry), {"01_try": {"accuracy": 0.98}}
    readme = "top\n"
    for marker in ("headlines", "claims"):
        readme += f"<!-- {marker}: written by make verify -->\nold\n<!-- end of {marker} -->\n"
    text = claims.write_readme(readme, stated, numbers, {"01_try": {"peak_mb": 1500}})
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [6] * 6 and "old" not in text
    assert "0.98 | 0.9 | 1.5 GB" in rows[2] and "0.97 to 0.99 | 0.9 | [curve]" in rows[5]
    assert claims.write_readme(text, stated, numbers, {"01_try": {"peak_mb": 1500}}) == text
    with pytest.raises(ValueError, match="markers"):
        claims.write_readme("no markers", stated, numbers, {"01_try": {"peak_mb": 1500}})


def test_a_range(tmp_path):
    entry = {k: v for k, v in GOOD.items() if k not in ("expected", "tolerance")} | {"range": [0.9, 1]}
    (claim,) = load(tmp_path, entry)
    assert (claim.low, claim.high) == (0.9, 1)


def test_a_perturbed_number_fails_exactly_its_claim(tmp_path):
    stated = load(tmp_path, GOOD, GOOD | {"id": "b", "key": "loss", "expected": 1.0})
    numbers = {"01_try": {"accuracy": 0.98, "loss": 1.0}}
    assert claims.tally(stated, numbers, "01_try") == ([], 2)
    numbers["01_try"]["loss"] = 1.02
    assert claims.tally(stated, numbers, "01_try") == (["b"], 2)


def test_a_claim_of_the_seed_that_is_not_met_is_kept_and_judged(tmp_path):
    (claim,) = load(tmp_path, GOOD | {"met": False, "reason": "another initialisation", "source": "seed"})
    assert claims.tally([claim], {"01_try": {"accuracy": 0.5}}, "01_try") == ([], 1)
    assert claims.tally([claim], {"01_try": {"accuracy": 0.98}}, "01_try") == (["a"], 1)


def test_an_unrecorded_number_is_named(tmp_path):
    (claim,) = load(tmp_path, GOOD)
    with pytest.raises(KeyError, match="claim a: no number 'accuracy'"):
        claims.holds(claim, {"01_try": {}})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kind": "certain"}, "kind must be one of"),
        ({"surprise": 1}, "unknown surprise"),
        ({"range": [0, 1]}, "either range"),
        ({"kind": "statistical"}, "seeds and its error_bar"),
        ({"met": False}, "reason"),
        ({"expected": "high"}, "are numbers"),
        ({"tolerance": -1.0}, "upside down"),
    ],
)
def test_a_malformed_claim_names_file_and_claim(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path, GOOD | change)
    assert "claims.yml, claim 1 (a)" in str(error.value)


def test_malformed_files(tmp_path):
    with pytest.raises(ValueError, match="stand twice: a"):
        load(tmp_path, GOOD, GOOD)
    with pytest.raises(ValueError, match="lacks kind"):
        load(tmp_path, {k: v for k, v in GOOD.items() if k != "kind"})
    (tmp_path / "claims.yml").write_text("- id: [")
    with pytest.raises(ValueError, match=r"(?s)claims\.yml is no valid YAML.*line 1"):
        claims.load(tmp_path / "claims.yml")
    (tmp_path / "claims.yml").write_text("id: a")
    with pytest.raises(ValueError, match="must be a list"):
        claims.load(tmp_path / "claims.yml")
