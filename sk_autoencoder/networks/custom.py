"""User-defined torch modules as encoder and decoder, one pair for each member."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from sk_autoencoder._parts import KeywordPart
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.networks.base import OUT_ACTIVATION, Autoencoder, Network, NetworkShape

_MATRIX = 2  # axes


class CustomAutoencoder(Autoencoder):
    """Pairs of modules; during training, the random numbers of a member come from its own generator."""

    has_member_axis = False

    def __init__(self, shape: NetworkShape, pairs: list[tuple[nn.Module, nn.Module]]):
        super().__init__(shape)
        self.encoders, self.decoders = (nn.ModuleList(side) for side in zip(*pairs, strict=True))

    @property
    def n_multiplications(self) -> int:
        """Estimate in which convolution kernels are applied once for each feature."""
        often = (weight.numel() for weight in self.parameters() if weight.ndim > _MATRIX)
        return super().n_multiplications + (self.shape.n_features - 1) * sum(often)

    def encode(self, rows: Tensor) -> Tensor:
        """Encode samples, (n_members, n, n_inputs) -> (n_members, n, n_encoded)."""
        return self._run(self.encoders, rows)

    def decode(self, code: Tensor, logits: bool = False) -> Tensor:
        """Decode latent codes, (n_members, n, n_components) -> (n_members, n, n_features)."""
        output = self._run(self.decoders, code)
        return output if logits else ACTIVATIONS[self.shape.out_activation].function(output)

    def for_inference(self) -> CustomAutoencoder:
        """Return a frozen copy; the last bits of an output may depend on the other samples of a block."""
        return copy.deepcopy(self).requires_grad_(False).eval()

    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Return copies of the first member's modules."""
        encoder, decoder = copy.deepcopy((self.encoders[0], self.decoders[0]))
        return nn.Sequential(encoder), nn.Sequential(decoder, ACTIVATIONS[self.shape.out_activation].module())

    def of_member(self, tensors: dict[str, Tensor], member: int) -> dict[str, Tensor]:
        """Select the tensors of the member's modules, and its part of the buffers of the objective."""
        shared = {name: tensor for name, tensor in tensors.items() if "." not in name}
        mine = (f"encoders.{member}.", f"decoders.{member}.")
        return {n: t for n, t in tensors.items() if n.startswith(mine)} | super().of_member(shared, member)

    def _run(self, modules: nn.ModuleList, blocks: Tensor) -> Tensor:
        results = []
        for index, block in enumerate(blocks):
            member = index * self.shape.n_members // len(blocks)
            if self.training and self.noise is not None:
                with _global_stream(self.noise[member]):
                    results.append(modules[member](block))
            else:
                results.append(modules[member](block))
        return torch.stack(results)


@contextmanager
def _global_stream(private: Generator) -> Iterator[None]:
    """Replace the state of torch's global generator by that of another generator within the context."""
    device = private.device
    on_cuda = device.type == "cuda"
    shared = torch.cuda.default_generators[device.index or 0] if on_cuda else torch.default_generator
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        shared.set_state(private.get_state())
        yield
        private.set_state(shared.get_state())


