"""What has to be the same bit for bit: a second fit, a row in any batch, a stored model."""

import dataclasses
import inspect
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import clone

import sk_autoencoder
from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer, _threads, trusted_types
from sk_autoencoder._parts import Part
from sk_autoencoder.blocks import BLOCK_ROWS
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Custom, Dense
from sk_autoencoder.networks.activations import ACTIVATIONS

from .variants import AXES, ESTIMATORS, VARIANTS, assert_equal, outputs

each_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


@each_variant
def test_second_fit(variant, rows):
    first, second = clone(variant).fit(rows), clone(variant).fit(rows)
    assert_equal(outputs(second, rows), outputs(first, rows))
    assert second.loss_curve_ == first.loss_curve_

    refitted = first.fit(rows)
    assert_equal(outputs(refitted, rows), outputs(second, rows))


@each_estimator
def test_another_seed_gives_another_model(estimator, rows):
    first, second = (outputs(estimator(max_iter=2, random_state=seed).fit(rows), rows) for seed in (0, 1))
    way = "transform" if "transform" in first else "score_samples"
    assert not np.array_equal(first[way], second[way])


@each_variant
def test_calls_after_fit_change_nothing(variant, rows):
    model = clone(variant).fit(rows)
    before = outputs(model, rows)
    assert_equal(outputs(model, rows), before)


def _pickled(model):
    return pickle.loads(pickle.dumps(model))


def _with_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def _with_skops(model):
    stored = skops.io.dumps(model)
    return skops.io.loads(stored, trusted=trusted_types())


@each_variant
def test_pickled(variant, rows):
    model = clone(variant).fit(rows)
    copy = _pickled(model)
    assert_equal(outputs(copy, rows), outputs(model, rows))
    assert (copy.loss_curve_, copy.n_iter_, copy.best_loss_) == (model.loss_curve_, model.n_iter_, model.best_loss_)
    assert_equal(outputs(_pickled(copy), rows), outputs(model, rows))


@each_variant
def test_stored_with_joblib(variant, rows):
    model = clone(variant).fit(rows)
    assert_equal(outputs(_with_joblib(model), rows), outputs(model, rows))


@each_variant
def test_stored_with_skops(variant, rows):
    """The published list of types is all that a user has to trust."""
    model = clone(variant).fit(rows)
    assert_equal(outputs(_with_skops(model), rows), outputs(model, rows))


def test_trusted_types_are_those_of_this_package_that_a_name_can_stand_for():
    names = trusted_types()
    assert names == sorted(set(names))
    assert [name for name in names if not name.startswith("sk_autoencoder.")] == []
    public = {kind for kind in vars(sk_autoencoder).values() if inspect.isclass(kind) and issubclass(kind, Part)}
    parts = {kind for kind in public if Part not in kind.__bases__} - {Custom}  # children of Part are abstract
    assert {f"{kind.__module__}.{kind.__name__}" for kind in parts} - set(names) == set()
    assert not [name for name in names if "custom" in name.lower()]


def test_a_registered_part_of_another_package_is_not_trusted(monkeypatch):
    monkeypatch.setitem(AXES["loss"], "foreign", ForeignLoss)
    assert not [name for name in trusted_types() if "ForeignLoss" in name]


class ForeignLoss(Loss):
    pass


def maker(n_in, n_out):
    return torch.nn.Linear(n_in, n_out)


def test_makers_are_not_trusted(rows):
    """Opening a model would call them; who trusts one says so."""
    model = AutoencoderTransformer(2, network=Custom(encoder=maker, decoder=maker), max_iter=1).fit(rows)
    stored = skops.io.dumps(model)
    needed = [f"{Custom.__module__}.Custom", f"{__name__}.maker"]
    assert sorted(set(skops.io.get_untrusted_types(data=stored)) - set(trusted_types())) == needed
    for trusted in ([], needed[:1], needed[1:]):
        with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException):
            skops.io.loads(stored, trusted=trusted_types() + trusted)
    opened = skops.io.loads(stored, trusted=trusted_types() + needed)
    assert_equal(outputs(opened, rows), outputs(model, rows))


@each_estimator
def test_state_holds_no_torch_object(estimator, rows):
    stored = pickle.dumps(estimator(max_iter=2, warm_start=True).fit(rows))
    found = []

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            found.append(module)
            return super().find_class(module, name)

    Unpickler(io.BytesIO(stored)).load()
    assert not [module for module in found if module.startswith(("torch", "skorch"))]


@each_estimator
@pytest.mark.parametrize("version", [1, 999, None])
def test_state_of_another_version(version, estimator, rows):
    state = estimator(max_iter=2).fit(rows).__getstate__()
    state["_state_version"] = version
    with pytest.raises(
        ValueError, match=f"stored in format {version}, but this version of sk_autoencoder reads format"
    ):
        estimator.__new__(estimator).__setstate__(state)


@each_estimator
def test_state_without_a_version(estimator, rows):
    state = estimator(max_iter=2).fit(rows).__getstate__()
    del state["_state_version"]
    with pytest.raises(ValueError, match="stored in format None, but this version of sk_autoencoder reads format"):
        estimator.__new__(estimator).__setstate__(state)


