"""The detector of time series: what a step's score depends on, what is held out, and the ways in for machines."""

import pickle
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import skops.io
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import average_precision_score, make_scorer
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_autoencoder import AutoencoderOutlierDetector, TimeSeriesOutlierDetector, trusted_types
from sk_autoencoder.estimators._intervals import find_intervals, interval_table
from sk_autoencoder.estimators._parts_of_series import HELD_OUT
from sk_autoencoder.model_selection import outlier_average_precision
from sk_autoencoder.networks import Convolutional, Recurrent
from sk_autoencoder.scores import ReconstructionError
from sk_autoencoder.thresholds import Auto
from sk_autoencoder.windows import cut_windows

SIZE = 8


def series(n=300, seed=0):
    """Three noisy sensors with a common period of 25 steps, in different units, (n, 3)."""
    t = np.arange(n) + seed
    clean = np.column_stack([np.sin(t / 4), np.cos(t / 4), 5 + 3 * np.sin(t / 4 + 1)])
    return clean + 0.1 * np.random.default_rng(seed).normal(size=(n, 3))


def windows_detector(**options):
    quick = {"max_iter": 5, "hidden_layer_sizes": (16,), "outlier_score": "reconstruction"}
    return AutoencoderOutlierDetector(**quick | options)


def detector(estimator=None, **options):
    estimator = windows_detector() if estimator is None else estimator
    return TimeSeriesOutlierDetector(estimator, **{"window_size": SIZE, "random_state": 0, **options})


VIEWS = {
    "mean": {},
    "max": {"aggregation": "max"},
    "last": {"aggregation": "last"},
    "views": {"window_size": (8, 5), "window_scaling": ("none", "standard")},
    "one step": {"window_size": 1},
}


class TestScores:
    @pytest.mark.parametrize("options", VIEWS.values(), ids=VIEWS)
    def test_do_not_depend_on_what_else_is_scored(self, options):
        X, new = series(), series(400, seed=1)
        model = detector(**options).fit(X)
        for whole in (X, new):
            expected = model.score_samples(whole), model.sensor_scores(whole), model.reconstruct(whole)
            for first, end in ((0, 200), (90, len(whole)), (70, 100), (13, 257)):
                results = (
                    way(whole[first:end]) for way in (model.score_samples, model.sensor_scores, model.reconstruct)
                )
                inner = slice(SIZE - 1, end - first - SIZE + 1)
                for result, known in zip(results, expected, strict=True):
                    np.testing.assert_array_equal(result[inner], known[first:end][inner])
                    assert np.isfinite(result).all()

    def test_do_not_depend_on_chunks(self, monkeypatch):
        model, new = detector().fit(series()), series(100, seed=1)
        expected = model.score_samples(new), model.sensor_scores(new), model.reconstruct(new)
        monkeypatch.setattr("sk_autoencoder.estimators._windowed._CELLS_AT_ONCE", 7 * 3 * SIZE)
        for way, known in zip((model.score_samples, model.sensor_scores, model.reconstruct), expected, strict=True):
            np.testing.assert_array_equal(way(new), known)

    @pytest.mark.parametrize("score_step", [1, 3, SIZE])
    def test_are_those_of_the_windows_that_cover_a_step(self, score_step):
        new = series(101, seed=1)
        models = {
            how: detector(aggregation=how, score_step=score_step).fit(series()) for how in ("mean", "max", "last")
        }
        starts = sorted({*range(0, 101 - SIZE + 1, score_step), 101 - SIZE})
        windows = cut_windows(models["mean"]._series(new, None).steps, SIZE)[starts].reshape(len(starts), -1)
        of_windows = models["mean"].estimator_.score_samples(windows)
        covers = [[start <= t < start + SIZE for start in starts] for t in range(101)]
        mean = [of_windows[own].mean() for own in covers]
        np.testing.assert_allclose(models["mean"].score_samples(new), mean, rtol=1e-6)
        expected = [of_windows[own].min() for own in covers]
        np.testing.assert_allclose(models["max"].score_samples(new), expected, rtol=1e-6)
        last = [of_windows[max(0, sum(start + SIZE - 1 <= t for start in starts) - 1)] for t in range(101)]
        np.testing.assert_allclose(models["last"].score_samples(new), last, rtol=1e-6)

    def test_sensors_are_scaled_before_windows_are_cut(self):
        X, new = series(), series(100, seed=1)
        model = detector(Recorder(n_estimators=5)).fit(X)
        sensors = model.estimator_.X_.reshape(-1, 3, SIZE).swapaxes(0, 1).reshape(3, -1)
        np.testing.assert_allclose(sensors.mean(axis=1), 0, atol=0.1)
        np.testing.assert_allclose(sensors.std(axis=1), 1, atol=0.1)
        unit, level = np.array([1e-3, 1.0, 1e4]), np.array([5.0, -1e3, 0.0])
        other = detector().fit(X * unit + level)
        np.testing.assert_allclose(
            other.score_samples(new * unit + level), detector().fit(X).score_samples(new), rtol=1e-3
        )
        np.testing.assert_allclose(
            other.reconstruct(new * unit + level), detector().fit(X).reconstruct(new) * unit + level, rtol=1e-4
        )

    def test_default_is_linear_with_a_code_of_most_of_the_variance(self):
        model = TimeSeriesOutlierDetector(window_size=SIZE, random_state=0).fit(series())
        windows = cut_windows(model._series(series(), None).steps, SIZE).reshape(-1, 3 * SIZE)
        shares = np.cumsum(PCA().fit(windows).explained_variance_ratio_)
        assert model.estimator_.n_components_ == pytest.approx(1 + np.count_nonzero(shares < 0.9), abs=1)
        assert model.estimator_.net_.module_.linear
        constant = TimeSeriesOutlierDetector(window_size=SIZE, random_state=0).fit(np.ones((300, 2)))
        assert constant.estimator_.n_components_ == 1

    @pytest.mark.parametrize(("n_sensors", "rate"), [(12, 0.02), (50, 0.01)])
    def test_learning_rate_of_wide_windows(self, n_sensors, rate):
        X = np.random.default_rng(0).normal(size=(300, 3)) @ np.random.default_rng(1).normal(size=(3, n_sensors))
        model = TimeSeriesOutlierDetector(window_size=16, random_state=0).fit(X)
        assert model.estimator_.learning_rate_init == rate
        given = TimeSeriesOutlierDetector(AutoencoderOutlierDetector(max_iter=1), window_size=16, random_state=0)
        assert given.fit(X).estimator_.learning_rate_init == AutoencoderOutlierDetector().learning_rate_init

    def test_conventions(self):
        X, new = series(), series(100, seed=1)
        model = detector(contamination=0.1)
        labels = model.fit_predict(X)
        np.testing.assert_array_equal(labels, model.predict(X))
        assert (labels == -1).sum() == 30
        np.testing.assert_array_equal(model.decision_function(new), model.score_samples(new) - model.offset_)
        assert model.score_samples(new).dtype == np.float64
        assert model.sensor_scores(new).shape == (100, 3)
        assert (model.sensor_scores(new) >= 0).all()

    def test_containers_and_types(self):
        X = series().astype(np.float32)
        frame = pd.DataFrame(X, columns=["a", "b", "c"])
        model = detector().fit(frame)
        assert model.feature_names_in_.tolist() == ["a", "b", "c"]
        scores = model.score_samples(frame)
        np.testing.assert_array_equal(model.score_samples(pl.DataFrame(X, schema=["a", "b", "c"])), scores)
        assert isinstance(scores, np.ndarray)
        assert model.reconstruct(frame).dtype == np.float32
        np.testing.assert_array_equal(detector().fit(X.astype(np.float64)).score_samples(X.tolist()), scores)

    def test_reconstruction_is_close(self):
        estimator = windows_detector(max_iter=100, corruption=None)
        new = series(200, seed=3)
        for scaling in ("none", "standard", ("none", "standard")):
            model = detector(estimator, window_scaling=scaling).fit(series())
            assert np.square(model.reconstruct(new) - new).mean() < 0.05 * new.var(axis=0).mean()

    def test_scores_of_several_detectors_are_averaged_on_a_common_scale(self):
        new = series(100, seed=1)
        model = detector(window_size=(8, 4)).fit(series())
        assert model.window_sizes_ == (8, 4)
        both = [
            -detector(window_size=size).set_params(estimator=estimator).fit(series()).score_samples(new)
            for size, estimator in zip((8, 4), model.estimators_, strict=True)
        ]
        assert np.corrcoef(sum(both), -model.score_samples(new))[0, 1] > 0.7
        held_out = model.calibration_scores_
        assert np.median(held_out) == pytest.approx(np.log(2), abs=0.3)  # minus the logarithm of a share


