"""Terms for samples without labels: predictions that hardly change when a sample is changed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sk_autoencoder._parts import Part
from sk_autoencoder._validation import reals
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives.base import Batch, follow, normal_like


class Head(NamedTuple):
    """What a term for unlabelled samples knows of the head."""

    predict: Callable[[Tensor], Tensor]  # inputs of the network (m, n, n_inputs) to outputs (m, n, n_outputs)
    shares: Tensor | None  # of the classes in the labels, (m, n_classes); None in regression
    tuned: bool = False  # whether the last steps have begun, in which the head learns from samples without corruption


class Consistency(Part):
    """Abstract base class: a term of the loss that uses predictions for samples whose labels are unknown.

    ``weight`` is the weight of the term, relative to the supervised loss.
    """

    weight: float

    @abstractmethod
    def __call__(self, network: Autoencoder, batch: Batch, head: Head) -> Tensor:
        """Return the term for each sample of a training batch, (n_members, n_samples)."""


def divergence(outputs: Tensor, others: Tensor, head: Head) -> Tensor:
    """Return how far predictions are from others, (m, n): Kullback-Leibler divergence, or squared error."""
    if head.shares is None:
        return (outputs - others).square().mean(dim=-1)
    logs = outputs.log_softmax(dim=-1)
    return (logs.exp() * (logs - others.log_softmax(dim=-1))).sum(dim=-1)


def neglect(network: Autoencoder, outputs: Tensor, head: Head) -> Tensor | float:
    """Return a penalty for classes whose mean prediction is below 70 % of their share in the labels, (m, 1).

    Without it, a class can be absorbed by a similar one: it is predicted near its labelled samples only. Smaller
    differences of shares are not penalized, since labels need not have the shares of the classes. A running mean over
    mini-batches decides which classes are penalized.
    """
    if head.shares is None:
        return 0.0
    mean = outputs.softmax(dim=-1).mean(dim=1, keepdim=True)
    follow(network, PREDICTED, mean)
    shares = head.shares[:, None]
    absorbed = network.get_buffer(PREDICTED) < _LEAST * shares
    surprise = -mean.clamp(min=_SMALLEST_SHARE).log()
    return _NEGLECT * torch.where(absorbed, shares * surprise, 0).sum(dim=-1)


PREDICTED = "head_predicted"  # running mean of the predicted probabilities, (n_members, 1, n_classes)
_SMALLEST_SHARE = 1e-6
_LEAST = 0.7  # fraction of the share of a class in the labels
_NEGLECT = 5.0  # weight of the penalty


class VirtualAdversarial(Consistency):
    """Virtual adversarial training: predictions hardly change in the direction in which they change most.

    Each sample is moved by a small vector, in the direction that changes its prediction most, which is found by one
    step of the power iteration. The term is the Kullback-Leibler divergence of the predictions before and after, for
    regression their squared difference.

    Parameters
    ----------
    epsilon : float, default=0.3
        Length of the vector, in units of the median distance of the samples of a mini-batch to their nearest neighbor
        in it. If it is too large, similar classes become one.
    weight : float, default=0.3
        Weight of the term, relative to the supervised loss.
    entropy : float, default=0.3
        Weight of the entropy of the predictions, relative to the divergence. It makes predictions confident, so that
        the boundaries between classes move to regions with few samples. In the last fifth of the steps it is not used,
        so that predictions are less overconfident; nor is it if all samples have labels, or in regression.

    Notes
    -----
    The labelled samples of a step are moved too. Otherwise, the network can learn a small region of its own around each
    of them, and predict another class everywhere else. For the same reason, mean predictions below 70 % of the share of
    a class in the labels are penalized.

    References
    ----------
    T. Miyato et al., "Virtual Adversarial Training", IEEE TPAMI 41, 2019.
    Y. Grandvalet and Y. Bengio, "Semi-supervised Learning by Entropy Minimization", NeurIPS 2004.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "epsilon": [reals(0, closed="neither")],
        "weight": [reals(0)],
        "entropy": [reals(0)],
    }

    def __init__(self, epsilon: float = 0.3, weight: float = 0.3, entropy: float = 0.3):
        self.epsilon = epsilon
        self.weight = weight
        self.entropy = entropy

    def __call__(self, network: Autoencoder, batch: Batch, head: Head) -> Tensor:
        """Return divergence and entropy of each sample, plus the labelled samples' divergence and ``neglect``."""
        rows = uncorrupted(batch)
        if batch.labelled is not None:
            rows = torch.cat([rows, uncorrupted(batch.labelled)], dim=1)
        length = self.epsilon * _spacing(rows)
        predicted = head.predict(rows)
        before = predicted.detach()
        direction = (_TRIAL * length * _normalized(normal_like(network, rows))).requires_grad_()
        change = divergence(before, head.predict(rows + direction), head).sum()
        (gradient,) = torch.autograd.grad(change, direction)
        after = head.predict(rows + length * _normalized(gradient))
        found, further = divergence(before, after, head).tensor_split([len(batch)], dim=1)
        if batch.labelled is not None:
            found = found + further.mean(dim=1, keepdim=True)
            if head.shares is not None and not head.tuned:
                found = found + self.entropy * _entropy(predicted[:, : len(batch)])
        return found + neglect(network, after[:, : len(batch)], head)


