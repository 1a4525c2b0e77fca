"""Every tensor names its device; what was fitted on a GPU opens everywhere."""

import pickle
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sk_autoencoder import AutoencoderTransformer, Gaussian

from .variants import ESTIMATORS, VARIANTS, assert_equal, outputs

each_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def _all_ways(model, X, X_val):
    """Fit, store, and every public method."""
    model.fit(X, X_val=X_val)
    results = outputs(pickle.loads(pickle.dumps(model)), X)
    if hasattr(model, "partial_fit"):
        results["score"] = model.score(X)
        encoder, decoder = model.to_torch()
        with torch.device("cpu"):
            results["to_torch"] = decoder(encoder(torch.tensor(X))).detach().numpy()
        if not model.early_stopping:
            model.partial_fit(X)
    return results


@each_variant
def test_tensors_that_forgot_their_device_would_be_on_meta(variant, rows):
    model = clone(variant).set_params(device="cpu")
    expected = _all_ways(clone(model), rows, rows[:20])
    with torch.device("meta"):
        found = _all_ways(model, rows, rows[:20])
    assert_equal(found, expected)


def test_the_meta_device_breaks_a_forgotten_device(rows):
    """The test above can fail: a part that forgets its device does break."""

    class Forgetful(Gaussian):
        def __call__(self, rows, generator):
            return rows + torch.zeros(1)

    with torch.device("meta"), pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        AutoencoderTransformer(2, corruption=Forgetful(), device="cpu", max_iter=1).fit(rows)


@each_estimator
def test_unknown_device(estimator, rows):
    with pytest.raises(ValueError, match="device='gpu' is no torch device; use 'auto', 'cpu', 'cuda'"):
        estimator(device="gpu").fit(rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@each_estimator
def test_no_cuda_device(estimator, rows):
    with pytest.raises(ValueError, match="device='cuda' was asked for, but torch finds no CUDA device"):
        estimator(device="cuda").fit(rows)
    assert estimator(max_iter=1).fit(rows).net_.device == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@each_estimator
def test_model_fitted_on_cuda_opens_without(estimator, rows):
    model = estimator(max_iter=1, random_state=0).fit(rows)
    expected = outputs(model, rows)
    model.device = "cuda"
    copy = pickle.loads(pickle.dumps(model))
    assert copy.net_.device == "cpu"
    assert_equal(outputs(copy, rows), expected)


class TestCuda:
    """On a machine with a GPU."""

    pytestmark: ClassVar = [
        pytest.mark.cuda,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
    ]

    def test_auto_takes_cuda(self, rows):
        for estimator in ESTIMATORS:
            model = estimator(max_iter=1).fit(rows)
            assert all(parameter.is_cuda for parameter in model.net_.module_.parameters())

    def test_second_fit(self, rows):
        for variant in VARIANTS.values():
            first, second = (clone(variant).set_params(device="cuda").fit(rows) for _ in range(2))
            assert_equal(outputs(first, rows), outputs(second, rows))

    def test_opens_on_the_cpu(self, rows):
        for variant in VARIANTS.values():
            model = clone(variant).set_params(device="cuda").fit(rows)
            expected = outputs(model, rows)
            model.device = "cpu"
            copy = pickle.loads(pickle.dumps(model))
            assert not any(parameter.is_cuda for parameter in copy.net_.module_.parameters())
            for way, result in outputs(copy, rows).items():
                np.testing.assert_allclose(result, expected[way], rtol=1e-2, atol=1e-3 * np.abs(expected[way]).max())

    def test_row_in_any_batch(self):
        X = np.random.default_rng(0).normal(size=(600, 33))
        for variant in VARIANTS.values():
            model = clone(variant).set_params(device="cuda").fit(X)
            whole = outputs(model, X)
            for part in (slice(0, 1), slice(100, 103), slice(255, 258), slice(599, 600)):
                assert_equal(outputs(model, X[part]), {way: result[part] for way, result in whole.items()})

    def test_first_weights_do_not_depend_on_the_device(self, rows):
        weights = []
        for device in ("cpu", "cuda"):
            model = AutoencoderTransformer(max_iter=1, learning_rate_init=1e-12, device=device, random_state=0)
            weights.append(next(model.fit(rows).net_.module_.parameters()).detach().cpu())
        torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-9)

    def test_cudnn_is_as_it_was(self, rows):
        before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
        AutoencoderTransformer(max_iter=1, network="convolutional").fit(rows)
        assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == before