class TestStream:
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    @pytest.mark.parametrize("options", VIEWS.values(), ids=VIEWS)
    def test_equals_the_batch(self, options, dtype):
        X, new = series(), series(60, seed=1).astype(dtype)
        model = detector(**options).fit(X)
        size = max(model.window_sizes_)
        before = pickle.dumps(model)
        singly, stream = [], model.stream()
        for step in new:
            singly.append(stream.push(step))
            stream = model.stream(state=stream.get_state())
        assert [result is None for result in singly] == [step < size - 1 for step in range(60)]
        stream = model.stream()
        blocks = [stream.push(block) for block in np.split(new, [3, 11, 12, 40])]
        assert pickle.dumps(model) == before
        model.set_params(aggregation="last")
        expected = model.score_samples(new)[size - 1 :], model.sensor_scores(new)[size - 1 :]
        for results in (singly, blocks):
            known = [result for result in results if result is not None]
            np.testing.assert_array_equal(np.concatenate([result.scores for result in known]), expected[0])
            np.testing.assert_array_equal(np.concatenate([result.sensors for result in known]), expected[1])
            labels = np.concatenate([result.labels for result in known])
            np.testing.assert_array_equal(labels, np.where(expected[0] < model.stream_offset_, -1, 1))

    def test_threshold(self):
        assert (model := detector(aggregation="last").fit(series())).stream_offset_ == model.offset_

    def test_errors(self):
        stream = detector().fit(series()).stream()
        with pytest.raises(ValueError, match=r"shape \(1, 2\), but the detector has 3 sensors"):
            stream.push([1.0, 2.0])
        with pytest.raises(ValueError, match="NaN at step 0 of sensor 1"):
            stream.push([1.0, np.nan, 2.0])


class Recorder(IsolationForest):
    """A detector that keeps what it was fitted to."""

    def fit(self, X, y=None):
        self.X_ = X
        return super().fit(X)


def shares_a_step(windows, others):
    """Whether each window has a step, all sensors equal, of one of the others; both (n, n_sensors * SIZE)."""
    known = {step.tobytes() for window in others.reshape(-1, 3, SIZE) for step in window.T}
    return np.array([any(step.tobytes() in known for step in window.T) for window in windows.reshape(-1, 3, SIZE)])


