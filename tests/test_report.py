"""README's findings and cover, CLAIMS.md and the gallery, made from small records and from the committed ones."""

import io
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

from reproduce import claims, record, report

WRITTEN = ("README.md", "CLAIMS.md", "figures/README.md", "figures/cover.png")
STATED = """
covers:
- {notebook: 01_try, title: "1  Blue"}
- {notebook: 02_other, title: "2  Red"}
- {notebook: 03_none, title: "3  Not run"}
originals:
- {id: odd, notebook: 01_try, statement: It is odd., verdict: not testable, because: No | one.}
- {id: three, notebook: 01_try, statement: It is 3., value: 3, measured: a, within: [2, 4], verdict: reproduced}
- {id: nine, notebook: 01_try, statement: It is 9., value: 9, measured: a, within: [8, 9], verdict: differs, because: X}
findings:
- {id: good, notebook: 01_try, sentence: A mean |cos| of 0.5., measured: a, at_least: 0, figure: curve, headline: true}
- {id: over, notebook: 01_try, sentence: It stays., measured: b, each: runs, at_least: 0.5, figure: map_3}
- {id: dots, notebook: 02_other, sentence: A dot., measured: c, at_least: 0, figure: dot, headline: true}
- {id: missed, notebook: 01_try, sentence: It rises., measured: a, at_least: 0, at_most: 0.25}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout of two notebooks: a large family, hostile words and a sweep in one, a single figure in the other."""
    figures = {f"map_{i}": {"alt": f"Map {i} of [many]."} for i in range(13)} | {"curve": {"alt": "A *falling* $x_i$."}}
    maps, dot = "# ## All maps\n#\n# **Figure `map_*`.** Maps.", "# # 2. Another try\n#\n# **Figure `dot`.** Dot."
    curve = "# # 1. A try\n#\n# ## The curve: $x$\n#\n# **Figure `curve`.** Falls as $x^2$.\n#\n"
    prose = {"01_try": curve + maps, "02_other": dot}
    run = {"mode": "full", "seeds": [0, 1], "source": "mnist", "seconds": 90, "peak_mb": 1500}
    run |= {"environment": {"torch": "2.13.0"}, "commit": "b" * 40, "dirty": True, "pages": {}, "weights": {}}
    records = {
        "01_try": run
        | {"figures": figures, "numbers": {"a": 0.5, "b": [0.7, 0.9]}, "pages": {"turn": {"alt": "To turn."}}},
        "02_other": run | {"figures": {"dot": {"alt": "A single dot."}}, "numbers": {"c": 1}},
    }
    (tmp_path / "notebooks").mkdir()
    for name, entry in records.items():
        folder = tmp_path / "figures" / name
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(entry))
        for figure in entry["figures"]:
            Image.new("RGB", (840, 300), "red").save(folder / f"{figure}.png")
        Image.new("RGB", (228, 228), "blue" if name == "01_try" else "red").save(folder / "cover.png")
        (tmp_path / "notebooks" / f"{name}.py").write_text(f"# %% [markdown]\n{prose[name]}\n")
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text("{}")
    (tmp_path / "figures" / "sweeps").mkdir()
    (tmp_path / "figures" / "sweeps" / "01_try.csv").write_text("seed,b\n0,0.7\n1,0.9\n")
    (tmp_path / "figures" / "sweeps" / "01_try.json").write_text('{"runs": 2}')
    (tmp_path / "claims.yml").write_text(STATED)
    (tmp_path / "README.md").write_text(f"top\n{report.START}\nold\n{report.END}\nbottom\n")
    return tmp_path


def made(root: Path) -> dict[str, bytes]:
    report.write(root, claims.load(root / "claims.yml"))
    return {name: (root / name).read_bytes() for name in WRITTEN}


def check_links(path: Path) -> None:
    """Every link leads to a file, or to an anchor of the page."""
    text = path.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = unquote(link).partition("#")
        if not re.match(r"\w+:", link):
            assert (path.parent / file).exists() if file else f'id="{anchor}"' in text, link


