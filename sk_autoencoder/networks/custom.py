"""A user's own torch modules as encoder and decoder, one pair for each member."""

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
    """Pairs of modules; what they draw while they train comes from their member's private stream."""

    def __init__(self, shape: NetworkShape, pairs: list[tuple[nn.Module, nn.Module]]):
        super().__init__(shape)
        self.encoders, self.decoders = (nn.ModuleList(side) for side in zip(*pairs, strict=True))

    @property
    def n_multiplications(self) -> int:
        """Kernels of convolutions are taken to be applied once for each feature."""
        often = (weight.numel() for weight in self.parameters() if weight.ndim > _MATRIX)
        return super().n_multiplications + (self.shape.n_features - 1) * sum(often)

    def encode(self, rows: Tensor) -> Tensor:
        """(n_members, n, n_features) -> (n_members, n, n_encoded)."""
        return self._run(self.encoders, rows)

    def decode(self, code: Tensor, logits: bool = False) -> Tensor:
        """(n_members, n, n_components) -> (n_members, n, n_features)."""
        output = self._run(self.decoders, code)
        return output if logits else ACTIVATIONS[self.shape.out_activation].function(output)

    def for_inference(self) -> CustomAutoencoder:
        """Return a frozen copy; what its modules compute may depend on the other rows of a block."""
        return copy.deepcopy(self).requires_grad_(False).eval()

    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Return copies of the first member's modules."""
        encoder, decoder = copy.deepcopy((self.encoders[0], self.decoders[0]))
        return nn.Sequential(encoder), nn.Sequential(decoder, ACTIVATIONS[self.shape.out_activation].module())

    def of_member(self, tensors: dict[str, Tensor], member: int) -> dict[str, Tensor]:
        """Return the tensors of the member's own modules, and its share of those that the objective keeps."""
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
    """Let torch's global generator of a device go on a private stream for a while, and be as before afterwards."""
    device = private.device
    on_cuda = device.type == "cuda"
    shared = torch.cuda.default_generators[device.index or 0] if on_cuda else torch.default_generator
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        shared.set_state(private.get_state())
        yield
        private.set_state(shared.get_state())


class Custom(KeywordPart, Network):
    """Encoder and decoder of one's own: classes, or functions, that make torch modules.

    They are called as ``encoder(n_features, n_encoded, **kwargs)`` and ``decoder(n_components, n_features, **kwargs)``,
    once for each member of an ensemble, and have to return modules that map (n, first number) to (n, second number).
    ``n_encoded`` is ``n_components``, or twice that under a variational objective. The decoder's output goes through
    ``out_activation``. The estimator's ``hidden_layer_sizes`` and ``activation`` are ignored: pass what the modules
    need as ``**kwargs``.

    Modules draw weights, and dropout if they have any, from torch's global generator. Building and training fork it, so
    that a fit can be repeated and leaves the global state as it was, but such estimators must not be fitted from
    several threads at once. With batch normalisation a last mini-batch of one sample is left out, another one in each
    epoch. The last bits of a row's results may depend on the other rows of a call. There is no
    name for this network, because it has no default.

    A stored model keeps the makers by name, not by code, and opening it calls them, with two numbers and ``**kwargs``
    from the file. Open such a file only if you trust it; ``trusted_types`` lists neither this class nor any maker.

    Parameters
    ----------
    encoder, decoder : class or function
        Makers of ``torch.nn.Module``. Modules that are already made are refused, because they could not be cloned and
        drawn anew. To be pickled, makers must be importable: no lambdas, nothing from inside a function.
    out_activation : str, default="auto"
        Activation of the output. "auto" is "sigmoid" for the binary cross-entropy, "identity" for other losses.
    **kwargs : dict
        Passed to both makers. They are parameters of this object, and can be searched over: ``network__width``.

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
    }

    def __init__(
        self,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        *,
        out_activation: str = "auto",
        **kwargs: Any,
    ):
        self.encoder = encoder
        self.decoder = decoder
        self.out_activation = out_activation
        self.kwargs = kwargs

    def build(self, shape: NetworkShape, generators: list[Generator]) -> CustomAutoencoder:
        """Make a pair of modules for each member."""
        pairs = []
        for generator in generators:
            with _global_stream(generator), torch.device("cpu"):
                encoder = self._make("encoder", shape.n_features, shape.n_encoded, shape.torch_dtype)
                decoder = self._make("decoder", shape.n_components, shape.n_features, shape.torch_dtype)
            pairs.append((encoder, decoder))
        return CustomAutoencoder(shape, pairs)

    def _make(self, side: str, n_in: int, n_out: int, dtype: torch.dtype) -> nn.Module:
        """Make one module and try it on two rows."""
        maker = getattr(self, side)
        name = f"Custom({side}={getattr(maker, '__name__', type(maker).__name__)})"
        if isinstance(maker, nn.Module):
            raise ValueError(
                f"{name} holds a module that is already made; give its class, or a function that makes it."
            )
        module = maker(n_in, n_out, **self.kwargs)
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"{name} made an object of type {type(module).__name__}; it has to make a torch.nn.Module."
            )
        module = module.to(dtype)
        with torch.no_grad():
            result = module.eval()(torch.zeros(2, n_in, dtype=dtype))
        if not isinstance(result, Tensor) or result.shape != (2, n_out):
            found = tuple(result.shape) if isinstance(result, Tensor) else f"a {type(result).__name__}"
            raise ValueError(
                f"{name} has to map {n_in} numbers to {n_out}, but two rows, (2, {n_in}), gave {found} instead of "
                f"(2, {n_out})."
            )
        return module
