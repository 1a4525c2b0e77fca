"""Rows of ``benchmarks.throughput``: recurrent and attention networks against torch's own layers, by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.timing import ratios
from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.blocks import BLOCK_ROWS
from sk_autoencoder.networks import Attention, Recurrent

N_SAMPLES, SENSORS, STEPS, WIDTH, CODE, BATCH, EPOCHS = 4000, 8, 128, 64, 16, 64, 5
PATCH, HEADS, PERCEPTRON = 4, 4, 2
SAMPLE_SHAPE = (SENSORS, STEPS)


class PlainRecurrent(nn.Module):
    """Two LSTMs, as ``Recurrent`` has them: code at every step, the last step first."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(SENSORS, WIDTH), nn.LSTM(CODE, WIDTH)
        self.code, self.output = nn.Linear(WIDTH, CODE), nn.Linear(WIDTH, SENSORS)

    def encode(self, rows: Tensor) -> Tensor:
        """(n, n_features) -> (n, code)."""
        steps = rows.unflatten(1, SAMPLE_SHAPE).permute(2, 0, 1)
        return self.code(self.encoder(steps)[1][0][0])

    def forward(self, rows: Tensor) -> Tensor:
        """Reconstruct."""
        states, _ = self.decoder(self.encode(rows).expand(STEPS, -1, -1))
        return self.output(states).flip(0).permute(1, 2, 0).flatten(1)


class PlainAttention(nn.Module):
    """One transformer layer on each side, as ``Attention`` has them."""

    def __init__(self) -> None:
        super().__init__()
        token, n_tokens = SENSORS * PATCH, STEPS // PATCH
        self.embedding, self.token = nn.Linear(token, WIDTH), nn.Linear(WIDTH, token)
        self.positions = nn.Parameter(torch.randn(2, n_tokens, WIDTH), requires_grad=False)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, PERCEPTRON * WIDTH, 0.0, nn.functional.silu, batch_first=True, norm_first=True
            )
            for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.code, self.decode = nn.Linear(WIDTH, CODE), nn.Linear(CODE, n_tokens * WIDTH)

    def encode(self, rows: Tensor) -> Tensor:
        """(n, n_features) -> (n, code)."""
        tokens = rows.view(len(rows), SENSORS, -1, PATCH).transpose(1, 2).flatten(2)
        x = self.layers[0](self.embedding(tokens) + self.positions[0])
        return self.code(self.norms[0](x).mean(dim=1))

    def forward(self, rows: Tensor) -> Tensor:
        """Reconstruct."""
        x = self.decode(self.encode(rows)).unflatten(1, self.positions.shape[1:])
        x = self.layers[1](x + self.positions[1])
        tokens = self.token(self.norms[1](x)).unflatten(2, (SENSORS, PATCH))
        return tokens.transpose(1, 2).flatten(1)


def samples(n_samples: int) -> np.ndarray:
    """Random float32 samples."""
    return np.random.default_rng(0).normal(size=(n_samples, SENSORS * STEPS)).astype(np.float32)


def train(make: Callable[[], nn.Module], X: np.ndarray, device: str) -> nn.Module:
    """Shuffle, clip gradients, and use the fused Adam."""
    network = make().to(device)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], fused=True)
    rows = torch.from_numpy(X).to(device)
    for _ in range(EPOCHS):
        for batch in rows[torch.randperm(len(rows), device=device)].split(BATCH):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(batch), batch).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    return network


def encoded(network: nn.Module, rows: Tensor, block: int) -> float:
    """Encode in blocks, and return the seconds."""
    start = time.perf_counter()
    with torch.inference_mode():
        for part in rows.split(block):
            network.encode(part).cpu().numpy()  # type: ignore[operator]
    return time.perf_counter() - start


PARAMETERS = {
    "n_components": CODE,
    "hidden_layer_sizes": (WIDTH,),
    "batch_size": BATCH,
    "max_iter": EPOCHS,
    "learning_rate": "constant",
    "corruption": None,
    "activation": "silu",
    "random_state": 0,
}
NETWORKS = {
    "recurrent": (Recurrent(sample_shape=SAMPLE_SHAPE), PlainRecurrent),
    "attention": (Attention(HEADS, PATCH, sample_shape=SAMPLE_SHAPE), PlainAttention),
}


def sequence_rows(device: str, repeats: int) -> Iterator[tuple[str, list[float], float]]:
    """Training and encoding of 4000 samples of 8 sensors and 128 steps; yields (what, ratios, promise)."""
    X = samples(N_SAMPLES)
    rows = torch.from_numpy(X).to(device)
    shared = PARAMETERS | {"device": device}
    for name, (part, make) in NETWORKS.items():
        model = AutoencoderTransformer(network=part, **shared)
        pairs = ratios(partial(model.fit, X), partial(train, make, X, device), repeats)
        yield f"{name}, fit, by hand", pairs, 0.9
        network = make().to(device).eval()
        best = min((32, 64, 128, 256, 512, 1024), key=lambda size: encoded(network, rows, size))
        for block, promise in ((BLOCK_ROWS, 0.8), (best, 0.6)):
            pairs = ratios(partial(model.transform, X), partial(encoded, network, rows, block), repeats)
            yield f"{name}, transform, bare forward ({block} samples)", pairs, promise
    parameters = {**shared, "network": NETWORKS["recurrent"][0], "outlier_score": "reconstruction"}
    five, one = (AutoencoderOutlierDetector(n_estimators=n, **parameters) for n in (5, 1))
    yield "recurrent, fit, 5 members against one", ratios(partial(five.fit, X), partial(one.fit, X), repeats), 1 / 6
