"""AutoencoderTransformer beside PCA: 5-fold accuracies, reconstruction, seconds; and pictures of digits."""

from __future__ import annotations

import functools
from pathlib import Path
from time import process_time
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.tables import Row, as_text, write_csv
from sk_autoencoder import AutoencoderTransformer, LatentDisplay, LossCurveDisplay, ReconstructionDisplay
from sk_autoencoder.corruptions import Gaussian, Swap

SETS = {"digits": load_digits, "wine": load_wine, "breast cancer": load_breast_cancer}
WIDTHS = (2, 8)

# Every setting of the demo that is not the package's default.
PIXELS = {
    "hidden_layer_sizes": (128, 64, 32),
    "activation": "silu",
    "scaling": "minmax",
    "corruption": Gaussian(std=0.2),
    "learning_rate_init": 0.01,
    "max_iter": 200,
}
COLUMNS = {
    "hidden_layer_sizes": (64, 32),
    "activation": "tanh",
    "corruption": Swap(rate=0.1),
    "alpha": 0.1,
    "learning_rate_init": 0.005,
    "max_iter": 200,
}
SETTINGS = {"digits": PIXELS, "wine": COLUMNS, "breast cancer": COLUMNS}
# Bounded activations keep the far ends of a map together.
MAP = PIXELS | {"n_components": 2, "activation": "tanh", "scaling": "auto", "loss": "binary_cross_entropy"}
DENOISING = PIXELS | {"n_components": 32, "hidden_layer_sizes": (256, 128), "corruption": Gaussian(std=0.25)}
# Pixels share a unit; other columns are measured in their standard deviations.
HAS_ONE_UNIT = {"digits"}

FIGURES = ("kNN", "logistic", "missed", "seconds")
FORMATS = {"kNN": ".3f", "logistic": ".3f", "missed": ".3f", "seconds": ".2f"}
NOTES = """\
kNN, logistic: accuracy on held-out rows of make_pipeline(<reducer>, <classifier>), mean of 5 stratified folds.
missed: share of the held-out rows' variance that the reconstruction misses (digits: pixels as they are; the others:
columns in standard deviations). seconds: processor time of one fit.
PCA: in each column the better of PCA on raw rows and PCA on standardised rows."""


def autoencoder(name: str, n_components: int) -> AutoencoderTransformer:
    """Build the demo's transformer for a set."""
    return AutoencoderTransformer(n_components, device="cpu", random_state=0, **SETTINGS[name])


def one_fold(name: str, reducer: BaseEstimator, fold: int) -> tuple[float, ...]:
    """Fit a reducer on four folds and measure FIGURES on the fifth."""
    torch.set_num_threads(1)
    X, y = SETS[name](return_X_y=True)
    train, test = folds(X, y)[fold]
    start = process_time()
    reducer = clone(reducer).fit(X[train])
    seconds = process_time() - start

    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    pipelines = [make_pipeline(FrozenEstimator(reducer), model) for model in (KNeighborsClassifier(), logistic)]
    accuracies = [pipeline.fit(X[train], y[train]).score(X[test], y[test]) for pipeline in pipelines]
    unit = 1.0 if name in HAS_ONE_UNIT else StandardScaler().fit(X[train]).scale_
    error = (reducer.inverse_transform(reducer.transform(X[test])) - X[test]) / unit
    missed = (error**2).sum() / (len(test) * (X[train] / unit).var(axis=0).sum())
    return *accuracies, missed, seconds


