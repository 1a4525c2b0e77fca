"""When training goes on, each parameter that has changed is followed, or refused by its name."""

import inspect
import pickle

import numpy as np
import pytest
import skorch.callbacks

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.corruptions import Masking
from sk_autoencoder.losses import Huber
from sk_autoencoder.networks import Convolutional, Dense
from sk_autoencoder.objectives import Reconstruction
from sk_autoencoder.scaling import Robust, Standard
from sk_autoencoder.solvers import SGD, Adam
from sk_autoencoder.training.callbacks import ProgressBar
from tests.contracts.variants import ESTIMATORS, assert_equal, outputs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # trainings are short
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


class Watching(skorch.callbacks.Callback):
    """Do nothing."""


def _group(model):
    return model.net_.optimizer_.param_groups[0]


def _has(model, kind):
    return any(isinstance(callback, kind) for _, callback in model.net_.callbacks_)


# A new value of each parameter that trained weights cannot follow.
REFUSED = {
    "n_components": 4,
    "hidden_layer_sizes": (7,),
    "activation": "tanh",
    "network": Dense(tied_weights=True),
    "objective": Reconstruction(sparsity="l1"),
    "scaling": "minmax",
    "add_indicator": True,
    "solver": "sgd",
    "precision": "float64",
    "device": "meta",
    "checkpoint": "directory",
    "random_state": 1,
}
# A new value of each other parameter, and how it shows that the second training followed it.
FOLLOWED = {
    "loss": ("huber", lambda m: isinstance(m._plan.loss, Huber)),
    "corruption": ("masking", lambda m: isinstance(m._plan.corruption, Masking)),
    "whiten": (True, lambda m: np.allclose(np.cov(m.transform(m.X).T), np.eye(2), atol=1e-6)),
    "learning_rate_init": (1e-3, lambda m: m.net_.lr == 1e-3),
    "learning_rate": ("constant", lambda m: _group(m)["lr"] == 0.005),
    "alpha": (5.0, lambda m: _group(m)["weight_decay"] == 5.0),
    "batch_size": (7, lambda m: m.net_.batch_size == 7),
    "max_iter": (5, lambda m: m.n_iter_ == 6 + 5),
    "early_stopping": (0.5, lambda m: m.net_._weights == {"train": 60, "valid": 60}),
    "restore_best": (False, lambda m: "valid_loss" not in m.net_.history[-1]),
    "n_iter_no_change": (3, lambda m: m.n_iter_ == 3 + 4),
    "warm_start": (False, lambda m: m.n_iter_ == 6),
    "callbacks": ([Watching()], lambda m: _has(m, Watching)),
    "verbose": (True, lambda m: _has(m, ProgressBar)),
    "outlier_score": ("mahalanobis", lambda m: type(m._score).__name__ == "Mahalanobis"),
    "novelty": (True, lambda m: "sample_isolation" not in m.component_scores(m.X)),
    "contamination": (0.5, lambda m: (m.predict(m.X) == 1).sum() == 60),
    "n_estimators": (3, lambda m: m.net_.module_.shape.n_members == 3),
}
BEFORE = {  # what the first training needs for the change to show
    "n_iter_no_change": {"learning_rate_init": 1e-30, "learning_rate": "constant"},
}
PAIRS = [(e, name) for e in ESTIMATORS for name in list(inspect.signature(e).parameters)]


def _trained(estimator, rows, **parameters):
    few = {"n_estimators": 2} if estimator is AutoencoderOutlierDetector else {}
    settings = {"max_iter": 6, "n_iter_no_change": 2, "random_state": 0, "warm_start": True, "device": "cpu"}
    return estimator(2, **{**settings, **few, **parameters}).fit(rows)


@pytest.mark.parametrize(("estimator", "name"), PAIRS)
def test_each_parameter_is_followed_or_refused(estimator, name, rows, tmp_path):
    """A new parameter has to be entered in one of the two tables."""
    if name in REFUSED:
        model = _trained(estimator, rows)
        before, old = outputs(model, rows), getattr(model, name)
        new = tmp_path if name == "checkpoint" else REFUSED[name]
        with pytest.raises(ValueError, match=name):
            model.set_params(**{name: new}).fit(rows)
        assert_equal(outputs(model, rows), before)
        assert model.set_params(**{name: old}).fit(rows).n_iter_ == 12
    else:
        value, followed = FOLLOWED[name]
        before = dict(BEFORE.get(name, {}))
        if name == "n_iter_no_change" and estimator is AutoencoderTransformer:
            before["early_stopping"] = True
        model = _trained(estimator, rows, **before)
        model.X = rows
        assert not followed(model) or name == "warm_start"
        assert followed(model.set_params(**{name: value}).fit(rows))


