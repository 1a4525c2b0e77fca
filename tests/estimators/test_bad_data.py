"""Small and ugly data, and choices that do not fit together: finite results, or an error that names the cause."""

import numpy as np
import pytest

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import CORRUPTIONS, Gaussian, Masking
from sk_autoencoder.losses import LOSSES, SquaredError
from sk_autoencoder.networks import Dense
from sk_autoencoder.scaling import SCALINGS, MinMax, Standard
from sk_autoencoder.solvers import SGD

DAY = 86_400.0


def _assert_finite(model, X):
    model.fit(X)
    codes = model.transform(X)
    for result in (codes, model.inverse_transform(codes), model.reconstruct(X), model.reconstruction_error(X)):
        assert np.isfinite(result).all()
        assert len(result) == len(X)
    assert np.isfinite(model.score(X))
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("scaling", [*SCALINGS, None])
class TestSmall:
    @pytest.mark.parametrize("corruption", [None, *CORRUPTIONS])
    def test_one_row(self, scaling, corruption):
        model = AutoencoderTransformer(1, scaling=scaling, corruption=corruption, max_iter=5)
        _assert_finite(model, np.array([[1.0, 2.0, 3.0]]))

    @pytest.mark.parametrize("n_rows", [1, 2, 50])
    def test_one_feature(self, scaling, n_rows):
        X = np.random.default_rng(0).normal(size=(n_rows, 1))
        _assert_finite(AutoencoderTransformer(scaling=scaling, max_iter=5), X)

    def test_one_cell(self, scaling):
        _assert_finite(AutoencoderTransformer(scaling=scaling, max_iter=5), np.array([[3.0]]))

    @pytest.mark.parametrize("n_rows", [2, 7, 129])
    def test_last_batch_of_one_row(self, scaling, n_rows):
        X = np.random.default_rng(0).normal(size=(n_rows, 3))
        _assert_finite(AutoencoderTransformer(2, scaling=scaling, batch_size=2, corruption="swap", max_iter=3), X)

    def test_fewer_rows_than_a_batch(self, scaling):
        X = np.random.default_rng(0).normal(size=(5, 3))
        _assert_finite(AutoencoderTransformer(2, scaling=scaling, batch_size=1000, max_iter=5), X)

    def test_constant_columns(self, scaling, rows):
        rows[:, [0, 3]] = [7.0, 0.0]
        model = AutoencoderTransformer(2, scaling=scaling, max_iter=300, random_state=0)
        _assert_finite(model, rows)
        if scaling is not None:
            assert model.reconstruct(rows)[:, 0] == pytest.approx(7, abs=0.5)

    def test_nothing_but_constants(self, scaling):
        _assert_finite(AutoencoderTransformer(1, scaling=scaling, max_iter=5), np.full((10, 3), 0.1))

    def test_duplicates(self, scaling):
        X = np.tile([[1.0, 2, 3], [4, 5, 6]], (30, 1))
        model = AutoencoderTransformer(1, scaling=scaling, max_iter=5)
        _assert_finite(model, X)
        np.testing.assert_array_equal(model.transform(X)[::2], np.tile(model.transform(X)[:1], (30, 1)))


