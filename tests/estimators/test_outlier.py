"""AutoencoderOutlierDetector: signs, thresholds, p-values, members, and the inputs that other detectors crash on."""

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.covariance import MinCovDet
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from sk_autoencoder import AutoencoderOutlierDetector, trusted_types
from sk_autoencoder._rounding import rounding
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.inference import Inference
from sk_autoencoder.networks import Dense
from sk_autoencoder.objectives import Evaluation, Objective, Reconstruction
from sk_autoencoder.scores import (
    SCORES,
    CodeDistance,
    Combined,
    Mahalanobis,
    OutlierScore,
    ReconstructionError,
    SampleDistance,
)
from sk_autoencoder.thresholds import THRESHOLDS, Conformal, Hampel, Quantile, Tail, Threshold
from tests.contracts.variants import with_objective

SCORE_CHOICES = {name: name for name in SCORES} | {
    "raw": ReconstructionError(normalize=None),
    "log": ReconstructionError(normalize="log"),
    "code+residual": Mahalanobis(on="code+residual"),
    "three": Combined(["reconstruction", "mahalanobis", CodeDistance(2)]),
}
RULE_CHOICES = {name: name for name in THRESHOLDS} | {
    "share": 0.1,
    "hampel": Hampel(3.0),
    "tail part": Tail(0.05),
    "conformal part": Conformal(0.2),
    "quantile": Quantile(0.3),
}
each_score = pytest.mark.parametrize("score", SCORE_CHOICES.values(), ids=SCORE_CHOICES)
each_rule = pytest.mark.parametrize("rule", RULE_CHOICES.values(), ids=RULE_CHOICES)


def name_of(score):
    return next(name for name, choice in SCORE_CHOICES.items() if choice is score)


def detector(**parameters):
    """Make a detector that trains in a tenth of a second."""
    quick = {"hidden_layer_sizes": (16,), "n_components": 2, "max_iter": 3, "random_state": 0}
    if parameters.get("outlier_score") in SCORES:
        parameters = with_objective("outlier_score", parameters["outlier_score"]) | parameters
    return AutoencoderOutlierDetector(**(quick | parameters))


def draw(n_rows, seed, scale=1.0):
    """Rows near a plane in five dimensions."""
    rng = np.random.default_rng([seed, n_rows])
    mix = np.random.default_rng(7).normal(size=(2, 5))
    return scale * (rng.normal(size=(n_rows, 2)) @ mix + 0.2 * rng.normal(size=(n_rows, 5)))


@pytest.fixture(scope="module", name="X")
def _rows():
    return draw(200, 0)


@pytest.fixture(scope="module")
def fitted(X):
    """One fitted detector for each score; tests must not change them."""
    return {name: detector(outlier_score=choice).fit(X) for name, choice in SCORE_CHOICES.items()}


class FirstFeature(OutlierScore):
    """Distance of the first feature from 0."""

    def __call__(self, evaluation, state):
        return evaluation.target[..., 0].double().abs()


class One(Threshold):
    def __call__(self, scores, held_out):
        return 1.0


class TestSigns:
    @each_score
    def test_strange_rows_score_low(self, score, X):
        model = detector(outlier_score=score, max_iter=40).fit(X)
        far = draw(50, 1) + 30 * np.random.default_rng(0).choice([-1, 1], size=(50, 5))
        assert model.score_samples(far).max() < np.quantile(model.score_samples(X), 0.05)
        assert (model.predict(far) == -1).all()
        assert (model.decision_function(far) < 0).all()
        assert (model.p_values(far) <= 0.05).all()

    def test_decision_function_and_predict(self, X):
        """With a score and a threshold that are known: how far the first feature is from 0, and 1."""
        model = detector(outlier_score=FirstFeature(), contamination=One(), scaling=None).fit(X)
        new = np.array([[0.25, 9, 9, 9, 9], [-0.75, 0, 0, 0, 0], [-1.5, 0, 0, 0, 0], [3.0, 0, 0, 0, 0]])
        np.testing.assert_array_equal(model.score_samples(new), [-0.25, -0.75, -1.5, -3.0])
        np.testing.assert_array_equal(model.decision_function(new), np.array([0.75, 0.25, -0.5, -2.0]) + 2.0**-16)
        np.testing.assert_array_equal(model.predict(new), [1, 1, -1, -1])
        assert model.offset_ == -1.0 - 2.0**-16
        equal_but_for_rounding = np.array([[1.00001, 0, 0, 0, 0], [1.0001, 0, 0, 0, 0]])
        np.testing.assert_array_equal(model.predict(equal_but_for_rounding), [1, -1])

    @each_rule
    def test_threshold_separates_normal_rows_from_far_ones(self, rule, X):
        model = detector(contamination=rule).fit(X)
        far = 50 * np.eye(5)
        assert (model.decision_function(far) < 0).all()
        np.testing.assert_array_equal(model.predict(far), [-1] * 5)
        centre = draw(200, 1) / 4
        assert (model.decision_function(centre) > 0).mean() > 0.9
        assert (model.predict(centre) == 1).mean() > 0.9
        np.testing.assert_array_equal(detector(contamination=rule).fit_predict(X), model.predict(X))
        assert model.predict(X).dtype.kind == "i"
        assert isinstance(model.offset_, float)

    def test_a_row_on_the_threshold_is_normal(self, X):
        model = detector().fit(X)
        model.offset_ = float(model.score_samples(X[:1])[0])
        assert model.predict(X[:1]) == [1]

    def test_finds_outliers(self):
        rng = np.random.default_rng(0)
        strange = draw(20, 2) + rng.normal(size=(20, 5))
        test, labels = np.concatenate([draw(200, 3), strange]), np.repeat([0, 1], [200, 20])
        model = AutoencoderOutlierDetector(random_state=0).fit(draw(300, 1))
        assert roc_auc_score(labels, -model.score_samples(test)) > 0.95


