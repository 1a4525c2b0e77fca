"""Speed of training and inference relative to hand-written torch and to peers, in alternating runs.

    python -m benchmarks.throughput [--device cpu] [--only fit,transform,sequences] [--repeats 5]

Both sides run in one process with the same thread count, turn by turn, and the median of the ratios is compared with
what the package promises; the script fails when a promise is broken. PyOD is compared where it is installed. "Bare
products" are the limit itself: the matrix products alone, of the same shapes, into memory that is there already.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from torch import nn

from benchmarks.throughput_sequences import sequence_rows
from benchmarks.timing import ratios, seconds
from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.scores import ReconstructionError


@dataclass(frozen=True)
class Setting:
    """Rows and a network: widths from input to code."""

    n_rows: int
    widths: tuple[int, ...]
    batch_size: int
    epochs: int

    @property
    def rows(self) -> np.ndarray:
        """Random float32 rows."""
        return np.random.default_rng(0).normal(size=(self.n_rows, self.widths[0])).astype(np.float32)

    @property
    def parameters(self) -> dict:
        """Parameters of an estimator with this network."""
        return {
            "n_components": self.widths[-1],
            "hidden_layer_sizes": self.widths[1:-1],
            "batch_size": self.batch_size,
            "max_iter": self.epochs,
            "learning_rate": "constant",
            "activation": "relu",
            "random_state": 0,
        }


SETTINGS = {
    "A: 20000 x 784": Setting(20000, (784, 128, 64, 12, 3), 256, 3),
    "B: 5000 x 20": Setting(5000, (20, 64, 32), 32, 8),
    "long: 1000000 x 4": Setting(1_000_000, (4, 32, 2), 1024, 1),
}


def plain_network(widths: tuple[int, ...]) -> nn.Sequential:
    """Write the mirrored network by hand."""
    sizes = [*widths, *reversed(widths[:-1])]
    layers: list[nn.Module] = []
    for position, (n_in, n_out) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(n_in, n_out))
        if position not in (len(widths) - 2, len(sizes) - 2):
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def by_hand(setting: Setting, X: np.ndarray, device: str) -> None:
    """Slice one permuted tensor and use the fused Adam."""
    network = plain_network(setting.widths).to(device)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    rows = torch.from_numpy(X).to(device)
    for _ in range(setting.epochs):
        shuffled = rows[torch.randperm(len(rows), device=device)]
        for batch in shuffled.split(setting.batch_size):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(batch), batch).backward()
            optimizer.step()


def by_transformer(setting: Setting, X: np.ndarray, device: str) -> None:
    """Fit the transformer on clean rows, as the others do."""
    AutoencoderTransformer(**setting.parameters, corruption=None, device=device).fit(X)


def by_ensemble(setting: Setting, X: np.ndarray, device: str, n_members: int = 64) -> None:
    """Fit members with Gaussian noise, and score the rows with all of them."""
    detector = AutoencoderOutlierDetector(
        **setting.parameters,
        n_estimators=n_members,
        corruption="gaussian",
        device=device,
        outlier_score="reconstruction",
    )
    detector.fit(X)


def by_detector(setting: Setting, X: np.ndarray, device: str) -> None:
    """Fit one network on clean rows, as PyOD does, and score them."""
    score = ReconstructionError(normalize=None)
    parameters = {**setting.parameters, "n_estimators": 1, "corruption": None, "restore_best": False}
    AutoencoderOutlierDetector(**parameters, outlier_score=score, device=device).fit(X)


def by_mlp(setting: Setting, X: np.ndarray, device: str) -> None:
    """Fit scikit-learn's MLPRegressor to its own input."""
    del device
    widths = setting.widths
    model = MLPRegressor(
        hidden_layer_sizes=(*widths[1:], *reversed(widths[1:-1])),
        batch_size=setting.batch_size,
        max_iter=setting.epochs,
        random_state=0,
    )
    model.fit(X, X)


def by_pyod(setting: Setting, X: np.ndarray, device: str) -> None:
    """Fit PyOD's AutoEncoder of the same widths, scoring included."""
    import contextlib
    import io

    from pyod.models.auto_encoder import AutoEncoder

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        model = AutoEncoder(
            hidden_neuron_list=list(setting.widths[1:]),
            batch_size=setting.batch_size,
            epoch_num=setting.epochs,
            device=torch.device(device),
            verbose=0,
        )
        model.fit(X)


