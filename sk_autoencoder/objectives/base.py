"""Base class of objectives, their input and their result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from sk_autoencoder._parts import Part
from sk_autoencoder._torch import foreach_copy
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.networks.base import draw_normal


@dataclass(frozen=True)
class Batch:
    """Scaled samples for each member, and what is known of them.

    ``over_features`` and ``over_samples`` are the only places where losses are reduced, so that objectives need not
    know whether there are missing values or weights.

    Parameters
    ----------
    corrupted : Tensor of shape (n_members, n_samples, n_inputs)
        Input of the network: features, then indicators of missing values, if the network has any.
    clean : Tensor of shape (n_members, n_samples, n_features)
        Target of the reconstruction; a missing value is filled.
    progress : float, default=1.0
        Fraction of the training steps that are done; 1 outside training.
    observed : Tensor of shape (n_members, n_samples, n_features) or None, default=None
        Which values of ``clean`` are not missing. None means all.
    weight : Tensor of shape (n_members, n_samples) or None, default=None
        Weights of the samples. None means equal weights.
    labels : Tensor of shape (n_members, n_samples, 1 + n_outputs) or None, default=None
        Weight of each sample's label, 0 for a sample without label, and its target, for objectives that use labels.
    uncorrupted : Tensor of shape (n_members, n_samples, n_inputs) or None, default=None
        Input of the network without corruption, for objectives with ``uses_uncorrupted``. None means ``corrupted``.
    labelled : Batch or None, default=None
        Further samples of a training step, all with labels. None means that the samples themselves may have labels.
    """

    corrupted: Tensor
    clean: Tensor
    progress: float = 1.0
    observed: Tensor | None = None
    weight: Tensor | None = None
    labels: Tensor | None = None
    uncorrupted: Tensor | None = None
    labelled: Batch | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.clean.shape[1]

    @property
    def total_weight(self) -> int | Tensor:
        """Sum of the weights, (m,), or the number of samples if they have no weights."""
        return len(self) if self.weight is None else self.weight.sum(dim=1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a function to all tensors."""
        tensors = {name: getattr(self, name) for name in _OF_SAMPLES}
        changed: dict[str, Any] = {name: function(tensor) for name, tensor in tensors.items() if tensor is not None}
        return replace(self, **changed, labelled=self.labelled and self.labelled.map(function))

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors, also those of the labelled samples."""
        own = [tensor for name in _OF_SAMPLES if (tensor := getattr(self, name)) is not None]
        return own if self.labelled is None else own + self.labelled.tensors

    @property
    def shape(self) -> tuple[torch.Size | None, ...]:
        """Shapes of all tensors, None for one that is missing; batches of the same shape take the same operations."""
        own = tuple(None if (tensor := getattr(self, name)) is None else tensor.shape for name in _OF_SAMPLES)
        return own if self.labelled is None else own + self.labelled.shape

    def copy_(self, other: Batch) -> None:
        """Overwrite the tensors with those of a batch of the same shape."""
        foreach_copy(self.tensors, other.tensors)

    def gather(self, index: Tensor) -> Batch:
        """Select other samples for each member, with positions (n_members, n_selected); ``labelled`` stays as it is."""

        def chosen(tensor: Tensor) -> Tensor:
            wide = index.view(*index.shape, *[1] * (tensor.ndim - 2)).expand(-1, -1, *tensor.shape[2:])
            return tensor.gather(1, wide)

        return replace(replace(self, labelled=None).map(chosen), labelled=self.labelled)

    def split(self, size: int, progress: Callable[[], float] | None = None) -> Iterator[Batch]:
        """Yield consecutive parts of ``size`` samples; the last may be smaller. ``progress`` is called for each."""
        n_parts = -(-len(self) // size)
        parts = (
            [None] * n_parts if tensor is None else tensor.split(size, dim=1)
            for tensor in (getattr(self, name) for name in _OF_SAMPLES)
        )
        labelled: Iterator[Batch | None] = repeat(None, n_parts)
        if self.labelled is not None:
            labelled = self.labelled.split(len(self.labelled) // n_parts)
        for corrupted, clean, *others, further in zip(*parts, labelled, strict=True):
            done = self.progress if progress is None else progress()
            known: dict[str, Any] = dict(zip(_OF_SAMPLES[2:], others, strict=True))
            yield Batch(corrupted, clean, done, labelled=further, **known)  # type: ignore[arg-type]

    @property
    def n_values(self) -> int | Tensor:
        """Number of observed values of each sample: the number of features, or (m, n), at least 1."""
        return self.clean.shape[-1] if self.observed is None else self.observed.sum(dim=-1).clamp(min=1)

    def over_features(self, error: Tensor) -> Tensor:
        """Return the mean over the observed values of each sample, (m, n, n_features) -> (m, n)."""
        if self.observed is None:
            return error.mean(dim=-1)
        return torch.where(self.observed, error, 0).sum(dim=-1) / self.n_values

    def over_samples(self, term: Tensor) -> Tensor:
        """Return the weighted mean over the samples, (m, n, ...) -> (m, ...)."""
        if self.weight is None:
            return term.mean(dim=1)
        weight = self.weight.view(*self.weight.shape, *[1] * (term.ndim - 2))
        return (term * weight).sum(dim=1) / weight.sum(dim=1)

    def over_all(self, error: Tensor) -> Tensor:
        """Return ``over_samples(over_features(error))``, the loss of each member, (m,)."""
        if self.observed is None and self.weight is None and error[0].numel() < _SUMMED_BY_ONE_THREAD:
            return error.mean(dim=(-2, -1))  # its gradient takes a third less of a small network's step
        return self.over_samples(self.over_features(error))

    def shares(self, error: Tensor) -> float | Tensor:
        """Return the derivative of ``over_all(error)`` with respect to each value of ``error``."""
        if self.observed is None and self.weight is None:
            return 1 / error[0].numel()
        share = error.new_full((), 1 / len(self))  # a copy from the host would wait for the device
        if self.weight is not None:
            share = self.weight / self.weight.sum(dim=1, keepdim=True)
        of_value = (share / self.n_values)[..., None]
        return of_value if self.observed is None else self.observed * of_value


# On CPUs, torch splits longer sums to one number between threads: the last bits depend on their number.
_SUMMED_BY_ONE_THREAD = 1 << 15
_OF_SAMPLES = ("corrupted", "clean", "observed", "weight", "labels", "uncorrupted")


@dataclass(frozen=True)
class Evaluation:
    """Result of an objective for a batch.

    Parameters
    ----------
    loss : Tensor of shape (n_members,)
        The loss that is minimized; NaN where no objective was evaluated.
    terms : dict of Tensor of shape (n_members, n_samples)
        Terms of the loss by name, for each sample.
    code : Tensor of shape (n_members, n_samples, n_components)
        Latent codes.
    reconstruction : Tensor of shape (n_members, n_samples, n_features)
        Reconstructions, scaled.
    target : Tensor of shape (n_members, n_samples, n_features)
        Clean samples, scaled; missing values are filled.
    observed : Tensor of shape (n_members, n_samples, n_features) or None, default=None
        Which values of ``target`` are not missing. None means all.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    code: Tensor
    reconstruction: Tensor
    target: Tensor
    observed: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Evaluation:
        """Apply a function to everything but the loss."""
        terms = {name: function(term) for name, term in self.terms.items()}
        observed = None if self.observed is None else function(self.observed)
        code, reconstruction, target = map(function, (self.code, self.reconstruction, self.target))
        return Evaluation(self.loss, terms, code, reconstruction, target, observed)

    def __getitem__(self, index: Any) -> Evaluation:
        """Select members, samples, or both."""
        return self.map(lambda tensor: tensor[index])

    def detach(self) -> Evaluation:
        """Return the same values without what autograd has recorded of them."""
        return replace(self.map(Tensor.detach), loss=self.loss.detach())

    def split(self, size: int) -> Iterator[Evaluation]:
        """Yield consecutive parts of at most ``size`` samples."""
        for start in range(0, self.target.shape[1], size):
            yield self[:, start : start + size]

    @classmethod
    def without_terms(cls, code: Tensor, reconstruction: Tensor, target: Tensor) -> Evaluation:
        """Return the output of a network, without the terms of an objective."""
        return cls(code.new_full((len(code),), torch.nan), {}, code, reconstruction, target)

    @staticmethod
    def concatenate(evaluations: list[Evaluation], dim: int) -> Evaluation:
        """Concatenate everything but the losses along a dimension."""
        first = evaluations[0]
        terms = {name: torch.cat([e.terms[name] for e in evaluations], dim) for name in first.terms}
        code, reconstruction, target = (
            torch.cat(tensors, dim)
            for tensors in zip(*((e.code, e.reconstruction, e.target) for e in evaluations), strict=True)
        )
        observed = None
        if any(e.observed is not None for e in evaluations):
            observed = torch.cat(
                [
                    torch.ones_like(e.target, dtype=torch.bool) if e.observed is None else e.observed
                    for e in evaluations
                ],
                dim,
            )
        return Evaluation(first.loss, terms, code, reconstruction, target, observed)