class TestHeldOut:
    def test_nothing_is_trained_on_steps_of_the_threshold(self):
        X = series(600)
        model = detector(Recorder(n_estimators=5)).fit(X)
        trained = {step.tobytes() for window in model.estimator_.X_.reshape(-1, 3, SIZE) for step in window.T}
        scores = -model.score_samples(X)
        unseen = np.array([step.tobytes() not in trained for step in X])
        for score in model.calibration_scores_:
            assert unseen[np.flatnonzero(scores == score)].any()
        # A gap on each side belongs to neither.
        assert 0.15 * 600 < len(model.calibration_scores_) <= unseen.sum() - (SIZE - 1)

    @pytest.mark.parametrize("options", [{}, {"validation_fraction": 0.3, "step": 3}, {"max_samples": 150}])
    @pytest.mark.parametrize("n", [80, 300, 1500])
    def test_no_member_judges_a_window_that_shares_a_step_with_one_that_it_was_trained_on(
        self, monkeypatch, n, options
    ):
        trained = []
        split = AutoencoderOutlierDetector._split

        def watched(self, *args, **kwargs):
            trained.append(split(self, *args, **kwargs)[0])
            return split(self, *args, **kwargs)

        fitted = []
        fit = AutoencoderOutlierDetector.fit
        monkeypatch.setattr(AutoencoderOutlierDetector, "_split", watched)
        monkeypatch.setattr(
            AutoencoderOutlierDetector, "fit", lambda self, X, **kwargs: fitted.append(X) or fit(self, X, **kwargs)
        )
        X = series(n)
        model = detector(windows_detector(max_iter=1), **options).fit(X)
        every = cut_windows(model._series(X, None).steps, SIZE).reshape(n - SIZE + 1, -1)
        voters = model.estimator_._voters(every)
        everyone = model.estimator_._training_samples.find(every) == 0  # held out of all members
        for member, voting in enumerate(voters):
            learnt = fitted[0][trained[0][member]]
            assert len(learnt) > 0
            assert not shares_a_step(every[voting | everyone], learnt).any()
        assert (voters.any(axis=0) | everyone).all()

    def test_a_unique_stretch_is_on_one_side_only(self):
        """A stretch in the held-out part changes thresholds, and nothing else."""
        X = series(400)
        model = detector(aggregation="last").fit(X)
        other = X.copy()
        other[-60:-40] += 3.0
        changed = detector(aggregation="last").fit(other)
        new = series(100, seed=1)
        np.testing.assert_array_equal(changed.score_samples(new), model.score_samples(new))
        assert changed.calibration_scores_[-1] > 2 * model.calibration_scores_[-1]
        far = X.copy()
        far[100:120] += 3.0  # in training
        assert not np.array_equal(detector(aggregation="last").fit(far).score_samples(new), model.score_samples(new))

    @pytest.mark.parametrize("size", [2, 5, 11])
    def test_short_series(self, size):
        X = series(7 * size - 5)
        model = detector(window_size=size).fit(X)
        assert len(model.calibration_scores_) == len(X)  # of folds
        assert model.estimator_._voters(cut_windows(X, size).reshape(-1, 3 * size)).any(axis=0).all()
        with pytest.raises(ValueError, match=f"use window_size={size} or less") as error:
            detector(window_size=size + 1).fit(X)
        assert f"{len(X)} steps in 1 group" in str(error.value)

    def test_nothing_is_held_out_of_all_members(self):
        model = detector(validation_fraction=0).fit(series())
        assert len(model.calibration_scores_) == 300
        np.testing.assert_array_equal(np.sort(-model.score_samples(series())), model.calibration_scores_)

    @pytest.mark.parametrize("estimator", [None, PCA(3), IsolationForest(random_state=0)], ids=str)
    def test_thresholds_of_short_series_are_corrected(self, estimator, monkeypatch):
        """Scores by what was trained on a half are too high; those of new steps are between them and known ones."""
        X, new = series(112), series(1000, seed=1)
        model = TimeSeriesOutlierDetector(estimator, window_size=16, random_state=0)
        expected = np.mean(-model.fit(X).score_samples(new))
        corrected = np.mean(model.calibration_scores_)
        monkeypatch.setattr("sk_autoencoder.estimators._windowed._weight_of_folds", lambda *args: 1.0)
        of_halves = np.mean(model.fit(X).calibration_scores_)
        assert expected < of_halves
        assert abs(corrected - expected) < 0.7 * abs(of_halves - expected)

    def test_few_steps_are_not_held_out_of_all_members(self):
        """A part of the series is not used for training only if it has five windows."""
        for n_steps, held_out in ((190, False), (220, True)):
            model = detector().fit(series(n_steps))
            assert (len(model.calibration_scores_) < n_steps) == held_out

    def test_short_series_of_other_detectors_are_fitted_for_each_fold(self):
        X = series(60)
        model = detector(PCA(3)).fit(X)
        assert len(model.calibration_scores_) == 60
        assert np.mean(model.calibration_scores_) > np.mean(-model.score_samples(X))

    def test_excluded_steps(self):
        X, exclude = series(400), np.zeros(400, dtype=bool)
        exclude[100:150] = True
        other = X.copy()
        other[100:150] += np.random.default_rng(1).normal(size=(50, 3)) * 9
        new = series(100, seed=1)
        model = detector().fit(X, exclude=exclude)
        changed = detector().fit(other, exclude=exclude)
        np.testing.assert_array_equal(changed.score_samples(new), model.score_samples(new))
        assert changed.offset_ == model.offset_
        assert (changed.predict(other)[100:150] == -1).all()
        assert not np.array_equal(detector().fit(other).score_samples(new), model.score_samples(new))

    def test_searches_cut_exclude(self):
        X, exclude = series(400), np.arange(400) < 20
        y = np.ones(400)
        y[::50] = -1
        search = GridSearchCV(
            detector(), {"step": [1]}, cv=TimeSeriesSplit(2, gap=SIZE), scoring=outlier_average_precision
        )
        search.fit(X, y, exclude=exclude)
        assert np.isfinite(search.best_score_)


