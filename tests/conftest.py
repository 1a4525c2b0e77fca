"""Data that most tests share."""

import numpy as np
import pytest


@pytest.fixture
def rows():
    """Rows of five dependent columns with different units, (120, 5)."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(120, 2))
    return (hidden @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(120, 5))) * [1, 10, 0.1, 3, 1] + [0, 50, 2, 0, -4]
