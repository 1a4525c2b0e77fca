"""Outlier detection on tables: the default detector beside its peers.

    python -m benchmarks.outliers --data DIR [--detectors default,norm,iforest] [--training] [--halves]
                                  [--beds unsup,random,odd,training] [--every 1] [--seeds 5] [--out outliers.jsonl]

DIR holds ``adbench/*.npz`` (X, y; github Minqi824/ADBench) and ``oddbench/*.npz`` (X_train, X_test, y_test; github
psorus/Outformer), 1 = anomaly. Results are appended to ``--out`` one line at a time, and what stands there is not run
again, so the benchmark can be interrupted and extended by another detector.

unsup : fit on a stratified 70 % without labels, score 30 %: contaminated, like a real table.
random: fit on a random half of the normal rows, score the rest and all anomalies.
odd   : the set's own split; training rows are all normal. The seed changes only the detector.
training: fit on at most 2000 rows without labels, and score the same rows. Neighbours leave the row itself out.

``--training`` adds plain, trimmed, denoising, variational and adversarial autoencoders, and an ensemble of plain ones,
after 100, 400 and 1600 steps of training. ``--halves`` draws half of the sets of each bed many times and counts how
often our first detector stays ahead. ``--every 3`` takes each third set of ``odd``.

At most ``--cap`` rows train; sets of the first two beds are first cut to twice that, keeping at least 10 anomalies.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
from joblib import Parallel, delayed
from scipy.stats import wilcoxon
from sklearn.covariance import MinCovDet
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.objectives import Reconstruction
from sk_autoencoder.scores import SCORES, ReconstructionError

if TYPE_CHECKING:  # the demo takes its peers from here, and runs without pandas
    import pandas as pd

Detector = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
BEDS = ("unsup", "random", "odd", "training")
_SCORED_AFTER_FIT = 2000  # rows of the last bed
_FEWEST_ANOMALIES = 10


def norm(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Squared length of the standardised row: the floor, no model at all."""
    del seed
    return (StandardScaler().fit(train).transform(test) ** 2).sum(axis=1)


def iforest(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score by scikit-learn's IsolationForest."""
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def lof(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score by scikit-learn's LocalOutlierFactor on standardised rows."""
    del seed
    if np.array_equal(train, test):
        return -LocalOutlierFactor().fit(StandardScaler().fit_transform(train)).negative_outlier_factor_
    return -make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)).fit(train).score_samples(test)


