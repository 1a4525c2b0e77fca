"""Autoencoders of sequences whose steps attend to each other (transformer layers)."""

from __future__ import annotations

import copy
from math import log, pi
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from sk_autoencoder._validation import StrOptions, integers, reals
from sk_autoencoder.blocks import Activation, affine, padded
from sk_autoencoder.networks.activations import ACTIVATIONS, initial_std
from sk_autoencoder.networks.base import OUT_ACTIVATION, Autoencoder, Network, NetworkShape, draw_normal

_WIDTHS = (64, 64)  # of the encoder's layers, by default
_MLP_FACTOR = 2  # units of a layer's perceptron, in widths
_LONGEST_PERIOD = 1e4  # of sinusoidal positions, in 2 pi tokens
_POSITION_STD = 0.7  # of initial learned positions, as of sines
_RESIDUAL = 0.3  # factor of initial weights whose products are added to tokens, so that training begins gently
_MAX_GRADIENT_NORM = 1.0
_PROJECTIONS = 3  # queries, keys and values
_AXES = 2  # sensors and steps
# Names of the modules and positions that each direction uses.
_PARTS = {
    "encode": {"embedding", "encoder_positions", "encoder_layers", "to_code"},
    "decode": {"from_code", "decoder_positions", "decoder_layers", "to_token"},
}


class _Affine(nn.Module):
    """An affine layer of each member, whose outputs may be padded."""

    def __init__(self, n_in: int, n_out: int, shape: NetworkShape, generators: list[Generator], factor: float = 1.0):
        super().__init__()
        self.n_out = n_out
        std = factor * initial_std(shape.activation, n_in, n_out)
        weight = torch.empty(len(generators), n_in, n_out, dtype=shape.torch_dtype, device=shape.device)
        self.weight = nn.Parameter(draw_normal(weight, std, generators))
        self.bias = nn.Parameter(torch.zeros(len(generators), 1, n_out, dtype=shape.torch_dtype, device=shape.device))

    def forward(self, x: Tensor, activation: Activation | None = None) -> Tensor:
        return affine(x, self.weight, self.bias, activation)[..., : self.n_out]

    def pad(self) -> None:
        """Append zeros to the outputs, so that the results for a sample do not depend on its batch."""
        for name in ("weight", "bias"):
            wide = padded(getattr(self, name).detach(), rows=False).clone(memory_format=torch.contiguous_format)
            setattr(self, name, nn.Parameter(wide, requires_grad=False))


class _Layer(nn.Module):
    """A transformer layer that normalizes its inputs: attention among the tokens of a sample, then a perceptron.

    The scale and shift of the normalization are part of the affine layers behind it.
    """

    def __init__(self, n_in: int, width: int, n_heads: int, shape: NetworkShape, generators: list[Generator]):
        super().__init__()
        self.width, self.n_heads = width, n_heads
        self.activation = ACTIVATIONS[shape.activation].function
        self.entrance = _Affine(n_in, width, shape, generators) if n_in != width else None
        self.queries_keys_values = _Affine(width, _PROJECTIONS * width, shape, generators)
        self.mixed = _Affine(width, width, shape, generators, _RESIDUAL)
        self.inner = _Affine(width, _MLP_FACTOR * width, shape, generators)
        self.outer = _Affine(_MLP_FACTOR * width, width, shape, generators, _RESIDUAL)

    def forward(self, x: Tensor, n_tokens: int, network: AttentionAutoencoder) -> Tensor:
        """(n_blocks, n * n_tokens, n_in) -> (n_blocks, n * n_tokens, width)."""
        if self.entrance is not None:
            x = self.entrance(x)
        x = x + network.dropped(self.mixed(self._attended(_normalized(x), n_tokens)))
        return x + network.dropped(self.outer(self.inner(_normalized(x), self.activation)))

    def _attended(self, x: Tensor, n_tokens: int) -> Tensor:
        """Return weighted means of the tokens of each sample, for each head."""
        heads = self.queries_keys_values(x).unflatten(1, (-1, n_tokens)).unflatten(-1, (_PROJECTIONS, self.n_heads, -1))
        # (n_blocks, n, tokens, 3, heads, size) -> 3 x (n_blocks * n, heads, tokens, size)
        queries, keys, values = heads.flatten(0, 1).permute(2, 0, 3, 1, 4).contiguous()
        found = F.scaled_dot_product_attention(queries, keys, values)
        return found.transpose(1, 2).reshape(*x.shape[:2], self.width)


