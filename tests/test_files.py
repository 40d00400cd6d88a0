import pytest

from paper_utils import files


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "figure.png"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as beside:
        beside.write_text("half of the ne")
        raise RuntimeError("the disk is full")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


def test_digest_is_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.digest(tmp_path / "a", "md5") == "900150983cd24fb0d6963f7d28e17f72"
    assert files.digest(tmp_path / "missing") is None


SOURCE = '''
"""A module."""
def f(x):
    """What it does."""
    if x < 0:
        raise ValueError(f"f: {x} is below 0")
    return 2 * x  # twice
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # twice", ""),
        ("2 * x", "(2 * x)"),
        ("A module.", "Another text."),
        ('    """What it does."""\n', ""),
        ("is below 0", "must be at least 0"),
    ],
)
def test_what_decides_no_result_is_not_in_normalised_source(old, new):
    assert old in SOURCE and files.normalised(SOURCE.replace(old, new)) == files.normalised(SOURCE)


@pytest.mark.parametrize(("old", "new"), [("2 * x", "3 * x"), ("x < 0", "x <= 0"), ("ValueError", "TypeError")])
def test_what_decides_a_result_is_in_normalised_source(old, new):
    assert files.normalised(SOURCE.replace(old, new)) != files.normalised(SOURCE)


def test_a_cell_of_one_string_counts():
    assert files.normalised('"shown"') != files.normalised('"shown otherwise"')
