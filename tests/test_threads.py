"""Small work runs on one thread, large work on those that the caller has, and the caller's number comes back."""

import threading
from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder._threads import TRAINING_STEP, threads
from sk_autoencoder.networks import Attention, Convolutional, Custom, Dense, Recurrent
from sk_autoencoder.networks.base import NetworkShape

SMALL, LARGE = (60, 5), (1000, 400)


class Watch(Callback):
    """Record how many threads an epoch has, and stop where it is told to."""

    def __init__(self, error=None):
        self.error, self.seen = error, []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(torch.get_num_threads())
        if self.error is not None:
            raise self.error


def fit(shape, watch, n_threads=None):
    model = AutoencoderTransformer(
        2, hidden_layer_sizes=(500,), batch_size=1000, max_iter=1, callbacks=[watch], random_state=0
    )
    X = np.random.default_rng(0).normal(size=shape)
    return model.set_params(hidden_layer_sizes=(8,)).fit(X) if shape == SMALL else model.fit(X)


def test_fit(n_threads):
    for shape, expected in ((SMALL, 1), (LARGE, n_threads)):
        watch = Watch()
        fit(shape, watch)
        assert watch.seen == [expected]
        assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize(
    "parameters",
    [
        {"activation": "silu", "hidden_layer_sizes": (501, 301)},
        {"activation": "elu", "hidden_layer_sizes": (501, 301)},
        {"activation": "relu", "hidden_layer_sizes": (501, 301)},
        {"network": Convolutional(sample_shape=(1, 28, 28)), "hidden_layer_sizes": (32, 48)},
        {"network": Convolutional(5, sample_shape=(7, 112)), "hidden_layer_sizes": (64, 65, 66)},
        {"network": Recurrent(sample_shape=(28, 28)), "hidden_layer_sizes": (129,)},
        {"network": Attention(3, patch_size=4, sample_shape=(7, 112)), "hidden_layer_sizes": (129,)},
        {"objective": "variational", "activation": "silu", "hidden_layer_sizes": (501, 301)},
    ],
    ids=["silu", "elu", "relu", "images", "sequences", "recurrent", "attention", "variational"],
)
def test_bits_of_a_large_training(parameters, request):
    """They are the same on one, two and four threads, although threads do not get whole vector registers."""
    n_features = 784 if "network" in parameters else 785
    X = np.random.default_rng(0).normal(size=(501, n_features)).astype(np.float32)
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    found = []
    for n_threads in (1, 2, 4):
        torch.set_num_threads(n_threads)
        watch = Watch()
        model = AutoencoderTransformer(30, **parameters, batch_size=251, max_iter=1, callbacks=[watch], random_state=0)
        model.fit(X)
        assert watch.seen == [n_threads]
        found.append((model.loss_curve_, [weight.detach().numpy() for weight in model.net_.module_.parameters()]))
    for losses, weights in found[1:]:
        assert losses == found[0][0]
        assert all(map(np.array_equal, weights, found[0][1]))


def test_error_in_a_fit(n_threads):
    with pytest.raises(ValueError, match="no"):
        fit(SMALL, Watch(ValueError("no")))
    assert torch.get_num_threads() == n_threads


def test_predictions(n_threads, monkeypatch):
    X = np.random.default_rng(0).normal(size=(4000, 20))
    seen = []
    model = AutoencoderOutlierDetector(max_iter=1, random_state=0).fit(X)
    combine = model._score.combine

    def watched(terms):
        seen.append(torch.get_num_threads())
        return combine(terms)

    monkeypatch.setattr(model._score, "combine", watched)
    for rows, expected in ((X[:2] + 1, 1), (np.tile(X, (5, 1)) + 1, min(n_threads, 2))):
        seen.clear()
        model.score_samples(rows)
        assert seen[0] == expected
        assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("n_threads", [2], indirect=True)
def test_threads_beside_keep_theirs(n_threads):
    """Each Python thread has its own number: a fit in one changes it in no other, not even in one that begins then."""
    found = []
    with threads(0, 1):
        assert torch.get_num_threads() == 1
        beside = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        beside.start()
        beside.join()
    assert found == [n_threads]
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("n_threads", [2], indirect=True)
def test_concurrent_fits(n_threads):
    watches, left = [Watch(), Watch()], []

    def run(shape, watch):
        fit(shape, watch)
        left.append(torch.get_num_threads())

    pair = [threading.Thread(target=run, args=args) for args in zip((SMALL, LARGE), watches, strict=True)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()
    assert [watch.seen for watch in watches] == [[1], [n_threads]]
    assert left == [n_threads, n_threads]


def test_threads_in_proportion(n_threads):
    for n_paying in (1, 2, 3):
        with threads(n_paying * (8 << 23), TRAINING_STEP):
            assert torch.get_num_threads() == min(n_paying, n_threads)


class Encoder(nn.Sequential):
    def __init__(self, n_in, n_out):
        convolved = nn.Conv1d(1, 3, 5, padding=2)
        super().__init__(nn.Unflatten(1, (1, n_in)), convolved, nn.Flatten(), nn.Linear(3 * n_in, n_out))


@pytest.mark.parametrize(
    ("network", "sample_shape", "tolerance"),
    [
        (Dense(), None, 0.05),
        (Convolutional(), (1, 8, 8), 0.3),
        (Convolutional(), (2, 32), 0.3),
        (Custom(Encoder, nn.Linear), None, 0.05),
    ],
)
def test_multiplications_are_counted(network, sample_shape, tolerance):
    n_rows, shape = 16, NetworkShape(64, 8, 8, (16, 32), "relu", "identity", 2, sample_shape=sample_shape)
    module = network.build(shape, [torch.Generator().manual_seed(member) for member in range(2)])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(2, n_rows, 64))
    assert module.n_multiplications == pytest.approx(counter.get_total_flops() / 2 / n_rows, rel=tolerance)