class TestUgly:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("scaling", SCALINGS)
    def test_scales_that_differ_by_1e12_keep_their_information(self, scaling, dtype, rows):
        """Codes see each column in its own units: multiplying one by 1e12 changes almost nothing."""
        X = rows.astype(dtype)
        wide = X * np.array([1e6, 1, 1e-6, 1, 1], dtype=dtype)
        parameters = {"scaling": scaling, "max_iter": 200, "random_state": 0}
        model = AutoencoderTransformer(2, **parameters)
        _assert_finite(model, wide)
        error = (model.reconstruct(wide) - wide).std(axis=0) / wide.std(axis=0)
        assert (error < 0.5).all()

    @pytest.mark.parametrize("dtype", [np.float64, np.int64])
    @pytest.mark.parametrize("scaling", SCALINGS)
    def test_epoch_seconds_keep_their_information(self, scaling, dtype):
        """Seconds since 1970 spread over one minute: float32 alone would see steps of 128."""
        rng = np.random.default_rng(0)
        seconds = 1.7e9 + rng.integers(0, 60, 400)
        X = np.column_stack([seconds, rng.integers(0, 9, 400)]).astype(dtype)
        model = AutoencoderTransformer(2, scaling=scaling, max_iter=300, random_state=0)
        _assert_finite(model, X)
        assert np.abs(model.reconstruct(X)[:, 0] - X[:, 0]).mean() < 4
        small = X - np.array([1_700_000_000, 0], dtype=dtype)
        codes = [
            AutoencoderTransformer(2, scaling=scaling, max_iter=1, random_state=0).fit_transform(Z) for Z in (X, small)
        ]
        np.testing.assert_allclose(codes[0], codes[1], atol=1e-4)

    def test_float32_epoch_seconds(self):
        X = (1.7e9 + DAY * np.arange(400.0)[:, None] * [1, 2]).astype(np.float32)
        model = AutoencoderTransformer(1, max_iter=300, random_state=0)
        _assert_finite(model, X)
        assert model.score(X) > 0.95

    @pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e150])
    def test_tiny_and_huge_numbers(self, size, rows):
        _assert_finite(AutoencoderTransformer(2, max_iter=5), rows * size)

    def test_numbers_whose_variance_overflows(self, rows):
        rows[:, 2] *= 1e200
        with pytest.raises(ValueError, match="The variance of column 2 overflows float64; divide it by a constant"):
            AutoencoderTransformer(2, max_iter=5).fit(rows)

    def test_column_is_named(self, rows):
        import pandas as pd

        frame = pd.DataFrame(rows, columns=list("abcde"))
        frame["c"] *= 1e200
        with pytest.raises(ValueError, match="The variance of column 'c' overflows float64"):
            AutoencoderTransformer(2, max_iter=5).fit(frame)

    def test_unscaled_numbers_beyond_float32(self, rows):
        rows[:, 1] *= 1e20
        with pytest.raises(ValueError, match=r"Column 1 has absolute values above 1e\+15 after scaling=None, which"):
            AutoencoderTransformer(2, scaling=None, max_iter=5).fit(rows)

    def test_one_extreme_cell(self, rows):
        rows[3, 2] = 1e12
        _assert_finite(AutoencoderTransformer(2, max_iter=20), rows)


class TestDivergence:
    def test_names_the_learning_rate(self, rows):
        model = AutoencoderTransformer(2, solver="sgd", learning_rate_init=1e4, max_iter=50, random_state=0)
        with pytest.raises(ValueError, match=r"no longer finite.*learning_rate_init=10000.0 is too large; try a tenth"):
            model.fit(rows)
        assert not model.__sklearn_is_fitted__()

    def test_names_the_column(self, rows):
        rows[:, 1] *= 1e9
        model = AutoencoderTransformer(2, solver="sgd", scaling=None, max_iter=50, random_state=0)
        with pytest.raises(
            ValueError,
            match=r"no longer finite.*column 1 has absolute values up to .* after scaling=None; use scaling=",
        ):
            model.fit(rows)

    def test_stops_in_the_epoch_in_which_it_happens(self, rows):
        class Breaking(SquaredError):
            def __call__(self, output, target):
                Breaking.calls += 1
                return super().__call__(output, target) * (float("nan") if Breaking.calls == 3 else 1)

        Breaking.calls = 0
        with pytest.raises(ValueError, match="no longer finite"):
            AutoencoderTransformer(2, loss=Breaking(), max_iter=1000).fit(rows)
        assert Breaking.calls == 3

    def test_in_the_last_step(self, rows):
        """The loss before the step is finite, the weights after it are not."""
        model = AutoencoderTransformer(2, learning_rate_init=1e39, learning_rate="constant", max_iter=1, batch_size=120)
        with pytest.raises(ValueError, match="no longer finite"):
            model.fit(rows).transform(rows)

    def test_model_can_be_fitted_again(self, rows):
        model = AutoencoderTransformer(2, solver="sgd", learning_rate_init=1e4, max_iter=50, random_state=0)
        with pytest.raises(ValueError, match="no longer finite"):
            model.fit(rows)
        model.set_params(solver="adam", learning_rate_init=1e-3)
        _assert_finite(model, rows)


