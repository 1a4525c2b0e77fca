"""Classifier and regressor: kinds of labels, ways of training, transfer, searches, and what is kept."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeCV
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer
from skorch.callbacks import Callback
from torch import nn

from sk_autoencoder import (
    AutoencoderClassifier,
    AutoencoderRegressor,
    AutoencoderTransformer,
    BinaryLabelsWarning,
    trusted_types,
)
from sk_autoencoder._labels import hold_out_labelled
from sk_autoencoder.model_selection import LabelledKFold, labelled_scorer
from sk_autoencoder.networks import Custom, Dense
from sk_autoencoder.objectives import CONSISTENCIES, OBJECTIVES, Reconstruction, VirtualAdversarial

SMALL = AutoencoderTransformer(3, hidden_layer_sizes=(16, 8), max_iter=5)
WAYS = ("frozen", "finetune", "joint")


@pytest.fixture(scope="module")
def groups():
    """Three groups of samples in 6 columns: X (240, 6), y, and y with 5 labels a class."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    X = rng.normal(size=(3, 6))[y] * 3 + rng.normal(size=(240, 6))
    return X, y, np.where(np.arange(240) < 15, y, -1)


@pytest.fixture(scope="module")
def numbers():
    """A target that depends on 6 columns linearly: X (240, 6), y, and y with 60 known values."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 6))
    y = 100 + 5 * X @ rng.normal(size=6)
    return X, y, np.where(np.arange(240) < 60, y, np.nan)


def classifier(**parameters):
    return AutoencoderClassifier(SMALL, **{"max_iter": 40, "learning_rate_init": 0.03, "random_state": 0, **parameters})


def regressor(**parameters):
    return AutoencoderRegressor(
        SMALL,
        **{
            "max_iter": 100,
            "learning_rate_init": 0.01,
            "alpha": 0.1,
            "n_estimators": 1,
            "random_state": 0,
            **parameters,
        },
    )


@pytest.mark.parametrize("training", WAYS)
def test_the_classes_are_found(groups, training):
    X, y, few = groups
    model = classifier(training=training).fit(X, few)
    assert model.score(X, y) > (0.75 if training == "frozen" else 0.95)  # codes of 3 components, 5 epochs
    assert model.n_labelled_ == 15
    assert model.classes_.tolist() == [0, 1, 2]
    assert log_loss(y, model.predict_proba(X)) < (0.7 if training == "frozen" else 0.3)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(model.transduction_[:15], y[:15])
    np.testing.assert_array_equal(model.transduction_[15:], model.predict(X)[15:])


@pytest.mark.parametrize("training", WAYS)
def test_the_target_is_predicted_in_its_units(numbers, training):
    X, y, few = numbers
    model = regressor(training=training, head_hidden_layer_sizes=16).fit(X, few)
    assert model.score(X, y) > (0.2 if training == "frozen" else 0.7)
    assert model.n_labelled_ == 60
    np.testing.assert_allclose(model.transduction_[:60], y[:60])
    shifted = clone(model).fit(X, few * 1000 + 7)
    np.testing.assert_allclose(shifted.predict(X), model.predict(X) * 1000 + 7, rtol=1e-3)


def test_each_network_holds_out_a_part_of_the_targets(numbers):
    X, y, few = numbers
    y = np.abs(X[:, 0]) + 0.1 * X[:, 1]
    few = np.where(np.isnan(few), np.nan, y)
    model = regressor(n_estimators=3, max_iter=20).fit(X, few)
    held_out_of = np.random.default_rng(60).permutation(60) % 3
    own = np.flatnonzero(held_out_of == 1)
    swapped = few.copy()
    swapped[own] = few[np.roll(own, 1)]
    other = regressor(n_estimators=3, max_iter=20).fit(X, swapped)
    networks, linear = np.abs(other._parts(X) - model._parts(X)).max(axis=2)
    assert networks[1] < 1e-4
    assert linear[1] < 1e-6
    for member in (0, 2):
        assert networks[member] > 0.1
        assert linear[member] > 0.01


def test_networks_learn_what_ridge_regressions_leave(numbers):
    X, y, few = numbers
    noise = 5 * np.random.default_rng(1).normal(size=240)
    linear = regressor(n_estimators=5).fit(X, few + noise)
    ridge = RidgeCV().fit(X[:60], (few + noise)[:60])
    assert linear.score(X, y) > ridge.score(X, y) - 0.01
    assert linear.network_weight_ < 0.3
    assert regressor().fit(X, few + noise).score(X, y) < ridge.score(X, y) - 0.05
    y = np.abs(X[:, 0])
    bent = regressor(n_estimators=5).fit(X, np.where(np.isnan(few), np.nan, y))
    assert bent.score(X, y) > 0.5  # no linear function explains anything
    assert bent.network_weight_ > 0.7
    nothing = regressor(n_estimators=5).fit(X, np.where(np.isnan(few), np.nan, noise))
    assert nothing.predict(X).std() < 0.5 * noise.std()


def test_networks_add_at_most_the_largest_error_of_the_ridge_regressions(numbers):
    X, _, few = numbers
    few = np.where(np.isnan(few), np.nan, np.abs(X[:, 0]))
    model = regressor(n_estimators=3).fit(X, few)
    far = np.r_[20 * X, X]
    networks, linear = model._parts(far).mean(axis=1)
    held_out_of = np.random.default_rng(60).permutation(60) % 3
    targets = (few[:60] - few[:60].mean()) / few[:60].std()
    largest = np.abs(targets - model._parts(X)[1, held_out_of, np.arange(60)]).max()
    assert np.abs(networks).max() > 2 * largest
    added = model.network_weight_ * networks.clip(-largest, largest)
    np.testing.assert_allclose(model.predict(far), few[:60].mean() + few[:60].std() * (linear + added))


def test_few_targets_are_learned_by_all_networks(numbers):
    X, _, few = numbers
    few = np.where(np.arange(240) < 9, few, np.nan)
    model = regressor(n_estimators=5, max_iter=400).fit(X, few)
    assert np.ptp(model._outputs(X[:9]), axis=0).max() < 0.2
    assert model.network_weight_ == 1
    assert not model.net_.module_.head_linear.any()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("consistency", [None, *CONSISTENCIES])
def test_each_objective_and_consistency(groups, objective, consistency):
    X, y, few = groups
    autoencoder = clone(SMALL).set_params(objective=objective)
    model = classifier(consistency=consistency).set_params(autoencoder=autoencoder).fit(X, few)
    assert model.score(X, y) > 0.9
    terms = {"supervised", *(["consistency"] if consistency else []), *OBJECTIVES[objective]().terms}
    assert set(model.loss_curves_) == terms
    assert model.loss_curves_["supervised"][-1] < model.loss_curves_["supervised"][0]


@pytest.mark.parametrize("consistency", CONSISTENCIES)
def test_a_regressor_takes_each_consistency(numbers, consistency):
    X, y, few = numbers
    assert regressor(consistency=consistency).fit(X, few).score(X, y) > 0.7


@pytest.mark.parametrize("network", ["convolutional", "recurrent", "attention"])
@pytest.mark.parametrize("training", WAYS)
def test_each_network(groups, network, training):
    X, _, few = groups
    autoencoder = AutoencoderTransformer(3, network=network, hidden_layer_sizes=8, max_iter=2)
    model = AutoencoderClassifier(autoencoder, training=training, max_iter=2, random_state=0, n_unfrozen_layers=1)
    assert model.fit(X, few).predict_proba(X).shape == (240, 3)
    with pytest.raises(ValueError, match="n_encoder_layers needs network='dense'"):
        model.set_params(n_encoder_layers=1).fit(X, few)


def normalized(n_in, n_out):
    """Layers whose weights have one or two axes, some of them of equal length."""
    return nn.Sequential(nn.Linear(n_in, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_out))


@pytest.mark.parametrize("network", ["dense", Custom(normalized, normalized)], ids=["dense", "custom"])
def test_a_member_of_an_ensemble_is_the_network_alone(groups, network):
    X, _, few = groups
    autoencoder = clone(SMALL).set_params(network=network)
    five, one = (classifier(n_estimators=n).set_params(autoencoder=autoencoder).fit(X, few) for n in (5, 1))
    assert five.transform(X).shape == (240, 15)
    assert five.get_feature_names_out().shape == (15,)
    np.testing.assert_allclose(five.transform(X)[:, :3], one.transform(X), rtol=1e-3, atol=1e-3)
    members = [np.exp(m - np.logaddexp.reduce(m, axis=1, keepdims=True)) for m in five._outputs(X)]
    np.testing.assert_allclose(five.predict_proba(X), np.mean(members, axis=0))


@pytest.mark.parametrize("seed", range(3))
def test_training_is_repeated_without_a_consistency_that_merges_the_classes(seed, tmp_path):
    """Two classes that no region with few samples separates; a large weight of the entropy makes them one."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(400, 20))
    few = np.where(np.arange(400) < 20, np.where(X[:, 0] > 0, "yes", "no"), None)
    merging = VirtualAdversarial(epsilon=1.0, weight=1.0, entropy=30.0)
    model = classifier(consistency=merging, max_iter=60, checkpoint=tmp_path)
    with pytest.warns(UserWarning, match="predicted for less than 10% of the unlabelled samples.* is repeated without"):
        model.fit(X, few)
    values, counts = np.unique(model.transduction_[20:], return_counts=True)
    assert len(values) == 2
    assert counts.min() > 40
    assert "consistency" not in model.loss_curves_
    without = classifier(consistency=None, max_iter=60).fit(X, few)
    np.testing.assert_array_equal(model.predict_proba(X), without.predict_proba(X))
    assert model.consistency is merging


