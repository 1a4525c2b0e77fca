"""A training sample is judged by the members that held it out, in every way that it can come back."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.estimators._training_samples import TrainingSamples, hashed
from sk_autoencoder.scores import SCORES, Combined, Mahalanobis
from sk_autoencoder.thresholds import THRESHOLDS, Conformal

from .variants import WAYS, assert_equal, outputs, with_objective

SCORE_CHOICES = dict.fromkeys(SCORES) | {
    "code+residual": Mahalanobis(on="code+residual"),
    "nested": Combined([Combined(["mahalanobis", "sample_distance"], n_largest=1), "sample_isolation"], n_largest=1),
}
RULES = {name: name for name in THRESHOLDS} | {"share": 0.1, "level": Conformal(0.2)}
pytestmark = pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")  # here on purpose


def table(n, seed=0):
    """Whole numbers, which float32 holds exactly, with repeated samples where there are many: (n, 4)."""
    X = np.random.default_rng(seed).integers(-9, 9, size=(n, 4)).astype(float)
    X[n - n // 20 :] = X[: n // 20]
    return X


def detector(name="combined", **options):
    score = SCORE_CHOICES.get(name) or name
    quick = {"max_iter": 2, "hidden_layer_sizes": (16,), "random_state": 0, "outlier_score": score}
    return AutoencoderOutlierDetector(
        **({**quick, **with_objective("outlier_score", name)} if score is name else quick) | options
    )


def assert_judged_alike(model, X):
    """Verdicts and scores of the training samples, whatever stands beside them and in whatever they come."""
    assert_equal({"scores": model.score_samples(X)}, {"scores": model.training_scores_})
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    order = np.random.default_rng(1).permutation(len(X))
    everything, mixed = outputs(model, X), outputs(model, np.concatenate([X[order], X + 0.25]))
    assert set(everything) & set(WAYS)
    for way, result in everything.items():
        np.testing.assert_array_equal(mixed[way][: len(X)], result[order], err_msg=way)
    for row in range(0, len(X), max(1, len(X) // 5)):
        assert_equal(outputs(model, X[[row]]), {way: result[[row]] for way, result in everything.items()})
    containers = (X.tolist(), sparse.csr_array(X), pd.DataFrame(X), X.astype(np.float32))
    for given in (*containers, X.astype(int)):
        np.testing.assert_array_equal(model.score_samples(given), model.training_scores_)
        np.testing.assert_array_equal(model.p_values(given), everything["p_values"])
    assert_equal(outputs(pickle.loads(pickle.dumps(model)), X), everything)


@pytest.mark.parametrize("name", SCORE_CHOICES)
@pytest.mark.parametrize("n", [9, 10, 60])
def test_scores(name, n):
    X = table(n)
    model = detector(name).fit(X)
    assert_judged_alike(model, X)
    np.testing.assert_array_equal(clone(model).fit_predict(X), model.labels_)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rules(rule):
    X = table(300)
    model = detector(contamination=rule)
    labels = model.fit_predict(X)
    assert_judged_alike(model, X)
    np.testing.assert_array_equal(labels, model.labels_)
    if rule == 0.1:
        assert (labels == -1).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("n_estimators", [2, 3, 7])
def test_members(n_estimators):
    X = table(60)
    assert_judged_alike(detector(n_estimators=n_estimators).fit(X), X)


def test_many_samples():
    X = np.random.default_rng(0).normal(size=(10_050, 3)).astype(np.float32).astype(float)
    model = detector(contamination=0.1, max_iter=1, batch_size=1024).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), model.training_scores_)
    voters = model._voters(X)
    assert voters is not None
    assert (voters.sum(axis=0) == 1).all()
    assert (model.labels_ == -1).mean() == pytest.approx(0.1, abs=0.001)
    assert 0.06 < (model.predict(np.random.default_rng(1).normal(size=(5000, 3))) == -1).mean() < 0.15


class TestVoters:
    def test_no_member_votes_on_what_it_was_trained_on(self):
        X = table(103)
        model = detector(n_estimators=7).fit(X)
        trained = model._split(Samples(X), hold_out=False)[0]
        known = np.stack([(X[:, None] == X[own]).all(axis=-1).any(axis=-1) for own in trained])
        places = {row.tobytes(): set() for row in X}
        for member, own in enumerate(trained):
            for row in set(range(len(X))) - set(own.tolist()):
                places[X[row].tobytes()].add(member)
        voters = model._voters(X)
        repeated = np.array([(row == X).all(axis=1).sum() > 1 for row in X])
        assert not (voters & known)[:, ~repeated].any()
        assert all(
            set(np.flatnonzero(column)) <= places[row.tobytes()] for row, column in zip(X, voters.T, strict=True)
        )
        assert voters.any(axis=0).all()

    def test_a_member_learns_from_what_others_held_out(self):
        """The spread of residuals is that of the samples outside a member's own fold."""
        X = np.random.default_rng(0).normal(size=(60, 4))
        model = detector("reconstruction").fit(X)
        residual = (model.reconstruct(X) - X) / X.std(axis=0)
        for spread, voting in zip(model._score_state["spread"], model._voters(X), strict=True):
            assert voting.sum() == 12
            np.testing.assert_allclose(spread, np.sqrt(np.square(residual[~voting]).mean(axis=0)), rtol=1e-3)

    def test_repeated_samples_are_judged_by_the_members_of_all_their_folds(self):
        X = table(60)
        X[1:30] = X[0]
        model = detector().fit(X)
        assert model._voters(X[:1]).sum() == 5
        assert len(np.unique(model.score_samples(X[:30]))) == 1

    @pytest.mark.parametrize("options", [{"n_estimators": 1}, {}], ids=["one member", "nine samples"])
    def test_in_sample(self, options):
        X = table(60 if options else 9)
        model = detector(**options).fit(X)
        assert model._voters(X) is None
        np.testing.assert_array_equal(model.score_samples(X), model.training_scores_)

    def test_warm_start(self):
        X = table(60)
        model = detector(warm_start=True).fit(X).fit(X)
        assert (model._voters(X).sum(axis=0) > 0).all()
        model.set_params(n_estimators=7).fit(X)
        assert (model._voters(X).sum(axis=0) > 0).all()
        other = model.fit(table(60, seed=1))
        assert other._voters(X) is None  # members may have been trained on any of them
        assert other.fit(X)._voters(X) is None
        np.testing.assert_array_equal(model.score_samples(X), model.training_scores_)

    def test_forget(self):
        X = table(60)
        model = detector().fit(X)
        labels = model.labels_
        assert any(isinstance(value, TrainingSamples) for value in vars(model).values())
        assert model.forget_training_samples() is model
        assert not any(isinstance(value, TrainingSamples) for value in vars(model).values())
        assert model._voters(X) is None
        np.testing.assert_array_equal(model.labels_, labels)
        assert not np.array_equal(model.score_samples(X), model.training_scores_)


