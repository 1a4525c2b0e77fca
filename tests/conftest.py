"""Data that most tests share."""

import numpy as np
import pytest
import torch


@pytest.fixture
def rows():
    """Rows of five dependent columns with different units, (120, 5)."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(120, 2))
    return (hidden @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(120, 5))) * [1, 10, 0.1, 3, 1] + [0, 50, 2, 0, -4]


@pytest.fixture(params=[1, 2, 4, 16])
def n_threads(request):
    """Give torch this many threads while a test runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
