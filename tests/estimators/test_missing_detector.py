"""Missing values in the samples of the detector: every score, training samples, and what does not change."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.donors import Donors, Means, choose_donors
from sk_autoencoder.scores import SCORES

N_SAMPLES, N_FEATURES = 400, 8


@pytest.fixture(scope="module")
def complete():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_SAMPLES, 3)) @ rng.normal(size=(3, N_FEATURES)) + 0.3 * rng.normal(
        size=(N_SAMPLES, N_FEATURES)
    )


def hidden(X, rate, seed=1):
    mask = np.random.default_rng(seed).random(X.shape) < rate
    mask[mask.all(axis=1)] = False
    return np.where(mask, np.nan, X)


@pytest.fixture(scope="module")
def X(complete):  # noqa: N802
    return hidden(complete, 0.2)


def detector(**changes):
    return AutoencoderOutlierDetector(**{"max_iter": 5, "random_state": 0} | changes)


@pytest.fixture(scope="module")
def model(X):
    return detector().fit(X)


class TestDonors:
    def test_nearest_in_the_observed_features(self):
        donors = Donors(torch.tensor([[0.0, 0.0, 0.0], [5.0, 1.0, 7.0], [5.0, 9.0, 3.0]]))
        rows = torch.tensor([[4.0, torch.nan, 6.0], [torch.nan, 8.0, torch.nan], [1.0, 2.0, 3.0]])
        expected = torch.tensor([[4.0, 1.0, 6.0], [5.0, 8.0, 3.0], [1.0, 2.0, 3.0]])
        before = rows.clone()
        torch.testing.assert_close(donors(rows), expected, rtol=0, atol=0)
        torch.testing.assert_close(rows, before, rtol=0, atol=0, equal_nan=True)

    def test_shape_is_kept(self):
        donors = Donors(torch.zeros(3, 4))
        assert donors(torch.full((2, 5, 4), torch.nan)).shape == (2, 5, 4)

    def test_do_not_depend_on_other_samples(self):
        generator = torch.Generator().manual_seed(0)
        donors = Donors(torch.randn(100, 7, generator=generator))
        rows = torch.randn(300, 7, generator=generator)
        rows[torch.rand(rows.shape, generator=generator) < 0.4] = torch.nan
        alone = torch.cat([donors(row[None]) for row in rows])
        torch.testing.assert_close(donors(rows), alone, rtol=0, atol=0)

    def test_donors_with_gaps_are_filled_first(self):
        rows = np.array([[0.0, 1.0, np.nan], [0.1, np.nan, np.nan], [9.0, 5.0, np.nan], [np.nan] * 3])
        found = choose_donors(rows, typical=np.array([0.0, 1.0, 7.0]))
        np.testing.assert_array_equal(found, [[0, 1, 7], [0.1, 1, 7], [9, 5, 7]])

    def test_typical_donors_come_first(self):
        rows = np.random.default_rng(0).normal(size=(50, 3))
        lengths = np.linalg.norm(choose_donors(rows, np.zeros(3)), axis=1)
        np.testing.assert_array_equal(lengths, np.sort(lengths))


class TestScores:
    @pytest.mark.parametrize("score", sorted(SCORES))
    def test_every_score(self, score, X, complete):
        objective = "variational" if SCORES[score]().required_terms or score == "elbo" else "reconstruction"
        model = detector(outlier_score=score, objective=objective, max_iter=3)
        scores = model.fit(X).score_samples(np.vstack([X, complete, hidden(complete, 0.3, seed=9)]))
        assert np.isfinite(scores).all()
        assert np.isfinite(model.offset_)

    @pytest.mark.parametrize(("rate", "largest"), [(0.1, 0.1), (0.3, 0.25)])
    def test_clean_samples_keep_their_mean_score(self, rate, largest, complete):
        """Hidden values make clean samples neither more outlying nor more normal."""
        model = AutoencoderOutlierDetector(random_state=0, max_iter=60).fit(complete[:200])
        new = complete[200:]
        before, after = model.score_samples(new), model.score_samples(hidden(new, rate))
        assert abs(after.mean() - before.mean()) < largest * before.std()

    def test_outliers_are_found(self, complete):
        X = np.vstack([hidden(complete, 0.1), hidden(np.random.default_rng(3).normal(size=(40, N_FEATURES)) * 4, 0.1)])
        is_outlier = np.arange(len(X)) >= N_SAMPLES
        assert roc_auc_score(is_outlier, -detector(max_iter=60).fit(X).training_scores_) > 0.95

    def test_do_not_depend_on_other_samples(self, model, complete):
        rows = np.vstack([hidden(complete, 0.3, seed=5)[:60], complete[:20] + 0.1])
        for method in (model.score_samples, model.reconstruct, model.feature_scores):
            alone = np.concatenate([method(rows[i : i + 1]) for i in range(0, 80, 9)])
            np.testing.assert_array_equal(method(rows)[::9], alone)

    def test_complete_samples_are_scored_as_ever(self, complete, X):
        model = detector().fit(complete)
        whole = np.vstack([complete[:50] + 0.1, X[:50]])
        np.testing.assert_array_equal(model.score_samples(whole)[:50], model.score_samples(complete[:50] + 0.1))

    def test_feature_scores_of_missing_values_are_nan(self, model, X):
        np.testing.assert_array_equal(np.isnan(model.feature_scores(X)), np.isnan(X))

    def test_nothing_known(self, model):
        nothing = np.full((2, N_FEATURES), np.nan)
        scores = model.score_samples(nothing)
        assert np.isfinite(scores).all()
        assert (model.predict(nothing) == 1).all()


class TestTraining:
    @pytest.mark.parametrize(("score", "refines"), [("combined", False), ("reconstruction", True)])
    def test_network_replaces_missing_values_only_if_the_score_has_no_donors(self, score, refines, X):
        model = detector(outlier_score=score).fit(X)
        assert model.net_.refines_ == refines
        assert isinstance(model._inference.fill, Means if refines else Donors)

    def test_training_samples_are_recognised(self, model, X):
        np.testing.assert_array_equal(model.score_samples(X), model.training_scores_)
        np.testing.assert_array_equal(clone(model).fit_predict(X), model.predict(X))

    def test_share_of_outliers(self, X):
        model = detector(contamination=0.1).fit(X)
        assert (model.labels_ == -1).mean() == pytest.approx(0.1, abs=0.01)

    def test_refit_and_storage(self, model, X):
        expected = model.score_samples(X)
        np.testing.assert_array_equal(clone(model).fit(X).score_samples(X), expected)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).score_samples(X), expected)

    def test_containers(self, X):
        expected = detector(max_iter=2).fit(X).training_scores_
        for container in (sparse.csr_array, pd.DataFrame, lambda A: np.where(np.isnan(A), None, A)):
            np.testing.assert_array_equal(detector(max_iter=2).fit(container(X)).training_scores_, expected)

    def test_columns_and_samples_without_values(self, X):
        gone = X.copy()
        gone[:, 2] = np.nan
        gone[5] = np.nan
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = detector().fit(gone)
        assert [str(warning.message)[:46] for warning in caught] == [
            "1 of 400 samples of X have no observed value; ",
            "Column 2 has no observed value: it is left out",
        ]
        assert np.isfinite(model.training_scores_).all()
        assert len(model.labels_) == N_SAMPLES
        assert np.isnan(model.feature_scores(X)[:, 2]).all()
        later = gone.copy()
        later[:, 2] = 1e3
        np.testing.assert_array_equal(model.score_samples(later + 0.1), model.score_samples(gone + 0.1))

    def test_nothing_at_all(self):
        with pytest.raises(ValueError, match="X has no observed value"):
            detector().fit(np.full((20, 3), np.nan))

    def test_validation_and_warm_start(self, X, complete):
        assert np.isfinite(detector().fit(complete, X_val=X).validation_loss_curve_).all()
        model = detector(warm_start=True).fit(complete).fit(X)
        assert np.isfinite(model.training_scores_).all()

    def test_recalibrate(self, model, X, complete):
        again = pickle.loads(pickle.dumps(model)).recalibrate(hidden(complete, 0.3, seed=7))
        assert np.isfinite(again.offset_)