class Custom(KeywordPart, Network):
    """Encoder and decoder from user-defined classes or functions that return torch modules.

    They are called as ``encoder(n_inputs, n_encoded, **kwargs)`` and ``decoder(n_components, n_features, **kwargs)``,
    once for each ensemble member. The first argument is the number of inputs of the returned module, the second the
    number of its outputs. ``n_inputs`` is the number of features, plus that of the indicators of missing values with
    ``add_indicator``, which follow the features. ``n_encoded`` is ``n_components``, or twice that with a variational
    objective.
    ``out_activation`` is applied to the output of the decoder. The estimator's ``hidden_layer_sizes`` and
    ``activation`` are ignored; use ``**kwargs`` for such options.

    Parameters
    ----------
    encoder, decoder : class or function
        Called to create a ``torch.nn.Module``. Instances of modules are not accepted, because clones of the estimator
        need modules with new weights. To pickle the estimator, the classes or functions must be importable, not lambdas
        or nested functions.
    out_activation : str, default="auto"
        Activation of the output. "auto" is "sigmoid" for the binary cross-entropy, "identity" for other losses.
    sample_shape : tuple of int or None, default=None
        How a sample is read by corruptions with structure (``Masking(span=...)``), for example (channels, height,
        width) or (sensors, steps). The layers do not use it. X stays two-dimensional.
    **kwargs : dict
        Further arguments of both calls. They are parameters of this object, for example ``network__width`` in a grid
        search.

    Notes
    -----
    Modules use torch's global random generator for initial weights and dropout. Its state is set for each member and
    restored afterwards, so results are reproducible, but such estimators must not be fitted in several threads at the
    same time. If a module has batch normalization, a last mini-batch of a single sample is skipped; it is a different
    sample in each epoch. The last bits of an output may depend on the other samples of a call.

    A pickle refers to the classes or functions by name. Loading it calls them with two integers and ``**kwargs`` from
    the file, so load only files that you trust. ``trusted_types`` lists neither this class nor such functions.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.networks import Custom
    >>> def perceptron(n_in, n_out, width=32):
    ...     return nn.Sequential(nn.Linear(n_in, width), nn.ReLU(), nn.Linear(width, n_out))
    >>> X, _ = load_digits(return_X_y=True)
    >>> network = Custom(encoder=perceptron, decoder=perceptron, width=64)
    >>> AutoencoderTransformer(4, network=network, max_iter=2, random_state=0).fit_transform(X).shape
    (1797, 4)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "encoder": [callable],
        "decoder": [callable],
        "out_activation": OUT_ACTIVATION,
        "sample_shape": ["array-like", None],
    }

    indicators = "columns"

    def __init__(
        self,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        *,
        out_activation: str = "auto",
        sample_shape: Any = None,
        **kwargs: Any,
    ):
        self.encoder = encoder
        self.decoder = decoder
        self.out_activation = out_activation
        self.sample_shape = sample_shape
        self.kwargs = kwargs

    def build(self, shape: NetworkShape, generators: list[Generator]) -> CustomAutoencoder:
        """Create an encoder and a decoder for each member."""
        pairs = []
        for generator in generators:
            with _global_stream(generator), torch.device("cpu"):
                encoder = self._make("encoder", shape.n_inputs, shape.n_encoded, shape.torch_dtype)
                decoder = self._make("decoder", shape.n_components, shape.n_features, shape.torch_dtype)
            pairs.append((encoder, decoder))
        return CustomAutoencoder(shape, pairs)

    def _make(self, side: str, n_in: int, n_out: int, dtype: torch.dtype) -> nn.Module:
        """Create one module, and check the shape of its output for two samples."""
        maker = getattr(self, side)
        name = f"Custom({side}={getattr(maker, '__name__', type(maker).__name__)})"
        if isinstance(maker, nn.Module):
            raise ValueError(
                f"{name} got an instance of torch.nn.Module; pass its class, or a function that returns a module."
            )
        module = maker(n_in, n_out, **self.kwargs)
        if not isinstance(module, nn.Module):
            raise ValueError(f"{name} must return a torch.nn.Module, got an object of type {type(module).__name__}.")
        module = module.to(dtype)
        with torch.no_grad():
            result = module.eval()(torch.zeros(2, n_in, dtype=dtype))
        if not isinstance(result, Tensor) or result.shape != (2, n_out):
            found = tuple(result.shape) if isinstance(result, Tensor) else f"a {type(result).__name__}"
            raise ValueError(
                f"{name} must return a module with {n_in} inputs and {n_out} outputs, but for an input of shape "
                f"(2, {n_in}) the output is {found} instead of (2, {n_out})."
            )
        return module