def check_tables(text: str) -> None:
    """Each row has as many cells as its head."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        bars = {len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}
        assert len(bars) == 1, block


def test_the_same_records_give_the_same_bytes_and_what_is_right_is_not_written(root):
    first, touched = made(root), [(root / name).stat().st_ino for name in WRITTEN]
    assert made(root) == first and [(root / name).stat().st_ino for name in WRITTEN] == touched
    for name in WRITTEN[1:]:
        (root / name).unlink()
    assert made(root) == first


def test_the_readmes_table(root):
    text = made(root)["README.md"].decode()
    assert text.startswith("top\n") and text.endswith("bottom\n") and "old" not in text
    rows = text.splitlines()[2:6]
    link = r"| [1. A try](notebooks/01_try.ipynb) | [A mean \|cos\| of 0.5.](figures/01_try/curve.png) "
    assert rows[2] == link + "| 0.5 | - | 1.5 |" and rows[3].startswith("| [2. Another try](notebooks/")
    assert "3: 1 not testable, 1 NOT REPRODUCED, 1 differ)" in text and text.count("\n- [01]") == 1
    assert "\n- [01](CLAIMS.md) It is 9. Here: 0.5.\n" in text
    check_tables(text)
    runs = [{"seconds": 90, "weights": {}}, {"seconds": 60, "weights": {"a": "trained", "b": "kept"}}]
    assert report.minutes(runs[:1]) == "1.5" and report.minutes(runs) == "2.5 (weights kept)"
    (root / "README.md").write_text("no markers")
    with pytest.raises(ValueError, match="markers"):
        report.write(root, claims.load(root / "claims.yml"))


def test_every_statement_stands_in_claims_md_with_its_verdict(root):
    text = made(root)["CLAIMS.md"].decode()
    check_tables(text)
    check_links(root / "CLAIMS.md")
    assert "Findings, 4: 3 hold, 1 MISSED" in text
    assert "notebooks, 3: 1 not testable, 1 NOT REPRODUCED, 1 differ" in text
    assert "| It rises. | 0.5 | 0 to 0.25 | **MISSED** | - | - |" in text
    assert "| It stays. | 0.7 (the least favourable of 2 runs) | at least 0.5 | holds | - | [map_3]" in text
    assert r"| It is odd. | - | - | - | not testable | No \| one. | - |" in text
    assert "| It is 3. | 3 | 0.5 | 2 to 4 | **NOT REPRODUCED** | - | - |" in text


def test_the_gallery_shows_every_picture_with_its_words_and_folds_a_large_family(root):
    text = made(root)["figures/README.md"].decode()
    check_links(root / "figures" / "README.md")
    assert len(re.findall(r"^!\[", text, re.M)) == 15
    assert r"![A \*falling\* \$x\_i\$.](01_try/curve.png)" in text and r"![Map 12 of \[many\].]" in text
    assert "Falls as $x^2$. (Under [The curve: $x$](../notebooks/01_try.ipynb#The-curve%3A-%24x%24).)" in text
    assert text.count("Maps.") == 1
    assert "commit bbbbbbb with changes; 1.5 minutes; 1.5 GB" in text and "torch 2.13.0" in text
    assert "every run: [01_try](sweeps/01_try.csv)" in text and "`figures/01_try/pages/turn.html`" in text
    order = ("### curve", "- holds: A mean", "### map_0 to map_12", "- holds: It stays.", "Claims without a figure")
    assert sorted(order, key=text.index) == list(order)
    folded = text[text.index("<details>") : text.index("</details>")]  # in which GitHub needs a blank line first
    assert re.findall(r"\n\n!.*\(01_try/(\w+)\.png\)", folded) == [f"map_{i}" for i in range(1, 13)]
    assert "- **MISSED**: It rises. Measured 0.5; 0 to 0.25." in text
    assert "- not testable: The original notebook: It is odd. No | one." in text


def test_the_cover_shows_the_whole_panel_of_each_notebook_that_has_one(root):
    with Image.open(io.BytesIO(made(root)["figures/cover.png"])) as picture:
        size, pixels = picture.size, picture.convert("RGB").getcolors(10**6)
    counted = {colour: count for count, colour in pixels}
    assert counted[0, 0, 255] == counted[255, 0, 0] == report.SIDE**2 and size[0] == 2 * report.SIDE + 3 * report.GAP
    assert [colour for colour in counted if sum(colour) < 200], "titles are written"
    for panel in root.glob("figures/*/cover.png"):
        panel.unlink()
    before = (root / "figures/cover.png").read_bytes()
    assert made(root)["figures/cover.png"] == before, "without panels there is nothing to draw"


# ---- make verify


def verify(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, problems: tuple = ()) -> tuple:
    monkeypatch.setattr(record, "problems", lambda root: list(problems))
    return report.verify(root), "".join(capsys.readouterr())


def test_verify_prints_each_judgement(root, monkeypatch, capsys):
    status, said = verify(root, monkeypatch, capsys)
    assert status == 1 and "5 of 7 claims are as claims.yml states" in said
    bad = [line.split()[-1] for line in said.splitlines() if line.startswith(("MISSED", "NOT "))]
    assert bad == ["missed", "three"]
    (root / "claims.yml").write_text(re.sub("^- {id: (three|missed).*\n", "", STATED, flags=re.M))
    assert verify(root, monkeypatch, capsys)[0] == 0
    (root / "figures/01_try/cover.png").unlink()
    status, said = verify(root, monkeypatch, capsys)
    assert status == 0 and "figures/01_try/cover.png is missing: README's picture leaves this panel out" in said
    status, said = verify(root, monkeypatch, capsys, ("figures/01_try/curve.png was altered after its run",))
    assert status == 1 and "curve.png was altered" in said
    (root / "README.md").write_text("no markers")
    status, said = verify(root, monkeypatch, capsys)
    assert status == 1 and "the report cannot be written: README.md lacks the markers" in said


@pytest.mark.parametrize(
    "file, old, new, message",
    [
        ("claims.yml", "figure: curve, h", "figure: curves, h", r"01_try has no figure 'curves' \(near: curve\)"),
        ("claims.yml", "measured: a,", "measure: a,", r"measure: is no key here; .*\(near: measured"),
        ("figures/01_try/record.json", "}", "", "record.json is no valid JSON"),
    ],
)
def test_what_cannot_be_judged_is_said_and_nothing_is_written(root, monkeypatch, capsys, file, old, new, message):
    (root / file).write_text((root / file).read_text().replace(old, new, 1))
    before = (root / "README.md").read_bytes()
    status, said = verify(root, monkeypatch, capsys)
    assert status == 2 and re.search(message, said), said
    assert (root / "README.md").read_bytes() == before and not (root / "CLAIMS.md").exists()
