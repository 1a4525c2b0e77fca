"""Draws of few labels, the methods that learn from them, and the tables."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC

from benchmarks import few_labels
from benchmarks.cells import half_width, stored
from benchmarks.few_labels import NAMES, Values, differences, measure, table
from benchmarks.few_labels_beds import (
    BEDS,
    DEVELOPMENT,
    MOST_SAMPLES,
    SIDE,
    Draw,
    Split,
    draws_of,
    labels_of,
    smaller,
    split_of,
)
from benchmarks.few_labels_peers import (
    ALL_LABELS,
    CLASSIFIERS,
    METHODS,
    OUR_REGRESSORS,
    OURS,
    REGRESSION_SETTINGS,
    REGRESSORS,
    SETTINGS,
    TIME,
    Method,
)
from sk_autoencoder.objectives import supervised


def rows_of(X):
    return {row.tobytes() for row in np.asarray(X, dtype=np.float32)}


def digits(seed, n_labels):
    return next(draw for draw in draws_of("few", None, {("digits", seed)}) if draw.n_labels == n_labels)


def blobs(n_labels=3, n=40, seed=0):
    """Three separate classes in the plane, as a draw."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = rng.normal(size=(n, 2)) * 0.3 + np.array([[0, 0], [5, 0], [0, 5]])[y]
    split = Split(X[10:], y[10:], X[:10], y[:10], seed)
    return Draw("few", "blobs", n_labels, split, labels_of("few", split.y, n_labels))


class TestDraws:
    def test_labels_are_stratified_and_nested(self):
        few, _, more = draws_of("few", None, {("digits", 0)})
        assert few.split is more.split
        for draw in (few, more):
            y = draw.y[draw.labelled]
            assert np.bincount(y).tolist() == 10 * [draw.n_labels]
            np.testing.assert_array_equal(y, draw.split.y[draw.labelled])
            assert (draw.y[np.setdiff1d(np.arange(len(draw.y)), draw.labelled)] == -1).all()
        assert set(few.labelled) < set(more.labelled)

    def test_parts_are_disjoint_and_stratified(self):
        split = digits(0, 5).split
        assert len(split.X_test) == 540
        assert len(split.X) == 1797 - 540
        shares = [np.bincount(y) / len(y) for y in (split.y, split.y_test)]
        np.testing.assert_allclose(*shares, atol=0.002)
        assert not rows_of(split.X) & rows_of(split.X_test)

    def test_a_seed_is_a_draw(self):
        first, again, other = digits(0, 5), digits(0, 5), digits(1, 5)
        np.testing.assert_array_equal(first.split.X, again.split.X)
        np.testing.assert_array_equal(first.y, again.y)
        assert rows_of(first.split.X[first.labelled]) != rows_of(other.split.X[other.labelled])

    def test_development_leaves_an_own_test_part_alone(self):
        X, y = np.arange(60.0)[:, None], np.arange(60) % 2
        parts = X[:50], y[:50], X[50:], y[50:]
        reported, development = split_of(parts, "usps", 0), split_of(parts, "usps", DEVELOPMENT)
        np.testing.assert_array_equal(reported.X_test, X[50:])
        assert rows_of(reported.X) == rows_of(X[:50])
        assert rows_of(development.X) | rows_of(development.X_test) == rows_of(X[:50])
        assert len(development.X_test) == 15

    def test_a_large_set_is_cut(self, monkeypatch):
        monkeypatch.setitem(MOST_SAMPLES, "fashion", 20)
        parts = np.zeros((60, 1)), np.arange(60) % 2, np.zeros((9, 1)), np.arange(9)
        assert len(split_of(parts, "fashion", 0).X) == 20

    def test_tables_are_standardised_by_training_samples(self):
        X = np.random.default_rng(0).normal(3, 5, size=(100, 2))
        split = split_of((X, np.arange(100) % 2), "letter", 0)
        np.testing.assert_allclose([split.X.mean(axis=0), split.X.std(axis=0)], [[0, 0], [1, 1]], atol=1e-12)
        assert split.X_test.mean() != pytest.approx(0, abs=1e-6)

    def test_a_class_with_too_few_samples(self):
        with pytest.raises(ValueError, match="Class 1 has 2 training samples, which is less than 3"):
            labels_of("few", np.array([0, 0, 0, 1, 1]), 3)

    def test_other_beds(self):
        y = np.arange(40) % 10
        assert np.bincount(labels_of("mnist", y, 20)[labels_of("mnist", y, 20) != -1]).tolist() == 10 * [2]
        np.testing.assert_array_equal(labels_of("all", y, 0), y)
        few, more = draws_of("regression", None, {("friedman1", 3)})
        assert [np.isfinite(draw.y).sum() for draw in (few, more)] == [50, 200]
        assert [len(draw.labelled) for draw in (few, more)] == [50, 200]

    def test_small_images_keep_their_ink(self):
        images = np.zeros((2, 28, 28), dtype=np.float32)
        images[0, 4:24, 4:24] = 0.5
        images[1, 4:9, 4:9] = 1
        resized = smaller(images).reshape(2, SIDE, SIDE)
        np.testing.assert_allclose(resized[0], 0.5, rtol=1e-6)
        expected = np.zeros((SIDE, SIDE))
        expected[:4, :4] = 1
        np.testing.assert_allclose(resized[1], expected, atol=1e-6)