def machines(n=240, n_machines=3):
    """Series of machines, one after the other, and their ids."""
    return np.concatenate([series(n, seed) for seed in range(n_machines)]), np.repeat(np.arange(n_machines), n)


class TestGroups:
    def test_windows_never_cross_a_border(self):
        X, ids = machines()
        model = detector(Recorder(n_estimators=5)).fit(X, groups=ids)
        steps = model._series(X, ids).steps
        whole = {window.tobytes() for own in range(3) for window in cut_windows(steps[ids == own], SIZE)}
        assert {window.tobytes() for window in model.estimator_.X_} <= whole
        scores = model.score_samples(X, groups=ids)
        alone = np.concatenate([model.score_samples(X[ids == own]) for own in range(3)])
        np.testing.assert_allclose(scores, alone, atol=1e-12)

    def test_interleaved_steps_are_taken_by_group(self):
        X, ids = machines()
        names = np.array(["pump", "fan", "valve"])[ids]
        order = np.argsort(np.tile(np.arange(240), 3), kind="stable")
        model, mixed = detector(), detector()
        model.fit(X, groups=names)
        mixed.fit(X[order], groups=names[order])
        for way in ("score_samples", "predict", "decision_function", "sensor_scores", "reconstruct"):
            expected = getattr(model, way)(X, groups=names)[order]
            np.testing.assert_array_equal(getattr(mixed, way)(X[order], groups=names[order]), expected)
        assert mixed.groups_.tolist() == ["fan", "pump", "valve"]

    @pytest.mark.parametrize("column", ["machine", 1, -3])
    def test_column(self, column):
        X, ids = machines()
        frame = pd.DataFrame({"a": X[:, 0], "machine": np.array(["x", "y", "z"])[ids], "b": X[:, 1], "c": X[:, 2]})
        expected = detector().fit(X, groups=ids).score_samples(X, groups=ids)
        model = detector(group_column=column).fit(frame)
        np.testing.assert_array_equal(model.score_samples(frame), expected)
        assert model.feature_names_in_.tolist() == ["a", "b", "c"]
        np.testing.assert_array_equal(model.score_samples(pl.from_pandas(frame)), expected)
        if column != "machine":
            array = np.column_stack([X[:, 0], ids, X[:, 1:]])
            np.testing.assert_array_equal(detector(group_column=column).fit(array).score_samples(array), expected)

    def test_column_in_a_search_of_a_pipeline(self):
        X, ids = machines()
        X[100:110, 0] += 3
        X[-30:-20, 1] += 3
        y = np.ones(len(X))
        y[100:110] = y[-30:-20] = -1
        order = np.argsort(np.tile(np.arange(240), 3), kind="stable")
        frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(machine=ids).iloc[order]
        pipeline = make_pipeline(FunctionTransformer(), detector(group_column="machine"))
        grid = {"timeseriesoutlierdetector__estimator__n_components": [2, 4]}
        scorer = make_scorer(average_precision_score, response_method="decision_function", pos_label=1)
        for scoring in (scorer, outlier_average_precision):
            search = GridSearchCV(
                pipeline, grid, cv=TimeSeriesSplit(2, gap=3 * SIZE), scoring=scoring, error_score="raise"
            )
            assert np.isfinite(search.fit(frame, y[order]).best_score_)
        assert np.isfinite(cross_val_score(pipeline, frame, y[order], cv=TimeSeriesSplit(2), scoring=scorer)).all()

    def test_routed(self):
        X, ids = machines()
        with sklearn.config_context(enable_metadata_routing=True):
            model = detector().set_fit_request(groups=True, exclude=True)
            model.set_predict_request(groups=True).set_decision_function_request(groups=True)
            pipeline = make_pipeline(FunctionTransformer(), model).fit(X, groups=ids)
            expected = detector().fit(X, groups=ids)
            np.testing.assert_array_equal(pipeline.predict(X, groups=ids), expected.predict(X, groups=ids))
            decisions = pipeline.decision_function(X, groups=ids)
            np.testing.assert_array_equal(decisions, expected.decision_function(X, groups=ids))

    def test_scaling_by_group(self):
        X, ids = machines()
        shifted = X * (1 + 9 * ids[:, None]) + 100 * ids[:, None]
        plain = detector().fit(X, groups=ids)
        model = detector(windows_detector(max_iter=100), group_scaling=True).fit(shifted, groups=ids)
        faulty = series(200, seed=1)
        faulty[100:120, 2] += 4
        given = faulty * 10 + 100
        assert (model.predict(given, groups=np.ones(200))[100:120] == -1).all()
        errors = np.square(model.reconstruct(shifted, groups=ids) - shifted)[ids == 1]
        assert (errors.mean(axis=0) < 0.1 * shifted[ids == 1].var(axis=0)).all()
        stream = model.stream(group=1)
        expected = clone(model).set_params(aggregation="last").fit(shifted, groups=ids)
        scores = expected.score_samples(given, groups=np.ones(200, dtype=int))[SIZE - 1 :]
        np.testing.assert_array_equal(stream.push(given).scores, scores)
        assert plain.n_features_in_ == 3
        with pytest.warns(UserWarning, match=r"groups \['new'\] were not in the training set") as caught:
            model.score_samples(given, groups=["new"] * 200)
        assert len(caught) == 1

    def test_errors(self):
        X, ids = machines()
        with pytest.raises(ValueError, match=r"Group 7 has 3 step\(s\), fewer than a window of 8"):
            detector().fit(X, groups=np.where(np.arange(len(X)) < 3, 7, ids))
        model = detector().fit(X, groups=ids)
        with pytest.raises(ValueError, match=r"X has 7 step\(s\), fewer than a window of 8"):
            model.predict(X[:7])
        with pytest.raises(ValueError, match="groups must have one id for each step: 720"):
            model.predict(X, groups=ids[1:])
        with pytest.raises(ValueError, match="groups must have one id for each step: 720"):
            model.predict(X, groups=np.column_stack([ids, ids]))
        with pytest.raises(ValueError, match="pass one of both"):
            detector(group_column=0).fit(X, groups=ids)
        with pytest.raises(ValueError, match="'m' is a name, but X has no column names"):
            detector(group_column="m").fit(X)
        with pytest.raises(ValueError, match="'m' is no column of X; its columns are"):
            detector(group_column="m").fit(pd.DataFrame(X, columns=list("abc")))
        with pytest.raises(ValueError, match="group_column=3 is no column"):
            detector(group_column=3).fit(X)


