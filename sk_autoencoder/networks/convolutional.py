"""Convolutional autoencoders for rows that are images or sequences, one member after the other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from sk_autoencoder._validation import integers, reals
from sk_autoencoder.blocks import MULTIPLE
from sk_autoencoder.networks.activations import ACTIVATIONS, initial_std
from sk_autoencoder.networks.base import OUT_ACTIVATION, Autoencoder, Network, NetworkShape

_FIRST_CHANNELS = 16

# By the number of axes: one for sequences, two for images.
_FUNCTIONS: dict[int, tuple[Any, Any]] = {1: (F.conv1d, F.conv_transpose1d), 2: (F.conv2d, F.conv_transpose2d)}
_MODULES: dict[int, tuple[Any, Any]] = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d)}


class ConvolutionalAutoencoder(Autoencoder):
    """Strided convolutions and an affine layer down to the code, and their mirror image up.

    Kernels are (n_members, n_out, n_in, *patch) on the way down and (n_members, n_in, n_out, *patch) on the way up.
    All weights are zero until ``draw`` is called.
    """

    def __init__(self, shape: NetworkShape, kernel_size: int, stride: int, dropout: float):
        super().__init__(shape)
        self.kernel_size, self.stride, self.dropout = kernel_size, stride, dropout
        self.image = shape.sample_shape or (1, shape.n_features)  # (channels, *size)
        self.sizes = [self.image[1:]]  # of the feature maps on the way down
        for _ in shape.hidden_layer_sizes:
            self.sizes.append(tuple(-(-length // stride) for length in self.sizes[-1]))
        channels = (self.image[0], *shape.hidden_layer_sizes)
        self.last_map = (channels[-1], *self.sizes[-1])
        self.n_axes = len(self.sizes[0])

        def zeros(*size: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape.n_members, *size, dtype=shape.torch_dtype, device=shape.device))

        patch, flat = (kernel_size,) * self.n_axes, prod(self.last_map)
        down, up = list(pairwise(channels)), list(pairwise(reversed(channels)))
        self.encoder_kernels = nn.ParameterList(zeros(n_out, n_in, *patch) for n_in, n_out in down)
        self.encoder_biases = nn.ParameterList(zeros(n_out) for _, n_out in down)
        self.code_weight, self.code_bias = zeros(flat, shape.n_encoded), zeros(shape.n_encoded)
        self.map_weight, self.map_bias = zeros(shape.n_components, flat), zeros(flat)
        self.decoder_kernels = nn.ParameterList(zeros(n_in, n_out, *patch) for n_in, n_out in up)
        self.decoder_biases = nn.ParameterList(zeros(n_out) for _, n_out in up)

    @property
    def n_multiplications(self) -> int:
        """A kernel is applied once for each place of the smaller map."""
        places = [prod(size) for size in self.sizes[1:]]
        pairs = [*zip(self.encoder_kernels, places, strict=True), *zip(self.decoder_kernels, places[::-1], strict=True)]
        return super().n_multiplications + sum((n - 1) * kernel.numel() for kernel, n in pairs)

    @torch.no_grad()
    def draw(self, generators: list[Generator]) -> None:
        """Draw each member's weights from its generator."""
        # With a stride, a cell of the finer map meets only one in so many cells of a patch.
        overlap = self.stride**self.n_axes
        for kernel in self.encoder_kernels:
            self._draw(kernel, kernel[0, 0].numel(), kernel[0, :, 0].numel() / overlap, generators)
        for weight in (self.code_weight, self.map_weight):
            self._draw(weight, weight.shape[1], weight.shape[2], generators)
        for kernel in self.decoder_kernels:
            self._draw(kernel, kernel[0, :, 0].numel() / overlap, kernel[0, 0].numel(), generators)

    def encode(self, rows: Tensor) -> Tensor:
        """(n_members, n, n_features) -> (n_members, n, n_encoded)."""
        codes = [self._encode(block, index * self.shape.n_members // len(rows)) for index, block in enumerate(rows)]
        return torch.stack(codes)[..., : self.shape.n_encoded]

    def decode(self, code: Tensor, logits: bool = False) -> Tensor:
        """(n_members, n, n_components) -> (n_members, n, n_features)."""
        code = F.pad(code, (0, self.map_weight.shape[1] - code.shape[-1]))  # the padded copy
        rows = [self._decode(block, index * self.shape.n_members // len(code)) for index, block in enumerate(code)]
        output = torch.stack(rows)
        return output if logits else ACTIVATIONS[self.shape.out_activation].function(output)

    def for_inference(self) -> ConvolutionalAutoencoder:
        """Return a copy whose hidden channels and code are padded with zero weights to multiples of 16."""
        hidden = tuple(map(_round_up, self.shape.hidden_layer_sizes))
        n_components, n_encoded = _round_up(self.shape.n_components), _round_up(self.shape.n_encoded)
        shape = replace(self.shape, hidden_layer_sizes=hidden, n_components=n_components, n_encoded=n_encoded)
        padded = ConvolutionalAutoencoder(shape, self.kernel_size, self.stride, self.dropout)
        padded.to(self.code_weight.device).requires_grad_(False).eval()
        for grown, weight in zip(padded.parameters(), self.parameters(), strict=True):
            grown[tuple(map(slice, weight.shape))] = weight.detach()
        for name, buffer in self.named_buffers(recurse=False):  # of the objective
            padded.register_buffer(name, buffer)
        padded.shape = self.shape
        return padded

    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Return the first member as two ``nn.Sequential`` on flat rows."""
        options = {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.kernel_size // 2}
        activation, kinds = ACTIVATIONS[self.shape.activation].module, _MODULES[self.n_axes]
        encoder: list[nn.Module] = [nn.Unflatten(1, self.image)]
        for kernel, bias in zip(self.encoder_kernels, self.encoder_biases, strict=True):
            n_out, n_in = kernel.shape[1:3]
            encoder += [_filled(kinds[0](n_in, n_out, **options, device="meta"), kernel, bias), activation()]
        encoder += [nn.Flatten(), _linear(self.code_weight, self.code_bias)]

        decoder = [_linear(self.map_weight, self.map_bias), nn.Unflatten(1, self.last_map)]
        for kernel, bias, padding in zip(self.decoder_kernels, self.decoder_biases, self._output_paddings, strict=True):
            n_in, n_out = kernel.shape[1:3]
            up = kinds[1](n_in, n_out, **options, output_padding=padding, device="meta")
            decoder += [activation(), _filled(up, kernel, bias)]
        decoder += [nn.Flatten(), ACTIVATIONS[self.shape.out_activation].module()]
        return nn.Sequential(*encoder), nn.Sequential(*decoder)

    @property
    def _output_paddings(self) -> list[tuple[int, ...]]:
        """What each layer up adds at the end, so that it returns exactly the size that its mirror image was given."""
        sizes = reversed(list(pairwise(self.sizes)))
        return [tuple(n - (k - 1) * self.stride - 1 for n, k in zip(*pair, strict=True)) for pair in sizes]

    def _encode(self, rows: Tensor, member: int) -> Tensor:
        """One member's block of rows (n, n_features) -> (n, n_encoded)."""
        convolve, maps = _FUNCTIONS[self.n_axes][0], rows.unflatten(1, self.image)
        for kernel, bias in zip(self.encoder_kernels, self.encoder_biases, strict=True):
            maps = convolve(maps, kernel[member], bias[member], self.stride, self.kernel_size // 2)
            maps = self._activate(maps, member)
        return torch.addmm(self.code_bias[member], maps.flatten(1), self.code_weight[member])

    def _decode(self, code: Tensor, member: int) -> Tensor:
        """One member's block of codes (n, n_components) -> (n, n_features)."""
        convolve, padding = _FUNCTIONS[self.n_axes][1], self.kernel_size // 2
        maps = torch.addmm(self.map_bias[member], code, self.map_weight[member])
        maps = maps.unflatten(1, (-1, *self.last_map[1:]))
        for kernel, bias, added in zip(self.decoder_kernels, self.decoder_biases, self._output_paddings, strict=True):
            maps = self._activate(maps, member)
            maps = convolve(maps, kernel[member], bias[member], self.stride, padding, added)
        return maps.flatten(1)

    def _activate(self, maps: Tensor, member: int) -> Tensor:
        maps = ACTIVATIONS[self.shape.activation].function(maps)
        if not (self.dropout and self.training):
            return maps
        assert self.noise is not None, "a network with dropout trains only inside the engine"
        kept = torch.empty_like(maps).bernoulli_(1 - self.dropout, generator=self.noise[member])
        return maps * kept / (1 - self.dropout)

    def _draw(self, weight: Tensor, fan_in: float, fan_out: float, generators: list[Generator]) -> None:
        std = initial_std(self.shape.activation, fan_in, fan_out)
        for member, generator in zip(weight, generators, strict=True):
            member.normal_(std=std, generator=generator)


def _round_up(width: int) -> int:
    """With channels in such multiples, each row's feature map begins at the same alignment in memory."""
    return width + -width % MULTIPLE


def _filled(layer: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    """Give a layer the first member's weights."""
    layer.weight = nn.Parameter(weight[0].detach().clone())
    layer.bias = nn.Parameter(bias[0].detach().clone())
    return layer


def _linear(weight: Tensor, bias: Tensor) -> nn.Module:
    _, n_in, n_out = weight.shape
    return _filled(nn.Linear(n_in, n_out, device="meta"), weight.mT, bias)


class Convolutional(Network):
    """Strided convolutions from an image or a sequence to the code, and transposed ones back.

    ``hidden_layer_sizes`` are channels: each layer divides the sides of its feature maps by ``stride``, rounded up, and
    the decoder returns exactly the sizes that the encoder was given. An affine layer stands between the last map
    and the code. "auto" is 16 channels, doubled from layer to layer.

    Parameters
    ----------
    kernel_size : int, default=3
        Side of the patch that a cell sees, an odd number.
    stride : int, default=2
        What each layer divides the sides of its feature maps by.
    dropout : float in [0, 1), default=0.0
        Share of the cells of hidden feature maps that are silenced in each training step.
    out_activation : str, default="auto"
        Activation of the output, a name that ``activation`` of the estimator takes. "auto" is "sigmoid" for the binary
        cross-entropy, "identity" for other losses.
    sample_shape : tuple of int or None, default=None
        How a sample is read: (channels, height, width) or (channels, steps). X stays two-dimensional; a sample holds
        its first channel first, row by row. None is one channel of ``n_features_in_`` steps.

    References
    ----------
    J. Masci et al., "Stacked Convolutional Auto-Encoders for Hierarchical Feature Extraction", ICANN 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.networks import Convolutional
    >>> X, _ = load_digits(return_X_y=True)
    >>> network = Convolutional(sample_shape=(1, 8, 8))
    >>> images = AutoencoderTransformer(4, network=network, hidden_layer_sizes=(8, 16), max_iter=2, random_state=0)
    >>> images.fit_transform(X).shape
    (1797, 4)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "kernel_size": [integers(1)],
        "stride": [integers(1)],
        "dropout": [reals(0, 1)],
        "out_activation": OUT_ACTIVATION,
        "sample_shape": ["array-like", None],
    }

    def __init__(
        self,
        kernel_size: int = 3,
        stride: int = 2,
        dropout: float = 0.0,
        out_activation: str = "auto",
        sample_shape: Any = None,
    ):
        self.kernel_size = kernel_size
        self.stride = stride
        self.dropout = dropout
        self.out_activation = out_activation
        self.sample_shape = sample_shape

    @property
    def prevents_copying(self) -> bool:
        """Dropout does."""
        return self.dropout > 0

    def auto_hidden_layer_sizes(self, n_features: int, n_layers: int) -> tuple[int, ...]:
        """Channels that double while the sides of the maps are halved; about the cost of the dense widths."""
        del n_features
        return tuple(_FIRST_CHANNELS << layer for layer in range(n_layers))

    def build(self, shape: NetworkShape, generators: list[Generator]) -> ConvolutionalAutoencoder:
        """Return the module for this shape."""
        if self.kernel_size % 2 == 0:
            raise ValueError(f"Convolutional(kernel_size={self.kernel_size}) has no middle; use an odd number.")
        if not shape.hidden_layer_sizes:
            raise ValueError(
                "Convolutional needs channels in hidden_layer_sizes, but got (); use 'auto', or network='dense'."
            )
        if shape.sample_shape is not None and len(shape.sample_shape) not in (2, 3):
            raise ValueError(
                f"Convolutional reads a row as (channels, steps) or (channels, height, width), but sample_shape="
                f"{shape.sample_shape} has {len(shape.sample_shape)} numbers."
            )
        module = ConvolutionalAutoencoder(shape, self.kernel_size, self.stride, self.dropout)
        module.draw(generators)
        return module