def _normalized(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


class AttentionAutoencoder(Autoencoder):
    """Encoder and decoder of transformer layers; weights are (n_members, ...)."""

    encoder_positions: Tensor
    decoder_positions: Tensor

    def __init__(self, shape: NetworkShape, generators: list[Generator], part: Attention):
        super().__init__(shape)
        n_sensors, n_steps = shape.sample_shape or (1, shape.n_features)
        self.max_gradient_norm = _MAX_GRADIENT_NORM
        self.dropout, self.patch = part.dropout, (n_sensors, part.patch_size)
        self.n_tokens = n_steps // part.patch_size
        token, widths = n_sensors * part.patch_size, shape.hidden_layer_sizes
        self.embedding = _Affine(shape.input_shape[0] * part.patch_size, widths[0], shape, generators)
        self.encoder_layers = _layers(widths, part.n_heads, shape, generators)
        self.to_code = _Affine(widths[-1], shape.n_encoded, shape, generators)
        self.from_code = _Affine(shape.n_components, self.n_tokens * widths[-1], shape, generators)
        self.decoder_layers = _layers(widths[::-1], part.n_heads, shape, generators)
        self.to_token = _Affine(widths[0], token, shape, generators, _RESIDUAL)
        for name, width in (("encoder_positions", widths[0]), ("decoder_positions", widths[-1])):
            if part.positions == "learned":
                self.register_parameter(name, nn.Parameter(self._drawn_positions(width, generators)))
            else:
                self.register_buffer(name, self._sines(width))

    @property
    def repeats_operations(self) -> bool:
        """Whether there is no dropout, and no subclass overrides ``encode`` or ``decode``."""
        return not self.dropout and self.computes_as(AttentionAutoencoder)

    @property
    def n_multiplications(self) -> int:
        """Layers are applied to each token, except for the first of the decoder; attention compares pairs."""
        widths, once = self.shape.hidden_layer_sizes, self.from_code.weight.numel()
        pairs = 4 * self.n_tokens**2 * sum(widths) * self.shape.n_members
        return self.n_tokens * (super().n_multiplications - once) + once + pairs

    @property
    def widest(self) -> int:
        """Queries, keys and values of all tokens."""
        return self.n_tokens * _PROJECTIONS * max(self.shape.hidden_layer_sizes)

    def encode(self, rows: Tensor) -> Tensor:
        """(n_members, n, n_inputs) -> (n_members, n, n_encoded)."""
        n_blocks, n_rows, _ = rows.shape
        tokens = rows.view(n_blocks, n_rows, -1, self.n_tokens, self.patch[1]).transpose(2, 3)
        x = self.embedding(tokens.reshape(n_blocks, n_rows * self.n_tokens, -1))
        x = self._with_positions(x, self.encoder_positions)
        for layer in self.encoder_layers:
            x = layer(x, self.n_tokens, self)
        pooled = _normalized(x).unflatten(1, (n_rows, self.n_tokens)).mean(dim=2)
        return self.to_code(pooled)

    def decode(self, code: Tensor, logits: bool = False) -> Tensor:
        """(n_members, n, n_components) -> (n_members, n, n_features)."""
        n_blocks, n_rows, _ = code.shape
        x = self.from_code(code).reshape(n_blocks, n_rows * self.n_tokens, -1)
        x = self._with_positions(x, self.decoder_positions)
        for layer in self.decoder_layers:
            x = layer(x, self.n_tokens, self)
        tokens = self.to_token(_normalized(x)).unflatten(1, (n_rows, self.n_tokens)).unflatten(-1, self.patch)
        output = tokens.transpose(2, 3).reshape(n_blocks, n_rows, -1)
        return output if logits else ACTIVATIONS[self.shape.out_activation].function(output)

    def for_inference(self) -> AttentionAutoencoder:
        """Return a copy in which the outputs of each layer are padded by zero weights to a multiple of 16."""
        padded = copy.deepcopy(self).requires_grad_(False).eval()
        for module in padded.modules():
            if isinstance(module, _Affine):
                module.pad()
        return padded

    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Return encoder and decoder of the first member, for 2-D samples; their modules are those of this package."""
        return nn.Sequential(self._half("encode")), nn.Sequential(self._half("decode"))

    def _half(self, direction: str) -> _Half:
        """Return the first member's encoder or decoder, without the other one and what the objective has registered."""
        half = copy.deepcopy(self)
        names = {name.partition(".")[0] for name, _ in (*half.named_parameters(), *half.named_buffers())}
        for name in names - _PARTS[direction]:
            delattr(half, name)
        for values in (*half.parameters(), *half.buffers()):
            values.data = values.data[:1].clone()
        return _Half(half, direction)

    def _drawn_positions(self, width: int, generators: list[Generator]) -> Tensor:
        """Return what is added to each token in the beginning, (n_members, n_tokens, width)."""
        size = (len(generators), self.n_tokens, width)
        values = torch.empty(size, dtype=self.shape.torch_dtype, device=self.shape.device)
        return draw_normal(values, _POSITION_STD, generators)

    def _sines(self, width: int) -> Tensor:
        """Return sines and cosines of the number of each token, (n_members, n_tokens, width)."""
        tokens = torch.arange(self.n_tokens, dtype=torch.float64, device=self.shape.device)[:, None]
        columns = torch.arange(width, device=self.shape.device)
        angles = tokens * torch.exp(-log(_LONGEST_PERIOD) * 2 * (columns // 2).double() / width)
        values = torch.sin(angles + (columns % 2).double() * (pi / 2)).to(self.shape.torch_dtype)
        return values.repeat(self.shape.n_members, 1, 1)

    def _with_positions(self, x: Tensor, positions: Tensor) -> Tensor:
        tokens = x.unflatten(0, (len(positions), -1)).unflatten(2, (-1, self.n_tokens))
        return (tokens + positions[:, None, None]).view(x.shape)


class _Half(nn.Module):
    """One direction of a network with a single member, on 2-D samples or codes."""

    def __init__(self, network: AttentionAutoencoder, direction: str):
        super().__init__()
        self.network, self.direction = network, direction

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.network, self.direction)(x[None])[0]


def _layers(widths: tuple[int, ...], n_heads: int, shape: NetworkShape, generators: list[Generator]) -> nn.ModuleList:
    inputs = (widths[0], *widths[:-1])
    return nn.ModuleList(
        _Layer(n_in, width, n_heads, shape, generators) for n_in, width in zip(inputs, widths, strict=True)
    )


class Attention(Network):
    """Transformer layers that encode a sequence, and decode it from the code and the positions.

    A sample of shape (sensors, steps) is cut into patches of steps, the tokens. ``hidden_layer_sizes`` are the widths
    of the encoder's layers, and "auto" is (64, 64); the decoder mirrors them. The code is an affine function of the
    mean of the last layer's tokens. Each token of the decoder starts as an affine function of the code, with weights of
    its own, to which its position is added.

    Parameters
    ----------
    n_heads : int, default=4
        Number of attention heads, a divisor of each width.
    patch_size : int, default=1
        Number of steps of a token, a divisor of the number of steps. Time and memory grow with the square of the number
        of tokens.
    positions : {"sinusoidal", "learned"}, default="sinusoidal"
        What is added to tokens to tell their positions.
    dropout : float in [0, 1), default=0.0
        Fraction of the outputs of attention and perceptrons that are set to zero in each training step.
    out_activation : str, default="auto"
        Activation of the output layer, one of the names of the estimator's ``activation``. "auto" is "sigmoid" for
        the binary cross-entropy, "identity" for other losses.
    sample_shape : tuple of int or None, default=None
        (sensors, steps). X stays two-dimensional: a sample holds the steps of the first sensor, then those of the
        second, see ``sk_autoencoder.windows``. None is one sensor with ``n_features_in_`` steps.

    References
    ----------
    A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
    R. Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020.
    Y. Nie et al., "A Time Series is Worth 64 Words", ICLR 2023 (patches).

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.networks import Attention
    >>> X = np.sin(np.linspace(0, 6, 24) + np.random.default_rng(0).uniform(0, 6, size=(100, 1)))
    >>> network = Attention(patch_size=4, sample_shape=(2, 12))
    >>> AutoencoderTransformer(3, network=network, max_iter=2, random_state=0).fit_transform(X).shape
    (100, 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_heads": [integers(1)],
        "patch_size": [integers(1)],
        "positions": [StrOptions({"sinusoidal", "learned"})],
        "dropout": [reals(0, 1)],
        "out_activation": OUT_ACTIVATION,
        "sample_shape": ["array-like", None],
    }

    indicators = "channels"

    def __init__(
        self,
        n_heads: int = 4,
        patch_size: int = 1,
        positions: str = "sinusoidal",
        dropout: float = 0.0,
        out_activation: str = "auto",
        sample_shape: Any = None,
    ):
        self.n_heads = n_heads
        self.patch_size = patch_size
        self.positions = positions
        self.dropout = dropout
        self.out_activation = out_activation
        self.sample_shape = sample_shape

    def auto_hidden_layer_sizes(self, n_features: int, n_layers: int) -> tuple[int, ...]:
        """Return two layers of 64."""
        del n_features, n_layers
        return _WIDTHS

    def build(self, shape: NetworkShape, generators: list[Generator]) -> AttentionAutoencoder:
        """Return the module for this shape."""
        sizes, sample_shape = shape.hidden_layer_sizes, shape.sample_shape or (1, shape.n_features)
        if len(sample_shape) != _AXES:
            raise ValueError(f"Attention reads samples as (sensors, steps), but sample_shape={sample_shape}.")
        if not sizes:
            raise ValueError("Attention needs at least one layer, got hidden_layer_sizes=().")
        if sample_shape[1] % self.patch_size:
            raise ValueError(
                f"Attention(patch_size={self.patch_size}) does not divide the {sample_shape[1]} steps of a sample; use "
                "a divisor."
            )
        if any(width % self.n_heads for width in sizes):
            raise ValueError(
                f"Attention(n_heads={self.n_heads}) does not divide all of hidden_layer_sizes={sizes}; use a divisor, "
                "or other widths."
            )
        return AttentionAutoencoder(shape, generators, self)