class TestKeys:
    def test_equal_numbers(self):
        X = table(50)
        X[:, 1] = 0
        columns = np.array([True, True, True, False])
        keys = hashed(X, columns)
        negative, other = np.where(X == 0, -0.0, X), X.copy()
        other[:, 3] = 7  # a column that is left out
        for same in (
            negative,
            other,
            X.astype(np.float32),
            sparse.csr_array(X),
            sparse.csr_array(X.astype(np.float32)),
        ):
            np.testing.assert_array_equal(hashed(same, columns), keys)
        np.testing.assert_array_equal(hashed(X.astype(np.float32), columns, True), hashed(X, columns, True))

    @pytest.mark.parametrize("exact", [True, False])
    def test_other_numbers(self, exact):
        X, columns = np.random.default_rng(0).integers(0, 12, size=(20_000, 5)).astype(float), np.ones(5, dtype=bool)
        assert len(np.unique(hashed(X, columns, exact))) == len(np.unique(X, axis=0))
        assert len(np.unique(hashed(X[:, ::-1], columns, exact))) == len(np.unique(X, axis=0))

    def test_rounded_numbers(self):
        """A float32 step seldom changes a key."""
        X = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32)
        samples = TrainingSamples.remember(X, np.ones(2000, dtype=np.uint8), np.ones(5, dtype=bool))
        assert (samples.find(X) == 1).all()
        assert 0.98 < (samples.find(np.nextafter(X, np.float32(9))) == 1).mean() < 1
        assert not samples.find(X + 0.01).any()

    def test_samples_that_only_some_digits_tell_apart(self):
        X = np.column_stack([1.7e9 + np.arange(100.0), np.tile([1.0, 2.0], 50)])
        folds = np.repeat(np.uint8([1, 2, 4, 8, 16]), 20)
        samples = TrainingSamples.remember(X, folds, np.ones(2, dtype=bool))
        assert len(samples.keys) < 10
        np.testing.assert_array_equal(samples.find(X), folds)
        assert (samples.find(X.astype(np.float32)) > 0).all()

    def test_beyond_float32(self):
        X = np.array([[1e300, 0.0], [2e300, 0.0], [1e-300, 0.0]])
        samples = TrainingSamples.remember(X, np.uint8([1, 2, 4]), np.array([True, True]))
        np.testing.assert_array_equal(samples.find(X), [1, 2, 4])


class TestMovedSamples:
    """A sample that is not recognised is judged by members that were trained on it."""

    @pytest.mark.parametrize("moved", [1e-7, 1e-4, 1e-2])
    def test_share_and_ranking(self, moved):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 8)) + 0.3 * rng.normal(size=(400, 8))
        X[:20] += rng.normal(scale=2.0, size=(20, 8))
        labels = np.arange(400) < 20
        model = AutoencoderOutlierDetector(contamination=0.1, max_iter=60, random_state=0).fit(X)
        near = X + moved * X.std(axis=0) * rng.choice([-1, 1], size=X.shape)
        assert (model.predict(near) == -1).mean() > 0.05
        before, now = (roc_auc_score(labels, -scores) for scores in (model.training_scores_, model.score_samples(near)))
        assert now > before - 0.02
        assert (-model.score_samples(near) >= np.log(2)).all()