class TestFaults:
    def test_constant_sensor_that_moves(self):
        X = np.column_stack([series(400), np.zeros(400), np.full(400, 7.0)])
        model = TimeSeriesOutlierDetector(
            AutoencoderOutlierDetector(max_iter=30), window_size=SIZE, random_state=0
        ).fit(X)
        for sensor, value in ((3, 0.5), (4, 7.5)):
            new = np.column_stack([series(200, seed=1), np.zeros(200), np.full(200, 7.0)])
            new[100:120, sensor] = value
            assert (model.predict(new)[100:120] == -1).all()
            assert np.isfinite(model.score_samples(new)).all()
            assert (model.sensor_scores(new)[100:120].argmax(axis=1) == sensor).all()

    def test_faults_of_one_sensor_are_found_and_named(self):
        model = TimeSeriesOutlierDetector(AutoencoderOutlierDetector(max_iter=30), window_size=SIZE, random_state=0)
        model.fit(series(500))
        rng = np.random.default_rng(0)
        for sensor in range(3):
            for kind in ("level", "noise", "stuck"):
                new = series(300, seed=1)
                spread = new[:, sensor].std()
                part = new[150:190, sensor]
                faults = {
                    "level": part + 2 * spread,
                    "noise": part + 2 * spread * rng.normal(size=40),
                    "stuck": part[0],
                }
                new[150:190, sensor] = faults[kind]
                assert (model.predict(new)[150:190] == -1).mean() > 0.9
                assert model.sensor_scores(new)[150:190].mean(axis=0).argmax() == sensor, (sensor, kind)

    def test_changes_that_sensors_share_are_expected(self):
        rng = np.random.default_rng(0)
        load = np.repeat(rng.normal(size=200), 10)[:, None]
        X = load * [1.0, 2.0, -1.0] + 0.1 * rng.normal(size=(2000, 3))
        model = detector().fit(X[:1500])
        expected = model.sensor_scores(X[1500:]).mean(axis=0)
        steps = slice(1800, 1900)
        shared, alone = X.copy(), X.copy()
        shared[steps] *= 1.5
        alone[steps, 1] = X[1600:1700, 1]  # of another load
        scores = {
            name: model.sensor_scores(faulty[1500:])[300:400]
            for name, faulty in {"shared": shared, "alone": alone}.items()
        }
        assert (scores["shared"].mean(axis=0) < 3 * expected).all()
        assert scores["alone"].mean(axis=0).argmax() == 1
        assert scores["alone"][:, 1].mean() > 10 * expected[1]

    def test_counter(self):
        X = np.column_stack([series(200), np.cumsum(np.ones(200))])
        with pytest.warns(UserWarning, match=r"sensors \['n'\] only rise or only fall"):
            detector().fit(pd.DataFrame(X, columns=["a", "b", "c", "n"]))