def knn(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Mean distance to 5 neighbours among standardised rows."""
    del seed
    scaler = StandardScaler().fit(train)
    neighbors = NearestNeighbors(n_neighbors=min(5, len(train))).fit(scaler.transform(train))
    others = None if np.array_equal(train, test) else scaler.transform(test)  # None leaves each row itself out
    return neighbors.kneighbors(others)[0].mean(axis=1)


def pca(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Squared error of the components that hold 90 % of the variance."""
    del seed
    scaler = StandardScaler().fit(train)
    components = PCA(0.9, svd_solver="full").fit(scaler.transform(train))
    rows = scaler.transform(test)
    return ((components.inverse_transform(components.transform(rows)) - rows) ** 2).sum(axis=1)


def mahalanobis(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Squared Mahalanobis length within the span of the training rows."""
    del seed
    scaler = StandardScaler().fit(train)
    components = PCA().fit(scaler.transform(train))
    kept = components.explained_variance_ > 1e-6
    codes = components.transform(scaler.transform(test))[:, kept]
    return (codes**2 / components.explained_variance_[kept]).sum(axis=1)


def ocsvm(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score by scikit-learn's OneClassSVM on standardised rows."""
    del seed
    return -make_pipeline(StandardScaler(), OneClassSVM()).fit(train).score_samples(test)


def mcd(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Squared Mahalanobis length by scikit-learn's MinCovDet on standardised rows."""
    scaler = StandardScaler().fit(train)
    try:
        fitted = MinCovDet(random_state=seed).fit(scaler.transform(train))
    except ValueError:  # reweighting by a nearly singular fit left no row (JobStatusMonitoring)
        return np.zeros(len(test))
    return fitted.mahalanobis(scaler.transform(test))


def pyod(module: str, name: str, **parameters: object) -> Detector:
    """Make a detector of one of PyOD's, with its defaults (needs pyod)."""

    def detector(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        model = getattr(import_module(f"pyod.models.{module}"), name)(
            **{key: seed if value is SEED else value for key, value in parameters.items()}
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return model.fit(train.astype(np.float32)).decision_function(test.astype(np.float32))

    return detector


SEED = object()


def ours(**parameters: object) -> Detector:
    """Make a detector of AutoencoderOutlierDetector with these parameters."""

    def detector(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        return -AutoencoderOutlierDetector(**parameters, random_state=seed).fit(train).score_samples(test)

    return detector


def trained(n_steps: int, **parameters: object) -> Detector:
    """Make a detector of one network, unless told otherwise, that takes so many steps of 128 rows."""

    def detector(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        steps_of_an_epoch = max(1, len(train) * 4 // 5 // _BATCH)
        epochs = max(1, n_steps // steps_of_an_epoch)
        chosen = {"n_estimators": 1, "batch_size": _BATCH, "max_iter": epochs} | parameters
        return ours(**chosen)(train, test, seed)

    return detector


def for_steps(n_steps: int) -> Detector:
    """Make the default detector, trained for so many steps, but at most 100 epochs."""

    def detector(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        steps_of_an_epoch = ceil(len(train) * 4 // 5 / _BATCH)
        return ours(max_iter=min(100, ceil(n_steps / steps_of_an_epoch)))(train, test, seed)

    return detector


_BATCH = 128
_BLIND: dict[str, object] = {"corruption": None, "outlier_score": "reconstruction", "restore_best": False}
FAMILIES: dict[str, dict[str, object]] = {
    "plain": _BLIND,
    "plain best for held-out rows": {**_BLIND, "restore_best": True},
    "trimmed": {**_BLIND, "objective": Reconstruction(trim=0.15)},
    "denoising": {**_BLIND, "corruption": "gaussian"},
    "denoising best for held-out rows": {**_BLIND, "corruption": "gaussian", "restore_best": True},
    "ensemble": {**_BLIND, "n_estimators": 5},
    "variational": {**_BLIND, "outlier_score": "elbo", "objective": "variational"},
    "adversarial": {**_BLIND, "objective": "adversarial"},
}
# Families beside the time that they are trained for, each by its own score alone.
TRAINING: dict[str, Detector] = {
    f"{family} for {n_steps} steps": trained(n_steps, **parameters)
    for family, parameters in FAMILIES.items()
    for n_steps in (100, 400, 1600)
}
# Any configuration of ours is one line here.
OURS: dict[str, Detector] = {
    "default": ours(),
    "novelty": ours(novelty=True),
    **{f"default for {n_steps} steps": for_steps(n_steps) for n_steps in (250, 500)},
    **TRAINING,
    "squared_error": ours(outlier_score=ReconstructionError(normalize=None)),
    **{name: ours(outlier_score=name) for name in SCORES if name not in {"combined", "kl", "elbo"}},
}
PEERS: dict[str, Detector] = {
    "norm": norm,
    "iforest": iforest,
    "lof": lof,
    "knn": knn,
    "pca": pca,
    "mahalanobis of rows": mahalanobis,
    "ocsvm": ocsvm,
    "mcd": mcd,
    "ecod": pyod("ecod", "ECOD"),
    "pyod_ae": pyod("auto_encoder", "AutoEncoder", verbose=0, random_state=SEED),
    "pyod_vae": pyod("vae", "VAE", verbose=0, random_state=SEED),
}
DETECTORS = OURS | PEERS


def splits(
    data: Path, beds: tuple[str, ...], cap: int, seed: int, every: int = 1
) -> Iterator[tuple[str, str, np.ndarray, ...]]:
    """Yield (bed, set, training rows, test rows, test labels)."""
    rng = np.random.default_rng(seed)
    for path in sorted((data / "adbench").glob("*.npz")):
        file = np.load(path)
        X, y = file["X"], file["y"].astype(int).ravel()
        if len(X) > 2 * cap:
            kept = _cut(y, 2 * cap, rng)
            X, y = X[kept], y[kept]
        if "training" in beds:
            chosen = (
                _cut(y, _SCORED_AFTER_FIT, np.random.default_rng(seed)) if len(X) > _SCORED_AFTER_FIT else slice(None)
            )
            yield "training", path.stem, X[chosen], X[chosen], y[chosen]
        if "unsup" in beds:
            train, test, _, labels = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
            yield "unsup", path.stem, train[:cap], test, labels
        if "random" in beds:
            normal = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
            half = len(normal) // 2
            rest = np.r_[normal[half:], np.flatnonzero(y == 1)]
            yield "random", path.stem, X[normal[:half]][:cap], X[rest], y[rest]
    if "odd" in beds:
        for path in sorted((data / "oddbench").glob("*.npz"))[::every]:
            file = np.load(path)
            yield "odd", path.stem, file["X_train"][:cap], file["X_test"], file["y_test"].astype(int)


def _cut(y: np.ndarray, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Choose rows at random, with at least 10 anomalies among them."""
    kept = rng.permutation(len(y))[:n_rows]
    if y[kept].sum() >= _FEWEST_ANOMALIES:
        return kept
    normal = rng.permutation(np.flatnonzero(y == 0))[: n_rows - _FEWEST_ANOMALIES]
    return np.r_[np.flatnonzero(y == 1)[:_FEWEST_ANOMALIES], normal]


def run(detector: str, seed: int, bed: str, name: str, train: np.ndarray, test: np.ndarray, y: np.ndarray) -> dict:
    """Fit and score one detector on one set."""
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    start = time.perf_counter()
    scores = np.asarray(DETECTORS[detector](train, test, seed), dtype=float)
    seconds = time.perf_counter() - start
    return {"bed": bed, "set": name, "seed": seed, "detector": detector, **judged(y, scores), "seconds": seconds}


def judged(y: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Figures of scores, with those that are not finite brought into order."""
    scores = np.nan_to_num(scores, nan=0, posinf=1e30, neginf=-1e30)
    return {"auroc": roc_auc_score(y, scores), "ap": average_precision_score(y, scores)}


def report(rows: pd.DataFrame, wanted: list[str]) -> str:
    """Tables of means, ranks, a paired test against the best peer, and the worst ten sets."""
    lines: list[str] = []
    for bed in [bed for bed in BEDS if bed in set(rows["bed"])]:
        mine = rows[rows["bed"] == bed]
        by_set = {
            metric: mine.pivot_table(index="set", columns="detector", values=metric)[wanted].dropna()
            for metric in ("auroc", "ap")
        }
        ranks = by_set["auroc"].rank(axis=1, ascending=False).mean()
        seconds = mine.groupby("detector")["seconds"].mean()
        n_sets, n_seeds = len(by_set["auroc"]), mine["seed"].nunique()
        lines.append(f"\n{bed}: {n_sets} sets, {n_seeds} seeds\n")
        lines.append("| detector | AUROC | AP | rank | seconds |\n|---|---|---|---|---|")
        lines += [
            f"| {d} | {100 * by_set['auroc'][d].mean():.2f} | {100 * by_set['ap'][d].mean():.2f} "
            f"| {ranks[d]:.2f} | {seconds[d]:.2f} |"
            for d in wanted
        ]
        lines += _against_best_peer(by_set["auroc"], wanted)
    return "\n".join(lines)


def _against_best_peer(auroc: pd.DataFrame, wanted: list[str]) -> list[str]:
    """Compare our first configuration with the peer of the highest mean."""
    own, peers = [d for d in wanted if d in OURS], [d for d in wanted if d in PEERS]
    if not own or not peers:
        return []
    best = auroc[peers].mean().idxmax()
    difference = (auroc[own[0]] - auroc[best]).sort_values()
    p = wilcoxon(auroc[own[0]], auroc[best]).pvalue
    worst = ", ".join(f"{name} {100 * value:+.1f}" for name, value in difference.head(10).items())
    mean = 100 * difference.mean()
    return [f"\n{own[0]} against {best}: {mean:+.2f} AUROC, Wilcoxon p = {p:.3g}; worst ten: {worst}"]


def halves(rows: pd.DataFrame, wanted: list[str], draws: int = 1000) -> str:
    """Compare our first detector with the peers on random halves of each bed's sets."""
    own, peers = next(d for d in wanted if d in OURS), [d for d in wanted if d in PEERS]
    lines = [
        f"\n{own} against the best peer of each of {draws} random halves of the sets\n",
        "| bed | figure | mean of all | lowest 5 % of halves | ahead of the best peer in | difference, lowest 5 % |",
        "|---|---|---|---|---|---|",
    ]
    for bed in [bed for bed in BEDS if bed in set(rows["bed"])]:
        for metric in ("auroc", "ap"):
            mine = rows[rows["bed"] == bed]
            table = 100 * mine.pivot_table(index="set", columns="detector", values=metric)[[own, *peers]].dropna()
            rng = np.random.default_rng(0)
            chosen = [rng.permutation(len(table))[: len(table) // 2] for _ in range(draws)]
            means = np.stack([table.to_numpy()[half].mean(axis=0) for half in chosen])
            ahead = means[:, 0] - means[:, 1:].max(axis=1)
            lines.append(
                f"| {bed} | {metric} | {table[own].mean():.2f} | {np.quantile(means[:, 0], 0.05):.2f} "
                f"| {100 * (ahead > 0).mean():.0f} % | {np.quantile(ahead, 0.05):+.2f} |"
            )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and print the tables."""
    import pandas as pd

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detectors", default="default,norm,iforest,lof,knn,pca,mahalanobis of rows")
    parser.add_argument("--beds", default=",".join(BEDS))
    parser.add_argument("--cap", type=int, default=5000)
    parser.add_argument("--training", action="store_true", help="add families of autoencoders by training time")
    parser.add_argument("--halves", action="store_true", help="count how often we are ahead on halves of the sets")
    parser.add_argument("--every", type=int, default=1, help="take each n-th set of odd")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("outliers.jsonl"))
    args = parser.parse_args(arguments)
    wanted = [*args.detectors.split(","), *(TRAINING if args.training else ())]
    beds = tuple(args.beds.split(","))

    done = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    known = {(r["detector"], r["seed"], r["bed"], r["set"]) for r in done}
    jobs = (
        delayed(run)(detector, seed, *split)
        for seed in range(args.seeds)
        for split in splits(args.data, beds, args.cap, seed, args.every)
        for detector in wanted
        if (detector, seed, *split[:2]) not in known
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("a") as file:
        for row in Parallel(args.jobs, return_as="generator_unordered")(jobs):
            done.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    rows = pd.DataFrame(done)
    rows = rows[rows["bed"].isin(beds) & (rows["seed"] < args.seeds) & rows["detector"].isin(wanted)]
    print(report(rows, wanted))
    if args.halves:
        print(halves(rows, wanted))


if __name__ == "__main__":
    main()
