"""Convolutional autoencoders for images and sequences; members are computed one after the other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from sk_autoencoder._threads import threads
from sk_autoencoder._torch import convolution_backward
from sk_autoencoder._validation import integers, reals
from sk_autoencoder.blocks import cellwise, rounded_up
from sk_autoencoder.networks.activations import ACTIVATIONS, initial_std
from sk_autoencoder.networks.base import OUT_ACTIVATION, Autoencoder, Network, NetworkShape, draw_normal

_FIRST_CHANNELS = 16

# Keys are numbers of axes: 1 for sequences, 2 for images.
_MODULES: dict[int, tuple[Any, Any]] = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d)}


class _Convolution(torch.autograd.Function):
    """A convolution, or a transposed one if there is output padding, whose gradients do not depend on threads.

    The gradient of the kernel is a sum over samples, which several threads would add up in another order than one.
    """

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, kernel: Tensor, bias: Tensor, stride: int, padding: int, added: tuple[int, ...] | None
    ) -> Tensor:
        n_axes = kernel.ndim - 2
        ctx.save_for_backward(maps, kernel)
        dilation, n_groups = [1] * n_axes, 1
        transposed, added = added is not None, added or (0,) * n_axes
        ctx.options = [stride] * n_axes, [padding] * n_axes, dilation, transposed, added, n_groups
        return torch.convolution(maps, kernel, bias, *ctx.options)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        maps, kernel = ctx.saved_tensors
        of_maps, of_kernel, of_bias = ctx.needs_input_grad[:3]
        differentiate = partial(convolution_backward, gradients[0], maps, kernel, ctx.options)
        result = differentiate((of_maps, False, False))[0] if of_maps else None
        with threads(0, 1):
            others = differentiate((False, of_kernel, of_bias))[1:] if of_kernel or of_bias else (None, None)
        return result, *others, None, None, None


def _convolve(maps: Tensor, kernel: Tensor, bias: Tensor, *options: Any) -> Tensor:
    """Apply ``_Convolution``, in the reduced precision of an autocast context, as torch's own convolutions."""
    tensors = [maps, kernel, bias]
    if torch.is_autocast_enabled(maps.device.type):
        tensors = [tensor.to(torch.get_autocast_dtype(maps.device.type)) for tensor in tensors]
    return _Convolution.apply(*tensors, *options)