def test_few_predictions_say_nothing_of_a_class(groups):
    X, _, few = groups
    model = classifier().fit(X, few)
    given = np.full(3, 5)
    with pytest.warns(UserWarning, match=r"The classes \[1, 2\] are predicted for less.* is repeated without"):
        assert model._lost_classes(given, np.array([60, 0, 0]))
    assert not model._lost_classes(given, np.array([59, 0, 0]))  # fewer than 20 expected of each class
    assert not model._lost_classes(given, np.array([56, 2, 2]))  # a tenth
    with pytest.warns(UserWarning, match=r"The classes \[2\] are predicted for less.* Use consistency=None"):
        assert not model._lost_classes(given, np.array([30, 30, 0]))  # fewer than half of the classes
    with pytest.warns(UserWarning, match=r"The classes \[1, 2\] are predicted for less.* Use consistency=None"):
        assert not model._lost_classes(given, np.array([600, 5, 5]))  # as many as have labels: they may be that rare


@pytest.mark.parametrize(
    ("known", "share", "rate"), [(15, 0.2, 0.003), (240, 0.7, 0.01)], ids=["few labels", "all labels"]
)
def test_what_depends_on_whether_all_samples_have_labels(groups, known, share, rate):
    X, y, _ = groups
    seen = []

    class Recorded(VirtualAdversarial):
        def __call__(self, network, batch, head):
            seen.append((batch.progress, head.tuned))
            return super().__call__(network, batch, head)

    model = classifier(consistency=Recorded(), max_iter=10, learning_rate_init="auto")
    model.fit(X, np.where(np.arange(240) < known, y, -1))
    assert {tuned for _, tuned in seen} == {False, True}
    assert all(tuned == (progress >= 1 - share) for progress, tuned in seen)
    assert model.autoencoder_.learning_rate_init == rate
    assert model.learning_rate_init == "auto"


