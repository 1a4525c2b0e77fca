"""Scorers and one-class folds: which labels mean what, and which are refused."""

import pickle
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_validate

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.corruptions import Masking
from sk_autoencoder.model_selection import OneClassKFold, OutlierScorer, outlier_average_precision, outlier_roc_auc
from sk_autoencoder.scores import CodeDistance, Mahalanobis, ReconstructionError

SCORERS = {outlier_roc_auc: roc_auc_score, outlier_average_precision: average_precision_score}
each_scorer = pytest.mark.parametrize(("scorer", "metric"), SCORERS.items(), ids=["roc_auc", "average_precision"])
STRANGE = np.array([0] * 12 + [1] * 4, dtype=bool)
# Every way to write the same labels.
LABELS = {
    "minus one": np.where(STRANGE, -1, 1),
    "one": STRANGE.astype(int),
    "floats": np.where(STRANGE, -1.0, 1.0),
    "booleans": STRANGE,
    "list": np.where(STRANGE, -1, 1).tolist(),
    "column": np.where(STRANGE, -1, 1)[:, None],
}
each_labels = pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)


class FirstColumn:
    """A detector that is done: the first column is how normal a row is."""

    def score_samples(self, X):
        return X[:, 0]


@pytest.fixture(name="X")
def _rows():
    return np.random.default_rng(0).normal(size=(16, 2)) - STRANGE[:, None]


@pytest.fixture(scope="module")
def table():
    """Normal rows near a plane and outliers beside it, with labels 1 and -1."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(132, 2)) @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(132, 5))
    X[120:] += rng.normal(size=(12, 5))
    order = rng.permutation(132)
    return X[order], np.repeat([1, -1], [120, 12])[order]


class TestScorers:
    @each_scorer
    @each_labels
    def test_every_way_to_write_labels(self, scorer, metric, y, X):
        assert scorer(FirstColumn(), X, y) == metric(STRANGE, -X[:, 0])

    @each_scorer
    def test_perfect_and_worst(self, scorer, metric):
        X = np.where(STRANGE, -1.0, 1.0)[:, None]
        assert scorer(FirstColumn(), X, LABELS["one"]) == 1
        assert scorer(FirstColumn(), -X, LABELS["one"]) < 0.5

    @pytest.mark.parametrize("y", [np.where(STRANGE, 1, -1), 1 - STRANGE.astype(int)], ids=["minus one", "one"])
    def test_labels_turned_round_are_refused(self, y, X):
        with pytest.raises(ValueError, match=r"75% of the labels say outlier.*pass outlier_label"):
            outlier_roc_auc(FirstColumn(), X, y)

    @pytest.mark.parametrize("n_outliers", [8, 9])
    def test_up_to_half_may_be_outliers(self, n_outliers, X):
        y = np.where(np.arange(16) < n_outliers, -1, 1)
        if n_outliers <= 8:
            assert outlier_roc_auc(FirstColumn(), X, y) == roc_auc_score(y == -1, -X[:, 0])
        else:
            with pytest.raises(ValueError, match="56% of the labels say outlier"):
                outlier_roc_auc(FirstColumn(), X, y)

    @pytest.mark.parametrize(("normal", "strange"), [(1, -1), (-1, 1), (0, 1), (1, 0)])
    def test_given_label(self, normal, strange, X):
        scorer = OutlierScorer(roc_auc_score, outlier_label=strange)
        expected = roc_auc_score(STRANGE, -X[:, 0])
        assert scorer(FirstColumn(), X, np.where(STRANGE, strange, normal)) == expected
        mostly_outliers = OutlierScorer(roc_auc_score, outlier_label=normal)
        assert mostly_outliers(FirstColumn(), -X, np.where(STRANGE, strange, normal)) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (None, "needs labels: pass y with 1 for normal samples and -1"),
            (np.arange(16) % 3, "must be 1 and -1 .* or 0 and 1"),
            (np.arange(16) % 3 - 1, "must be 1 and -1 .* or 0 and 1"),
            (np.where(STRANGE, -1, 0), "must be 1 and -1 .* or 0 and 1"),
            (np.where(STRANGE, 2, 1), "must be 1 and -1 .* or 0 and 1"),
            (np.where(STRANGE, "outlier", "normal"), "must be 1 and -1 .* or 0 and 1"),
            (np.where(STRANGE, np.nan, 1), "NaN"),
        ],
    )
    def test_refused_labels(self, y, message, X):
        for scorer in SCORERS:
            with pytest.raises(ValueError, match=message):
                scorer(FirstColumn(), X, y)
        with pytest.raises(ValueError, match=message):
            next(OneClassKFold(n_splits=2).split(X, y))

    @pytest.mark.parametrize("label", [-1, 0, 1])
    def test_labels_of_one_kind(self, label, X):
        """As scikit-learn's scorers do, whose search, halving search and learning curve score the training sets."""
        y = np.full(16, label)
        for scorer in SCORERS:
            with pytest.warns(UndefinedMetricWarning, match="All labels are equal"):
                assert np.isnan(scorer(FirstColumn(), X, y))
        with pytest.raises(ValueError, match=f"contain normal samples and outliers, but all labels are {label}"):
            next(OneClassKFold(n_splits=2).split(X, y))

    def test_metrics(self, X):
        assert "functools.partial" in repr(OutlierScorer(partial(roc_auc_score, max_fpr=0.1)))
        with pytest.raises(TypeError, match="metric='roc_auc' must be a function"):
            OutlierScorer("roc_auc")(FirstColumn(), X, np.where(STRANGE, -1, 1))

    def test_label_that_does_not_occur(self, X):
        with pytest.raises(ValueError, match=r"outlier_label=-1 does not occur among the labels \[0, 1\]"):
            OutlierScorer(roc_auc_score, outlier_label=-1)(FirstColumn(), X, STRANGE.astype(int))

    @each_scorer
    def test_pickles_and_prints(self, scorer, metric, X):
        copy = pickle.loads(pickle.dumps(scorer))
        assert copy(FirstColumn(), X, LABELS["one"]) == scorer(FirstColumn(), X, LABELS["one"])
        assert repr(scorer) == f"OutlierScorer({metric.__name__}, outlier_label=None)"


