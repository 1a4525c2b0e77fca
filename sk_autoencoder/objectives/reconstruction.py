"""Objective of plain, denoising and sparse autoencoders: reconstruct the clean sample."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._validation import StrOptions, reals
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.networks.backpropagation import backpropagate, run
from sk_autoencoder.objectives.base import Batch, Evaluation, Objective, compare, follow, followed

_SMALLEST_ACTIVITY = 1e-6


class Reconstruction(Objective):
    """Reconstruct the clean sample from the corrupted one, optionally with a sparse code.

    With ``sparsity``, few components are active for each sample, and the network does not learn the identity even if
    there are more components than features.

    Parameters
    ----------
    sparsity : {"l1", "kl"} or None, default=None
        Sparsity penalty, summed over the components of the code. "l1" is their absolute value. "kl" is the
        Kullback-Leibler divergence between two Bernoulli distributions, with ``sparsity_target`` and with the mean
        activity of the component over a mini-batch as their means.
    sparsity_weight : float, default=0.1
        Weight of the penalty, relative to the loss summed over the features.
    sparsity_target : float in (0, 1), default=0.05
        Mean activity at which the penalty "kl" is zero.
    trim : float in [0, 1), default=0.0
        Fraction of each mini-batch that is left out of the loss: the samples with the largest reconstruction errors
        under a moving average of the weights. If a tenth of the training set are outliers, use for example 0.15.
        Without outliers in the training set, trimming lowers the accuracy.

    Notes
    -----
    The terms are "reconstruction" and, with ``sparsity``, "sparsity". Both are divided by the number of features, so
    that their ratio is the same as for the sums in the papers.

    The activity of a component z is ``z ** 2 / (1 + z ** 2)``, which is 0 for z = 0 and less than 1. Ng uses units with
    a sigmoid activation. Here the code is unbounded, and a sigmoid inside the penalty could be minimized by large
    negative values of all components. For validation, and after training, the mean activity is a running mean over
    mini-batches.

    A small code with large weights of the decoder would minimize the penalty without sparsity; weight decay (``alpha``)
    prevents this.

    References
    ----------
    P. Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010.
    A. Ng, "Sparse Autoencoder", CS294A lecture notes, Stanford, 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.objectives import Reconstruction
    >>> X, _ = load_digits(return_X_y=True)
    >>> sparse = AutoencoderTransformer(100, objective=Reconstruction(sparsity="l1"), max_iter=2, random_state=0).fit(X)
    >>> sorted(sparse.loss_curves_)
    ['reconstruction', 'sparsity']
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "sparsity": [StrOptions({"l1", "kl"}), None],
        "sparsity_weight": [reals(0)],
        "sparsity_target": [reals(0, 1, closed="neither")],
        "trim": [reals(0, 1)],
    }

    def __init__(
        self,
        sparsity: str | None = None,
        sparsity_weight: float = 0.1,
        sparsity_target: float = 0.05,
        trim: float = 0.0,
    ):
        self.sparsity = sparsity
        self.sparsity_weight = sparsity_weight
        self.sparsity_target = sparsity_target
        self.trim = trim

    @property
    def terms(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the terms: "reconstruction" and, with a penalty, "sparsity"."""
        return ("reconstruction",) if self.sparsity is None else ("reconstruction", "sparsity")

    @property
    def prevents_copying(self) -> bool:  # type: ignore[override]
        """Whether there is a penalty."""
        return self.sparsity is not None

    @property
    def turnable(self) -> bool:  # type: ignore[override]
        """Whether there is no penalty; penalties depend on the axes of the code."""
        return self.sparsity is None

    def extend(self, network: Autoencoder) -> None:
        """Register the mean activity of each component with the penalty "kl"."""
        if self.sparsity == "kl":
            shape = (network.shape.n_members, 1, network.shape.n_components)
            start = torch.full(shape, self.sparsity_target, dtype=network.shape.torch_dtype, device="cpu")
            network.register_buffer("activity", start)

    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""
        code = network.encode(batch.corrupted)
        error, reconstruction = compare(network, code, batch, loss)
        terms = {"reconstruction": batch.over_features(error)}  # (m, n)
        total = batch.over_all(error)
        if self.sparsity is not None:
            penalty = code.abs() if self.sparsity == "l1" else self._divergence(network, code, batch)
            terms["sparsity"] = penalty.sum(dim=-1) / batch.n_values
            total = total + self.sparsity_weight * batch.over_samples(terms["sparsity"])
        return Evaluation(total, terms, code, reconstruction, batch.clean)

    def backpropagates(self, network: Autoencoder, loss: Loss) -> bool:
        """Whether the network has affine layers only and there is no penalty."""
        return self._is_own and self.sparsity is None and network.layers(logits=loss.on_logits) is not None

    def repeats_operations(self, network: Autoencoder) -> bool:
        """Whether the network repeats its operations."""
        return self._is_own and network.repeats_operations

    @property
    def _is_own(self) -> bool:
        """Whether no subclass overrides what is computed."""
        return type(self).__call__ is Reconstruction.__call__

    @torch.no_grad()
    def backpropagate(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Compute gradients without autograd."""
        layers = network.layers(logits=loss.on_logits)
        assert layers is not None, "only networks with affine layers alone can be trained without autograd"
        steps = run(layers, batch.corrupted)
        output = steps[-1].after
        error, gradient = loss.with_gradient(output, batch.clean, weight=batch.shares(output))
        backpropagate(layers, steps, gradient)
        return Evaluation(batch.over_all(error), {}, steps[len(steps) // 2 - 1].after, output, batch.clean)

    def _divergence(self, network: Autoencoder, code: Tensor, batch: Batch) -> Tensor:
        """Return the divergence of each component from the target, equal for all samples of a member."""
        if network.training:
            squares = code.square()
            activity = batch.over_samples(squares / (1 + squares))[:, None]  # (m, 1, k)
            follow(network, "activity", activity)
        else:
            activity = followed(network, "activity", code)
        activity = activity.clamp(_SMALLEST_ACTIVITY, 1 - _SMALLEST_ACTIVITY)
        target = self.sparsity_target
        heads = target * (target / activity).log()
        tails = (1 - target) * ((1 - target) / (1 - activity)).log()
        return (heads + tails).expand_as(code)