class TestIntervals:
    def faulty(self):
        X = series(300, seed=1)
        X[100:140, 2] += 9
        X[200, 0] += 9
        return X

    def test_table(self):
        model, X = detector().fit(series(600)), self.faulty()
        found = model.anomalous_intervals(X)
        scores = -model.score_samples(X)
        inside = np.zeros(300, dtype=bool)
        for row in found.itertuples():
            inside[row.start : row.end + 1] = True
            assert row.duration == row.end - row.start + 1
            assert row.kind == ("point" if row.duration <= 2 * SIZE - 1 else "interval")
            assert row.peak == scores[row.start : row.end + 1].max()
            assert 0 < row.p_value <= 1
            assert sum(row.shares) == pytest.approx(1)
            assert list(row.shares) == sorted(row.shares, reverse=True)
        np.testing.assert_array_equal(inside, model.predict(X) == -1)
        largest = found.sort_values("peak").iloc[-1]
        assert largest.sensors[0] == 2
        assert largest.start <= 100 < 139 <= largest.end
        assert largest.p_value == found.p_value.min()

    def test_smallest_p_value(self):
        model = detector().fit(series(600))
        found = model.anomalous_intervals(series(300, seed=1) + 100)
        assert found.p_value.tolist() == [1 / (1 + len(model._block_peaks))] * len(found)

    def test_without_pandas(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(ImportError, match="anomalous_intervals requires pandas"):
            interval_table([])

    def test_group_without_a_used_step_has_no_scale_of_its_own(self):
        X, ids = np.r_[series(600), 100 + series(200, seed=1)], np.repeat([0, 1], [600, 200])
        message = r"The groups \[1\] were not in the training set"
        with pytest.warns(UserWarning, match=message):
            model = detector(group_scaling=True).fit(X, groups=ids, exclude=ids == 1)
        assert model._scales.ids == [0]
        with pytest.warns(UserWarning, match=message):
            assert np.isfinite(model.score_samples(X, groups=ids)).all()

    @pytest.mark.parametrize("options", [*VIEWS.values(), {"aggregation": "last", "score_step": 5}])
    def test_shares_are_those_of_sensor_scores(self, options):
        model, X = detector(**options).fit(series(600)), self.faulty()
        found, sensors = model.anomalous_intervals(X), model.sensor_scores(X)
        assert len(found) > 0
        for row in found.itertuples():
            mean = sensors[row.start : row.end + 1].mean(axis=0)
            np.testing.assert_allclose(row.shares, np.sort(mean)[::-1] / mean.sum(), rtol=1e-12)
            assert list(row.sensors) == np.argsort(-mean).tolist()

    def test_debounce(self):
        model, X = detector().fit(series(600)), self.faulty()
        labels = model.predict(X)
        found = model.anomalous_intervals(X, min_steps=5, within=10)
        assert len(found) < len(model.anomalous_intervals(X)) or (np.diff(labels) != 0).sum() < 6
        for row in found.itertuples():
            assert labels[row.start] == labels[row.end] == -1
            assert (labels[row.start : row.end + 1] == -1).sum() >= 5
        assert (found.start.to_numpy()[1:] > found.end.to_numpy()[:-1]).all()
        with pytest.raises(ValueError, match="min_steps=3 must be at least 1 and at most within=2"):
            model.anomalous_intervals(X, min_steps=3, within=2)

    def test_labels_of_index_and_groups(self):
        X, ids = machines()
        times = pd.date_range("2026-01-01", periods=len(X), freq="min")
        frame = pd.DataFrame(X, columns=["a", "b", "c"], index=times)
        model = detector().fit(frame, groups=ids)
        frame.iloc[300:340, 1] += 9
        found = model.anomalous_intervals(frame, groups=ids).sort_values("peak").iloc[-1]
        assert times[301 - SIZE] <= found.start <= times[300]
        assert found.group == 1
        assert found.sensors[0] == "b"

    def test_sensors_do_not_depend_on_the_detector(self):
        X = self.faulty()
        model = detector(IsolationForest(n_estimators=20, random_state=0)).fit(series(600))
        found = model.anomalous_intervals(X)
        assert found.loc[found.peak.idxmax(), "sensors"][0] == 2
        np.testing.assert_array_equal(model.sensor_scores(X), detector().fit(series(600)).sensor_scores(X))

    def test_without_outliers(self):
        model = detector().fit(series(600))
        model.offset_ = -np.inf
        assert len(model.anomalous_intervals(self.faulty())) == 0


class TestParameters:
    def test_automatic_size(self):
        slow = np.sin(2 * np.pi * np.arange(600) / 60)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(600, 2))
        assert TimeSeriesOutlierDetector(windows_detector()).fit(slow).window_sizes_ == (60,)
        assert TimeSeriesOutlierDetector(windows_detector()).fit(series(600)).window_sizes_ == (48,)
        noise = np.random.default_rng(0).normal(size=(600, 2))
        assert TimeSeriesOutlierDetector(windows_detector()).fit(noise).window_sizes_ == (48,)
        assert TimeSeriesOutlierDetector(windows_detector()).fit(noise[:20]).window_sizes_ == (2,)
        assert TimeSeriesOutlierDetector(windows_detector()).fit(noise[:15]).window_sizes_ == (1,)

    @pytest.mark.parametrize("network", ["convolutional", Recurrent(cell="gru"), "dense"])
    def test_shape_of_networks(self, network):
        model = detector(windows_detector(network=network, hidden_layer_sizes="auto", max_iter=1, n_estimators=2))
        fitted = model.fit(series(200)).estimator_
        assert fitted.network.sample_shape == (3, SIZE)
        given = Convolutional(sample_shape=(1, 3 * SIZE))
        model.set_params(estimator__network=given)
        assert model.fit(series(200)).estimator_.network.sample_shape == (1, 3 * SIZE)

    def test_nested(self):
        model = detector().set_params(estimator__max_iter=7, estimator__outlier_score="mahalanobis")
        assert model.get_params()["estimator__max_iter"] == 7
        assert clone(model).fit(series(200)).estimator_.n_iter_ == 7
        with pytest.raises(ValueError, match="estimator=None"):
            TimeSeriesOutlierDetector().set_params(estimator__max_iter=7)

    def test_max_samples(self):
        """The windows that are drawn lie in all parts of the series."""
        X = np.arange(1000.0)[:, None] + np.zeros(3)
        X[::2] -= 4  # no counter
        model = detector(Recorder(), max_samples=40, validation_fraction=0).fit(X)
        starts = np.round(model.estimator_.X_[:, 0] * model._scales.spreads[0, 0] + model._scales.centers[0, 0]).astype(
            int
        )
        starts += np.where(starts % 2 == 0, 4, 0)
        ends = np.linspace(0, 1000 - SIZE + 1, 41).astype(int)
        assert ((ends[:-1] <= starts) & (starts < ends[1:])).all()
        assert len(np.unique(np.diff(starts))) > 10  # at random

    def test_random_state(self):
        X, new = series(200), series(100, seed=1)
        first, second = (detector(max_samples=60).fit(X).score_samples(new) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(
            detector(random_state=1).fit(X).score_samples(new), detector().fit(X).score_samples(new)
        )
        seeded = detector(windows_detector(random_state=3), random_state=1).fit(X)
        np.testing.assert_array_equal(
            seeded.score_samples(new), detector(windows_detector(random_state=3)).fit(X).score_samples(new)
        )

    def test_stored(self):
        X, new = series(200), series(100, seed=1)
        model = detector(window_size=(8, 4), group_scaling=True).fit(X, groups=np.arange(200) // 100)
        data = skops.io.dumps(model)
        for loaded in (pickle.loads(pickle.dumps(model)), skops.io.loads(data, trusted=trusted_types())):
            for way in ("score_samples", "sensor_scores", "predict"):
                expected = getattr(model, way)(new, groups=np.zeros(100, dtype=int))
                np.testing.assert_array_equal(getattr(loaded, way)(new, groups=np.zeros(100, dtype=int)), expected)

    @pytest.mark.parametrize("estimator", [IsolationForest(random_state=0), PCA(5)])
    def test_other_detectors(self, estimator):
        X, new = series(400), series(200, seed=1)
        new[100:120, 2] += 9
        model = detector(estimator).fit(X)
        scores = model.score_samples(new)
        assert scores[100:120].mean() < scores[:80].mean()
        for first, end in ((0, 150), (60, 200)):
            inner = slice(SIZE - 1, end - first - SIZE + 1)
            np.testing.assert_allclose(model.score_samples(new[first:end])[inner], scores[first:end][inner], atol=1e-6)
        assert model.sensor_scores(new)[100:120].mean(axis=0).argmax() == 2
        assert not hasattr(model, "reconstruct")
        with pytest.raises(AttributeError, match="has no 'reconstruct'"):
            model.reconstruct(new)

    @pytest.mark.parametrize("aggregation", ["mean", "last"])
    def test_recalibrate(self, aggregation):
        X, new = series(400), series(300, seed=1) + np.array([0, 0, 3.0])
        without_scales = windows_detector(outlier_score=ReconstructionError(None))
        model = detector(without_scales, aggregation=aggregation, contamination="conformal").fit(X)
        assert (model.predict(new) == -1).mean() > 0.5
        scores = model.score_samples(new)
        assert model.recalibrate(new) is model
        np.testing.assert_array_equal(model.score_samples(new), scores)
        assert (model.predict(new) == -1).mean() < 0.1
        model.set_params(contamination=0.2).recalibrate(new)
        n_ties = SIZE if aggregation == "last" else 1  # the first steps have the score of the first window
        assert (model.predict(new) == -1).sum() == pytest.approx(60, abs=n_ties)

    def test_auto_takes_three_percent(self):
        assert detector()._threshold().get_params() == {"alpha": 0.03}
        assert detector(contamination=Auto(0.1))._threshold().get_params() == {"alpha": 0.1}

    def test_recalibrate_scales_of_errors(self):
        """A sensor with another level after maintenance does not hide faults of another one."""
        moved = np.array([0, 0, 3.0])
        new, y = series(400, seed=10) + moved, np.zeros(400)
        new[200:230, 0] += 0.5 * np.random.default_rng(0).normal(size=30)
        y[200:230] = 1
        model = TimeSeriesOutlierDetector(window_size=SIZE, random_state=0).fit(series(600))
        before = average_precision_score(y, -model.score_samples(new))
        model.recalibrate(series(400, seed=1) + moved)
        assert average_precision_score(y, -model.score_samples(new)) > before + 0.1
        labels = model.predict(new)
        assert (labels[:200] == -1).mean() < 0.1
        assert (labels[200:230] == -1).mean() > 0.8

    def test_recalibrate_scales_of_groups(self):
        X, ids = machines()
        model = detector(group_scaling=True).fit(X, groups=ids)
        moved = series(300, seed=1) + np.array([0, 0, 30.0])
        model.recalibrate(moved, groups=np.ones(300, dtype=int))
        assert (model.predict(moved, groups=np.ones(300, dtype=int)) == -1).mean() < 0.2
        assert (model.predict(moved, groups=np.zeros(300, dtype=int)) == -1).all()

    def test_missing_values(self):
        X = pd.DataFrame(series(), columns=["a", "b", "c"])
        model = detector().fit(X)
        X.iloc[17, 1] = np.nan
        for method in (detector().fit, model.predict, model.recalibrate):
            with pytest.raises(ValueError, match="contains NaN at step 17 of sensor 'b'"):
                method(X)
        X.iloc[17, 1] = np.inf
        with pytest.raises(ValueError, match="contains infinity at step 17 of sensor 'b'"):
            model.predict(X)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"window_size": ()}, r"window_size=\(\) must be different positive integers"),
            ({"window_size": (4, 4)}, "must be different positive integers"),
            ({"window_size": (4, 0)}, "must be different positive integers"),
            ({"window_size": 0}, "window_size"),
            ({"window_scaling": ("none", "all")}, "must contain each of"),
            ({"window_size": 1, "window_scaling": "standard"}, "removes everything from windows of 1 step"),
            ({"score_step": 9}, "score_step=9 leaves steps between windows of 8 steps"),
            ({"contamination": "none"}, "contamination"),
            ({"window_size": 43}, "use window_size=42 or less"),
        ],
    )
    def test_wrong(self, options, message):
        with pytest.raises(ValueError, match=message):
            detector(**options).fit(series(290))

    def test_after_an_error(self):
        model = detector().fit(series())
        with pytest.raises(ValueError, match="use window_size"):
            model.set_params(window_size=100).fit(series())
        with pytest.raises(NotFittedError):
            model.predict(series())

    def test_wrong_exclude(self):
        for exclude in (np.zeros(5, dtype=bool), np.zeros(300)):
            with pytest.raises(ValueError, match="exclude must have one boolean for each of the 300 steps"):
                detector().fit(series(), exclude=exclude)
        with pytest.raises(ValueError, match="too few to hold any of them out"):
            detector().fit(series(), exclude=np.ones(300, dtype=bool))

    def test_parts_are_held_out_in_several_blocks_of_long_series(self):
        assert HELD_OUT < 0
        model = detector(window_size=4).fit(series(2000))
        assert len(model.calibration_scores_) > 0.15 * 2000


