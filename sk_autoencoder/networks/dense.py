"""Fully connected autoencoders; all members are computed in batched matrix products."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from sk_autoencoder._torch import copied
from sk_autoencoder._validation import reals
from sk_autoencoder.blocks import affine, padded
from sk_autoencoder.networks.activations import ACTIVATIONS, initial_std
from sk_autoencoder.networks.backpropagation import Layer
from sk_autoencoder.networks.base import OUT_ACTIVATION, Autoencoder, Network, NetworkShape, draw_normal


class DenseAutoencoder(Autoencoder):
    """Fully connected encoder and decoder; weights are (n_members, n_in, n_out)."""

    def __init__(self, shape: NetworkShape, generators: list[Generator], tied_weights: bool, dropout: float):
        super().__init__(shape)
        self.tied_weights, self.dropout = tied_weights, dropout
        self.code_activation = "identity"
        self._activation = ACTIVATIONS[shape.activation].function
        down = (shape.n_inputs, *shape.hidden_layer_sizes, shape.n_encoded)
        up = (shape.n_components, *reversed(shape.hidden_layer_sizes), shape.n_features)
        self.encoder_weights = _weights(down, shape, generators)
        self.encoder_biases = _biases(down, shape)
        self.decoder_weights = nn.ParameterList() if tied_weights else _weights(up, shape, generators)
        self.decoder_biases = _biases(up, shape)
        self._list_layers()

    @property
    def linear(self) -> bool:
        """Whether the output activation is the identity, and the hidden activation too if there are hidden layers."""
        bent = self.shape.hidden_layer_sizes and self.shape.activation != "identity"
        return not bent and self.shape.out_activation == "identity"

    def encode(self, rows: Tensor) -> Tensor:
        """Encode samples, (n_members, n, n_inputs) -> (n_members, n, n_encoded)."""
        encoded = self._run(rows, self._encoder)
        return ACTIVATIONS[self.code_activation].function(encoded[..., : self.shape.n_encoded])

    def decode(self, code: Tensor, logits: bool = False) -> Tensor:
        """Decode latent codes, (n_members, n, n_components) -> (n_members, n, n_features)."""
        output = self._run(code, self._decoder)
        if not logits:
            output = ACTIVATIONS[self.shape.out_activation].function(output)
        return output[..., : self.shape.n_features]

    def for_inference(self) -> DenseAutoencoder:
        """Return an untied copy, in which zero weights pad the output of each layer to a multiple of 16."""
        wide = copied(self)
        transposed = [weight.mT for weight in reversed(self.encoder_weights)]
        decoder = transposed if self.tied_weights else self.decoder_weights
        wide.tied_weights = False
        wide._activation = ACTIVATIONS[self.shape.activation].in_place or self._activation
        wide.encoder_weights, wide.decoder_weights = _pad_weights(self.encoder_weights), _pad_weights(decoder)
        wide.encoder_biases, wide.decoder_biases = map(_pad_biases, (self.encoder_biases, self.decoder_biases))
        wide._list_layers()
        return wide.requires_grad_(False).eval()

    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Return the first member as two ``nn.Sequential`` of ``nn.Linear`` and activations."""
        encoder = self._sequential(self._encoder, self.code_activation)
        decoder = self._sequential(self._decoder, self.shape.out_activation)
        return encoder, decoder

    def layers(self, logits: bool = False) -> list[Layer] | None:
        """Return all layers; None with dropout, or if a subclass overrides ``encode`` or ``decode``."""
        return self._listed_layers[logits] if self._listed_layers else None

    @property
    def repeats_operations(self) -> bool:
        """Whether there is no dropout, and no subclass overrides ``encode`` or ``decode``."""
        return not self.dropout and self.computes_as(DenseAutoencoder)

    def _layers(self, pairs: list[tuple[nn.Parameter, nn.Parameter]], end: str, transposed: bool) -> list[Layer]:
        names = [self.shape.activation] * (len(pairs) - 1) + [end]
        return [Layer(*pair, name, transposed) for pair, name in zip(pairs, names, strict=True)]

    def lower(self, rows: Tensor, n_layers: int) -> Tensor:
        """Return the output of the first ``n_layers`` layers of the encoder."""
        if n_layers > len(self.shape.hidden_layer_sizes):
            return self.encode(rows)[..., : self.shape.n_components]
        return self._activation(self._run(rows, self._encoder[:n_layers]))[..., : self.width_of(n_layers)]

    def width_of(self, n_layers: int) -> int:
        """Return the number of outputs of the first ``n_layers`` layers of the encoder."""
        return (*self.shape.hidden_layer_sizes, self.shape.n_components)[n_layers - 1]

    def stages(self) -> list[Autoencoder]:
        """Return a shallow autoencoder for each encoder layer and the mirrored decoder layer."""
        return [self._stage(layer) for layer in range(len(self._encoder))]

    def _stage(self, layer: int) -> DenseAutoencoder:
        stage = copied(self)
        number_from_end = len(self._encoder) - 1 - layer
        own, mirror = slice(layer, layer + 1), slice(number_from_end, number_from_end + 1)
        stage.encoder_weights, stage.encoder_biases = self.encoder_weights[own], self.encoder_biases[own]
        stage.decoder_weights, stage.decoder_biases = self.decoder_weights[mirror], self.decoder_biases[mirror]
        n_in, n_out = (self.shape.n_features, *self.shape.hidden_layer_sizes, self.shape.n_components)[
            layer : layer + 2
        ]
        stage.shape = replace(
            self.shape,
            n_features=n_in,
            n_components=n_out,
            n_encoded=n_out,
            hidden_layer_sizes=(),
            out_activation=self.shape.activation if layer > 0 else self.shape.out_activation,
            indicators=() if layer > 0 else self.shape.indicators,
        )
        if number_from_end > 0:  # the codes of this stage are hidden activations of the whole network
            stage.code_activation = self.shape.activation
        stage._list_layers()
        return stage

    def _list_layers(self) -> None:
        """Collect weights and biases in lists, because iterating over a ParameterList is slow."""
        self._encoder = list(zip(self.encoder_weights, self.encoder_biases, strict=True))
        back = reversed(self.encoder_weights) if self.tied_weights else self.decoder_weights
        self._decoder = list(zip(back, self.decoder_biases, strict=True))
        self._listed_layers: tuple[list[Layer], ...] = ()  # without and with logits
        # The upper stage of layer-wise pretraining leaves out the outputs of a variational encoder besides the code.
        if self.repeats_operations and self.encoder_weights[-1].shape[2] == self.shape.n_encoded:
            encoder = self._layers(self._encoder, self.code_activation, transposed=False)
            ends = (self.shape.out_activation, "identity")
            decoders = [self._layers(self._decoder, end, transposed=self.tied_weights) for end in ends]
            self._listed_layers = tuple(encoder + decoder for decoder in decoders)

    def _run(self, x: Tensor, layers: list[tuple[Tensor, Tensor]]) -> Tensor:
        transposed = self.tied_weights and layers is self._decoder
        last = len(layers) - 1
        for layer, (weight, bias) in enumerate(layers):
            hidden = layer < last
            x = affine(x, weight.mT if transposed else weight, bias, self._activation if hidden else None)
            if hidden and self.dropout:
                x = self.dropped(x)
        return x

    def _sequential(self, pairs: list[tuple[Tensor, Tensor]], last: str) -> nn.Sequential:
        layers: list[nn.Module] = []
        for weight, bias in pairs:
            weight = weight.mT if self.tied_weights and pairs is self._decoder else weight
            linear = nn.Linear(weight.shape[1], weight.shape[2], device="meta").to_empty(device=weight.device)
            linear.weight = nn.Parameter(weight[0].detach().T.clone())
            linear.bias = nn.Parameter(bias[0, 0].detach().clone())
            layers += [linear, ACTIVATIONS[self.shape.activation].module()]
        layers[-1] = ACTIVATIONS[last].module()
        return nn.Sequential(*layers)