# Case 1: labels that are -1 and 1.


def test_minus_one_and_one_are_two_classes_with_a_warning(groups):
    X, y, _ = groups
    with pytest.warns(BinaryLabelsWarning, match="name them 0, 1"):
        model = classifier().fit(X, np.where(y == 0, -1, 1))
    assert model.classes_.tolist() == [-1, 1]
    assert model.n_labelled_ == 240


# Case 2: kinds of labels.


@pytest.mark.parametrize(
    "labels",
    [
        lambda names, known: np.where(known, names, None),
        lambda names, known: np.where(known, names, np.array(-1, dtype=object)),
        lambda names, known: np.where(known, names, np.array(np.nan, dtype=object)),
        lambda names, known: pd.Series(np.where(known, names, None)).astype("category"),
        lambda names, known: pd.Series(np.where(known, names, None), dtype="string"),
        lambda names, known: pl.Series(np.where(known, names, None).tolist()),
        lambda names, known: [name if one else float("nan") for name, one in zip(names.tolist(), known, strict=True)],
    ],
    ids=["None", "-1", "NaN", "category", "string", "polars", "list"],
)
def test_unlabelled_names(groups, labels):
    X, y, few = groups
    names = np.array(["a", "b", "c"], dtype=object)[y]
    model, expected = classifier().fit(X, labels(names, few >= 0)), classifier().fit(X, few)
    assert model.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.predict(X), np.array(["a", "b", "c"])[expected.predict(X)])


@pytest.mark.parametrize(
    "labels",
    [
        lambda few: few.astype(float),
        lambda few: np.where(few < 0, np.nan, few),
        lambda few: pd.Series(few, dtype="Int64").where(few >= 0),
        lambda few: few.tolist(),
    ],
    ids=["float", "NaN", "Int64", "list"],
)
def test_unlabelled_numbers(groups, labels):
    X, _, few = groups
    model, expected = classifier().fit(X, labels(few)), classifier().fit(X, few)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


def test_labels_that_are_no_classes(groups):
    X, y, _ = groups
    for text in ("-1", "nan"):
        with pytest.raises(ValueError, match=f"the string '{text}' as a label"):
            classifier().fit(X, [*y.astype("U2")[:-1].tolist(), text])
    with pytest.raises(ValueError, match="strings and other types"):
        classifier().fit(X, np.where(y == 0, "a", y.astype(object)))
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier().fit(X, y + 0.5)
    with pytest.raises(ValueError, match="infinity"):
        classifier().fit(X, np.where(y == 0, np.inf, y))
    with pytest.raises(ValueError, match="y to be passed"):
        classifier().fit(X)
    with pytest.raises(ValueError, match="239 labels, but there are 240"):
        classifier().fit(X, y[:-1])