def _entropy(outputs: Tensor) -> Tensor:
    """Return the entropy of the predicted probabilities, (m, n)."""
    logs = outputs.log_softmax(dim=-1)
    return -(logs.exp() * logs).sum(dim=-1)


_TRIAL = 0.1  # length of the vector at which the direction is found, as a fraction of that of the final vector


def uncorrupted(batch: Batch) -> Tensor:
    """Return the input of the network without corruption."""
    return (batch.corrupted if batch.uncorrupted is None else batch.uncorrupted).detach()


def _normalized(vectors: Tensor) -> Tensor:
    """Return vectors of length 1; those of zeros are not changed.

    They are divided by their largest value first: the squares of gradients of confident predictions can underflow.
    """
    largest = vectors.abs().amax(dim=-1, keepdim=True)
    return F.normalize(vectors / torch.where(largest > 0, largest, torch.ones_like(largest)), dim=-1)


def _spacing(rows: Tensor) -> Tensor:
    """Return the median distance to the nearest other sample, (m, 1, 1); 1 if all samples are equal."""
    if rows.shape[1] < 2:
        return torch.ones_like(rows[:, :1, :1])
    distances = torch.cdist(rows, rows)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nearest = distances.amin(dim=2).median(dim=1).values[:, None, None]
    return torch.where(nearest > 0, nearest, torch.ones_like(nearest))


class PseudoLabel(Consistency):
    """Pseudo-labels: predictions for corrupted samples agree with confident ones for the samples themselves.

    Pseudo-labels tend to drift to one class. So mean predictions below 70 % of the share of a class in the labels are
    penalized.

    Parameters
    ----------
    threshold : float in [0, 1], default=0.95
        Probability of the predicted class from which on a sample counts. In regression, all samples count.
    weight : float, default=1.0
        Weight of the term, relative to the supervised loss.

    References
    ----------
    D.-H. Lee, "Pseudo-Label", ICML workshop on challenges in representation learning, 2013.
    K. Sohn et al., "FixMatch", NeurIPS 2020 (threshold; labels from samples without strong changes).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "threshold": [reals(0, 1, closed="both")],
        "weight": [reals(0)],
    }

    def __init__(self, threshold: float = 0.95, weight: float = 1.0):
        self.threshold = threshold
        self.weight = weight

    def __call__(self, network: Autoencoder, batch: Batch, head: Head) -> Tensor:
        """Return the cross-entropy of each sample that counts, 0 for others, plus ``neglect``."""
        with torch.no_grad():
            clean = head.predict(uncorrupted(batch))
        noisy = head.predict(batch.corrupted)
        if head.shares is None:
            return divergence(clean, noisy, head)
        confidence, label = clean.softmax(dim=-1).max(dim=-1)
        entropy = -noisy.log_softmax(dim=-1).gather(-1, label[..., None])[..., 0]
        return torch.where(confidence >= self.threshold, entropy, 0) + neglect(network, noisy, head)


CONSISTENCIES: dict[str, type[Consistency]] = {
    "virtual_adversarial": VirtualAdversarial,
    "pseudo_label": PseudoLabel,
}
