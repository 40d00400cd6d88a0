"""The claims of the paper: claims.yml read and checked, each judged by the recorded numbers. No torch, no run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from pathlib import Path

import yaml

from paper_utils.files import read_json

KINDS = ("bitwise", "tolerance", "statistical")
SOURCES = ("seed", "published", "ours")
# What a claim may say of a measure in seeds.json, and how it is read there.
STATISTICS: dict[str, Callable[[Mapping], float]] = {
    **{name: lambda measure, name=name: measure[name] for name in ("mean", "sd", "se", "n")},
    "min": lambda measure: min(measure["values"]),
    "max": lambda measure: max(measure["values"]),
}


@dataclass(frozen=True)
class Claim:
    """One number the paper states, and what it must be."""

    id: str
    sentence: str
    notebook: str
    key: str  # in numbers.json; with a dot, "accuracy.mean", in seeds.json
    low: float
    high: float
    entry: Mapping[str, object]  # all its fields, as claims.yml gives them
    lines: Mapping[str, int]  # the line of each field there

    @property
    def met(self) -> bool:
        """False: others state it, we do not find it, and say so."""
        return self.entry.get("met", True)

    @property
    def bound(self) -> str:
        """What the number must be, as claims.yml puts it."""
        if "range" in self.entry:
            return f"{show(self.low)} to {show(self.high)}"
        tolerance = self.entry.get("tolerance")
        return str(self.entry["expected"]) + (f" ± {tolerance:g}" if tolerance else "")

    def where(self, field: str = "id") -> str:
        return f"claims.yml, line {self.lines[field]} (claim {self.id})"


REQUIRED = ("id", "sentence", "notebook", "key", "kind", "source")
FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys([*REQUIRED, "file", "reason", "error_bar"], (str,)),
    **dict.fromkeys(["range", "seeds"], (list,)),
    **dict.fromkeys(["met", "headline"], (bool,)),
    **dict.fromkeys(["expected", "tolerance"], (int, float)),
    "figure": (str, type(None)),
    "seed_value": (int, float, str),
}


def load(path: Path) -> list[Claim]:
    """Read claims.yml.

    Raises:
        ValueError: a malformed file or claim; names file, line, claim and what would be right.
    """
    loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
    try:
        root = loader.get_single_node()
        if root is not None and not isinstance(root, yaml.SequenceNode):
            raise ValueError(f"{path.name}, line {root.start_mark.line + 1}: must be a list of claims (- id: ...)")
        claims = [_claim(path.name, node, loader) for node in (root.value if root else [])]
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is no valid YAML: {error}") from error
    seen: dict[str, Claim] = {}
    for claim in claims:
        if (first := seen.setdefault(claim.id, claim)) is not claim:
            raise ValueError(f"{claim.where()}: the id stands twice, first in line {first.lines['id']}")
    return claims


def _claim(file: str, node: yaml.Node, loader: yaml.SafeLoader) -> Claim:
    start = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{file}, line {start}: a claim must be a mapping (id: ..., sentence: ..., ...)")
    fields = [key.value for key, _ in node.value]
    entry = loader.construct_document(node)
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}

    def wrong(message: str, field: str = "") -> ValueError:
        return ValueError(f"{file}, line {lines.get(field, start)} (claim {entry.get('id')}): {message}")

    if repeated := next((field for field in fields if fields.count(field) > 1), None):
        raise wrong(f"{repeated} stands twice", repeated)
    if missing := [field for field in REQUIRED if field not in entry]:
        raise wrong(f"lacks {', '.join(missing)}")
    for field, value in entry.items():
        if field not in FIELDS:
            raise wrong(f"unknown field {field}{near(str(field), FIELDS)}; known: {', '.join(FIELDS)}", str(field))
        # A bool is an int to Python, but no number to a reader.
        if not isinstance(value, FIELDS[field]) or (isinstance(value, bool) and FIELDS[field] != (bool,)):
            types = " or ".join(t.__name__ for t in FIELDS[field])
            raise wrong(f"{field} must be of type {types}, is {value!r}", field)
    for field, known in (("kind", KINDS), ("source", SOURCES), ("file", ("numbers.json", "seeds.json"))):
        if entry.get(field, known[0]) not in known:
            raise wrong(f"{field} must be one of {', '.join(known)}, not {entry[field]!r}", field)
    if ("range" in entry) == ("expected" in entry):
        raise wrong("give either range: [low, high], or expected: with tolerance:", "range")
    if "tolerance" in entry and "range" in entry:
        raise wrong("a range has its tolerance in it", "tolerance")
    if entry["kind"] == "bitwise" and (entry.get("tolerance") or "range" in entry):
        raise wrong("a bitwise claim has an expected value and no tolerance", "kind")
    if entry["kind"] == "statistical" and not (entry.get("seeds") and entry.get("error_bar")):
        raise wrong("a statistical claim names its seeds and its error_bar", "kind")
    if entry.get("met") is False and not entry.get("reason"):
        raise wrong("a claim that is not met gives its reason", "met")
    if entry.get("headline") and not entry.get("figure"):
        raise wrong("a headline names the figure that shows it", "headline")
    _, dot, statistic = entry["key"].partition(".")
    if (entry.get("file") == "seeds.json") != bool(dot) or (dot and statistic not in STATISTICS):
        raise wrong(
            "a key of numbers.json is a plain name, one of seeds.json (with file: seeds.json) is MEASURE.STATISTIC, "
            f"STATISTIC one of {', '.join(STATISTICS)}; got {entry['key']!r}",
            "key",
        )
    if "expected" in entry:
        bounds, tolerance = "expected", entry.get("tolerance", 0)
        low, high = float(entry["expected"] - tolerance), float(entry["expected"] + tolerance)
    else:
        bounds, ends = "range", entry["range"]
        if [_is_number(end) for end in ends] != [True, True]:
            raise wrong(f"range is [low, high], two numbers, not {ends!r}", bounds)
        low, high = map(float, ends)
    if not (isfinite(low) and isfinite(high) and low <= high):
        raise wrong(f"from {low} to {high} is no range", bounds)
    return Claim(entry["id"], entry["sentence"], entry["notebook"], entry["key"], low, high, entry, lines)


def near(name: str, known: Iterable[str]) -> str:
    """What may have been meant, as the end of a message; empty where nothing is near."""
    close = get_close_matches(name, sorted(known))
    return f" (near: {', '.join(close)})" if close else ""


def read_numbers(folder: Path) -> dict[str, dict[str, object]]:
    """All numbers on record, {notebook: {key: value}}: numbers.json, and of seeds.json "accuracy.mean" and the like.

    Raises:
        ValueError: a damaged file; names it.
    """
    numbers = read_json(folder / "numbers.json")
    seeds = read_json(folder / "seeds.json") if (folder / "seeds.json").exists() else {}
    for experiment, entry in seeds.items():
        try:
            spread = {
                f"{name}.{statistic}": read(measure)
                for name, measure in entry["measures"].items()
                for statistic, read in STATISTICS.items()
            }
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"seeds.json: the measures of {experiment} are not whole ({error!r})") from error
        numbers.setdefault(experiment, {}).update(spread)
    return numbers


def unresolved(claims: list[Claim], numbers: Mapping[str, Mapping], account: Mapping[str, Mapping]) -> list[str]:
    """What the claims name and figures/ does not hold, a line each: a notebook, a number, a figure."""
    found = []
    for claim in claims:
        name, figure = claim.notebook, claim.entry.get("figure")
        if name not in account:
            found.append(f"{claim.where('notebook')}: no run of {name} is on record{near(name, account)}")
            continue
        recorded = numbers.get(name, {})
        if claim.key not in recorded:
            found.append(f"{claim.where('key')}: {name} has no number {claim.key!r}{near(claim.key, recorded)}")
        elif not _is_number(value := recorded[claim.key]):
            found.append(f"{claim.where('key')}: {claim.key} of {name} is no number but {value!r}")
        drawn = {other: entry.get("figures", {}) for other, entry in account.items()}
        if figure is not None and figure not in drawn[name]:
            owners = [other for other in drawn if figure in drawn[other]]
            hint = f" (it is one of {', '.join(owners)})" if owners else near(figure, drawn[name])
            found.append(f"{claim.where('figure')}: {name} has no figure {figure!r}{hint}")
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def holds(claim: Claim, numbers: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether the recorded number lies in the claim's range; numbers are {notebook: {key: value}}.

    Raises:
        KeyError: the number was never recorded; names it.
    """
    value = numbers.get(claim.notebook, {}).get(claim.key)
    if not _is_number(value):
        raise KeyError(f"{claim.where('key')}: no number {claim.key!r} of {claim.notebook} is recorded")
    return claim.low <= value <= claim.high


def tally(claims: list[Claim], numbers: Mapping[str, Mapping[str, object]], notebook: str) -> tuple[list[str], int]:
    """Ids of a notebook's claims that do not turn out as stated, and how many there are in all.

    A claim marked `met: false` turns out as stated when the number indeed misses it; one whose number is not on record
    does not turn out.
    """
    own = [claim for claim in claims if claim.notebook == notebook]
    recorded = numbers.get(notebook, {})
    return [c.id for c in own if not _is_number(recorded.get(c.key)) or holds(c, numbers) != c.met], len(own)


def show(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
