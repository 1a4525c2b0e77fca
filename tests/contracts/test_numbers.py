"""Numbers, flags and texts of numpy, as searches pass them, do what Python's own do, in every parameter."""

import inspect
import numbers

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder._validation import Interval, StrOptions, plain
from sk_autoencoder.corruptions import Gaussian
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.networks import Convolutional, Custom, Dense
from sk_autoencoder.scaling import MinMax, column_statistics

from .test_parts import REGISTRIES
from .variants import ESTIMATORS, assert_equal, outputs, with_objective

# A small power of two, so that all kinds of floats hold it exactly; uint8 overflows where it is multiplied.
FRACTION, WHOLE = 2.0**-8, 3
KINDS = {numbers.Integral: (np.uint8, np.int32, np.int64), numbers.Real: (np.float16, np.float32, np.float64)}


def values_of(constraint):
    """Return a Python value that the constraint allows, and the same as numpy's types; None for other constraints."""
    if isinstance(constraint, Interval):
        value = FRACTION if constraint.type is numbers.Real else WHOLE
        return value, [kind(value) for kind in KINDS[constraint.type]]
    if isinstance(constraint, StrOptions):
        value = sorted(constraint.options)[0]
        return value, [np.str_(value)]
    return {"boolean": (True, [np.True_]), "verbose": (False, [np.False_])}.get(constraint)


def cases(holder):
    """Yield (parameter, Python value, the same as numpy's types) from the table of constraints."""
    for name, constraints in holder._parameter_constraints.items():
        for constraint in constraints:
            if isinstance(constraint, Interval | StrOptions | str) and values_of(constraint):
                yield name, *values_of(constraint)


def quick(estimator, **choices):
    small = {"max_iter": 2, "batch_size": 50, "hidden_layer_sizes": (4, 3), "random_state": 0}
    if estimator is AutoencoderOutlierDetector:
        small["n_estimators"] = 2
    return estimator(**(small | choices))


def assert_same(python, numpy, X):
    given = numpy.get_params()
    assert_equal(outputs(numpy.fit(X), X), outputs(python.fit(X), X))
    assert all(value is given[name] for name, value in numpy.get_params().items())
    assert numpy.loss_curve_ == python.loss_curve_


# Some choices need others beside them.
BESIDE = {
    "max_iter": {"batch_size": 1},  # 3 * 120 steps, more than uint8 holds
    "early_stopping": {"n_iter_no_change": 10},
}
SHARED = {
    f"{estimator.__name__}-{name}={python!r}": (estimator, name, python, numpy)
    for estimator in ESTIMATORS
    for name, python, numpy in cases(estimator)
    if name not in ("network", "objective", "loss", "corruption", "scaling", "outlier_score", "contamination")
    or not isinstance(python, str)
}


@pytest.mark.filterwarnings("ignore:Training ended after max_iter", "ignore:precision='bfloat16'")
@pytest.mark.parametrize("case", SHARED.values(), ids=SHARED)
def test_every_parameter_of_every_estimator(case, rows):
    estimator, name, python, numpy = case
    for value in numpy:
        models = (quick(estimator, **(BESIDE.get(name, {}) | {name: choice})) for choice in (python, value))
        assert_same(*models, rows)


# What some parameters need beside them (sizes that heads and steps divide, a shape), and how many features.
FITTING = {
    "attention": ({"hidden_layer_sizes": (12, 12)}, 3),
    "masking": ({"network": Dense(sample_shape=(1, 5))}, 5),
    "sensor_error": ({}, 3),
}
PARTS = {
    f"{axis}={line}-{name}": (axis, line, name, python, numpy)
    for axis, registry in REGISTRIES.items()
    for line, part in registry.items()
    for name, python, numpy in cases(part)
}