class TestContamination:
    @pytest.mark.parametrize("share", [0.005, 0.01, 0.1, 0.33, 0.5])
    @each_score
    def test_share_of_the_training_rows(self, score, share, X):
        flagged = (detector(outlier_score=score, contamination=share).fit_predict(X) == -1).sum()
        assert abs(flagged - share * len(X)) <= 1

    def test_float_is_a_quantile(self, X):
        assert detector(contamination=0.3).fit(X).offset_ == detector(contamination=Quantile(0.3)).fit(X).offset_

    def test_names_are_parts(self, X):
        for name, rule in THRESHOLDS.items():
            assert detector(contamination=name).fit(X).offset_ == detector(contamination=rule()).fit(X).offset_

    def test_rule_moves_nothing_but_the_offset(self, X):
        scores = [detector(contamination=rule).fit(X).score_samples(X) for rule in RULE_CHOICES.values()]
        for other in scores[1:]:
            np.testing.assert_array_equal(other, scores[0])

    @pytest.mark.parametrize(
        "wrong", [0, -0.1, 0.51, 1.0, "nope", None, True, [0.1], Quantile(0.9), Conformal(2), Tail]
    )
    def test_wrong_choices(self, wrong, X, untrained):
        with pytest.raises(ValueError, match=r"'(contamination|alpha)' parameter of|contamination=Tail is a class"):
            detector(contamination=wrong).fit(X)


@pytest.fixture
def untrained(monkeypatch):
    """Let training fail, for errors that must come before it."""

    def never(*_):
        raise AssertionError("training began")

    monkeypatch.setattr(AutoencoderOutlierDetector, "_fit", never)


class TestRecalibrate:
    def test_training_rows(self, X):
        model = detector(contamination=0.1).fit(X)
        for rule in RULE_CHOICES.values():
            refitted = detector(contamination=rule).fit(X)
            assert model.recalibrate(contamination=rule).offset_ == refitted.offset_
            assert model.contamination is rule
            np.testing.assert_array_equal(model.labels_, refitted.labels_)
            assert model.recalibrate().offset_ == refitted.offset_

    @each_rule
    def test_other_rows(self, rule, X):
        model = detector().fit(X)
        other = draw(120, 9)
        scores = -model.score_samples(other)
        made = (
            rule
            if not isinstance(rule, str | float)
            else THRESHOLDS[rule]()
            if isinstance(rule, str)
            else Quantile(rule)
        )
        limit = made(scores, np.sort(scores))
        assert model.recalibrate(other, contamination=rule).offset_ == -limit - rounding(limit)

    def test_share_of_other_rows(self, X):
        other = draw(100, 9)
        assert (detector().fit(X).recalibrate(other, contamination=0.2).predict(other) == -1).sum() == 20

    @pytest.mark.parametrize("rows", [None, draw(100, 9)], ids=["training", "other"])
    def test_moves_offset_and_contamination_only(self, rows, X):
        model = detector().fit(X)
        before = pickle.loads(pickle.dumps(model))
        assert model.recalibrate(rows, contamination=0.3) is model
        assert model.offset_ != before.offset_
        for method in ("score_samples", "p_values", "feature_scores", "reconstruct"):
            np.testing.assert_array_equal(getattr(model, method)(X), getattr(before, method)(X))
        assert model.get_params() == before.get_params() | {"contamination": 0.3}
        for attribute in ("calibration_scores_", "training_scores_"):
            np.testing.assert_array_equal(getattr(model, attribute), getattr(before, attribute))

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ("nope", r"contamination='nope' is not valid; use a float in \(0, 0.5\] or one of \['auto'"),
            *((share, "'contamination' parameter of Quantile must be") for share in (0, 0.9, -1, True, [0.1])),
            (Conformal(2), "'alpha' parameter of Conformal must be"),
        ],
    )
    def test_wrong_choices(self, wrong, message, X):
        model = detector().fit(X)
        before = model.offset_
        with pytest.raises(ValueError, match=message):
            model.recalibrate(contamination=wrong)
        assert model.offset_ == before


class KLScore(OutlierScore):
    """Reads a part that only a variational objective gives."""

    required_terms = ("kl", "reconstruction")

    def __call__(self, evaluation, state):
        return evaluation.terms["kl"].double()


class KLChild(ReconstructionError):
    """Reads the same part, and learns from references, though its parent does neither."""

    required_terms = ("kl",)

    def __init__(self):
        super().__init__()

    def fit(self, references, held_out, others=None):
        return {"mean": references.terms["kl"].double().mean(dim=1, keepdim=True)}

    def __call__(self, evaluation, state):
        return evaluation.terms["kl"].double() - state["mean"]


class WithKL(Reconstruction):
    """Gives a part named kl."""

    terms = ("reconstruction", "kl")

    def __call__(self, network, batch, loss):
        found = super().__call__(network, batch, loss)
        parts = found.terms | {"kl": found.code.square().mean(dim=-1)}
        return Evaluation(found.loss, parts, found.code, found.reconstruction, found.target)


class Mute(Objective):
    """Gives nothing by name."""

    terms = ()

    def __call__(self, network, batch, loss):
        raise AssertionError("training began")


