"""The displays of outlier detectors: what is drawn, in which colour, and what is refused."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from sk_autoencoder import (
    AutoencoderOutlierDetector,
    FeatureScoresDisplay,
    OutlierReconstructionDisplay,
    OutlierScoreDisplay,
)
from sk_autoencoder.displays.style import LEARNT, OUTLIER

QUICK = {"hidden_layer_sizes": (16,), "n_estimators": 2, "max_iter": 5, "random_state": 0}


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True, as_frame=True)
    return X, np.where(y == 0, 1, -1)


@pytest.fixture(scope="module")
def detector(wine):
    X, y = wine
    return AutoencoderOutlierDetector(**QUICK).fit(X[y == 1])


@pytest.fixture(scope="module")
def images(digits):
    return AutoencoderOutlierDetector(**QUICK).fit(digits[0][:200])


def heights(bars):
    return sum(bar.get_height() for bar in bars)


def few(wine):
    """Normal rows, and outliers among them in the minority."""
    X, y = wine
    kept = np.r_[np.flatnonzero(y == 1), np.flatnonzero(y == -1)[:20]]
    return X.iloc[kept], y[kept]


class TestOutlierScoreDisplay:
    def test_labels_colour_the_bars_and_the_legend_counts_verdicts(self, detector, wine, drawn):
        X, y = few(wine)
        display = OutlierScoreDisplay.from_estimator(detector, X, y)
        assert (heights(display.bars_["normal"]), heights(display.bars_["outlier"])) == (59, 20)
        called = detector.predict(X) == -1
        texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert texts == [
            f"normal: {called[y == 1].sum()} of 59 called outliers",
            f"outlier: {called[y == -1].sum()} of 20 called outliers",
        ]
        for name, colour in {"normal": LEARNT, "outlier": OUTLIER}.items():
            assert same_color(display.bars_[name][0].get_facecolor()[:3], colour)
        drawn(display.figure_)

    @pytest.mark.parametrize("labels", [lambda y: y, lambda y: (y == -1).astype(int)])
    def test_both_conventions_of_labels_mean_the_same(self, detector, wine, labels):
        X, y = few(wine)
        display = OutlierScoreDisplay.from_estimator(detector, X, labels(y))
        np.testing.assert_array_equal(display.is_outlier, y == -1)

    def test_labels_turned_round_are_refused_unless_meant(self, detector, wine):
        X, y = few(wine)
        with pytest.raises(ValueError, match="pass outlier_label"):
            OutlierScoreDisplay.from_estimator(detector, X, -y)
        assert OutlierScoreDisplay.from_estimator(detector, X, -y, outlier_label=1).is_outlier.sum() == 20

    @pytest.mark.parametrize("kind", ["ours", "forest"])
    def test_without_labels_the_verdict_colours_and_no_bar_crosses_the_threshold(self, kind, detector, wine, drawn):
        X, y = wine
        model = detector if kind == "ours" else IsolationForest(random_state=0).fit(X[y == 1])
        display = OutlierScoreDisplay.from_estimator(model, X)
        called = model.predict(X) == -1
        assert display.threshold == display.line_.get_xdata()[0] == -model.offset_
        assert heights(display.bars_["outlier"]) == called.sum() > 0
        assert heights(display.bars_["normal"]) == (~called).sum() > 0
        for bar in display.bars_["normal"]:
            assert bar.get_height() == 0 or bar.get_x() + bar.get_width() <= display.threshold + 1e-9
        for bar in display.bars_["outlier"]:
            assert bar.get_height() == 0 or bar.get_x() >= display.threshold - 1e-9
        drawn(display.figure_)

    def test_each_side_of_the_threshold_is_named(self):
        display = OutlierScoreDisplay([0.0, 1.0, 2.0, 9.0], threshold=5.0).plot()
        sides = {text.get_text(): text.get_ha() for text in display.ax_.texts}
        assert sides == {"called normal ←": "right", "→ called outlier": "left"}
        low, high = display.ax_.get_xlim()
        assert low < 5 < high

    @pytest.mark.parametrize("scores", [[1.0], [1.0, 1.0], np.r_[np.zeros(500), 1e9], np.arange(3.0)])
    def test_odd_scores_all_land_in_a_bar(self, scores, drawn):
        for threshold in (-7.0, 1.0, 2e9):
            display = OutlierScoreDisplay(scores, threshold=threshold).plot()
            assert sum(map(heights, display.bars_.values())) == len(scores)
            drawn(display.figure_)

    def test_bars_of_both_kinds_stand_on_each_other(self):
        given = {"threshold": 1.5, "is_outlier": [False, False, False, True, True]}
        display = OutlierScoreDisplay([1.0, 1.0, 2.0, 1.0, 2.0], **given).plot(bins=[0, 1.5, 3])
        assert [(bar.get_y(), bar.get_height()) for bar in display.bars_["normal"]] == [(0, 2), (0, 1)]
        assert [(bar.get_y(), bar.get_height()) for bar in display.bars_["outlier"]] == [(2, 1), (1, 1)]
        for kind, colour in (("normal", LEARNT), ("outlier", OUTLIER)):
            assert same_color(display.bars_[kind][0].get_facecolor()[:3], colour)
        texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert texts == ["normal: 1 of 3 called outliers", "outlier: 1 of 2 called outliers"]

    def test_a_score_on_the_threshold_is_normal(self):
        assert set(OutlierScoreDisplay([1.0, 0.0], threshold=1.0).plot().bars_) == {"normal"}

    @pytest.mark.parametrize("n_samples", [5, 20_000])
    def test_bars_are_neither_few_nor_many(self, n_samples):
        scores = np.random.default_rng(0).normal(size=n_samples)
        assert 12 <= len(OutlierScoreDisplay(scores, threshold=9.0).plot().bars_["normal"]) <= 62

    @pytest.mark.parametrize(("n_outliers", "n_ticks"), [(1, 1), (100, 100), (101, 0)])
    def test_a_tick_marks_each_of_up_to_100_outliers(self, n_outliers, n_ticks):
        scores = np.r_[np.zeros(200), np.linspace(1, 2, n_outliers)]
        display = OutlierScoreDisplay(scores, is_outlier=scores > 0).plot()
        assert sum(len(line.get_xdata()) for line in display.ax_.lines) == n_ticks

    @pytest.mark.parametrize("threshold", [-1.0, 5.0, 11.0])
    def test_beyond_the_threshold_there_is_shade_and_room(self, threshold):
        display = OutlierScoreDisplay(np.linspace(0, 10, 50), threshold=threshold).plot()
        low, high = display.ax_.get_xlim()
        assert min(threshold - low, high - threshold) > 2
        shade = display.ax_.patches[-1]
        assert (shade.get_x(), shade.get_x() + shade.get_width()) == (threshold, pytest.approx(high))

    def test_known_outliers_need_no_threshold(self):
        display = OutlierScoreDisplay(np.arange(5.0), is_outlier=[0, 0, 0, 0, 1]).plot()
        assert display.line_ is None
        assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == [
            "normal (4 samples)",
            "outlier (1 samples)",
        ]

    @pytest.mark.parametrize("seed", range(30))
    def test_each_sample_is_in_a_bar(self, seed):
        """Also where rounding moves the first edge beyond the smallest score, or the last one."""
        scores = np.random.default_rng(seed).normal(size=50)
        display = OutlierScoreDisplay(scores, threshold=scores.max()).plot()
        assert sum(bar.get_height() for bars in display.bars_.values() for bar in bars) == 50
        plt.close(display.figure_)

    def test_given_axes_bins_and_style_are_used(self):
        _, ax = plt.subplots()
        display = OutlierScoreDisplay(np.arange(5.0), threshold=9.0).plot(ax=ax, bins=[0, 2, 5], alpha=0.3)
        assert display.ax_ is ax
        assert [bar.get_height() for bar in display.bars_["normal"]] == [2, 3]
        assert display.bars_["normal"][0].get_alpha() == 0.3

    def test_what_cannot_be_drawn_is_named(self, wine):
        X, _ = wine
        with pytest.raises(ValueError, match=r"KMeans has no score_samples\. It is needed"):
            OutlierScoreDisplay.from_estimator(KMeans(2, n_init=1).fit(X), X)
        pipeline = make_pipeline(StandardScaler(), IsolationForest(n_estimators=2)).fit(X)
        with pytest.raises(ValueError, match=r"draw pipeline\[-1\] with pipeline\[:-1\]\.transform\(X\)\."):
            OutlierScoreDisplay.from_estimator(pipeline, X)
        OutlierScoreDisplay.from_estimator(pipeline[-1], pipeline[:-1].transform(X))
        with pytest.raises(ValueError, match="normal beside -1 and an outlier beside 0; pass outlier_label"):
            OutlierScoreDisplay.from_estimator(pipeline[-1], X.to_numpy(), np.ones(len(X)))
        with pytest.raises(NotFittedError):
            OutlierScoreDisplay.from_estimator(AutoencoderOutlierDetector(), X)
        for wrong in ([], [np.nan], [[1.0]]):
            with pytest.raises(ValueError, match="scores must be 1-D, finite and not empty"):
                OutlierScoreDisplay(wrong, threshold=0.0).plot()
        with pytest.raises(ValueError, match="pass threshold or is_outlier"):
            OutlierScoreDisplay([1.0]).plot()
        with pytest.raises(ValueError, match="inconsistent numbers"):
            OutlierScoreDisplay([1.0], is_outlier=[True, False]).plot()

    def test_labels_of_one_kind(self, wine):
        X = wine[0].to_numpy()
        forest = IsolationForest(n_estimators=2).fit(X)
        for y, outlier_label, n_outliers in ((0, None, 0), (-1, None, len(X)), (1, -1, 0), (1, 1, len(X))):
            display = OutlierScoreDisplay.from_estimator(forest, X, np.full(len(X), y), outlier_label=outlier_label)
            assert display.is_outlier.sum() == n_outliers

    def test_detector_with_an_offset_in_an_array(self, wine):
        X = wine[0].to_numpy()
        forest = OneClassSVM().fit(X)
        assert OutlierScoreDisplay.from_estimator(forest, X).threshold == -forest.offset_[0]


class TestFeatureScoresDisplay:
    def test_bars_are_the_largest_shares_with_names_and_values(self, detector, wine, drawn):
        X, _ = wine
        display = FeatureScoresDisplay.from_estimator(detector, X, index=150, top=4)
        shares = detector.feature_scores(X)[150]
        widths = [bar.get_width() for bar in display.bars_]
        assert set(display.features_) == set(np.argsort(-np.abs(shares))[:4])
        np.testing.assert_allclose(widths[:4], -np.sort(-shares[display.features_]))
        np.testing.assert_allclose(sum(widths), shares.sum())  # the last bar is the rest
        labels = [label.get_text() for label in display.ax_.get_yticklabels()]
        first = X.columns[display.features_[0]]
        expected = detector.reconstruct(X)[150, display.features_[0]]
        assert labels[0] == f"{first} = {X[first].iloc[150]:.4g}, expected {expected:.4g}"
        assert labels[4] == "9 other features"
        drawn(display.figure_)

    def test_shares_below_zero_point_left_in_a_lighter_shade(self, drawn):
        display = FeatureScoresDisplay([0.1, -2.0, 3.0], feature_names=["a", "b", "c"]).plot()
        assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["c", "a", "b"]
        assert [bar.get_width() for bar in display.bars_] == [3.0, 0.1, -2.0]
        for bar, colour in zip(display.bars_, [OUTLIER, OUTLIER, (OUTLIER, 0.4)], strict=True):
            assert same_color(bar.get_facecolor(), colour)
        normal = FeatureScoresDisplay([1.0], is_outlier=False).plot()
        assert same_color(normal.bars_[0].get_facecolor(), LEARNT)
        assert "left: less outlying" in display.ax_.get_xlabel()
        assert display.ax_.yaxis_inverted()  # the largest on top
        drawn(display.figure_)

    def test_small_shares_of_either_sign_are_added_up(self):
        display = FeatureScoresDisplay([0.5, -4.0, 3.0, 0.25, -0.125], feature_names=list("abcde")).plot(top=2)
        labels = [label.get_text() for label in display.ax_.get_yticklabels()]
        assert labels == ["c", "b", "3 other features"]
        assert [bar.get_width() for bar in display.bars_] == [3.0, -4.0, 0.625]
        assert same_color(display.bars_[-1].get_facecolor(), "0.75")
        two_more = FeatureScoresDisplay(np.ones(12)).plot().ax_.get_yticklabels()  # ten by default
        assert [label.get_text() for label in two_more][9:] == ["x9", "2 other features"]

    def test_title_gives_the_verdict(self, detector, wine):
        X, _ = wine
        for index in (0, 150):
            display = FeatureScoresDisplay.from_estimator(detector, X, index)
            strange = detector.predict(X)[index] == -1
            p = detector.p_values(X)[index]
            title = display.ax_.get_title(loc="left")
            assert title == f"sample {index}: {'outlier' if strange else 'normal'}, p = {p:.2g}"
            assert same_color(display.ax_._left_title.get_color(), OUTLIER if strange else LEARNT)

    def test_one_row_of_any_kind_is_the_same_row(self, detector, wine):
        X, _ = wine
        bare = AutoencoderOutlierDetector(**QUICK).fit(X.to_numpy())
        shares = detector.feature_scores(X)
        for given, index in ((X, 150), (X, 150 - len(X)), (X.iloc[150], 0), (X.iloc[150:151], -1)):
            np.testing.assert_allclose(
                FeatureScoresDisplay.from_estimator(detector, given, index).feature_scores, shares[150]
            )
        rows = X.to_numpy()
        for given, index in ((rows, 150), (rows[150], 0), (rows.tolist(), 150)):
            display = FeatureScoresDisplay.from_estimator(bare, given, index)
            np.testing.assert_allclose(display.feature_scores, bare.feature_scores(rows)[150])
            np.testing.assert_allclose(display.values, rows[150])
            assert display.ax_.get_yticklabels()[0].get_text().startswith("x")

    def test_rows_are_counted_and_called_by_their_labels(self, detector, wine):
        X, _ = wine
        shuffled = X.set_axis(np.arange(len(X))[::-1])
        display = FeatureScoresDisplay.from_estimator(detector, shuffled, 3)
        np.testing.assert_allclose(display.values, X.iloc[3])
        assert display.title.startswith(f"sample {len(X) - 4}: ")
        named = FeatureScoresDisplay.from_estimator(detector, X.set_axis([f"bottle {i}" for i in range(len(X))]), -1)
        assert named.title.startswith("sample 'bottle 177': ")

    def test_given_axes_and_style_are_used(self):
        _, ax = plt.subplots()
        display = FeatureScoresDisplay([1.0, 2.0]).plot(ax=ax, top=1, height=0.2)
        assert display.ax_ is ax
        assert len(display.bars_) == 2
        assert display.bars_[0].get_height() == 0.2
        assert [label.get_text() for label in ax.get_yticklabels()] == ["x1", "1 other feature"]

    def test_what_cannot_be_drawn_is_named(self, detector, wine):
        X, _ = wine
        blind = AutoencoderOutlierDetector(outlier_score="code_distance", **QUICK).fit(X)
        with pytest.raises(
            ValueError, match="has no feature_scores: outlier_score='code_distance' has no contributions"
        ):
            FeatureScoresDisplay.from_estimator(blind, X)
        with pytest.raises(ValueError, match=r"IsolationForest has no feature_scores\. They are"):
            FeatureScoresDisplay.from_estimator(IsolationForest(n_estimators=2).fit(X), X)
        with pytest.raises(NotFittedError):
            FeatureScoresDisplay.from_estimator(AutoencoderOutlierDetector(), X)
        for index in (len(X), -len(X) - 1):
            with pytest.raises(IndexError, match=f"index={index} is out of range: X has {len(X)} samples"):
                FeatureScoresDisplay.from_estimator(detector, X, index)
        with pytest.raises(IndexError, match="index=1 is out of range: X is a single sample"):
            FeatureScoresDisplay.from_estimator(detector, X.iloc[0], 1)
        for top in (0, -1, 2.5):
            with pytest.raises(ValueError, match=r"top=.* must be a positive number"):
                FeatureScoresDisplay([1.0]).plot(top=top)
        for wrong in ([], [np.inf], [[1.0]]):
            with pytest.raises(ValueError, match="feature_scores must be 1-D, finite and not empty"):
                FeatureScoresDisplay(wrong).plot()
        with pytest.raises(ValueError, match="2 entries, but there are 1 names, 2 values and 2 expected values"):
            FeatureScoresDisplay([1.0, 2.0], feature_names=["a"]).plot()


class TestOutlierReconstructionDisplay:
    def test_pictures_of_input_reconstruction_and_difference(self, images, digits, drawn):
        X = digits[0][:6]
        display = OutlierReconstructionDisplay.from_estimator(images, X, image_shape=(8, 8))
        assert display.axes_.shape == (3, 6)
        rebuilt = images.reconstruct(X)
        for row, rows in enumerate([X, rebuilt, X - rebuilt]):
            for cell, values in zip(display.axes_[row], rows, strict=True):
                np.testing.assert_allclose(cell.images[0].get_array(), values.reshape(8, 8), atol=1e-5)
        limits = {cell.images[0].get_clim() for cell in display.axes_[2]}
        assert len(limits) == 1
        assert sum(*limits) == 0  # no difference is white
        assert [row[0].get_ylabel() for row in display.axes_] == ["input", "reconstruction", "difference"]
        drawn(display.figure_)

    @pytest.mark.parametrize("image_shape", [None, (8, 8)])
    def test_titles_give_the_verdict_in_colour(self, images, digits, image_shape):
        X = np.r_[digits[0][:3], 16 - digits[0][:1]]
        images = images.recalibrate(contamination="conformal")
        display = OutlierReconstructionDisplay.from_estimator(images, X, image_shape=image_shape)
        labels, p_values = images.predict(X), images.p_values(X)
        assert {-1, 1} == set(labels)
        cells = display.axes_ if image_shape is None else display.axes_[0]
        for cell, label, p in zip(cells, labels, p_values, strict=True):
            word = "outlier" if label == -1 else "normal"
            assert cell.get_title().replace("\n", ", ") == f"{word}, p = {p:.2g}"
            assert same_color(cell.title.get_color(), OUTLIER if label == -1 else LEARNT)

    @pytest.mark.parametrize(("image_shape", "lines"), [(None, "{}: {}, {}"), ((8, 8), "{}\n{}\n{}")])
    def test_samples_of_a_table_are_called_by_their_labels(self, digits, image_shape, lines, drawn):
        table = pd.DataFrame(digits[0][:2], index=["a", 7])
        given = {"evidence": ["p = 0.1", "p = 0.2"], "image_shape": image_shape}
        display = OutlierReconstructionDisplay(table, table.to_numpy(), [True, False], **given).plot()
        titles = [cell.get_title() for cell in display.axes_.ravel()[:2]]
        assert titles == [
            lines.format("sample 'a'", "outlier", "p = 0.1"),
            lines.format("sample 7", "normal", "p = 0.2"),
        ]
        drawn(display.figure_)

    def test_lines_shade_the_difference(self, images, digits, drawn):
        X = digits[0][:6]
        display = OutlierReconstructionDisplay.from_estimator(images, X)
        assert display.axes_.shape == (6,)
        np.testing.assert_array_equal(display.axes_[2].lines[0].get_ydata(), X[2])
        np.testing.assert_allclose(display.axes_[2].lines[1].get_ydata(), images.reconstruct(X)[2], rtol=1e-6)
        assert [len(cell.collections) for cell in display.axes_] == [1] * 6
        names = [text.get_text() for text in display.figure_.legends[0].get_texts()]
        assert names == ["input", "reconstruction", "difference"]
        drawn(display.figure_)

    def test_colours_differ_by_their_mean(self, drawn):
        rows = np.random.default_rng(0).random((2, 60))
        display = OutlierReconstructionDisplay(rows, rows / 2, [True, False], image_shape=(3, 4, 5)).plot()
        shown = display.axes_[2, 1].images[0].get_array()
        np.testing.assert_allclose(shown, rows[1].reshape(3, 4, 5).mean(axis=0) / 2)
        assert [cell.get_title() for cell in display.axes_[0]] == ["outlier", "normal"]
        drawn(display.figure_)

    def test_without_p_values_the_score_is_given(self, wine):
        class Reducer(IsolationForest):
            def reconstruct(self, X):
                return np.zeros_like(X)

        X = wine[0].to_numpy()
        forest = Reducer(n_estimators=5, random_state=0).fit(X)
        display = OutlierReconstructionDisplay.from_estimator(forest, X, n_samples=1)
        assert display.evidence == [f"score {-forest.score_samples(X[:1])[0]:.3g}"]

    def test_perfect_reconstruction_can_be_drawn(self, drawn):
        rows = np.eye(4)
        drawn(OutlierReconstructionDisplay(rows, rows, np.zeros(4, bool), image_shape=(2, 2)).plot().figure_)

    @pytest.mark.parametrize("image_shape", [None, (8, 8)])
    def test_panels_fill_a_given_subplot(self, images, digits, image_shape, drawn):
        figure, (left, _) = plt.subplots(1, 2, layout="constrained", figsize=(12, 5))
        look = {"image_shape": image_shape, "n_samples": 3}
        display = OutlierReconstructionDisplay.from_estimator(images, digits[0], ax=left, **look)
        assert display.bounding_ax_ is left
        assert display.figure_ is figure
        drawn(figure)
        assert max(cell.get_position().x1 for cell in display.axes_.ravel()) < 0.55

    def test_what_cannot_be_drawn_is_named(self, images, digits, wine):
        X = digits[0][:3]
        with pytest.raises(ValueError, match="IsolationForest has no reconstruct"):
            OutlierReconstructionDisplay.from_estimator(IsolationForest(n_estimators=2).fit(X), X)
        with pytest.raises(ValueError, match=r"PCA has no predict\. It is needed to draw an outlier detector"):
            OutlierReconstructionDisplay.from_estimator(PCA(2).fit(X), X)
        with pytest.raises(NotFittedError):
            OutlierReconstructionDisplay.from_estimator(AutoencoderOutlierDetector(), X)
        with pytest.raises(ValueError, match="inconsistent numbers"):
            OutlierReconstructionDisplay(X, X, [True]).plot()
        with pytest.raises(ValueError, match=r"image_shape=\(8, 9\) holds 72 values"):
            OutlierReconstructionDisplay.from_estimator(images, X, image_shape=(8, 9))
        figure = plt.figure()
        with pytest.raises(ValueError, match="OutlierReconstructionDisplay draws several panels: ax must be a subplot"):
            OutlierReconstructionDisplay(X, X, [True] * 3).plot(ax=figure.add_axes((0, 0, 1, 1)))


@pytest.mark.parametrize(
    "display",
    [
        OutlierScoreDisplay([1.0], threshold=0.0),
        FeatureScoresDisplay([1.0]),
        OutlierReconstructionDisplay(np.eye(2), np.eye(2), [True, False]),
    ],
    ids=lambda display: type(display).__name__,
)
def test_without_matplotlib_the_error_says_what_to_install(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=f"{type(display).__name__} needs matplotlib; install it with: pip install"):
        display.plot()
