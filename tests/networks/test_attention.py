"""Attention networks against a direct computation, and what they refuse."""

from math import sqrt

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.networks import Attention, NetworkShape
from sk_autoencoder.training.seeding import weight_generators


def build(network, sample_shape=(2, 6), widths=(8, 12), n_members=1, **changes):
    kinds = {"activation": "silu", "out_activation": "identity", "n_members": n_members, "dtype": "float64"}
    shape = NetworkShape(int(np.prod(sample_shape)), 3, 3, widths, sample_shape=sample_shape, **{**kinds, **changes})
    return network.build(shape, weight_generators(0, n_members)).eval()


def sines(n_samples, n_steps=32, seed=0):
    """Return two sensors that share a frequency, one after the other."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(1, 3, size=(n_samples, 1, 1)) * np.linspace(0, 2 * np.pi, n_steps)
    both = np.sin(phase + rng.uniform(0, 2 * np.pi, size=(n_samples, 2, 1)))
    return (both + 0.05 * rng.normal(size=both.shape)).reshape(n_samples, -1)


def applied(layer, x):
    return x @ layer.weight[0] + layer.bias[0]


def by_hand(layer, x):
    """One layer for one sample, (tokens, n_in), head by head."""
    x = x if layer.entrance is None else applied(layer.entrance, x)
    queries, keys, values = applied(layer.queries_keys_values, F.layer_norm(x, x.shape[-1:])).chunk(3, dim=-1)
    size = layer.width // layer.n_heads
    heads = []
    for head in range(layer.n_heads):
        q, k, v = (part[:, head * size : (head + 1) * size] for part in (queries, keys, values))
        heads.append((q @ k.T / sqrt(size)).softmax(dim=-1) @ v)
    x = x + applied(layer.mixed, torch.cat(heads, dim=-1))
    return x + applied(layer.outer, F.silu(applied(layer.inner, F.layer_norm(x, x.shape[-1:]))))


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize("patch_size", [1, 3])
def test_is_a_direct_computation(patch_size, positions):
    module = build(Attention(n_heads=4, patch_size=patch_size, positions=positions))
    rows = torch.randn(1, 5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    codes, outputs = module.encode(rows), module(rows)
    for row, code, output in zip(rows[0], codes[0], outputs[0], strict=True):
        sensors = row.view(2, 6)
        steps = range(0, 6, patch_size)
        tokens = torch.stack([sensors[:, step : step + patch_size].flatten() for step in steps])
        x = applied(module.embedding, tokens) + module.encoder_positions[0]
        for layer in module.encoder_layers:
            x = by_hand(layer, x)
        pooled = F.layer_norm(x, x.shape[-1:]).mean(dim=0)
        torch.testing.assert_close(applied(module.to_code, pooled)[0], code)
        x = applied(module.from_code, code).view(len(steps), -1) + module.decoder_positions[0]
        for layer in module.decoder_layers:
            x = by_hand(layer, x)
        rebuilt = applied(module.to_token, F.layer_norm(x, x.shape[-1:])).view(len(steps), 2, patch_size)
        torch.testing.assert_close(torch.cat([*rebuilt], dim=1).flatten(), output)


def test_sinusoidal_positions():
    module = build(Attention())
    expected = [[np.sin(t), np.cos(t), np.sin(t / 10), np.cos(t / 10)] for t in range(6)]
    np.testing.assert_allclose(module.encoder_positions[0, :, :4], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_exported_modules_have_their_own_weights_alone(positions, rows):
    network = Attention(positions=positions)
    model = AutoencoderTransformer(2, network=network, objective="adversarial", hidden_layer_sizes=(8,), max_iter=1)
    encoder, decoder = (
        {name.partition("network.")[2] for name, _ in half.named_parameters()} for half in model.fit(rows).to_torch()
    )
    everything = {name for name, _ in model.net_.module_.named_parameters()}
    assert {name for name in everything if name.startswith("discriminator")} == everything - encoder - decoder
    assert not encoder & decoder
    assert {"to_code.weight"} <= encoder


def test_members_are_separate_networks():
    module = build(Attention(), n_members=3)
    rows = torch.randn(3, 5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    together = module(rows)
    alone = build(Attention(), n_members=1)
    torch.testing.assert_close(alone(rows[:1])[0], together[0])
    assert not torch.allclose(module(rows[:1].expand(3, -1, -1))[0], module(rows[:1].expand(3, -1, -1))[1])


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_learns_sines(positions):
    X = sines(300)
    network = Attention(n_heads=2, patch_size=4, positions=positions, sample_shape=(2, 32))
    model = AutoencoderTransformer(
        6, network=network, hidden_layer_sizes=(32,), corruption=None, max_iter=100, batch_size=32, random_state=0
    ).fit(X)
    assert model.loss_curve_[-1] < 0.3 * model.loss_curve_[0]
    assert model.score(sines(100, seed=1)) > 0.5


def test_dropout_draws_from_the_members_stream():
    X = sines(60)
    network = Attention(n_heads=2, patch_size=8, dropout=0.3, sample_shape=(2, 32))
    parameters = {"network": network, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    before = torch.get_rng_state()
    fewer, more = (AutoencoderOutlierDetector(2, n_estimators=n, **parameters).fit(X) for n in (5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert (
        fewer.loss_curve_
        != AutoencoderOutlierDetector(
            2, n_estimators=5, **{**parameters, "network": Attention(2, 8, sample_shape=(2, 32))}
        )
        .fit(X)
        .loss_curve_
    )
    torch.testing.assert_close(*(m.net_.module_.embedding.weight[0].detach() for m in (fewer, more)))
    np.testing.assert_array_equal(fewer.reconstruct(X), fewer.reconstruct(X))


@pytest.mark.parametrize("sample_shape", [None, (5, 1), (1, 5)])
def test_one_step_and_one_sensor(sample_shape, rows):
    network = Attention(n_heads=1, sample_shape=sample_shape)
    model = AutoencoderTransformer(2, network=network, hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(rows)
    assert np.isfinite(model.reconstruct(rows)).all()
    if sample_shape is None:
        one = network.set_params(sample_shape=(1, 5))
        same = AutoencoderTransformer(2, network=one, hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(rows)
        np.testing.assert_array_equal(same.transform(rows), model.transform(rows))


@pytest.mark.parametrize(
    ("network", "sizes", "message"),
    [
        (Attention(patch_size=2), (8,), r"Attention\(patch_size=2\) does not divide the 5 steps of a sample"),
        (Attention(n_heads=3), (6, 8), r"Attention\(n_heads=3\) does not divide all of hidden_layer_sizes=\(6, 8\)"),
        (Attention(), (), r"Attention needs at least one layer, got hidden_layer_sizes=\(\)"),
        (Attention(sample_shape=(1, 5, 1)), (8,), r"reads samples as \(sensors, steps\), but sample_shape=\(1, 5, 1\)"),
        (Attention(positions="none"), (8,), "The 'positions' parameter of Attention must be"),
    ],
)
def test_what_does_not_fit_is_named_before_training(network, sizes, message, rows):
    model = AutoencoderTransformer(2, network=network, hidden_layer_sizes=sizes)
    with pytest.raises(ValueError, match=message):
        model.fit(rows)
    assert not hasattr(model, "net_")