class TestHardCases:
    def test_group_without_training_windows_has_its_own_scale(self):
        ids = np.repeat([f"m{i}" for i in range(10)], 100)
        X = series(1000)[:, :2] + np.repeat(np.arange(10) * 10.0, 100)[:, None]
        faulty = X.copy()
        faulty[50:70, 1] += 3
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = TimeSeriesOutlierDetector(window_size=10, group_scaling=True, random_state=0).fit(X, groups=ids)
            assert (model.predict(faulty, groups=ids)[52:68] == -1).all()

    @pytest.mark.parametrize("options", [{"validation_fraction": 0.0}, {"contamination": 0.05}])
    def test_steps_near_excluded_ones_have_no_effect_on_thresholds(self, options):
        exclude = np.zeros(600, dtype=bool)
        exclude[300:310] = True
        clean, faulty = series(600), series(600)
        faulty[300:310] += 50
        offsets = [detector(**options).fit(X, exclude=exclude).offset_ for X in (clean, faulty)]
        assert offsets[0] == offsets[1]

    def test_automatic_size_fits_groups_and_excluded_steps(self):
        X = series(1000)
        model = TimeSeriesOutlierDetector(windows_detector()).fit(X, groups=np.arange(1000) // 50)
        assert 2 <= model.window_sizes_[0] < 48
        exclude = np.arange(1000) >= 250
        assert TimeSeriesOutlierDetector(windows_detector()).fit(X, exclude=exclude).window_sizes_[0] <= 250 // 8

    def test_automatic_size_ignores_excluded_steps(self):
        X = 0.1 * np.random.default_rng(0).normal(size=(3000, 2))
        X[1000:2500] += 10 * np.sin(np.arange(1500) / 16)[:, None]
        exclude = np.zeros(3000, dtype=bool)
        exclude[1000:2500] = True
        assert TimeSeriesOutlierDetector(windows_detector()).fit(X, exclude=exclude).window_sizes_ == (48,)

    def test_thresholds_of_a_single_member_are_not_in_sample(self):
        rng = np.random.default_rng(0)
        X, new = rng.normal(size=(500, 2)), rng.normal(size=(2000, 2))
        single = windows_detector(n_estimators=1, n_components=6, max_iter=100, corruption=None)
        model = detector(single, validation_fraction=0.0).fit(X)
        assert (model.predict(new) == -1).mean() < 0.1

    @pytest.mark.parametrize("options", [{"step": 17}, {"max_samples": 1}, {"max_samples": 3}])
    def test_too_few_training_windows(self, options):
        exclude = np.zeros(1000, dtype=bool)
        exclude[::17] = "step" in options
        with pytest.raises(ValueError, match="training windows of 10 steps, too few for each of"):
            detector(window_size=10, **options).fit(series(1000), exclude=exclude)

    def test_stream_refuses_other_sensors(self):
        frame = pd.DataFrame(series(), columns=["a", "b", "c"])
        stream = detector().fit(frame).stream()
        stream.push(frame[:5])
        with pytest.raises(ValueError, match=r"Steps have the sensors \['b', 'a', 'c'\]"):
            stream.push(frame[["b", "a", "c"]])

    def test_counter_with_a_reset_in_excluded_steps(self):
        X = series(400)
        X[:, 0] = np.r_[np.arange(200.0), np.arange(200.0)]
        exclude = np.zeros(400, dtype=bool)
        exclude[200] = True
        with pytest.warns(UserWarning, match=r"The sensors \[0\] only rise"):
            detector().fit(X, exclude=exclude)

    def test_verbose_of_other_detectors(self, capsys):
        model = TimeSeriesOutlierDetector(IsolationForest(n_estimators=2), window_size=SIZE, verbose=1).fit(series())
        assert model.estimator_.verbose == 1

    def test_group_column_in_lists(self):
        X = np.column_stack([series(), np.zeros(300)])
        expected = detector(group_column=3).fit(X).score_samples(X)
        np.testing.assert_array_equal(detector(group_column=3).fit(X.tolist()).score_samples(X.tolist()), expected)

    def test_interval_that_opens_by_outliers_of_the_one_before(self):
        assert find_intervals(np.array([1, 0, 1, 0, 0, 1, 0, 0, 0], bool), 2, 4) == [(0, 5)]
