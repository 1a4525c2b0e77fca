"""The adversarial objective: its terms and gradients, the distribution of codes, and what curves follow."""

import pickle
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.losses import AbsoluteError, SquaredError
from sk_autoencoder.networks import Convolutional, Custom, Dense, NetworkShape
from sk_autoencoder.objectives import Adversarial, Batch
from sk_autoencoder.objectives.base import extend
from sk_autoencoder.training.net import AutoencoderNet
from sk_autoencoder.training.seeding import weight_generators

SHORT = {"max_iter": 3, "random_state": 0}


def made(n_members=3, dtype="float64", **parameters):
    objective = Adversarial(**parameters)
    generators = weight_generators(0, n_members)
    shape = NetworkShape(4, 2, 2, (6,), "tanh", "identity", n_members, dtype)
    network = Dense().build(shape, generators)
    extend(network, objective, generators)
    network.noise = weight_generators(1, n_members)
    return objective, network.train()


def logits_by_hand(network, code):
    """The discriminator's output, one member after the other."""
    tensors = dict(network.named_parameters())
    found = []
    for member, x in enumerate(code):
        layers = sum(name.startswith("discriminator_weight") for name in tensors)
        for layer in range(layers):
            x = x @ tensors[f"discriminator_weight_{layer}"][member] + tensors[f"discriminator_bias_{layer}"][member]
            x = F.leaky_relu(x) if layer < layers - 1 else x
        found.append(x[:, 0])
    return torch.stack(found)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return Batch(*(torch.rand(3, 10, 4, generator=generator, dtype=torch.float64) for _ in range(2)))


def of_discriminator(network):
    """Its parameters, and all others."""
    named = dict(network.named_parameters())
    own = [name for name in named if name.startswith("discriminator_")]
    return [named[name] for name in own], [named[name] for name in named if name not in own]


@pytest.mark.parametrize("sizes", [(), (5,), 7, (8, 3)])
def test_terms_in_training(sizes, batch):
    objective, network = made(hidden_layer_sizes=sizes, weight=0.5)
    found = objective(network, batch, SquaredError())
    draws = torch.empty_like(found.code)
    for member, generator in zip(draws, weight_generators(1, 3), strict=True):
        member.normal_(generator=generator)
    of_code, of_draw = (logits_by_hand(network, rows) for rows in (found.code, draws))
    error = (network(batch.corrupted) - batch.clean).square().mean(dim=-1)
    entropy = F.binary_cross_entropy_with_logits(of_draw, torch.ones_like(of_draw), reduction="none")
    entropy = (entropy + F.binary_cross_entropy_with_logits(of_code, torch.zeros_like(of_code), reduction="none")) / 2
    torch.testing.assert_close(found.terms["reconstruction"], error)
    torch.testing.assert_close(found.terms["discriminator"], entropy)
    deceit = 0.5 * error.mean(dim=-1) * F.softplus(-of_code).mean(dim=-1)
    torch.testing.assert_close(found.loss, error.mean(dim=-1) + entropy.mean(dim=-1) + deceit)


@pytest.mark.parametrize("sizes", [(), (5,), (8, 3), (64, 33)])
def test_terms_after_training_have_no_draws(sizes, batch):
    objective, network = made(hidden_layer_sizes=sizes)
    network.eval().noise = None
    found = objective(network, batch, SquaredError())
    torch.testing.assert_close(found.terms["discriminator"], F.softplus(-logits_by_hand(network, found.code)))


def test_discriminator_has_the_gradient_of_its_cross_entropy(batch):
    objective, network = made(weight=3.0)
    found = objective(network, batch, SquaredError())
    own, _ = of_discriminator(network)
    gradients = torch.autograd.grad(found.loss.sum(), own, retain_graph=True)
    alone = torch.autograd.grad(found.terms["discriminator"].mean(dim=-1).sum(), own)
    for gradient, expected in zip(gradients, alone, strict=True):
        torch.testing.assert_close(gradient, expected)
        assert gradient.abs().sum() > 0


def test_encoder_has_the_opposite_sign(batch):
    """Each code moves to where the discriminator takes it more for a draw, against the cross-entropy's gradient."""
    weight = 3.0
    objective, network = made(weight=weight)
    codes = []
    encode = network.encode
    network.encode = lambda rows: codes.append(encode(rows)) or codes[-1]
    found = objective(network, batch, SquaredError())
    reconstruction = found.terms["reconstruction"].mean(dim=-1)
    (whole,) = torch.autograd.grad(found.loss.sum(), codes[0], retain_graph=True)
    (plain,) = torch.autograd.grad(reconstruction.sum(), codes[0])
    fresh = codes[0].detach().requires_grad_()
    logits = logits_by_hand(network, fresh)
    (of_entropy,) = torch.autograd.grad(F.softplus(logits).mean(dim=-1).sum(), fresh)
    # softplus(-l) instead of -softplus(l): the factor is the ratio of their derivatives.
    expected = -weight * reconstruction.detach()[:, None, None] * of_entropy * (-logits.detach()).exp()[..., None]
    torch.testing.assert_close(whole - plain, expected)
    assert (((whole - plain) * of_entropy).sum(dim=-1) < 0).all()


