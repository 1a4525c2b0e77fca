"""What every part of every registry owes."""

import importlib
import inspect
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder._parts import Part, resolve
from sk_autoencoder._validation import check_parameters
from sk_autoencoder.corruptions import CORRUPTIONS
from sk_autoencoder.losses import LOSSES
from sk_autoencoder.networks import NETWORKS, NetworkShape
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.objectives import OBJECTIVES, Batch
from sk_autoencoder.objectives.base import extend
from sk_autoencoder.scaling import SCALINGS, column_statistics
from sk_autoencoder.solvers import SOLVERS
from sk_autoencoder.training import SCHEDULES
from sk_autoencoder.training.seeding import weight_generators

from .variants import AXES, ESTIMATORS

REGISTRIES = {axis: registry for axis, registry in AXES.items() if inspect.isclass(next(iter(registry.values())))}
PARTS = {f"{axis}={name}": part for axis, registry in REGISTRIES.items() for name, part in registry.items()}
each_part = pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)


def _generator(seed=0):
    return torch.Generator(device="cpu").manual_seed(seed)


@each_part
def test_is_a_part_with_a_public_name(part):
    assert issubclass(part, Part)
    module = importlib.import_module(".".join(part.__module__.split(".")[:2]))
    assert getattr(module, part.__name__) is part
    assert part.__name__ in module.__all__
    assert not inspect.isabstract(part)


@each_part
def test_clones_prints_and_pickles(part):
    made = part()
    assert repr(made) == f"{part.__name__}()"
    assert clone(made).get_params() == made.get_params()
    assert pickle.loads(pickle.dumps(made)).get_params() == made.get_params()


@each_part
def test_stores_parameters_as_given(part):
    marks = {name: object() for name in inspect.signature(part).parameters}
    made = part(**marks)
    assert all(getattr(made, name) is mark for name, mark in marks.items())
    assert vars(made).keys() == marks.keys()


@each_part
def test_every_parameter_has_a_constraint(part):
    assert set(part._parameter_constraints) == set(inspect.signature(part).parameters)


@each_part
def test_bad_parameter_is_named(part):
    for name in inspect.signature(part).parameters:
        with pytest.raises(ValueError, match=f"The '{name}' parameter of {part.__name__} must be"):
            check_parameters(part(**{name: object()}))


@pytest.mark.parametrize(
    ("estimator", "axis"),
    [(kind, axis) for kind in ESTIMATORS for axis in AXES if axis in inspect.signature(kind).parameters],
)
def test_unknown_name_lists_the_registry(estimator, axis, rows):
    with pytest.raises(ValueError, match=axis) as caught:
        estimator(**{axis: "no such thing"}).fit(rows)
    assert all(repr(name) in str(caught.value) for name in AXES[axis])


@pytest.mark.parametrize("axis", REGISTRIES)
def test_resolve(axis):
    for name, part in REGISTRIES[axis].items():
        assert type(resolve(REGISTRIES[axis], name)) is part
        given = part()
        assert type(resolve(REGISTRIES[axis], given)) is part
        assert resolve(REGISTRIES[axis], given) is not given  # the user's object is never kept


@pytest.mark.parametrize("name", LOSSES)
class TestLosses:
    def test_one_error_for_each_cell(self, name):
        output, target = torch.rand(3, 4, 5, generator=_generator()), torch.rand(3, 4, 5, generator=_generator(1))
        error = LOSSES[name]()(output, target)
        assert error.shape == output.shape
        assert torch.isfinite(error).all()

    def test_is_smallest_at_the_target(self, name):
        target = torch.rand(50, 2, generator=_generator(), dtype=torch.float64)
        loss = LOSSES[name]()
        best = torch.logit(target) if loss.on_logits else target
        smallest = loss(best, target)
        for step in (-1e-1, -1e-3, 1e-3, 1e-1):
            assert (loss(best + step, target) >= smallest - 1e-12).all()
        assert (loss(best + 1, target) > smallest).all()

    def test_gradient_is_finite_far_away(self, name):
        output = torch.tensor([-1e4, 0.0, 0.5, 1e4], requires_grad=True)
        LOSSES[name]()(output, torch.tensor([0.5, 0.0, 0.5, 1.0])).sum().backward()
        assert torch.isfinite(output.grad).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
