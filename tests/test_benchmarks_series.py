"""Series with known anomalies, and the figures of the scores of their steps."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score

from benchmarks.series import measure_attribution, measure_skab, measure_synthetic, threshold
from benchmarks.series_beds import (
    CLEAN_DAYS,
    DAY,
    FAULT,
    FAULTS,
    KINDS,
    TRAINING_DAYS,
    Event,
    Series,
    synthetic_series,
    with_faults,
)
from benchmarks.series_metrics import (
    confusion,
    events_found,
    intervals,
    pooled,
    threshold_for_alarms,
    vus_pr,
)
from benchmarks.series_peers import METHODS, PEERS, Scorer, on_windows, per_step, series_detector, step_length


def vus_by_definition(labels, scores, buffer):
    areas = []
    anomalies = intervals(labels)
    for length in range(buffer + 1):
        soft = labels.astype(float)
        for start, stop in anomalies:
            for step in range(len(labels)):
                distance = max(start - step, step - stop + 1, 0)
                if 0 < distance <= length // 2:
                    soft[step] = max(soft[step], np.sqrt(1 - distance / length))
        area = recall_before = 0
        for level in sorted(set(scores), reverse=True):
            flags = scores >= level
            hits = soft[flags].sum()
            touched = [flags[max(0, start - length // 2) : stop + length // 2].any() for start, stop in anomalies]
            recall = min(hits / (labels + soft).sum() * 2, 1) * np.mean(touched)
            area += hits / flags.sum() * (recall - recall_before)
            recall_before = recall
        areas.append(area)
    return np.mean(areas)


@pytest.mark.parametrize("digits", [1, 9])
def test_volume_under_the_surface(digits):
    labels = np.zeros(100, dtype=int)
    labels[[0, 1, 30, 31, 32, 40, 41, 60]] = 1
    scores = np.round(np.random.default_rng(0).random(100) + 0.5 * labels, digits)
    assert vus_pr(labels, scores, 11) == pytest.approx(vus_by_definition(labels, scores, 11), rel=1e-12)


def test_volume_of_one_event_without_a_buffer_is_average_precision():
    labels = np.repeat([0, 1, 0], [40, 20, 40])
    scores = np.random.default_rng(1).random(100) + 0.3 * labels
    assert vus_pr(labels, scores, 0) == pytest.approx(average_precision_score(labels, scores), rel=1e-12)


def test_intervals():
    flags = np.array([1, 1, 0, 1, 0, 0, 0, 1])
    assert intervals(flags) == [(0, 2), (3, 4), (7, 8)]
    assert intervals(flags, within=2) == [(0, 4), (7, 8)]
    assert intervals(np.zeros(3)) == []
    assert events_found(flags, [(2, 3), (2, 4)]) == [False, True]


def test_rates_are_pooled():
    labels, flags = np.array([1, 1, 0, 0, 0]), np.array([1, 0, 1, 0, 0])
    counts = confusion(labels, flags)
    assert counts == {"tp": 1, "fp": 1, "fn": 1, "tn": 2}
    assert pooled([counts, counts]) == pytest.approx({"F1": 50, "FAR": 100 / 3, "MAR": 50})


@pytest.mark.parametrize("n_alarms", [0, 1, 5])
def test_threshold_for_a_number_of_alarms(n_alarms):
    scores = np.round(np.random.default_rng(2).random(400), 2)
    limit = threshold_for_alarms(scores, n_alarms, within=10)
    levels = np.unique(scores)
    assert all(len(intervals(scores > level, 10)) <= n_alarms for level in levels[levels >= limit])
    assert len(intervals(scores >= limit, 10)) > n_alarms


def test_steps_get_the_scores_of_their_windows():
    np.testing.assert_allclose(per_step(np.array([1.0, 2, 6]), 2, "mean"), [1, 1.5, 4, 6])
    np.testing.assert_array_equal(per_step(np.array([1.0, 6, 2]), 2, "max"), [1, 6, 6, 2])
    np.testing.assert_allclose(per_step(np.array([1.0, 2, 6]), 3, "last"), [1, 1, 1, 2, 6])


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("aggregation", ["mean", "last"])
def test_peers_find_a_jump(name, aggregation):
    rng = np.random.default_rng(3)
    X = np.sin(np.arange(700)[:, None] / 5 + [0, 1]) + 0.1 * rng.normal(size=(700, 2))
    X[600:620, 1] += 5
    scores = on_windows(PEERS[name], 16, aggregation, X[:400], X[400:])
    assert scores.shape == (300,)
    assert 190 <= np.argmax(scores) < 230


def test_a_detector_of_series_is_one_line():
    X = np.random.default_rng(6).normal(size=(80, 2))
    series = Series("", X[:40], np.r_[X[40:], np.full((2, 2), 9)], np.repeat([0, 1], [40, 2]))
    cell = measure_skab(series_detector(IsolationForest(random_state=0)), series)
    assert cell["tp"] == 2
    assert cell["auroc"] > 0.9


def test_threshold_of_a_peer_is_that_of_held_out_steps():
    X = np.random.default_rng(4).normal(size=(400, 2))
    assert threshold(Scorer(step_length), X) == step_length(X[:300], X[300:]).max()


class Perfect:
    """Labels as scores."""

    def __init__(self, labels, threshold):
        self.labels, self.threshold = labels, threshold

    def __call__(self, X_train, X_test):
        return self.labels


class TestSynthetic:
    def test_events(self):
        ones, strong = (synthetic_series(0, dict.fromkeys(KINDS, strength)) for strength in (1.0, 2.0))
        again = synthetic_series(0, dict.fromkeys(KINDS, 1.0))
        assert ones.train.shape == (TRAINING_DAYS * DAY, 6)
        np.testing.assert_array_equal(ones.test, again.test)
        np.testing.assert_array_equal(ones.train, strong.train)
        assert [(event.kind, event.start) for event in ones.events] == [(e.kind, e.start) for e in strong.events]
        assert {event.kind for event in ones.events} == set(KINDS)
        changed = np.flatnonzero((ones.test != strong.test).any(axis=1))
        assert strong.labels[changed].all()
        assert not np.array_equal(synthetic_series(1).train, ones.train)

    def test_figures_of_a_perfect_method(self):
        series = synthetic_series(0)
        found = dict.fromkeys([event.kind for event in series.events], True)
        for limit, own in ((None, {}), (0.5, {"own": 0}), (-1, {"own": 1 / CLEAN_DAYS})):
            cell = measure_synthetic(Perfect(series.labels, limit), series)
            assert cell == {"found": found, "share": 1, "alarms": 0} | own


def test_faults_of_sensors():
    rng = np.random.default_rng(5)
    X = np.c_[rng.normal(size=(4000, 3)), np.zeros(4000)]
    X[2000:, 1] *= 0.1  # moves less than in training
    planted, events = with_faults(X[:2000], X[2000:], np.random.default_rng(0))
    assert [event.kind for event in events] == [FAULTS[i % 4] for i in range(len(events))]
    assert {event.sensor for event in events} == {0, 2}
    for event in events:
        changed = np.flatnonzero((planted != X[2000:])[event.start - 50 : event.stop + 50].any(axis=0))
        assert changed.tolist() == [event.sensor]
        assert event.stop - event.start == FAULT
    exact = measure_attribution(lambda X_train, X_test: X_test != X[2000:], Series("", X, planted, X[:, 0], events))
    assert exact == {"places": [(event.kind, 1) for event in events], "first": 1.0}


def test_place_of_a_sensor():
    events = (Event("level", 1, 3, 1),)
    series = Series("", np.zeros((4, 3)), np.zeros((4, 3)), np.zeros(4), events)
    scores = np.array([[0, 9, 0], [3, 1, 0], [1, 2, 0], [0, 9, 0]])
    assert measure_attribution(lambda X_train, X_test: scores, series)["places"] == [("level", 2)]


def test_every_method_has_three_settings_or_none():
    families = [name.split(", ")[0] for name in METHODS]
    assert {families.count(family) for family in families} == {1, 3}
