"""What is promised on a CUDA device; run by ``python -m benchmarks.cuda`` where there is one."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone
from skorch.callbacks import Callback

from sk_autoencoder import (
    AutoencoderClassifier,
    AutoencoderOutlierDetector,
    AutoencoderRegressor,
    AutoencoderTransformer,
    TimeSeriesOutlierDetector,
)
from sk_autoencoder.losses import LOSSES
from sk_autoencoder.networks import Dense, Recurrent
from sk_autoencoder.objectives import CONSISTENCIES, Reconstruction
from sk_autoencoder.training import net
from sk_autoencoder.training import rows as training_rows

from .test_devices import all_ways
from .variants import ESTIMATORS, VARIANTS, assert_equal, outputs

# Variants that differ by more than numbers in what the device computes.
BY_OPERATIONS = [
    name for name in VARIANTS if any(f"{axis}=" in name for axis in ("network", "objective", "loss", "score"))
]

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]


def _on_the_cpu(model):
    """Return a copy of a fitted model on the CPU."""
    with_device = getattr(model, "autoencoder_", None) or getattr(model, "detector_", None) or model
    with_device.device = "cpu"
    return pickle.loads(pickle.dumps(model))


class Interrupting(Callback):
    """Stop the training with an error after the eighth epoch."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 9:
            raise RuntimeError("interrupted")


CAPTURED = [
    *({"loss": name} for name in sorted(LOSSES)),
    {"network": Dense(tied_weights=True)},
    {"corruption": "masking"},
    {"activation": "tanh", "hidden_layer_sizes": (16, 8)},
    {"learning_rate": "constant", "alpha": 0.1},
    {"precision": "float64"},
    {"precision": "bfloat16"},
    {"objective": Reconstruction(sparsity="l1")},
    {"objective": Reconstruction(sparsity="kl")},
    {"network": "convolutional"},
    {"network": "attention"},
    {"network": Recurrent(), "hidden_layer_sizes": (8, 8)},
    {"network": Recurrent(cell="gru", bidirectional=True)},
    {"network": Recurrent(feedback=True)},
    {"network": Dense(layerwise_pretraining=True), "hidden_layer_sizes": (16, 8)},
]


def test_auto_takes_cuda(rows):
    for estimator in ESTIMATORS:
        model = estimator(max_iter=1).fit(rows)
        assert all(parameter.is_cuda for parameter in model.net_.module_.parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_second_fit(name, rows):
    first, second = (clone(VARIANTS[name]).set_params(device="cuda").fit(rows) for _ in range(2))
    assert_equal(outputs(first, rows), outputs(second, rows))


@pytest.mark.parametrize("name", VARIANTS)
def test_opens_on_the_cpu(name, rows):
    model = clone(VARIANTS[name]).set_params(device="cuda").fit(rows)
    expected = outputs(model, rows)
    model.device = "cpu"
    copy = pickle.loads(pickle.dumps(model))
    assert not any(parameter.is_cuda for parameter in copy.net_.module_.parameters())
    for way, result in outputs(copy, rows).items():
        np.testing.assert_allclose(result, expected[way], rtol=1e-2, atol=1e-3 * np.abs(expected[way]).max())


@pytest.mark.parametrize("name", BY_OPERATIONS)
def test_row_in_any_batch(name):
    X = np.random.default_rng(0).normal(size=(600, 9))
    model = clone(VARIANTS[name]).set_params(device="cuda").fit(X)
    whole = outputs(model, X)
    for part in (slice(0, 1), slice(100, 103), slice(255, 258), slice(599, 600)):
        assert_equal(outputs(model, X[part]), {way: result[part] for way, result in whole.items()})


def test_first_weights_do_not_depend_on_the_device(rows):
    weights = []
    for device in ("cpu", "cuda"):
        model = AutoencoderTransformer(max_iter=1, learning_rate_init=1e-12, device=device, random_state=0)
        weights.append(next(model.fit(rows).net_.module_.parameters()).detach().cpu())
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-9)


def test_cudnn_is_as_it_was(rows):
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    AutoencoderTransformer(max_iter=1, network="convolutional").fit(rows)
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == before


