"""The benchmark of one class of images, with quick detectors."""

import json

import numpy as np
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


def test_peers_show_their_best_setting_and_nothing_runs_twice(tmp_path, capsys):
    out = tmp_path / "results.jsonl"
    arguments = ["--sets", "digits", "--detectors", "norm,knn", "--out", str(out)]
    one_class.main(arguments)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 10 * (1 + 3)
    best = max(np.mean([row["auroc"] for row in rows if row["setting"] == f"k={k}"]) for k in (1, 5, 10))
    table = capsys.readouterr().out
    assert f"{best:.1f} (" in table
    one_class.main(arguments)
    assert capsys.readouterr().out == table
    assert len(out.read_text().splitlines()) == len(rows)
