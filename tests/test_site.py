"""Sources of the documentation: public names have entries, to which notebooks link; ``make docs`` builds the site."""

import inspect
import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

from docs.check import types_without_link
from docs.public import MODULES, PUBLIC
from sk_autoencoder import _validation

API = Path(__file__).parents[1] / "docs" / "api"
SHORT = [path.rpartition(".")[2] for path in PUBLIC]
SHOWN = {
    path: kind
    for path, kind in PUBLIC.items()
    if inspect.isclass(kind) and issubclass(kind, BaseEstimator) and not inspect.isabstract(kind)
}
# Words of types that are no class, and classes that are not ours.
OTHERS = {"Ignored", "None", "True", "False", "Axes", "DataFrame", "FrozenEstimator", "RandomState", "Tensor"}


def entries(text):
    """Yield the full names of the entries that a page of the API reference has."""
    module = ""
    for line in text.splitlines():
        directive = re.fullmatch(r"\.\. (module|currentmodule|py:data):: ([\w.]+)", line)
        if directive and directive[1] != "py:data":
            module = directive[2]
        if directive and directive[1] != "currentmodule":
            yield directive[2] if directive[1] == "module" else f"{module}.{directive[2]}"
        if re.fullmatch(r"   [A-Za-z]\w+", line) and ".. toctree::" not in text:
            yield f"{module}.{line.strip()}"


def test_each_public_name_has_one_entry():
    found = [name for page in API.glob("*.rst") for name in entries(page.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(["sk_autoencoder", *MODULES, *PUBLIC])


def types(documented):
    """Yield the types of the parameters in a numpydoc docstring."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", inspect.getdoc(documented) or "", re.M | re.S)
    yield from re.findall(r"^\*{0,2}[\w, ]+ : (.+?)(?:, default=.+)?$", section[1] if section else "", re.M)


def test_each_parameter_that_names_a_class_can_be_a_link():
    methods = [method for kind in SHOWN.values() for _, method in inspect.getmembers(kind, inspect.isfunction)]
    documented = [*filter(callable, PUBLIC.values()), *methods]
    found = {word for one in documented for text in types(one) for word in re.findall(r"\b[A-Z][a-z]\w+", text)}
    assert len(found & set(SHORT)) > 10
    assert {word for word in found if SHORT.count(word) != 1} - OTHERS == set()


def test_types_without_link_are_found():
    shown = '<span class="classifier">{}, default=None</span></dt>'
    assert types_without_link(shown.format("str or Network")) == (["Network"], 0)
    assert types_without_link(shown.format('str or <a href="#"><code>Network</code></a>')) == ([], 1)


@pytest.mark.parametrize("path", SHOWN)
def test_notebooks_link_to_the_entry(path, monkeypatch):
    shown = SHOWN[path].__new__(SHOWN[path])
    assert shown._get_doc_link() == ""
    monkeypatch.setattr(_validation, "DOCUMENTATION", "https://example.org")
    assert shown._get_doc_link() == f"https://example.org/api/generated/{path}.html"


def test_the_representation_has_the_link(monkeypatch):
    model = PUBLIC["sk_autoencoder.AutoencoderTransformer"]()
    assert "api/generated" not in model._repr_html_()
    monkeypatch.setattr(_validation, "DOCUMENTATION", "https://example.org")
    assert 'href="https://example.org/api/generated/sk_autoencoder.AutoencoderTransformer.html"' in model._repr_html_()


def test_classes_of_others_have_no_link(monkeypatch):
    monkeypatch.setattr(_validation, "DOCUMENTATION", "https://example.org")
    own = type("Own", (PUBLIC["sk_autoencoder.losses.SquaredError"],), {"__module__": "elsewhere"})
    assert own()._get_doc_link() == ""