class TestNeeds:
    def test_part_that_the_objective_does_not_give(self, X, untrained):
        with pytest.raises(
            ValueError, match=r"outlier_score=KLScore\(\) needs \['kl'\], but objective='reconstruction' "
        ):
            detector(outlier_score=KLScore()).fit(X)

    @pytest.mark.parametrize("score", ["reconstruction", "mahalanobis", "combined", Combined(["mahalanobis"])], ids=str)
    def test_objective_that_gives_nothing(self, score, X, untrained):
        with pytest.raises(
            ValueError, match=r"needs \['reconstruction'\], but objective=Mute\(\) has the terms \[\]; use"
        ):
            detector(outlier_score=score, objective=Mute()).fit(X)

    def test_combined_needs_what_its_components_need(self, X, untrained):
        with pytest.raises(ValueError, match=r"needs \['kl'\]"):
            detector(outlier_score=Combined(["mahalanobis", KLScore()])).fit(X)

    def test_child_of_a_score_that_needs_less(self, X):
        assert np.isfinite(detector(outlier_score=KLChild(), objective=WithKL()).fit(X).score_samples(X)).all()

    def test_objective_that_gives_it(self, X):
        model = detector(outlier_score=KLScore(), objective=WithKL()).fit(X)
        assert np.isfinite(model.score_samples(X)).all()
        assert list(model.component_scores(X)) == ["KLScore"]
        assert list(model.loss_curves_) == ["kl", "reconstruction"]
        both = detector(outlier_score=Combined([KLScore(), "code_distance"]), objective=WithKL()).fit(X)
        assert list(both.component_scores(X)) == ["KLScore", "code_distance"]

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ("nope", "'outlier_score' parameter of AutoencoderOutlierDetector must be"),
            (Mahalanobis, r"outlier_score=Mahalanobis is a class; write outlier_score=Mahalanobis\(\)"),
            (Mahalanobis(on="rows"), "'on' parameter of Mahalanobis must be"),
            (Mahalanobis(covariance="robust"), "'covariance' parameter of Mahalanobis must be"),
            (CodeDistance(0), "'n_neighbors' parameter of CodeDistance must be"),
            (ReconstructionError("squared"), "'normalize' parameter of ReconstructionError must be"),
            (Combined(["nope"]), r"Combined takes score objects and names among .* got \['nope'\]"),
            (Combined([]), "Combined needs at least one score"),
        ],
        ids=str,
    )
    def test_wrong_scores(self, wrong, message, X, untrained):
        with pytest.raises(ValueError, match=message):
            detector(outlier_score=wrong).fit(X)


# Scores of the code, and of whole rows.
DISTANCES = {f"{space}_distance" for space in ("row", "rank", "code", "residual")}
WITHOUT_FEATURES = {"code_distance", "reconstruction_isolation", "sensor_error", "kl", "elbo"}


class TestFeatureScores:
    @each_score
    def test_available_where_there_are_addends(self, score, fitted, X):
        name = name_of(score)
        assert hasattr(fitted[name], "feature_scores") == (name not in WITHOUT_FEATURES)
        assert hasattr(detector(outlier_score=score), "feature_scores") == (name not in WITHOUT_FEATURES)

    def test_available_as_the_detector_was_fitted(self, X):
        model = detector(outlier_score="code_distance").fit(X).set_params(outlier_score="combined")
        assert not hasattr(model, "feature_scores")
        model = detector().fit(X).set_params(outlier_score="code_distance")
        np.testing.assert_allclose(model.feature_scores(X).sum(axis=1), -model.score_samples(X))

    def test_not_available_on_codes(self, X):
        assert not hasattr(detector(outlier_score=Combined(["code_distance"])), "feature_scores")
        message = (
            "no attribute 'feature_scores': outlier_score=.* has no contributions of features; these have: .*'residual"
        )
        with pytest.raises(AttributeError, match=message):
            _ = detector(outlier_score="code_distance").fit(X).feature_scores

    @pytest.mark.parametrize("name", [name for name in SCORE_CHOICES if name not in WITHOUT_FEATURES])
    def test_shape_and_sum(self, name, fitted, X):
        shares, scores = fitted[name].feature_scores(X), -fitted[name].score_samples(X)
        assert shares.shape == X.shape
        if name == "code+residual":
            assert not np.allclose(shares.sum(axis=1), scores, rtol=1e-3)
        elif name == "three":  # codes are not explained
            assert (shares.sum(axis=1) <= scores * (1 + 1e-9)).all()
        else:
            # Plain squares and distances are added up in the network's precision, which is float32.
            np.testing.assert_allclose(shares.sum(axis=1), scores, rtol=1e-5)

    @pytest.mark.parametrize("name", ["reconstruction", "raw", "log"])
    def test_point_at_the_feature_that_is_wrong(self, name, X):
        model = detector(outlier_score=SCORE_CHOICES[name], max_iter=60).fit(X)
        for feature in range(5):
            row = X[:1].copy()
            row[0, feature] += 20 * X[:, feature].std()
            shares = model.feature_scores(row)[0]
            assert feature in np.argsort(shares)[-2:]

    @each_score
    def test_components(self, score, fitted, X):
        name = name_of(score)
        model = fitted[name]
        components = model.component_scores(X)
        names = {
            "combined": [
                "mahalanobis",
                "residual_distance",
                "sample_distance",
                "rank_distance",
                "sample_isolation",
                "feature_tails",
            ],
            "three": ["reconstruction", "mahalanobis", "code_distance"],
            "raw": ["reconstruction"],
            "log": ["reconstruction"],
            "code+residual": ["mahalanobis"],
        }
        assert list(components) == names.get(name, [name])
        assert all(values.shape == (200,) and values.dtype == np.float64 for values in components.values())
        if len(components) == 1:
            np.testing.assert_allclose(next(iter(components.values())), -model.score_samples(X), rtol=1e-12)


