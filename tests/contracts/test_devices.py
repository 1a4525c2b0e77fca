"""Every tensor names its device; what was fitted on a GPU opens everywhere."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sk_autoencoder import AutoencoderClassifier, AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian
from sk_autoencoder.objectives import CONSISTENCIES

from .variants import ESTIMATORS, VARIANTS, assert_equal, outputs

each_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def all_ways(model, X, X_val, **weights):
    """Fit, store, and every public method."""
    model.fit(X, X_val=X_val, **weights)
    results = outputs(pickle.loads(pickle.dumps(model)), X)
    if hasattr(model, "partial_fit"):
        results["score"] = model.score(X)
        encoder, decoder = model.to_torch()
        with torch.device("cpu"):
            results["to_torch"] = decoder(encoder(torch.tensor(X, device=model.net_.device))).detach().cpu().numpy()
        if not model._validates:
            model.partial_fit(X)
    return results


@each_variant
def test_tensors_that_forgot_their_device_would_be_on_meta(variant, rows):
    model = clone(variant).set_params(device="cpu")
    expected = all_ways(clone(model), rows, rows[:20])
    with torch.device("meta"):
        found = all_ways(model, rows, rows[:20])
    assert_equal(found, expected)


@each_variant
def test_tensors_of_missing_values_and_weights(variant, rows):
    X = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, np.nan, rows)
    weighs = isinstance(variant, AutoencoderTransformer)
    weights = {"sample_weight": np.arange(len(X)), "sample_weight_val": np.arange(20)} if weighs else {}
    model = clone(variant).set_params(device="cpu")
    expected = all_ways(clone(model), X, X[:20], **weights)
    with torch.device("meta"):
        found = all_ways(model, X, X[:20], **weights)
    assert_equal(found, expected)


@pytest.mark.parametrize("training", ["frozen", "finetune", "joint"])
@pytest.mark.parametrize("consistency", CONSISTENCIES)
def test_tensors_of_a_head(training, consistency, rows):
    autoencoder = AutoencoderTransformer(2, device="cpu", max_iter=2)
    X, y = rows.copy(), np.arange(len(rows)) % 3 - 1
    X[::5, 0] = np.nan
    model = AutoencoderClassifier(
        autoencoder, training=training, consistency=consistency, n_estimators=2, max_iter=2, random_state=0
    )
    expected = clone(model).fit(X, y, sample_weight=np.arange(len(X)), X_val=X[:20], y_val=y[:20]).predict_proba(X)
    with torch.device("meta"):
        found = model.fit(X, y, sample_weight=np.arange(len(X)), X_val=X[:20], y_val=y[:20]).predict_proba(X)
    np.testing.assert_array_equal(found, expected)


def test_the_meta_device_breaks_a_forgotten_device(rows):
    """The test above can fail: a part that forgets its device does break."""

    class Forgetful(Gaussian):
        def __call__(self, rows, generator):
            return rows + torch.zeros(1)

    with torch.device("meta"), pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        AutoencoderTransformer(2, corruption=Forgetful(), device="cpu", max_iter=1).fit(rows)


def _what_there_is():
    indices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ", ".join(map(repr, ["auto", "cpu", *(["cuda"] if indices else []), *indices]))


@pytest.mark.parametrize(
    ("device", "fault"),
    [
        *((name, "is not a torch device") for name in ("gpu", "CPU", "Auto", "cuda:x", "cuda:-1", "0", "")),
        *((kind, "is not supported: networks run on") for kind in ("mps", "mps:0", "xpu", "hpu", "meta", "vulkan")),
        ("cpu:1", "was asked for, but this machine has no such device"),
        ("cuda:77", "was asked for, but t"),
        (torch.device("mps"), "is not supported: networks run on"),
        (torch.device("cuda", 77), "was asked for, but t"),
    ],
    ids=str,
)
@each_estimator
def test_device_that_cannot_be_used(estimator, device, fault, rows):
    model = estimator(device=device)
    with pytest.raises(ValueError, match=rf"device='{device}' {fault}.*; use one of {_what_there_is()}\."):
        model.fit(rows)
    assert not hasattr(model, "net_")


@each_estimator
def test_what_names_no_device(estimator, rows):
    with pytest.raises(ValueError, match=r"The 'device' parameter of \w+ must be an instance of 'str' or .* Got 0"):
        estimator(device=0).fit(rows)


@pytest.mark.parametrize("device", [torch.device("cpu"), torch.device("cpu", 0), "cpu:0", np.str_("cpu")], ids=repr)
@each_estimator
def test_device_objects(estimator, device, rows):
    model = estimator(max_iter=1, device=device, random_state=0).fit(rows)
    assert model.device is device
    assert model.net_.device == "cpu"
    expected = outputs(clone(model).set_params(device="cpu").fit(rows), rows)
    assert_equal(outputs(model, rows), expected)
    assert type(model.__getstate__()["device"]) is str
    assert_equal(outputs(pickle.loads(pickle.dumps(model)), rows), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@each_estimator
def test_no_cuda_device(estimator, rows):
    with pytest.raises(ValueError, match="device='cuda' was asked for, but torch finds no CUDA device"):
        estimator(device="cuda").fit(rows)
    assert estimator(max_iter=1).fit(rows).net_.device == "cpu"


@pytest.mark.parametrize("device", ["cuda:77", "mps", "xpu", "hpu", torch.device("cuda", 77), torch.device("mps")])
@each_estimator
def test_model_opens_on_the_cpu_where_its_device_is_missing(estimator, device, rows):
    model = estimator(max_iter=1, device="cpu", random_state=0).fit(rows)
    expected = outputs(model, rows)
    model.device = device
    copy = pickle.loads(pickle.dumps(model))
    assert copy.net_.device == "cpu"
    assert_equal(outputs(copy, rows), expected)