def _weights(sizes: tuple[int, ...], shape: NetworkShape, generators: list[Generator]) -> nn.ParameterList:
    layers = []
    for n_in, n_out in pairwise(sizes):
        weight = torch.empty(len(generators), n_in, n_out, dtype=shape.torch_dtype, device=shape.device)
        draw_normal(weight, initial_std(shape.activation, n_in, n_out), generators)
        layers.append(nn.Parameter(weight))
    return nn.ParameterList(layers)


def _biases(sizes: tuple[int, ...], shape: NetworkShape) -> nn.ParameterList:
    zeros = (torch.zeros(shape.n_members, 1, n, dtype=shape.torch_dtype, device=shape.device) for n in sizes[1:])
    return nn.ParameterList(nn.Parameter(zero) for zero in zeros)


def _pad_biases(biases: Iterable[Tensor]) -> nn.ParameterList:
    return nn.ParameterList(
        padded(bias.detach(), rows=False).clone(memory_format=torch.contiguous_format) for bias in biases
    )


def _pad_weights(weights: Iterable[Tensor]) -> nn.ParameterList:
    """Pad all widths but the number of features: only the outputs of a product have to fill vector registers."""
    return nn.ParameterList(
        padded(weight.detach(), rows=layer > 0).clone(memory_format=torch.contiguous_format)
        for layer, weight in enumerate(weights)
    )