class TestRefusal:
    def test_names_old_and_new_values_and_the_way_out(self, rows):
        model = _trained(AutoencoderTransformer, rows).set_params(n_components=4, alpha=0.5, activation="tanh")
        message = (
            r"cannot continue training with n_components=4 \(was 2\), activation='tanh' \(was 'silu'\)\. "
            r"Restore the previous values, or train new weights by fit with warm_start=False\."
        )
        with pytest.raises(ValueError, match=message):
            model.fit(rows)

    def test_names_the_parameter_behind_a_width_that_follows_from_it(self, rows):
        model = AutoencoderOutlierDetector(n_estimators=2, max_iter=2, warm_start=True, random_state=0).fit(rows)
        message = r"n_components=3 \(was 128\)\. This follows from corruption=None \(was 'gaussian'\)\."
        with pytest.raises(ValueError, match=message):
            model.set_params(corruption=None).fit(rows)

    def test_loss_that_brings_another_scaling(self, rows):
        model = _trained(AutoencoderTransformer, rows).set_params(loss="binary_cross_entropy")
        with pytest.raises(
            ValueError, match=r"scaling=MinMax\(\) \(was Standard\(\)\).*from loss='binary_cross_entropy'"
        ):
            model.fit(rows)

    def test_loss_that_does_not_suit_the_scaled_samples(self, rows):
        model = _trained(AutoencoderTransformer, rows, scaling="standard", network=Dense(out_activation="sigmoid"))
        with pytest.raises(ValueError, match="loss='binary_cross_entropy' needs values in"):
            model.set_params(loss="binary_cross_entropy").fit(rows)

    def test_parameter_of_a_part_that_was_changed_in_place(self, rows):
        model = _trained(AutoencoderTransformer, rows, objective=Reconstruction(sparsity="l1", sparsity_weight=0.1))
        with pytest.raises(
            ValueError, match=r"cannot continue training with objective=Reconstruction\(.*0\.5\) \(was Reconstruction\("
        ):
            model.set_params(objective__sparsity_weight=0.5).fit(rows)

    def test_partial_fit(self, rows):
        model = AutoencoderTransformer(2, random_state=0).partial_fit(rows)
        with pytest.raises(ValueError, match=r"cannot continue training with n_components=3 \(was 2\)"):
            model.set_params(n_components=3).partial_fit(rows)

    def test_checkpoint(self, rows, tmp_path):
        model = _trained(AutoencoderTransformer, rows).set_params(checkpoint=tmp_path)
        with pytest.raises(ValueError, match="checkpoint requires warm_start=False; change it, or"):
            model.fit(rows)

    def test_a_network_that_cannot_be_built_leaves_the_model_as_it_was(self, rows):
        model = AutoencoderTransformer(2, max_iter=2, random_state=0).fit(rows)
        codes = model.transform(rows)
        with pytest.raises(ValueError, match="odd kernel_size"):
            model.set_params(network=Convolutional(kernel_size=4)).fit(rows)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(rows), codes)

    def test_what_is_wrong_leaves_the_model_as_it_was(self, rows):
        model = _trained(AutoencoderOutlierDetector, rows).set_params(n_estimators=3, callbacks=["wrong"])
        with pytest.raises(ValueError, match="is not a skorch callback"):
            model.fit(rows)
        assert len(model.set_params(callbacks=None).fit(rows).net_.history[-1]["train_member_loss"]) == 3

    @pytest.mark.parametrize("network", [Dense(out_activation="tanh"), Dense(layerwise_pretraining=True)])
    def test_parameters_of_the_network(self, network, rows):
        model = _trained(AutoencoderTransformer, rows, network=Dense())
        with pytest.raises(ValueError, match=r"cannot continue training with .*network=Dense\(.*\) \(was Dense\(\)\)"):
            model.set_params(network=network).fit(rows)


