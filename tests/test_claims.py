"""claims.yml: what is wrong is named with its line; each verdict; every finding of the paper can fail."""

import math
import re
from pathlib import Path

import pytest
import yaml

from paper_utils.files import ROOT
from reproduce import claims

FINDING = yaml.safe_load("{id: a, notebook: 01_try, sentence: It is right., measured: accuracy, at_least: 0.98}")
ORIGINAL = yaml.safe_load("{id: b, notebook: 01_try, statement: 147 are live., measured: live, within: [140, 154]}")
ORIGINAL |= {"verdict": "differs", "because": "Ours ran longer."}


def written(tmp_path: Path, *entries: dict) -> Path:
    path = tmp_path / "claims.yml"
    parts = {"originals": [e for e in entries if "statement" in e], "findings": [e for e in entries if "sentence" in e]}
    path.write_text(yaml.safe_dump(parts, sort_keys=False))
    return path


def load(tmp_path: Path, *entries: dict) -> list[claims.Claim]:
    return claims.load(written(tmp_path, *entries)).of()


def without(entry: dict, *fields: str) -> dict:
    return {key: value for key, value in entry.items() if key not in fields}


# ---- Read


def test_both_lists_are_read_with_their_lines(tmp_path):
    read = claims.load(written(tmp_path, FINDING, ORIGINAL))
    assert [claim.id for claim in read.originals] == ["b"] and [claim.id for claim in read.findings] == ["a"]
    assert (read.originals[0].text, read.findings[0].text) == (ORIGINAL["statement"], FINDING["sentence"])
    lines = (tmp_path / "claims.yml").read_text().splitlines()
    assert read.findings[0].where == f"claims.yml, line {lines.index('- id: a') + 1} (a)"


@pytest.mark.parametrize(
    "entry, message",
    [
        (FINDING | {"at_lest": 1}, r"at_lest: is no key here; known are id, .* \(near: at_least.*, is 1"),
        (without(FINDING, "notebook"), "notebook: Field required$"),
        (without(FINDING, "at_least"), "lacks at_least or at_most"),
        (FINDING | {"headline": True}, "lacks figure: a headline names"),
        (FINDING | {"sentence": 3}, "sentence: .*string, is 3"),
        (FINDING | {"at_least": True}, "at_least: .*a valid number or .*string, is True"),
        (FINDING | {"at_most": math.nan}, "at_most: .*a finite number or .*, is nan"),
        (ORIGINAL | {"verdict": "unmet"}, "'reproduced', 'differs' or 'not testable', is 'unmet'"),
        (without(ORIGINAL, "because"), "lacks because: the reason of the verdict 'differs'"),
        (without(ORIGINAL, "within"), "measured: NAME and within: .* go together"),
        (without(ORIGINAL, "measured"), "measured: NAME and within: .* go together"),
        (ORIGINAL | {"verdict": "not testable"}, "verdict must be reproduced or differs, since a number"),
        (ORIGINAL | {"within": [154, 140]}, r"within must be \[low, high\], is \[154.0, 140.0\]"),
        (ORIGINAL | {"within": [1, None]}, "within: .*number or .*, is None"),
    ],
)
def test_a_malformed_claim_names_file_line_and_id(tmp_path, entry, message):
    path = written(tmp_path, FINDING | {"id": "fine"}, entry)
    line = path.read_text().splitlines().index(f"- id: {entry['id']}") + 1
    with pytest.raises(ValueError, match=rf"^claims\.yml, line {line} \({entry['id']}\): .*{message}"):
        claims.load(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("originals: [", r"(?s)^claims\.yml is no valid YAML.*line 1"),
        ("- id: a", "^claims.yml: the file: .*dictionary"),
        ("originals: [a claim]\nfindings: []", "^claims.yml: originals: .*dictionary.*, is 'a claim'"),
        ("originals: []", "^claims.yml: findings: Field required"),
        ("originals: []\nfindings:\n- id: a\n  id: b", "^claims.yml, line 3: a key stands twice beside id"),
        (yaml.safe_dump({"originals": [ORIGINAL], "findings": [FINDING | {"id": "b"}]}), r"^an id .*\(b\); .*\(b\)$"),
        ("originals: []\nfindings:\n- {}", r"^claims.yml, line 3 \(None\): id: Field required"),
    ],
)
def test_a_malformed_file(tmp_path, text, message):
    (tmp_path / "claims.yml").write_text(text)
    with pytest.raises(ValueError, match=message):
        claims.load(tmp_path / "claims.yml")


# ---- Judged


@pytest.mark.parametrize(
    "bounds, value, word",
    [
        ({"at_least": 0.98}, 0.98, "holds"),
        ({"at_least": 0.98}, 0.979, "MISSED"),
        ({"at_most": 0.98}, 0.981, "MISSED"),
        ({"at_least": 0.9, "at_most": 0.95}, 0.96, "MISSED"),
        ({"at_least": "random_share"}, 0.31, "holds"),
        ({"at_least": "random_share"}, 0.29, "MISSED"),
        ({"at_least": 0.98}, None, "NOT RECORDED"),
        ({"at_least": 0.98}, True, "NOT RECORDED"),
    ],
)
def test_a_finding_is_judged_by_its_bounds(tmp_path, bounds, value, word):
    (claim,) = load(tmp_path, without(FINDING, "at_least") | bounds)
    found = {"accuracy": value, "random_share": 0.3}
    assert claims.judge(claim, found) == word