class Dense(Network):
    """Fully connected encoder, and a mirrored decoder.

    Parameters
    ----------
    tied_weights : bool, default=False
        Whether the decoder uses the transposed weights of the encoder, with its own biases.
    dropout : float in [0, 1), default=0.0
        Fraction of the hidden units that are set to zero in each training step.
    out_activation : str, default="auto"
        Activation of the output layer, one of the names of the estimator's ``activation``. "auto" is "sigmoid" for
        the binary cross-entropy, "identity" for other losses.
    layerwise_pretraining : bool, default=False
        Whether to pretrain the layers one after the other, each as a shallow autoencoder (denoising, with a corruption)
        of the codes of the previous layer, before the whole network is trained. Half of the epochs are split equally
        among the layers, with at least one epoch for each. This helps deep networks whose gradients vanish, for example
        with "sigmoid".
    sample_shape : tuple of int or None, default=None
        How a sample is read by corruptions with structure (``Masking(span=...)``), for example (channels, height,
        width) or (sensors, steps). The layers do not use it. X stays two-dimensional.

    References
    ----------
    G. Hinton and R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 313, 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.networks import Dense
    >>> X, _ = load_digits(return_X_y=True)
    >>> tied = AutoencoderTransformer(2, network=Dense(tied_weights=True), max_iter=2, random_state=0)
    >>> tied.fit_transform(X).shape
    (1797, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "tied_weights": ["boolean"],
        "dropout": [reals(0, 1)],
        "out_activation": OUT_ACTIVATION,
        "layerwise_pretraining": ["boolean"],
        "sample_shape": ["array-like", None],
    }

    has_layers = True

    def __init__(
        self,
        tied_weights: bool = False,
        dropout: float = 0.0,
        out_activation: str = "auto",
        layerwise_pretraining: bool = False,
        sample_shape: Any = None,
    ):
        self.tied_weights = tied_weights
        self.dropout = dropout
        self.out_activation = out_activation
        self.layerwise_pretraining = layerwise_pretraining
        self.sample_shape = sample_shape

    @property
    def indicators(self) -> str | None:  # type: ignore[override]
        """Indicators of columns, unless the decoder has the weights of the encoder."""
        return None if self.tied_weights else "columns"

    def build(self, shape: NetworkShape, generators: list[Generator]) -> DenseAutoencoder:
        """Build the module, and draw its weights."""
        if self.tied_weights and shape.n_encoded != shape.n_components:
            raise ValueError(
                f"Dense(tied_weights=True) needs an encoder with n_components={shape.n_components} outputs, but the "
                f"objective needs {shape.n_encoded}; use tied_weights=False."
            )
        return DenseAutoencoder(shape, generators, self.tied_weights, self.dropout)