def test_weight_zero_leaves_the_codes_alone(rows):
    plain, judged = (
        AutoencoderTransformer(2, objective=objective, precision="float64", **SHORT).fit(rows)
        for objective in ("reconstruction", Adversarial(weight=0.0))
    )
    np.testing.assert_allclose(judged.transform(rows), plain.transform(rows), rtol=1e-6)
    np.testing.assert_allclose(judged.loss_curve_, plain.loss_curve_)


def energy_distance(codes):
    draws = np.random.default_rng(0).normal(size=(1000, codes.shape[1]))
    return 2 * cdist(codes, draws).mean() - cdist(codes, codes).mean() - cdist(draws, draws).mean()


@pytest.mark.parametrize("n_components", [2, 8])
def test_codes_are_distributed_like_the_prior(n_components):
    X = load_digits().data[:1000]
    settings = {"max_iter": 100, "corruption": None, "random_state": 0}
    plain, adversarial = (
        AutoencoderTransformer(n_components, objective=objective, **settings).fit(X)
        for objective in ("reconstruction", "adversarial")
    )
    codes = adversarial.transform(X)
    assert energy_distance(codes) < 0.15 < 1 < energy_distance(plain.transform(X))
    assert adversarial.score(X) > plain.score(X) - 0.1
    assert list(np.sort(adversarial.active_components_)) == list(range(n_components))
    drawn = adversarial.sample(2000, random_state=0)
    np.testing.assert_allclose(drawn.mean(axis=0), X.mean(axis=0), atol=0.5 * X.std())


def test_what_a_likelihood_needs_is_absent(rows):
    model = AutoencoderTransformer(2, objective="adversarial", **SHORT).fit(rows)
    for method in ("posterior", "score_samples"):
        with pytest.raises(AttributeError, match=f"is not available|{method}") as caught:
            getattr(model, method)
        text = f"{caught.value} {caught.value.__cause__}"
        assert "use objective='variational'" in text
    assert not hasattr(model, "_codes")
    assert not hasattr(model, "_draws")
    np.testing.assert_array_equal(model.sample(5, random_state=1), model.sample(5, random_state=1))
    assert model.sample(7, random_state=0, noise=True).shape == (7, 5)


def test_curves_and_early_stopping_follow_the_reconstruction(rows):
    model = AutoencoderTransformer(2, objective=Adversarial(weight=5.0), **SHORT).fit(rows, X_val=rows[:40])
    assert sorted(model.loss_curves_) == ["discriminator", "reconstruction"]
    np.testing.assert_allclose(model.loss_curve_, model.loss_curves_["reconstruction"], rtol=1e-6)
    validation = model.net_.history[:, "valid_reconstruction"]
    np.testing.assert_allclose(model.validation_loss_curve_, validation, rtol=1e-6)
    assert model.best_loss_ == min(model.validation_loss_curve_)

    settings = {"objective": "adversarial", "random_state": 0, "learning_rate": "constant", "batch_size": 120}
    settings["learning_rate_init"] = 0.05
    stopped = AutoencoderTransformer(2, max_iter=200, early_stopping=True, n_iter_no_change=1, **settings)
    stopped.fit(rows, X_val=rows)
    epoch = int(np.argmin(stopped.validation_loss_curve_)) + 1
    best = AutoencoderTransformer(2, max_iter=epoch, **settings).fit(rows, X_val=rows)
    for name, tensor in best.net_.module_.state_dict().items():
        assert torch.equal(tensor, stopped.net_.module_.state_dict()[name]), name


def test_other_objectives_are_monitored_by_their_whole_loss(rows):
    model = AutoencoderTransformer(2, objective="variational", **SHORT).fit(rows)
    total = np.add(model.loss_curves_["reconstruction"], model.loss_curves_["kl"])
    np.testing.assert_allclose(model.loss_curve_, total, rtol=1e-5)


def maker(n_in, n_out):
    return torch.nn.Sequential(torch.nn.Linear(n_in, 8), torch.nn.Tanh(), torch.nn.Linear(8, n_out))


