"""Milliseconds of one step of a stream, beside the score of its window.

    python -m benchmarks.stream [--sensors 38] [--steps 3000] [--repeats 500]

``push`` of a step and ``score_samples`` of the detector for its window are called in turn, with one thread. The table
has medians of the processor time, which other processes change less than they change the time on the clock. The script
fails when a promise is broken.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from sk_autoencoder import TimeSeriesOutlierDetector

MOST, MOST_ADDED = 25.0, 2.0  # milliseconds


def milliseconds(function: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    function()
    return 1000 * (time.process_time() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sensors", type=int, default=38)
    parser.add_argument("--steps", type=int, default=3000, help="of the training series")
    parser.add_argument("--repeats", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    phases = np.arange(options.steps)[:, None] / rng.uniform(5, 30, options.sensors)
    X = np.sin(phases) + rng.normal(size=(options.steps, 1))
    detector = TimeSeriesOutlierDetector(window_size=48, random_state=0).fit(X)
    stream = detector.stream()
    stream.push(X[:47])
    windows = [X[start : start + 48].T.reshape(1, -1) for start in range(options.repeats)]
    pushed, scored = [], []
    for step, window in enumerate(windows, start=47):
        pushed.append(milliseconds(lambda: stream.push(X[step])))  # noqa: B023 - called at once
        scored.append(milliseconds(lambda: detector.estimator_.score_samples(window)))  # noqa: B023
    push, score = statistics.median(pushed), statistics.median(scored)
    print("| what | median, ms | promise |\n|---|---|---|")
    print(f"| push of a step of {options.sensors} sensors | {push:.2f} | {MOST} |")
    print(f"| score of its window | {score:.2f} | |")
    print(f"| difference | {push - score:.2f} | {MOST_ADDED} |")
    if push > MOST or push - score > MOST_ADDED:
        raise SystemExit("broken")


if __name__ == "__main__":
    main()
