"""What a notebook writes: figures, interactive pages, numbers, and the record of the run that `reproduce` publishes."""

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
from collections.abc import Sequence
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

from paper_utils import numerics
from paper_utils.files import ROOT, digest, replacing

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
ENVIRONMENT = ("torch", "numpy", "matplotlib", "nnsight", "transformer_lens", "safetensors")  # whose versions count
STAND_INS = ("uci-digits", "sampled-stories")
# Above this many path points an SVG is larger than its PNG and slow to open.
SVG_POINTS = 20_000
PAGE = Path(__file__).with_name("page.html")


@dataclass
class Run:
    """One execution of one notebook: what it is, and what it wrote so far."""

    notebook: str
    mode: str
    seeds: list[int]
    source: str
    inputs: dict[str, str]
    folder: Path
    started: float = field(default_factory=time.monotonic)
    figures: dict[str, dict] = field(default_factory=dict)
    pages: dict[str, dict] = field(default_factory=dict)
    numbers: dict[str, object] = field(default_factory=dict)

    @property
    def stamp(self) -> str:
        """Return what stands below every figure that is not the paper's: nothing for a full run on the real data."""
        stand_in = "stand-in data" if self.source in STAND_INS else ""
        return ", ".join(filter(None, [stand_in, "quick mode" if self.mode == "quick" else ""]))


_run: Run | None = None


def begin(notebook: str, *, mode: str, seeds: Sequence[int], data: object = None, inputs: Sequence[Path] = ()) -> None:
    """Open the record of this run of a notebook, which goes by its file's name; called once, after the data is loaded.

    `mode` is "full" or "quick"; `data` is what was loaded, with `source` and `files` (`data.Images`, `data.Stories`);
    `inputs` are further files that decide the result, checkpoints for example. Raises: ValueError for another mode, or
    a notebook's name that is no plain name.
    """
    global _run
    _check_name(notebook)
    if mode not in ("full", "quick"):
        raise ValueError(f"begin: mode must be 'full' or 'quick', got {mode!r}")
    files = dict(data.files) if data else {}
    for path in (Path(each).resolve() for each in inputs):
        # A file from elsewhere goes by its plain name: no path of a machine stands in a record.
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        if not (sha := digest(path)):
            raise FileNotFoundError(f"begin: no input file {path}")
        files[name] = sha
    # Without a runner, as on Colab, a run leaves its files under build/.
    folder = Path(os.environ.get("PAPER_OUT") or ROOT / "build" / "by-hand" / notebook)
    folder.mkdir(parents=True, exist_ok=True)
    _run = Run(notebook, mode, list(seeds), data.source if data else "exact", files, folder)


def save_figure(fig: Figure, name: str, *, alt: str, show: bool = True) -> None:
    """Write a figure as PNG, and as SVG where it is lines only; show that very picture in the notebook; close it.

    `name` has no ending or folder; the notebook's paragraph **Figure `name`.** is its caption. `alt` says what a reader
    who cannot see the figure needs to know. `show=False` only writes, for the members of a large family. Raises:
    ValueError for a name that is no plain name or an alt text below three words; RuntimeError before `begin`.
    """
    run = _open_run("save_figure")
    _check_name(name)
    if len(alt.split()) < 3:
        raise ValueError(f"save_figure: {name!r} needs an alt text that says what it shows, got {alt!r}")
    kinds = ["png", "svg"] if _is_lines(fig) else ["png"]
    bbox = None
    if run.stamp:
        # Below the figure, outside its canvas: it cannot hide anything there.
        fig.text(0.5, -0.01, run.stamp, ha="center", va="top", fontsize=8, color="#D55E00")
        bbox = "tight"
    entry = {"alt": alt, "files": {}}
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
            _display({"image/png": base64.b64encode(picture).decode()}, {"image/png": {"alt": alt}})
    run.figures[name] = entry
    plt.close(fig)


