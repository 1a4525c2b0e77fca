"""Networks for sequences: outlying heart beats, and how well samples of two sine waves are reconstructed.

    python -m benchmarks.sequences --data DIR [--only beats sines] [--seeds 5] [--out FILE]

DIR holds ``series/ecg5000.npz`` (Goldberger et al., 2000, in the version of the UCR archive: 500 training and 4500 test
beats of 140 steps; class 1 is normal). Settings were chosen on training beats (normal ones held out, against the
others) and on another draw of sine waves. Each measured cell is a line of FILE, from which a later run goes on.

- ``beats``: AUROC on all test beats; detectors are trained on the normal training beats. "own score" is the
  reconstruction error of one network.
- ``sines``: 4000 training and 2000 test samples of 2 sensors and 128 steps, each sensor a sine wave with a frequency of
  1 to 8 cycles, any phase, an amplitude of 0.5 to 1.5, and noise with standard deviation 0.05; codes of 8. The error is
  that of the noiseless test samples, relative to their power. The best epoch is that of held-out training samples, and
  so is the best of four networks that start with other weights.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.cells import half_width, store, stored
from benchmarks.one_class import RECIPE
from benchmarks.tables import as_text
from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.networks import Attention, Convolutional, Recurrent
from sk_autoencoder.scaling import Standard
from sk_autoencoder.scores import ReconstructionError

Fit = Callable[[np.ndarray, int], Callable[[np.ndarray], np.ndarray]]
"""Fit on samples with a seed, and return what maps samples to outlier scores, or to reconstructions."""

BEAT, SINES = (1, 140), (2, 128)
CODE_OF_SINES = 8


def by_length(X: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Distance from the mean beat."""
    del seed
    return lambda rows: np.linalg.norm(rows - X.mean(axis=0), axis=1)