def fit_rows(device: str, repeats: int) -> Iterator[tuple[str, list[float], float]]:
    """Training against hand-written torch and peers; yields (what, ratios, promise)."""
    promises = {
        ("A: 20000 x 784", by_hand): 0.95,
        ("A: 20000 x 784", by_mlp): 1.0,
        ("A: 20000 x 784", by_pyod): 3.0,
        ("B: 5000 x 20", by_hand): 1.0,
        ("B: 5000 x 20", by_mlp): 1.0,
        ("B: 5000 x 20", by_pyod): 4.0,
        ("long: 1000000 x 4", by_hand): 0.9,
    }
    for (name, theirs), promise in promises.items():
        setting = SETTINGS[name]
        X = setting.rows
        ours = by_detector if theirs is by_pyod else by_transformer
        try:
            pairs = ratios(lambda: ours(setting, X, device), lambda: theirs(setting, X, device), repeats)  # noqa: B023 - called at once
        except ImportError:
            continue
        yield f"{name}, fit, {theirs.__name__}", pairs, promise


def ensemble_rows(device: str, repeats: int) -> Iterator[tuple[str, list[float], float]]:
    """64 members against one network by hand: at most 5 times its time."""
    setting = SETTINGS["B: 5000 x 20"]
    X = setting.rows
    pairs = ratios(lambda: by_ensemble(setting, X, device), lambda: by_hand(setting, X, device), repeats)
    yield "B: 5000 x 20, 64 members, by_hand", pairs, 1 / 5


def transform_rows(device: str, repeats: int) -> Iterator[tuple[str, list[float], float]]:
    """Inference on 100000 rows against a bare forward pass at its best block size, and one row against 1 ms."""
    for name in ("A: 20000 x 784", "B: 5000 x 20"):
        setting = SETTINGS[name]
        X = np.random.default_rng(0).normal(size=(100_000, setting.widths[0])).astype(np.float32)
        model = AutoencoderTransformer(**setting.parameters, device=device).set_params(max_iter=1).fit(X[:1000])
        detector = AutoencoderOutlierDetector(
            **setting.parameters, n_estimators=1, outlier_score="reconstruction", device=device
        ).set_params(max_iter=1)
        detector.fit(X[:1000])
        network = plain_network(setting.widths).to(device).eval()
        encoder = network[: 2 * (len(setting.widths) - 1) - 1]
        rows = torch.from_numpy(X).to(device)
        ways = [("transform", model.transform, encoder), ("score_samples", detector.score_samples, network)]
        for what, ours, module in ways:
            sizes = (256, 1024, 4096, 16384)
            block = min(sizes, key=lambda size: _forward(module, rows, size))
            pairs = ratios(lambda: ours(X), lambda: _forward(module, rows, block), repeats)  # noqa: B023 - called at once
            yield f"{name}, {what}, bare forward ({block} rows)", pairs, 0.8
        one = [seconds(lambda: model.transform(X[:1])) for _ in range(50)]  # noqa: B023 - called at once
        yield f"{name}, transform of one row, 1 ms", [1e-3 / seconds for seconds in one], 1.0


def _forward(module: nn.Module, rows: torch.Tensor, block: int) -> float:
    start = time.perf_counter()
    with torch.inference_mode():
        for part in rows.split(block):
            module(part).cpu().numpy()
    return time.perf_counter() - start


def limit_rows(device: str, repeats: int) -> Iterator[tuple[str, list[float], float]]:
    """Shares of the bare matrix products in fit and in transform; only that of many narrow rows is promised."""
    for name, setting in SETTINGS.items():
        X = setting.rows
        products = training_products(setting, device)
        pairs = ratios(lambda: by_transformer(setting, X, device), products, repeats)  # noqa: B023 - called at once
        yield f"{name}, fit, bare products (no promise)", pairs, 0.0
        X = np.resize(X, (max(100_000, setting.n_rows), setting.widths[0]))
        model = AutoencoderTransformer(**setting.parameters, device=device).set_params(max_iter=1).fit(X[:1000])
        sizes = (1024, 4096, 16384)
        candidates = [encoder_products(setting, len(X), size, device) for size in sizes]
        products = min(candidates, key=seconds)
        promise = 0.7 if name.startswith("long") else 0.0
        pairs = ratios(lambda: model.transform(X), products, repeats)  # noqa: B023 - called at once
        yield f"{name}, transform of {len(X)} rows, bare products", pairs, promise


