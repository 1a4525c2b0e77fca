"""Which default settings win on development data: those of AutoencoderTransformer, or of the outlier detector.

    python -m benchmarks.defaults --data DIR [--detector]

``--detector`` runs ``benchmarks.outliers`` with random halves of the sets, where any other setting is one line too,
and ``benchmarks.ablation``. A default changes when the means over all beds improve, and those over halves of the sets
too. The rest is about the transformer.

Each candidate is one line of CANDIDATES. On every set, at 2 and 8 components, it is fitted on some rows and measured
on others: share of variance explained, and accuracy of k nearest neighbours and logistic regression on the codes.
A candidate's points are these figures minus those of PCA (the better of raw and standardised rows), times 100. Fits
are kept in a file, so that an interrupted run goes on where it stopped and a new candidate costs only itself.

DIR holds ``tabular/`` and ``images/`` as .npz files: usps (UCI), letter (UCI), madelon and coil20 (scikit-feature)
with the keys X, y or X_train, y_train; mnist (LeCun et al.) and fashion_mnist (Zalando Research) with X_train, y_train.
Without ``--data`` only scikit-learn's bundled sets are used.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator
from inspect import isfunction
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import ablation, outliers
from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian, Masking, Swap
from sk_autoencoder.scaling import Standard


def narrowing(n_layers: int, narrowest_first: int = 128, widest_first: int = 512) -> Callable[[int], tuple[int, ...]]:
    """Return hidden layers as a function of the number of features: as wide as the row at first, then halved."""
    return lambda n: tuple(min(widest_first, max(narrowest_first, n)) // 2**i for i in range(n_layers))


# Where no noise is named, there is none.
PLAIN: dict[str, Any] = {"corruption": None}
RECIPE = PLAIN | {"activation": "silu", "learning_rate_init": 0.01, "hidden_layer_sizes": narrowing(3)}
TWO_LAYERS = PLAIN | {"hidden_layer_sizes": narrowing(2)}
CANDIDATES: dict[str, dict[str, Any]] = {
    "package default": {},
    "default, no noise": PLAIN,
    "default, gaussian .1": {"corruption": Gaussian(0.1)},
    "default, gaussian .3": {"corruption": Gaussian(0.3)},
    "default, swap .1": {"corruption": Swap(0.1)},
    "default, swap .15": {"corruption": Swap(0.15)},
    "default, swap .2": {"corruption": Swap(0.2)},
    "default, no input margin": {"scaling": Standard(input_margin=None)},
    "relu, .002, 2 layers": TWO_LAYERS | {"activation": "relu", "learning_rate_init": 0.002},
    "relu, .005, 2 layers": TWO_LAYERS | {"activation": "relu", "learning_rate_init": 0.005},
    "relu, .01, 2 layers": TWO_LAYERS | {"activation": "relu", "learning_rate_init": 0.01},
    "silu, .005, 2 layers": TWO_LAYERS | {"activation": "silu", "learning_rate_init": 0.005},
    "silu, .01, 2 layers": TWO_LAYERS | {"activation": "silu", "learning_rate_init": 0.01},
    "silu, .005, 3 layers": RECIPE | {"learning_rate_init": 0.005},
    "recipe: silu, .01, 3 layers": RECIPE,
    "recipe, gelu": RECIPE | {"activation": "gelu"},
    "recipe, elu": RECIPE | {"activation": "elu"},
    "recipe, swap .1": RECIPE | {"corruption": Swap(0.1)},
    "recipe, gaussian .3": RECIPE | {"corruption": Gaussian(0.3)},
    "recipe, masking .1": RECIPE | {"corruption": Masking(0.1)},
    "recipe, minmax": RECIPE | {"scaling": "minmax"},
    "recipe, huber": RECIPE | {"loss": "huber"},
    "recipe, binary cross-entropy": RECIPE | {"loss": "binary_cross_entropy"},
    "recipe, alpha .01": RECIPE | {"alpha": 0.01},
    "recipe, alpha .1": RECIPE | {"alpha": 0.1},
    "recipe, batch 32": RECIPE | {"batch_size": 32},
    "recipe, gaussian .5": RECIPE | {"corruption": Gaussian(0.5)},
    "recipe, gaussian .3, alpha .1": RECIPE | {"corruption": Gaussian(0.3), "alpha": 0.1},
    "recipe, gaussian .3, .005": RECIPE | {"corruption": Gaussian(0.3), "learning_rate_init": 0.005},
    "recipe, gaussian .3, 2 layers": RECIPE | {"corruption": Gaussian(0.3), "hidden_layer_sizes": narrowing(2)},
    "recipe, gaussian .3, relu": RECIPE | {"corruption": Gaussian(0.3), "activation": "relu"},
}
WIDTHS = (2, 8)
# Columns in one unit (pixels) are compared as they are, others in their standard deviations.
PIXELS = {"digits", "usps", "coil20", "mnist", "fashion_mnist"}
FILES = {
    "usps": "tabular/usps.npz",
    "letter": "tabular/letter.npz",
    "madelon": "tabular/madelon.npz",
    "coil20": "tabular/coil20.npz",
    "mnist": "images/mnist.npz",
    "fashion_mnist": "images/fashion_mnist.npz",
}
BUNDLED = {"digits": load_digits, "wine": load_wine, "breast_cancer": load_breast_cancer}
FIGURES = ("explained", "knn", "logistic")


def load(name: str, data: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows as float32 (n_samples, n_features) and their classes."""
    if name in BUNDLED:
        X, y = BUNDLED[name](return_X_y=True)
    else:
        assert data is not None
        with np.load(data / FILES[name], allow_pickle=False) as file:
            keys = ("X", "y") if "X" in file else ("X_train", "y_train")
            X, y = (file[key] for key in keys)
    return X.reshape(len(X), -1).astype(np.float32), y