class TestCorruptions:
    def test_changes_cells_and_leaves_the_input(self, name):
        clean = torch.rand(200, 6, generator=_generator())
        before = clean.clone()
        noisy = CORRUPTIONS[name]()(clean, _generator(1))
        assert torch.equal(clean, before)
        assert noisy.shape == clean.shape
        assert noisy.dtype == clean.dtype
        assert not torch.equal(noisy, clean)

    def test_draws_only_from_its_generator(self, name):
        clean = torch.rand(20, 6, generator=_generator())
        state = torch.get_rng_state()
        first, second = (CORRUPTIONS[name]()(clean, _generator(1)) for _ in range(2))
        assert torch.equal(first, second)
        assert torch.equal(torch.get_rng_state(), state)
        assert not torch.equal(first, CORRUPTIONS[name]()(clean, _generator(2)))

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_corrupts_arrays(self, name, dtype):
        X = np.random.default_rng(0).normal(size=(30, 4)).astype(dtype)
        before = X.copy()
        noisy = CORRUPTIONS[name]().corrupt(X, random_state=0)
        np.testing.assert_array_equal(X, before)
        assert noisy.shape == X.shape
        assert noisy.dtype == dtype
        np.testing.assert_array_equal(noisy, CORRUPTIONS[name]().corrupt(X, random_state=0))
        assert not np.array_equal(noisy, CORRUPTIONS[name]().corrupt(X, random_state=1))

    def test_bears_one_row(self, name):
        assert CORRUPTIONS[name]().corrupt(np.ones((1, 3)), random_state=0).shape == (1, 3)


