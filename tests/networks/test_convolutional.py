"""The convolutional family: sizes of feature maps, first weights, dropout, bits, and how rows are read."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.blocks import BLOCK_ROWS
from sk_autoencoder.networks import Convolutional, NetworkShape
from sk_autoencoder.training.seeding import seeded, weight_generators


def build(network, sample_shape, hidden_layer_sizes=(8, 5), n_members=1, **changes):
    sizes = {"n_features": int(np.prod(sample_shape)), "n_components": 3, "n_encoded": 3}
    kinds = {"activation": "tanh", "out_activation": "identity", "n_members": n_members}
    shape = NetworkShape(
        **{**sizes, **kinds, **changes}, hidden_layer_sizes=hidden_layer_sizes, sample_shape=sample_shape
    )
    return network.build(shape, weight_generators(0, n_members))


def rows(width, n_members=1, n=6):
    return torch.rand(n_members, n, width, generator=torch.Generator().manual_seed(0))


def test_four_strided_layers_return_images_of_28_x_28():
    module = build(Convolutional(), (1, 28, 28), (16, 32, 64, 128))
    assert module.sizes == [(28, 28), (14, 14), (7, 7), (4, 4), (2, 2)]
    assert module.last_map == (128, 2, 2)
    assert module(rows(784)).shape == (1, 6, 784)


@pytest.mark.parametrize("sample_shape", [(1, 1), (1, 2), (3, 17), (1, 1, 1), (2, 9, 5), (3, 1, 8)])
@pytest.mark.parametrize("network", [Convolutional(), Convolutional(5, 3), Convolutional(1, 1), Convolutional(3, 4)])
def test_every_size_comes_back(sample_shape, network):
    module = build(network, sample_shape, n_members=2)
    X = rows(module.shape.n_features, 2)
    assert module(X).shape == X.shape
    encoder, decoder = module.plain()
    torch.testing.assert_close(decoder(encoder(X[0])), module(X)[0])


def test_shares_one_kernel_over_all_places():
    """Moving an image by two strides moves the first feature map by two cells."""
    kernels = [tuple(kernel.shape) for kernel in build(Convolutional(), (2, 9, 5), n_members=3).encoder_kernels]
    assert kernels == [(3, 8, 2, 3, 3), (3, 5, 8, 3, 3)]
    module = build(Convolutional(), (1, 16), (8,))
    X = torch.zeros(1, 2, 16)
    X[0, 0, 4], X[0, 1, 8] = 1.0, 1.0
    first, moved = module.plain()[0][:2](X[0]).detach()
    torch.testing.assert_close(moved[:, 4:8], first[:, 2:6])


def test_first_weights_keep_the_spread_of_a_signal():
    sizes = {"n_components": 64, "n_encoded": 64, "activation": "identity"}
    module = build(Convolutional(), (1, 32, 32), (32, 64, 128), **sizes).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    assert 0.5 < float(module.encode(torch.randn(1, 50, 1024, generator=generator)).std()) < 2
    assert 0.1 < float(module.decode(torch.randn(1, 50, 64, generator=generator)).std()) < 2


@pytest.mark.parametrize(
    "network", [Convolutional(sample_shape=(1, 8, 8)), Convolutional(sample_shape=(2, 32))], ids=str
)
def test_reduced_precision(network):
    """Convolutions are computed in bfloat16, as torch's own, and the weights stay float32."""
    X = np.random.default_rng(0).normal(size=(100, 64)).astype(np.float32)
    models = [
        AutoencoderTransformer(4, network=network, precision=precision, max_iter=3, random_state=0).fit(X)
        for precision in ("float32", "bfloat16")
    ]
    expected, found = (model.loss_curve_ for model in models)
    assert found != expected
    np.testing.assert_allclose(found, expected, rtol=0.02)
    assert {weight.dtype for weight in models[1].net_.module_.parameters()} == {torch.float32}


