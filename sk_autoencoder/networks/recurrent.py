"""Recurrent autoencoders for sequences, with torch's LSTM and GRU kernels; members are computed one after the other."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from sk_autoencoder._validation import StrOptions, reals
from sk_autoencoder._warnings import warn
from sk_autoencoder.blocks import affine, rounded_up
from sk_autoencoder.networks import recurrent_modules as modules
from sk_autoencoder.networks.activations import ACTIVATIONS, initial_std
from sk_autoencoder.networks.base import OUT_ACTIVATION, Autoencoder, Network, NetworkShape, draw_normal

_AUTO_UNITS = 64
_MANY_STEPS = 256
_N_AXES = 2  # of a sample: sensors and steps

_N_GATES = {"lstm": 4, "gru": 3}
_N_STATES = {"lstm": 2, "gru": 1}  # an LSTM has a hidden state, which is its output, and a cell state
_FORGET = 1  # position of the forget gate among the gates of an LSTM


class RecurrentLayer(nn.Module):
    """Weights of one layer, in one or two directions of time; they are zero until ``draw`` is called.

    Input weights are (n_members, n_directions, n_gates, n_units, n_directions of the layer before, n_in), so that a
    layer is padded by appending zeros to axes.
    """

    def __init__(self, shape: NetworkShape, cell: str, n_in: tuple[int, int], n_units: int, n_directions: int = 1):
        super().__init__()
        self.cell, self.n_directions = cell, n_directions
        gates = (n_directions, _N_GATES[cell], n_units)
        self.input_weight, self.state_weight = _zeros(shape, *gates, *n_in), _zeros(shape, *gates, n_units)
        self.input_bias, self.state_bias = _zeros(shape, *gates), _zeros(shape, *gates)

    @property
    def n_multiplications(self) -> int:
        """Number of weights, each of which is used once for each step."""
        return self.input_weight.numel() + self.state_weight.numel()

    def draw(self, generators: list[Generator]) -> None:
        """Draw the initial weights; the bias of an LSTM's forget gate is 1."""
        largest = self.state_weight.shape[-1] ** -0.5
        for weight in (self.input_weight, self.state_weight):
            for member, generator in zip(weight, generators, strict=True):
                member.uniform_(-largest, largest, generator=generator)
        if self.cell == "lstm":
            self.input_bias[:, :, _FORGET] = 1.0

    def of_members(self) -> list[list[Tensor]]:
        """Return the weights of each member as torch's kernels take them, four matrices and vectors per direction."""
        parts = [
            self.input_weight.flatten(4).flatten(2, 3),
            self.state_weight.flatten(2, 3),
            self.input_bias.flatten(2),
            self.state_bias.flatten(2),
        ]
        split = [part.flatten(0, 1).unbind() for part in parts]  # n_members * n_directions each
        flat = [weight for direction in zip(*split, strict=True) for weight in direction]
        size = len(parts) * self.n_directions
        members = [flat[start : start + size] for start in range(0, len(flat), size)]
        return [in_one_chunk(weights) for weights in members] if self.input_weight.is_cuda else members

    def run(self, steps: Tensor, weights: list[Tensor], start: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Compute a whole sequence, (n_steps, n, n_in), with one member.

        Returns the states, (n_steps, n, n_directions * n_units), and the last ones, (n_directions, n, n_units).
        """
        steps = _widened(steps, weights)
        if start is None:
            zeros = steps.new_zeros(self.n_directions, steps.shape[1], weights[1].shape[1])
            first = [zeros] * _N_STATES[self.cell]
        else:
            first = [state[None].contiguous() for state in start]  # cuDNN needs it
        # Biases, one layer, no dropout, whether there may be gradients, directions, steps first.
        options: Any = (True, 1, 0.0, torch.is_grad_enabled(), self.n_directions > 1, False)
        if self.cell == "lstm":
            return torch.lstm(steps, first, weights, *options)[:2]
        return torch.gru(steps, first[0], weights, *options)

    def step(self, x: Tensor, state: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
        """Compute the state after a single step, (n, n_in), with one member."""
        x = _widened(x, weights)
        if self.cell == "lstm":
            return list(torch.lstm_cell(x, state, *weights))
        return [torch.gru_cell(x, *state, *weights)]


class RecurrentAutoencoder(Autoencoder):
    """Recurrent layers, an affine layer from the last states to the code, and a decoder in reverse order of time.

    All weights are zero until ``draw`` is called. With ``padded``, states, outputs and codes have widths that are
    multiples of 16, and the inputs of the first layers even ones.
    """

    encoder: Any  # nn.ModuleList of RecurrentLayer
    decoder: Any

    def __init__(
        self, shape: NetworkShape, cell: str, bidirectional: bool, feedback: bool, dropout: float, padded: bool = False
    ):
        super().__init__(shape)
        self.cell, self.bidirectional, self.dropout = cell, bidirectional, dropout
        self.uses_targets = feedback
        self.n_sensors, self.n_steps = shape.sample_shape or (1, shape.n_features)
        rounded = rounded_up if padded else int
        units = tuple(map(rounded, shape.hidden_layer_sizes))
        n_directions = 2 if bidirectional else 1

        even = _round_up_to_even if padded else int
        inputs = ((1, even(shape.input_shape[0])), *((n_directions, width) for width in units[:-1]))
        self.encoder = nn.ModuleList(
            RecurrentLayer(shape, cell, n_in, width, n_directions) for n_in, width in zip(inputs, units, strict=True)
        )
        n_encoded = rounded(shape.n_encoded)
        self.code_weight = _zeros(shape, n_directions, units[-1], n_encoded)
        self.code_bias = _zeros(shape, 1, n_encoded)
        up = (even(self.n_sensors if feedback else shape.n_components), *reversed(units))
        self.decoder = nn.ModuleList(RecurrentLayer(shape, cell, (1, n_in), width) for n_in, width in pairwise(up))
        self.output_weight = _zeros(shape, units[0], rounded(self.n_sensors))
        self.output_bias = _zeros(shape, rounded(self.n_sensors))
        # Layers from the code to the first states of the decoder's layers.
        starts = [(_N_STATES[cell], width) for width in up[1:]] if feedback else []
        self.start_weights = nn.ParameterList(_zeros(shape, shape.n_components, *size) for size in starts)
        self.start_biases = nn.ParameterList(_zeros(shape, 1, *size) for size in starts)

    @property
    def n_multiplications(self) -> int:
        """Number of the weights, times the number of steps where they are used for each step."""
        layers = [*self.encoder, *self.decoder]
        repeated = sum(layer.n_multiplications for layer in layers) + self.output_weight.numel()
        once = [self.code_weight, *self.start_weights]
        return self.n_steps * repeated + sum(weight.numel() for weight in once)

    @torch.no_grad()
    def draw(self, generators: list[Generator]) -> None:
        """Draw the initial weights of each member from its generator."""
        for layer in (*self.encoder, *self.decoder):
            layer.draw(generators)
        flat = [self.code_weight.flatten(1, 2), self.output_weight, *(w.flatten(2) for w in self.start_weights)]
        for weight in flat:
            draw_normal(weight, initial_std("tanh", *weight.shape[1:]), generators)

    @property
    def repeats_operations(self) -> bool:
        """Whether there is no dropout, and no subclass overrides ``encode`` or ``decode``."""
        return not self.dropout and self.computes_as(RecurrentAutoencoder)

    def encode(self, rows: Tensor) -> Tensor:
        """Encode samples, (n_members, n, n_inputs) -> (n_members, n, n_encoded)."""
        weights = [layer.of_members() for layer in self.encoder]
        last = [self._last_states(block, member, weights) for member, block in self._blocks(rows)]
        code = affine(torch.stack(last), self.code_weight.flatten(1, 2), self.code_bias)
        return code[..., : self.shape.n_encoded]

    def decode(self, code: Tensor, logits: bool = False, clean: Tensor | None = None) -> Tensor:
        """Decode latent codes, (n_members, n, n_components) -> (n_members, n, n_features).

        With feedback, ``clean`` are samples whose steps are used in place of those that were computed before.
        """
        weights = [layer.of_members() for layer in self.decoder]
        if self.uses_targets:
            pairs = zip(self.start_weights, self.start_biases, strict=True)
            starts = [affine(code, w.flatten(2), b.flatten(2)).unflatten(2, w.shape[2:]) for w, b in pairs]
            outputs = [
                self._with_feedback([start[index].unbind(1) for start in starts], member, weights)
                if clean is None
                else self._with_targets([start[index].unbind(1) for start in starts], clean[index], member, weights)
                for index, (member, _) in enumerate(self._blocks(code))
            ]
        else:
            outputs = [
                self._output(self._stacked(block.expand(self.n_steps, -1, -1).contiguous(), member, weights), member)
                for member, block in self._blocks(code)
            ]
        steps = torch.stack(outputs)[..., : self.n_sensors]  # (n_members, n_steps, n, n_sensors), the last step first
        output = steps.flip(1).permute(0, 2, 3, 1).flatten(2)
        return output if logits else ACTIVATIONS[self.shape.out_activation].function(output)

    def for_inference(self) -> RecurrentAutoencoder:
        """Return a copy in which states, outputs and codes are padded to multiples of 16 by zero weights."""
        options = (self.cell, self.bidirectional, self.uses_targets, self.dropout)
        padded = RecurrentAutoencoder(self.shape, *options, padded=True)
        padded.to(self.code_weight.device).requires_grad_(False).eval()
        for name, grown in padded.named_parameters():
            weight = self.get_parameter(name)
            grown[tuple(map(slice, weight.shape))] = weight.detach()
        for name, buffer in self.named_buffers(recurse=False):  # that the objective has registered
            padded.register_buffer(name, buffer)
        return padded

    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Return the first member as two ``nn.Sequential`` that take flat samples."""
        down, up = (
            [modules.recurrent(self.cell, layer.of_members()[0]) for layer in layers]
            for layers in (self.encoder, self.decoder)
        )
        encoder = [
            *(modules.Steps(self.shape.input_shape[0]), modules.States(down), modules.LastState(self.bidirectional)),
            modules.linear(self.code_weight[0].flatten(0, 1), self.code_bias[0, 0]),
        ]
        activation = ACTIVATIONS[self.shape.out_activation].module
        output = modules.linear(self.output_weight[0], self.output_bias[0])
        if self.uses_targets:
            pairs = zip(self.start_weights, self.start_biases, strict=True)
            starts: list[nn.Module] = [modules.linear(w[0].flatten(1), b[0].flatten()) for w, b in pairs]
            decoder: list[nn.Module] = [modules.Feedback(up, starts, output, activation(), self.n_steps)]
        else:
            decoder = [modules.Repeated(self.n_steps), modules.States(up), output]
        return nn.Sequential(*encoder), nn.Sequential(*decoder, modules.Samples(), activation())

    def _blocks(self, tensor: Tensor) -> list[tuple[int, Tensor]]:
        """Return each block of samples or codes, and the member that it belongs to."""
        return [(index * self.shape.n_members // len(tensor), block) for index, block in enumerate(tensor)]

    def _sequences(self, rows: Tensor) -> Tensor:
        """(n, n_channels * n_steps) -> (n_steps, n, n_channels); channels are sensors and their indicators."""
        return rows.unflatten(1, (-1, self.n_steps)).permute(2, 0, 1).contiguous()

    def _last_states(self, rows: Tensor, member: int, weights: list[list[list[Tensor]]]) -> Tensor:
        """Read samples with one member, (n, n_inputs) -> (n, n_directions * n_units)."""
        steps = self._sequences(rows)
        for depth, (layer, own) in enumerate(zip(self.encoder, weights, strict=True)):
            steps, last = layer.run(self.dropped(steps, member) if depth else steps, own[member])
        return last.transpose(0, 1).flatten(1)

    def _stacked(
        self, steps: Tensor, member: int, weights: list[list[list[Tensor]]], starts: list[Any] | None = None
    ) -> Tensor:
        """Compute the states of the decoder's last layer with one member, (n_steps, n, n_units)."""
        for depth, (layer, own) in enumerate(zip(self.decoder, weights, strict=True)):
            start = None if starts is None else starts[depth]
            steps, _ = layer.run(self.dropped(steps, member) if depth else steps, own[member], start)
        return steps

    def _with_targets(self, starts: list[Any], clean: Tensor, member: int, weights: list[list[list[Tensor]]]) -> Tensor:
        """Compute whole sequences: the input of each step is the true one before it, in reverse order of time."""
        states = starts[-1][0][None]
        if self.n_steps > 1:
            given = self._sequences(clean).flip(0)[:-1]
            states = torch.cat([states, self._stacked(given, member, weights, starts)])
        return self._output(states, member)

    def _with_feedback(self, starts: list[Any], member: int, weights: list[list[list[Tensor]]]) -> Tensor:
        """Compute one step after the other: the input of each is the one before it."""
        states, activation = list(starts), ACTIVATIONS[self.shape.out_activation].function
        outputs = [self._output(states[-1][0], member)]
        for _ in range(self.n_steps - 1):
            x = activation(outputs[-1][:, : self.n_sensors])
            for depth, (layer, own) in enumerate(zip(self.decoder, weights, strict=True)):
                states[depth] = layer.step(self.dropped(x, member) if depth else x, states[depth], own[member])
                x = states[depth][0]
            outputs.append(self._output(x, member))
        return torch.stack(outputs)

    def _output(self, states: Tensor, member: int) -> Tensor:
        """Compute the sensors from states of the last layer with one member, (..., n_units) -> (..., n_sensors)."""
        flat = states.flatten(0, -2)
        steps = torch.addmm(self.output_bias[member], flat, self.output_weight[member])
        return steps.unflatten(0, states.shape[:-1])


def in_one_chunk(weights: list[Tensor]) -> list[Tensor]:
    """Copy the weights of a layer into consecutive memory, all matrices before all biases, as cuDNN has them.

    From other places it copies them itself, with a warning.
    """
    order = sorted(range(len(weights)), key=lambda index: weights[index].ndim == 1)
    pieces = torch.cat([weights[index].flatten() for index in order]).split([weights[index].numel() for index in order])
    placed = {index: piece.view_as(weights[index]) for index, piece in zip(order, pieces, strict=True)}
    return [placed[index] for index in range(len(weights))]


def _zeros(shape: NetworkShape, *size: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape.n_members, *size, dtype=shape.torch_dtype, device=shape.device))


def _widened(x: Tensor, weights: list[Tensor]) -> Tensor:
    """Append zeros to the inputs of a padded layer."""
    missing = weights[0].shape[1] - x.shape[-1]
    return F.pad(x, (0, missing)) if missing else x


def _round_up_to_even(width: int) -> int:
    """Round up: of products in float64 with an odd number of addends, rows at other positions had other bits."""
    return width + width % 2 if width > 1 else width


class Recurrent(Network):
    """Encoder and decoder of recurrent layers, for sequences of sensors.

    ``hidden_layer_sizes`` are the numbers of units of stacked layers; "auto" is one layer of 64. An affine layer maps
    the last state of the encoder to the code. The decoder has the mirrored sizes. It gets the code at every step, and
    rebuilds the steps in reverse order of time: the last one first. An affine layer maps its state to the sensors.
    The estimator's ``activation`` is not used, since the units have their own.

    Parameters
    ----------
    cell : {"lstm", "gru"}, default="lstm"
        Kind of the units.
    bidirectional : bool, default=False
        Whether each layer of the encoder also reads the sequence in reverse order of time, with units of its own. The
        decoder has one direction.
    feedback : bool, default=False
        Whether the decoder gets the step that it has rebuilt before in place of the code, which then gives its first
        state, as in EncDec-AD. During training it gets the true step (teacher forcing). Afterwards steps are computed
        one after the other, which is slow.
    dropout : float in [0, 1), default=0.0
        Fraction of the states between two layers that are set to zero in each training step.
    max_gradient_norm : float or None, default=1.0
        Largest norm of the gradients of an ensemble member; longer gradients are scaled down. None is no limit.
    out_activation : str, default="auto"
        Activation of the output layer, one of the names of the estimator's ``activation``. "auto" is "sigmoid" for
        the binary cross-entropy, "identity" for other losses.
    sample_shape : tuple of int or None, default=None
        Shape of a sample: (sensors, steps). X stays two-dimensional: a sample holds the steps of the first sensor, then
        those of the second (see :mod:`sk_autoencoder.windows`). None is one sensor of ``n_features_in_`` steps.

    Notes
    -----
    The time of a training step grows with the number of steps of a sequence, and gradients of long sequences vanish:
    above 256 steps there is a warning. cuDNN's kernels have no second derivatives: with objectives that need them
    (contractive penalties), use ``device="cpu"``.

    References
    ----------
    P. Malhotra et al., "LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection", ICML Anomaly Detection
    Workshop, 2016 (EncDec-AD).
    S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997.
    K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation",
    EMNLP 2014 (GRU).

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.networks import Recurrent
    >>> from sk_autoencoder.windows import cut_windows
    >>> series = np.sin(np.arange(200)[:, None] * [0.3, 0.5])
    >>> windows = cut_windows(series, window_size=20)
    >>> X = windows.reshape(len(windows), -1)
    >>> network = Recurrent(sample_shape=(2, 20))
    >>> model = AutoencoderTransformer(4, network=network, hidden_layer_sizes=(16,), max_iter=2, random_state=0)
    >>> model.fit_transform(X).shape
    (181, 4)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "cell": [StrOptions({"lstm", "gru"})],
        "bidirectional": ["boolean"],
        "feedback": ["boolean"],
        "dropout": [reals(0, 1)],
        "max_gradient_norm": [reals(0, closed="neither"), None],
        "out_activation": OUT_ACTIVATION,
        "sample_shape": ["array-like", None],
    }

    indicators = "channels"

    def __init__(
        self,
        cell: str = "lstm",
        bidirectional: bool = False,
        feedback: bool = False,
        dropout: float = 0.0,
        max_gradient_norm: float | None = 1.0,
        out_activation: str = "auto",
        sample_shape: Any = None,
    ):
        self.cell = cell
        self.bidirectional = bidirectional
        self.feedback = feedback
        self.dropout = dropout
        self.max_gradient_norm = max_gradient_norm
        self.out_activation = out_activation
        self.sample_shape = sample_shape

    def auto_hidden_layer_sizes(self, n_features: int, n_layers: int) -> tuple[int, ...]:
        """Return one layer of 64 units; stacked layers need more steps of training."""
        del n_features, n_layers
        return (_AUTO_UNITS,)

    def build(self, shape: NetworkShape, generators: list[Generator]) -> RecurrentAutoencoder:
        """Build the module, and draw its weights."""
        if not shape.hidden_layer_sizes:
            raise ValueError(
                "Recurrent needs at least one number of units in hidden_layer_sizes, got (); use 'auto', or "
                "network='dense'."
            )
        if shape.sample_shape is not None and len(shape.sample_shape) != _N_AXES:
            raise ValueError(f"sample_shape of Recurrent must be (sensors, steps), got {shape.sample_shape}.")
        module = RecurrentAutoencoder(shape, self.cell, self.bidirectional, self.feedback, self.dropout)
        module.max_gradient_norm = self.max_gradient_norm
        module.draw(generators)
        return module

    def warn(self, shape: NetworkShape) -> None:
        """Warn of long sequences, and of dropout that has no effect."""
        n_steps = (shape.sample_shape or (shape.n_features,))[-1]
        if n_steps > _MANY_STEPS:
            warn(
                f"Recurrent reads samples of {n_steps} steps, one after the other: training is slow above "
                f"{_MANY_STEPS} steps, and gradients vanish. Use shorter windows, every k-th step, "
                "or network='convolutional'; sample_shape=(sensors, steps) says how many features are steps."
            )
        if self.dropout and len(shape.hidden_layer_sizes) == 1:
            warn(
                f"Recurrent(dropout={self.dropout}) has no effect with hidden_layer_sizes={shape.hidden_layer_sizes}: "
                "it acts between layers, and there is one."
            )