class ConvolutionalAutoencoder(Autoencoder):
    """Encoder of strided convolutions and an affine layer, and a mirrored decoder.

    Kernels are (n_members, n_out, n_in, *patch) in the encoder and (n_members, n_in, n_out, *patch) in the decoder. All
    weights are zero until ``draw`` is called.
    """

    def __init__(self, shape: NetworkShape, kernel_size: int, stride: int, dropout: float):
        super().__init__(shape)
        self.kernel_size, self.stride, self.dropout = kernel_size, stride, dropout
        self.image = shape.sample_shape or (1, shape.n_features)  # (channels, *size)
        self.sizes = [self.image[1:]]  # of the feature maps in the encoder
        for _ in shape.hidden_layer_sizes:
            self.sizes.append(tuple(-(-length // stride) for length in self.sizes[-1]))
        hidden = shape.hidden_layer_sizes
        self.last_map = (hidden[-1], *self.sizes[-1])
        self.n_axes = len(self.sizes[0])

        def zeros(*size: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape.n_members, *size, dtype=shape.torch_dtype, device=shape.device))

        patch, flat = (kernel_size,) * self.n_axes, prod(self.last_map)
        down, up = list(pairwise((shape.input_shape[0], *hidden))), list(pairwise((*reversed(hidden), self.image[0])))
        self.encoder_kernels = nn.ParameterList(zeros(n_out, n_in, *patch) for n_in, n_out in down)
        self.encoder_biases = nn.ParameterList(zeros(n_out) for _, n_out in down)
        self.code_weight, self.code_bias = zeros(flat, shape.n_encoded), zeros(shape.n_encoded)
        self.map_weight, self.map_bias = zeros(shape.n_components, flat), zeros(flat)
        self.decoder_kernels = nn.ParameterList(zeros(n_in, n_out, *patch) for n_in, n_out in up)
        self.decoder_biases = nn.ParameterList(zeros(n_out) for _, n_out in up)

    @property
    def n_multiplications(self) -> int:
        """Estimate in which a kernel is applied once for each position of the smaller feature map."""
        places = [prod(size) for size in self.sizes[1:]]
        pairs = [*zip(self.encoder_kernels, places, strict=True), *zip(self.decoder_kernels, places[::-1], strict=True)]
        return super().n_multiplications + sum((n - 1) * kernel.numel() for kernel, n in pairs)

    @torch.no_grad()
    def draw(self, generators: list[Generator]) -> None:
        """Draw the initial weights of each member from its generator."""
        # With a stride, an entry of the larger feature map is multiplied by one in ``overlap`` entries of a kernel.
        overlap = self.stride**self.n_axes
        for kernel in self.encoder_kernels:
            self._draw(kernel, kernel[0, 0].numel(), kernel[0, :, 0].numel() / overlap, generators)
        for weight in (self.code_weight, self.map_weight):
            self._draw(weight, weight.shape[1], weight.shape[2], generators)
        for kernel in self.decoder_kernels:
            self._draw(kernel, kernel[0, :, 0].numel() / overlap, kernel[0, 0].numel(), generators)

    def encode(self, rows: Tensor) -> Tensor:
        """Encode samples, (n_members, n, n_inputs) -> (n_members, n, n_encoded)."""
        codes = [self._encode(block, index * self.shape.n_members // len(rows)) for index, block in enumerate(rows)]
        return torch.stack(codes)[..., : self.shape.n_encoded]

    def decode(self, code: Tensor, logits: bool = False) -> Tensor:
        """Decode latent codes, (n_members, n, n_components) -> (n_members, n, n_features)."""
        code = F.pad(code, (0, self.map_weight.shape[1] - code.shape[-1]))  # for the padded copy
        rows = [self._decode(block, index * self.shape.n_members // len(code)) for index, block in enumerate(code)]
        output = torch.stack(rows)
        return output if logits else cellwise(ACTIVATIONS[self.shape.out_activation].function, output)

    def for_inference(self) -> ConvolutionalAutoencoder:
        """Return a copy in which the hidden channels and the code are padded to multiples of 16 by zero weights."""
        hidden = tuple(map(rounded_up, self.shape.hidden_layer_sizes))
        n_components, n_encoded = rounded_up(self.shape.n_components), rounded_up(self.shape.n_encoded)
        shape = replace(self.shape, hidden_layer_sizes=hidden, n_components=n_components, n_encoded=n_encoded)
        padded = ConvolutionalAutoencoder(shape, self.kernel_size, self.stride, self.dropout)
        padded.to(self.code_weight.device).requires_grad_(False).eval()
        for name, grown in padded.named_parameters():
            weight = self.get_parameter(name)
            grown[tuple(map(slice, weight.shape))] = weight.detach()
        for name, buffer in self.named_buffers(recurse=False):  # that the objective has registered
            padded.register_buffer(name, buffer)
        padded.shape = self.shape
        return padded

    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Return the first member as two ``nn.Sequential`` that take flat samples."""
        options = {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.kernel_size // 2}
        activation, kinds = ACTIVATIONS[self.shape.activation].module, _MODULES[self.n_axes]
        encoder: list[nn.Module] = [nn.Unflatten(1, self.shape.input_shape)]
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
    def repeats_operations(self) -> bool:
        """Whether there is no dropout, and no subclass overrides ``encode`` or ``decode``."""
        return not self.dropout and self.computes_as(ConvolutionalAutoencoder)

    @property
    def _output_paddings(self) -> list[tuple[int, ...]]:
        """Output padding of each decoder layer: its output has the size of the mirrored encoder layer's input."""
        sizes = reversed(list(pairwise(self.sizes)))
        return [tuple(n - (k - 1) * self.stride - 1 for n, k in zip(*pair, strict=True)) for pair in sizes]

    def _encode(self, rows: Tensor, member: int) -> Tensor:
        """Encode samples with one member, (n, n_inputs) -> (n, n_encoded)."""
        maps = rows.unflatten(1, self.shape.input_shape)
        for kernel, bias in zip(self.encoder_kernels, self.encoder_biases, strict=True):
            maps = _convolve(maps, kernel[member], bias[member], self.stride, self.kernel_size // 2, None)
            maps = self._activate(maps, member)
        return torch.addmm(self.code_bias[member], maps.flatten(1), self.code_weight[member])

    def _decode(self, code: Tensor, member: int) -> Tensor:
        """Decode latent codes with one member, (n, n_components) -> (n, n_features)."""
        maps = torch.addmm(self.map_bias[member], code, self.map_weight[member])
        maps = maps.unflatten(1, (-1, *self.last_map[1:]))
        for kernel, bias, added in zip(self.decoder_kernels, self.decoder_biases, self._output_paddings, strict=True):
            maps = self._activate(maps, member)
            maps = _convolve(maps, kernel[member], bias[member], self.stride, self.kernel_size // 2, added)
        return maps.flatten(1)

    def _activate(self, maps: Tensor, member: int) -> Tensor:
        return self.dropped(cellwise(ACTIVATIONS[self.shape.activation].function, maps), member)

    def _draw(self, weight: Tensor, fan_in: float, fan_out: float, generators: list[Generator]) -> None:
        draw_normal(weight, initial_std(self.shape.activation, fan_in, fan_out), generators)


def _filled(layer: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    """Set the weights of a layer to those of the first member."""
    layer.weight = nn.Parameter(weight[0].detach().clone())
    layer.bias = nn.Parameter(bias[0].detach().clone())
    return layer


def _linear(weight: Tensor, bias: Tensor) -> nn.Module:
    _, n_in, n_out = weight.shape
    return _filled(nn.Linear(n_in, n_out, device="meta"), weight.mT, bias)


class Convolutional(Network):
    """Convolutional encoder with strided convolutions, and a mirrored decoder with transposed convolutions.

    ``hidden_layer_sizes`` are numbers of channels. Each layer divides the sides of its feature maps by ``stride``,
    rounded up, and the decoder restores the sizes of the encoder. An affine layer maps the last feature map to the
    code. "auto" is 16 channels in the first layer, and twice as many in each further layer.

    Parameters
    ----------
    kernel_size : int, default=3
        Side of the convolution kernels, an odd number.
    stride : int, default=2
        Stride of the convolutions.
    dropout : float in [0, 1), default=0.0
        Fraction of the entries of hidden feature maps that are set to zero in each training step.
    out_activation : str, default="auto"
        Activation of the output layer, one of the names of the estimator's ``activation``. "auto" is "sigmoid" for
        the binary cross-entropy, "identity" for other losses.
    sample_shape : tuple of int or None, default=None
        Shape of a sample: (channels, height, width) or (channels, steps). X stays two-dimensional, each sample is
        reshaped in C order. None is one channel of ``n_features_in_`` steps.

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

    indicators = "channels"

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

    def auto_hidden_layer_sizes(self, n_features: int, n_layers: int) -> tuple[int, ...]:
        """Return 16 channels for the first layer, and twice as many for each further layer."""
        del n_features
        return tuple(_FIRST_CHANNELS << layer for layer in range(n_layers))

    def build(self, shape: NetworkShape, generators: list[Generator]) -> ConvolutionalAutoencoder:
        """Build the module, and draw its weights."""
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"Convolutional needs an odd kernel_size, got {self.kernel_size}; use for example kernel_size=3."
            )
        if not shape.hidden_layer_sizes:
            raise ValueError(
                "Convolutional needs at least one number of channels in hidden_layer_sizes, got (); use 'auto', or "
                "network='dense'."
            )
        if shape.sample_shape is not None and len(shape.sample_shape) not in (2, 3):
            raise ValueError(
                f"sample_shape of Convolutional must be (channels, steps) or (channels, height, width), got "
                f"{shape.sample_shape}."
            )
        module = ConvolutionalAutoencoder(shape, self.kernel_size, self.stride, self.dropout)
        module.draw(generators)
        return module
