"""The display of time series: which sensors and steps are drawn, envelopes of long series, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from sk_autoencoder import AutoencoderOutlierDetector, TimeSeriesDisplay, TimeSeriesOutlierDetector

SIZE = 8


def series(n, seed):
    t = np.arange(n) + seed
    clean = np.column_stack([np.sin(t / 4), np.cos(t / 4), np.sin(t / 4 + 1)])
    X = clean + 0.1 * np.random.default_rng(seed).normal(size=(n, 3))
    return pd.DataFrame(X, columns=["a", "b", "c"], index=pd.date_range("2026-01-01", periods=n, freq="min"))


@pytest.fixture(scope="module")
def detector():
    quick = AutoencoderOutlierDetector(max_iter=5, hidden_layer_sizes=(16,), outlier_score="reconstruction")
    return TimeSeriesOutlierDetector(quick, window_size=SIZE, random_state=0).fit(series(500, 0))


@pytest.fixture(scope="module")
def faulty():
    X = series(300, 1)
    X.iloc[100:130, 1] += 9
    return X


def test_whole_series(detector, faulty, drawn):
    display = TimeSeriesDisplay.from_estimator(detector, faulty)
    found = detector.anomalous_intervals(faulty)
    assert display.axes_[0].get_ylabel() == "b"
    assert display.axes_[-1].get_ylabel() == "Outlier score"
    assert all(len(ax.patches) == len(found) for ax in display.axes_)
    np.testing.assert_array_equal(display.axes_[-1].lines[0].get_ydata(), -detector.score_samples(faulty))
    assert display.axes_[-1].lines[1].get_ydata()[0] == -detector.offset_
    drawn(display.figure_)


def test_event(detector, faulty, drawn):
    found = detector.anomalous_intervals(faulty)
    event = int(found.peak.argmax())
    display = TimeSeriesDisplay.from_estimator(detector, faulty, event=event, n_sensors=2)
    assert len(display.axes_) == 3
    assert display.axes_[0].get_ylabel() == found.sensors[event][0] == "b"
    measured, expected = display.axes_[0].lines
    shown = faulty.loc[pd.DatetimeIndex(measured.get_xdata())]
    np.testing.assert_array_equal(measured.get_ydata(), shown["b"])
    np.testing.assert_array_equal(
        expected.get_ydata(), pd.DataFrame(detector.reconstruct(faulty), faulty.index)[1][shown.index]
    )
    assert shown.index[0] < found.start[event] < found.end[event] < shown.index[-1]
    assert len(shown) < 150
    drawn(display.figure_)


def test_no_peak_of_a_long_series_is_lost():
    X, scores = np.zeros((100_000, 1)), np.zeros(100_000)
    X[77_777], scores[77_777] = 5.0, 3.0
    display = TimeSeriesDisplay(X, scores, intervals=[(77_770, 77_780)]).plot()
    tops = [ax.collections[0].get_paths()[0].vertices[:, 1].max() for ax in display.axes_]
    assert tops == [5.0, 3.0]
    assert len(display.axes_[0].collections[0].get_paths()[0].vertices) < 10_000


def test_errors(detector, faulty):
    with pytest.raises(ValueError, match=r"event=99 does not exist: X has \d+ anomalous"):
        TimeSeriesDisplay.from_estimator(detector, faulty, event=99)
    with pytest.raises(ValueError, match="axes must have 2 axes"):
        TimeSeriesDisplay(np.zeros((5, 1)), np.zeros(5)).plot([None])
    with pytest.raises(ValueError, match="inconsistent numbers"):
        TimeSeriesDisplay(np.zeros((5, 1)), np.zeros(4)).plot()
    with pytest.raises(NotFittedError):
        TimeSeriesDisplay.from_estimator(TimeSeriesOutlierDetector(), faulty)
    column = TimeSeriesOutlierDetector(detector.estimator, window_size=SIZE, group_column="m")
    grouped = faulty.assign(m=np.arange(300) // 150)
    with pytest.raises(ValueError, match="X has 2 groups; draw the steps of one group"):
        TimeSeriesDisplay.from_estimator(column.fit(grouped), grouped)
    assert len(TimeSeriesDisplay.from_estimator(column, grouped[grouped.m == 1]).axes_) == 4