@pytest.mark.parametrize(
    "verdict, live, word",
    [
        ("differs", 61, "differs"),
        ("differs", 147, "NOT DIFFERS"),
        ("reproduced", 147, "reproduced"),
        ("reproduced", 155, "NOT REPRODUCED"),
        ("reproduced", None, "NOT RECORDED"),
    ],
)
def test_the_verdict_on_a_statement_must_agree_with_the_number(tmp_path, verdict, live, word):
    (claim,) = load(tmp_path, ORIGINAL | {"verdict": verdict})
    assert claims.judge(claim, {"live": live}) == word
    (crossed,) = load(tmp_path, ORIGINAL | {"verdict": "differs", "within": ["high", "low"]})
    assert claims.judge(crossed, {"live": 61, "high": 154, "low": 140}) == "NOT DIFFERS", "nothing lies between them"
    (bare,) = load(tmp_path, without(ORIGINAL, "measured", "within") | {"verdict": "not testable"})
    assert claims.judge(bare, {}) == "not testable"


def test_with_each_every_value_is_judged_and_the_least_favourable_is_told(tmp_path):
    (claim,) = load(tmp_path, without(FINDING, "at_least") | {"each": "runs", "at_most": 0})
    assert claims.judge(claim, {"accuracy": [-0.4, -0.3]}) == "holds"
    assert claims.judge(claim, {"accuracy": [-0.4, 0.1, -0.3]}) == "MISSED"
    assert claims.least_favourable(claim, {"accuracy": [-0.4, 0.1, -0.3]}) == 0.1
    for wrong in (-0.4, [], [-0.4, "words"], None):
        assert claims.judge(claim, {"accuracy": wrong}) == "NOT RECORDED"
    (between,) = load(tmp_path, FINDING | {"each": "runs", "at_least": 0, "at_most": 1})
    assert claims.least_favourable(between, {"accuracy": [0.3, 0.9, 0.5]}) == 0.9
    assert claims.judge(load(tmp_path, FINDING)[0], {"accuracy": [0.99, 0.99]}) == "NOT RECORDED", "a list without each"


def test_each_notebook_has_its_own_claims_and_the_numbers_that_they_name(tmp_path):
    other = FINDING | {"id": "c", "at_least": "random_share", "notebook": "02_other"}
    stated = claims.load(written(tmp_path, FINDING, ORIGINAL, other))
    assert [claim.id for claim in stated.of("01_try")] == ["a", "b"]
    assert claims.needed(stated, "01_try") == {"accuracy", "live"}
    assert claims.needed(stated, "02_other") == {"accuracy", "random_share"}


RECORDS = {"01_try": {"numbers": {"accuracy": 0.99, "name": "head 2"}, "figures": {"curve": {}}}}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"notebook": "01_tri", "figure": None}, r"01_tri has no record '01_tri' \(near: 01_try\)"),
        ({"measured": "acuracy"}, r"01_try has no number 'acuracy' \(near: accuracy\)"),
        ({"at_most": "chance"}, "01_try has no number 'chance'"),
        ({"measured": "name"}, r"01_try must record 'name' as one number \(see `each`\)"),
        ({"each": "runs"}, "01_try must record 'accuracy' as a list of numbers, as each: runs asks for"),
        ({"figure": "curves"}, r"01_try has no figure 'curves' \(near: curve\)"),
    ],
)
def test_what_a_claim_names_must_be_there(tmp_path, change, message):
    stated = claims.load(written(tmp_path, FINDING | change))
    line, *_ = claims.unresolved(stated, RECORDS)
    assert re.fullmatch(rf"claims\.yml, line \d+ \(a\): {message}.*", line), line
    assert claims.unresolved(claims.load(written(tmp_path, FINDING | {"figure": "curve"})), RECORDS) == []


# ---- The paper's own: what they state, not what a run here left in figures/


STATED = claims.load(ROOT / "claims.yml")


def record(claim: claims.Claim, value: float) -> dict[str, object]:
    """Numbers with which a claim measures `value`, in one of its runs; bounds that are names lie at 0."""
    inside = inner(claim)
    numbers = {name: 0.0 for name in claim.names}
    return numbers | {claim.measured: [inside, value, inside] if claim.each else value}


def ends(claim: claims.Claim) -> tuple[float | None, float | None]:
    return tuple(0.0 if isinstance(bound, str) else bound for bound in claim.bounds)


def inner(claim: claims.Claim) -> float:
    """A value within a claim's bounds."""
    low, high = ends(claim)
    return low + 1 if high is None else high - 1 if low is None else (low + high) / 2


@pytest.mark.parametrize("claim", [c for c in STATED.of() if c.measured], ids=lambda claim: claim.id)
def test_there_is_a_record_for_which_a_claim_fails_and_one_for_which_it_holds(claim):
    beyond = [
        math.nextafter(end, away)
        for end, away in zip(ends(claim), (-math.inf, math.inf), strict=True)
        if end is not None
    ]
    differs = getattr(claim, "verdict", "") == "differs"
    assert beyond
    for value in beyond:
        assert claims.judge(claim, record(claim, value)).isupper() is not differs
    assert claims.judge(claim, record(claim, inner(claim))).isupper() is differs


def test_each_notebook_has_a_headline_or_two():
    heads = [claim.notebook for claim in STATED.findings if claim.headline]
    names = {path.stem for path in (ROOT / "notebooks").glob("*.py")}
    assert set(heads) == names and max(map(heads.count, names)) <= 2
