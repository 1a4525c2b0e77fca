"""Terms for samples without labels."""

import pytest
import torch
from torch import Tensor

from sk_autoencoder.networks import Dense, NetworkShape
from sk_autoencoder.objectives import Batch, PseudoLabel, VirtualAdversarial
from sk_autoencoder.objectives.consistency import PREDICTED, Head, divergence, neglect

GENERATORS = [torch.Generator().manual_seed(0)]


@pytest.fixture
def network():
    """A network that only holds the generators and the running mean."""
    shape = NetworkShape(3, 1, 1, (), "identity", "identity", dtype="float64")
    built = Dense().build(shape, GENERATORS)
    built.noise = GENERATORS
    built.register_buffer(PREDICTED, torch.full((1, 1, 2), 0.5, dtype=torch.float64))
    return built


WEIGHT = torch.tensor([[3.0, -3.0], [4.0, -4.0], [0.0, 0.0]], dtype=torch.float64)


def logits(rows: Tensor) -> Tensor:
    """Two classes, whose log odds grow in the direction (.6, .8, 0)."""
    return rows @ WEIGHT


def rows_of(*points):
    return torch.tensor([points], dtype=torch.float64)


def test_samples_are_moved_in_the_direction_that_changes_the_prediction_most(network):
    rows = rows_of([0.1, 0.0, 5.0], [0.1, 0.0, 7.0])  # their distance is 2
    head = Head(logits, torch.full((1, 2), 0.5, dtype=torch.float64))
    found = VirtualAdversarial(epsilon=0.05, entropy=0)(network, Batch(rows, rows), head)
    step = 0.1 * torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    expected = torch.stack([divergence(logits(rows), logits(rows + sign * step), head) for sign in (1, -1)])
    gaps = (expected - found).abs().amin(dim=0)
    assert gaps.max() < 1e-3 * expected.max()


@pytest.mark.parametrize("place", [0.1, 100.0], ids=["unsure", "confident"])  # at 100, squared gradients underflow
def test_samples_are_moved_by_epsilon(network, place):
    rows, seen = rows_of([place, 0.0, 5.0], [place, 0.0, 7.0]), []

    def recorded(moved):
        seen.append(moved.detach())
        return logits(moved)

    VirtualAdversarial(epsilon=0.05)(network, Batch(rows, rows), Head(recorded, torch.full((1, 2), 0.5)))
    lengths = (torch.stack(seen) - rows).norm(dim=-1)  # of the sample itself, the trial and the last movement
    expected = torch.tensor([0.0, 0.01, 0.1], dtype=torch.float64)[:, None, None].expand_as(lengths)
    torch.testing.assert_close(lengths, expected)


def test_the_labelled_samples_of_a_step_count_in_the_mean(network):
    rows, labelled = rows_of([0.0, 0.0, 5.0], [0.0, 0.0, 7.0]), rows_of([0.1, 0.0, 9.0])
    head = Head(logits, torch.full((1, 2), 0.5, dtype=torch.float64))
    term = VirtualAdversarial(epsilon=0.05, entropy=0)
    alone = term(network, Batch(rows, rows), head)
    both = term(network, Batch(rows, rows, labelled=Batch(labelled, labelled)), head)
    assert (both > 1.5 * alone).all()


def test_the_entropy_is_added_until_the_last_steps(network):
    # So near to each other that samples are hardly moved; the log odds are 2.
    rows, labelled = rows_of([1 / 3, 0.0, 0.0], [1 / 3, 0.0, 1e-6]), rows_of([1 / 3, 0.0, 2e-6])
    batch, shares = Batch(rows, rows, labelled=Batch(labelled, labelled)), torch.full((1, 2), 0.5, dtype=torch.float64)
    p = torch.sigmoid(torch.tensor(2.0, dtype=torch.float64))
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    for tuned, weight in ((False, 2.0), (True, 0.0)):
        found = VirtualAdversarial(epsilon=0.05, entropy=2.0)(network, batch, Head(logits, shares, tuned))
        torch.testing.assert_close(found, (weight * entropy).expand(1, 2), rtol=0, atol=1e-5)
    # Not if all samples have labels, nor in regression.
    found = VirtualAdversarial(epsilon=0.05, entropy=2.0)(network, Batch(rows, rows), Head(logits, shares))
    assert found.max() < 1e-5
    numbers = Head(lambda rows: rows[..., :1], None)
    assert VirtualAdversarial(epsilon=0.05, entropy=2.0)(network, batch, numbers).max() < 1e-5


def test_pseudo_labels_are_confident_predictions_without_corruption(network):
    clean, noisy = rows_of([1.0, 0.0, 0.0], [0.01, 0.0, 0.0]), rows_of([-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0])
    head = Head(logits, torch.full((1, 2), 0.5, dtype=torch.float64))
    found = PseudoLabel(threshold=0.95)(network, Batch(noisy, clean, uncorrupted=clean), head)
    torch.testing.assert_close(found[0, 0] - found[0, 1], -logits(noisy)[0, 0].log_softmax(dim=-1)[0])


def test_a_class_that_is_hardly_predicted_is_penalized(network):
    head = Head(logits, torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    one_class = torch.tensor([[[5.0, 0.0], [6.0, 0.0]]], dtype=torch.float64)
    assert neglect(network, one_class, head).item() == 0  # the running mean is still balanced
    for _ in range(30):
        penalty = neglect(network, one_class, head)
    assert penalty.shape == (1, 1)
    torch.testing.assert_close(penalty[0, 0], -5 * 0.5 * one_class.softmax(dim=-1)[0, :, 1].mean().log())
    assert neglect(network, one_class, Head(logits, None)) == 0


def test_numbers_are_compared_by_their_squares():
    one, other = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[1.5], [0.0]]])
    assert divergence(one, other, Head(logits, None)).tolist() == [[0.25, 4.0]]
