"""Ablation of the detector's default: each ingredient out, one at a time.

    python -m benchmarks.ablation --data DIR [--beds unsup,random,odd] [--every 1] [--seeds 1] [--out ablation.jsonl]

DIR, beds and splits are those of ``benchmarks.outliers``. One fit of each set gives every component's surprises, and
all compositions are made of these; two further fits leave out ingredients of the training. The composition "default"
is compared with what ``AutoencoderOutlierDetector()`` itself says: the same, but for test rows that were trained on.
Results are appended to ``--out``, and what stands there is not run again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from math import log
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy.stats import wilcoxon

from benchmarks.outliers import BEDS, Detector, judged, knn, ours, splits
from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores import Combined, OutlierScore, RankDistance, ResidualDistance, SampleDistance
from sk_autoencoder.scores.base import State
from sk_autoencoder.scores.surprises import damp

NETWORK: dict[str, str | OutlierScore] = {"mahalanobis": "mahalanobis", "residual_distance": ResidualDistance(1)}
ROWS: dict[str, str | OutlierScore] = {
    "sample_distance": SampleDistance(1, 2048),
    "rank_distance": RankDistance(1),
    "sample_isolation": "sample_isolation",
    "feature_tails": "feature_tails",
}
OTHERS: dict[str, str | OutlierScore] = {
    "sample_distance to 1024": SampleDistance(1, 1024),
    "reconstruction_isolation": "reconstruction_isolation",
}
LOCAL = ("mahalanobis", "residual_distance", "sample_distance", "sample_distance to 1024", "rank_distance")

EXTREME = ("residual_distance", "sample_distance", "sample_distance to 1024")

Surprises = dict[str, torch.Tensor]  # of each component before damping, and "limit of" a distance, (n, n_members)


def composed(
    surprises: Surprises,
    network: tuple[str, ...] = tuple(NETWORK),
    rows: tuple[str, ...] = tuple(ROWS),
    n_largest: int = 2,
    damped: tuple[str, ...] = LOCAL,
    n_members: int | None = None,
) -> np.ndarray:
    """Combine components as ``Combined`` does; those of the network count as one, damped distances have limits."""
    means = {
        name: (damp(surprise) if name in damped else surprise)[:, :n_members]
        .nanmean(dim=1)
        .nan_to_num(nan=log(2))
        .clamp(min=log(2))
        for name, surprise in surprises.items()
    }
    limits = [means[f"limit of {name}"] for name in (*network, *rows) if name in EXTREME and name in damped]
    parts = [torch.stack([means[name] for name in network]).mean(dim=0)] if network else []
    stacked = torch.stack([*parts, *(means[name] for name in rows)])
    largest = stacked.topk(min(n_largest, len(stacked)), dim=0).values.mean(dim=0)
    return torch.stack([largest, *limits]).amax(dim=0).numpy()


def _without(name: str) -> dict:
    return {
        "network": tuple(other for other in NETWORK if other != name),
        "rows": tuple(other for other in ROWS if other != name),
    }


COMPOSITIONS: dict[str, dict] = {
    "default": {},
    **{f"without {name}": _without(name) for name in NETWORK | ROWS},
    "no network": {"network": ()},
    "network's components one by one": {"network": (), "rows": (*NETWORK, *ROWS)},
    "sample_distance to 1024 rows": {"rows": ("sample_distance to 1024", *tuple(ROWS)[1:])},
    "with reconstruction_isolation": {"rows": (*ROWS, "reconstruction_isolation")},
    "largest alone": {"n_largest": 1},
    "three largest": {"n_largest": 3},
    "mean of all": {"n_largest": len(ROWS) + 1},
    "nothing damped": {"damped": ()},
    "only the network damped": {"damped": tuple(NETWORK)},
    "first member alone": {"n_members": 1},
    **{f"{name} alone": {"network": (), "rows": (name,)} for name in [*NETWORK, *ROWS, "reconstruction_isolation"]},
}
# What is left out of the training, with the default's composition.
TRAININGS: dict[str, Detector] = {
    "the detector itself": ours(),
    "weights of the last epoch": ours(restore_best=False),
    "no noise, narrow code": ours(corruption=None),
}
PEER = "knn"


def surprises_of(train: np.ndarray, test: np.ndarray, seed: int) -> Surprises:
    """Fit the default's networks once, and return the surprises of all components for the test rows."""
    parts = NETWORK | ROWS | OTHERS
    score, damped = (Combined([*parts.values()], n_largest=None, damped=choice) for choice in (False, True))
    detector = AutoencoderOutlierDetector(outlier_score=damped, random_state=seed).fit(train)

    def stacked(evaluation: Evaluation, state: State) -> torch.Tensor:
        """(1, n, n_votes * n_members): the detector takes a mean over the first axis."""
        limits = damped.votes(evaluation, state)[..., list(damped.of_extremes)]
        found = torch.cat([score.votes(evaluation, state), limits], dim=-1)  # (n_members, n, n_votes)
        return found.permute(1, 2, 0).flatten(1)[None]

    scored = detector._scored(test, None, stacked, lambda mean: mean)
    names = [*parts, *(f"limit of {name}" for name in parts if name in EXTREME)]
    found = torch.from_numpy(scored).unflatten(-1, (len(names), -1))
    return dict(zip(names, found.unbind(1), strict=True))


