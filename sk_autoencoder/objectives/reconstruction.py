"""The objective of every plain, denoising or sparse autoencoder: return the clean row."""

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
    """Minimise the loss between the clean row and what the network makes of the corrupted one.

    With ``sparsity`` few entries of the code answer to any one row, and a code wider than the row does not copy it.

    Parameters
    ----------
    sparsity : {"l1", "kl"} or None, default=None
        The penalty on the code, summed over its entries. "l1" is their absolute value. "kl" is the Kullback-Leibler
        divergence between two coins, one that shows heads with ``sparsity_target`` and one with the mean activity of
        the entry over a mini-batch.
    sparsity_weight : float, default=0.1
        Price of the penalty, in the units of a loss that is summed over the features.
    sparsity_target : float in (0, 1), default=0.05
        Mean activity that "kl" asks for.
    trim : float in [0, 1), default=0.0
        Share of each mini-batch left out of the loss: the samples with the largest errors by a moving average of the
        weights. Where a tenth of the training set are outliers, 0.15 lets the network learn less of them; it lowers
        accuracy if the training set is clean.

    Notes
    -----
    The terms are "reconstruction" and, with ``sparsity``, "sparsity". Both are divided by the number of features, as
    the loss is, so their balance is that of the sums in the papers.

    The activity of an entry z is ``z ** 2 / (1 + z ** 2)``, from 0 for an entry that is silent to 1. Ng's units end in
    a sigmoid; here the code is unbounded, and a sigmoid inside the penalty could be satisfied by moving all entries
    far below zero. After training, and on validation rows, the mean activity is a running mean over mini-batches.

    The decoder can undo a code that merely shrinks; weight decay (``alpha``) keeps it from doing so.

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
        """The error and, if there is one, the penalty."""
        return ("reconstruction",) if self.sparsity is None else ("reconstruction", "sparsity")

    @property
    def prevents_copying(self) -> bool:  # type: ignore[override]
        """A penalty does."""
        return self.sparsity is not None

    @property
    def turnable(self) -> bool:  # type: ignore[override]
        """A penalty looks at single entries."""
        return self.sparsity is None

    def extend(self, network: Autoencoder) -> None:
        """Add the mean activity of each entry of the code."""
        if self.sparsity == "kl":
            shape = (network.shape.n_members, 1, network.shape.n_components)
            start = torch.full(shape, self.sparsity_target, dtype=network.shape.torch_dtype, device="cpu")
            network.register_buffer("activity", start)

    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""
        code = network.encode(batch.corrupted)
        error, reconstruction = compare(network, code, batch, loss)
        terms = {"reconstruction": error.mean(dim=-1)}  # (m, n)
        # One mean over both axes: gradients through two of them would take a third of a small network's step.
        total = error.mean(dim=(-2, -1))
        if self.sparsity is not None:
            penalty = code.abs() if self.sparsity == "l1" else self._divergence(network, code)
            terms["sparsity"] = penalty.sum(dim=-1) / error.shape[-1]
            total = total + self.sparsity_weight * terms["sparsity"].mean(dim=-1)
        return Evaluation(total, terms, code, reconstruction, batch.clean)

    @torch.no_grad()
    def backpropagate(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation | None:
        """Do without autograd where the network has plain layers and the code bears no penalty."""
        plain = type(self).__call__ is Reconstruction.__call__ and self.sparsity is None  # a child may ask for more
        layers = network.layers(logits=loss.on_logits) if plain else None
        if layers is None:
            return None
        steps = run(layers, batch.corrupted)
        output = steps[-1].after
        error, gradient = loss.with_gradient(output, batch.clean, weight=1 / output[0].numel())
        backpropagate(layers, steps, gradient)
        mean = error.mean(dim=(-2, -1))
        return Evaluation(mean, {}, steps[len(steps) // 2 - 1].after, output, batch.clean)

    def _divergence(self, network: Autoencoder, code: Tensor) -> Tensor:
        """Return each entry's divergence from the target, the same for all rows of a member."""
        if network.training:
            squares = code.square()
            activity = (squares / (1 + squares)).mean(dim=1, keepdim=True)  # (m, 1, k)
            follow(network, "activity", activity)
        else:
            activity = followed(network, "activity", code)
        activity = activity.clamp(_SMALLEST_ACTIVITY, 1 - _SMALLEST_ACTIVITY)
        target = self.sparsity_target
        heads = target * (target / activity).log()
        tails = (1 - target) * ((1 - target) / (1 - activity)).log()
        return (heads + tails).expand_as(code)