class TestReferences:
    @pytest.mark.parametrize(("n_rows", "n_references"), [(300, 150), (5000, 1024), (11_000, 1024)])
    def test_are_limited(self, n_rows, n_references):
        parameters = {"max_iter": 1, "batch_size": 1024, "n_estimators": 2}
        model = detector(outlier_score="code_distance", **parameters).fit(draw(n_rows, 0))
        assert model._score_state["references"].shape == (2, n_references, 2)
        assert len(model.calibration_scores_) == n_rows

    def test_robust_covariance(self, X):
        robust = Mahalanobis(covariance=MinCovDet(support_fraction=0.9))
        first, second = (detector(outlier_score=clone(robust)).fit(X).score_samples(X) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert np.isfinite(first).all()
        assert not np.array_equal(first, detector(outlier_score="mahalanobis").fit(X).score_samples(X))


class TestPValues:
    levels = (0.01, 0.05, 0.1)

    @pytest.mark.parametrize("n_estimators", [1, 5])
    @pytest.mark.parametrize("n_rows", [50, 200])
    @each_score
    def test_super_uniform(self, score, n_rows, n_estimators):
        """P(p <= a) <= a on clean rows, in the mean over training sets; five standard errors are allowed."""
        rates = []
        for seed in range(8):
            model = detector(outlier_score=score, n_estimators=n_estimators, random_state=seed)
            p_values = model.fit(draw(n_rows, seed)).p_values(draw(1000, 100 + seed))
            rates.append([(p_values <= level).mean() for level in self.levels])
        n_held_out = len(model.calibration_scores_)
        for level, rate in zip(self.levels, np.mean(rates, axis=0), strict=True):
            error = np.sqrt(level * (1 - level) * (1 / n_held_out + 1 / 1000) / 8)
            assert rate <= level + 5 * error

    @pytest.mark.parametrize("n_rows", [15, 30])
    def test_few_rows(self, n_rows):
        """Folds of a handful of rows: what belongs to no single member is learnt from those of all."""
        rates = []
        for seed in range(10):
            p_values = detector(random_state=seed).fit(draw(n_rows, seed)).p_values(draw(1000, 100 + seed))
            rates.append([(p_values <= level).mean() for level in (0.1, 0.2)])
        for level, rate in zip((0.1, 0.2), np.mean(rates, axis=0), strict=True):
            assert rate <= level + 3 * np.sqrt(level * (1 - level) * (1 / n_rows + 1 / 1000) / 10)

    def test_not_only_by_being_large(self, X):
        """The test above would pass if all p-values were 1."""
        p_values = detector().fit(X).p_values(draw(2000, 5))
        assert 0.2 < np.median(p_values) < 0.8
        assert (p_values <= 0.2).mean() > 0.05

    @each_score
    @each_rule
    def test_do_not_depend_on_the_rule(self, score, rule, X):
        model = detector(outlier_score=score, contamination=rule, max_iter=1, n_estimators=2).fit(X)
        p_values = model.p_values(X)
        before = detector(outlier_score=score, max_iter=1, n_estimators=2).fit(X).p_values(X)
        np.testing.assert_array_equal(p_values, before)

    @each_score
    @pytest.mark.parametrize("n_rows", [1, 5, 12, 200])
    def test_range(self, score, n_rows):
        model = detector(outlier_score=score, max_iter=1).fit(draw(n_rows, 0))
        n_held_out = len(model.calibration_scores_)
        p_values = model.p_values(np.concatenate([draw(100, 1), np.full((1, 5), 1e9)]))
        assert p_values.min() == pytest.approx(1 / (n_held_out + 1))
        assert p_values.max() <= 1
        assert p_values[-1] == p_values.min()

    def test_count_held_out_rows(self, X):
        model = detector().fit(X)
        assert len(model.calibration_scores_) == 200
        assert len(detector(n_estimators=1).fit(X).calibration_scores_) == 40
        strangeness = -model.score_samples(X)
        # A training sample is compared with the 199 others.
        at_least = model.calibration_scores_ + rounding(model.calibration_scores_) >= strangeness[:, None]
        np.testing.assert_allclose(model.p_values(X), at_least.sum(axis=1) / 200)
        new = draw(50, 7)
        at_least = model.calibration_scores_ + rounding(model.calibration_scores_) >= -model.score_samples(new)[:, None]
        np.testing.assert_allclose(model.p_values(new), (1 + at_least.sum(axis=1)) / 201)
        assert (np.diff(model.calibration_scores_) >= 0).all()

    def test_conformal_is_the_same_as_a_p_value(self, X):
        new = draw(500, 3)
        for alpha in (0.01, 0.05, 0.1):
            model = detector(contamination=Conformal(alpha)).fit(X)
            np.testing.assert_array_equal(model.predict(new) == -1, model.p_values(new) <= alpha + 1e-12)


@pytest.mark.parametrize(
    ("rule", "lowest", "highest"),
    [("auto", 0.0, 0.03), (Tail(0.05), 0.005, 0.07), *((Conformal(a), a / 5, a * 1.2 + 0.01) for a in (0.05, 0.1))],
    ids=str,
)
def test_false_alarms_on_clean_rows(rule, lowest, highest):
    rates = []
    for seed in range(4):
        model = detector(max_iter=20, contamination=rule, random_state=seed).fit(draw(400, seed))
        rates.append((model.predict(draw(2000, 50 + seed)) == -1).mean())
    assert lowest <= np.mean(rates) <= highest


def members(model):
    """Weights as (n_members, n_weights)."""
    return np.hstack([w.detach().numpy().reshape(len(w), -1) for w in model.net_.module_.parameters()])


class TestMembers:
    def test_initial_weights_differ(self, X):
        weights = members(detector(learning_rate_init=1e-30, max_iter=1).fit(X))
        assert len(np.unique(weights, axis=0)) == 5

    @pytest.mark.parametrize("n_estimators", [2, 5, 9])
    def test_initial_weights_do_not_depend_on_the_number_of_members(self, n_estimators, X):
        alone = members(detector(learning_rate_init=1e-30, max_iter=1, n_estimators=1).fit(X))
        many = members(detector(learning_rate_init=1e-30, max_iter=1, n_estimators=n_estimators).fit(X))
        np.testing.assert_allclose(many[0], alone[0], rtol=0, atol=1e-20)

    def test_rows_held_out(self, X):
        model = detector(n_estimators=7).fit(X)
        positions = model._split(Samples(X), hold_out=False)[0]
        assert positions.shape == (7, 160)
        held_out = [set(range(200)) - set(own) for own in positions]
        assert set.union(*held_out[:5]) == set(range(200))
        assert all(len(rows) == 40 for rows in held_out)
        assert not set.intersection(*held_out[:2])
        assert held_out[5] == held_out[0]

    def test_held_out_rows_are_not_trained_on(self):
        """A member cannot rebuild an odd row that it never saw; the members that saw it can."""
        X = np.concatenate([draw(49, 0, scale=0.1), np.full((1, 5), 30.0) * [1, -1, 1, -1, 1]])
        model = detector(hidden_layer_sizes=(), activation="identity", max_iter=400, learning_rate_init=0.02).fit(X)
        scaled = (X - X.mean(axis=0)) / X.std(axis=0)
        network = model.net_.module_
        with torch.no_grad():
            odd = torch.tensor(scaled[-1:], dtype=torch.float32).expand(5, 1, 5)
            errors = (network(odd) - odd).square().mean(dim=(1, 2)).numpy()
        blind = next(m for m, own in enumerate(model._split(Samples(X), hold_out=False)[0]) if 49 not in own)
        assert np.argmax(errors) == blind
        assert errors[blind] > 10 * np.delete(errors, blind).max()

    def test_row_order_differs(self, X):
        """With equal weights and rows, members differ by their order alone."""
        small = X[:9]  # below 10 rows nothing is held out

        model = detector(max_iter=1, batch_size=3).fit(small)
        batches = model.net_.get_iterator(
            model._rows(Samples(small), model._split(Samples(small), hold_out=False)[0]), training=True
        )
        one, two, *_ = next(iter(batches)).clean
        assert not torch.equal(one, two)
        torch.testing.assert_close(one.sort(dim=0).values, two.sort(dim=0).values)

    def test_score_is_the_mean_of_the_members(self, X):
        model = detector(outlier_score=ReconstructionError(normalize=None)).fit(X)
        inference = model._inference

        def rebuilt(network, batch):
            return inference._unscaled(network.encode(batch.corrupted)[..., : model.n_components_])

        reconstructions = inference.apply(rebuilt, X, X.shape[1])
        scale = X.std(axis=0)
        errors = (((X - reconstructions) / scale) ** 2).mean(axis=2)
        trained_on = model._split(Samples(X), hold_out=False)[0]
        blind = np.array([[row not in own for row in range(len(X))] for own in map(set, trained_on)])
        assert (blind.sum(axis=0) == 1).all()
        np.testing.assert_allclose(-model.score_samples(X), errors[blind.argmax(axis=0), range(len(X))], rtol=1e-4)
        np.testing.assert_array_equal(model.reconstruct(X), reconstructions[blind.argmax(axis=0), range(len(X))])
        model.forget_training_samples()
        np.testing.assert_allclose(-model.score_samples(X), errors.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(model.reconstruct(X), reconstructions.mean(axis=0))

    @each_score
    @pytest.mark.parametrize("n_estimators", [1, 3])
    def test_refit_is_the_same(self, score, n_estimators, X):
        model = detector(outlier_score=score, n_estimators=n_estimators).fit(X)
        again = clone(model).fit(X)
        np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
        np.testing.assert_array_equal(again.calibration_scores_, model.calibration_scores_)
        assert again.offset_ == model.offset_
        other = clone(model).set_params(random_state=1).fit(X)
        assert not np.array_equal(other.score_samples(X), model.score_samples(X))

    def test_nothing_is_random_after_fit(self, fitted, X):
        for model in fitted.values():
            state = check_random_state(None).get_state()[1].copy()
            first = model.score_samples(X), model.p_values(X), model.predict(X)
            second = model.score_samples(X), model.p_values(X), model.predict(X)
            for one, two in zip(first, second, strict=True):
                np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(check_random_state(None).get_state()[1], state)

    @pytest.mark.parametrize("network", ["dense", "convolutional"])
    def test_warm_start_adds_members(self, network, X):
        model = detector(warm_start=True, n_estimators=2, network=network, restore_best=False).fit(X)
        trained = members(model)
        model.set_params(n_estimators=7, learning_rate_init=1e-12).fit(X)
        drawn = detector(n_estimators=7, network=network, restore_best=False, learning_rate_init=1e-12).fit(X)
        np.testing.assert_allclose(members(model), np.vstack([trained, members(drawn)[2:]]), atol=1e-9)
        assert model.n_iter_ == 6
        assert_finite(model, X)

    def test_warm_start_trains_added_members(self, X):
        model = detector(warm_start=True, n_estimators=2, max_iter=100).fit(X)
        model.set_params(n_estimators=3).fit(X)
        first, *_, last = model.net_.history
        assert len(last["train_member_loss"]) == 3
        assert max(last["train_member_loss"]) < 0.8 * min(first["train_member_loss"])

    def test_warm_start_refuses_fewer_members(self, X):
        model = detector(warm_start=True, n_estimators=3).fit(X)
        with pytest.raises(ValueError, match=r"cannot continue training with n_estimators=2 \(was 3\)"):
            model.set_params(n_estimators=2).fit(X)

    def test_warm_start_does_not_add_members_beside_pretrained_ones(self, X):
        model = detector(warm_start=True, n_estimators=2, network=Dense(layerwise_pretraining=True), max_iter=4).fit(X)
        with pytest.raises(ValueError, match=r"cannot continue training with n_estimators=3 \(was 2\)"):
            model.set_params(n_estimators=3).fit(X)

    def test_warm_start_goes_on(self, X):
        model = detector(warm_start=True, max_iter=5).fit(X)
        first, trained_on = model.loss_curve_[0], model._split(Samples(X), hold_out=False)[0]
        model.fit(X)
        assert model.n_iter_ == 10
        assert model.loss_curve_[-1] < first
        # rows held out once stay held out
        np.testing.assert_array_equal(model._split(Samples(X), hold_out=False)[0], trained_on)


class TestLength:
    """How long each member trains is decided by rows that it does not train on."""

    overfits: ClassVar = {
        "max_iter": 60,
        "batch_size": 8,
        "learning_rate_init": 0.02,
        "hidden_layer_sizes": (64,),
        "corruption": None,
    }

    @staticmethod
    def held_out_errors(model, X):
        """Each member's loss on the rows that it holds out."""
        scaled = torch.tensor((X - X.mean(axis=0)) / X.std(axis=0), dtype=torch.float32)
        rows = scaled[torch.from_numpy(model._split(Samples(X), hold_out=True)[1])]
        with torch.no_grad():
            return (model.net_.module_(rows) - rows).square().mean(dim=(1, 2)).numpy()

    def test_weights_of_the_best_epoch_for_the_rows_held_out(self):
        X = draw(30, 0)
        model = detector(**self.overfits).fit(X)
        curves = np.array(model.net_.history[:, "valid_member_loss"])  # (epochs, members)
        assert len(curves) == 60
        assert (curves.argmin(axis=0) < 59).any()
        np.testing.assert_allclose(self.held_out_errors(model, X), curves.min(axis=0), rtol=1e-4)

    def test_weights_of_the_last_epoch(self):
        X = draw(30, 0)
        model = detector(**self.overfits, restore_best=False).fit(X)
        best = detector(**self.overfits).fit(X)
        assert model.validation_loss_curve_ == []
        last, least = self.held_out_errors(model, X), self.held_out_errors(best, X)
        assert (last >= least * (1 - 1e-4)).all()
        assert last.max() > 1.01 * least.max()

    def test_stops_when_told_how_long_to_wait(self, X):
        model = detector(max_iter=9, n_iter_no_change=2, learning_rate_init=1e-30, learning_rate="constant").fit(X)
        assert model.n_iter_ == 3

    @pytest.mark.parametrize("n_rows", [1, 5, 9])
    def test_too_few_rows_to_hold_any_out(self, n_rows):
        model = detector().fit(draw(n_rows, 0))
        assert len(model.validation_loss_curve_) == 3


class TestBits:
    @pytest.mark.parametrize("width", [1, 3, 7, 33, 100])
    @pytest.mark.parametrize("n_estimators", [1, 3])
    @each_score
    def test_a_row_in_any_batch(self, score, n_estimators, width):
        X = np.random.default_rng(width).normal(size=(300, width))
        parameters = {"n_components": "auto", "hidden_layer_sizes": (33,), "n_estimators": n_estimators}
        model = detector(outlier_score=score, max_iter=1, **parameters).fit(X)
        copy = pickle.loads(pickle.dumps(model))
        whole = model.score_samples(X)
        for part in (slice(0, 1), slice(7, 8), slice(255, 256), slice(256, 257), slice(3, 260), slice(299, 300)):
            np.testing.assert_array_equal(model.score_samples(X[part]), whole[part])
            np.testing.assert_array_equal(copy.score_samples(X[part]), whole[part])
        turned = np.random.default_rng(0).permutation(300)
        np.testing.assert_array_equal(copy.score_samples(X[turned]), whole[turned])
        if hasattr(model, "feature_scores"):
            shares = model.feature_scores(X)
            np.testing.assert_array_equal(model.feature_scores(X[turned]), shares[turned])
            np.testing.assert_array_equal(model.feature_scores(X[8:9]), shares[8:9])

    @each_score
    def test_eight_threads(self, score, fitted):
        name = name_of(score)
        batches = [draw(n_rows, n_rows) for n_rows in (1, 17, 255, 256, 257, 600, 3, 80)] * 3
        expected = [fitted[name].score_samples(batch) for batch in batches]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(fitted[name].score_samples, batches))
        for one, two in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, two)


