"""The benchmark of one class of images, with quick detectors."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import one_class


def test_half_of_a_class_trains_and_no_sample_twice():
    for digit, train, scored, y in one_class.tasks("digits", None, 0):
        assert len(train) + len(scored) == 1797
        assert abs(len(train) - (y == 0).sum()) <= 1, digit
        assert len(np.unique(np.r_[train, scored], axis=0)) == 1797


@pytest.mark.parametrize(("draw", "part"), [(0, "test"), (1000, "train")])
def test_development_draws_score_training_images(draw, part, tmp_path):
    (tmp_path / "images").mkdir()
    images = {"train": np.full((200, 28, 28), 255, np.uint8), "test": np.zeros((200, 28, 28), np.uint8)}
    labels = (np.arange(200) % 10).astype(np.int8)
    arrays = {f"X_{name}": rows for name, rows in images.items()} | {"y_train": labels, "y_test": labels}
    np.savez(tmp_path / "images" / "mnist.npz", **arrays)
    for digit, train, scored, y in one_class.tasks("mnist", tmp_path, draw):
        assert len(train) == 20
        assert (scored == (part == "train")).all()
        assert (y == 0).sum() == (20 if part == "test" else 0), digit


@pytest.mark.parametrize(("draw", "n_trained", "n_scored"), [(0, 8, 6), (1000, 6, 4)])
def test_heart_beats(draw, n_trained, n_scored, tmp_path):
    (tmp_path / "series").mkdir()
    X = np.arange(140 * 10, dtype=np.float32).reshape(10, 140)
    y = np.array([1] * 8 + [2] * 2, dtype=np.int8)
    np.savez(tmp_path / "series" / "ecg5000.npz", X_train=X, y_train=y, X_test=-X[4:], y_test=y[4:])
    [(_, train, scored, labels)] = one_class.tasks("ecg5000", tmp_path, draw)
    assert train.shape == (n_trained, 140)
    assert scored.shape == (n_scored, 140)
    assert labels.sum() == 2
    assert len(np.unique(np.r_[train, scored], axis=0)) == n_trained + n_scored


def test_differences_are_those_of_the_classes():
    rows = [
        {
            "set": "digits",
            "draw": 0,
            "class": digit,
            "detector": detector,
            "setting": setting,
            "auroc": auroc,
            "seconds": 1,
        }
        for digit in range(4)
        for detector, setting, auroc in [("shared scale", "", 98 + digit % 2), ("knn", "k=1", 97), ("knn", "k=5", 90)]
    ]
    assert "+1.50 ± 0.92 (k=1)" in one_class.differences(pd.DataFrame(rows))


def test_peers_show_their_best_setting_and_nothing_runs_twice(tmp_path, capsys):
    out = tmp_path / "results.jsonl"
    arguments = ["--sets", "digits", "--detectors", "norm,knn", "--out", str(out)]
    one_class.main(arguments)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 10 * (1 + 3)
    best = max(np.mean([row["auroc"] for row in rows if row["setting"] == f"k={k}"]) for k in (1, 5, 10))
    table = capsys.readouterr().out
    assert f"{best:.2f} (" in table
    one_class.main(arguments)
    assert capsys.readouterr().out == table
    assert len(out.read_text().splitlines()) == len(rows)