def by_pca(n_components: int, X: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Reconstruction error of PCA."""
    pca = PCA(n_components, random_state=seed).fit(X)
    return lambda rows: np.square(rows - pca.inverse_transform(pca.transform(rows))).sum(axis=1)


def by_neighbours(X: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Mean distance of the five nearest training samples."""
    del seed
    nearest = NearestNeighbors(n_neighbors=5).fit(X)
    return lambda rows: nearest.kneighbors(rows)[0].mean(axis=1)


def by_detector(parameters: dict[str, Any], X: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Score of a detector."""
    detector = AutoencoderOutlierDetector(**parameters, random_state=seed).fit(X)
    return lambda rows: -detector.score_samples(rows)


def own(**parameters: Any) -> Fit:
    """One network and its reconstruction error."""
    single = {"n_estimators": 1, "restore_best": False, "outlier_score": "reconstruction", "n_components": 4}
    return partial(by_detector, single | parameters)


ATTENTION = {"network": Attention(patch_size=10, sample_shape=BEAT), "hidden_layer_sizes": (64, 64), "max_iter": 300}
# All steps are scaled alike, and residuals are not divided by those of their step.
ALIKE = {"scaling": Standard(shared_scale=True), "outlier_score": ReconstructionError(None)}
GRU = Recurrent(cell="gru", bidirectional=True, sample_shape=BEAT)
ENCDEC_AD = {"network": Recurrent(feedback=True, sample_shape=BEAT), "outlier_score": "mahalanobis"}

BEATS: dict[str, Fit] = {
    "distance from the mean beat": by_length,
    "PCA(4)": partial(by_pca, 4),
    "PCA(8)": partial(by_pca, 8),
    "five neighbours": by_neighbours,
    "dense, own score": own(max_iter=300),
    "convolutional, own score": own(network=Convolutional(sample_shape=BEAT), max_iter=300),
    "recurrent (GRU), own score": own(network=GRU, max_iter=300),
    "attention, own score": own(**ATTENTION),
    "dense, squared error, shared scale": own(max_iter=300, **ALIKE),
    "attention, squared error, shared scale": own(**ATTENTION, **ALIKE),
    "EncDec-AD (LSTM, feedback, Mahalanobis)": own(**ENCDEC_AD, max_iter=300),
    "dense, default score": partial(by_detector, {}),
    "dense, default score, shared scale": partial(by_detector, {"scaling": Standard(shared_scale=True)}),
    "dense, novelty, shared scale": partial(by_detector, {"scaling": Standard(shared_scale=True), "novelty": True}),
    "dense, recipe of images": partial(by_detector, RECIPE),
    "attention, default score": partial(by_detector, {**ATTENTION, "n_components": 4}),
    "attention, novelty, shared scale": partial(
        by_detector, {**ATTENTION, "n_components": 4, "scaling": Standard(shared_scale=True), "novelty": True}
    ),
}


def by_transformer(
    parameters: dict[str, Any], starts: int, X: np.ndarray, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Reconstruction by the network with the smallest held-out loss, of several that start with other weights."""
    models = Parallel(n_jobs=2 if starts > 1 else 1)(
        delayed(fitted)(parameters, X, starts * seed + start) for start in range(starts)
    )
    return min(models, key=lambda model: model.best_loss_).reconstruct


def fitted(parameters: dict[str, Any], X: np.ndarray, seed: int) -> AutoencoderTransformer:
    """Train to the end, and take the epoch with the smallest loss of the first tenth of the samples."""
    shared = {"corruption": None, "early_stopping": True, "n_iter_no_change": 10000}
    n_held_out = len(X) // 10
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Training ended after")
        model = AutoencoderTransformer(CODE_OF_SINES, **shared, **parameters, random_state=seed)
        return model.fit(X[n_held_out:], X_val=X[:n_held_out])


def pca_of_sines(X: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Reconstruction by PCA."""
    pca = PCA(CODE_OF_SINES, random_state=seed).fit(X)
    return lambda rows: pca.inverse_transform(pca.transform(rows))


def network(
    part: Any,
    widths: tuple[int, ...],
    epochs: int,
    rate: float,
    alpha: float = 0.1,
    batch: int = 64,
    starts: int = 1,
) -> Fit:
    """Build, train and reconstruct."""
    parameters = {"network": part, "hidden_layer_sizes": widths, "max_iter": epochs, "learning_rate_init": rate}
    return partial(by_transformer, {**parameters, "alpha": alpha, "batch_size": batch}, starts)


def attention(epochs: int, starts: int) -> Fit:
    """Networks of 16 tokens; small batches, so that there are many steps. Some initial weights end in a bad minimum."""
    return network(Attention(patch_size=8, sample_shape=SINES), (64, 64), epochs, 0.006, batch=32, starts=starts)


# At most ten minutes on two idle cores. More weight decay than by default keeps dense networks from overfitting.
WAVES: dict[str, Fit] = {
    "PCA(8)": pca_of_sines,
    "dense (256, 128)": network("dense", (256, 128), 1500, 0.003, 1.0),
    "dense (512, 256)": network("dense", (512, 256), 600, 0.002, 2.0),
    "dense (512, 256, 128)": network("dense", (512, 256, 128), 600, 0.002, 1.0),
    "dense (256, 128), best of four": network("dense", (256, 128), 1500, 0.003, 1.0, starts=4),
    "recurrent (GRU)": network(Recurrent(cell="gru", bidirectional=True, sample_shape=SINES), (64,), 30, 0.005),
    "attention, best of four": attention(180, starts=4),
}


def heart_beats(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the normal training beats, the test beats, and which of those are abnormal."""
    with np.load(data / "series" / "ecg5000.npz", allow_pickle=False) as stored:
        return stored["X_train"][stored["y_train"] == 1], stored["X_test"], stored["y_test"] != 1


def sine_waves(n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw noiseless and noisy samples, (n_samples, 2 * 128), the first sensor's steps first."""
    rng = np.random.default_rng(seed)
    sensors, steps = SINES
    size = (n_samples, sensors, 1)
    frequency, phase, amplitude = (rng.uniform(*interval, size) for interval in ((1, 8), (0, 2 * np.pi), (0.5, 1.5)))
    clean = amplitude * np.sin(2 * np.pi * frequency * np.arange(steps) / steps + phase)
    noisy = clean + 0.05 * rng.normal(size=clean.shape)
    return tuple(rows.reshape(n_samples, -1).astype(np.float32) for rows in (clean, noisy))  # type: ignore[return-value]


def measure_beats(fit: Fit, seed: int, data: Path) -> float:
    """AUROC on the test beats."""
    X, X_test, abnormal = heart_beats(data)
    return float(roc_auc_score(abnormal, fit(X, seed)(X_test)))


def measure_sines(fit: Fit, seed: int, data: Path) -> float:
    """Error relative to the power of the noiseless samples."""
    del data
    _, X = sine_waves(4000, 2 * seed)
    clean, X_test = sine_waves(2000, 2 * seed + 1)
    return float(np.square(fit(X, seed)(X_test) - clean).mean() / np.square(clean).mean())


BEDS: dict[str, tuple[dict[str, Fit], Callable[[Fit, int, Path], float]]] = {
    "beats": (BEATS, measure_beats),
    "sines": (WAVES, measure_sines),
}
NAMES = ("bed", "name", "seed")  # of the entries that identify a cell


def main() -> None:
    """Measure what is missing, and print the means over the seeds with 95 % intervals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=BEDS, default=list(BEDS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("sequences.jsonl"))
    options = parser.parse_args()
    results = stored(options.out, NAMES)
    for bed in options.only:
        rows, measure = BEDS[bed]
        for seed in range(options.seeds):
            for name, fit in rows.items():
                if (bed, name, seed) in results:
                    continue
                start = perf_counter()
                value = measure(fit, seed, options.data)
                figures = {"value": value, "seconds": perf_counter() - start}
                store(options.out, results, NAMES, (bed, name, seed), figures)
    for bed in options.only:
        table = [summary([results[bed, name, seed] for seed in range(options.seeds)]) for name in BEDS[bed][0]]
        print(f"{as_text(table, {'mean': '.4f', 'interval': '.4f', 'seconds': '.0f'}, blocks='bed')}\n")


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean over the seeds, the half width of its 95 % interval, and seconds."""
    values = np.array([cell["value"] for cell in cells])
    seconds = np.mean([cell["seconds"] for cell in cells])
    return {
        "bed": cells[0]["bed"],
        "name": cells[0]["name"],
        "mean": values.mean(),
        "interval": half_width(values),
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