def training_products(setting: Setting, device: str) -> Callable[[], None]:
    """Multiply what a training multiplies: forward, for the gradients of layers' inputs, and for those of weights."""
    sizes = [*setting.widths, *reversed(setting.widths[:-1])]
    layers = [
        [torch.rand(*size, device=device) for size in ((setting.batch_size, n_in), (n_in, n_out))]
        for n_in, n_out in pairwise(sizes)
    ]
    outputs = [torch.empty(setting.batch_size, n_out, device=device) for n_out in sizes[1:]]
    gradients = [[torch.empty_like(tensor) for tensor in layer] for layer in layers]
    n_steps = setting.epochs * -(-setting.n_rows // setting.batch_size)

    def multiply() -> None:
        with torch.inference_mode():
            for _ in range(n_steps):
                for (rows, weight), output in zip(layers, outputs, strict=True):
                    torch.mm(rows, weight, out=output)
                for (rows, weight), output, (of_rows, of_weight) in zip(layers, outputs, gradients, strict=True):
                    if rows is not layers[0][0]:
                        torch.mm(output, weight.T, out=of_rows)
                    torch.mm(rows.T, output, out=of_weight)

    return multiply


def encoder_products(setting: Setting, n_rows: int, block: int, device: str) -> Callable[[], None]:
    """Multiply what the encoder multiplies, so many rows at once."""
    pairs = list(pairwise(setting.widths))
    rows = [torch.rand(block, n_in, device=device) for n_in, _ in pairs]
    weights = [torch.rand(*pair, device=device) for pair in pairs]
    outputs = [torch.empty(block, n_out, device=device) for _, n_out in pairs]

    def multiply() -> None:
        with torch.inference_mode():
            for start in range(0, n_rows, block):
                n = min(block, n_rows - start)
                for own, weight, output in zip(rows, weights, outputs, strict=True):
                    torch.mm(own[:n], weight, out=output[:n])

    return multiply


def scale_rows(device: str, repeats: int) -> Iterator[tuple[str, list[float], float]]:
    """Seconds for a row and epoch: 10^5 to 10^7 rows, the last on a disk, against 10^4."""
    parameters = {**SETTINGS["long: 1000000 x 4"].parameters, "corruption": None, "device": device}
    few = np.random.default_rng(0).normal(size=(10_000, 4)).astype(np.float32)
    with tempfile.TemporaryDirectory() as directory:
        many = np.lib.format.open_memmap(Path(directory) / "X.npy", "w+", np.float32, (10_000_000, 4))
        for start in range(0, len(many), len(few)):
            many[start : start + len(few)] = few
        for rows, epochs in ((np.array(many[:100_000]), 10), (np.array(many[:1_000_000]), 1), (many, 1)):
            larger = AutoencoderTransformer(**parameters).set_params(max_iter=epochs)
            smaller = AutoencoderTransformer(**parameters).set_params(max_iter=100)
            work = len(rows) * epochs / (len(few) * 100)
            pairs = ratios(lambda: larger.fit(rows), lambda: smaller.fit(few), repeats)  # noqa: B023 - called at once
            kind = "memory map" if isinstance(rows, np.memmap) else "array"
            yield f"fit of {len(rows):.0e} x 4 ({kind}), 1e+04 x 4", [work * ratio for ratio in pairs], 0.8


def search_rows(device: str, repeats: int) -> Iterator[tuple[str, list[float], float]]:
    """A search of 32 candidates by two workers, one thread each, against one, and what two workers gain by hand.

    The second row is no promise: some machines have two processors that share what computes.
    """
    X = np.random.default_rng(0).normal(size=(1000, 20))
    grid = {"n_components": [2, 4, 8, 16], "corruption": [None, "gaussian"], "alpha": [0.0, 0.01, 0.1, 1.0]}
    model = AutoencoderTransformer(hidden_layer_sizes=(64, 32), max_iter=10, device=device, random_state=0)
    searches = [GridSearchCV(model, grid, cv=3, n_jobs=n_jobs) for n_jobs in (2, 1)]
    pairs = ratios(lambda: searches[0].fit(X), lambda: searches[1].fit(X), repeats)
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)
    yield "search of 32 candidates, 2 workers, 1 worker", pairs, 1.7
    setting = SETTINGS["B: 5000 x 20"]
    rows = setting.rows
    loops = [Parallel(n_jobs=n_jobs) for n_jobs in (2, 1)]
    ours, theirs = (lambda loop=loop: loop(delayed(_alone)(setting, rows, device) for _ in range(16)) for loop in loops)
    yield "16 plain loops, 2 workers, 1 worker (no promise)", ratios(ours, theirs, repeats), 0.0


def _alone(setting: Setting, X: np.ndarray, device: str) -> None:
    torch.set_num_threads(1)
    by_hand(setting, X, device)


GROUPS = {
    "fit": fit_rows,
    "ensemble": ensemble_rows,
    "transform": transform_rows,
    "limit": limit_rows,
    "scale": scale_rows,
    "search": search_rows,
    "sequences": sequence_rows,
}


def main() -> None:
    """Print the table and fail when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default=",".join(GROUPS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", category=UserWarning)

    print(f"device {args.device}, {args.threads} threads, torch {torch.__version__}")
    print("| what | speed, median | min | max | promise | kept |\n|---|---|---|---|---|---|")
    broken = []
    for group in args.only.split(","):
        for what, pairs, promise in GROUPS[group](args.device, args.repeats):
            median = statistics.median(pairs)
            kept = median >= promise
            broken += [] if kept else [what]
            print(
                f"| {what} | {median:.2f} | {min(pairs):.2f} | {max(pairs):.2f} | {promise:.2f} | {kept} |", flush=True
            )
    if broken:
        raise SystemExit(f"broken: {'; '.join(broken)}")


if __name__ == "__main__":
    main()