# Case 3: no label, one class, a class with one sample.


def test_too_few_labels(groups):
    X, y, few = groups
    with pytest.raises(ValueError, match="no label: all 240"):
        classifier().fit(X, np.full(240, -1))
    with pytest.raises(ValueError, match="no target: all 240"):
        regressor().fit(X, np.full(240, np.nan))
    with pytest.raises(ValueError, match="one class only"):
        classifier().fit(X, np.where(few == 2, 2, -1))
    with pytest.raises(ValueError, match="one class only"):
        classifier().fit(X, few, sample_weight=(few == 2).astype(float))
    one_each = np.where(np.arange(240) < 3, y, -1)
    assert classifier().fit(X, one_each).n_labelled_ == 3
    with pytest.raises(ValueError, match="at least 2 labels of each class, but the smallest class has 1"):
        classifier(early_stopping=True).fit(X, one_each)


# Case 4: cross-validation and scores.


def test_scores_ignore_unlabelled_samples(groups):
    X, y, few = groups
    model = classifier().fit(X, few)
    known = few >= 0
    assert model.score(X, few) == accuracy_score(y[known], model.predict(X[known]))
    weight = np.arange(240.0)
    expected = accuracy_score(y[known], model.predict(X[known]), sample_weight=weight[known])
    assert model.score(X, few, sample_weight=weight) == expected
    assert labelled_scorer("neg_log_loss")(model, X, few) == -log_loss(y[known], model.predict_proba(X[known]))
    with pytest.raises(ValueError, match="no label"):
        model.score(X, np.full(240, -1))
    part = np.flatnonzero(y == 1)[:20]
    unknown = np.where(np.arange(20) < 10, 1, -1)  # not two classes, as the model has others
    assert model.score(X[part], unknown) == model.score(X[part[:10]], y[part[:10]])
    assert labelled_scorer("accuracy")(model, X[part], unknown) == model.score(X[part[:10]], y[part[:10]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, y[:5])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, y, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="no sample with a label"):
        labelled_scorer("accuracy")(model, X, np.full(240, None))


def test_minus_one_is_the_class_that_it_was_in_fit(groups):
    X, y, _ = groups
    with pytest.warns(BinaryLabelsWarning):
        model = classifier(max_iter=5).fit(X, np.where(y > 0, 1, -1))
    part = X[y == 0]
    expected = (model.predict(part) == -1).mean()
    assert model.score(part, np.full(len(part), -1)) == expected
    assert labelled_scorer("accuracy")(model, part, np.full(len(part), -1)) == expected


def test_integers_as_targets(numbers):
    """Targets of -1 are targets: in the scorer, and in folds that are told so."""
    X, y, _ = numbers
    y = np.round((y - y.mean()) / y.std())
    model = regressor(max_iter=5).fit(X, y)
    assert (y == -1).any()
    assert labelled_scorer("r2")(model, X, y) == model.score(X, y)
    tested = [test for _, test in LabelledKFold(3, classifier=False).split(X, y)]
    np.testing.assert_array_equal(np.sort(np.concatenate(tested)), np.arange(240))
    with pytest.raises(ValueError, match="classifier=False"):
        next(LabelledKFold(3).split(X, np.arange(240.0)))
    few = np.where(np.arange(240) < 20, np.arange(240), np.nan)
    assert [len(test) for _, test in LabelledKFold(4, classifier=False).split(X, few)] == [5, 5, 5, 5]
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, y, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="too large to be squared"):
        regressor().fit(X, y * 1e300)


@pytest.mark.parametrize("unknown", [-1, None, np.nan])
def test_searches_over_partly_labelled_samples(groups, unknown):
    X, y, few = groups
    some = few if unknown == -1 else np.where(few >= 0, y, unknown)
    grid = {"autoencoder__corruption": [None, "swap"], "reconstruction_weight": [0.0, 1.0]}
    search = GridSearchCV(classifier(max_iter=2), grid, cv=LabelledKFold(3), error_score="raise").fit(X, some)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    if unknown == -1:
        scores = cross_val_score(classifier(max_iter=2), X, some, cv=StratifiedKFold(3), error_score="raise")
        assert np.isfinite(scores).all()


def test_a_regressor_is_searched_with_unknown_targets(numbers):
    X, _, few = numbers
    for scoring in (None, labelled_scorer("neg_mean_squared_error")):
        scores = cross_val_score(
            regressor(max_iter=2), X, few, cv=LabelledKFold(3), scoring=scoring, error_score="raise"
        )
        assert np.isfinite(scores).all()