METHODS = ("score_samples", "decision_function", "predict", "p_values", "feature_scores")


def assert_finite(model, X):
    for method in METHODS:
        if hasattr(model, method):
            result = getattr(model, method)(X)
            assert len(result) == len(X)
            assert np.isfinite(result).all(), method
    assert np.isfinite(model.offset_)
    assert np.isfinite(model.calibration_scores_).all()


class TestRows:
    @each_score
    @pytest.mark.parametrize("n_rows", [1, 2, 3, 9, 10, 11, 14, 15, 31])
    def test_few_rows(self, score, n_rows):
        rows = draw(n_rows, 0)
        assert_finite(detector(outlier_score=score, max_iter=2).fit(rows), rows)

    @pytest.mark.parametrize("n_rows", range(1, 32))
    def test_1_to_31_rows(self, n_rows):
        rows = draw(n_rows, 0)
        model = AutoencoderOutlierDetector(max_iter=1, random_state=0).fit(rows)
        assert_finite(model, rows)
        assert_finite(model, draw(40, 1))

    @each_rule
    @pytest.mark.parametrize("n_rows", [1, 2, 10, 31])
    def test_few_rows_with_every_rule(self, rule, n_rows):
        rows = draw(n_rows, 0)
        assert_finite(detector(contamination=rule, max_iter=1).fit(rows), rows)

    @each_score
    def test_constant_columns(self, score):
        rows = draw(60, 0)
        rows[:, [1, 3]] = 5.0
        model = detector(outlier_score=score).fit(rows)
        assert_finite(model, rows)
        assert_finite(model, draw(20, 1))  # the constant is not kept
        assert_finite(detector(outlier_score=score).fit(np.ones((30, 3))), np.array([[1.0, 1, 1], [9, -9, 1e6]]))

    def test_a_constant_that_moves_is_an_outlier(self):
        rows = draw(100, 0)
        rows[:, 2] = 5.0
        moved = rows[:20] + np.array([0, 0, 3.0, 0, 0])
        assert (detector(max_iter=40, outlier_score="reconstruction").fit(rows).predict(moved) == -1).all()

    @each_score
    def test_duplicates(self, score):
        rows = np.repeat(draw(4, 0), 15, axis=0)
        assert_finite(detector(outlier_score=score).fit(rows), rows)

    @each_score
    def test_scales(self, score):
        plain = draw(100, 0)
        scales = np.array([1e-6, 1.0, 1e6, 1e-12, 1e12])
        models = [detector(outlier_score=score).fit(rows) for rows in (plain, plain * scales)]
        assert_finite(models[1], plain * scales)
        scores = [model.score_samples(rows) for model, rows in zip(models, (plain, plain * scales), strict=True)]
        np.testing.assert_allclose(scores[1], scores[0], rtol=1e-2, atol=1e-2)

    @each_score
    @pytest.mark.parametrize("size", [1e9, 1e30, 1e200, 1e307])
    def test_rows_beyond_all_numbers_are_outliers(self, score, size, fitted):
        name = name_of(score)
        far = np.full((2, 5), size) * [[1], [-1]]
        assert_finite(fitted[name], far)
        assert (fitted[name].predict(far) == -1).all()

    def test_largest_float32(self, X):
        model = detector().fit(X.astype(np.float32))
        far = np.array([[0, 0, 0, 0, np.finfo(np.float32).max]], dtype=np.float32)
        assert_finite(model, far)
        assert model.predict(far) == [-1]

    @pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
    @each_score
    def test_number_types(self, score, dtype):
        rows = (draw(80, 0) * 3).astype(dtype)
        model = detector(outlier_score=score).fit(rows)
        assert_finite(model, rows)
        assert model.score_samples(rows).dtype == np.float64
        assert model.p_values(rows).dtype == np.float64

    @pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
    def test_data_frames(self, frame, X):
        names = list("abcde")
        model = detector().fit(frame(X, columns=names) if frame is pd.DataFrame else frame(X, schema=names))
        expected = detector().fit(X)
        rows = frame(X, columns=names) if frame is pd.DataFrame else frame(X, schema=names)
        # scikit-learn 1.6 does not read the names of recent polars frames.
        names_of_sklearn = getattr(StandardScaler().fit(rows), "feature_names_in_", None)
        np.testing.assert_array_equal(getattr(model, "feature_names_in_", None), names_of_sklearn)
        for method in METHODS:
            np.testing.assert_array_equal(getattr(model, method)(rows), getattr(expected, method)(X))
        assert model.recalibrate(rows, contamination=0.1).offset_ == expected.recalibrate(X, contamination=0.1).offset_

    def test_lists(self, X):
        np.testing.assert_array_equal(detector().fit_predict(X.tolist()), detector().fit_predict(X))

    @pytest.mark.parametrize("method", ["predict", "score_samples", "decision_function", "p_values", "feature_scores"])
    def test_bad_rows(self, method, fitted, X):
        call = getattr(fitted["combined"], method)
        with pytest.raises(ValueError, match="expecting 5 features"):
            call(X[:, :3])
        with pytest.raises(ValueError, match="infinity"):
            call(np.full((1, 5), np.inf))
        with pytest.raises(ValueError, match="2D array"):
            call(X[0])

    def test_stopping_and_own_validation_rows(self, X):
        parameters = {"n_iter_no_change": 2, "max_iter": 200, "learning_rate": "constant", "learning_rate_init": 0.05}
        own = detector(**parameters).fit(X)
        given = detector(**parameters).fit(X, X_val=draw(30, 4))
        for model in (own, given):
            assert_finite(model, X)
            assert model.n_iter_ < 200
            assert len(model.calibration_scores_) == 200