class TestDropout:
    def test_only_while_training(self):
        module, plain = build(Convolutional(dropout=0.4), (1, 16)), build(Convolutional(), (1, 16))
        torch.testing.assert_close(module.eval()(rows(16)), plain(rows(16)))

    def test_members_draw_from_their_own_generators(self):
        module = build(Convolutional(dropout=0.4), (1, 16), n_members=2).train()
        module.noise = seeded(np.array([5, 6], dtype=np.uint64), torch.device("cpu"))
        dropped = module._activate(torch.ones(40, 8, 16), 1) / np.tanh(1)
        assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.6])
        assert dropped.mean() == pytest.approx(1, abs=0.05)
        module.noise = seeded(np.array([7, 6], dtype=np.uint64), torch.device("cpu"))
        torch.testing.assert_close(module._activate(torch.ones(40, 8, 16), 1) / np.tanh(1), dropped)

    def test_prevents_copying(self):
        assert Convolutional(dropout=0.1).prevents_copying
        assert not Convolutional().prevents_copying


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("sample_shape", "channels", "network"),
    [
        ((1, 28, 28), (5, 7), Convolutional()),
        ((3, 7, 9), (3,), Convolutional(5, 3)),
        ((2, 33), (7, 33, 1), Convolutional(3, 1)),
    ],
)
def test_row_in_any_batch(sample_shape, channels, network, precision):
    X = np.random.default_rng(0).normal(size=(2 * BLOCK_ROWS + 10, int(np.prod(sample_shape))))
    network = clone(network).set_params(sample_shape=sample_shape)
    shapes = {"hidden_layer_sizes": channels, "precision": precision}
    model = AutoencoderTransformer(3, network=network, max_iter=1, random_state=0, **shapes).fit(X)
    codes, decoded = model.transform(X), model.reconstruct(X)
    for part in (slice(0, 1), slice(3, 8), slice(70, 71), slice(BLOCK_ROWS - 1, BLOCK_ROWS + 3), slice(5, None)):
        np.testing.assert_array_equal(model.transform(X[part]), codes[part])
        np.testing.assert_array_equal(model.reconstruct(X[part]), decoded[part])


class TestSampleShape:
    def test_none_is_one_channel(self):
        X = np.random.default_rng(0).normal(size=(30, 12))
        models = [
            AutoencoderTransformer(
                2, network=Convolutional(sample_shape=shape), hidden_layer_sizes=(4, 8), max_iter=2, random_state=0
            ).fit(X)
            for shape in (None, (1, 12), [1, 12], np.array([1, 12]))
        ]
        for model in models[1:]:
            np.testing.assert_array_equal(model.transform(X), models[0].transform(X))

    def test_images_and_members(self):
        X = np.random.default_rng(0).normal(size=(40, 2 * 6 * 5))
        detector = AutoencoderOutlierDetector(
            n_components=2, network=Convolutional(sample_shape=(2, 6, 5)), n_estimators=3, max_iter=2, random_state=0
        ).fit(X)
        assert detector.net_.module_.encoder_kernels[0].shape == (3, 16, 2, 3, 3)
        assert detector.feature_scores(X).shape == X.shape

    @pytest.mark.parametrize(
        ("sample_shape", "message"),
        [
            ((2, 3), r"sample_shape=\(2, 3\) has 2 x 3 = 6 entries, but X has 5 features"),
            ((1, 2.5), r"sample_shape=\(1, 2.5\) must contain positive integers"),
            ((-1, -5), r"sample_shape=\(-1, -5\) must contain positive integers"),
            (5, r"sample_shape' parameter of Convolutional must be an array-like or None"),
        ],
    )
    def test_that_does_not_fit(self, sample_shape, message, rows):
        with pytest.raises(ValueError, match=message):
            AutoencoderTransformer(2, network=Convolutional(sample_shape=sample_shape)).fit(rows)

    @pytest.mark.parametrize("sample_shape", [(5,), (1, 1, 1, 5)])
    def test_of_unknown_axes(self, sample_shape, rows):
        with pytest.raises(ValueError, match=r"must be \(channels, steps\) or \(channels, height, width\), got"):
            AutoencoderTransformer(2, network=Convolutional(sample_shape=sample_shape)).fit(rows)


def test_even_kernel_is_refused(rows):
    with pytest.raises(ValueError, match="Convolutional needs an odd kernel_size, got 4; use"):
        AutoencoderTransformer(2, network=Convolutional(kernel_size=4)).fit(rows)


def test_no_layer_is_refused(rows):
    with pytest.raises(ValueError, match=r"Convolutional needs at least one number .* in hidden_layer_sizes, got \(\)"):
        AutoencoderTransformer(2, network="convolutional", hidden_layer_sizes=()).fit(rows)


def test_auto_sizes_are_channels(rows):
    for kind in (AutoencoderTransformer, AutoencoderOutlierDetector):
        dense, convolutional = (
            kind(network=network, max_iter=1).fit(rows).net_.module_.shape.hidden_layer_sizes
            for network in ("dense", "convolutional")
        )
        assert convolutional == (16, 32, 64)[: len(dense)]