def test_folds_of_labelled_samples():
    y = np.array([0, 0, 0, 1, 1, 1, -1, -1])
    for train, test in LabelledKFold(3).split(np.zeros((8, 1)), y):
        assert sorted(y[test]) == [0, 1]
        assert sorted([*train, *test]) == list(range(8))
        assert {6, 7} <= set(train)
    for train, test in LabelledKFold(2).split(np.zeros((4, 1)), np.array([-1.0, 0.5, 1.0, np.nan])):
        assert 3 in train
        assert len(test) in {1, 2}
    with pytest.raises(ValueError, match="n_splits=4"):
        next(LabelledKFold(4).split(np.zeros((8, 1)), y))


# Case 5: wrappers that encode the labels.


def test_calibration_of_a_frozen_encoder(groups):
    X, y, few = groups
    encoder = FrozenEstimator(clone(SMALL).set_params(random_state=0).fit(X))
    known = few >= 0
    model = CalibratedClassifierCV(
        AutoencoderClassifier(encoder, training="frozen", learning_rate_init=0.03, max_iter=40, random_state=0), cv=3
    )
    assert model.fit(X[known], y[known]).score(X, y) > 0.8


# Case 6: transfer.


@pytest.mark.parametrize("training", WAYS)
def test_a_frozen_autoencoder_keeps_its_bits(groups, training):
    X, _, few = groups
    fitted = clone(SMALL).set_params(random_state=0, whiten=True).fit(X[:100])
    codes, weights = fitted.transform(X), pickle.dumps(fitted)
    model = AutoencoderClassifier(FrozenEstimator(fitted), training=training, max_iter=5, random_state=0).fit(X, few)
    np.testing.assert_array_equal(fitted.transform(X), codes)
    assert pickle.dumps(fitted) == weights
    assert np.array_equal(model.transform(X), codes) == (training == "frozen")
    np.testing.assert_array_equal(model.autoencoder_._affine.center, fitted._affine.center)
    assert clone(model).autoencoder.estimator is fitted


@pytest.mark.parametrize("training", WAYS)
@pytest.mark.parametrize("make", [classifier, regressor])
def test_the_autoencoder_of_a_fitted_estimator_is_one_without_head(groups, make, training):
    """It gives its weights to another estimator, with another number of classes, and its clone is fitted alone."""
    X, y, _ = groups
    first = AutoencoderClassifier(SMALL, max_iter=5, random_state=0).fit(X, y)
    encoder, expected = first.autoencoder_, first.transform(X)
    other = make(max_iter=1).set_params(autoencoder=FrozenEstimator(encoder), training=training).fit(X, y > 0)
    if training == "frozen":
        np.testing.assert_array_equal(other.transform(X), expected)
    np.testing.assert_array_equal(first.transform(X), expected)
    alone = clone(encoder).set_params(max_iter=2, learning_rate_init=0.01)
    assert alone.objective == SMALL.objective
    assert alone.fit(X).n_iter_ == 2
    with pytest.raises(ValueError, match="part of a fitted classifier"):
        encoder.partial_fit(X)


@pytest.mark.parametrize("training", ["frozen", "finetune"])
def test_pretraining_is_a_fit_of_the_autoencoder(groups, training):
    X, _, few = groups
    autoencoder = clone(SMALL).set_params(random_state=3)
    model = AutoencoderClassifier(autoencoder, training=training, max_iter=5, random_state=0).fit(X, few)
    alone = clone(autoencoder).fit(X)
    assert np.array_equal(model.transform(X), alone.transform(X)) == (training == "frozen")


def test_autoencoders_that_do_not_fit(groups):
    X, _, few = groups
    with pytest.raises(ValueError, match="fitted to 6 features, but X has 5"):
        AutoencoderClassifier(FrozenEstimator(clone(SMALL).fit(X))).fit(X[:, :5], few)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    with pytest.raises(ValueError, match=r"\(a, b, c, d, e, ...\), but X has 6 \(f, e, d, c, b, ...\)"):
        AutoencoderClassifier(FrozenEstimator(clone(SMALL).fit(frame))).fit(frame[list("fedcba")], few)
    with pytest.raises(ValueError, match="pass its step"):
        AutoencoderClassifier(FrozenEstimator(make_pipeline(PowerTransformer(), SMALL))).fit(X, few)
    with pytest.raises(NotFittedError):
        AutoencoderClassifier(FrozenEstimator(clone(SMALL))).fit(X, few)
    with pytest.raises(ValueError, match="trim is not supported"):
        AutoencoderClassifier(clone(SMALL).set_params(objective=Reconstruction(trim=0.1))).fit(X, few)
    with pytest.raises(ValueError, match="needs an object as 'autoencoder'"):
        AutoencoderClassifier().set_params(autoencoder__n_components=2)


