"""The recurrent family: order of sensors and steps, torch's cells step by step, feedback, dropout, bits, learning."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer, _threads
from sk_autoencoder.blocks import BLOCK_ROWS
from sk_autoencoder.losses import LOSSES
from sk_autoencoder.networks import NetworkShape, Recurrent
from sk_autoencoder.networks.recurrent import in_one_chunk
from sk_autoencoder.objectives import Batch, Reconstruction
from sk_autoencoder.training.seeding import seeded, weight_generators

each_cell = pytest.mark.parametrize("cell", ["lstm", "gru"])
each_network = pytest.mark.parametrize(
    "network",
    [
        Recurrent(cell, bidirectional, feedback)
        for cell in ("lstm", "gru")
        for bidirectional, feedback in ((False, False), (True, False), (False, True), (True, True))
    ],
    ids=str,
)


def build(network, sample_shape=(2, 6), hidden_layer_sizes=(5, 7), n_members=1, **changes):
    sizes = {"n_features": int(np.prod(sample_shape)), "n_components": 3, "n_encoded": 3, "dtype": "float64"}
    kinds = {"activation": "tanh", "out_activation": "identity", "n_members": n_members}
    shape = NetworkShape(
        **{**sizes, **kinds, **changes}, hidden_layer_sizes=hidden_layer_sizes, sample_shape=sample_shape
    )
    return network.build(shape, weight_generators(0, n_members))


def draw(width, n_members=1, n=6):
    return torch.rand(n_members, n, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def by_steps(layer, member, steps, direction=0, state=None):
    """Compute one direction of a layer with torch's cell, (n_steps, n, n_in) -> (n_steps, n, n_units)."""
    weights = layer.of_members()[member][4 * direction : 4 * direction + 4]
    kind = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[layer.cell]
    cell = kind(weights[0].shape[1], weights[1].shape[1], dtype=torch.float64)
    cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh = map(nn.Parameter, weights)
    states = []
    for step in steps.flip(0) if direction else steps:
        state = cell(step, state)
        states.append(state[0] if layer.cell == "lstm" else state)
    return torch.stack(states[::-1] if direction else states)


@each_cell
@pytest.mark.parametrize("n_directions", [1, 2])
def test_encoder_is_torchs_cell_step_by_step(cell, n_directions):
    module = build(Recurrent(cell, bidirectional=n_directions == 2), n_members=2)
    X, codes = draw(12, 2), []
    for member, rows in enumerate(X):
        steps = rows.reshape(-1, 2, 6).permute(2, 0, 1)
        for layer in module.encoder:
            found = [by_steps(layer, member, steps, direction) for direction in range(n_directions)]
            steps = torch.cat(found, dim=-1)
        last = torch.cat([found[0][-1], *(states[0] for states in found[1:])], dim=-1)
        codes.append(last @ module.code_weight[member].flatten(0, 1) + module.code_bias[member])
    torch.testing.assert_close(module.encode(X), torch.stack(codes))


@each_cell
def test_decoder_gets_the_code_at_every_step_and_rebuilds_the_last_step_first(cell):
    module, code = build(Recurrent(cell)), draw(3)
    steps = code[0].expand(6, -1, -1)
    for layer in module.decoder:
        steps = by_steps(layer, 0, steps)
    sensors = steps @ module.output_weight[0] + module.output_bias[0]  # (steps, n, sensors)
    rows = module.decode(code)[0]
    for sensor in range(2):
        for step in range(6):
            torch.testing.assert_close(rows[:, 6 * sensor + step], sensors[5 - step, :, sensor])