@pytest.mark.parametrize("case", PARTS.values(), ids=PARTS)
def test_every_parameter_of_every_part(case, rows):
    axis, line, name, python, numpy = case
    estimator = next(e for e in ESTIMATORS if axis in inspect.signature(e).parameters)
    sizes, width = FITTING.get(line, ({}, rows.shape[1]))
    beside, X = with_objective(axis, line) | sizes, rows[:, :width]
    for value in numpy:
        parts = (REGISTRIES[axis][line](**{name: choice}) for choice in (python, value))
        assert_same(*(quick(estimator, **(beside | {axis: part})) for part in parts), X)


def test_the_tables_hold_what_these_tests_are_about():
    assert {"batch_size", "max_iter", "n_estimators", "alpha", "warm_start", "solver"} <= {
        c[1] for c in SHARED.values()
    }
    assert {"n_references", "kernel_size", "rate", "beta", "delta", "tied_weights"} <= {c[2] for c in PARTS.values()}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kind", [np.int32, np.uint8])
def test_arrays_as_shapes_and_ranges(kind, estimator, rows):
    X = rows[:, :4]
    python = {"hidden_layer_sizes": (4, 3), "scaling": MinMax((-1.0, 1.0))}
    for shape in (np.array, lambda sizes, kind: tuple(kind(size) for size in sizes)):
        numpy = {"hidden_layer_sizes": shape((4, 3), kind), "scaling": MinMax(np.array([-1.0, 1.0]))}
        networks = Convolutional(sample_shape=(2, 2)), Convolutional(sample_shape=shape((2, 2), kind))
        assert_same(quick(estimator, network=networks[0], **python), quick(estimator, network=networks[1], **numpy), X)


@pytest.mark.parametrize("scaling", ["minmax", "robust"])
def test_ranges(scaling, rows):
    name, _ = inspect.signature(REGISTRIES["scaling"][scaling]).parameters
    part = REGISTRIES["scaling"][scaling]
    expected = part(**{name: (1.0, 5.0)}).fit(rows, column_statistics(rows))
    for choice in ([1.0, 5.0], np.array([1.0, 5.0]), (np.float32(1), np.int64(5))):
        found = part(**{name: choice}).fit(rows, column_statistics(rows))
        np.testing.assert_array_equal(found, expected)
        assert quick(AutoencoderTransformer, scaling=part(**{name: choice})).fit(rows).n_iter_ == 2


def test_a_narrow_share_of_many_samples(rows):
    fitted = quick(AutoencoderTransformer).fit(rows).set_params(early_stopping=np.float16(0.25))
    assert len(fitted._split(Samples(np.empty((100_000, 1))), hold_out=True)[1]) == 25_000  # float16 ends at 65504


def perceptron(n_in, n_out, width, start):
    from torch import nn

    assert type(width) is int
    assert isinstance(start, np.ndarray)  # what a user's own maker takes
    return nn.Sequential(nn.Linear(n_in, width), nn.Linear(width, n_out))


def test_parameters_of_own_modules(rows):
    network = Custom(perceptron, perceptron, width=np.int64(3), start=np.zeros(2))
    assert np.isfinite(quick(AutoencoderTransformer, network=network).fit(rows).transform(rows)).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_search(estimator, rows):
    grid = {"batch_size": np.array([8, 16]), "corruption__std": np.array([0.25, 0.5])}
    model = quick(estimator, corruption=Gaussian())
    search = GridSearchCV(model, grid, cv=2, scoring=lambda model, X, y=None: model.reconstruction_error(X).mean())
    search.fit(rows)
    expected = clone(model).set_params(**{name: plain(value) for name, value in search.best_params_.items()}).fit(rows)
    assert_equal(outputs(search.best_estimator_, rows), outputs(expected, rows))


def test_what_is_no_number_stays():
    for value in (None, "text", np.zeros(2), [np.int64(1)], Convolutional, {"a": np.int64(1)}):
        assert plain(value) is value
    values = plain((np.int64(1), np.float32(0.5), np.bool_(True), np.str_("a"), (np.uint8(2),)))
    assert values == (1, 0.5, True, "a", (2,))
    assert [type(value) for value in values] == [int, float, bool, str, tuple]
