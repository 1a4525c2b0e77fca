"""Memory of fitting and transforming, each promise in a fresh process.

    python -m benchmarks.memory [--only arrays,mapped,sparse,keys,fits,series] [--map-gigabytes 8] [--dir DIR]

What a step adds is its peak of resident memory above the peak after a small warm-up fit. The script fails when a
promise is broken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer, TimeSeriesOutlierDetector

_MB = 1 << 20


def _peak() -> float:
    """Most resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _resident() -> float:
    """Resident memory now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / _MB


def _model(**parameters: object) -> AutoencoderTransformer:
    return AutoencoderTransformer(8, max_iter=1, random_state=0, **parameters)


def _warm_up(width: int, **parameters: object) -> None:
    _model(**parameters).fit(np.random.default_rng(0).normal(size=(300, width)).astype(np.float32))


def arrays(args: argparse.Namespace) -> tuple[str, float, float]:
    """Fit a float32 array of 1 GB: no second copy of it."""
    del args
    X = np.random.default_rng(0).standard_normal((340_000, 784), dtype=np.float32)
    _warm_up(784, batch_size=256)
    before = _peak()
    _model(batch_size=256).fit(X)
    return f"fit of a float32 array of {X.nbytes / _MB:.0f} MB adds (MB)", _peak() - before, 200


def mapped(args: argparse.Namespace) -> tuple[str, float, float]:
    """Fit and transform a float32 memory map of 8 GB within 2 GB."""
    width = 1000
    n_rows = int(args.map_gigabytes * (1 << 30)) // (4 * width)
    with tempfile.TemporaryDirectory(dir=args.dir) as directory:
        path = Path(directory) / "X.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, width))
        generator = np.random.default_rng(0)
        block = generator.standard_normal((10_000, width), dtype=np.float32)
        for start in range(0, n_rows, len(block)):
            X[start : start + len(block)] = block[: n_rows - start] * generator.normal()
        del X
        resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
        X = np.load(path, mmap_mode="r")
        model = _model(batch_size=1024, hidden_layer_sizes=(128,)).fit(X)
        assert model.transform(X).shape == (n_rows, 8)
        model.score(X[: n_rows // 10])
        status = Path("/proc/self/status").read_text(encoding="ascii")
        data = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
    return (
        f"fit and transform of a {args.map_gigabytes:g} GB memory map within RLIMIT_DATA; VmData (MB)",
        data / 1024,
        2048,
    )


def sparse(args: argparse.Namespace) -> tuple[str, float, float]:
    """Fit and transform CSR of 100000 x 50000 with 0.1 % non-zeros: 20 GB as a dense float32 array."""
    del args
    X = scipy.sparse.random_array(
        (100_000, 50_000), density=0.001, format="csr", dtype=np.float32, rng=np.random.default_rng(0)
    )
    before = _peak()
    model = _model(batch_size=256, hidden_layer_sizes=(64,)).fit(X)
    model.transform(X)
    model.score(X[:5000])
    return "fit, transform and score of CSR 100000 x 50000 add (MB)", _peak() - before, 2000


def keys(args: argparse.Namespace) -> tuple[str, float, float]:
    """Fit a detector on 10^7 samples, each of which is judged by the member that held it out."""
    del args
    X = np.random.default_rng(0).standard_normal((10_000_000, 5), dtype=np.float32)
    parameters = {"outlier_score": "reconstruction", "hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0}
    AutoencoderOutlierDetector(2, batch_size=8192, **parameters).fit(X[:300])
    before = _peak()
    detector = AutoencoderOutlierDetector(2, batch_size=8192, **parameters).fit(X)
    held = detector._training_samples
    stored = sum(array.nbytes for array in held) / _MB
    assert (detector._voters(X[:1000]).sum(axis=0) == 1).all()
    return (
        f"fit of a detector on 10^7 samples of 5 features, of which {stored:.0f} MB are keys, adds (MB)",
        (_peak() - before),
        2000,
    )


def series(args: argparse.Namespace) -> tuple[str, float, float]:
    """Fit and score 10^6 steps of 10 sensors with windows of 64."""
    del args
    imported = _peak()
    X = np.random.default_rng(0).normal(size=(1_000_000, 10))
    detector = TimeSeriesOutlierDetector(window_size=64, random_state=0).fit(X)
    assert detector.score_samples(X).shape == (1_000_000,)
    return "fit and scores of 10^6 steps of 10 sensors, windows of 64, above the import (MB)", _peak() - imported, 1024


def fits(args: argparse.Namespace) -> tuple[str, float, float]:
    """300 fits in one process: flat memory after the first hundred."""
    del args
    X = np.random.default_rng(0).normal(size=(500, 20))
    for _ in range(100):
        _model().fit(X).transform(X)
    before = _resident()
    for _ in range(200):
        _model().fit(X).transform(X)
    return "fits 101 to 300 in one process add (MB)", _resident() - before, 10


PROMISES = {"arrays": arrays, "mapped": mapped, "sparse": sparse, "keys": keys, "fits": fits, "series": series}


def _run(name: str, args: argparse.Namespace, queue: multiprocessing.Queue) -> None:
    queue.put(PROMISES[name](args))


def main() -> None:
    """Print the table and fail when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PROMISES))
    parser.add_argument("--map-gigabytes", type=float, default=8)
    parser.add_argument("--dir", default=None, help="where the memory map is written")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")

    print("| what | measured | promise | kept |\n|---|---|---|---|")
    broken = []
    for name in args.only.split(","):
        queue = context.Queue()
        process = context.Process(target=_run, args=(name, args, queue))
        process.start()
        process.join()
        if process.exitcode:
            broken.append(name)
            continue
        what, measured, promise = queue.get()
        broken += [] if measured <= promise else [name]
        print(f"| {what} | {measured:.0f} | {promise:.0f} | {measured <= promise} |", flush=True)
    if broken:
        raise SystemExit(f"broken: {'; '.join(broken)}")


if __name__ == "__main__":
    main()