# Case 7: unlabelled samples that hurt.


def test_what_is_not_supported_with_a_head(groups):
    X, _, few = groups
    trimmed = clone(SMALL).set_params(objective=Reconstruction(trim=0.1)).fit(X)
    with pytest.raises(ValueError, match="trim is not supported"):
        AutoencoderClassifier(FrozenEstimator(trimmed)).fit(X, few)
    white = clone(SMALL).set_params(whiten=True)
    for autoencoder in (white, FrozenEstimator(clone(white).fit(X))):
        with pytest.raises(ValueError, match="whiten=True is not supported with n_estimators=2"):
            AutoencoderClassifier(autoencoder, n_estimators=2).fit(X, few)
    codes = AutoencoderClassifier(white, max_iter=5, random_state=0).fit(X, few).transform(X)
    np.testing.assert_allclose(np.cov(codes.T), np.eye(3), atol=1e-6)


@pytest.mark.filterwarnings("ignore:1 of 240 samples of X have no observed value")
@pytest.mark.parametrize("make", [classifier, regressor])
def test_an_empty_sample_does_not_make_labels_few(groups, make):
    X, y, _ = groups
    gap = np.where(np.arange(240)[:, None] == 7, np.nan, X)
    automatic = {"max_iter": "auto"} if make is regressor else {"max_iter": 2, "learning_rate_init": "auto"}
    whole, partial = make(**automatic).fit(X, y), make(**automatic).fit(gap, y)
    assert partial.n_iter_ == whole.n_iter_
    assert partial.autoencoder_.learning_rate_init == whole.autoencoder_.learning_rate_init


