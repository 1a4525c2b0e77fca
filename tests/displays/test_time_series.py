"""TimeSeriesDisplay draws series, scores, intervals and the sensors of an event."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.ensemble import IsolationForest

from sk_autoencoder import AutoencoderOutlierDetector, TimeSeriesDisplay, TimeSeriesOutlierDetector


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(0)
    t = np.arange(700)
    X = np.column_stack([np.sin(t / 8), np.cos(t / 8), np.sin(t / 5)]) + 0.1 * rng.normal(size=(700, 3))
    X[600:620, 1] += 2.0
    return pd.DataFrame(X, columns=["a", "b", "c"])


@pytest.fixture(scope="module")
def detector(series):
    return quick().fit(series[:400])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def quick(**parameters):
    return TimeSeriesOutlierDetector(
        AutoencoderOutlierDetector(max_iter=5), window_size=8, random_state=0, **parameters
    )


def test_draws_each_sensor_the_scores_and_the_intervals(detector, series):
    X = series[400:]
    display = TimeSeriesDisplay.from_estimator(detector, X)
    found = detector.anomalous_intervals(X)
    np.testing.assert_array_equal(display.score_ax_.lines[0].get_ydata(), -detector.score_samples(X))
    assert display.score_ax_.lines[1].get_ydata()[0] == -detector.offset_
    assert [ax.get_ylabel() for ax in display.sensor_axes_] == ["a", "b", "c"]
    for ax, name in zip(display.sensor_axes_, X, strict=True):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), X[name])
        spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
        np.testing.assert_allclose(spans, found[["start", "end"]].to_numpy() - 400 + [-0.5, 0.5])
    assert display.event_ == found.peak.argmax()


def test_bars_are_the_shares_of_the_sensors_in_the_event(detector, series):
    X = series[400:]
    display = TimeSeriesDisplay.from_estimator(detector, X)
    event = detector.anomalous_intervals(X).iloc[display.event_]
    names = [label.get_text() for label in display.event_ax_.get_yticklabels()][::-1]
    widths = [bar.get_width() for bar in display.event_ax_.patches][::-1]
    assert names == list(event.sensors)
    np.testing.assert_allclose(widths, 100 * np.array(event.shares), rtol=1e-6)
    assert names[0] == "b"


def test_event_and_sensors_are_chosen(detector, series):
    display = TimeSeriesDisplay.from_estimator(detector, series[400:], event=0, sensors=[2, 1])
    assert display.event_ == 0
    assert [ax.get_ylabel() for ax in display.sensor_axes_] == ["c", "b"]
    with pytest.raises(ValueError, match="event=99 must be the number of one of the"):
        display.plot(event=99)


def test_an_event_with_expected_values(detector, series):
    X = series[400:]
    display = TimeSeriesDisplay.from_estimator(detector, X, margin=10)
    first, last = display.intervals[display.event_]
    shown = slice(max(0, first - 10), last + 11)
    assert 0 < shown.start < shown.stop < 300
    expected = detector.reconstruct(X)
    for ax, column in zip(display.sensor_axes_, range(3), strict=True):
        actual, reconstructed = ax.lines
        np.testing.assert_array_equal(actual.get_xdata(), np.arange(300)[shown])
        np.testing.assert_array_equal(actual.get_ydata(), X.to_numpy()[shown, column])
        np.testing.assert_array_equal(reconstructed.get_ydata(), expected[shown, column])
    assert display.score_ax_.get_xlim() == (shown.start - 0.5, shown.stop - 0.5)
    assert [len(ax.lines) for ax in display.plot().sensor_axes_] == [1, 1, 1]


def test_an_event_of_a_detector_that_does_not_reconstruct(series):
    model = TimeSeriesOutlierDetector(IsolationForest(random_state=0), window_size=8).fit(series[:400])
    display = TimeSeriesDisplay.from_estimator(model, series[400:], margin=10)
    assert [len(ax.lines) for ax in display.sensor_axes_] == [1, 1, 1]


@pytest.mark.parametrize("container", [lambda X: X.to_numpy(), pl.from_pandas])
def test_containers(detector, series, container):
    expected = TimeSeriesDisplay.from_estimator(detector, series[400:])
    model = quick().fit(container(series[:400]))
    found = TimeSeriesDisplay.from_estimator(model, container(series[400:].reset_index(drop=True)))
    np.testing.assert_allclose(found.scores, expected.scores)
    np.testing.assert_array_equal(found.intervals, expected.intervals)


def test_many_steps_are_drawn_as_ranges_that_keep_single_extremes():
    values = np.zeros((10**5, 1))
    values[54321], values[12345] = 7.0, -3.0
    display = TimeSeriesDisplay(values, values[:, 0]).plot()
    [band] = display.sensor_axes_[0].collections
    vertices = band.get_paths()[0].vertices
    assert len(vertices) < 10**4
    assert (vertices[:, 1].min(), vertices[:, 1].max()) == (-3.0, 7.0)
    assert abs(vertices[vertices[:, 1].argmax(), 0] - 54321) < 100


def test_without_intervals_and_contributions(series):
    display = TimeSeriesDisplay(series, np.zeros(700)).plot()
    assert display.event_ is display.event_ax_ is None
    assert not display.score_ax_.patches


def test_at_most_six_sensors_those_that_contribute_most():
    contributions = np.tile(np.arange(10.0), (50, 1))
    display = TimeSeriesDisplay(np.ones((50, 10)), np.zeros(50), sensor_scores=contributions).plot()
    assert [ax.get_ylabel() for ax in display.sensor_axes_] == ["4", "5", "6", "7", "8", "9"]


@pytest.mark.parametrize("way", ["groups", "column"])
def test_one_of_several_groups(series, way):
    ids = np.repeat(["x", "y"], 350)
    if way == "column":
        frame = series.assign(machine=ids)
        model, given = quick(group_column="machine").fit(frame), {}
    else:
        frame, given = series, {"groups": ids}
        model = quick().fit(frame, groups=ids)
    display = TimeSeriesDisplay.from_estimator(model, frame, group="y", **given)
    np.testing.assert_array_equal(display.X, series[350:])
    np.testing.assert_array_equal(display.scores, -model.score_samples(frame, **given)[350:])
    assert ((display.intervals[:, 1] >= 0) & (display.intervals[:, 1] < 350)).all()
    with pytest.raises(ValueError, match=r"group=None must be one of the groups in X: \['x', 'y'\]"):
        TimeSeriesDisplay.from_estimator(model, frame, **given)


def test_what_is_no_detector_of_series(series):
    with pytest.raises(ValueError, match="has no anomalous_intervals"):
        TimeSeriesDisplay.from_estimator(AutoencoderOutlierDetector(max_iter=1).fit(series), series)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": np.zeros(3)}, "inconsistent numbers"),
        ({"X": np.full((5, 2), np.nan)}, "X holds NaN"),
        ({"sensor_scores": np.zeros((4, 2))}, "inconsistent numbers"),
    ],
)
def test_wrong_arrays(arguments, message):
    with pytest.raises(ValueError, match=message):
        TimeSeriesDisplay(**{"X": np.zeros((5, 2)), "scores": np.zeros(5), **arguments}).plot()
