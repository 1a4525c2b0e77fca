"""The public page: names, documentation, and what importing costs."""

import ast
import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

import sk_autoencoder
from sk_autoencoder import (
    AutoencoderClassifier,
    AutoencoderRegressor,
    TimeSeriesOutlierDetector,
    networks,
    objectives,
    scaling,
)
from sk_autoencoder._parts import Part

from .contracts.variants import AXES, ESTIMATORS

# Estimators that hold one of the others.
COMPOSED = (AutoencoderClassifier, AutoencoderRegressor, TimeSeriesOutlierDetector)
TOP = {name: getattr(sk_autoencoder, name) for name in sk_autoencoder.__all__}
MODULES = {"": sk_autoencoder} | {f"{name}.": module for name, module in TOP.items() if inspect.ismodule(module)}
PUBLIC = {
    f"{path}{name}": getattr(module, name)
    for path, module in MODULES.items()
    for name in module.__all__
    if callable(getattr(module, name))
}
CLASSES = {
    name: public for name, public in PUBLIC.items() if inspect.isclass(public) and not issubclass(public, Warning)
}
# Methods that users call; those of a part, and of what parts are given, are called by the engine, except ``corrupt``.
ENGINE = (Part, networks.Autoencoder, networks.NetworkShape, objectives.Batch, objectives.Evaluation, scaling.Affine)
METHODS = {
    f"{name}.{method}": function
    for name, public in CLASSES.items()
    for method, function in inspect.getmembers(public, inspect.isroutine)
    if not method.startswith("_") and getattr(function, "__module__", "").startswith("sk_autoencoder")
    if method == "corrupt" or not issubclass(public, ENGINE)
}
FUNCTIONS = {name: public for name, public in PUBLIC.items() if inspect.isfunction(public)}


def _sections(documented):
    """Return {title: text} of a numpydoc docstring."""
    pieces = re.split(r"^(.+)\n-{3,}\n", inspect.getdoc(documented) or "", flags=re.MULTILINE)
    return {"": pieces[0], **dict(zip(pieces[1::2], pieces[2::2], strict=True))}


def _entries(documented, section):
    """Names that a section documents, in order."""
    heads = re.findall(r"^([*\w, ]+?)(?: :.*)?$", _sections(documented).get(section, ""), flags=re.MULTILINE)
    return [name.strip("* ") for head in heads if not head.startswith(" ") for name in head.split(",")]


def _parameters(function):
    return [name for name in inspect.signature(function).parameters if name not in {"self", "cls"}]


@pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.__name__)
def test_all_is_sorted_and_exists(module):
    # Registries, then classes, then functions and modules.
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert set(module.__all__) <= set(vars(module))


def test_the_top_level_holds_estimators_displays_and_submodules_only():
    bound = {name for name, value in vars(sk_autoencoder).items() if not (name[0] == "_" or inspect.ismodule(value))}
    assert bound == {name for name, value in TOP.items() if not inspect.ismodule(value)}
    others = {name for name in bound if not name.endswith("Display") and PUBLIC[name] not in ESTIMATORS}
    assert others == {*(kind.__name__ for kind in COMPOSED), "BinaryLabelsWarning", "trusted_types"}


def test_every_public_part_and_estimator_is_on_the_page():
    def below(kind):
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    families = below(Part) | {kind for estimator in ESTIMATORS for kind in estimator.__mro__}
    own = {kind for kind in families if kind.__module__.startswith("sk_autoencoder") and kind is not Part}
    public = {kind for kind in own if not kind.__name__.startswith(("_", "Base", "Keyword", "Parameterized"))}
    assert public - set(PUBLIC.values()) == set()


@pytest.mark.parametrize("name", PUBLIC)
def test_summary_is_one_sentence(name):
    first = _sections(PUBLIC[name])[""].split("\n\n")[0]
    assert re.fullmatch(r"[A-Z].*[^.]\.", first, flags=re.DOTALL)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_document_each_parameter(name):
    assert _entries(CLASSES[name], "Parameters") == _parameters(CLASSES[name])


@pytest.mark.parametrize("name", [*CLASSES, *METHODS, *FUNCTIONS])
def test_documented_defaults_are_the_defaults(name):
    documented = {**CLASSES, **METHODS, **FUNCTIONS}[name]
    text = _sections(documented).get("Parameters", "")
    written = re.findall(r"^([\w, ]+) : .*default=(.+)$", text, flags=re.MULTILINE)
    found = {name: ast.literal_eval(default) for names, default in written for name in names.split(", ")}
    parameters = inspect.signature(documented).parameters.values()
    defaults = {
        parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty
    }
    # X, y and groups may be there for scikit-learn's sake only.
    assert found == {
        name: value for name, value in defaults.items() if name in found or name not in {"X", "y", "groups"}
    }