@each_estimator
def test_setting_a_state_leaves_it_as_it_is(estimator, rows):
    """So that a second copy can be made of it."""
    model = estimator(max_iter=2, random_state=0).fit(rows)
    state = model.__getstate__()
    before = set(state)
    for _ in "ab":
        copy = estimator.__new__(estimator)
        copy.__setstate__(state)
        assert_equal(outputs(copy, rows), outputs(model, rows))
    assert set(state) == before


SIZES = [
    *[("n_features", 10**9), ("n_components", 10**9), ("n_encoded", 10**9), ("hidden_layer_sizes", (10**9,))],
    *[("hidden_layer_sizes", (10**18, 10**18)), ("n_members", 10**9), ("n_members", 0), ("n_components", -1)],
]


@pytest.mark.parametrize("network", ["dense", "convolutional"])
@pytest.mark.parametrize(("name", "size"), SIZES)
def test_sizes_that_are_not_those_of_the_arrays(name, size, network, rows):
    """They are found before memory is taken for them."""
    model = AutoencoderTransformer(2, network=network, hidden_layer_sizes=(4,), max_iter=1).fit(rows)
    state = model.__getstate__()
    state["_shape"] = dataclasses.replace(state["_shape"], **{name: size})
    with pytest.raises(ValueError, match="do not have the expected shapes, so the file is damaged"):
        AutoencoderTransformer.__new__(AutoencoderTransformer).__setstate__(state)


@pytest.mark.parametrize("name", ["n_features", "n_members"])
def test_sizes_of_own_networks(name, rows):
    """No maker is called for what the arrays cannot be."""
    calls = []

    def maker(n_in, n_out):
        calls.append((n_in, n_out))
        return torch.nn.Linear(n_in, n_out)

    model = AutoencoderTransformer(2, network=Custom(encoder=maker, decoder=maker), max_iter=1).fit(rows)
    state = model.__getstate__()
    state["_shape"] = dataclasses.replace(state["_shape"], **{name: 10**9})
    calls.clear()
    with pytest.raises(ValueError, match="do not have the expected shapes"):
        AutoencoderTransformer.__new__(AutoencoderTransformer).__setstate__(state)
    assert calls == []


@each_estimator
def test_unfitted_estimators_are_stored(estimator):
    assert _pickled(estimator(max_iter=3)).max_iter == 3


def _positions(n_rows):
    """First, last and some rows between, on both sides of a block's end."""
    chosen = [0, 1, 2, 3, 7, 15, 16, 17, 100, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, n_rows - 1]
    return [position for position in chosen if position < n_rows]


def _assert_batches_do_not_matter(model, X):
    whole = outputs(model, X)
    for position in _positions(len(X)):
        for part in (slice(position, position + 1), slice(position, position + 5), slice(0, position + 1)):
            assert_equal(outputs(model, X[part]), {way: result[part] for way, result in whole.items()})
    order = np.random.default_rng(0).permutation(len(X))
    assert_equal(outputs(model, X[order]), {way: result[order] for way, result in whole.items()})


@each_variant
def test_row_in_any_batch(variant):
    X = np.random.default_rng(0).normal(size=(BLOCK_ROWS + 50, 7))
    _assert_batches_do_not_matter(clone(variant).fit(X), X)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("width", [7, 33, 100])
def test_row_in_any_batch_at_odd_widths(width, activation, precision):
    X = np.random.default_rng(width).normal(size=(BLOCK_ROWS + 50, width))
    parameters = {"activation": activation, "precision": precision, "random_state": 0}
    for sizes, network in (
        ((33,), Dense(out_activation=activation)),
        ((100, 7), Dense(True, out_activation=activation)),
    ):
        model = AutoencoderTransformer(3, hidden_layer_sizes=sizes, network=network, max_iter=1, **parameters)
        _assert_batches_do_not_matter(model.fit(X), X)


@pytest.mark.parametrize("n_threads", [2, 4], indirect=True)
@pytest.mark.parametrize("width", [1, 33, 800])  # threads share a single product of wide rows
def test_row_in_any_batch_with_threads(width, n_threads, monkeypatch):
    """Also where each array is large enough for several threads."""
    X = np.random.default_rng(0).normal(size=(3 * BLOCK_ROWS, width))
    models = [
        AutoencoderTransformer(1, max_iter=1, random_state=0).fit(X),
        AutoencoderOutlierDetector(max_iter=1, random_state=0).fit(X),
    ]
    new = np.random.default_rng(1).normal(size=(20 * BLOCK_ROWS, width))
    results = [[models[0].transform(new), models[1].score_samples(new)]]
    monkeypatch.setattr(_threads, "_LEAST_SHARE", 1e-9)
    results.append([models[0].transform(new), models[1].score_samples(new)])
    for one, several in zip(*results, strict=True):
        np.testing.assert_array_equal(one, several)
    for model in models:
        _assert_batches_do_not_matter(model, X)


@pytest.mark.parametrize("name", [name for name in VARIANTS if "network=" in name or "objective=" in name])
def test_eight_threads(name):
    """Every public way, on batches of many sizes at once."""
    X = np.random.default_rng(0).normal(size=(3 * BLOCK_ROWS, 7))
    model = clone(VARIANTS[name]).fit(X[:100])
    batches = [X[:n_rows] for n_rows in (1, 17, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, len(X), 3, 80)] * 2
    expected = [outputs(model, batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for found, alone in zip(pool.map(partial(outputs, model), batches), expected, strict=True):
            assert_equal(found, alone)