class Spy(ClassifierMixin, BaseEstimator):
    """Classify by the nearest labelled sample, and keep what it was fitted to."""

    seen = ()  # replaced by a list in tests

    def fit(self, X, y):
        self.seen.append((len(X), int((y == -1).sum())))
        self.classes_ = np.unique(y[y != -1])
        self.neighbours_ = KNeighborsClassifier(1).fit(X[y != -1], y[y != -1])
        return self

    def predict(self, X):
        return self.neighbours_.predict(X)

    def predict_proba(self, X):
        return self.neighbours_.predict_proba(X)


class TestMethods:
    def test_the_best_setting_is_chosen(self):
        method = Method(lambda _: [DummyClassifier(), KNeighborsClassifier(1), DummyClassifier()])
        cell = measure(method, blobs())
        assert cell["setting"] == 1
        assert cell["accuracy"] == 100
        assert cell["log_loss"] == pytest.approx(0, abs=1e-4)
        assert cell["brier"] == 0

    @pytest.mark.parametrize(("most", "n_unlabelled"), [(None, 21), (4, 4)])
    def test_unlabelled_samples_train_in_every_fold(self, most, n_unlabelled, monkeypatch):
        monkeypatch.setattr(Spy, "seen", [])
        measure(Method(lambda _: [Spy(), Spy()], "samples", True, most), blobs())
        assert Spy.seen == 6 * [(6 + n_unlabelled, n_unlabelled)] + [(9 + n_unlabelled, n_unlabelled)]

    def test_one_setting_is_fitted_once(self, monkeypatch):
        monkeypatch.setattr(Spy, "seen", [])
        assert measure(Method(lambda _: [Spy()]), blobs())["setting"] == 0
        assert Spy.seen == [(9, 0)]

    @pytest.mark.parametrize("name", ["logistic", "neighbours", "boosting", "spreading"])
    def test_classifiers(self, name):
        assert measure(CLASSIFIERS[name], blobs(5, 100))["accuracy"] > 60

    def test_probabilities_of_a_classifier_without(self):
        pytest.importorskip("sklearn", minversion="1.8", reason="calibrates by one temperature")
        cell = measure(Method(lambda _: [SVC()]), blobs(5, 100))
        assert cell["accuracy"] == 100
        assert cell["brier"] < 0.1

    def test_samples_that_no_label_reaches(self):
        draw = blobs()
        X = np.r_[draw.split.X, [[90, 90], [90, 91]]]
        far = Draw("few", "far", 3, Split(X, draw.y, X[-2:], np.array([0, 1]), 0), np.r_[draw.y, -1, -1])
        method = Method(lambda _: [LabelSpreading(kernel="knn", n_neighbors=1)], "samples", True)
        with pytest.warns(RuntimeWarning, match="invalid value"):
            shares = method.fit(far).predict_proba(far.split.X_test)
        np.testing.assert_allclose(shares, 1 / 3)

    def test_regression(self):
        few, _ = draws_of("regression", None, {("friedman1", 0)})
        cell = measure(REGRESSORS["Ridge"], few)
        assert set(cell) == {"r2", "seconds", "setting"}
        assert 0.4 < cell["r2"] < 0.8


def cells(accuracies):
    """Cells of the bed ``few`` with 10 labels a class."""
    known = {}
    for (method, name), of_draws in accuracies.items():
        for draw, accuracy in enumerate(of_draws):
            key = "few", name, 10, draw, method
            figures = {"accuracy": accuracy, "log_loss": 0.5 + draw, "brier": 0.25, "seconds": 2.0}
            known[key] = dict(zip(NAMES, key, strict=True)) | figures
    return known