@pytest.mark.parametrize("name", SCALINGS)
class TestScalings:
    def test_is_affine_without_zeros(self, name, rows):
        rows[:, 1] = 7.0
        affine = SCALINGS[name]().fit(rows, column_statistics(rows))
        assert affine.center.dtype == affine.scale.dtype == np.float64
        assert affine.center.shape == affine.scale.shape == (5,)
        assert (affine.scale > 0).all()

    def test_units_do_not_matter(self, name, rows):
        units = np.array([1e-6, 1.0, 1e6, 3.0, 10.0])
        moved = rows * units + 1000 * units
        scaled, again = (
            (X - affine.center) / affine.scale
            for X in (rows, moved)
            for affine in [SCALINGS[name]().fit(X, column_statistics(X))]
        )
        np.testing.assert_allclose(again, scaled, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("n_members", [1, 3])
class TestNetworks:
    def _shape(self, n_members, n_features=7, **changes):
        sizes = {"n_components": 3, "n_encoded": 3, "hidden_layer_sizes": (16, 8)}
        kinds = {"activation": "tanh", "out_activation": "identity"}
        return NetworkShape(n_features=n_features, n_members=n_members, **{**sizes, **kinds, **changes})

    @pytest.mark.parametrize("n_features", [1, 2, 7, 33])
    def test_shapes(self, name, n_members, n_features):
        shape = self._shape(n_members, n_features)
        module = NETWORKS[name]().build(shape, weight_generators(0, n_members))
        code = module.encode(torch.rand(n_members, 11, n_features, generator=_generator()))
        assert code.shape == (n_members, 11, 3)
        assert module.decode(code).shape == (n_members, 11, n_features)

    def test_encoder_may_be_wider_than_the_code(self, name, n_members):
        module = NETWORKS[name]().build(self._shape(n_members, n_encoded=6), weight_generators(0, n_members))
        assert module.encode(torch.rand(n_members, 4, 7, generator=_generator())).shape == (n_members, 4, 6)

    def test_members_differ_and_do_not_depend_on_their_number(self, name, n_members):
        X = torch.rand(1, 5, 7, generator=_generator())
        alone = NETWORKS[name]().build(self._shape(1), weight_generators(0, 1))(X)
        together = NETWORKS[name]().build(self._shape(n_members), weight_generators(0, n_members))(
            X.expand(n_members, -1, -1)
        )
        torch.testing.assert_close(together[:1], alone)
        assert n_members == 1 or not torch.allclose(together[0], together[1])

    def test_inference_and_plain_modules_agree(self, name, n_members):
        module = (
            NETWORKS[name]()
            .build(self._shape(n_members, out_activation="sigmoid"), weight_generators(0, n_members))
            .eval()
        )
        X = torch.rand(n_members, 5, 7, generator=_generator())
        code, output = module.encode(X), module(X)
        fast = module.for_inference()
        torch.testing.assert_close(fast.encode(X), code)
        torch.testing.assert_close(fast(X), output)
        encoder, decoder = module.plain()
        torch.testing.assert_close(encoder(X[0]), code[0])
        torch.testing.assert_close(decoder(encoder(X[0])), output[0])

    def test_logits_come_before_the_output_activation(self, name, n_members):
        module = NETWORKS[name]().build(
            self._shape(n_members, out_activation="sigmoid"), weight_generators(0, n_members)
        )
        code = torch.rand(n_members, 5, 3, generator=_generator())
        torch.testing.assert_close(module.decode(code, logits=True).sigmoid(), module.decode(code))


@pytest.mark.parametrize("name", OBJECTIVES)
class TestObjectives:
    @pytest.mark.parametrize("loss", LOSSES)
    def test_evaluation(self, name, loss):
        objective = OBJECTIVES[name]()
        shape = NetworkShape(4, 2, 2 * objective.encoded_per_component, (8,), "tanh", LOSSES[loss].out_activation, 3)
        network = NETWORKS["dense"]().build(shape, weight_generators(0, 3)).eval()
        extend(network, objective, weight_generators(1, 3))
        clean = torch.rand(3, 10, 4, generator=_generator())
        evaluation = objective(network, Batch(clean, clean), LOSSES[loss]())
        assert evaluation.loss.shape == (3,)
        assert tuple(evaluation.terms) == objective.terms
        assert all(part.shape == (3, 10) for part in evaluation.terms.values())
        assert evaluation.code.shape == (3, 10, 2)
        assert evaluation.reconstruction.shape == evaluation.target.shape == clean.shape
        torch.testing.assert_close(evaluation.target, clean)
        torch.testing.assert_close(evaluation.reconstruction, network(clean))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_an_equal_module(name):
    x = torch.linspace(-5, 5, 101)
    torch.testing.assert_close(ACTIVATIONS[name].module()(x), ACTIVATIONS[name].function(x))


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_decay_without_gradient(name):
    weight = torch.nn.Parameter(torch.ones(3))
    solver = SOLVERS[name]().build([weight], 0.1, 0.5)
    weight.grad = torch.zeros(3)
    solver.step()
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.95))


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_go_downhill(name):
    weight = torch.nn.Parameter(torch.tensor([5.0]))
    solver = SOLVERS[name]().build([weight], 0.05, 0.0)
    for _ in range(300):
        solver.zero_grad()
        (weight**2).sum().backward()
        solver.step()
    assert abs(weight.item()) < 0.05


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_stay_between_zero_and_the_highest_rate(name):
    rates = np.array([SCHEDULES[name](step / 1000) for step in range(1001)])
    assert rates.min() >= 0
    assert rates.max() == pytest.approx(1.0)
    assert rates[0] > 0  # the first step is a step


@pytest.mark.parametrize("axis", ["loss", "corruption", "scaling", "network", "objective"])
def test_a_part_of_ones_own_goes_wherever_a_name_goes(axis, rows):
    base = next(iter(AXES[axis].values()))
    own = type("Own", (base,), {"__init__": base.__init__})
    named = AutoencoderTransformer(2, **{axis: next(iter(AXES[axis]))}, max_iter=2, random_state=0).fit(rows)
    given = AutoencoderTransformer(2, **{axis: own()}, max_iter=2, random_state=0).fit(rows)
    np.testing.assert_array_equal(given.transform(rows), named.transform(rows))