@pytest.mark.parametrize(
    ("estimator", "axis"),
    [(kind, axis) for kind in ESTIMATORS for axis in AXES if axis in _parameters(kind)],
)
def test_estimators_document_each_name_of_a_registry(estimator, axis):
    described = re.search(rf"^{axis} : .*\n(?: .*\n?|\n)*", _sections(estimator)["Parameters"], flags=re.MULTILINE)[0]
    assert [name for name in AXES[axis] if f'"{name}"' not in described] == []


# Parameters and attributes that mean something else, or are more, in another estimator.
DOCUMENTED_APART = {
    *("n_components", "hidden_layer_sizes", "corruption", "learning_rate", "alpha", "max_iter"),
    *("n_iter_no_change", "warm_start", "callbacks", "net_", "loss_curve_"),
}


def test_estimators_document_what_they_share_in_the_same_words():
    def entries(estimator):
        text = "".join(_sections(estimator)[section] for section in ("Parameters", "Attributes"))
        found = re.findall(r"^(\w+) : (.*\n(?: .*\n?|\n)*)", text, flags=re.MULTILINE)
        return {name: entry.strip() for name, entry in found}

    first, *others = map(entries, ESTIMATORS)
    for other in others:
        assert {name for name in first.keys() & other.keys() if first[name] != other[name]} == DOCUMENTED_APART


@pytest.mark.parametrize("name", [*METHODS, *FUNCTIONS])
def test_functions_document_each_parameter_and_what_they_return(name):
    function = {**METHODS, **FUNCTIONS}[name]
    assert _entries(function, "Parameters") == _parameters(function)
    assert "Returns" in _sections(function) or "Yields" in _sections(function)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators_document_each_fitted_attribute(estimator, rows):
    fitted = estimator(max_iter=1).fit(rows.astype(np.float64))
    found = {name for name in vars(fitted) if name.endswith("_") and not name.startswith("_")}
    assert found - set(_entries(estimator, "Attributes")) == set()


def test_the_detector_of_series_documents_each_fitted_attribute(rows):
    fitted = TimeSeriesOutlierDetector(sk_autoencoder.AutoencoderOutlierDetector(max_iter=1)).fit(rows)
    found = {name for name in [*vars(fitted), "estimator_"] if name.endswith("_")}
    assert found == set(_entries(fitted, "Attributes")) - {"feature_names_in_"}


@pytest.mark.parametrize("estimator", [AutoencoderClassifier, AutoencoderRegressor])
def test_estimators_with_a_head_document_each_fitted_attribute(estimator, rows):
    labels = np.arange(len(rows)) % 2
    fitted = estimator(sk_autoencoder.AutoencoderTransformer(2), max_iter=1).fit(rows, labels)
    properties = [name for name in dir(estimator) if isinstance(getattr(estimator, name), property)]
    found = {name for name in [*vars(fitted), *properties] if name.endswith("_") and not name.startswith("_")}
    assert found == set(_entries(estimator, "Attributes")) - {"feature_names_in_"}


def test_classifier_and_regressor_document_what_they_share_in_the_same_words():
    def entries(estimator):
        text = _sections(estimator)["Parameters"]
        return dict(re.findall(r"^(\w+) : (.*\n(?: .*\n?|\n)*)", text, flags=re.MULTILINE))

    one, other = entries(AutoencoderClassifier), entries(AutoencoderRegressor)
    apart = {"alpha", "consistency", "early_stopping", "learning_rate_init", "head_hidden_layer_sizes", "max_iter"}
    apart |= {"n_estimators", "training"}
    assert {name for name in one.keys() & other.keys() if one[name].strip() != other[name].strip()} <= apart


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *COMPOSED])
def test_estimators_have_examples_and_references(estimator):
    sections = _sections(estimator)
    assert ">>> from sk_autoencoder import" in sections["Examples"]
    assert {"References", "See Also"} <= sections.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_no_parameter_bears_the_name_of_a_public_method(name):
    methods = {method for method, _ in inspect.getmembers(CLASSES[name], callable)}
    assert methods.intersection(_parameters(CLASSES[name])) == set()


def test_each_constructor_parameter_of_an_estimator_has_a_constraint():
    for estimator in (*ESTIMATORS, *COMPOSED):
        assert set(estimator._parameter_constraints) == set(_parameters(estimator))


def _loaded(code):
    """Names of the modules that a fresh interpreter has after running the code."""
    command = [sys.executable, "-c", f"import sys; {code}; print(*sorted(sys.modules))"]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


def test_importing_loads_nothing_big_beyond_skorch():
    added = {name.partition(".")[0] for name in _loaded("import sk_autoencoder") - _loaded("import skorch, sklearn")}
    assert added & {"matplotlib", "pandas", "polars", "pyarrow", "seaborn", "IPython"} == set()
    assert not {"matplotlib", "polars"} & _loaded("import sk_autoencoder")