def test_running_means_of_a_frozen_encoder_are_kept(groups):
    X, y, _ = groups
    encoder = clone(SMALL).set_params(network=Custom(normalized, normalized)).fit(X)
    model = AutoencoderClassifier(FrozenEstimator(encoder), training="frozen", max_iter=5, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.transform(X), encoder.transform(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_ridge_regressions_do_not_know_what_early_stopping_holds_out(numbers):
    X, y, _ = numbers
    noisy = y + 20 * np.random.default_rng(0).normal(size=240)
    settings = {"n_estimators": 2, "max_iter": 2, "early_stopping": 0.5}
    model = regressor(**settings).fit(X, noisy)
    labels = np.column_stack([np.ones(240), noisy])
    _, held_out = hold_out_labelled(labels, 0.5, model.autoencoder_._plan.seed, classifies=False)
    other = regressor(**settings).fit(X, np.where(np.isin(np.arange(240), held_out), noisy[::-1], noisy))
    assert np.isin(np.arange(240), held_out).sum() == 120
    linear, of_other = (_coefficients(fitted) for fitted in (model, other))
    np.testing.assert_allclose(linear, of_other * other._scale / model._scale, rtol=1e-6)
    few = np.where(np.arange(240) < 5, y, np.nan)
    with_one = regressor(n_estimators=2, max_iter=2, early_stopping=0.8).fit(X, few)  # too few for a regression
    assert not _coefficients(with_one).any()


def _coefficients(model):
    return model.net_.module_.get_buffer("head_linear").numpy()


def test_unlabelled_samples_can_be_left_out_of_the_loss(groups):
    X, _, few = groups
    alone = classifier(consistency=None, reconstruction_weight=0.0, max_iter=20).fit(X, few)
    moved = X.copy()
    moved[few < 0] = moved[few < 0][::-1]  # the statistics of the columns are the same
    other = clone(alone).fit(moved, few)
    np.testing.assert_allclose(other.predict_proba(X), alone.predict_proba(X), atol=0.02)


@pytest.mark.parametrize("training", WAYS)
def test_all_samples_labelled(groups, training):
    X, y, _ = groups
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = classifier(training=training).fit(X, y)
    assert model.n_labelled_ == 240
    assert model.score(X, y) > (0.85 if training == "frozen" else 0.95)


# Case 8: weights and the scale of the target.


def test_weights_of_classes_and_samples(groups):
    X, y, _ = groups
    rng = np.random.default_rng(1)
    noisy = np.where(rng.random(240) < 0.5, rng.integers(0, 2, 240), 2 * (y == 2))  # 0 and 1 cannot be told apart
    noisy = np.where(noisy == 2, 2, rng.integers(0, 2, 240))
    kwargs = {"training": "frozen"}
    much = classifier(class_weight={0: 50.0, 1: 1.0, 2: 1.0}, **kwargs).fit(X, noisy)
    same = classifier(**kwargs).fit(X, noisy, sample_weight=np.where(noisy == 0, 50.0, 1.0))
    for model in (much, same):
        assert (model.predict(X) == 0).mean() > 0.6
    with pytest.raises(ValueError, match="zero"):
        classifier().fit(X, y, sample_weight=np.zeros(240))


@pytest.mark.parametrize("training", ["frozen", "finetune"])
@pytest.mark.parametrize("kind", [AutoencoderClassifier, AutoencoderRegressor])
def test_weights_are_repetitions_where_nothing_is_drawn(groups, kind, training):
    X, y, few = groups
    weight = np.arange(240) % 4
    labels = few if kind is AutoencoderClassifier else np.where(few < 0, np.nan, y)
    steady = {"solver": "sgd", "batch_size": 10**6, "max_iter": 20, "random_state": 0}
    autoencoder = AutoencoderTransformer(3, **steady, corruption=None, precision="float64")
    one, other = (kind(autoencoder, training=training, n_estimators=1, **steady) for _ in range(2))
    one.fit(X, labels, sample_weight=weight)
    other.fit(np.repeat(X, weight, axis=0), np.repeat(labels, weight))
    np.testing.assert_allclose(one._outputs(X), other._outputs(X), rtol=1e-10, atol=1e-12)


def test_balanced_classes_are_weighted_by_their_labels(groups):
    X, _, few = groups
    rare = np.where((few == 0) & (np.arange(240) > 3), -1, few)
    counts = np.bincount(rare[rare >= 0])
    weights = counts.sum() / (3 * counts)
    one = classifier(class_weight="balanced").fit(X, rare)
    other = classifier(class_weight=dict(enumerate(weights))).fit(X, rare)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-5)


def test_the_scale_of_the_target(numbers):
    X, _, few = numbers
    constant = regressor(max_iter=2).fit(X, np.where(np.isnan(few), np.nan, 7.0))
    np.testing.assert_allclose(constant.transduction_[:60], 7.0)
    with pytest.raises(ValueError, match="infinity"):
        regressor().fit(X, np.where(np.isnan(few), np.inf, few))


# What is kept, and the rest of scikit-learn.


@pytest.mark.parametrize("make", [classifier, regressor])
def test_pickle_skops_and_clone(groups, make):
    X, y, few = groups
    target = few if make is classifier else np.where(few < 0, np.nan, y)
    model = make(max_iter=2, n_estimators=2).fit(X, target)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    skops = pytest.importorskip("skops.io")
    stored = skops.dumps(model)
    assert set(skops.get_untrusted_types(data=stored)) <= set(trusted_types())
    np.testing.assert_array_equal(skops.loads(stored, trusted=trusted_types()).predict(X), model.predict(X))
    np.testing.assert_array_equal(clone(model).fit(X, target).predict(X), model.predict(X))


@pytest.mark.parametrize("training", WAYS)
def test_a_checkpoint_continues_with_equal_bits(groups, training, tmp_path):
    X, _, few = groups
    whole = classifier(training=training, max_iter=4, checkpoint=tmp_path / "whole").fit(X, few)

    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise RuntimeError

    parts = classifier(training=training, max_iter=4, checkpoint=tmp_path / "parts", callbacks=[Stop()])
    with pytest.raises(RuntimeError):
        parts.fit(X, few)
    parts.set_params(callbacks=None).fit(X, few)
    np.testing.assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))
    with pytest.raises(ValueError, match="belongs to another training: labels"):
        parts.fit(X, np.roll(few, 1))


@pytest.mark.parametrize("make", [classifier, regressor])
def test_early_stopping(groups, make):
    X, y, few = groups
    target = (lambda labels: labels) if make is classifier else (lambda labels: np.where(labels < 0, np.nan, labels))
    held_out = make(early_stopping=0.4, n_iter_no_change=3, learning_rate="constant").fit(X, target(few))
    assert len(held_out.autoencoder_.validation_loss_curve_) == held_out.n_iter_
    given = make(early_stopping=True, n_iter_no_change=3, learning_rate="constant").fit(
        X[:200], target(few[:200]), X_val=X[200:], y_val=target(y[200:])
    )
    assert min(given.validation_loss_curve_) == given.best_loss_
    assert given.loss_curve_ == given.loss_curves_["supervised"]
    with pytest.raises(ValueError, match="without y_val"):
        make().fit(X, target(few), X_val=X)
    with pytest.raises(ValueError, match="need X_val"):
        make().fit(X, target(few), y_val=y)


