"""What enters a network: cells inside the bounds as they are, others by a logarithm."""

import numpy as np
import torch

from sk_autoencoder.networks.bounds import Bounds, InputBounds

LIMITS = InputBounds(Bounds(np.array([-1.0, 0.0]), np.array([1.0, 3.0]), np.array([1.0, 0.5])), torch.float64)


def test_inside_nothing_changes():
    rows = torch.tensor([[-1.0, 0.0], [1.0, 3.0], [0.1, 0.3]], dtype=torch.float64)
    assert LIMITS.needed(rows) is rows
    assert torch.equal(LIMITS(rows), rows)


def test_beyond_it_grows_by_the_logarithm():
    rows = torch.tensor([[2.0, 3.5], [-1.0 - 1e6, -1.0], [0.5, 2.0]], dtype=torch.float64)
    found = LIMITS(rows)
    expected = [[1 + np.log(2), 3 + 0.5 * np.log(2)], [-1 - np.log1p(1e6), -0.5 * np.log(3)], [0.5, 2.0]]
    np.testing.assert_allclose(found, expected)
    assert torch.equal(LIMITS.needed(rows), found)


def test_order_is_kept():
    cells = torch.linspace(-30, 30, 1001, dtype=torch.float64)[:, None].expand(-1, 2)
    assert (LIMITS(cells).diff(dim=0) > 0).all()
    assert (LIMITS(cells).diff(dim=0) <= cells.diff(dim=0) + 1e-12).all()


def test_many_cells_and_few():
    """Pieces, and rests of vector registers, make no difference; rows are only changed if told so."""
    bounds = InputBounds(Bounds(-np.arange(1.0, 6.0), np.arange(1.0, 6.0), np.arange(1.0, 6.0) / 4), torch.float32)
    rng = np.random.default_rng(0)
    for share in (1e-4, 0.5):
        rows = torch.from_numpy(
            np.where(rng.random((120_000, 5)) < share, 9.0, 0.9) * rng.choice([-1, 1], (120_000, 5))
        )
        rows = rows.float()
        kept, found = rows.clone(), bounds.needed(rows)
        assert torch.equal(rows, kept)
        torch.testing.assert_close(found, bounds(rows), rtol=1e-6, atol=0)
        assert torch.equal(bounds.needed(rows[7:9])[1], found[8])
        assert torch.equal(bounds.needed(rows, in_place=True), found)
        assert torch.equal(rows, found)