def test_a_sample_holds_one_sensor_after_the_other():
    """Of a sequence whose last step alone reaches the code, the features 2 and 5 are that step's two sensors."""
    module = build(Recurrent("gru"), (2, 3), (4,))
    with torch.no_grad():
        module.encoder[0].state_weight.zero_()
        module.encoder[0].input_bias[:, :, 1] = -100.0  # the update gate: forget the state before
    before = module.encode(torch.zeros(1, 1, 6, dtype=torch.float64))
    changed = [
        not torch.allclose(module.encode(torch.eye(6, dtype=torch.float64)[None, [feature]]), before, atol=1e-9)
        for feature in range(6)
    ]
    assert changed == [False, False, True, False, False, True]


@pytest.mark.parametrize("sample_shape", [(1, 1), (1, 2), (3, 1), (3, 17)])
@each_network
def test_every_size_comes_back(sample_shape, network):
    module = build(network, sample_shape, n_members=2, out_activation="sigmoid").eval()
    X = draw(module.shape.n_features, 2)
    assert module(X).shape == X.shape
    fast = module.for_inference()
    torch.testing.assert_close(fast.encode(X), module.encode(X))
    torch.testing.assert_close(fast(X), module(X))
    encoder, decoder = module.plain()
    torch.testing.assert_close(encoder(X[0]), module.encode(X)[0])
    torch.testing.assert_close(decoder(encoder(X[0])), module(X)[0])


def test_weights_in_one_chunk():
    """In cuDNN's order, and with the same gradients."""
    layer = build(Recurrent(bidirectional=True)).encoder[0]
    weights = layer.of_members()[0]
    chunk = in_one_chunk(weights)
    for placed, weight in zip(chunk, weights, strict=True):
        assert torch.equal(placed, weight)
    starts = [placed.storage_offset() for placed in chunk]
    assert sorted(range(8), key=lambda index: starts[index]) == [0, 1, 4, 5, 2, 3, 6, 7]
    assert len({placed.untyped_storage().data_ptr() for placed in chunk}) == 1
    steps = draw(12)[0].reshape(6, 6, 2)
    gradients = [
        torch.autograd.grad(layer.run(steps, given)[0].square().sum(), layer.state_weight)[0]
        for given in (weights, chunk)
    ]
    torch.testing.assert_close(*gradients)


def test_second_derivatives_on_the_cpu():
    """For contractive penalties, in float32 as in float64."""
    modules, gradients = [build(Recurrent(), dtype=dtype) for dtype in ("float64", "float32")], []
    modules[1].load_state_dict({name: weight.float() for name, weight in modules[0].state_dict().items()})
    for module in modules:
        rows = draw(12).to(module.shape.torch_dtype).requires_grad_()
        (slopes,) = torch.autograd.grad(module.encode(rows).sum(), rows, create_graph=True)
        gradients.append(torch.autograd.grad(slopes.square().sum(), module.encoder[0].state_weight)[0].double())
    assert gradients[0].abs().amax() > 1e-4
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-8)


def test_export_leaves_torchs_generator():
    state = torch.get_rng_state()
    build(Recurrent(bidirectional=True, feedback=True)).plain()
    assert torch.equal(torch.get_rng_state(), state)


@each_cell
def test_first_weights(cell):
    module = build(Recurrent(cell), (2, 50), (100, 25), n_members=2)
    for layer, width in zip([*module.encoder, *module.decoder], [100, 25, 25, 100], strict=True):
        for weight in (layer.input_weight.detach(), layer.state_weight.detach()):
            assert weight.abs().max() <= width**-0.5
            assert weight.std() == pytest.approx((3 * width) ** -0.5, rel=0.1)
            assert not torch.equal(weight[0], weight[1])
        forget = [0.0, 1.0, 0.0, 0.0] if cell == "lstm" else [0.0, 0.0, 0.0]
        assert layer.input_bias.amax(dim=-1)[0, 0].tolist() == layer.input_bias.amin(dim=-1)[0, 0].tolist() == forget


@pytest.mark.parametrize("network", [Recurrent("gru"), Recurrent("gru", bidirectional=True)], ids=str)
def test_multiplications_are_counted(network):
    module = build(network, (3, 20), (16, 32), n_members=2, n_components=4, n_encoded=4)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(draw(60, 2, n=16))
    assert module.n_multiplications == pytest.approx(counter.get_total_flops() / 2 / 16, rel=0.05)