ACCURACIES = {
    ("neighbours", "usps"): [80.0, 84.0],
    ("neighbours", "letter"): [60.0, 62.0],
    ("neighbours", "madelon"): [50.0, 50.0],
    ("SVC", "usps"): [82.0, 85.0],
    ("SVC", "letter"): [66.0, 64.0],
    ("SVC", "madelon"): [49.0, 52.0],
}


def test_a_constant_is_changed_during_the_fit_only():
    seen = []

    class Reader(DummyClassifier):
        def fit(self, X, y):
            seen.append(supervised.TUNED)
            return super().fit(X, y)

    before = supervised.TUNED
    measure(Method(lambda _: [Reader()], constants={"TUNED": 0.9}), blobs())
    assert seen == [0.9]
    assert supervised.TUNED == before != 0.9


class TestTables:
    @pytest.fixture
    def values(self, monkeypatch):
        monkeypatch.setitem(BEDS, "few", dict.fromkeys(("usps", "letter", "madelon"), (10,)))
        return Values(cells(ACCURACIES), "few", ["usps", "letter", "madelon"], range(2))

    def test_means(self, values):
        first, second = table(values, ["neighbours", "SVC"], "accuracy")
        assert first == {
            "bed": "few",
            "labels": "10",
            "method": "neighbours",
            "usps": 82,
            "letter": 61,
            "madelon": 50,
            "mean": pytest.approx(193 / 3),
            "but madelon": 71.5,
            "log_loss": 1,
            "brier": 0.25,
            "seconds": 2,
        }
        assert second["but madelon"] == pytest.approx((83.5 + 65) / 2)

    def test_differences_are_paired(self, values):
        (row,) = differences(values, ["neighbours", "SVC"], "accuracy", "neighbours")
        assert row["minus neighbours"] == "SVC"
        width = half_width(np.array([2.0, 1.0]))
        assert row["usps"] == f"+1.5 +- {width:.1f}"
        over_sets = half_width(np.array([(2 + 6 - 1) / 3, (1 + 2 + 2) / 3]))
        assert row["mean"] == f"+2.0 +- {over_sets:.1f}"

    def test_chosen_numbers_of_labels(self, values, monkeypatch):
        monkeypatch.setitem(BEDS, "few", dict.fromkeys(("usps", "letter", "madelon"), (5, 10, 25)))
        assert replace(values, labels=[10]).numbers == [10]
        assert values.numbers == [5, 10, 25]

    def test_error_of_mnist(self):
        cell = {"accuracy": 78.9, "log_loss": 1.0, "brier": 0.5, "seconds": 1.0}
        known = {("mnist", "mnist", n_labels, 0, "SVC"): cell for n_labels in (100, 1000)}
        rows = table(Values(known, "mnist", ["mnist"], range(1)), ["SVC"], "error")
        assert [row["mnist"] for row in rows] == pytest.approx([21.1, 21.1])


def test_a_later_run_goes_on(tmp_path, monkeypatch, capsys):
    out = tmp_path / "cells.jsonl"
    command = ["few_labels", "--only", "few", "--sets", "digits", "--draws", "1", "--out", str(out)]

    def run(*more):
        monkeypatch.setattr(sys, "argv", [*command, *more])
        few_labels.main()
        return capsys.readouterr().out

    run("--methods", "neighbours")
    first = out.read_text()
    assert len(first.splitlines()) == 3
    assert {tuple(json.loads(line)[name] for name in NAMES) for line in first.splitlines()} == stored(out, NAMES).keys()
    text = run("--methods", "neighbours", "logistic")
    assert out.read_text().startswith(first)
    assert len(out.read_text().splitlines()) == 6
    assert "minus neighbours" in text
    with monkeypatch.context() as patch:
        patch.setattr(few_labels, "measure", lambda *args: pytest.fail("a known cell was measured again"))
        assert run("--methods", "neighbours", "logistic") == text
        assert run("--show") == text


def test_every_peer_has_three_settings_and_the_estimators_of_this_package_have_one():
    ours = {*OURS, *ALL_LABELS, *OUR_REGRESSORS, *SETTINGS, *REGRESSION_SETTINGS, *TIME}
    ours |= {"joint of mnist", "finetune of mnist", "frozen of mnist"}
    for bed, methods in METHODS.items():
        draw = Draw(bed, "", 0, digits(0, 5).split, np.zeros(300))
        peers = {name: method for name, method in methods.items() if name not in ours}
        expected = set() if bed == "time" or bed.endswith("settings") else {3}
        assert {len(method.settings(draw)) for method in peers.values()} == expected
        assert {len(methods[name].settings(draw)) for name in methods if name in ours and "mnist" not in name} == {1}