NETWORKS = {
    "dense": Dense(),
    "tied": Dense(tied_weights=True),
    "dropout": Dense(dropout=0.2),
    "convolutional": Convolutional(),
    "custom": Custom(encoder=maker, decoder=maker),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_members_are_those_trained_alone(network):
    """Weights and draws of a member do not depend on the number of members."""
    n_members = 3
    generators = weight_generators(0, n_members)
    shape = {"n_features": 6, "n_components": 2, "n_encoded": 2, "hidden_layer_sizes": (8,), "activation": "tanh"}
    shape |= {"out_activation": "identity", "dtype": "float64"}
    X = torch.rand(n_members, 12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    objective = Adversarial()

    def gradients(members, generators, noise):
        module = network.build(NetworkShape(**shape, n_members=len(members)), generators)
        extend(module, objective, generators)
        module.train().noise = noise
        found = objective(module, Batch(X[members], X[members]), AbsoluteError())
        found.loss.backward(torch.ones_like(found.loss))
        named = {name: weight.grad for name, weight in module.named_parameters()}
        return found, [module.of_member(named, member) for member in range(len(members))]

    together, of_each = gradients([0, 1, 2], generators, weight_generators(1, n_members))
    for member in range(n_members):
        one, (alone,) = gradients([member], weight_generators(0, 3)[member:][:1], weight_generators(1, 3)[member:][:1])
        torch.testing.assert_close(one.loss[0], together.loss[member])
        alone = {re.sub(r"coders\.0", f"coders.{member}", name): tensor for name, tensor in alone.items()}
        assert alone.keys() == of_each[member].keys()
        for name, gradient in alone.items():
            torch.testing.assert_close(gradient, of_each[member][name])


def test_a_code_of_a_detector_is_as_narrow_as_a_variational_one(rows):
    widths = [
        AutoencoderOutlierDetector(objective=kind, **SHORT).fit(rows).n_components_
        for kind in ("adversarial", "variational")
    ]
    assert widths[0] == widths[1] == 3


def test_a_wide_code_can_copy(rows):
    """The distribution of the codes does not limit what each of them contains."""
    assert not Adversarial().prevents_copying
    assert not Adversarial().turnable
    with pytest.warns(match="nothing prevents the network from learning the identity"):
        AutoencoderTransformer(8, objective="adversarial", corruption=None, **SHORT).fit(rows)


def test_stored(rows):
    model = AutoencoderTransformer(2, objective=Adversarial(hidden_layer_sizes=(7, 5)), warm_start=True, **SHORT)
    copy = pickle.loads(pickle.dumps(model.fit(rows)))
    for name, tensor in model.net_.module_.state_dict().items():
        assert torch.equal(tensor, copy.net_.module_.state_dict()[name])
    np.testing.assert_array_equal(copy.fit(rows).transform(rows), model.fit(rows).transform(rows))


def test_sizes_that_are_not_those_of_the_arrays(rows):
    state = AutoencoderTransformer(2, objective="adversarial", **SHORT).fit(rows).__getstate__()
    state["_assembly"].objective.hidden_layer_sizes = (10**9,)
    with pytest.raises(ValueError, match="do not have the expected shapes"):
        AutoencoderTransformer.__new__(AutoencoderTransformer).__setstate__(state)


class Interrupted(Exception):
    pass


def test_checkpoint_continues_with_the_same_bits(rows, tmp_path, monkeypatch):
    def model():
        return AutoencoderTransformer(2, objective="adversarial", max_iter=4, random_state=0, checkpoint=tmp_path)

    whole = model().set_params(checkpoint=None).fit(rows)
    on_epoch_begin = AutoencoderNet.on_epoch_begin

    def interrupted(net, *args, **kwargs):
        if len(net.history) > 2:
            raise Interrupted
        on_epoch_begin(net, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(AutoencoderNet, "on_epoch_begin", interrupted)
        with pytest.raises(Interrupted):
            model().fit(rows)
    resumed = model().fit(rows)
    assert resumed.loss_curve_ == whole.loss_curve_
    assert resumed.loss_curves_ == whole.loss_curves_
    np.testing.assert_array_equal(resumed.transform(rows), whole.transform(rows))


def test_trims_and_clips(rows):
    model = AutoencoderTransformer(2, objective=Adversarial(trim=0.2), **SHORT).fit(rows)
    assert np.isfinite(model.transform(rows)).all()


def test_layerwise_pretraining_leaves_the_discriminator_for_later(rows):
    model = AutoencoderTransformer(
        2, objective="adversarial", network=Dense(layerwise_pretraining=True), hidden_layer_sizes=(8,), **SHORT
    ).fit(rows)
    assert len(model.stage_loss_curves_) == 2
    assert sorted(model.loss_curves_) == ["discriminator", "reconstruction"]


@pytest.mark.parametrize("sizes", [(0,), (3.5,), (8, -1), ["a"]])
def test_bad_sizes(sizes, rows):
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=.* must contain positive integers"):
        AutoencoderTransformer(objective=Adversarial(hidden_layer_sizes=sizes)).fit(rows)
