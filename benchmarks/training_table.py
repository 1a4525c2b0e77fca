"""The detector on the table that it was fitted on, beside new samples.

    python -m benchmarks.training_table [--only shares,moved,auto,damage] [--draws 20] [--jobs 2]

shares: which part of the training samples and of clean new ones ``contamination`` flags, and p-values at most .05.
moved : the same for training samples, moved by a small part of each column's spread, at ``contamination=0.05``.
auto  : how many outliers "auto" finds beside "tail", and how many inliers either flags, on three tables with outliers.
damage: average precision of training samples, 10 of which are damaged in one way, beside peers and other scores.

All figures are percent, and means over the draws: all of them for shares, 4 for moved samples, 10 for "auto" and 3 for
damage, if there are as many.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.metrics import average_precision_score

from benchmarks.false_alarms import SAMPLERS
from benchmarks.outliers import PEERS, Detector
from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.scores import Combined
from tests.estimators.training_tables import DAMAGE, contaminated, houses

SIZES = {300: (0.05, 0.1), 1000: (0.01, 0.05)}
MOVES = (1e-7, 1e-4, 1e-2)
Row = dict[str, str | float]


def shares(draw: int) -> Iterator[Row]:
    """Flag samples of clean tables."""
    for n, levels in SIZES.items():
        for name, sample in SAMPLERS.items():
            rng = np.random.default_rng([draw, n, 1])
            X, new = sample(n, rng), sample(2000, rng)
            model = AutoencoderOutlierDetector(random_state=draw).fit(X)
            row: Row = {"table": name, "n": n, "new: auto": np.mean(model.predict(new) == -1)}
            row["new: p <= .05"] = np.mean(model.p_values(new) <= 0.05)
            for level in levels:
                model.recalibrate(contamination=level)
                row[f"training: {level:g}"] = np.mean(model.labels_ == -1)
                row[f"new: {level:g}"] = np.mean(model.predict(new) == -1)
            yield row


def moved(draw: int) -> Iterator[Row]:
    """Flag training samples that are not recognised, since each cell was moved up or down."""
    for n in SIZES:
        for name, sample in SAMPLERS.items():
            rng = np.random.default_rng([draw, n, 1])
            X = sample(n, rng)
            step = X.std(axis=0) * rng.choice([-1, 1], X.shape)
            model = AutoencoderOutlierDetector(contamination=0.05, random_state=draw).fit(X)
            yield {"table": name, "n": n} | {f"by {m:g}": np.mean(model.predict(X + m * step) == -1) for m in MOVES}


def auto(draw: int) -> Iterator[Row]:
    """Compare "auto" with "tail"."""
    for name, X, is_outlier in contaminated(draw):
        model = AutoencoderOutlierDetector(random_state=draw).fit(X)
        row: Row = {"table": name, "n": len(X)}
        for rule in ("auto", "tail"):
            flagged = model.recalibrate(contamination=rule).labels_ == -1
            row |= {f"{rule} finds": flagged[is_outlier].mean(), f"{rule} flags inliers": flagged[~is_outlier].mean()}
        ordered = np.sort(model.training_scores_[~is_outlier])
        row["best at 1 % of inliers"] = np.mean(model.training_scores_[is_outlier] < ordered[len(ordered) // 100])
        yield row


def _fitted(score: object) -> Detector:
    def judged(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        del test
        return -AutoencoderOutlierDetector(outlier_score=score, random_state=seed).fit(train).training_scores_

    return judged


JUDGES: dict[str, Detector] = {
    "default": _fitted("combined"),
    "Combined(damped=False)": _fitted(Combined(damped=False)),
    "largest, undamped": _fitted(Combined(n_largest=1, damped=False)),
    "reconstruction": _fitted("reconstruction"),
    **{name: PEERS[name] for name in ("iforest", "lof", "knn", "pca")},
}


def damage(draw: int) -> Iterator[Row]:
    """Look for 10 damaged samples."""
    for n in (900, 3000):
        for kind in DAMAGE:
            X, y = houses(n, 10, kind, draw)
            found = {name: average_precision_score(y, judge(X, X, draw)) for name, judge in JUDGES.items()}
            yield {"table": kind, "n": n} | found


SECTIONS: dict[str, tuple[Callable[[int], Iterator[Row]], int]] = {
    "shares": (shares, 100),
    "moved": (moved, 4),
    "auto": (auto, 10),
    "damage": (damage, 3),
}


def _measured(section: str, draw: int) -> list[Row]:
    warnings.filterwarnings("ignore")
    return [*SECTIONS[section][0](draw)]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args(arguments)
    for section in args.only.split(","):
        draws = range(min(args.draws, SECTIONS[section][1]))
        found = Parallel(args.jobs)(delayed(_measured)(section, draw) for draw in draws)
        rows = pd.DataFrame([row for rows in found for row in rows])
        means = 100 * rows.groupby(["n", "table"], sort=False).mean()
        if section == "damage":
            means.loc[("", "mean"), :] = means.mean()
        print(f"\n{section}, {len(draws)} draws\n\n{means.round(1).to_markdown()}", flush=True)


if __name__ == "__main__":
    main()
