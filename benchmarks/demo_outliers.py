"""AutoencoderOutlierDetector, untuned, beside four peers on fixed tables; and pictures of what it finds."""

from __future__ import annotations

import warnings
from pathlib import Path
from time import process_time

import matplotlib.pyplot as plt
import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.demo_transformer import save
from benchmarks.outliers import iforest, lof, norm, ours, pca
from benchmarks.tables import Row, as_text, write_csv
from sk_autoencoder import (
    AutoencoderOutlierDetector,
    FeatureScoresDisplay,
    OutlierReconstructionDisplay,
    OutlierScoreDisplay,
)

DETECTORS = {
    "autoencoder": ours(device="cpu"),
    "IsolationForest": iforest,
    "LocalOutlierFactor": lof,
    "PCA error": pca,
    "row length": norm,
}
BENIGN, FIRST_WINE = 1, 0
DRAWS = {"breast cancer": 5, "digits": 3, "wine": 5}

FIGURES = ("AUROC", "AP", "seconds")
FORMATS = {"AUROC": ".3f", "AP": ".3f", "seconds": ".2f"}
BEST = {"AUROC": max, "AP": max, "seconds": min}
NOTES = f"""\
A random half of the normal rows trains, the other half and the outliers are scored; nothing is tuned.
breast cancer: benign is normal, 10 % of the test rows malignant. digits: each digit in turn is the outlier, 5 % of the
test rows, the other nine are normal; mean of the ten. wine: class 0 is normal, 10 % of the test rows of other classes.
Means of 5 draws of the rows (digits: {DRAWS["digits"]}). AP: average precision. seconds: processor
time of fit and scoring. LocalOutlierFactor (novelty=True), PCA error (components with 90 % of the
variance) and row length (its square, no model at all) get standardised rows. **best of its table**"""

Split = tuple[np.ndarray, np.ndarray, np.ndarray]


def tasks() -> dict[str, list[tuple[np.ndarray, np.ndarray, float]]]:
    """For each table one or more of (rows, whether a row is an outlier, share of outliers among test rows)."""
    cancer, y_cancer = load_breast_cancer(return_X_y=True)
    digits, y_digits = load_digits(return_X_y=True)
    wine, y_wine = load_wine(return_X_y=True)
    return {
        "breast cancer": [(cancer, y_cancer != BENIGN, 0.1)],
        "digits": [(digits, y_digits == digit, 0.05) for digit in range(10)],
        "wine": [(wine, y_wine != FIRST_WINE, 0.1)],
    }


def split(X: np.ndarray, is_outlier: np.ndarray, share: float, draw: int) -> Split:
    """Return training rows, test rows, and which of the latter are outliers."""
    rng = np.random.default_rng(draw)
    normal, strange = (rng.permutation(np.flatnonzero(mask)) for mask in (~is_outlier, is_outlier))
    train, clean = np.split(normal, [len(normal) // 2])
    test = np.r_[clean, strange[: round(share / (1 - share) * len(clean))]]
    return X[train], X[test], is_outlier[test]


def measure(detector: str, X: np.ndarray, is_outlier: np.ndarray, share: float, draw: int) -> tuple[float, ...]:
    """Return FIGURES of one detector on one draw."""
    torch.set_num_threads(1)
    train, test, labels = split(X, is_outlier, share, draw)
    start = process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib's processes print those of imports
        scores = DETECTORS[detector](train, test, draw)
    seconds = process_time() - start
    return roc_auc_score(labels, scores), average_precision_score(labels, scores), seconds


def table() -> list[Row]:
    """Measure all detectors on all tables."""
    jobs = [
        (name, detector, (detector, *task, draw))
        for name, versions in tasks().items()
        for detector in DETECTORS
        for task in versions
        for draw in range(DRAWS[name])
    ]
    found = Parallel(n_jobs=2)(delayed(measure)(*arguments) for _, _, arguments in jobs)
    groups: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for (name, detector, _), figures in zip(jobs, found, strict=True):
        groups.setdefault((name, detector), []).append(figures)
    return [
        {"data": name, "detector": detector} | dict(zip(FIGURES, map(float, np.mean(figures, axis=0)), strict=True))
        for (name, detector), figures in groups.items()
    ]


def pictures(out: Path) -> None:
    """Draw what the detector says of tumours and of digits, on the first draw of each."""
    with plt.rc_context({"font.size": 12}):
        tumours(out)
        threes(out)


def tumours(out: Path) -> None:
    """Draw the scores of the breast cancer table, and why its strangest malignant row is strange."""
    data = load_breast_cancer()
    train, test, labels = split(*tasks()["breast cancer"][0], draw=0)
    detector = AutoencoderOutlierDetector(device="cpu", random_state=0).fit(train)
    display = OutlierScoreDisplay.from_estimator(detector, test, labels.astype(int))
    save(display.figure_, out / "outlier_scores.png")

    strangest = np.argmax(np.where(labels, -detector.score_samples(test), -np.inf))
    [shares], [p], [label] = (
        f(test[[strangest]]) for f in (detector.feature_scores, detector.p_values, detector.predict)
    )
    verdict = {-1: "outlier", 1: "normal"}[label]
    title = f"most outlying tumour:\n{verdict}, p = {p:.2g}"
    display = FeatureScoresDisplay(
        shares,
        values=test[strangest],
        expected=detector.reconstruct(test[[strangest]])[0],
        feature_names=data.feature_names,
        title=title,
        is_outlier=label == -1,
    )
    save(display.plot(top=8).figure_, out / "outlier_features.png")


def threes(out: Path) -> None:
    """Draw three threes and one of each other digit, seen by a detector that knows threes only."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    known, new = np.split(order[y[order] == 3], [len(X) // 20])
    rows = np.r_[new[:3], [order[y[order] == digit][0] for digit in range(10) if digit != 3]]
    detector = AutoencoderOutlierDetector(device="cpu", random_state=0).fit(X[known])
    names = ("unseen digit", "rebuilt", "difference")
    display = OutlierReconstructionDisplay.from_estimator(
        detector, X[rows], n_samples=len(rows), image_shape=(8, 8), names=names, cmap="gray_r"
    )
    save(display.figure_, out / "outlier_digits.png")


def run(out: Path) -> str:
    """Write table and pictures, return the table."""
    rows = table()
    write_csv(rows, out / "outliers.csv")
    pictures(out)
    mean = {detector: np.mean([float(r["AUROC"]) for r in rows if r["detector"] == detector]) for detector in DETECTORS}
    ranked = ", ".join(f"{name} {value:.3f}" for name, value in sorted(mean.items(), key=lambda item: -item[1]))
    return f"{as_text(rows, FORMATS, 'data', BEST)}\n\n{NOTES}\nmean AUROC of the three tables: {ranked}"
