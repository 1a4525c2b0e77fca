"""The dense family: shapes of weights, tied weights, dropout, first weights."""

import numpy as np
import pytest
import torch

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.networks import Dense, NetworkShape
from sk_autoencoder.networks.activations import ACTIVATIONS, initial_std
from sk_autoencoder.training.seeding import seeded, weight_generators


def build(network, n_members=1, **changes):
    sizes = {"n_features": 7, "n_components": 3, "n_encoded": 3, "hidden_layer_sizes": (10, 5)}
    kinds = {"activation": "tanh", "out_activation": "identity", "n_members": n_members}
    return network.build(NetworkShape(**{**sizes, **kinds, **changes}), weight_generators(0, n_members))


def rows(n_members=1, n=20, width=7):
    return torch.rand(n_members, n, width, generator=torch.Generator().manual_seed(0))


def test_weights_mirror_each_other():
    module = build(Dense(), n_members=2)
    assert [tuple(w.shape) for w in module.encoder_weights] == [(2, 7, 10), (2, 10, 5), (2, 5, 3)]
    assert [tuple(w.shape) for w in module.decoder_weights] == [(2, 3, 5), (2, 5, 10), (2, 10, 7)]
    assert [tuple(b.shape) for b in module.decoder_biases] == [(2, 1, 5), (2, 1, 10), (2, 1, 7)]


def test_is_affine_layers_and_activations():
    module = build(Dense())
    x = rows()[0]
    for layer, (weight, bias) in enumerate(zip(module.encoder_weights, module.encoder_biases, strict=True)):
        x = x @ weight[0] + bias[0]
        x = torch.tanh(x) if layer < 2 else x
    torch.testing.assert_close(module.encode(rows())[0], x)


@pytest.mark.parametrize("out_activation", ACTIVATIONS)
def test_out_activation(out_activation):
    module = build(Dense(), out_activation=out_activation)
    code = rows(width=3)
    expected = ACTIVATIONS[out_activation].function(module.decode(code, logits=True))
    torch.testing.assert_close(module.decode(code), expected)


class TestTiedWeights:
    def test_decoder_has_biases_only(self):
        module = build(Dense(tied_weights=True))
        assert len(module.decoder_weights) == 0
        assert len(module.decoder_biases) == 3
        free, tied = (sum(p.numel() for p in build(Dense(tied_weights=t)).parameters()) for t in (False, True))
        assert tied == free - (7 * 10 + 10 * 5 + 5 * 3)

    def test_decoder_is_the_transposed_encoder(self):
        module = build(Dense(tied_weights=True), hidden_layer_sizes=())
        code = rows(width=3)
        torch.testing.assert_close(module.decode(code), code @ module.encoder_weights[0].mT)

    def test_wider_encoder_is_refused(self):
        with pytest.raises(ValueError, match=r"Dense\(tied_weights=True\) needs an encoder with n_components=3"):
            build(Dense(tied_weights=True), n_encoded=6)

    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    def test_gradients_have_the_layout_of_their_weights(self, solver):
        """Fused solvers read both in the order of memory: a transposed gradient once made training diverge."""
        X = np.random.default_rng(0).normal(size=(50, 2)) @ np.random.default_rng(1).normal(size=(2, 6))
        model = AutoencoderTransformer(
            2, network=Dense(tied_weights=True), solver=solver, hidden_layer_sizes=(8,), max_iter=400, random_state=0
        ).fit(X)
        assert all(p.grad.stride() == p.stride() for p in model.net_.module_.parameters())
        assert max(model.loss_curve_) <= 1.5 * model.loss_curve_[0]
        assert model.score(X) > 0.5


class TestDropout:
    def test_rate_and_mean(self):
        module = build(Dense(dropout=0.4))
        module.noise = seeded(np.array([5], dtype=np.uint64), torch.device("cpu"))
        dropped = module.dropped(torch.ones(1, 1000, 50))
        assert (dropped == 0).float().mean() == pytest.approx(0.4, abs=0.01)
        assert dropped.mean() == pytest.approx(1, abs=0.02)

    def test_only_while_training(self):
        module = build(Dense(dropout=0.4)).eval()
        torch.testing.assert_close(module(rows()), build(Dense())(rows()))

    def test_members_draw_from_their_own_generators(self):
        module = build(Dense(dropout=0.4), n_members=2)
        module.noise = seeded(np.array([5, 6], dtype=np.uint64), torch.device("cpu"))
        together = module.dropped(torch.ones(2, 30, 8))
        module.noise = seeded(np.array([6], dtype=np.uint64), torch.device("cpu"))
        torch.testing.assert_close(module.dropped(torch.ones(1, 30, 8))[0], together[1])

    def test_neither_input_nor_code_is_dropped(self):
        module = build(Dense(dropout=0.9), hidden_layer_sizes=()).train()
        torch.testing.assert_close(module(rows()), module.eval()(rows()))

    def test_prevents_copying(self):
        assert Dense(dropout=0.1).prevents_copying
        assert not Dense().prevents_copying


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"sigmoid"}))  # its slope is at most a quarter
def test_first_weights_keep_the_spread_of_a_signal(activation):
    """Ten layers neither blow a signal up nor lose it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 256, generator=generator)
    for _ in range(10):
        weight = torch.randn(256, 256, generator=generator) * initial_std(activation, 256, 256)
        x = ACTIVATIONS[activation].function(x @ weight)
    assert 1e-4 < float((x - x.mean(dim=0)).std()) < 1e2


def test_first_weights_are_normal_with_that_spread():
    weight = build(Dense(), n_features=400, hidden_layer_sizes=(300,), activation="relu").encoder_weights[0].detach()
    assert float(weight.std()) == pytest.approx(np.sqrt(2 / 700), rel=0.02)
    assert float(weight.mean()) == pytest.approx(0, abs=1e-3)


def test_shape_knows_its_number_type():
    assert build(Dense(), dtype="float64").encoder_weights[0].dtype == torch.float64
    assert build(Dense()).encoder_weights[0].dtype == torch.float32


def test_inference_copy_is_padded_and_frozen():
    module = build(Dense(), n_features=33)
    padded = module.for_inference()
    assert padded.encoder_weights[0].shape[1] == 33
    assert all(w.shape[2] % 16 == 0 for w in padded.encoder_weights)
    assert not any(p.requires_grad for p in padded.parameters())
    assert module.encoder_weights[0].shape == (1, 33, 10)
    assert all(p.requires_grad for p in module.parameters())
