"""claims.yml, read and judged by the records in figures/: what the original notebooks state, and what we found."""

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from paper_utils.files import read_json

Text = Annotated[str, Field(min_length=1)]
Bound = FiniteFloat | Text  # a number, or the name of a recorded one
Record = Mapping[str, Any]


class Claim(BaseModel):
    """What both kinds share. Each has `text`, and `bounds`: what the measured number lies between.

    With `each`, a unit such as "runs", the measured number is a list with a value for each, and all are judged.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    line: int  # of the file, given by the loader
    id: Text
    notebook: Text
    figure: Text | None = None
    measured: Text | None = None
    each: Text | None = None
    because: Text | None = None

    # The numbers that it reads: the measured one, and each bound that is a name.
    names = property(lambda self: [name for name in (self.measured, *self.bounds) if isinstance(name, str)])
    where = property(lambda self: f"claims.yml, line {self.line} ({self.id})")


class Original(Claim):
    """A statement or a number of an original notebook, with what became of it."""

    statement: Text
    value: int | FiniteFloat | Text | None = None
    within: Annotated[list[Bound], Field(min_length=2, max_length=2)] | None = None
    verdict: Literal["reproduced", "differs", "not testable"]
    text = property(lambda self: self.statement)
    bounds = property(lambda self: tuple(self.within or (None, None)))

    @model_validator(mode="after")
    def _consistent(self) -> "Original":
        numbers = [bound for bound in self.bounds if is_number(bound)]
        if (self.measured is None) != (self.within is None):
            raise ValueError("measured: NAME and within: [low, high] go together")
        if self.measured and self.verdict == "not testable":
            raise ValueError("verdict must be reproduced or differs, since a number is measured")
        if self.verdict != "reproduced" and not self.because:
            raise ValueError(f"lacks because: the reason of the verdict {self.verdict!r}")
        if numbers != sorted(numbers):
            raise ValueError(f"within must be [low, high], is {self.within}")
        return self


class Finding(Claim):
    """What we state; its test is the sentence."""

    sentence: Text
    measured: Text
    at_least: Bound | None = None
    at_most: Bound | None = None
    headline: bool = False
    original: int | FiniteFloat | Text | None = None
    text = property(lambda self: self.sentence)
    bounds = property(lambda self: (self.at_least, self.at_most))

    @model_validator(mode="after")
    def _consistent(self) -> "Finding":
        if self.bounds == (None, None):
            raise ValueError("lacks at_least or at_most: what the number must be")
        if self.headline and self.figure is None:
            raise ValueError("lacks figure: a headline names the one that shows it")
        return self


class Cover(BaseModel):
    """The title of a notebook's panel in README's picture: its figure `cover`."""

    model_config = ConfigDict(extra="forbid")
    line: int
    notebook: Text
    title: Text


class Claims(BaseModel):
    """All of claims.yml."""

    model_config = ConfigDict(extra="forbid")
    line: int
    covers: list[Cover] = []
    originals: list[Original]
    findings: list[Finding]

    def of(self, notebook: str | None = None) -> list[Claim]:
        return [claim for claim in (*self.findings, *self.originals) if notebook in (None, claim.notebook)]


class _Loader(yaml.SafeLoader):
    """Reads each mapping with the line at which it begins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        content = super().construct_mapping(node, deep=True)
        if len(content) < len(node.value):
            raise ValueError(
                f"claims.yml, line {node.start_mark.line + 1}: a key stands twice beside {', '.join(map(str, content))}"
            )
        return content | {"line": node.start_mark.line + 1}


def load(path: Path) -> Claims:
    """Read claims.yml; a ValueError names file, line, id and what is wrong."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # a SafeLoader
        claims = Claims.model_validate(content)
    except yaml.YAMLError as error:
        raise ValueError(f"claims.yml is no valid YAML: {error}") from error
    except ValidationError as error:
        raise ValueError(_told(content, error)) from error
    ids = [claim.id for claim in claims.of()]
    if twice := [claim.where for claim in claims.of() if ids.count(claim.id) > 1]:
        raise ValueError(f"an id stands twice: {'; '.join(twice)}")
    return claims


def _told(content: Any, error: ValidationError) -> str:
    """Put the first of pydantic's errors in words, with the line and id of its claim."""
    wrong = error.errors()[0]
    part, entry, field = (*wrong["loc"], None, None, None)[:3]
    # Of a field that may be one of several types, each type has an error of its own.
    right = " or ".join(each["msg"] for each in error.errors() if each["loc"][:3] == wrong["loc"][:3])
    if wrong["type"] == "extra_forbidden":
        known = {"originals": Original, "findings": Finding, "covers": Cover}.get(part, Claims).model_fields
        right = f"is no key here; known are {', '.join(name for name in known if name != 'line')}"
        right += near(str(field), known)
    given = "" if isinstance(wrong["input"], dict) else f", is {wrong['input']!r}"
    claim = content[part][entry] if entry is not None else None
    at = f", line {claim['line']} ({claim.get('id')})" if isinstance(claim, dict) else ""
    return f"claims.yml{at}: {field or part or 'the file'}: {right}{given}"


