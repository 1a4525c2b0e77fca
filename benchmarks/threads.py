"""Processor time of fits on one thread and on the threads that the library chooses, on an idle and on a busy machine.

    python -m benchmarks.threads [--rounds 5] [--only small,large]

The fits run in fresh processes: on one thread; on torch's default number, of which the library takes as many as pay
("chosen"); on these with ``OMP_WAIT_POLICY=PASSIVE`` ("passive"), so that waiting threads leave their processor to
others; and on all of them ("all"), as if every operation were worth them. On a busy machine, each processor has a
process beside that counts. Figures are medians over the rounds, in which choices alternate. Large fits with "chosen"
threads take minutes on a busy machine.

Verdict: on the busy machine chosen threads take at most 1.5 times the processor time of one thread for a small fit;
on the idle machine they take at most 1.1 times the wall time of all threads for a large one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer, _threads


def _normal(*size: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=size).astype(np.float32)


def _detector_of_20() -> Any:
    return AutoencoderOutlierDetector(max_iter=20, random_state=0).fit(_normal(20, 2))


def _epochs_of_100() -> Any:
    return AutoencoderTransformer(2, max_iter=25, random_state=0).fit(_normal(100, 5))


def _detector_of_digits() -> Any:
    return AutoencoderOutlierDetector(max_iter=5, random_state=0).fit(load_digits().data)


def _epochs_of_digits() -> Any:
    return AutoencoderTransformer(16, max_iter=20, random_state=0).fit(load_digits().data)


def _images() -> Any:
    return AutoencoderTransformer(32, hidden_layer_sizes=(512, 256), batch_size=256, max_iter=2, random_state=0).fit(
        _normal(10_000, 784)
    )


def _detector_of_images() -> Any:
    return AutoencoderOutlierDetector(max_iter=2, random_state=0).fit(_normal(2000, 784))


def _scores() -> Any:
    model = AutoencoderOutlierDetector(max_iter=1, random_state=0).fit(_normal(2000, 20))
    return model.score_samples(_normal(20_000, 20) + 1)


FITS: dict[str, dict[str, Callable[[], Any]]] = {
    "small": {
        "detector, 20 x 2, 20 epochs": _detector_of_20,
        "25 epochs, 100 x 5": _epochs_of_100,
        "detector, digits, 5 epochs": _detector_of_digits,
        "20 epochs, digits": _epochs_of_digits,
    },
    "large": {
        "2 epochs, 10000 x 784": _images,
        "detector, 2000 x 784, 2 epochs": _detector_of_images,
        "scores of 20000 x 20": _scores,
    },
}


def _measured(threads: str, sizes: list[str], answers: Any) -> None:
    """Run in a process of its own: seconds of wall and processor time of each fit."""
    warnings.filterwarnings("ignore")
    if threads == "one":
        torch.set_num_threads(1)
    if threads == "all":
        _threads._LEAST_SHARE = 1e-9
    # Imports, and the first calls on one thread and on several.
    AutoencoderTransformer(1, max_iter=1).fit(_normal(20, 2)).transform(_normal(500_000, 2))
    for size in sizes:
        for name, fit in FITS[size].items():
            wall, processor = time.perf_counter(), time.process_time()
            fit()
            answers.put((size, name, time.perf_counter() - wall, time.process_time() - processor))
    answers.put(None)


def _spin() -> None:
    while True:
        pass


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables of processes that are started."""
    before = dict(os.environ)
    os.environ.update(values)
    yield
    os.environ.clear()
    os.environ.update(before)


@contextmanager
def _load(busy: bool) -> Any:
    beside = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(busy * (os.cpu_count() or 1))]
    for process in beside:
        process.start()
    yield
    for process in beside:
        process.kill()


def run(sizes: list[str], rounds: int) -> pd.DataFrame:
    """Run each fit on each number of threads, on the idle and on the busy machine."""
    context, rows = multiprocessing.get_context("spawn"), []
    # All threads on a busy machine may take minutes for a small fit.
    for where, choices in (("idle", ("one", "chosen", "passive", "all")), ("busy", ("one", "chosen", "passive"))):
        with _load(where == "busy"):
            for threads in choices * rounds:
                answers = context.SimpleQueue()
                process = context.Process(target=_measured, args=(threads, sizes, answers))
                with _environment(**({"OMP_WAIT_POLICY": "PASSIVE"} if threads == "passive" else {})):
                    process.start()
                for size, name, wall, processor in iter(answers.get, None):
                    rows.append((size, name, f"{where}, {threads}", wall, processor))
                process.join()
    return pd.DataFrame(rows, columns=["size", "fit", "where", "wall", "processor"])


def main() -> None:
    """Measure, print, and fail where the verdict does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(FITS))
    args = parser.parse_args()
    found = run(args.only.split(","), args.rounds)
    medians = {
        figure: found.pivot_table(figure, ["size", "fit"], "where", aggfunc="median", sort=False)
        for figure in ("processor", "wall")
    }
    for figure, table in medians.items():
        print(f"\n{torch.get_num_threads()} threads, {figure} time in seconds\n\n{table.round(2).to_markdown()}")
    small = medians["processor"].query("size == 'small'")
    large = medians["wall"].query("size == 'large'")
    most = {
        "busy, small, processor time, chosen / one": (small["busy, chosen"] / small["busy, one"]).max(),
        "idle, large, wall time, chosen / all": (large["idle, chosen"] / large["idle, all"]).max(),
    }
    limits = dict(zip(most, (1.5, 1.1), strict=True))
    print("\n" + "\n".join(f"{name}: at most {ratio:.2f} (limit {limits[name]})" for name, ratio in most.items()))
    raise SystemExit(any(ratio > limits[name] for name, ratio in most.items()))


if __name__ == "__main__":
    main()