def split(name: str, data: Path | None, seed: int, most_rows: int) -> tuple[np.ndarray, ...]:
    """Draw at most ``most_rows`` rows to train on and as many to test on."""
    X, y = load(name, data)
    n = min(most_rows, round(0.7 * len(X)))
    return train_test_split(X, y, train_size=n, test_size=min(n, len(X) - n), stratify=y, random_state=seed)


def figures(
    codes: tuple[np.ndarray, np.ndarray], y: tuple[np.ndarray, np.ndarray], explained: float
) -> dict[str, float]:
    """Share of variance explained, and what two classifiers make of the codes."""
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        accuracies = [model.fit(codes[0], y[0]).score(codes[1], y[1]) for model in (KNeighborsClassifier(), logistic)]
    return dict(zip(FIGURES, [explained, *map(float, accuracies)], strict=True))


def measure(name: str, data: Path | None, width: int, seed: int, most_rows: int, settings: Any) -> dict[str, float]:
    """Fit one candidate (None: PCA) on one set."""
    torch.set_num_threads(1)
    X, X_test, y, y_test = split(name, data, seed, most_rows)
    unit = 1.0 if name in PIXELS else StandardScaler().fit(X).scale_
    variance = (X / unit).var(axis=0).sum()

    def evaluate(encode: Any, decode: Any) -> dict[str, float]:
        codes = encode(X), encode(X_test)
        missed = (((decode(codes[1]) - X_test) / unit) ** 2).sum() / (len(X_test) * variance)
        return figures(codes, (y, y_test), 1.0 - float(missed))

    if settings is None:
        pcas = [PCA(width, random_state=0), make_pipeline(StandardScaler(), PCA(width, random_state=0))]
        both = [evaluate(pca.fit(X).transform, pca.inverse_transform) for pca in pcas]
        return {figure: max(result[figure] for result in both) for figure in FIGURES}
    settings = {key: value(X.shape[1]) if isfunction(value) else value for key, value in settings.items()}
    model = AutoencoderTransformer(width, random_state=seed, device="cpu", **settings)
    start = perf_counter()
    model.fit(X)
    seconds = perf_counter() - start
    return evaluate(model.transform, model.inverse_transform) | {"seconds": seconds}


def key_of(name: str, width: int, seed: int, most_rows: int, settings: Any) -> str:
    """What identifies a fit in the file of results: every parameter, so that a changed default is measured anew."""
    if settings is not None:
        sample = {key: value(100) if isfunction(value) else value for key, value in settings.items()}
        settings = sorted(AutoencoderTransformer(width, **sample).get_params().items())
    return f"{name} {width} {seed} {most_rows} {' '.join(str(settings).split())}"


