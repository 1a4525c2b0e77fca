"""Missing values: reconstruction, outlier detection and time, beside imputation before the same models.

    python -m benchmarks.missing --data DIR [--only reconstruction detection] [--seeds 5] [--out FILE]

DIR holds ``adbench/*.npz`` (X, y; github Minqi824/ADBench), 1 = anomaly. In each draw, a random 70 % of at most 2000
rows train, and 10 or 30 % of all values are hidden at random. Each measured cell is a line of FILE, from which a later
run goes on.

- ``reconstruction``: squared error on new samples in units of the training variance, for observed and for hidden
  values. Codes have a third of the columns. Peers impute, by the mean, by five neighbours or by chained Bayesian ridge
  regressions, before PCA or before the same network. "imputation" is the imputed value itself.
- ``detection``: AUROC and average precision on new samples. Peers impute before the same detector or before
  IsolationForest, which also takes NaN itself; "complete" is the detector without hidden values.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes IterativeImputer importable
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.cells import half_width
from benchmarks.tables import as_text
from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.corruptions import Masking

TABLES = ("cardio", "fault", "pendigits", "vowels", "WDBC", "annthyroid")
RATES = (0.1, 0.3)
IMPUTERS = {
    "mean": SimpleImputer(),
    "neighbours": KNNImputer(),
    "chained": IterativeImputer(max_iter=5, random_state=0),
}


def drawn(data: Path, table: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training and test samples and the test labels, and which values of both are to be hidden, uniform."""
    with np.load(data / "adbench" / f"{table}.npz", allow_pickle=False) as stored:
        X, y = stored["X"].astype(np.float64), stored["y"]
    rng = np.random.default_rng([seed, len(X)])
    rows = rng.permutation(len(X))[:2000]
    X = X[rows][:, X[rows[: len(rows) * 7 // 10]].std(axis=0) > 0]
    return X, y[rows], rng.random(X.shape), np.arange(len(X)) < len(X) * 7 // 10


def reconstruction(data: Path, table: str, rate: float, seed: int) -> dict[str, dict[str, float]]:
    """Errors on new samples of each way, {"observed", "hidden", "seconds"}."""
    X, _, uniform, trains = drawn(data, table, seed)
    X = StandardScaler().fit(X[trains]).transform(X)
    hidden = uniform < rate
    gaps = np.where(hidden, np.nan, X)
    size = max(1, X.shape[1] // 3)
    network = AutoencoderTransformer(size, corruption=Masking(0.15), random_state=seed)
    results = {}

    def judge(name: str, rebuild: Callable[[], np.ndarray]) -> None:
        start = perf_counter()
        errors, new = np.square(rebuild() - X[~trains]), hidden[~trains]
        results[name] = {
            "observed": errors[~new].mean(),
            "hidden": errors[new].mean(),
            "seconds": perf_counter() - start,
        }

    judge("network on missing values", lambda: clone(network).fit(gaps[trains]).reconstruct(gaps[~trains]))
    indicated = clone(network).set_params(add_indicator=True)
    judge("network with indicators", lambda: indicated.fit(gaps[trains]).reconstruct(gaps[~trains]))
    for name, imputer in IMPUTERS.items():
        imputer = clone(imputer)
        train, test = imputer.fit_transform(gaps[trains]), imputer.transform(gaps[~trains])
        judge(f"{name}, imputation", lambda: test)  # noqa: B023 - called at once
        pca = PCA(size, random_state=seed).fit(train)
        judge(f"{name}, PCA", lambda: pca.inverse_transform(pca.transform(test)))  # noqa: B023
        judge(f"{name}, network", lambda: clone(network).fit(train).reconstruct(test))  # noqa: B023
    judge("complete, network", lambda: clone(network).fit(X[trains]).reconstruct(X[~trains]))
    return results


def detection(data: Path, table: str, rate: float, seed: int) -> dict[str, dict[str, float]]:
    """AUROC, average precision and seconds of each way."""
    X, y, uniform, trains = drawn(data, table, seed)
    gaps = np.where(uniform < rate, np.nan, X)
    detector, forest = AutoencoderOutlierDetector(random_state=seed), IsolationForest(random_state=seed)
    ways: dict[str, tuple[Any, np.ndarray]] = {
        "complete, detector": (detector, X),
        "complete, forest": (forest, X),
        "detector on missing values": (detector, gaps),
        "forest on missing values": (forest, gaps),
    }
    for name in ("mean", "neighbours"):
        for what, model in (("detector", detector), ("forest", forest)):
            ways[f"{name}, {what}"] = make_pipeline(clone(IMPUTERS[name]), model), gaps
    results = {}
    for name, (model, samples) in ways.items():
        start = perf_counter()
        scores = -clone(model).fit(samples[trains]).score_samples(samples[~trains])
        results[name] = {
            "AUROC": 100 * roc_auc_score(y[~trains], scores),
            "AP": 100 * average_precision_score(y[~trains], scores),
            "seconds": perf_counter() - start,
        }
    return results


BEDS = {"reconstruction": reconstruction, "detection": detection}


def main() -> None:
    """Measure what is missing, and print means over tables and draws with 95 % intervals over the draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=BEDS, default=list(BEDS))
    parser.add_argument("--seeds", type=int, default=5, help="number of draws")
    parser.add_argument("--first", type=int, default=2, help="first draw; settings were chosen on draws 0 and 1")
    parser.add_argument("--out", type=Path, default=Path("missing.jsonl"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    cells = {tuple(cell["key"]): cell["results"] for cell in map(json.loads, lines)}
    keys = [
        (bed, rate, seed, table)
        for bed in options.only
        for rate in RATES
        for seed in range(options.first, options.first + options.seeds)
        for table in TABLES
    ]
    for bed, rate, seed, table in keys:
        if (bed, rate, seed, table) not in cells:
            results = BEDS[bed](options.data, table, rate, seed)
            cells[bed, rate, seed, table] = results
            with options.out.open("a") as file:
                file.write(json.dumps({"key": (bed, rate, seed, table), "results": results}) + "\n")
    for bed in options.only:
        print(as_text(summary({key: cells[key] for key in keys}, bed), {}, blocks="rate"), end="\n\n")


def summary(cells: dict[Any, Any], bed: str) -> list[dict[str, Any]]:
    """Rows of the table: means over the data sets, then over the draws, and paired differences from the first way."""
    rows = []
    draws = sorted({key[2] for key in cells if key[0] == bed})
    for rate in RATES:
        ways = cells[bed, rate, draws[0], TABLES[0]]
        means = {
            name: {
                figure: np.array([np.mean([cells[bed, rate, s, tb][name][figure] for tb in TABLES]) for s in draws])
                for figure in figures
            }
            for name, figures in ways.items()
        }
        own = means[next(iter(ways))]
        for name, figures in means.items():
            row: dict[str, Any] = {"bed": bed, "rate": str(rate), "way": name}
            for figure, values in figures.items():
                row[figure] = f"{values.mean():.3g}"
                if figure != "seconds":
                    row[f"{figure}, difference"] = interval(values - own[figure])
            rows.append(row)
    return rows


def interval(values: np.ndarray) -> str:
    """Return the mean with its 95 % interval."""
    return f"{values.mean():.2g} +- {half_width(values):.2g}"


if __name__ == "__main__":
    main()
