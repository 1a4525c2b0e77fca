"""Results files of benchmarks, and intervals."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from benchmarks.cells import half_width, store, stored


def test_cells_are_read_again(tmp_path):
    path, names = tmp_path / "cells.jsonl", ("set", "draw")
    known = stored(path, names)
    assert known == {}
    store(path, known, names, ("letter", 0), {"accuracy": 0.5})
    store(path, known, names, ("letter", 1), {"accuracy": 0.75})
    assert stored(path, names) == known
    assert known["letter", 1] == {"set": "letter", "draw": 1, "accuracy": 0.75}
    assert len(path.read_text().splitlines()) == 2


def test_interval():
    values = np.array([1.0, 2.0, 4.0, 4.5])
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert half_width(values) == pytest.approx((high - low) / 2)
    assert np.isnan(half_width(values[:1]))