def run(jobs: list[tuple[Any, ...]], results: Path, n_jobs: int) -> dict[str, dict[str, float]]:
    """Measure what the file does not hold yet, writing each fit as soon as it is done."""
    done: dict[str, dict[str, float]] = {}
    if results.exists():
        lines = (json.loads(line) for line in results.read_text().splitlines())
        done = {line["key"]: line["figures"] for line in lines}
    keys = {key_of(job[0], *job[2:]): job for job in jobs}
    missing = {key: job for key, job in keys.items() if key not in done}
    print(f"{len(keys) - len(missing)} fits found in {results}, {len(missing)} to do", flush=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    stream: Iterator[Any] = Parallel(n_jobs, return_as="generator")(delayed(measure)(*job) for job in missing.values())
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a") as file:
        for key, found in zip(missing, stream, strict=True):
            done[key] = found
            print(json.dumps({"key": key, "figures": found}), file=file, flush=True)
    return done


def main() -> None:
    """Run, print the table and name the winner."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with tabular/ and images/")
    parser.add_argument("--sets", nargs="+", choices=[*BUNDLED, *FILES], help="default: all there are")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, metavar="NAME", default=list(CANDIDATES))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=2000, help="at most this many to train on")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("build/defaults.jsonl"))
    parser.add_argument("--detector", action="store_true", help="the outlier detector's default instead")
    options = parser.parse_args()
    if options.detector:
        given = ["--data", str(options.data), "--seeds", str(options.seeds), "--jobs", str(options.jobs)]
        outliers.main([*given, "--halves", "--out", str(options.results.with_name("outliers.jsonl"))])
        ablation.main([*given, "--out", str(options.results.with_name("ablation.jsonl"))])
        return
    sets = options.sets or [*BUNDLED, *(FILES if options.data else [])]
    cells = [(name, width, seed) for name in sets for width in WIDTHS for seed in range(options.seeds)]
    chosen: dict[str, Any] = {"PCA": None} | {name: CANDIDATES[name] for name in options.candidates}
    jobs = {
        (candidate, cell): (cell[0], options.data, cell[1], cell[2], options.rows, settings)
        for candidate, settings in chosen.items()
        for cell in cells
    }
    done = run(list(jobs.values()), options.results, options.jobs)
    table(chosen, cells, lambda candidate, cell: done[key_of(cell[0], *jobs[candidate, cell][2:])])


def table(chosen: dict[str, Any], cells: list[Any], result: Callable[[str, Any], dict[str, float]]) -> None:
    """Print points over PCA, by figure and by set, and the mean rank among the candidates."""
    names = [name for name in chosen if name != "PCA"]
    points = np.array(
        [[[100 * (result(n, c)[f] - result("PCA", c)[f]) for f in FIGURES] for c in cells] for n in names]
    )
    ranks = rankdata(-points, axis=0).mean(axis=(1, 2))
    seconds = [np.mean([result(n, c)["seconds"] for c in cells]) for n in names]
    sets = list(dict.fromkeys(cell[0] for cell in cells))
    columns = ["all", *FIGURES, *(f"{w} comp." for w in WIDTHS), *sets]
    print("Points over PCA: 100 times the difference, mean over sets, widths and seeds; rank 1 is best\n")
    print(f"{'candidate':30s} {'rank':>5s} {'sec':>5s} " + " ".join(f"{column[:9]:>9s}" for column in columns))
    for i in np.argsort(-points.mean(axis=(1, 2))):
        own = points[i]
        values = [own.mean(), *own.mean(axis=0)]
        values += [own[[cell[1] == width for cell in cells]].mean() for width in WIDTHS]
        values += [own[[cell[0] == name for cell in cells]].mean() for name in sets]
        print(f"{names[i]:30s} {ranks[i]:5.1f} {seconds[i]:5.1f} " + " ".join(f"{value:9.1f}" for value in values))
    print(f"\nwinner by points: {names[int(points.mean(axis=(1, 2)).argmax())]}; by rank: {names[int(ranks.argmin())]}")


if __name__ == "__main__":
    main()