def save_page(fig: plotly.graph_objects.Figure, name: str, *, alt: str) -> None:
    """Write a plotly figure as an interactive page with plotly.js beside it, and show it where a person runs the cell.

    `make figures` brings it to figures/<notebook>/pages/<name>.html, from where the site shows it at this place in the
    text; `alt`, what it shows, is its heading. The arrow keys move its slider, which plotly leaves to the mouse. It
    needs no network. Raises: ValueError for a name that is no plain name; RuntimeError before `begin`.
    """
    run = _open_run("save_page")
    _check_name(name)
    # An animation starts when the reader starts it, and no button offers to send the figure elsewhere.
    config = {"showSendToCloud": False, "displaylogo": False}
    plot = fig.to_html(config, auto_play=False, include_plotlyjs="directory", full_html=False, div_id=name)
    html = Template(PAGE.read_text(encoding="utf-8")).substitute(
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
    run.pages[name] = {"alt": alt, "files": {f"pages/{name}.html": digest(run.folder / "pages" / f"{name}.html")}}
    print(f"Interactive page: figures/{run.notebook}/pages/{name}.html")
    if "PAPER_OUT" not in os.environ:
        # With plotly.js in it: neither Jupyter nor Colab serves the file, and a committed notebook holds none of it.
        whole = html.replace(' src="plotly.min.js">', f">{plotly.offline.get_plotlyjs()}")
        size = f'style="width: 100%; height: {(fig.layout.height or 450) + 180}px; border: 0"'
        _display({"text/html": f'<iframe srcdoc="{escape(whole)}" title="{escape(alt)}" {size}></iframe>'})


def record(**numbers: object) -> None:
    """Record numbers that the paper states: record(accuracy=0.98, losses=history["loss"]).

    Each is a finite number, a string, or a list of them; else ValueError. RuntimeError before `begin`. Floats keep
    eight significant digits: what differs behind them tells processors apart, not results.
    """
    run = _open_run("record")
    for name, value in numbers.items():
        value = value.tolist() if hasattr(value, "tolist") else value
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if not isinstance(item, (bool, int, float, str)) or (isinstance(item, float) and not math.isfinite(item)):
                raise ValueError(f"record: {name!r} must hold finite numbers or strings, got {item!r}")
        run.numbers[name] = [rounded(v) for v in value] if isinstance(value, (list, tuple)) else rounded(value)


def rounded(value: object) -> object:
    """Round a float to eight significant digits; return anything else as it is."""
    return float(f"{value:.8g}") if isinstance(value, float) else value


def read_sweep(name: str) -> pd.DataFrame:
    """Read the rows of figures/sweeps/<name>.csv; from here on the file is an input of this record.

    Raises: FileNotFoundError where the sweep was not run; RuntimeError before `begin`.
    """
    run = _open_run("read_sweep")
    path = ROOT / "figures" / "sweeps" / f"{name}.csv"
    if not path.exists():
        raise FileNotFoundError(f"no figures/sweeps/{name}.csv: `make sweeps NB={name}` trains it")
    run.inputs[path.relative_to(ROOT).as_posix()] = digest(path)
    return pd.read_csv(path)


def findings(rows: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    """Build the table "What we found" from rows of (what, name of a recorded number, the original's value as stated).

    Of a list of more than two values it shows the least and the greatest. Raises: ValueError for a name not recorded.
    """
    run = _open_run("findings")
    if unknown := [key for _, key, _ in rows if key not in run.numbers]:
        raise ValueError(f"findings: not recorded: {unknown}; recorded: {sorted(run.numbers)}")

    def show(value: object) -> str:
        if isinstance(value, list) and len(value) > 2:
            return f"{show(min(value))} to {show(max(value))} ({len(value)} values)"
        if isinstance(value, list):
            return ", ".join(map(show, value))
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    table = {"measured here": [show(run.numbers[key]) for _, key, _ in rows], "the original": [s for *_, s in rows]}
    return pd.DataFrame(table, index=[what for what, *_ in rows])


def finish() -> None:
    """Write record.json: the notebook's last cell. After it no other call of this module works before `begin`."""
    global _run
    run = _open_run("finish")
    ours = [name.partition(".")[2] for name in sys.modules if name.startswith("paper_utils.")]
    ours = [name for name in ours if (ROOT / "paper_utils" / f"{name}.py").exists() and name != "progress"]
    drawn = [name for name in sys.modules if (ROOT / "notebooks" / f"{name.replace('.', '/')}.py").exists()]
    record = {
        **{key: getattr(run, key) for key in ("notebook", "mode", "seeds", "source", "stamp", "inputs")},
        "modules": sorted([*ours, *(name for name in drawn if name.startswith("draw."))]),
        "environment": {
            "python": platform.python_version(),
            **{name: version(name) for name in ENVIRONMENT},
            # Of torch, and below of training, only where the notebook itself loaded it.
            "threads": torch.get_num_threads() if (torch := sys.modules.get("torch")) else 1,
            "cpu_capability": torch.backends.cpu.get_cpu_capability() if torch else "",
            "numerics": numerics.mode(),
            "processor": numerics.processor(),
            "system": platform.system(),
        },
        "weights": dict(runs.USED) if (runs := sys.modules.get("paper_utils.runs")) else {},
        **{key: getattr(run, key) for key in ("figures", "pages", "numbers")},
        "seconds": round(time.monotonic() - run.started, 1),
    }
    with replacing(run.folder / "record.json") as beside:
        beside.write_text(json.dumps(record, indent=1), encoding="utf-8")
    _run = None
    print(f"{run.notebook} complete: {len(run.figures)} figures and {len(run.numbers)} numbers written.")


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
    """Name the clip paths of an SVG by their order.

    matplotlib names them after the axes' exact places, whose last bits a layout does not repeat from run to run.
    """
    names: dict[bytes, bytes] = {}
    return re.sub(rb'(?<=[#"])p[0-9a-f]{10}(?=["\)])', lambda m: names.setdefault(m[0], b"p%d" % len(names)), svg)


def _display(content: dict[str, str], metadata: dict | None = None) -> None:
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython():
        # Not by IPython's Image: Colab's IPython 7 knows no alt text there.
        display(content, metadata=metadata, raw=True)