class TestFeedback:
    @each_cell
    def test_first_state_is_the_codes_and_each_step_gets_the_one_before(self, cell):
        module, code = build(Recurrent(cell, feedback=True), hidden_layer_sizes=(5,), out_activation="tanh"), draw(3)
        layer, start = module.decoder[0], code[0] @ module.start_weights[0][0].flatten(1)
        parts = start.unflatten(1, (-1, 5)).unbind(1)
        states, inputs = [parts[0]], []
        for _ in range(5):
            inputs.append(torch.tanh(states[-1] @ module.output_weight[0]))
            first = tuple(parts) if cell == "lstm" else parts[0]
            states.append(by_steps(layer, 0, torch.stack(inputs), state=first)[-1])
        expected = torch.tanh(torch.stack(states) @ module.output_weight[0])
        torch.testing.assert_close(module.decode(code)[0], expected.flip(0).permute(1, 2, 0).flatten(1))

    @each_network
    def test_targets_equal_to_the_output_change_nothing(self, network):
        module, code = build(clone(network).set_params(feedback=True), n_members=2), draw(3, 2)
        output = module.decode(code)
        torch.testing.assert_close(module.decode(code, clean=output), output)
        assert not torch.allclose(module.decode(code, clean=output + 1), output)

    def test_a_step_depends_on_later_targets_only(self):
        module, code, clean = build(Recurrent(feedback=True), (1, 6)), draw(3), draw(6)
        changed = clean.clone()
        changed[..., 3] += 1
        same = (module.decode(code, clean=changed) == module.decode(code, clean=clean)).all(dim=(0, 1))
        assert same.tolist() == [False, False, False, True, True, True]

    def test_only_training_uses_targets(self):
        module, clean = build(Recurrent(feedback=True)), draw(12)
        batch, loss = Batch(clean / 2, clean), LOSSES["squared_error"]()
        code = module.encode(batch.corrupted)
        trained = Reconstruction()(module.train(), batch, loss).reconstruction
        torch.testing.assert_close(trained, module.decode(code, clean=clean))
        evaluated = Reconstruction()(module.eval(), batch, loss).reconstruction
        torch.testing.assert_close(evaluated, module.decode(code))

    def test_logits_are_fed_through_the_output_activation(self):
        module, code = build(Recurrent(feedback=True), out_activation="sigmoid"), draw(3)
        torch.testing.assert_close(module.decode(code, logits=True).sigmoid(), module.decode(code))


class TestDropout:
    def test_only_while_training(self):
        dropping = build(Recurrent(dropout=0.4)).eval()
        torch.testing.assert_close(dropping(draw(12)), build(Recurrent())(draw(12)))

    def test_members_draw_from_their_own_generators(self):
        module = build(Recurrent(dropout=0.4), n_members=2).train()
        ones = torch.ones(6, 40, 8)
        module.noise = seeded(np.array([5, 6], dtype=np.uint64), torch.device("cpu"))
        dropped = module.dropped(ones, 1)
        assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.6])
        assert dropped.mean() == pytest.approx(1, abs=0.1)
        module.noise = seeded(np.array([7, 6], dtype=np.uint64), torch.device("cpu"))
        torch.testing.assert_close(module.dropped(ones, 1), dropped)

    def test_leaves_torchs_generator(self):
        module = build(Recurrent(dropout=0.4)).train()
        module.noise = seeded(np.array([5], dtype=np.uint64), torch.device("cpu"))
        state = torch.get_rng_state()
        assert not torch.equal(module(draw(12)), module(draw(12)))
        assert torch.equal(torch.get_rng_state(), state)

    def test_of_one_layer_has_no_effect_and_a_warning(self):
        module = build(Recurrent(dropout=0.4), hidden_layer_sizes=(5,))
        with pytest.warns(UserWarning, match=r"dropout=0.4\) has no effect with hidden_layer_sizes=\(5,\): it acts"):
            Recurrent(dropout=0.4).warn(module.shape)
        torch.testing.assert_close(module.train()(draw(12)), module.eval()(draw(12)))

    def test_prevents_copying(self):
        assert Recurrent(dropout=0.1).prevents_copying
        assert not Recurrent().prevents_copying


