"""The examples run without warnings, draw figures, and what they say of these holds: each ends with its assertion."""

import runpy
from pathlib import Path

import pytest

plt = pytest.importorskip("matplotlib.pyplot")

PATHS = sorted((Path(__file__).parents[1] / "docs" / "examples").glob("plot_*.py"))


@pytest.fixture
def figures():
    """Numbers of the figures that a test leaves open, in a backend without windows; they are closed."""
    backend = plt.get_backend()
    plt.close("all")
    plt.switch_backend("agg")
    yield plt.get_fignums
    plt.close("all")
    plt.switch_backend(backend)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_example_runs(path, figures):
    runpy.run_path(str(path), run_name="__main__")
    assert figures()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_example_has_the_form_of_a_gallery(path):
    text = path.read_text(encoding="utf-8")
    _, title, underline, *_ = text.splitlines()
    assert set(underline) == {"="}
    assert len(underline) == len(title)
    assert text.splitlines()[-1].startswith("assert ")


def test_examples_are_found():
    assert len(PATHS) >= 21