def _pickled(model):
    return pickle.loads(pickle.dumps(model))


def _with_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def _with_skops(model):
    stored = skops.io.dumps(model)
    return skops.io.loads(stored, trusted=trusted_types())


@each_score
@pytest.mark.parametrize("stored", [_pickled, _with_joblib, _with_skops])
def test_stored(stored, score, fitted, X):
    name = name_of(score)
    copy = stored(fitted[name])
    for method in METHODS:
        if hasattr(copy, method):
            np.testing.assert_array_equal(getattr(copy, method)(X), getattr(fitted[name], method)(X))
    assert hasattr(copy, "feature_scores") == hasattr(fitted[name], "feature_scores")
    for component, values in fitted[name].component_scores(X).items():
        np.testing.assert_array_equal(copy.component_scores(X)[component], values)
    assert copy.recalibrate(contamination=0.2).offset_ == _pickled(fitted[name]).recalibrate(contamination=0.2).offset_


@each_rule
def test_rules_are_stored(rule, X):
    model = detector(contamination=rule).fit(X)
    for stored in (_pickled, _with_joblib, _with_skops):
        copy = stored(model)
        assert copy.offset_ == model.offset_
        assert copy.recalibrate().offset_ == model.offset_


@each_score
def test_tensors_that_forgot_their_device_would_be_on_meta(score, X):
    expected = detector(outlier_score=score, device="cpu").fit(X)
    with torch.device("meta"):
        model = detector(outlier_score=score, device="cpu").fit(X)
        results = {method: getattr(model, method)(X) for method in METHODS if hasattr(model, method)}
        components = model.component_scores(X)
        _pickled(model).recalibrate(X, contamination=0.2).predict(X)
    for method, result in results.items():
        np.testing.assert_array_equal(result, getattr(expected, method)(X))
    for component, values in components.items():
        np.testing.assert_array_equal(values, expected.component_scores(X)[component])