class TestOneClassKFold:
    @each_labels
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_folds(self, y, shuffle):
        splitter = OneClassKFold(n_splits=4, shuffle=shuffle, random_state=0 if shuffle else None)
        folds = list(splitter.split(np.zeros((16, 1)), y))
        assert len(folds) == splitter.get_n_splits() == 4
        np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(16))
        for train, test in folds:
            assert not STRANGE[train].any()
            assert STRANGE[test].sum() == 1
            assert set(train) == set(np.flatnonzero(~STRANGE)) - set(test)

    def test_shuffling_depends_on_the_seed(self):
        def first(seed):
            return next(OneClassKFold(2, shuffle=True, random_state=seed).split(STRANGE, LABELS["one"]))[0]

        np.testing.assert_array_equal(first(0), first(0))
        assert any(not np.array_equal(first(0), first(seed)) for seed in (1, 2, 3))

    @pytest.mark.parametrize("outlier_label", [0, 1])
    def test_given_label(self, outlier_label):
        y = STRANGE.astype(int)
        for train, _ in OneClassKFold(2, outlier_label=outlier_label).split(y, y):
            assert (y[train] != outlier_label).all()

    def test_more_folds_than_outliers(self):
        with pytest.raises(
            ValueError, match=r"needs at least 5 normal samples and 5 outliers, but the smaller class has 4"
        ):
            next(OneClassKFold(5).split(STRANGE, LABELS["one"]))
        with pytest.raises(
            ValueError, match=r"needs at least 5 normal samples and 5 outliers, but the smaller class has 4"
        ):
            next(OneClassKFold(5, outlier_label=0).split(STRANGE, LABELS["one"]))

    def test_repr(self):
        assert repr(OneClassKFold(3)).startswith("OneClassKFold(n_splits=3, outlier_label=None, ")


class TestSearch:
    detector = AutoencoderOutlierDetector(2, hidden_layer_sizes=(16,), max_iter=2, n_estimators=2, random_state=0)

    def search(self, grid, table, n_jobs=1, **parameters):
        detector = clone(self.detector).set_params(**parameters)
        scoring, cv = outlier_roc_auc, OneClassKFold(n_splits=3)
        return GridSearchCV(detector, grid, scoring=scoring, cv=cv, n_jobs=n_jobs, error_score="raise").fit(*table)

    def test_names_and_objects(self, table):
        grid = {
            "outlier_score": ["reconstruction", "combined", Mahalanobis(on="code+residual")],
            "corruption": [None, "swap", Masking(0.3)],
        }
        found = self.search(grid, table, max_iter=50)  # long enough for noise to change a ranking
        results = found.cv_results_["mean_test_score"]
        assert results.shape == (9,)
        assert len(np.unique(results)) > 3
        assert found.best_score_ == results.max() > 0.8
        assert found.best_estimator_.predict(table[0]).shape == (132,)

    def test_jobs_find_the_same(self, table):
        grid = {"outlier_score": ["mahalanobis", CodeDistance(3)], "corruption": [None, Masking(0.3)]}
        one, two = (self.search(grid, table, n_jobs).cv_results_["mean_test_score"] for n_jobs in (1, 2))
        np.testing.assert_array_equal(one, two)

    def test_nested(self, table):
        grid = {"outlier_score__n_neighbors": [1, 40]}
        found = self.search(grid, table, outlier_score=CodeDistance())
        assert len(set(found.cv_results_["mean_test_score"])) == 2
        grid = {"outlier_score__normalize": [None, "standard", "log"], "corruption__rate": [0.1, 0.9]}
        found = self.search(grid, table, outlier_score=ReconstructionError(), corruption=Masking())
        assert len(set(found.cv_results_["mean_test_score"])) > 3

    def test_nested_in_a_name(self, table):
        with pytest.raises(ValueError, match=r"outlier_score__n_neighbors=1 needs an object as 'outlier_score'"):
            self.search({"outlier_score__n_neighbors": [1]}, table)

    def test_against_a_search_by_hand(self, table):
        X, y = table
        found = self.search({"outlier_score": ["mahalanobis"]}, table)
        for fold, (train, test) in enumerate(OneClassKFold(n_splits=3).split(X, y)):
            model = clone(self.detector).set_params(outlier_score="mahalanobis").fit(X[train])
            expected = roc_auc_score(y[test] == -1, -model.score_samples(X[test]))
            assert found.cv_results_[f"split{fold}_test_score"][0] == expected

    def test_several_scorers(self, table):
        scoring = {"auc": outlier_roc_auc, "ap": outlier_average_precision}
        found = cross_validate(clone(self.detector), *table, scoring=scoring, cv=OneClassKFold(n_splits=2))
        assert (found["test_auc"] > 0.5).all()
        assert (found["test_ap"] > 0.1).all()

    def test_labels_turned_round_stop_the_search(self, table):
        X, y = table
        with pytest.raises(ValueError, match="91% of the labels say outlier"):
            self.search({"outlier_score": ["mahalanobis"]}, (X, -y))
