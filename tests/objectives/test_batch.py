"""Losses are reduced over observed values and with the weights of the samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sk_autoencoder.networks.base import refined
from sk_autoencoder.objectives import Batch

N_MEMBERS, N_SAMPLES, N_FEATURES = 2, 5, 3


@pytest.fixture(params=["plain", "gaps", "weights", "both"])
def batch(request):
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(N_MEMBERS, N_SAMPLES, N_FEATURES, generator=generator, dtype=torch.float64)
    observed = torch.rand(clean.shape, generator=generator) < 0.6
    observed[0, 1] = False  # a sample without observed values
    weight = torch.rand(N_MEMBERS, N_SAMPLES, generator=generator, dtype=torch.float64)
    return Batch(
        clean + 1,
        clean,
        observed=observed if request.param in ("gaps", "both") else None,
        weight=weight if request.param in ("weights", "both") else None,
    )


@pytest.fixture
def error(batch):
    return torch.rand(batch.clean.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_hand(batch, error):
    """Loss of each sample and of each member, value by value."""
    samples = np.zeros((N_MEMBERS, N_SAMPLES))
    for member, sample in np.ndindex(samples.shape):
        known = range(N_FEATURES) if batch.observed is None else np.flatnonzero(batch.observed[member, sample])
        samples[member, sample] = np.mean([error[member, sample, j] for j in known]) if len(known) else 0.0
    weight = None if batch.weight is None else batch.weight.numpy()
    return samples, np.average(samples, axis=1, weights=weight)


def test_parts_keep_what_is_known_of_their_samples(batch):
    labels = torch.arange(2 * N_MEMBERS * N_SAMPLES).view(N_MEMBERS, N_SAMPLES, 2)
    batch = replace(batch, labels=labels)
    parts = list(batch.split(2))
    assert [len(part) for part in parts] == [2, 2, 1]
    index = torch.tensor([[4, 0], [1, 3]])
    for name in ("corrupted", "clean", "observed", "weight", "labels"):
        whole = getattr(batch, name)
        if whole is None:
            assert all(getattr(part, name) is None for part in parts)
        else:
            assert torch.equal(torch.cat([getattr(part, name) for part in parts], dim=1), whole)
            chosen = torch.stack([own[places] for own, places in zip(whole, index, strict=True)])
            assert torch.equal(getattr(batch.gather(index), name), chosen)


class Halved(torch.nn.Module):
    """Each feature is reconstructed as half of the first input."""

    def forward(self, rows):
        assert rows.shape[-1] == N_FEATURES + 1
        return rows[..., :1].expand(*rows.shape[:-1], N_FEATURES) / 2


def test_missing_inputs_become_their_reconstruction(batch):
    seen = torch.cat([batch.corrupted, torch.full_like(batch.clean[..., :1], 7.0)], dim=-1)
    observed = torch.ones_like(batch.clean, dtype=torch.bool) if batch.observed is None else batch.observed
    found = refined(Halved(), seen, observed)
    assert torch.equal(found[..., :N_FEATURES][observed], batch.corrupted[observed])
    first = torch.where(observed, batch.corrupted, batch.corrupted[..., :1] / 2)[..., :1]
    expected = (first / 2).expand_as(batch.corrupted)
    assert torch.equal(found[..., :N_FEATURES][~observed], expected[~observed])
    assert torch.equal(found[..., N_FEATURES:], seen[..., N_FEATURES:])


def test_means(batch, error):
    samples, members = by_hand(batch, error)
    np.testing.assert_allclose(batch.over_features(error), samples)
    np.testing.assert_allclose(batch.over_samples(torch.tensor(samples)), members)
    np.testing.assert_allclose(batch.over_all(error), members)


def test_what_is_missing_has_no_effect_even_if_it_is_nan(batch, error):
    if batch.observed is not None:
        hidden = torch.where(batch.observed, error, torch.nan)
        torch.testing.assert_close(batch.over_all(hidden), batch.over_all(error), rtol=0, atol=0)


def test_shares_are_the_derivative_of_the_mean(batch, error):
    error.requires_grad_()
    [expected] = torch.autograd.grad(batch.over_all(error).sum(), error)
    shares = torch.as_tensor(batch.shares(error), dtype=error.dtype).expand(error.shape)
    torch.testing.assert_close(shares, expected)


def test_selection_keeps_samples_together(batch):
    order = torch.tensor([[4, 0], [2, 3]])
    chosen = batch.gather(order)
    assert len(chosen) == 2
    assert [len(part) for part in batch.split(2)] == [2, 2, 1]
    for name in ("corrupted", "clean", "observed", "weight"):
        whole = getattr(batch, name)
        if whole is None:
            assert getattr(chosen, name) is None
            continue
        for member in range(N_MEMBERS):
            torch.testing.assert_close(getattr(chosen, name)[member], whole[member][order[member]])
        joined = torch.cat([getattr(part, name) for part in batch.split(2)], dim=1)
        torch.testing.assert_close(joined, whole)


def test_selection_leaves_labelled_samples(batch):
    """They are others, and may be fewer."""
    few = Batch(torch.ones(N_MEMBERS, 1, 2), torch.ones(N_MEMBERS, 1, 2))
    assert replace(batch, labelled=few).gather(torch.tensor([[4, 0], [2, 3]])).labelled is few
