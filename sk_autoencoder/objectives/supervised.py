"""Objective of classifiers and regressors: a head on the latent code that learns from labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sk_autoencoder._validation import StrOptions, integers, layer_sizes, reals
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives.base import Batch, Evaluation, Objective, followed
from sk_autoencoder.objectives.consistency import PREDICTED, Consistency, Head, uncorrupted
from sk_autoencoder.objectives.perceptron import outputs, register, registered

_NAME = "head"  # how the names of its weights and buffers begin
_OF_INPUT = ("head_mean", "head_scale")  # buffers by which the input of the head is standardized
_LINEAR, _OFFSET = "head_linear", "head_offset"  # buffers of a linear function, in regression
_MAX_GRADIENT_NORM = 1.0  # without a limit, virtual adversarial training of wide networks diverges
# Fractions of the training steps of "joint" that use labelled samples without corruption only: in classification, in
# regression, and if all samples have labels.
TUNED, TUNED_IN_REGRESSION, TUNED_BY_ALL = 0.2, 0.5, 0.7
CONSISTENT_BY_ALL = 1 / 3  # factor of the weight of the consistency if all samples have labels
HEAD_FIRST = 0.3  # fraction of the steps of "finetune" that train the head only
WARMUP = 0.3  # fraction of the steps in which the weight of the consistency increases to its final value


class Supervised(Objective):
    """Another objective, and a head that predicts targets from the latent code.

    The head is registered on the network, so that solver, state, checkpoints and best weights include it. Targets are
    the ``labels`` of a batch: the weight of each sample, 0 if it has no label, its target and, if there is one more
    column, the member that does not learn it, or -1.

    Parameters
    ----------
    objective : Objective
        Objective of the autoencoder.
    n_outputs : int
        Number of classes, or 1 for regression.
    classifies : bool, default=True
        Whether targets are probabilities of classes (cross-entropy of the softmax) or numbers (squared error).
    training : {"frozen", "finetune", "joint"}, default="joint"
        "frozen" trains the head, "finetune" the head, and then the encoder too. "joint" minimizes both losses, and in
        the last fifth of the steps the supervised loss of samples without corruption; in the last half in regression,
        and in the last 70 % if all samples have labels.
    hidden_layer_sizes : int or tuple of int, default=()
        Numbers of units in the hidden layers of the head.
    reconstruction_weight : float, default=1.0
        Weight of the autoencoder's objective with "joint".
    consistency : Consistency or None, default=None
        Term for samples without labels, with "joint".
    n_encoder_layers : int or None, default=None
        Number of layers of the encoder, from the lowest, below the head. None means all.
    n_unfrozen_layers : int or None, default=None
        Number of layers of the encoder, from the highest, that "finetune" trains. None means all.
    encoder_rate : float, default=0.1
        Factor of the encoder's learning rate with "finetune".
    """

    monitored = "supervised"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "objective": [Objective],
        "n_outputs": [integers(1)],
        "classifies": ["boolean"],
        "training": [StrOptions({"frozen", "finetune", "joint"})],
        "hidden_layer_sizes": ["array-like", integers(1)],
        "reconstruction_weight": [reals(0)],
        "consistency": [Consistency, None],
        "n_encoder_layers": [integers(1), None],
        "n_unfrozen_layers": [integers(0), None],
        "encoder_rate": [reals(0)],
    }

    def __init__(
        self,
        objective: Objective,
        n_outputs: int,
        classifies: bool = True,
        training: str = "joint",
        hidden_layer_sizes: Any = (),
        reconstruction_weight: float = 1.0,
        consistency: Consistency | None = None,
        n_encoder_layers: int | None = None,
        n_unfrozen_layers: int | None = None,
        encoder_rate: float = 0.1,
    ):
        self.objective = objective
        self.n_outputs = n_outputs
        self.classifies = classifies
        self.training = training
        self.hidden_layer_sizes = hidden_layer_sizes
        self.reconstruction_weight = reconstruction_weight
        self.consistency = consistency
        self.n_encoder_layers = n_encoder_layers
        self.n_unfrozen_layers = n_unfrozen_layers
        self.encoder_rate = encoder_rate

    # What the autoencoder's objective says of itself.
    encoded_per_component = property(  # type: ignore[assignment]
        lambda self: self.objective.encoded_per_component, doc="Outputs of the encoder for each component."
    )
    prevents_copying = property(  # type: ignore[assignment]
        lambda self: self.objective.prevents_copying, doc="Whether the autoencoder's objective prevents copying."
    )
    uses_gradients = property(  # type: ignore[assignment]
        lambda self: self.objective.uses_gradients, doc="Whether the autoencoder's objective computes gradients itself."
    )
    has_prior = property(  # type: ignore[assignment]
        lambda self: self.objective.has_prior, doc="Whether codes have a prior distribution."
    )
    posterior = property(lambda self: self.objective.posterior)
    log_likelihood = property(lambda self: self.objective.log_likelihood)
    trim = property(  # type: ignore[assignment]
        lambda self: self.objective.trim, doc="Fraction of a mini-batch that is left out of the autoencoder's loss."
    )

    uses_uncorrupted = True
    needs_labels = True

    @property
    def keeps_codes(self) -> bool:  # type: ignore[override]
        """Whether the encoder is frozen."""
        return self.training == "frozen"

    @property
    def terms(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the terms: "supervised" and, with "joint", those of the autoencoder and "consistency"."""
        if self.training != "joint":
            return ("supervised",)
        return (*self.objective.terms, "supervised", *(("consistency",) if self.consistency else ()))

    def extend(self, network: Autoencoder) -> None:
        """Register what the autoencoder's objective needs, and the head."""
        self.objective.extend(network)
        shape = network.shape
        n_inputs = shape.n_components if self.n_encoder_layers is None else network.width_of(self.n_encoder_layers)
        for name, value in zip(_OF_INPUT, (0.0, 1.0), strict=True):
            size = (shape.n_members, 1, n_inputs)
            network.register_buffer(name, torch.full(size, value, dtype=shape.torch_dtype, device=shape.device))
        sizes = (n_inputs, *layer_sizes(self.hidden_layer_sizes), self.n_outputs)
        register(network, _NAME, sizes, shape.activation)
        if self.classifies and self.consistency is not None:
            size, share = (shape.n_members, 1, self.n_outputs), 1 / self.n_outputs
            network.register_buffer(PREDICTED, torch.full(size, share, dtype=shape.torch_dtype, device=shape.device))
        if not self.classifies:
            for name, width in ((_LINEAR, shape.n_inputs), (_OFFSET, 1)):
                size = (shape.n_members, 1, width)
                network.register_buffer(name, torch.zeros(size, dtype=shape.torch_dtype, device=shape.device))
        if network.max_gradient_norm is None:
            network.max_gradient_norm = _MAX_GRADIENT_NORM

    def learning_rates(self, network: Autoencoder) -> dict[str, float]:
        """Return the factors of the encoder's learning rate."""
        if self.training == "joint":
            return {}
        layers = encoder_layers(network, self.features)
        n_free = {"frozen": 0, "finetune": len(layers)}[self.training]
        if self.n_unfrozen_layers is not None:
            n_free = min(n_free, self.n_unfrozen_layers)
        free = {name for layer in layers[len(layers) - n_free :] for name in layer}
        others = (name for name, _ in network.named_parameters() if not is_of_head(name))
        return {name: self.encoder_rate if name in free else 0.0 for name in others}

    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""
        tuned, consistent = (TUNED if self.classifies else TUNED_IN_REGRESSION), 1.0
        if batch.labelled is None:
            tuned, consistent = TUNED_BY_ALL, CONSISTENT_BY_ALL
        joint = self.training == "joint" and not (network.training and batch.progress >= 1 - tuned)
        evaluation = self.objective(network, batch, loss) if joint else None
        source = batch if batch.labelled is None else batch.labelled
        if evaluation is not None and source is batch and self.n_encoder_layers is None:
            found = self._of_features(network, evaluation.code)
        else:
            found = self._predicted(network, source.corrupted if joint else uncorrupted(source), batch.progress)
        supervised = self._supervised(network, found, source)
        terms, total = {"supervised": supervised[:, None].expand(-1, len(batch))}, supervised
        if evaluation is not None:
            total = total + self.reconstruction_weight * evaluation.loss
            terms = evaluation.terms | terms
        elif self.training == "joint":
            unused = torch.full_like(terms["supervised"], torch.nan)
            terms = dict.fromkeys(self.objective.terms, unused) | terms
        if network.training and self.training == "joint" and self.consistency is not None:
            terms["consistency"] = self.consistency(network, batch, self._head(network, source, tuned=not joint))
            weight = consistent * self.consistency.weight * min(1.0, batch.progress / WARMUP)
            total = total + weight * batch.over_samples(terms["consistency"])
        if evaluation is None:
            return Evaluation(total, terms, found, found, source.clean)
        return Evaluation(total, terms, evaluation.code, evaluation.reconstruction, batch.clean)

    def predict(self, network: Autoencoder, rows: Tensor) -> Tensor:
        """Return the outputs of the head for inputs of the network, (m, n, n_outputs): logits, or scaled targets.

        Scaled targets are without the linear function.
        """
        return self._of_features(network, self.features(network, rows))

    def linear(self, network: Autoencoder, rows: Tensor) -> Tensor:
        """Return the linear function of the inputs that is part of the prediction in regression, (m, n, 1)."""
        return (rows * followed(network, _LINEAR, rows)).sum(dim=-1, keepdim=True) + followed(network, _OFFSET, rows)

    def set_linear(self, network: Autoencoder, coefficients: np.ndarray, offsets: np.ndarray) -> None:
        """Set the linear function of each member, (m, n_inputs) and (m,), which is 0 before. Heads learn the rest."""
        network.get_buffer(_LINEAR).copy_(torch.from_numpy(coefficients[:, None]))
        network.get_buffer(_OFFSET).copy_(torch.from_numpy(offsets[:, None, None]))

    def features(self, network: Autoencoder, rows: Tensor) -> Tensor:
        """Return the input of the head before it is standardized: the latent code, or a layer of the encoder."""
        if self.n_encoder_layers is not None:
            return network.lower(rows, self.n_encoder_layers)
        return network.encode(rows)[..., : network.shape.n_components]

    def standardize(self, network: Autoencoder, features: np.ndarray, weight: np.ndarray | None) -> None:
        """Set mean and scale of the input of the head, from samples (m, n, n_inputs) and their weights (n,)."""
        mean = np.average(features, axis=1, weights=weight)
        scale = np.sqrt(np.average(np.square(features - mean[:, None]), axis=1, weights=weight))
        for name, value in zip(_OF_INPUT, (mean, np.where(scale > 0, scale, 1.0)), strict=True):
            network.get_buffer(name).copy_(torch.from_numpy(value[:, None]))

    def _head(self, network: Autoencoder, labelled: Batch, tuned: bool) -> Head:
        shares = None
        if self.classifies:
            weight, target = labelled.labels[..., :1], labelled.labels[..., 1:]  # type: ignore[index]
            shares = (weight * target).sum(dim=1) / weight.sum(dim=1)
        return Head(partial(self.predict, network), shares, tuned)

    def _of_features(self, network: Autoencoder, features: Tensor) -> Tensor:
        mean, scale = (followed(network, name, features) for name in _OF_INPUT)
        layers = registered(network, _NAME)
        return outputs(layers, (features - mean) / scale, network.shape.activation)[..., : self.n_outputs]

    def _predicted(self, network: Autoencoder, rows: Tensor, progress: float) -> Tensor:
        head_only = self.training == "frozen" or (self.training == "finetune" and progress < HEAD_FIRST)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not head_only):
            features = self.features(network, rows)
        return self._of_features(network, features)

    def _supervised(self, network: Autoencoder, found: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of the samples with labels, (m,)."""
        assert batch.labels is not None
        weight, target, held_out_of = batch.labels.tensor_split([1, 1 + self.n_outputs], dim=-1)
        weight = weight[..., 0]
        if held_out_of.shape[-1] and network.training:
            member = torch.arange(len(weight), device=weight.device)[:, None]
            weight = torch.where(held_out_of[..., 0] == member, 0, weight)
        if self.classifies:
            error = -(target * found.log_softmax(dim=-1)).sum(dim=-1)
        else:
            error = (found + self.linear(network, uncorrupted(batch)) - target).square().mean(dim=-1)
        return (weight * error).sum(dim=1) / weight.sum(dim=1).clamp(min=torch.finfo(weight.dtype).tiny)


def is_of_head(name: str) -> bool:
    """Whether a weight or buffer of the network belongs to the head."""
    return name.startswith(f"{_NAME}_")


def encoder_layers(network: Autoencoder, features: Callable[[Autoencoder, Tensor], Tensor]) -> list[list[str]]:
    """Return the names of the encoder's weights by layer, from the lowest.

    These are the weights that ``features(network, rows)`` depends on, the code or a lower layer. The number of a
    layer is the first number in a name; weights without a number belong to the last layer.
    """
    named = dict(network.named_parameters())
    shape = network.shape
    rows = torch.zeros(
        shape.n_members, 2, shape.n_inputs, dtype=shape.torch_dtype, device=next(iter(named.values())).device
    )
    was_training = network.training
    with torch.enable_grad():
        found = features(network.eval(), rows)
        gradients = torch.autograd.grad(found.sum(), list(named.values()), allow_unused=True)
    network.train(was_training)
    used = [name for name, gradient in zip(named, gradients, strict=True) if gradient is not None]
    numbers = {name: re.search(r"\d+", re.sub(r"^encoders\.\d+", "", name)) for name in used}
    numbered = sorted({int(number[0]) for number in numbers.values() if number})
    last = numbered[-1] if numbered else 0
    of_layer: dict[int, list[str]] = {number: [] for number in numbered or [0]}
    for name, number in numbers.items():
        of_layer[int(number[0]) if number else last].append(name)
    return list(of_layer.values())