@pytest.mark.parametrize("name", VARIANTS)
def test_every_way_with_missing_values(name, rows):
    X = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, np.nan, rows)
    variant = clone(VARIANTS[name]).set_params(device="cuda")
    weights = {"sample_weight": np.arange(len(X))} if isinstance(variant, AutoencoderTransformer) else {}
    all_ways(variant, X, X[:20], **weights)


@pytest.mark.parametrize("training", ["frozen", "finetune", "joint"])
def test_heads(training, rows):
    y = np.arange(len(rows)) % 3 - 1
    autoencoder = AutoencoderTransformer(2, device="cuda", max_iter=3)
    for consistency in (None, *CONSISTENCIES):
        model = AutoencoderClassifier(
            autoencoder, training=training, consistency=consistency, n_estimators=2, max_iter=3, random_state=0
        )
        found, again = (clone(model).fit(rows, y).predict_proba(rows) for _ in range(2))
        np.testing.assert_array_equal(found, again)
        np.testing.assert_allclose(_on_the_cpu(model.fit(rows, y)).predict_proba(rows), found, atol=1e-3)
    regressor = AutoencoderRegressor(autoencoder, training=training, max_iter=3, random_state=0)
    found = regressor.fit(rows, rows[:, 0]).predict(rows)
    np.testing.assert_allclose(_on_the_cpu(regressor).predict(rows), found, atol=1e-3)


def test_series():
    X = np.random.default_rng(0).normal(size=(400, 3)).cumsum(axis=0)
    detector = AutoencoderOutlierDetector(max_iter=3, n_estimators=2, device="cuda")
    model = TimeSeriesOutlierDetector(detector, window_size=16, random_state=0)
    found, again = (clone(model).fit(X).score_samples(X) for _ in range(2))
    np.testing.assert_array_equal(found, again)
    np.testing.assert_allclose(_on_the_cpu(model.fit(X)).score_samples(X), found, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("parameters", CAPTURED, ids=str)
def test_captured_steps(parameters, rows, monkeypatch):
    X = np.where(np.random.default_rng(0).random(rows.shape) < 0.1, np.nan, rows)
    weight = np.arange(len(X))
    model = AutoencoderTransformer(2, **parameters, batch_size=32, max_iter=20, device="cuda", random_state=0)
    found = clone(model).fit(X, sample_weight=weight)
    monkeypatch.setattr(net, "capture_on", lambda device: None)
    assert_equal(outputs(found, rows), outputs(model.fit(X, sample_weight=weight), rows))
    assert found.loss_curve_ == model.loss_curve_


def test_fits_in_threads(rows):
    models = [
        AutoencoderOutlierDetector(batch_size=16, max_iter=20, device="cuda", random_state=seed) for seed in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda model: clone(model).fit(rows).score_samples(rows), models))
    for model, scores in zip(models, found, strict=True):
        np.testing.assert_array_equal(model.fit(rows).score_samples(rows), scores)


def test_checkpoint(rows, tmp_path):
    model = AutoencoderTransformer(2, batch_size=16, max_iter=20, device="cuda", random_state=0)
    expected = clone(model).fit(rows).transform(rows)
    model.set_params(checkpoint=tmp_path / "training", callbacks=[Interrupting()])
    with pytest.raises(RuntimeError, match="interrupted"):
        model.fit(rows)
    np.testing.assert_array_equal(model.set_params(callbacks=None).fit(rows).transform(rows), expected)


def test_samples_that_stay_on_the_host(rows, monkeypatch):
    model = AutoencoderTransformer(2, batch_size=16, max_iter=5, device="cuda", random_state=0)
    expected = clone(model).fit(rows).transform(rows)
    np.testing.assert_array_equal(clone(model).fit(csr_array(rows)).transform(rows), expected)
    monkeypatch.setattr(training_rows, "RESIDENT_SHARE", 0.0)
    np.testing.assert_array_equal(model.fit(rows).transform(rows), expected)


def test_components_tied_in_a_score(rows):
    model = AutoencoderOutlierDetector(max_iter=3, device="cuda", random_state=0).fit(rows)
    found, expected = model.feature_scores(rows), _on_the_cpu(model).feature_scores(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3 * expected.max())