@pytest.mark.parametrize("n_threads", [2], indirect=True)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(
    ("bidirectional", "feedback", "sample_shape", "sizes"),
    [(False, False, (5, 5), (30,)), (True, False, (2, 4), (5, 7)), (False, True, (2, 4), (5, 7))],
)
def test_row_in_any_batch(bidirectional, feedback, sample_shape, sizes, cell, precision, n_threads, monkeypatch):
    """On one thread and on two."""
    X = np.random.default_rng(0).normal(size=(2 * BLOCK_ROWS + 10, int(np.prod(sample_shape))))
    network = Recurrent(cell, bidirectional, feedback, sample_shape=sample_shape)
    shapes = {"hidden_layer_sizes": sizes, "precision": precision}
    model = AutoencoderTransformer(5, network=network, max_iter=1, random_state=0, **shapes).fit(X)
    codes, decoded = model.transform(X), model.reconstruct(X)
    ends = slice(None), slice(70, 71), slice(BLOCK_ROWS - 1, BLOCK_ROWS + 3)
    for share, parts in ((_threads._LEAST_SHARE, [*ends, slice(0, 1), slice(3, 8)]), (1e-9, ends)):
        monkeypatch.setattr(_threads, "_LEAST_SHARE", share)
        for part in parts:
            np.testing.assert_array_equal(model.transform(X[part]), codes[part])
            np.testing.assert_array_equal(model.reconstruct(X[part]), decoded[part])


@each_network
def test_members_and_refits_repeat(network):
    module, alone = build(network, n_members=3), build(network)
    torch.testing.assert_close(module(draw(12).expand(3, -1, -1))[:1], alone(draw(12)), rtol=0, atol=1e-14)
    X = np.random.default_rng(0).normal(size=(60, 12))
    parameters = {"network": clone(network).set_params(sample_shape=(2, 6)), "hidden_layer_sizes": (5,)}
    models = [AutoencoderOutlierDetector(2, n_estimators=2, max_iter=2, random_state=0, **parameters) for _ in "ab"]
    first, second = (model.fit(X).score_samples(X) for model in models)
    np.testing.assert_array_equal(first, second)


def sines(n_samples, n_steps=32):
    """Two sensors, each a sine of its own frequency, phase and amplitude."""
    generator = np.random.default_rng(0)
    frequency, phase, amplitude = (
        generator.uniform(low, high, (n_samples, 2, 1)) for low, high in ((1, 3), (0, 2 * np.pi), (0.5, 1.5))
    )
    waves = amplitude * np.sin(2 * np.pi * frequency * np.linspace(0, 1, n_steps) + phase)
    return waves.reshape(n_samples, -1)