class TestGoesOn:
    @pytest.mark.parametrize(
        "same",
        [
            {"hidden_layer_sizes": [128, 64, 32]},
            {"scaling": Standard()},
            {"network": Dense()},
            {"loss": Huber(), "random_state": None},
        ],
    )
    def test_with_the_same_choice_in_other_words(self, same, rows):
        assert _trained(AutoencoderTransformer, rows).set_params(**same).fit(rows).n_iter_ == 12

    @each_estimator
    def test_after_storage(self, estimator, rows):
        model = _trained(estimator, rows, network=Dense(dropout=0.1), callbacks=[Watching()])
        assert pickle.loads(pickle.dumps(model)).fit(rows).n_iter_ == 12

    def test_with_another_parameter_of_a_part(self, rows):
        model = _trained(AutoencoderTransformer, rows, corruption=Masking(rate=0.1))
        assert model.set_params(corruption__rate=0.7).fit(rows).net_.plan.corruption.rate == 0.7

    @each_estimator
    def test_with_another_input_margin(self, estimator, rows):
        model = _trained(estimator, rows, scaling="robust").set_params(scaling=Robust(input_margin=0.5)).fit(rows)
        assert model.n_iter_ == 12
        center, scale = model._affine
        np.testing.assert_allclose(model._bounds.high * scale + center, rows.max(axis=0) + 0.5 * rows.std(axis=0))
        with pytest.raises(ValueError, match=r"cannot continue training with scaling=Robust\(.*quantile_range"):
            model.set_params(scaling__quantile_range=(5.0, 95.0)).fit(rows)

    def test_with_another_fraction_held_out(self, rows):
        model = _trained(AutoencoderTransformer, rows, early_stopping=True, max_iter=2)
        assert model.net_._weights == {"train": 108, "valid": 12}
        assert model.set_params(early_stopping=0.25).fit(rows).net_._weights == {"train": 90, "valid": 30}

    def test_with_other_settings_of_sgd(self, rows):
        model = _trained(AutoencoderTransformer, rows, solver="sgd", learning_rate_init=0.01)
        momenta = [slot["momentum_buffer"] for slot in model.net_.optimizer_.state.values()]
        group = _group(model.set_params(solver=SGD(momentum=0.2), alpha=0.7).fit(rows))
        assert (group["momentum"], group["decay"]) == (0.2, 0.7)
        kept = [slot["momentum_buffer"] for slot in model.net_.optimizer_.state.values()]
        assert all(one is other for one, other in zip(momenta, kept, strict=True))

    def test_with_another_momentum_of_adam(self, rows):
        model = _trained(AutoencoderTransformer, rows, solver=Adam())
        assert _group(model.set_params(solver__beta1=0.5).fit(rows))["betas"] == (0.5, 0.999)

    def test_with_trimming(self, rows):
        model = _trained(AutoencoderOutlierDetector, rows, objective=Reconstruction())
        with pytest.raises(ValueError, match="cannot continue training with objective=Reconstruction"):
            model.set_params(objective__trim=0.3).fit(rows)

    def test_with_a_scheduler(self, rows):
        model = _trained(AutoencoderTransformer, rows, learning_rate="constant")
        stored = pickle.loads(pickle.dumps(model))
        for going_on in (model, stored):
            going_on.set_params(callbacks=[skorch.callbacks.LRScheduler("StepLR", step_size=1, gamma=0.5)]).fit(rows)
            rates = [epoch["event_lr"] for epoch in going_on.net_.history[6:]]
            np.testing.assert_allclose(np.divide(rates[1:], rates[:-1]), 0.5)

    def test_partial_fit_follows(self, rows):
        model = AutoencoderTransformer(2, random_state=0).partial_fit(rows)
        model.set_params(alpha=0.5, learning_rate_init=1e-3).partial_fit(rows)
        assert (_group(model)["weight_decay"], _group(model)["lr"]) == (0.5, 1e-3)

    def test_partial_fit_after_a_schedule(self, rows):
        """The rate is small at the end of a schedule; partial_fit has that of the parameter, in a copy, too."""
        fitted = AutoencoderTransformer(2, max_iter=20, random_state=0).fit(rows)
        assert _group(fitted)["lr"] < 1e-4
        for model in (fitted, pickle.loads(pickle.dumps(fitted))):
            assert _group(model.partial_fit(rows))["lr"] == 0.005

    def test_a_first_call_in_which_nothing_varies(self, rows):
        for samples in (rows[:1], rows[[0, 0, 0]]):
            with pytest.raises(ValueError, match=rf"got {len(samples)} sample\(s\), in which no feature varies"):
                AutoencoderTransformer(2).partial_fit(samples)

    def test_factors_of_the_rate(self, rows):
        class SlowDecoder(Reconstruction):
            def learning_rates(self, network):
                return {name: 0.1 for name, _ in network.named_parameters() if name.startswith("decoder")}

        model = _trained(AutoencoderTransformer, rows, objective=SlowDecoder(), learning_rate="constant").fit(rows)
        for name in ("lr", "initial_lr"):
            rates = [group[name] for group in model.net_.optimizer_.param_groups]
            np.testing.assert_allclose(rates, [0.005, 0.0005])

    def test_partial_fit_keeps_callbacks_while_nothing_changes(self, rows):
        model = AutoencoderTransformer(2, callbacks=[Watching()], random_state=0).partial_fit(rows)
        callbacks = model.net_.callbacks_
        assert model.partial_fit(rows).net_.callbacks_ is callbacks
