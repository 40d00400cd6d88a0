"""`python site/paper_site.py FOLDER` builds the site: committed notebooks as they are, nothing executed, no network.

As a Sphinx extension it adds what MyST-NB lacks: alt texts, interactive pages in place, the findings of the index.
"""

import base64
import hashlib
import json
import re
import shutil
import sys
import tempfile
from importlib.metadata import files
from pathlib import Path
from urllib.parse import unquote

from docutils import nodes
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from reproduce import claims, report  # noqa: E402

SHOWN = ("CLAIMS.md", "LICENSE", "claims.yml", "checkpoints", "figures", "notebooks", "site/guide.md", "site/index.md")
PRINTED = re.compile(r"^Interactive page: (\S+/(\w+)/\w+/(\w+)\.html)\n?", re.MULTILINE)
BADGE = re.compile(r"\[!\[([^]]+)\]\(https?:[^)]+\)\]")  # a picture from elsewhere: the link stays, as words
ALTS: dict[str, str] = {}  # of a notebook's pictures, by the sha256 of their bytes, which MyST-NB names the files by


def anchor(heading: str) -> str:
    """A heading's anchor as Jupyter makes it, which the notebooks' links use."""
    return heading.replace(" ", "-")


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Before a file is parsed: what Sphinx would not show as it is."""
    if name.startswith("notebooks/"):
        source[0] = json.dumps(notebook(json.loads(source[0])))
    elif name == "index":
        told = {"<!-- findings -->": findings(), "ADDRESS": app.config.html_theme_options["repository_url"]}
        for mark, text in (told | {"VERSION": app.config.release}).items():
            source[0] = source[0].replace(mark, text)
    else:
        # GitHub's ways to name a place in Markdown and to link to it, and MyST's.
        source[0] = re.sub(r'<a id="(\w+)"></a>\n', r"(\1)=", source[0])
        source[0] = re.sub(r"\]\(([^)\s]+#[^)\s]+)\)", lambda link: f"](<{unquote(link[1])}>)", source[0])


def notebook(content: dict) -> dict:
    """A notebook with interactive pages where their lines are; less its form fields and pictures from elsewhere."""
    for cell in content["cells"]:
        cell["source"] = re.sub("  # @param .*", "", BADGE.sub(r"[\1]", "".join(cell["source"])))
        outputs = []
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                sha = hashlib.sha256(base64.b64decode("".join(png))).hexdigest()
                ALTS[sha] = output["metadata"]["image/png"]["alt"]
            text = "".join(output.get("text", ""))
            pages = [page(*found) for found in PRINTED.findall(text)]
            if not pages or (left := PRINTED.sub("", text)):
                outputs.append(output | ({"text": left} if pages else {}))
            data = {"text/html": "\n".join(pages)}
            outputs += [{"output_type": "display_data", "data": data, "metadata": {}}] if pages else []
        if outputs:
            cell["outputs"] = outputs
    return content


def page(path: str, notebook: str, name: str) -> str:
    """The frame that shows an interactive page, as high as its plot and the words above it."""
    html = (ROOT / path).read_text(encoding="utf-8")
    alt = re.search(r'aria-label="([^"]*)"', html)[1]
    height = 180 + int(re.search(r'style="height:(\d+)px', html)[1])
    return f'<iframe class="page" src="../{path}" title="{alt}" height="{height}" loading="lazy"></iframe>'


def findings() -> str:
    """Each notebook's headlines in claims.yml with what was measured, and the figure of the first."""
    stated, parts = claims.load(ROOT / "claims.yml"), []
    for name, title, _, record, numbers, own in report.sections(ROOT, stated, claims.read_records(ROOT)):
        parts.append(f"### [{title}](notebooks/{name}.ipynb)")
        headlines = [claim for claim in own if getattr(claim, "headline", False)]
        for claim in headlines:
            measured = f"[{report.facts(claim, numbers)[0]}](figures/{name}/{claim.figure}.png)"
            parts.append(f"**{claim.sentence}** Measured: {measured}; the original: {report.show(claim.original)}.")
        for claim in headlines[:1]:
            alt = re.sub(r"([\\`*_\[\]<$])", r"\\\1", record["figures"][claim.figure]["alt"])
            parts.append(f"![{alt}](figures/{name}/{claim.figure}.png)")
    return "\n\n".join(parts)


def describe(app: Sphinx, doctree: nodes.document) -> None:
    """Give each picture of a notebook its alt text."""
    for image in doctree.findall(nodes.image):
        if alt := ALTS.get(Path(image["uri"]).stem):
            image["alt"] = alt


def finish(app: Sphinx, error: Exception | None) -> None:
    """Put beside the pages what they load: the interactive pages with one plotly.js, and MathJax with its fonts."""
    if error:
        return
    from plotly.offline import get_plotlyjs

    out = Path(app.outdir)
    for path in (ROOT / "figures").glob("*/pages/*.html"):
        target = out / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        html = path.read_text(encoding="utf-8").replace('src="plotly.min.js"', 'src="../../plotly.min.js"')
        target.write_text(html, encoding="utf-8")
    (out / "figures" / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    for file in files("sphinx-mathjax-offline"):
        _, _, part = file.as_posix().partition("/static/mathjax/")
        if part == "tex-chtml-full.js" or part.startswith("output/chtml/fonts/"):
            target = out / "_static" / "mathjax" / part
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", read)
    app.connect("doctree-read", describe)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": False, "parallel_write_safe": True}


def build(out: Path) -> int:
    """Build from a copy of what the site shows, where its own index stands at the top; a warning is an error."""
    from sphinx.cmd.build import main

    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        (sources := Path(folder) / "sources").mkdir()
        for name in SHOWN:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            copy(ROOT / name, sources / Path(name).name)
        options = ["-W", "--keep-going", "-q", "-c", str(Path(__file__).parent), "-d", f"{folder}/doctrees"]
        status = main([*options, str(sources), str(out)])
    print(f"{out}/index.html" if not status else "the site is not complete", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
