"""The address at which the repository is published: stated in pyproject.toml, repeated wherever a reader clicks.

`make address URL=https://github.com/me/repository` writes it there, and into every badge and every notebook's first
cell. Those cells do nothing outside Colab, so no figure becomes stale by it.
"""

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from paper_utils.files import ROOT, replacing

# GitHub only, since Colab opens notebooks from there.
FORM = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]*[A-Za-z0-9_-])")
# Executed notebooks under build/ too, or `make notebooks` would take them for runs of other code; pyproject.toml last,
# so that a replacement that was interrupted can be given again.
PLACES = (
    "README.md",
    "CITATION.cff",
    "notebooks/*.py",
    "notebooks/*.ipynb",
    "build/executed/*/*.ipynb",
    "pyproject.toml",
)


def current(root: Path = ROOT) -> str:
    """The address that pyproject.toml states."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def replace(url: str, root: Path = ROOT) -> list[str]:
    """Put `url` in place of the present address everywhere under `root`; the files that changed.

    Raises:
        ValueError: `url` is no address of a repository; says what one looks like.

    Example:
        >>> replace("https://github.com/me/repository")
        ['README.md', 'CITATION.cff', 'notebooks/01_mnist_bilinear.py', ...]
    """
    new = FORM.fullmatch(url)
    if not new or url.endswith(".git"):
        raise ValueError(f"address: {url!r} is no repository's address, as https://github.com/me/repository would be")
    old = FORM.fullmatch(current(root))[1]
    # As it stands in a link, and as Colab's links hold it; not where it only begins another repository's name.
    pattern = re.compile(rf"(github\.com|colab\.research\.google\.com/github)/{re.escape(old)}(?![\w-]|\.\w)")
    changed = []
    for path in (path for place in PLACES for path in sorted(root.glob(place))):
        text = path.read_text(encoding="utf-8")
        replaced = pattern.sub(rf"\g<1>/{new[1]}", text)
        if replaced != text:
            with replacing(path) as beside:
                beside.write_text(replaced, encoding="utf-8")
            changed.append(path.relative_to(root).as_posix())
    return changed


def main(words: Sequence[str]) -> int:
    if len(words) != 1 or not words[0]:
        print(f"The address is {current()}. To change it: make address URL=https://github.com/me/repository")
        return 2
    try:
        changed = replace(words[0])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(changed) or f"the address is {words[0]} already")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
