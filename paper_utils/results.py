"""What a notebook writes: figures, interactive pages, numbers, and the account of the run that the runner publishes."""

import base64
import hashlib
import io
import json
import math
import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import plotly.graph_objects
import plotly.offline
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from paper_utils.files import ROOT, replacing

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
# Above this many path points an SVG is larger than its PNG and slow to open.
SVG_POINTS = 20_000
# An interactive page around its plot.
PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$name: $alt</title>
<link rel="icon" href="data:,">
<style>
body { margin: 1.5rem clamp(1rem, 4vw, 2.5rem); font: 1rem/1.5 system-ui, sans-serif; color: #1d1d1f;
  background: #fff; }
h1 { font-size: 1.3rem; margin: 0; }
p { color: #57595e; margin: .25rem 0 1rem; }
#page { overflow-x: auto; }
#page:focus-visible { outline: 3px solid #005f96; outline-offset: 3px; }
</style>
</head>
<body>
<main>
<h1>$alt</h1>
<p>An interactive figure of notebook $notebook$stamp.$keys</p>
<div id="page" role="group" aria-label="$alt" tabindex="0">
$plot
</div>
</main>
<script>
document.getElementById("page").addEventListener("keydown", event => {
  const plot = document.getElementById("$name"), slider = plot.layout.sliders?.[0];
  const next = (slider?.active ?? 0) + ({ArrowLeft: -1, ArrowRight: 1}[event.key] ?? NaN), step = slider?.steps[next];
  if (!step) return;
  event.preventDefault();
  Plotly.relayout(plot, {"sliders[0].active": next});
  Plotly[step.method](plot, ...step.args);
});
</script>
</body>
</html>
""")


@dataclass
class Run:
    """One execution of one notebook: what it declared and what it wrote so far."""

    notebook: str
    mode: str
    seeds: list[int]
    source: str
    files: dict[str, str]
    declared: dict[str, list[str]]
    folder: Path
    started: float = field(default_factory=time.time)
    figures: dict[str, dict] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, object] = field(default_factory=dict)

    @property
    def stamp(self) -> str:
        """What is written below every figure that is not the paper's: empty for a full run on the real data."""
        stand_in = "stand-in data" if self.source in {"uci-digits", "sampled-stories"} else ""
        return ", ".join(filter(None, [stand_in, "quick mode" if self.mode == "quick" else ""]))


_run: Run | None = None


def begin(
    notebook: str,
    *,
    mode: str,
    seed: int | Sequence[int],
    source: str,
    files: Mapping[str, str],
    figures: Sequence[str],
    numbers: Sequence[str],
) -> None:
    """Open the account of this run; called once, after the data is loaded.

    Args:
        notebook: its name without ending, "01_mnist_bilinear".
        mode: "full" (the paper's recipe) or "quick".
        seed: all seeds the notebook trains with.
        source: where the data came from (`Images.source`), or "exact" where there is no data set.
        files: hashes of the data and checkpoint files read.
        figures: every figure this run must write.
        numbers: every number this run must record.

    Raises:
        ValueError: an unknown mode, a bad or repeated name.
    """
    global _run
    if mode not in ("full", "quick"):
        raise ValueError(f"begin: MODE must be 'full' or 'quick', got {mode!r}")
    for names in (figures, numbers):
        for name in names:
            _check_name(name)
        if repeated := sorted({n for n in names if list(names).count(n) > 1}):
            raise ValueError(f"begin: declared twice: {repeated}")
    folder = Path(os.environ.get("PAPER_OUT") or ROOT / "build" / "by-hand" / notebook)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = [seed] if isinstance(seed, int) else list(seed)
    declared = {"figures": list(figures), "numbers": list(numbers)}
    _run = Run(notebook, mode, seeds, source, dict(files), declared, folder)


def save_figure(fig: Figure, name: str, *, alt: str, show: bool = True) -> None:
    """Write a figure as PNG, and as SVG where it is lines only; show that very picture in the notebook; close it.

    Args:
        fig: of fixed width; its size in inches is what is saved.
        name: without ending or folder, declared in `begin`.
        alt: what a reader who cannot see the figure needs to know.
        show: False writes without showing, for the members of a large family.

    Raises:
        ValueError: a name that was not declared or is no plain name, an empty alt text.
        RuntimeError: called before `begin`.
    """
    run = _open_run("save_figure")
    _check_name(name)
    if name not in run.declared["figures"]:
        raise ValueError(f"save_figure: {name!r} is not declared in begin(figures=...): {run.declared['figures']}")
    if len(alt.split()) < 3:
        raise ValueError(f"save_figure: {name!r} needs an alt text that says what it shows, got {alt!r}")
    kinds = ["png", "svg"] if _is_lines(fig) else ["png"]
    bbox = None
    if run.stamp:
        # Below the figure, outside its canvas: it cannot hide anything there.
        fig.text(0.5, -0.01, run.stamp, ha="center", va="top", fontsize=8, color="#D55E00")
        bbox = "tight"
    entry = {"alt": alt, "files": {}, "seconds": round(time.time() - run.started, 1)}
    for kind in kinds:
        buffer = io.BytesIO()
        # Without these two, ids and a date would make each SVG differ from the last.
        with matplotlib.rc_context({"svg.hashsalt": name}):
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            fig.savefig(buffer, format=kind, metadata=metadata, bbox_inches=bbox)
        picture = _numbered(buffer.getvalue()) if kind == "svg" else buffer.getvalue()
        with replacing(run.folder / f"{name}.{kind}") as beside:
            beside.write_bytes(picture)
        entry["files"][f"{name}.{kind}"] = hashlib.sha256(picture).hexdigest()
        if kind == "png" and show:
            _display(picture, alt)
    run.figures[name] = entry
    plt.close(fig)
    print(f"figure {name} ({', '.join(kinds)})")


def save_page(fig: plotly.graph_objects.Figure, name: str, *, alt: str) -> None:
    """Write a plotly figure as an interactive page with plotly.js beside it: it opens without a network.

    `make figures` brings it to build/interactive/<notebook>/<name>.html. Left and right arrow keys move its slider,
    which plotly itself leaves to the mouse.

    Args:
        fig: of any width; what does not fit a narrow screen can be scrolled to within the page.
        name: without ending or folder.
        alt: what the page shows; its heading.

    Raises:
        ValueError: a name that is no plain name.
        RuntimeError: called before `begin`.
    """
    run = _open_run("save_page")
    _check_name(name)
    # An animation starts when the reader starts it, and no button offers to send the figure elsewhere.
    config = {"showSendToCloud": False, "displaylogo": False}
    plot = fig.to_html(config, auto_play=False, include_plotlyjs="directory", full_html=False, div_id=name)
    html = PAGE.substitute(
        name=name,
        alt=escape(alt),
        notebook=escape(run.notebook),
        stamp=f"; {run.stamp}" if run.stamp else "",
        keys=" The arrow keys ← and → move its slider." if fig.layout.sliders else "",
        plot=plot,
    )
    for file, content in ((f"{name}.html", html), ("plotly.min.js", plotly.offline.get_plotlyjs())):
        with replacing(run.folder / "pages" / file) as beside:
            beside.write_text(content, encoding="utf-8")
    run.pages[name] = alt
    print(f"interactive page {name}.html")


def record(name: str, value: object) -> None:
    """Record a number the paper states; `value` is a finite number, a string, or a list of them.

    Raises:
        ValueError: an undeclared name, or a value that is not finite.
    """
    run = _open_run("record")
    _check_name(name)
    if name not in run.declared["numbers"]:
        raise ValueError(f"record: {name!r} is not declared in begin(numbers=...): {run.declared['numbers']}")
    value = value.tolist() if hasattr(value, "tolist") else value
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(item, (bool, int, float, str)) or (isinstance(item, float) and not math.isfinite(item)):
            raise ValueError(f"record: {name!r} must hold finite numbers or strings, got {item!r}")
    run.numbers[name] = list(value) if isinstance(value, tuple) else value


def findings(rows: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    """The table "What we found": rows of (what, name of a recorded number, the seed's value as it states it)."""
    run = _open_run("findings")
    if unknown := [key for _, key, _ in rows if key not in run.numbers]:
        raise ValueError(f"findings: not recorded: {unknown}; recorded: {sorted(run.numbers)}")

    def show(value: object) -> str:
        return (
            ", ".join(map(show, value))
            if isinstance(value, list)
            else str(value)
            if isinstance(value, (int, str))
            else f"{value:.4g}"
        )

    table = {"measured here": [show(run.numbers[key]) for _, key, _ in rows], "the seed": [s for *_, s in rows]}
    return pd.DataFrame(table, index=[what for what, *_ in rows])


def finish() -> None:
    """Close the account: the notebook's last cell. Prints the sentinel that the runner looks for.

    Raises:
        RuntimeError: a declared figure or number is missing; names them.
    """
    global _run
    run = _open_run("finish")
    missing = [f"figure {n}" for n in run.declared["figures"] if n not in run.figures]
    missing += [f"number {n}" for n in run.declared["numbers"] if n not in run.numbers]
    if missing:
        raise RuntimeError(f"{run.notebook}: declared but not written: {', '.join(missing)}")
    line = f"{run.notebook} complete: {len(run.figures)} figures and {len(run.numbers)} numbers written."
    account = {
        "sentinel": line,
        "notebook": run.notebook,
        "mode": run.mode,
        "seeds": run.seeds,
        "source": run.source,
        "stamp": run.stamp,
        "files": run.files,
        "figures": run.figures,
        "pages": run.pages,
        "numbers": run.numbers,
        "environment": _environment(),
        # As with torch below: of training only where the notebook itself loaded it.
        "weights": dict(training.USED) if (training := sys.modules.get("paper_utils.training")) else {},
        "seconds": round(time.time() - run.started, 1),
        "peak_mb": _peak_mb(),
    }
    with replacing(run.folder / "run.json") as beside:
        beside.write_text(json.dumps(account, indent=1), encoding="utf-8")
    _run = None
    print(line)


def _open_run(caller: str) -> Run:
    if _run is None:
        raise RuntimeError(f"{caller}: call results.begin(...) first")
    return _run


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"names are lower-case letters, digits and underscores, no folder, no ending; got {name!r}")


def _is_lines(fig: Figure) -> bool:
    if fig.findobj(lambda artist: isinstance(artist, (AxesImage, QuadMesh))):
        return False
    lines = sum(len(line.get_xydata()) for line in fig.findobj(matplotlib.lines.Line2D))
    dots = sum(len(c.get_offsets()) for c in fig.findobj(matplotlib.collections.PathCollection))
    return lines + dots <= SVG_POINTS


def _numbered(svg: bytes) -> bytes:
    """The SVG with its clip paths named by their order.

    matplotlib names them after the axes' exact places, whose last bits a layout does not repeat from run to run.
    """
    names: dict[bytes, bytes] = {}
    return re.sub(rb'(?<=[#"])p[0-9a-f]{10}(?=["\)])', lambda m: names.setdefault(m[0], b"p%d" % len(names)), svg)


def _display(png: bytes, alt: str) -> None:
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:
        # Not by IPython's Image: Colab's IPython 7 knows no alt text there.
        picture = base64.b64encode(png).decode()
        display({"image/png": picture}, metadata={"image/png": {"alt": alt}}, raw=True)


def _environment() -> dict[str, object]:
    packages = ("torch", "numpy", "matplotlib", "nnsight", "transformer_lens", "safetensors")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        # Of torch only where the notebook itself loaded it.
        "threads": torch.get_num_threads() if (torch := sys.modules.get("torch")) else 1,
        "cpu_capability": torch.backends.cpu.get_cpu_capability() if torch else "",
        "system": platform.system(),
    }


def _peak_mb() -> int:
    """Peak resident memory of this process in MB; 0 where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))