def test_validation_loss_has_the_weights_of_the_classes(groups):
    X, y, _ = groups
    model = classifier(max_iter=2, class_weight={0: 1, 1: 100, 2: 1}, label_smoothing=0.5).fit(X, y)
    np.testing.assert_array_equal(model._validation_labels(y, 240, None), model._labels(y, 240, None))
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"gives class 1 the weight {wrong}, but weights must be positive"):
            classifier(class_weight={0: 1, 1: wrong}).fit(X, y)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_frames_are_fitted_without_a_warning(groups, make):  # warnings are errors
    X, y, few = groups
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = make(max_iter=2).fit(frame, few if make is classifier else np.where(few < 0, np.nan, y))
    np.testing.assert_array_equal(model.transduction_[15:], model.predict(frame)[15:])
    for method in ("predict_proba", "decision_function", "transform", "reconstruct"):
        if hasattr(model, method):
            assert len(getattr(model, method)(frame)) == 240
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_missing_values_and_sparse_samples(groups):
    X, y, few = groups
    gaps = X.copy()
    gaps[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    assert classifier().fit(gaps, few).score(gaps, y) > 0.8
    dense, sparse = classifier(max_iter=2).fit(X, few), classifier(max_iter=2).fit(csr_array(X), few)
    np.testing.assert_array_equal(dense.predict_proba(X), sparse.predict_proba(csr_array(X)))


def test_bits_do_not_depend_on_the_batch(groups):
    X, _, few = groups
    model = classifier(n_estimators=2, head_hidden_layer_sizes=5).fit(X, few)
    whole = model.predict_proba(X)
    np.testing.assert_array_equal(np.vstack([model.predict_proba(X[i : i + 1]) for i in range(20)]), whole[:20])
    np.testing.assert_array_equal(model.predict_proba(X[::-1])[::-1], whole)


def test_layers_of_the_encoder(groups):
    X, y, few = groups
    lower = classifier(n_encoder_layers=1).fit(X, few)
    assert lower.net_.module_.head_weight_0.shape == (1, 16, 3)
    assert lower.score(X, y) > 0.9
    tuned = classifier(training="finetune", n_unfrozen_layers=1).fit(X, few)
    pretrained = clone(SMALL).set_params(random_state=tuned.autoencoder_.random_state).fit(X)
    pairs = zip(tuned.net_.module_.encoder_weights, pretrained.net_.module_.encoder_weights, strict=True)
    assert [bool((one == other).all()) for one, other in pairs] == [True, True, False]
    tuned = classifier(training="finetune", n_encoder_layers=2, n_unfrozen_layers=1).fit(X, few)
    pairs = zip(tuned.net_.module_.encoder_weights, pretrained.net_.module_.encoder_weights, strict=True)
    assert [bool((one == other).all()) for one, other in pairs] == [True, False, True]


@pytest.mark.parametrize("training", WAYS)
def test_faults_are_found_before_any_training(groups, training, monkeypatch):
    X, _, few = groups
    monkeypatch.setattr("sk_autoencoder.training.AutoencoderNet.train", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match="n_encoder_layers=4 exceeds the 3 layers"):
        classifier(training=training, n_encoder_layers=4).fit(X, few)
    with pytest.raises(ValueError, match="epsilon"):
        classifier(training=training, consistency=VirtualAdversarial(epsilon=-1.0)).fit(X, few)
    with pytest.raises(ValueError, match="must contain positive integers"):
        classifier(training=training, head_hidden_layer_sizes=(0,)).fit(X, few)


def test_samples_without_weight_do_not_change_the_number_of_epochs(groups):
    X, y, _ = groups
    weight = (np.arange(240) < 200).astype(float)
    one = classifier(max_iter="auto", learning_rate_init=1e-3, training="frozen").fit(X, y, sample_weight=weight)
    assert one.n_iter_ == -(-3000 // 2)


def test_routing_of_weights(groups):
    X, y, few = groups
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(PowerTransformer(), classifier(max_iter=2).set_fit_request(sample_weight=True))
        model.fit(X, few, sample_weight=np.ones(240))
    assert model.predict(X).shape == y.shape


def test_set_output(groups):
    X, _, few = groups
    model = classifier(max_iter=2).fit(X, few).set_output(transform="pandas")
    assert model.transform(X).columns.tolist() == [f"autoencoderclassifier{i}" for i in range(3)]


def test_parts_are_validated(groups):
    X, _, few = groups
    with pytest.raises(ValueError, match="epsilon"):
        classifier(consistency=VirtualAdversarial(epsilon=0.0)).fit(X, few)
    with pytest.raises(ValueError, match="checkpoint requires layerwise_pretraining=False"):
        AutoencoderClassifier(
            clone(SMALL).set_params(network=Dense(layerwise_pretraining=True)), checkpoint="unused"
        ).fit(X, few)
