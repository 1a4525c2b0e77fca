"""False alarms of every threshold rule on clean rows, and what it finds when one feature of a row is shifted.

    python -m benchmarks.false_alarms [--score combined] [--members 5] [--seeds 10] [--sizes 50,500,5000]

Training and test rows come from the same distribution, so every flagged test row is a false alarm. Each detector is
fitted once; ``recalibrate`` moves its threshold. A shifted row is a clean one with one feature, drawn anew for each
row, moved by five of its standard deviations. The second table is for choosing ``Hampel``'s ``n_deviations``.

Verdict: no conformal rule and no p-value raises more alarms than its level allows, within three standard errors.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.thresholds import Conformal, Hampel, Tail

N_FEATURES = 10
N_TEST = 2000
SHIFT = 5.0
LEVELS = (0.01, 0.05, 0.1)
RULES = {"auto": "auto", "tail": Tail(), **{f"conformal {level:g}": Conformal(level) for level in LEVELS}}
DEVIATIONS = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0)

Sampler = Callable[[int, np.random.Generator], np.ndarray]


def gaussian(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Three hidden directions and noise."""
    return _mix(rng.normal(size=(n_rows, 3))) + 0.3 * rng.normal(size=(n_rows, N_FEATURES))


def heavy_tailed(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """The same with Student's t of three degrees of freedom."""
    return _mix(rng.standard_t(3, size=(n_rows, 3))) + 0.3 * rng.standard_t(3, size=(n_rows, N_FEATURES))


def clustered(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Four clusters of different widths."""
    centers = np.random.default_rng(1).normal(scale=4, size=(4, N_FEATURES))
    kind = rng.choice(4, size=n_rows, p=[0.4, 0.3, 0.2, 0.1])
    return centers[kind] + np.array([1.0, 0.5, 0.25, 1.5])[kind, None] * rng.normal(size=(n_rows, N_FEATURES))


def uniform(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Independent and uniform in a cube."""
    return rng.uniform(size=(n_rows, N_FEATURES))


SAMPLERS: dict[str, Sampler] = {f.__name__: f for f in (gaussian, heavy_tailed, clustered, uniform)}


def _mix(hidden: np.ndarray) -> np.ndarray:
    return hidden @ np.random.default_rng(0).normal(size=(hidden.shape[1], N_FEATURES))


def normal_classes() -> Iterator[tuple[str, np.ndarray]]:
    """Yield one class of each of scikit-learn's tables."""
    for name, load, label in (("digits 1", load_digits, 1), ("wine 0", load_wine, 0)):
        X, y = load(return_X_y=True)
        yield name, X[y == label]
    X, y = load_breast_cancer(return_X_y=True)
    yield "benign breast", X[y == 1]


def jobs(sizes: list[int], seeds: int) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    """Yield (name, seed, training rows, test rows)."""
    for seed in range(seeds):
        for name, sample in SAMPLERS.items():
            for size in sizes:
                rng = np.random.default_rng([seed, size])
                yield name, seed, sample(size, rng), sample(N_TEST, rng)
        for name, X in normal_classes():
            order = np.random.default_rng(seed).permutation(len(X))
            yield name, seed, X[order[::2]], X[order[1::2]]


def run(name: str, seed: int, train: np.ndarray, test: np.ndarray, score: str, members: int) -> dict[str, object]:
    """Fit once and measure the share of flagged rows under every rule."""
    rng = np.random.default_rng([seed, 99])
    shifted, spread = test.copy(), test.std(axis=0)
    feature = rng.choice(np.flatnonzero(spread > 0), size=len(test))
    sign = rng.choice([-1.0, 1.0], size=len(test))
    shifted[np.arange(len(test)), feature] += SHIFT * spread[feature] * sign

    detector = AutoencoderOutlierDetector(outlier_score=score, n_estimators=members, random_state=seed).fit(train)
    clean_scores, shifted_scores = detector.score_samples(test), detector.score_samples(shifted)
    p_values = detector.p_values(test)
    result: dict[str, object] = {"data": name, "n": len(train), "test": len(test)}
    for rule, choice in (RULES | {f"hampel {d:g}": Hampel(d) for d in DEVIATIONS}).items():
        offset = detector.recalibrate(contamination=choice).offset_
        result[rule] = np.mean(clean_scores < offset)
        result[f"power {rule}"] = np.mean(shifted_scores < offset)
    for level in LEVELS:
        result[f"p <= {level:g}"] = np.mean(p_values <= level)
    # A fold supports no level below one in its size plus one; then a conformal rule says that it flags at that level.
    result["smallest p"] = 1 / (1 + len(detector.calibration_scores_))
    return result


def table(results: list[dict], columns: list[str]) -> str:
    """Means over seeds in percent, one line for each set and size."""
    lines = [f"| data | n | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for key in dict.fromkeys((r["data"], r["n"]) for r in results):
        mine = [r for r in results if (r["data"], r["n"]) == key]
        means = [f"{100 * np.mean([r[column] for r in mine]):.1f}" for column in columns]
        lines.append(f"| {key[0]} | {key[1]} | {' | '.join(means)} |")
    return "\n".join(lines)


def violations(results: list[dict]) -> list[str]:
    """Levels that are exceeded by more than three standard errors over the seeds."""
    found = []
    for key in dict.fromkeys((r["data"], r["n"]) for r in results):
        mine = [r for r in results if (r["data"], r["n"]) == key]
        for level in LEVELS:
            for rule in (f"conformal {level:g}", f"p <= {level:g}"):
                rates = np.array([r[rule] for r in mine])
                allowed = level if rule.startswith("p") else max(level, mine[0]["smallest p"])
                # The rate given one training set varies as that set's held-out rows do, not only as the test rows do.
                held_out = 1 / mine[0]["smallest p"] - 1
                error = np.sqrt(allowed * (1 - allowed) * (1 / held_out + 1 / mine[0]["test"]) / len(mine))
                if rates.mean() > allowed + 3 * error:
                    found.append(f"{key[0]}, n={key[1]}: {rule} has {100 * rates.mean():.1f} %")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--score", default="combined")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sizes", default="50,500,5000")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    results = Parallel(args.jobs)(delayed(run)(*job, args.score, args.members) for job in jobs(sizes, args.seeds))
    print(f"\noutlier_score={args.score!r}, n_estimators={args.members}, {args.seeds} seeds; percent\n")
    print("False alarms on clean rows, and the share of shifted rows that is found\n")
    print(
        table(
            results,
            [*RULES, *(f"p <= {level:g}" for level in LEVELS), "power auto", "power tail", "power conformal 0.05"],
        )
    )
    print("\nFalse alarms of Hampel by n_deviations\n")
    print(table(results, [f"hampel {d:g}" for d in DEVIATIONS]))
    broken = violations(results)
    print("\nVerdict:", "every level holds" if not broken else "; ".join(broken))
    raise SystemExit(bool(broken))


if __name__ == "__main__":
    main()