@functools.cache
def _folds(n_rows: int, labels: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    y = np.frombuffer(labels, dtype=np.int64)
    return list(StratifiedKFold(5, shuffle=True, random_state=0).split(np.zeros(n_rows), y))


def folds(X: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Five stratified folds, the same for every model."""
    return _folds(len(X), y.astype(np.int64).tobytes())


def table() -> list[Row]:
    """Measure all models on all sets; the two PCAs become one row."""
    models = {
        (name, width, model): reducer
        for name in SETS
        for width in WIDTHS
        for model, reducer in {
            "autoencoder": autoencoder(name, width),
            "PCA raw": PCA(width),
            "PCA standardised": make_pipeline(StandardScaler(), PCA(width)),
        }.items()
    }
    jobs = [(name, reducer, fold) for (name, _, _), reducer in models.items() for fold in range(5)]
    found = np.array(Parallel(n_jobs=2)(delayed(one_fold)(*job) for job in jobs))
    means = dict(zip(models, found.reshape(len(models), 5, len(FIGURES)).mean(axis=1), strict=True))
    rows: list[Row] = []
    for name in SETS:
        for width in WIDTHS:
            raw, standardised = means[name, width, "PCA raw"], means[name, width, "PCA standardised"]
            # Accuracies: the larger; missed variance and seconds: the smaller.
            best = np.concatenate([np.maximum(raw, standardised)[:2], np.minimum(raw, standardised)[2:]])
            for model, figures in {"PCA": best, "autoencoder": means[name, width, "autoencoder"]}.items():
                label: Row = {"data": name, "components": width, "model": model}
                rows.append(label | dict(zip(FIGURES, map(float, figures), strict=True)))
    return rows


def pictures(out: Path) -> None:
    """Draw held-out digits."""
    X, y = load_digits(return_X_y=True)
    train, test = folds(X, y)[0]
    map_of = AutoencoderTransformer(device="cpu", random_state=0, **MAP).fit(X[train], X_val=X[test])
    with plt.rc_context({"font.size": 12}):
        figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
        for ax, model in zip(axes, [PCA(2).fit(X[train]), map_of], strict=True):
            accuracy = KNeighborsClassifier().fit(model.transform(X[train]), y[train])
            share = accuracy.score(model.transform(X[test]), y[test])
            display = LatentDisplay.from_estimator(model, X[test], y[test], ax=ax, s=34, legend_title="digit")
            ax.set_title(f"{type(model).__name__}: {share:.0%} by nearest neighbours")
        display_legend_once(axes)
        save(figure, out / "digits_map.png")
        save(LossCurveDisplay.from_estimator(map_of).figure_, out / "loss_curve.png")

        rows = test[np.argsort(y[test], kind="stable")][:: len(test) // 10][:10]  # about one of each digit
        look = {"image_shape": (8, 8), "cmap": "gray_r", "vmin": 0, "vmax": 16}
        wide, pca = autoencoder("digits", 8).fit(X[train]), PCA(8).fit(X[train])
        by_pca = pca.inverse_transform(pca.transform(X[rows]))
        names = ("held-out digit", "autoencoder, 8 numbers", "PCA, 8 numbers")
        display = ReconstructionDisplay.from_estimator(wide, X[rows], target=by_pca, n_samples=10, names=names, **look)
        save(display.figure_, out / "digits_reconstruction.png")

        noisy = np.clip(Gaussian(std=0.25 * 16).corrupt(X[rows], random_state=0), 0, 16)
        cleaner = AutoencoderTransformer(device="cpu", random_state=0, **DENOISING).fit(X[train])
        names = ("noisy input", "cleaned", "clean target")
        display = ReconstructionDisplay.from_estimator(
            cleaner, noisy, target=X[rows], n_samples=10, names=names, **look
        )
        save(display.figure_, out / "digits_denoising.png")


def display_legend_once(axes: Any) -> None:
    """Keep the legend of the last of several maps."""
    for ax in axes[:-1]:
        ax.get_legend().remove()


def save(figure: Any, path: Path) -> None:
    """Write a picture and close it."""
    figure.savefig(path, dpi=110)
    plt.close(figure)


def run(out: Path) -> str:
    """Write table and pictures, return the table."""
    rows = table()
    write_csv(rows, out / "transformer.csv")
    pictures(out)
    gain = {row["model"]: float(row["kNN"]) for row in rows if row["data"] == "digits" and row["components"] == 2}
    verdict = f"digits, 2 components: kNN {100 * (gain['autoencoder'] - gain['PCA']):+.0f} points over PCA"
    return f"{as_text(rows, FORMATS, blocks='data')}\n\n{NOTES}\n{verdict}"
