"""How training goes: epochs, streams, warm starts, stopping, validation rows, what is printed."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian, Masking
from sk_autoencoder.estimators import _auto
from sk_autoencoder.losses import SquaredError
from sk_autoencoder.networks import Dense
from sk_autoencoder.training import AutoencoderNet

# Weights do not change in training, so that the validation loss has its minimum in the first epoch.
STILL = {"learning_rate_init": 1e-30, "learning_rate": "constant"}


class Shifted(SquaredError):
    """Squared error minus 100: a loss that is always negative."""

    def __call__(self, output, target):
        return super().__call__(output, target) - 100


def _weights(model):
    return [parameter.detach().numpy().copy() for parameter in model.net_.module_.parameters()]


def _assert_same_weights(first, second):
    for ours, theirs in zip(_weights(first), _weights(second), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class TestPartialFit:
    def test_one_call_is_one_epoch(self, rows):
        model = AutoencoderTransformer(2, random_state=0)
        for epoch in range(1, 4):
            assert model.partial_fit(rows) is model
            assert model.n_iter_ == len(model.loss_curve_) == epoch
        assert model.loss_curve_[-1] < model.loss_curve_[0]

    def test_equals_fit_at_a_constant_rate(self, rows):
        whole = AutoencoderTransformer(2, learning_rate="constant", max_iter=3, random_state=0).fit(rows)
        stream = AutoencoderTransformer(2, random_state=0)
        for _ in range(3):
            stream.partial_fit(rows)
        _assert_same_weights(whole, stream)

    def test_scaling_is_that_of_the_first_call(self, rows):
        model = AutoencoderTransformer(2, random_state=0).partial_fit(rows)
        center, scale = model._affine
        model.partial_fit(rows * 100 + 3)
        np.testing.assert_array_equal(center, rows.mean(axis=0))
        assert model._affine.center is center
        assert model._affine.scale is scale

    def test_batches_of_any_size(self, rows):
        model = AutoencoderTransformer(2, batch_size=50, random_state=0)
        for part in (slice(100), slice(100, 101), slice(101, 120)):
            model.partial_fit(rows[part])
        assert model.n_iter_ == 3
        assert np.isfinite(model.transform(rows)).all()

    def test_wrong_width(self, rows):
        model = AutoencoderTransformer(2).partial_fit(rows)
        with pytest.raises(ValueError, match="X has 4 features, but AutoencoderTransformer is expecting 5 features"):
            model.partial_fit(rows[:, :4])

    def test_goes_on_after_fit(self, rows):
        model = AutoencoderTransformer(2, max_iter=2, random_state=0).fit(rows)
        assert model.partial_fit(rows).n_iter_ == 3

    def test_fit_starts_again(self, rows):
        model = AutoencoderTransformer(2, max_iter=2, random_state=0).partial_fit(rows).fit(rows)
        assert model.n_iter_ == 2
        _assert_same_weights(model, AutoencoderTransformer(2, max_iter=2, random_state=0).fit(rows))

    @pytest.mark.parametrize("n_before", [1, 2, 3])
    @pytest.mark.parametrize(
        "choice", [{"corruption": None}, {"solver": "sgd"}, {"network": Dense(dropout=0.3)}, {"corruption": "swap"}]
    )
    def test_goes_on_after_storage_with_the_same_bits(self, n_before, choice, rows):
        model = AutoencoderTransformer(2, random_state=0, **choice)
        for _ in range(n_before):
            model.partial_fit(rows)
        copy = pickle.loads(pickle.dumps(model))
        _assert_same_weights(model.partial_fit(rows), copy.partial_fit(rows))
        assert copy.loss_curve_ == model.loss_curve_

    def test_is_not_offered_with_early_stopping(self):
        assert hasattr(AutoencoderTransformer(), "partial_fit")
        model = AutoencoderTransformer(early_stopping=True)
        assert not hasattr(model, "partial_fit")
        with pytest.raises(AttributeError) as caught:
            model.partial_fit  # noqa: B018  the look-up itself fails
        assert "partial_fit has no validation samples; use early_stopping=False" in str(caught.value)


class TestWarmStart:
    def test_goes_on(self, rows):
        model = AutoencoderTransformer(2, max_iter=3, learning_rate="constant", warm_start=True, random_state=0)
        twice = clone(model).fit(rows)
        before = _weights(twice)
        twice.fit(rows)
        assert twice.n_iter_ == len(twice.loss_curve_) == 6
        assert twice.loss_curve_[3] < twice.loss_curve_[0]
        assert not np.array_equal(before[0], _weights(twice)[0])
        _assert_same_weights(twice, clone(model).set_params(max_iter=6).fit(rows))

    def test_without_it_starts_again(self, rows):
        model = AutoencoderTransformer(2, max_iter=3, random_state=0).fit(rows)
        before = _weights(model)
        model.fit(rows)
        assert model.n_iter_ == 3
        np.testing.assert_array_equal(_weights(model)[0], before[0])

    def test_keeps_scaling(self, rows):
        model = AutoencoderTransformer(2, max_iter=1, warm_start=True).fit(rows)
        center = model._affine.center
        assert model.fit(rows + 1)._affine.center is center

    def test_goes_on_after_storage_with_the_same_bits(self, rows):
        model = AutoencoderTransformer(2, max_iter=2, warm_start=True, random_state=0).fit(rows)
        copy = pickle.loads(pickle.dumps(model))
        _assert_same_weights(model.fit(rows), copy.fit(rows))

    def test_another_width(self, rows):
        model = AutoencoderTransformer(2, max_iter=1, warm_start=True).fit(rows)
        with pytest.raises(ValueError, match="X has 4 features, but AutoencoderTransformer is expecting 5 features"):
            model.fit(rows[:, :4])
        assert model.transform(rows).shape == (120, 2)

    def test_follows_the_present_learning_rate(self, rows):
        model = AutoencoderTransformer(2, max_iter=1, warm_start=True, random_state=0).fit(rows)
        before = _weights(model)
        model.set_params(learning_rate_init=1e-12).fit(rows)
        for old, new in zip(before, _weights(model), strict=True):
            np.testing.assert_allclose(new, old, atol=1e-9)

    def test_follows_the_present_stopping_rule(self, rows):
        model = AutoencoderTransformer(2, max_iter=5, warm_start=True, random_state=0).fit(rows)
        model.set_params(early_stopping=True, n_iter_no_change=1, **STILL).fit(rows)
        assert model.n_iter_ == 5 + 2


@pytest.fixture
def held_out(monkeypatch):
    """Collect the validation rows of each training, which a fitted net no longer holds."""
    seen, train = [], AutoencoderNet.train

    def watched(net, rows, validation, **kwargs):
        seen.append(validation)
        train(net, rows, validation, **kwargs)

    monkeypatch.setattr(AutoencoderNet, "train", watched)
    return seen


class TestValidation:
    def test_curve_on_the_users_rows(self, rows):
        model = AutoencoderTransformer(2, max_iter=4, random_state=0)
        seen = clone(model).fit(rows, X_val=rows)
        assert len(seen.validation_loss_curve_) == 4
        assert seen.best_loss_ == min(seen.validation_loss_curve_)
        _assert_same_weights(seen, clone(model).fit(rows))  # watching changes nothing

    def test_curve_is_the_mean_over_rows_and_features(self, rows):
        model = AutoencoderTransformer(2, max_iter=3, precision="float64", random_state=0).fit(rows, X_val=rows[:50])
        scaled = (rows[:50] - rows.mean(axis=0)) / rows.std(axis=0)
        rebuilt = (model.reconstruct(rows[:50]) - rows.mean(axis=0)) / rows.std(axis=0)
        assert model.validation_loss_curve_[-1] == pytest.approx(((scaled - rebuilt) ** 2).mean())

    def test_no_validation_without_being_asked(self, rows):
        model = AutoencoderTransformer(2, max_iter=2).fit(rows)
        assert model.validation_loss_curve_ == []
        assert model.best_loss_ == min(model.loss_curve_)

    @pytest.mark.parametrize(
        ("change", "message"),
        [(lambda X: X[:, :4], "X_val has 4 features, but"), (lambda X: np.full_like(X, np.inf), "contains infinity")],
    )
    def test_is_checked(self, change, message, rows):
        with pytest.raises(ValueError, match=message):
            AutoencoderTransformer(2, max_iter=2).fit(rows, X_val=change(rows))

    def test_held_out_rows_are_shuffled_and_not_trained_on(self, held_out):
        X = np.repeat(np.eye(4), 25, axis=0)  # sorted: the last tenth is of one kind
        model = AutoencoderTransformer(2, early_stopping=0.2, max_iter=1)
        with pytest.warns(ConvergenceWarning):
            model.set_params(random_state=0).fit(X)
        kinds = {tuple(row) for row in held_out[0].take(slice(None)).tolist()}
        assert len(held_out[0]) == 20
        assert len(kinds) > 1

    @pytest.mark.parametrize(("fraction", "expected"), [(True, 12), (0.1, 12), (0.5, 60), (0.001, 1), (0.999, 119)])
    def test_fraction(self, fraction, expected, rows, held_out):
        model = AutoencoderTransformer(2, early_stopping=fraction, n_iter_no_change=1, max_iter=2, **STILL)
        model.fit(rows)
        assert len(held_out[0]) == expected

    def test_true_is_a_tenth(self, rows):
        models = (AutoencoderTransformer(2, early_stopping=choice, random_state=0) for choice in (True, 0.1))
        _assert_same_weights(*(model.set_params(max_iter=50, n_iter_no_change=5).fit(rows) for model in models))

    def test_no_sample_is_held_out_beside_the_users(self, rows, held_out):
        model = AutoencoderTransformer(2, early_stopping=0.5, n_iter_no_change=1, max_iter=2, **STILL)
        model.fit(rows, X_val=rows[:30])
        assert len(held_out[0]) == 30
        assert model.net_._weights["train"] == 120


class TestStopping:
    def test_early_stopping_restores_the_best_weights(self, rows):
        model = AutoencoderTransformer(
            2, early_stopping=True, learning_rate="constant", learning_rate_init=0.05, batch_size=8, n_iter_no_change=3
        ).set_params(precision="float64", random_state=0)
        model.fit(rows, X_val=rows[:30] + 0.5)
        curve = model.validation_loss_curve_
        assert curve.index(min(curve)) == model.n_iter_ - 1 - 3
        assert model.best_loss_ == min(curve) < curve[-1]

        scaled = (rows[:30] + 0.5 - rows.mean(axis=0)) / rows.std(axis=0)
        rebuilt = (model.reconstruct(rows[:30] + 0.5) - rows.mean(axis=0)) / rows.std(axis=0)
        assert ((scaled - rebuilt) ** 2).mean() == pytest.approx(min(curve))

    def test_stopped_weights_are_those_of_a_shorter_training(self, rows):
        parameters = {"learning_rate": "constant", "learning_rate_init": 0.05, "batch_size": 8, "random_state": 0}
        stopped = AutoencoderTransformer(2, early_stopping=True, n_iter_no_change=3, **parameters)
        stopped.fit(rows, X_val=rows[:30] + 0.5)
        best = int(np.argmin(stopped.validation_loss_curve_)) + 1
        assert best < stopped.n_iter_
        _assert_same_weights(stopped, AutoencoderTransformer(2, max_iter=best, **parameters).fit(rows))

    @pytest.mark.parametrize(
        "stopping",
        [
            {"early_stopping": True, "n_iter_no_change": 3},
            {"callbacks": [EarlyStopping(monitor="train_loss", patience=3, threshold=1e-3, threshold_mode="abs")]},
        ],
        ids=["validation loss", "training loss"],
    )
    def test_negative_losses(self, stopping, rows):
        """A loss moved by a constant trains and stops at the same epochs."""
        parameters = {**stopping, "max_iter": 500}
        model = AutoencoderTransformer(2, learning_rate="constant", precision="float64", random_state=0, **parameters)
        plain = clone(model).fit(rows)
        negative = clone(model).set_params(loss=Shifted()).fit(rows)
        assert 5 < negative.n_iter_ == plain.n_iter_ < 500
        np.testing.assert_allclose(np.add(negative.loss_curve_, 100), plain.loss_curve_, atol=1e-9)
        np.testing.assert_allclose(negative.transform(rows), plain.transform(rows), atol=1e-9)

    def test_warns_when_asked_for_convergence_and_it_did_not_come(self, rows):
        message = (
            "after max_iter=2 epochs, before the validation loss stopped decreasing for n_iter_no_change=10 epochs"
        )
        with pytest.warns(ConvergenceWarning, match=message) as caught:
            AutoencoderTransformer(2, max_iter=2, early_stopping=True).fit(rows)
        assert [warning.filename for warning in caught] == [__file__]

    def test_does_not_warn_when_not_asked(self, rows):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            AutoencoderTransformer(2, max_iter=1).fit(rows)
            AutoencoderTransformer(2, max_iter=1).fit(rows, X_val=rows)
            AutoencoderTransformer(2, early_stopping=True, n_iter_no_change=1, **STILL).fit(rows)

    @pytest.mark.parametrize(("max_iter", "patience"), [(1000, 100), (50, 10)])
    def test_auto_waits_for_a_tenth_of_the_epochs(self, max_iter, patience, rows):
        model = AutoencoderTransformer(2, early_stopping=True, max_iter=max_iter, random_state=0, **STILL)
        assert model.n_iter_no_change == "auto"
        assert model.fit(rows).n_iter_ == 1 + patience

    @pytest.mark.parametrize("load", [load_iris, load_wine])
    @pytest.mark.parametrize("seed", range(3))
    def test_early_stopping_lets_small_tables_learn(self, load, seed):
        X = StandardScaler().fit_transform(load().data)[np.random.default_rng(seed).permutation(len(load().data))]
        train, test = X[: len(X) * 2 // 3], X[len(X) * 2 // 3 :]
        score = AutoencoderTransformer(2, early_stopping=True, random_state=seed).fit(train).score(test)
        assert score > (-0.2 if load is load_iris else -0.7)  # column means reach about -1

    def test_warns_when_training_stops_before_the_rate_has_risen(self, rows):
        message = (
            r"stopped after 4 of 3000 epochs, because the validation loss did not decrease for n_iter_no_change=3"
            r" epochs.*warm-up of learning_rate='onecycle'.*set n_iter_no_change='auto' \(here 300 epochs\)"
        )
        with pytest.warns(ConvergenceWarning, match=message) as caught:
            AutoencoderTransformer(2, early_stopping=True, learning_rate_init=1e-30, n_iter_no_change=3).fit(rows)
        assert [warning.filename for warning in caught] == [__file__]

    @pytest.mark.parametrize(
        "choice",
        [{"learning_rate": "cosine"}, {"n_iter_no_change": 40}, {"max_iter": 9}],
        ids=["no warm-up", "later than auto", "warmed up"],
    )
    def test_does_not_warn_when_learning_had_begun(self, choice, rows):
        settings = {"learning_rate_init": 1e-30, "n_iter_no_change": 3, "max_iter": 300, **choice}
        model = AutoencoderTransformer(2, early_stopping=True, **settings)
        assert model.fit(rows).n_iter_ == model.n_iter_no_change + 1

    def test_counts_the_epochs_of_this_training(self, rows):
        model = AutoencoderTransformer(2, max_iter=20, warm_start=True, random_state=0).fit(rows)
        with pytest.warns(ConvergenceWarning, match="stopped after 3 of 20 epochs"):
            model.set_params(early_stopping=True, learning_rate_init=1e-30, n_iter_no_change=2).fit(rows)

    def test_partial_fit_does_not_warn(self, rows):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stop = EarlyStopping(monitor="train_loss", patience=1)
            AutoencoderTransformer(2, callbacks=[stop]).partial_fit(rows).partial_fit(rows)


class TestOptions:
    def test_dropout_acts_in_training_only(self, rows):
        plain = AutoencoderTransformer(2, max_iter=3, random_state=0)
        dropped = clone(plain).set_params(network=Dense(dropout=0.5)).fit(rows)
        assert dropped.loss_curve_ != plain.fit(rows).loss_curve_
        np.testing.assert_array_equal(dropped.transform(rows), dropped.transform(rows))

    def test_noise_is_fresh_in_every_epoch(self, rows):
        """At a standstill, only the noise makes the loss differ from one epoch to the next."""
        still = AutoencoderTransformer(
            2, learning_rate_init=1e-30, learning_rate="constant", max_iter=3, precision="float64"
        ).set_params(corruption=None, random_state=0)

        def n_losses(model):
            return len(np.unique(np.round(model.fit(rows).loss_curve_, 10)))  # sums depend on the order of samples

        assert n_losses(clone(still)) == 1
        for corruption in ("swap", Gaussian(0.5)):
            assert n_losses(clone(still).set_params(corruption=corruption)) == 3
        assert n_losses(clone(still).set_params(network=Dense(dropout=0.5))) == 3

    def test_clean_row_is_the_target(self, rows):
        """With all cells but few masked, a denoiser returns about the column means, not the masked rows."""
        model = AutoencoderTransformer(2, corruption=Masking(0.99), max_iter=100, random_state=0).fit(rows)
        np.testing.assert_allclose(model.loss_curve_[-1], 1, atol=0.15)

    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    def test_alpha_shrinks_weights(self, solver, rows):
        norms = []
        for alpha in (0.0, 0.3):
            model = AutoencoderTransformer(2, solver=solver, alpha=alpha, learning_rate_init=0.01, max_iter=100)
            norms.append(sum((w**2).sum() for w in _weights(model.set_params(random_state=0).fit(rows))))
        assert norms[1] < 0.9 * norms[0]

    def test_batch_size_beyond_the_rows_means_all_of_them(self, rows):
        whole = AutoencoderTransformer(2, batch_size=120, max_iter=2, random_state=0).fit(rows)
        _assert_same_weights(whole, AutoencoderTransformer(2, batch_size=10_000, max_iter=2, random_state=0).fit(rows))

    def test_chunks_do_not_matter(self, monkeypatch, rows):
        """How many mini-batches are gathered at once changes no bit; noise is drawn for all of them at once."""
        model = AutoencoderTransformer(2, batch_size=16, corruption=None, max_iter=2, random_state=0)
        expected = clone(model).fit(rows)
        monkeypatch.setattr("sk_autoencoder.training.rows.CHUNK_BATCHES", 2)
        _assert_same_weights(clone(model).fit(rows), expected)


class TestPrinting:
    @pytest.mark.parametrize("choice", [{}, {"early_stopping": True, "n_iter_no_change": 1, **STILL}])
    def test_silent(self, choice, rows, capfd):
        model = AutoencoderTransformer(2, max_iter=3, **choice).fit(rows, X_val=rows)
        model.transform(rows)
        if not choice:
            model.partial_fit(rows)
        out, err = capfd.readouterr()
        assert (out, err) == ("", "")

    @pytest.mark.parametrize("verbose", [True, 1, 2])
    def test_one_bar_with_loss_and_time_left(self, verbose, rows, capfd):
        AutoencoderTransformer(2, max_iter=3, verbose=verbose).fit(rows, X_val=rows)
        out, err = capfd.readouterr()
        assert out == ""
        last = err.rstrip("\n").split("\r")[-1]
        assert "3/3" in last
        assert "loss=" in last
        assert "validation=" in last
        assert "<" in last  # elapsed < left
        assert err.count("\n") == 1

    def test_bars_of_layers_name_them(self, rows, capfd):
        layers = {"hidden_layer_sizes": (6, 4), "network": Dense(layerwise_pretraining=True)}
        AutoencoderTransformer(2, max_iter=12, verbose=True, **layers).fit(rows)
        bars = [line.split("\r")[-1] for line in capfd.readouterr().err.split("\n")]
        assert [bar.partition(":")[0] for bar in bars if bar] == [*(f"layer {n} of 3" for n in (1, 2, 3)), "fit"]

    def test_bar_is_closed_when_training_stops_early(self, rows, capfd):
        model = AutoencoderTransformer(2, early_stopping=True, n_iter_no_change=1, max_iter=6, verbose=True, **STILL)
        model.fit(rows)
        assert "2/6" in capfd.readouterr().err.rstrip("\n").split("\r")[-1]


class TestSlowSteps:
    """Above a number of multiplications the default takes no more time, and says what it left out."""

    @pytest.mark.parametrize(
        ("millions", "steps"), [(0.01, 3000), (3, 3000), (3.1, 2903), (30, 300), (90, 100), (10**3, 100)]
    )
    def test_steps(self, millions, steps):
        assert _auto.training_steps(3000, int(millions * 10**6)) == steps

    def test_warning(self, monkeypatch):
        monkeypatch.setattr(_auto, "MULTIPLICATIONS", 100)
        X = np.random.default_rng(0).normal(size=(20, 40))
        with pytest.warns(UserWarning, match="With 40 features.*needs 386 .* 777 epochs instead of 3000"):
            model = AutoencoderTransformer(2, hidden_layer_sizes=4, random_state=0).fit(X)
        assert model.n_iter_ == 777  # 2 * (40 * 4 + 4 * 2) weights and 50 biases
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            AutoencoderTransformer(2, hidden_layer_sizes=4, max_iter=3, random_state=0).fit(X)
            AutoencoderTransformer(2, hidden_layer_sizes=4, random_state=0).fit(X[:, :2])