def near(name: str, known: Iterable[str]) -> str:
    """Name what may have been meant, as the end of a message; empty where nothing is near."""
    close = get_close_matches(name, sorted(known))
    return f" (near: {', '.join(close)})" if close else ""


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number; a bool is an int to Python, but no number to a reader."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_records(root: Path) -> dict[str, Record]:
    """Read the published record of each notebook."""
    return {path.parent.name: read_json(path) for path in sorted((root / "figures").glob("*/record.json"))}


def values(claim: Claim, numbers: Mapping[str, object]) -> list[float]:
    """Return the measured values of a claim: one, or with `each` one for each; none where they are not recorded so."""
    found = numbers.get(claim.measured)
    found = found if claim.each and isinstance(found, list) else [] if claim.each else [found]
    return found if all(map(is_number, found)) else []


def limits(claim: Claim, numbers: Mapping[str, object]) -> tuple[float | None, float | None]:
    """Return the least and the most that a measured value may be, with a recorded number in place of its name."""
    low, high = (numbers.get(bound) if isinstance(bound, str) else bound for bound in claim.bounds)
    return low, high


def margin(value: float, low: float | None, high: float | None) -> float:
    """Measure how far inside its bounds a value lies; below 0 outside."""
    return min(math.inf if low is None else value - low, math.inf if high is None else high - value)


def least_favourable(claim: Claim, numbers: Mapping[str, object]) -> float | None:
    """Return the measured value that lies least inside the claim's bounds; None where nothing is measured."""
    low, high = limits(claim, numbers)
    return min(values(claim, numbers), key=lambda value: margin(value, low, high), default=None)


def judge(claim: Claim, numbers: Mapping[str, object]) -> str:
    """Judge a claim by these numbers, in a word or two: in capitals where it is not as claims.yml states."""
    low, high = limits(claim, numbers)
    named = [number for bound, number in zip(claim.bounds, (low, high), strict=True) if isinstance(bound, str)]
    if claim.measured and not (values(claim, numbers) and all(map(is_number, named))):
        return "NOT RECORDED"
    inside = claim.measured is None or margin(least_favourable(claim, numbers), low, high) >= 0
    if isinstance(claim, Finding):
        return "holds" if inside else "MISSED"
    # Between two names in the wrong order nothing lies: no verdict would agree.
    agrees = claim.measured is None or (low <= high and inside == (claim.verdict == "reproduced"))
    return claim.verdict if agrees else f"NOT {claim.verdict.upper()}"


def needed(claims: Claims, notebook: str) -> set[str]:
    """Name the numbers that the notebook must record, because its claims read them."""
    return {name for claim in claims.of(notebook) for name in claim.names}


def unresolved(claims: Claims, records: Mapping[str, Record]) -> list[str]:
    """List what the claims name and figures/ does not hold, a line each: a notebook, a number, a figure."""
    lines = []
    for claim in claims.of():
        record = records.get(claim.notebook, {"numbers": {}, "figures": {}})
        named = [("record", claim.notebook, records), *(("number", name, record["numbers"]) for name in claim.names)]
        for what, name, known in (*named, ("figure", claim.figure, record["figures"])):
            if name is not None and name not in known:
                lines.append(f"{claim.where}: {claim.notebook} has no {what} {name!r}{near(name, known)}")
        if claim.measured in record["numbers"] and not values(claim, record["numbers"]):
            right = f"a list of numbers, as each: {claim.each} asks for" if claim.each else "one number (see `each`)"
            lines.append(f"{claim.where}: {claim.notebook} must record {claim.measured!r} as {right}")
    return lines