def run(seed: int, bed: str, name: str, train: np.ndarray, test: np.ndarray, y: np.ndarray) -> list[dict]:
    """Judge all compositions, trainings and the peer on one set."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    surprises = surprises_of(train, test, seed)
    scores = {what: composed(surprises, **choice) for what, choice in COMPOSITIONS.items()}
    scores |= {what: detector(train, test, seed) for what, detector in TRAININGS.items()}
    scores[PEER] = knn(train, test, seed)
    known = {"bed": bed, "set": name, "seed": seed}
    return [{**known, "detector": what, **judged(y, score)} for what, score in scores.items()]


def report(rows: pd.DataFrame) -> str:
    """One line for each composition: means over sets, and a paired test against the peer on the last bed."""
    beds = [bed for bed in BEDS if bed in set(rows["bed"])]
    lines = [f"| | {' | '.join(beds)} | p |", "|---" * (len(beds) + 2) + "|"]
    by_set = rows.groupby(["bed", "detector", "set"])[["auroc", "ap"]].mean()
    for what in [*COMPOSITIONS, *TRAININGS, PEER]:
        cells = ["{auroc:.2f} / {ap:.2f}".format(**100 * by_set.loc[bed, what].mean()) for bed in beds]
        ours_, peers = (by_set.loc[beds[-1], which]["auroc"] for which in (what, PEER))
        p = "" if what == PEER else f"{wilcoxon(ours_, peers).pvalue:.2g}"
        lines.append(f"| {what} | {' | '.join(cells)} | {p} |")
    n_sets = ", ".join(f"{bed}: {len(by_set.loc[bed, PEER])} sets" for bed in beds)
    return "\n".join([f"\n{n_sets}; p: Wilcoxon against {PEER} on {beds[-1]}, AUROC\n", *lines])


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--beds", default=",".join(BEDS[:3]))
    parser.add_argument("--cap", type=int, default=5000)
    parser.add_argument("--every", type=int, default=1, help="take each n-th set of the last bed")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("ablation.jsonl"))
    args = parser.parse_args(arguments)
    beds = tuple(args.beds.split(","))

    done = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    known = {(row["seed"], row["bed"], row["set"]) for row in done}
    jobs = (
        delayed(run)(seed, *split)
        for seed in range(args.seeds)
        for split in splits(args.data, beds, args.cap, seed, args.every)
        if (seed, *split[:2]) not in known
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("a") as file:
        for found in Parallel(args.jobs, return_as="generator_unordered")(jobs):
            done += found
            file.writelines(json.dumps(row) + "\n" for row in found)
            file.flush()
    rows = pd.DataFrame(done)
    print(report(rows[rows["bed"].isin(beds) & (rows["seed"] < args.seeds)]))


if __name__ == "__main__":
    main()