def test_no_parameter_bears_the_name_of_a_public_method():
    methods = {name for name in dir(AutoencoderOutlierDetector) if callable(getattr(AutoencoderOutlierDetector, name))}
    assert not methods & set(detector().get_params())


class TestTrim:
    def test_outliers_are_not_learnt(self):
        rng = np.random.default_rng(0)
        strange = np.repeat(draw(3, 8, scale=8), 15, axis=0) + 0.1 * rng.normal(size=(45, 5))
        rows = np.concatenate([draw(255, 0), strange])
        errors = [
            detector(objective=Reconstruction(trim=trim), max_iter=100, n_components=3)
            .fit(rows)
            .reconstruction_error(strange)
            .mean()
            for trim in (0.0, 0.2)
        ]
        assert errors[1] > 10 * errors[0]

    def test_changes_nothing_if_no_row_is_left_out(self, X):
        """Fewer rows in a mini-batch than make up one whole row of the share."""
        plain, trimmed = (
            detector(objective=Reconstruction(trim=trim), batch_size=4).fit(X).score_samples(X) for trim in (0.0, 0.1)
        )
        np.testing.assert_array_equal(plain, trimmed)

    def test_losses_are_means_of_the_rows_that_count(self, X):
        losses = [
            detector(objective=Reconstruction(trim=trim), max_iter=1).fit(X).loss_curve_[0] for trim in (0.0, 0.2)
        ]
        assert 0.2 * losses[0] < losses[1] < losses[0]


