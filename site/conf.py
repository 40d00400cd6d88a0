"""Settings of the site; paper_site.py holds what it does beyond Sphinx and MyST-NB."""

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

release = PYPROJECT["version"]
project = html_title = "How small networks compute"
author = "The authors of this repository"
copyright = "the authors of this repository, MIT licence"
extensions = ["myst_nb", "paper_site"]
include_patterns = ["*.md", "notebooks/*.ipynb", "figures/README.md", "checkpoints/*/README.md"]

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
myst_heading_slug_func = "paper_site.anchor"
# MathJax lies beside the pages. For the public copy instead: "https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-chtml-full.js"
mathjax_path = "mathjax/tex-chtml-full.js"

html_theme = "sphinx_book_theme"
html_static_path = [str(Path(__file__).with_name("site.css"))]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "repository_url": PYPROJECT["urls"]["Repository"],
    "repository_branch": "main",
    "use_repository_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "use_download_button": False,
    "home_page_in_toc": True,
    "show_toc_level": 2,
}
