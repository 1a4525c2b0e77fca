"""X_val: how it is passed, what is refused, and when it differs from X."""

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.datasets import load_iris, load_wine
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderTransformer
from tests.contracts.variants import ESTIMATORS

each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def quick(estimator=AutoencoderTransformer, **parameters):
    return estimator(2, **{"max_iter": 2, "random_state": 0, **parameters})


@each_estimator
class TestCall:
    def test_is_keyword_only(self, estimator):
        parameters = inspect.signature(estimator.fit).parameters
        assert [*parameters][:3] == ["self", "X", "y"]
        assert parameters["X_val"].kind is inspect.Parameter.KEYWORD_ONLY

    def test_a_third_place_is_explained(self, estimator, rows):
        model = quick(estimator)
        with pytest.raises(TypeError, match=r"\.fit takes X and y by position, .*keyword arguments: .*X_val=\.\.\."):
            model.fit(rows, None, np.ones(120))
        assert not hasattr(model, "n_features_in_")


@each_estimator
def test_missing_values(estimator, rows):
    X_val = np.where(np.arange(120)[:, None] == 3, np.nan, rows)
    with pytest.warns(UserWarning, match="1 of 120 samples of X_val have no observed value"):
        found = quick(estimator).fit(rows, X_val=X_val).validation_loss_curve_
    expected = quick(estimator).fit(rows, X_val=np.delete(rows, 3, axis=0)).validation_loss_curve_
    assert found == expected


@each_estimator
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: sparse.csr_matrix(np.where(np.arange(120)[:, None] == 3, np.inf, X)), "Input X_val contains inf"),
        (lambda X: X[:, :4], "X_val has 4 features, but X has 5"),
        (lambda X: X[:0], "X_val cannot be used: Found array with 0 sample"),
        (lambda X: X[0], "X_val cannot be used: Expected 2D array, got 1D array"),
        (lambda X: (X, np.ones(120)), "X_val cannot be used: .* inhomogeneous shape"),
        (lambda X: pd.DataFrame(X).assign(e="text"), r"X_val cannot be used: \w+ needs numeric features; .*'e'"),
        (lambda X: X + 1j, "X_val cannot be used: Complex data not supported"),
    ],
)
def test_errors_speak_of_it(estimator, change, message, rows):
    model = quick(estimator)
    with pytest.raises(ValueError, match=message):
        model.fit(rows, X_val=change(rows))
    assert not hasattr(model, "net_")


@each_estimator
def test_pipeline_transforms_it(estimator, rows):
    scaler = StandardScaler().fit(rows)
    expected = quick(estimator).fit(scaler.transform(rows), X_val=scaler.transform(rows[:20])).validation_loss_curve_
    with sklearn.config_context(enable_metadata_routing=True):
        steps = [("scale", StandardScaler()), ("code", quick(estimator).set_fit_request(X_val=True))]
        fitted = Pipeline(steps, transform_input=["X_val"]).fit(rows, X_val=rows[:20])
    np.testing.assert_allclose(fitted[-1].validation_loss_curve_, expected)


class TestUnlikeX:
    @each_estimator
    def test_what_did_not_pass_the_scaler(self, estimator, rows):
        model = make_pipeline(StandardScaler(), quick(estimator))
        name = f"{estimator.__name__.lower()}__X_val"
        message = (
            r"X_val differs from X: in 2 of 5 columns, .* in column 1 more than 50\.1\. .*transform_input=\['X_val'\]"
        )
        with pytest.warns(UserWarning, match=message):
            model.fit(rows, **{name: rows[:20]})

    def test_says_where_it_was_called_and_which_column(self, rows):
        frame = pd.DataFrame(rows, columns=list("abcde"))
        with pytest.warns(UserWarning, match=r"in column 'c' more than 3\.5e\+04") as caught:
            quick().fit(frame, X_val=frame.assign(c=1e4))
        assert [warning.filename for warning in caught] == [__file__]

    @pytest.mark.parametrize("load", [load_iris, load_wine])
    @pytest.mark.parametrize("which", ["X", "X_val"])
    def test_either_is_scaled(self, load, which):
        X = load().data[np.random.default_rng(0).permutation(len(load().data))]
        scaled = StandardScaler().fit_transform(X)
        X, X_val = (scaled, X) if which == "X" else (X, scaled)
        with pytest.warns(UserWarning, match="X_val differs from X"):
            quick().fit(X[:100], X_val=X_val[100:])

    def test_sparse(self, rows):
        with pytest.warns(UserWarning, match="X_val differs from X"):
            quick().fit(sparse.csr_matrix(rows), X_val=sparse.csr_matrix(100 * rows))

    def test_a_warm_start_compares_with_the_first_training(self, rows):
        model = quick(warm_start=True).fit(rows, X_val=rows[:20])
        with pytest.warns(UserWarning, match="X_val differs from X"):
            model.fit(rows, X_val=rows[:20] + 1e3)


def _zeros(rng, n):
    return np.where(rng.random((n, 6)) < 0.9, 0.0, rng.exponential(size=(n, 6)))


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=(n, 6)),
        lambda rng, n: rng.standard_cauchy(size=(n, 6)),
        lambda rng, n: rng.standard_cauchy(size=(n, 1)) * rng.normal(size=(n, 6)),  # whole samples lie far out
        lambda rng, n: np.exp(3 * rng.normal(size=(n, 6))),
        lambda rng, n: np.c_[rng.normal(size=(n, 5)), rng.random(n) < 0.02],
        _zeros,
    ],
    ids=["normal", "cauchy", "far samples", "lognormal", "rare column", "zeros"],
)
@pytest.mark.parametrize("n_val", [1, 3, 20, 400])
def test_samples_of_the_same_kind_look_like_x(draw, n_val):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, X_val = draw(rng, 100), draw(rng, n_val)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            quick(max_iter=1, hidden_layer_sizes=4, batch_size=100).fit(X, X_val=X_val)


def test_one_sample_may_be_far_out_in_a_column_that_is_nearly_constant(rows):
    rows[:, 4] = np.arange(120) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(rows, X_val=rows[:1])


def test_later_samples_of_a_column_that_grows(rows):
    rows[:, 4] = np.arange(120)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(rows[:70], X_val=rows[70:])


def test_columns_that_are_constant_in_x_are_not_compared(rows):
    X, X_val = rows.copy(), rows.copy()
    X[:, 2], X_val[:, 2] = 1.0, 100.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(X, X_val=X_val)


def test_few_samples_say_nothing_about_spread(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(rows[:10], X_val=100 * rows)