class Objective(Part):
    """Abstract base class: the function of a network and a batch that is minimized."""

    terms: ClassVar[tuple[str, ...]]  # names of the terms in its evaluations
    encoded_per_component: ClassVar[int] = 1  # 2 when the encoder returns mean and spread
    prevents_copying: ClassVar[bool] = False
    turnable: ClassVar[bool] = False  # whether its terms stay the same when the code is turned onto other axes
    uses_gradients: ClassVar[bool] = False  # whether it computes gradients itself; else none are tracked after training
    trim: float = 0.0  # parameter of children: share of each mini-batch that is left out, where it is largest
    has_prior: ClassVar[bool] = False  # whether codes are trained to look like draws from the standard normal
    keeps_codes: ClassVar[bool] = False  # whether the encoder is frozen
    uses_uncorrupted: ClassVar[bool] = False  # whether batches have ``uncorrupted``
    needs_labels: ClassVar[bool] = False  # whether training samples must have labels
    monitored: ClassVar[str | None] = None  # term that loss curves and early stopping follow; None: the whole loss

    def extend(self, network: Autoencoder) -> None:
        """Register what this objective keeps on a new network, the member first, under names without a dot.

        Running means are buffers, (n_members, 1, width). Weights that are trained are parameters, which are drawn on
        the CPU from ``network.noise``.
        """

    def learning_rates(self, network: Autoencoder) -> dict[str, float]:
        """Return factors of the learning rate by name of weight; 0 means frozen, and others have the factor 1."""
        del network
        return {}

    @abstractmethod
    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""

    def backpropagates(self, network: Autoencoder, loss: Loss) -> bool:
        """Whether ``backpropagate`` can be used instead of autograd."""
        del network, loss
        return False

    def backpropagate(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate a training batch without terms, and add gradients to the weights."""
        raise NotImplementedError

    def repeats_operations(self, network: Autoencoder) -> bool:
        """Whether all training steps take the same operations on the device, so that a CUDA graph can record a step.

        They draw no random numbers, read no values on the host, make no tensors from numbers of the host, and do not
        depend on ``batch.progress``.
        """
        del network
        return False


def extend(network: Autoencoder, objective: Objective, generators: list[Generator]) -> None:
    """Have an objective extend a new network, with the generators that the network's weights were drawn from."""
    network.noise = generators
    objective.extend(network)
    network.noise = None


def compare(network: Autoencoder, code: Tensor, batch: Batch, loss: Loss) -> tuple[Tensor, Tensor]:
    """Decode latent codes, and compute the loss of each entry.

    Parameters
    ----------
    network : Autoencoder
        The network.
    code : Tensor of shape (n_members, n_samples, n_components)
        Latent codes.
    batch : Batch
        Samples to compare with.
    loss : Loss
        Loss of each entry.

    Returns
    -------
    errors : Tensor of shape (n_members, n_samples, n_features)
        Loss of each entry.
    reconstruction : Tensor of shape (n_members, n_samples, n_features)
        Reconstructions, scaled; logits during training with a loss on logits.
    """
    given = {"clean": batch.clean} if network.uses_targets and network.training else {}
    output = network.decode(code, logits=loss.on_logits, **given)
    reconstruction = output.sigmoid() if loss.on_logits and not network.training else output
    return loss(output, batch.clean), reconstruction


def normal_like(network: Autoencoder, values: Tensor) -> Tensor:
    """Draw from the standard normal, (n_members, ...) as ``values``, each member from its own generator."""
    assert network.noise is not None, "this objective needs the generators in ``noise``"
    return draw_normal(torch.empty_like(values), 1.0, network.noise)


# Share of the newest batch in a running mean, as in batch normalization.
_MOMENTUM = 0.1


def follow(network: Autoencoder, name: str, batch_mean: Tensor) -> None:
    """Update a running mean of the network with the mean of this batch, (n_members, 1, width)."""
    running = network.get_buffer(name)
    running.lerp_(batch_mean.detach().to(running.dtype), _MOMENTUM)


def followed(network: Autoencoder, name: str, rows: Tensor) -> Tensor:
    """Return a running mean, repeated for the blocks of samples of each member, (n_members * n_blocks, 1, width)."""
    running = network.get_buffer(name)
    return running.repeat_interleave(len(rows) // len(running), dim=0)
