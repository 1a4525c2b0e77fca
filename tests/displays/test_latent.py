import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.manifold import TSNE

from sk_autoencoder import AutoencoderTransformer, LatentDisplay


def positions(display):
    return np.concatenate([np.asarray(artist.get_offsets()) for artist in display.artists_])


def test_classes_get_one_colour_and_one_legend_entry_each(fitted, digits, drawn):
    X, y = digits
    display = LatentDisplay.from_estimator(fitted[2], X, y, legend_title="digit")
    assert [text.get_text() for text in display.legend_.get_texts()] == [str(label) for label in range(10)]
    assert display.legend_.get_title().get_text() == "digit"
    assert len({tuple(artist.get_facecolor()[0]) for artist in display.artists_}) == 10
    codes = fitted[2].transform(X)
    np.testing.assert_allclose(positions(display), np.concatenate([codes[y == label] for label in range(10)]))
    assert display.colorbar_ is None
    drawn(display.figure_)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("n_components", [1, 2])
def test_samples_without_label_are_grey(n_components, missing, fitted, digits):
    X, y = digits
    known = np.arange(len(y)) % 3 > 0
    display = LatentDisplay.from_estimator(fitted[n_components], X, np.where(known, y.astype(object), missing))
    codes = fitted[n_components].transform(X)
    grey, *classes = display.artists_
    assert grey.get_label() == "no label"
    np.testing.assert_allclose(grey.get_offsets()[:, 0], codes[~known, 0])
    assert [artist.get_label() for artist in classes] == [str(label) for label in range(10)]
    if n_components == 1:
        assert display.ax_.get_yticklabels()[0].get_text() == "no label"
        assert np.abs(grey.get_offsets()[:, 1] + 1).max() < 0.5


def test_unknown_targets(fitted, digits):
    X, _ = digits
    known, targets = np.arange(len(X)) % 3 > 0, X.mean(axis=1) + 0.01
    for n_components, n_artists in ((1, 1), (2, 2)):
        display = LatentDisplay.from_estimator(fitted[n_components], X, np.where(known, targets, np.nan))
        assert len(display.artists_) == n_artists
        assert len(display.artists_[-1].get_offsets()) == known.sum()
    with pytest.raises(ValueError, match="No sample has a label"):
        LatentDisplay.from_estimator(fitted[2], X, np.full(len(X), None))


def test_continuous_labels_get_a_colour_bar(fitted, digits, drawn):
    X, _ = digits
    display = LatentDisplay.from_estimator(fitted[2], X, X.mean(axis=1) + 0.01, legend_title="ink")
    assert display.legend_ is None
    assert display.colorbar_.ax.get_ylabel() == "ink"
    drawn(display.figure_)


def test_many_whole_numbers_are_measurements_and_many_names_are_classes():
    codes = np.random.default_rng(0).normal(size=(60, 2))
    assert LatentDisplay(codes, np.arange(60)).plot().colorbar_ is not None
    named = LatentDisplay(codes, [f"class {i}" for i in range(60)]).plot()
    assert named.colorbar_ is None
    assert named.legend_ is None
    assert len(named.artists_) == 60
    assert LatentDisplay(codes, np.arange(60) % 15).plot().legend_ is not None
    assert LatentDisplay(codes, np.arange(60) % 2 == 0).plot().legend_ is not None


def test_a_legend_names_at_most_twenty_classes():
    codes = np.random.default_rng(0).normal(size=(84, 2))
    assert LatentDisplay(codes, np.arange(84) % 20).plot().legend_ is not None
    assert LatentDisplay(codes, np.arange(84) % 21).plot().colorbar_ is not None
    assert LatentDisplay(codes, [f"class {i % 21}" for i in range(84)]).plot().legend_ is None


def test_strips_fill_most_of_their_height_and_keep_apart():
    heights = [
        np.ptp(artist.get_offsets()[:, 1]) for artist in LatentDisplay(np.ones((80, 1)), [0, 1] * 40).plot().artists_
    ]
    assert all(0.5 < height < 0.8 for height in heights)


def test_many_points_are_small_and_drawn_as_pixels():
    few, many = (LatentDisplay(np.random.default_rng(0).normal(size=(n, 2))).plot().artists_[0] for n in (20, 5000))
    assert many.get_sizes()[0] < few.get_sizes()[0] / 2
    assert many.get_rasterized()
    assert not few.get_rasterized()


def test_without_labels_there_is_one_colour(fitted, digits, drawn):
    display = LatentDisplay.from_estimator(fitted[2], digits[0])
    assert len(display.artists_) == 1
    assert display.legend_ is None
    drawn(display.figure_)


@pytest.mark.parametrize("reducer", [PCA(2), TSNE(n_iter_without_progress=50, max_iter=250, random_state=0)])
def test_a_reducer_brings_wide_codes_to_two_columns(fitted, digits, reducer, drawn):
    X, y = digits
    display = LatentDisplay.from_estimator(fitted[5], X, y, reducer=reducer)
    assert display.codes.shape == (300, 2)
    assert display.ax_.get_xlabel() == f"{type(reducer).__name__} 1"
    assert not hasattr(reducer, "n_features_in_")  # a copy was fitted
    drawn(display.figure_)


def test_one_component_with_classes_is_a_strip_for_each(fitted, digits, drawn):
    X, y = digits
    display = LatentDisplay.from_estimator(fitted[1], X, y)
    for label, artist in enumerate(display.artists_):
        assert np.abs(np.asarray(artist.get_offsets())[:, 1] - label).max() < 0.5
    assert [tick.get_text() for tick in display.ax_.get_yticklabels()] == [str(label) for label in range(10)]
    drawn(display.figure_)


def test_one_component_with_values_or_nothing(fitted, digits, drawn):
    X, _ = digits
    values = X.mean(axis=1) + 0.01
    display = LatentDisplay.from_estimator(fitted[1], X, values, legend_title="ink")
    np.testing.assert_allclose(positions(display)[:, 1], values)
    assert display.ax_.get_ylabel() == "ink"
    histogram = LatentDisplay.from_estimator(fitted[1], X, bins=7)
    assert sum(bar.get_height() for bar in histogram.artists_) == 300
    assert len(histogram.artists_) == 7
    drawn(histogram.figure_)


def test_given_axes_and_style_are_used(digits):
    _, ax = plt.subplots()
    codes = digits[0][:, 10:12]
    display = LatentDisplay(codes, digits[1], names=("a", "b")).plot(ax=ax, cmap="viridis", s=3)
    assert display.ax_ is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")
    assert display.artists_[0].get_sizes()[0] == 3


def test_what_cannot_be_drawn_is_named(fitted, digits):
    X, y = digits
    with pytest.raises(ValueError, match=r"5 components, but only 1 or 2 can be drawn: pass a reducer"):
        LatentDisplay.from_estimator(fitted[5], X, y)
    with pytest.raises(ValueError, match=r"codes must be 2-D.*\(4,\)"):
        LatentDisplay(np.zeros(4)).plot()
    with pytest.raises(ValueError, match="codes holds NaN"):
        LatentDisplay(np.full((4, 2), np.nan)).plot()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatentDisplay(np.zeros((4, 2)), [0, 1]).plot()
    with pytest.raises(NotFittedError):
        LatentDisplay.from_estimator(AutoencoderTransformer(), X)