@pytest.mark.parametrize("network", [Recurrent(), Recurrent("gru"), Recurrent(feedback=True)], ids=str)
def test_learns_sines(network):
    settings = {"hidden_layer_sizes": (32,), "max_iter": 60, "batch_size": 50, "learning_rate_init": 0.01}
    network = clone(network).set_params(sample_shape=(2, 32))
    model = AutoencoderTransformer(8, network=network, corruption=None, random_state=0, **settings)
    losses = model.fit(sines(300)).loss_curve_
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("sample_shape", [(1, 1), (5, 1), (1, 5)])
def test_one_step_and_one_sensor_train(sample_shape, feedback, rows):
    X = rows[:, : int(np.prod(sample_shape))]
    network = Recurrent(feedback=feedback, sample_shape=sample_shape)
    model = AutoencoderTransformer(1, network=network, hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(X)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.reconstruct(X).shape == X.shape


class TestErrors:
    @pytest.mark.parametrize(
        ("sample_shape", "message"),
        [
            ((2, 3), r"sample_shape=\(2, 3\) has 2 x 3 = 6 entries, but X has 5 features"),
            ((5,), r"sample_shape of Recurrent must be \(sensors, steps\), got \(5,\)"),
            ((1, 1, 5), r"sample_shape of Recurrent must be \(sensors, steps\), got \(1, 1, 5\)"),
        ],
    )
    def test_sample_shape_that_does_not_fit(self, sample_shape, message, rows):
        with pytest.raises(ValueError, match=message):
            AutoencoderTransformer(2, network=Recurrent(sample_shape=sample_shape)).fit(rows)

    def test_no_layer(self, rows):
        with pytest.raises(ValueError, match=r"Recurrent needs at least one number of units .* got \(\)"):
            AutoencoderTransformer(2, network="recurrent", hidden_layer_sizes=()).fit(rows)

    @pytest.mark.parametrize("name", ["tied_weights", "layerwise_pretraining"])
    def test_options_of_dense_networks(self, name, rows):
        model = AutoencoderTransformer(2, network=Recurrent())
        with pytest.raises(ValueError, match=f"Invalid parameter '{name}' for estimator Recurrent"):
            model.set_params(**{f"network__{name}": True})

    @pytest.mark.parametrize(
        "parameters", [{"cell": "rnn"}, {"dropout": 1.0}, {"max_gradient_norm": 0.0}, {"bidirectional": "yes"}]
    )
    def test_parameters(self, parameters, rows):
        with pytest.raises(ValueError, match=f"The '{next(iter(parameters))}' parameter of Recurrent must be"):
            AutoencoderTransformer(2, network=Recurrent(**parameters)).fit(rows)


@pytest.mark.parametrize("sample_shape", [None, (2, 257)])
def test_many_steps_are_warned_of_once(sample_shape):
    n_features = 257 if sample_shape is None else 514
    X = np.random.default_rng(0).normal(size=(10, n_features))
    model = AutoencoderTransformer(
        2, network=Recurrent("gru", sample_shape=sample_shape), hidden_layer_sizes=(2,), max_iter=1
    )
    with pytest.warns(UserWarning, match="Recurrent reads samples of 257 steps") as caught:
        model.fit(X)
    assert [warning.filename for warning in caught] == [__file__]
    pickle.loads(pickle.dumps(model))  # warnings are errors
    model.set_params(network__sample_shape=(n_features // 2, 2)).fit(X[:, : n_features // 2 * 2])


def test_gradients_are_clipped(rows):
    norms = {norm: build(Recurrent(max_gradient_norm=norm)).max_gradient_norm for norm in (1.0, 0.5, None)}
    assert norms == {norm: norm for norm in norms}
    settings = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0, "solver": "sgd"}
    codes = [
        AutoencoderTransformer(2, network=Recurrent(max_gradient_norm=norm), **settings).fit_transform(rows)
        for norm in (None, 1e6, 1e-3)
    ]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert not np.allclose(codes[0], codes[2])


def test_auto_sizes(rows):
    for kind in (AutoencoderTransformer, AutoencoderOutlierDetector):
        for network, expected in (("recurrent", (64,)), ("attention", (64, 64))):
            assert kind(network=network, max_iter=1).fit(rows).net_.module_.shape.hidden_layer_sizes == expected


def test_binary_cross_entropy(rows):
    X, settings = 1 / (1 + np.exp(-rows)), {"scaling": None, "loss": "binary_cross_entropy"}
    model = AutoencoderTransformer(2, network=Recurrent(feedback=True), max_iter=2, random_state=0, **settings).fit(X)
    assert model.net_.module_.shape.out_activation == "sigmoid"
    assert np.all((model.reconstruct(X) > 0) & (model.reconstruct(X) < 1))