class NearResidual(SampleDistance):
    """A score that uses the network, derived from one that does not."""

    def __call__(self, evaluation, state):
        return super().__call__(evaluation, state) + (evaluation.target - evaluation.reconstruction).abs().mean(dim=-1)


@pytest.mark.parametrize(
    ("parameters", "n_steps"),
    [
        pytest.param({}, 150, id="default"),
        pytest.param({"novelty": True}, 100, id="novelty"),
        pytest.param({"outlier_score": Combined(damped=False)}, 150, id="undamped"),
        pytest.param({"outlier_score": "sample_distance"}, 150, id="without the network"),
        pytest.param({"outlier_score": "code_distance"}, 500, id="code"),
        pytest.param({"outlier_score": NearResidual()}, 500, id="child"),
        pytest.param({"outlier_score": Combined(["mahalanobis", "sample_isolation"])}, 500, id="half"),
    ],
)
def test_number_of_steps(parameters, n_steps):
    """Networks are trained for a shorter time if most components of the score do not use them."""
    X = draw(2000, 0)
    model = AutoencoderOutlierDetector(**parameters, n_estimators=1, n_components=2, hidden_layer_sizes=(8,)).fit(X)
    assert model.n_iter_ == -(-n_steps // 13)  # 13 steps an epoch, of four fifths of the samples


@pytest.mark.parametrize(("score", "n_epochs"), [("combined", 40), ("mahalanobis", 100)])
def test_number_of_epochs_of_a_small_table(score, n_epochs):
    model = AutoencoderOutlierDetector(outlier_score=score, n_components=2, hidden_layer_sizes=(8,)).fit(draw(60, 0))
    assert model.n_iter_ == n_epochs


@pytest.mark.parametrize("outlier_score", ["combined", "sample_distance"])
def test_held_out_samples_are_scored_once_in_fit(outlier_score, monkeypatch):
    """Of 103 samples, those that folds of equal size leave over are scored again."""
    rows = []
    score = Inference.score

    def counted(self, X, *args, **kwargs):
        rows.append(len(X))
        return score(self, X, *args, **kwargs)

    monkeypatch.setattr(Inference, "score", counted)
    X = np.random.default_rng(0).normal(size=(103, 3))
    detector = AutoencoderOutlierDetector(outlier_score=outlier_score, max_iter=3, random_state=0).fit(X)
    assert rows == [3]
    np.testing.assert_array_equal(detector.training_scores_, detector.score_samples(X))
