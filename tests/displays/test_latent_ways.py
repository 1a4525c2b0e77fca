"""Displays of what a code stands for: a grid, one coordinate, and the way between two rows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from sk_autoencoder import (
    AutoencoderOutlierDetector,
    AutoencoderTransformer,
    InterpolationDisplay,
    LatentDisplay,
    LatentGridDisplay,
    TraversalDisplay,
)


def labelled(X):
    """Return the first three samples as a table whose labels are text or numbers."""
    return pd.DataFrame(X[:3], index=["a", 7, "c"])


def test_a_detector_has_no_codes_to_draw(digits):
    X = digits[0][:50]
    quick = {"hidden_layer_sizes": (), "n_estimators": 1, "max_iter": 1, "random_state": 0}
    detector = AutoencoderOutlierDetector(2, outlier_score="reconstruction", **quick).fit(X)
    missing = "AutoencoderOutlierDetector has no transform"
    for display, given in (
        (LatentDisplay, (X,)),
        (LatentGridDisplay, (X,)),
        (TraversalDisplay, (X,)),
        (InterpolationDisplay, (X, X)),
    ):
        message = rf"{display.__name__} draws latent codes\. {missing}\. Use a transformer such as AutoencoderT"
        with pytest.raises(TypeError, match=message):
            display.from_estimator(detector, *given)


class TestLatentGrid:
    def test_each_picture_stands_in_its_place(self, fitted, drawn):
        display = LatentGridDisplay.from_estimator(fitted[2], n_steps=5, image_shape=(8, 8))
        quantiles = norm.ppf(np.linspace(0.02, 0.98, 5))
        np.testing.assert_allclose(display.x, quantiles)
        (image,) = display.ax_.get_images()
        mosaic = image.get_array()
        assert mosaic.shape == (40, 40)
        row = fitted[2].inverse_transform([[quantiles[1], quantiles[3]]]).reshape(8, 8)
        np.testing.assert_allclose(mosaic[8:16, 8:16], row, atol=1e-4)  # the second from the left and from the top
        assert display.ax_.get_xticklabels()[1].get_text() == f"{quantiles[1]:.2g}"
        assert display.ax_.get_yticks()[3] == 3.5
        drawn(display.figure_)

    def test_rows_say_where_the_grid_lies(self, fitted, digits):
        display = LatentGridDisplay.from_estimator(fitted[2], digits[0], n_steps=4)
        codes = fitted[2].transform(digits[0])
        np.testing.assert_allclose(display.y, np.quantile(codes[:, 1], np.linspace(0.02, 0.98, 4)))
        assert len(display.ax_.get_lines()) == 16

    def test_maps_name_collapsed_components(self, digits):
        X = digits[0]
        model = AutoencoderTransformer(2, objective="variational", max_iter=3, random_state=0).fit(X)
        for active, names in (
            ([1], ["Component 1 (collapsed)", "Component 2"]),
            ([1, 0], ["Component 1", "Component 2"]),
        ):
            model.active_components_ = np.array(active)
            grid, cloud = LatentGridDisplay.from_estimator(model, n_steps=2), LatentDisplay.from_estimator(model, X)
            for ax in (grid.ax_, cloud.ax_):
                assert [ax.get_xlabel(), ax.get_ylabel()] == names

    def test_colours_and_other_reducers(self, digits, drawn):
        X = np.repeat(digits[0], 3, axis=1)
        display = LatentGridDisplay.from_estimator(PCA(2).fit(X), X, n_steps=3, image_shape=(3, 8, 8))
        assert display.ax_.get_images()[0].get_array().shape == (24, 24, 3)
        drawn(display.figure_)

    def test_what_cannot_be_drawn_is_named(self, fitted, digits):
        for X in (None, digits[0]):
            with pytest.raises(ValueError, match="codes with 2 components, but these have 5: use TraversalDisplay"):
                LatentGridDisplay.from_estimator(fitted[5], X)
        with pytest.raises(ValueError, match="A grid of 2 x 3 points needs 6 decoded samples, but rows has 5"):
            LatentGridDisplay(np.zeros((5, 4)), [0, 1, 2], [0, 1]).plot()
        with pytest.raises(NotFittedError):
            LatentGridDisplay.from_estimator(AutoencoderTransformer(2))


class TestTraversal:
    def test_one_coordinate_moves_and_the_others_stay(self, fitted, digits, drawn):
        X, _ = digits
        settings = {"component": 3, "n_samples": 2, "n_steps": 4}
        display = TraversalDisplay.from_estimator(fitted[5], X, image_shape=(8, 8), **settings)
        assert display.axes_.shape == (2, 4)
        code = fitted[5].transform(X)[1]
        code[3] = display.values[2]
        picture = display.axes_[1, 2].get_images()[0].get_array()
        np.testing.assert_allclose(picture, fitted[5].inverse_transform([code]).reshape(8, 8), atol=1e-4)
        assert display.axes_[0, 0].get_title().startswith("$z_{3}$ = ")
        drawn(display.figure_)

    def test_lines(self, fitted, digits, drawn):
        _, ax = plt.subplots()
        display = TraversalDisplay.from_estimator(fitted[1], digits[0], n_samples=3, n_steps=5, ax=ax)
        assert display.bounding_ax_ is ax
        assert [len(cell.get_lines()) for cell in display.axes_] == [5, 5, 5]
        drawn(display.figure_)

    def test_samples_of_a_table_are_called_by_their_labels(self, digits):
        table = labelled(digits[0])
        display = TraversalDisplay.from_estimator(PCA(3).fit(table), table, n_samples=3, image_shape=(8, 8))
        assert [row[0].get_ylabel() for row in display.axes_] == ["sample 'a'", "sample 7", "sample 'c'"]
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            TraversalDisplay(np.zeros((2, 3, 4)), [0, 1, 2], names=["sample 'a'"]).plot()

    def test_the_most_active_component_moves_and_collapsed_ones_are_said_so(self, digits, drawn):
        X = digits[0]
        model = AutoencoderTransformer(3, objective="variational", max_iter=3, random_state=0).fit(X)
        model.active_components_ = np.array([2, 0])
        display = TraversalDisplay.from_estimator(model, X, n_samples=2, n_steps=3, image_shape=(8, 8))
        assert display.axes_[0, 0].get_title().startswith("$z_{2}$ = ")
        assert [row[0].get_ylabel() for row in display.axes_] == ["sample 0", "sample 1"]
        display = TraversalDisplay.from_estimator(model, X, n_samples=2, n_steps=3, component=1, image_shape=(8, 8))
        assert [row[0].get_ylabel() for row in display.axes_] == [
            "sample 0\n$z_{1}$ collapsed",
            "sample 1\n$z_{1}$ collapsed",
        ]
        drawn(display.figure_)
        model.active_components_ = np.array([], dtype=int)
        assert TraversalDisplay.from_estimator(model, X).component == 0
        assert TraversalDisplay.from_estimator(PCA(3).fit(X), X).component == 0

    def test_what_cannot_be_drawn_is_named(self, fitted, digits):
        with pytest.raises(ValueError, match="component=5 is out of range: the codes have 5 components"):
            TraversalDisplay.from_estimator(fitted[5], digits[0], component=5)
        with pytest.raises(ValueError, match=r"rows has 3 steps, but values has shape \(2,\)"):
            TraversalDisplay(np.zeros((2, 3, 4)), [0, 1]).plot()
        with pytest.raises(ValueError, match="rows must be 3-D"):
            TraversalDisplay(np.zeros((2, 3)), [0, 1, 2]).plot()
        with pytest.raises(ValueError, match="rows holds NaN"):
            TraversalDisplay(np.full((1, 2, 3), np.nan), [0, 1]).plot()


class TestInterpolation:
    def test_decoded_ways_stand_between_the_rows_themselves(self, fitted, digits, drawn):
        X, _ = digits
        display = InterpolationDisplay.from_estimator(fitted[5], X[:2], X[2:4], n_steps=3, image_shape=(8, 8))
        assert display.axes_.shape == (2, 5)
        pictures = [cell.get_images()[0].get_array().ravel() for cell in display.axes_[1]]
        np.testing.assert_array_equal(pictures[0], X[1])
        np.testing.assert_array_equal(pictures[4], X[3])
        np.testing.assert_allclose(pictures[1:4], fitted[5].interpolate(X[1], X[3], 3), atol=1e-4)
        assert [cell.get_title() for cell in display.axes_[0]] == ["from", "0%", "50%", "100%", "to"]
        drawn(display.figure_)

    def test_lines_of_another_transformer(self, digits, drawn):
        X, _ = digits
        display = InterpolationDisplay.from_estimator(PCA(3).fit(X), X[:1], X[1:2], n_steps=4)
        assert len(display.axes_[0].get_lines()) == 4
        drawn(display.figure_)

    def test_ends_are_named_as_in_interpolate(self, fitted, digits):
        X, _ = digits
        display = InterpolationDisplay.from_estimator(fitted[2], a=X[:1], b=X[1:2], n_steps=3)
        np.testing.assert_allclose(display.rows[0], fitted[2].interpolate(a=X[0], b=X[1], n_steps=3), atol=1e-4)

    def test_pairs_of_a_table_are_called_by_their_labels(self, digits):
        table = labelled(digits[0])
        pca = PCA(3).fit(table)
        display = InterpolationDisplay.from_estimator(pca, table[:2], table[1:3])
        assert [cell.get_title() for cell in display.axes_] == ["sample 'a'\nto sample 7", "sample 7\nto sample 'c'"]
        one_sided = InterpolationDisplay.from_estimator(pca, table[:2], table[1:3].to_numpy())
        assert [cell.get_title() for cell in one_sided.axes_] == ["pair 0", "pair 1"]

    def test_what_cannot_be_drawn_is_named(self, fitted, digits):
        with pytest.raises(ValueError, match="a and b must have equal lengths, but a has 2 samples and b has 3"):
            InterpolationDisplay.from_estimator(fitted[2], digits[0][:2], digits[0][:3])
        ends = (np.zeros((2, 4)), np.zeros((1, 4)))
        with pytest.raises(ValueError, match=r"ends of shapes \(2, 4\) and \(1, 4\) do not match rows of shape"):
            InterpolationDisplay(np.zeros((2, 3, 4)), ends=ends, image_shape=(2, 2)).plot()