class TestBinaryCrossEntropy:
    def test_scales_by_itself(self, rows):
        model = AutoencoderTransformer(2, loss="binary_cross_entropy", max_iter=20, random_state=0)
        _assert_finite(model, rows)
        low, high = rows.min(axis=0), rows.max(axis=0)
        rebuilt = model.reconstruct(rows * 3)
        assert (rebuilt >= low - 1e-6).all()
        assert (rebuilt <= high + 1e-6).all()

    @pytest.mark.parametrize("scaling", ["standard", "robust", None, MinMax((-1.0, 1.0)), Standard()])
    def test_rows_outside_the_unit_interval(self, scaling, rows):
        model = AutoencoderTransformer(2, loss="binary_cross_entropy", scaling=scaling)
        message = r"loss='binary_cross_entropy' needs values in \[0, 1\] .* with scaling=.* column .* has the range"
        with pytest.raises(ValueError, match=message):
            model.fit(rows)

    def test_validation_rows_outside_the_unit_interval(self):
        X = np.random.default_rng(0).uniform(size=(50, 3))
        model = AutoencoderTransformer(2, loss="binary_cross_entropy", scaling=None, max_iter=2)
        _assert_finite(model, X)
        with pytest.raises(ValueError, match=r"needs values in \[0, 1\]"):
            model.fit(X, X_val=X + 1)

    def test_binary_rows_without_scaling(self):
        X = np.random.default_rng(0).integers(0, 2, size=(50, 4)).astype(bool)
        _assert_finite(AutoencoderTransformer(2, loss="binary_cross_entropy", scaling=None, max_iter=5), X)

    @pytest.mark.parametrize("out_activation", ["identity", "relu", "tanh"])
    def test_needs_a_sigmoid(self, out_activation, rows):
        model = AutoencoderTransformer(2, loss="binary_cross_entropy", network=Dense(out_activation=out_activation))
        with pytest.raises(
            ValueError, match="'binary_cross_entropy' needs out_activation='sigmoid', but network=Dense"
        ):
            model.fit(rows)

    def test_loss_is_that_of_bernoulli_cells(self):
        X = np.random.default_rng(0).integers(0, 2, size=(60, 4)).astype(float)
        model = AutoencoderTransformer(
            2, loss="binary_cross_entropy", max_iter=5, precision="float64", random_state=0
        ).fit(X, X_val=X)
        p = model.reconstruct(X)
        expected = -(X * np.log(p) + (1 - X) * np.log(1 - p)).mean()
        assert model.validation_loss_curve_[-1] == pytest.approx(expected)


class TestChoices:
    @pytest.mark.parametrize(
        ("choice", "message"),
        [
            ({"n_components": 0}, "The 'n_components' parameter of AutoencoderTransformer must be"),
            ({"n_components": 2.5}, "The 'n_components' parameter of AutoencoderTransformer must be"),
            (
                {"hidden_layer_sizes": (8, 0)},
                r"hidden_layer_sizes=\(8, 0\) must contain positive integers; use \(\) for",
            ),
            ({"hidden_layer_sizes": "big"}, "The 'hidden_layer_sizes' parameter of AutoencoderTransformer must be"),
            ({"hidden_layer_sizes": (8.5,)}, r"hidden_layer_sizes=\(8.5,\) must contain positive integers"),
            ({"hidden_layer_sizes": ("8",)}, r"hidden_layer_sizes=\('8',\) must contain positive integers"),
            ({"hidden_layer_sizes": [[8, 4]]}, r"hidden_layer_sizes=\[\[8, 4\]\] must contain positive integers"),
            ({"activation": "rely"}, "The 'activation' parameter of AutoencoderTransformer must be a str among"),
            ({"solver": "lbfgs"}, "The 'solver' parameter of AutoencoderTransformer must be a str among"),
            ({"learning_rate": "fast"}, "The 'learning_rate' parameter of AutoencoderTransformer must be a str among"),
            ({"learning_rate_init": 0}, "The 'learning_rate_init' parameter of AutoencoderTransformer must be"),
            ({"learning_rate_init": np.inf}, "The 'learning_rate_init' parameter of AutoencoderTransformer must be"),
            ({"solver": SGD(momentum=1.0)}, "The 'momentum' parameter of SGD must be"),
            ({"network": Dense(out_activation="step")}, "The 'out_activation' parameter of Dense must be"),
            ({"alpha": -1}, "The 'alpha' parameter of AutoencoderTransformer must be"),
            ({"batch_size": 0}, "The 'batch_size' parameter of AutoencoderTransformer must be"),
            ({"max_iter": 0}, "The 'max_iter' parameter of AutoencoderTransformer must be"),
            ({"early_stopping": 1.0}, "The 'early_stopping' parameter of AutoencoderTransformer must be"),
            ({"early_stopping": 0}, "The 'early_stopping' parameter of AutoencoderTransformer must be"),
            ({"n_iter_no_change": 0}, "The 'n_iter_no_change' parameter of AutoencoderTransformer must be"),
            ({"precision": "float8"}, "The 'precision' parameter of AutoencoderTransformer must be a str among"),
            ({"callbacks": "EarlyStopping"}, "The 'callbacks' parameter of AutoencoderTransformer must be"),
            ({"random_state": "seed"}, "The 'random_state' parameter of AutoencoderTransformer must be"),
            ({"network": Gaussian()}, "The 'network' parameter of AutoencoderTransformer must be"),
            ({"corruption": Dense()}, "The 'corruption' parameter of AutoencoderTransformer must be"),
            ({"network": Dense(dropout=1.0)}, "The 'dropout' parameter of Dense must be"),
            ({"corruption": Masking(rate=-0.1)}, "The 'rate' parameter of Masking must be"),
            ({"scaling": Standard(input_margin=-1.0)}, "The 'input_margin' parameter of Standard must be"),
            ({"scaling": MinMax((1.0, 0.0))}, r"MinMax needs feature_range=\(low, high\) with low < high, got"),
        ],
        ids=str,
    )
    def test_errors_come_before_training(self, choice, message, rows):
        model = AutoencoderTransformer(**{"n_components": 2, **choice})
        with pytest.raises(ValueError, match=message):
            model.fit(rows)
        assert not hasattr(model, "net_")

    def test_early_stopping_needs_two_rows(self):
        model = AutoencoderTransformer(1, early_stopping=True)
        with pytest.raises(
            ValueError, match="early_stopping=True holds out validation samples and needs at least 2 samples"
        ):
            model.fit([[1.0, 2.0]])

    def test_early_stopping_on_two_rows(self):
        model = AutoencoderTransformer(1, early_stopping=True, n_iter_no_change=1, learning_rate="constant")
        _assert_finite(model, np.array([[1.0, 2.0], [2.0, 1.0]]))

    @pytest.mark.parametrize("loss", LOSSES)
    def test_wide_codes_with_noise(self, loss, rows):
        _assert_finite(AutoencoderTransformer(20, loss=loss, corruption="masking", max_iter=5), rows)


@pytest.mark.parametrize("choice", [{"network": Dense}, {"corruption": Gaussian}, {"loss": SquaredError}])
def test_class_where_an_object_belongs(choice, rows):
    ((axis, part),) = choice.items()
    with pytest.raises(ValueError, match=rf"{axis}={part.__name__} is a class; write {axis}={part.__name__}\(\)\."):
        AutoencoderTransformer(2, **choice).fit(rows)
