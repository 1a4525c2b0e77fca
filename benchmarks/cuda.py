"""One GPU, in one command: its tests, its speed beside hand-written torch and this CPU, and what is promised of it.

    python -m benchmarks.cuda [--quick]
    python -m benchmarks.cuda --device cpu --quick   # a rehearsal where there is no GPU

Prints one table and installs nothing. The exit status is 1 if a promise is broken, and 2 if torch finds no GPU. Rows
that do not begin within ``--minutes`` (5 by default) are left out, and named. Times are milliseconds, medians of
alternating runs after a warm-up; those of the CPU are of one run. More than 1 in the last two columns of times means
that the package is faster on the device.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from math import isnan, nan
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import throughput_sequences
from benchmarks.tables import Row, as_text
from benchmarks.throughput import SETTINGS, Setting, by_ensemble, by_hand, by_transformer, plain_network
from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer

ROOT = Path(__file__).parent.parent
NO_GPU = 2
TIMES = ("ms", "by hand", "on the CPU", "by hand / ms", "CPU / ms")
# Promises. Codes are compared cell by cell, relative to the largest; losses after a training on each device.
SAME_WEIGHTS, SAME_TRAINING, WAITS = 1e-4, 1e-2, 0.1
_PROCESSES = 8  # of the tests: each loads CUDA, which takes some seconds and half a gigabyte
_ROWS_BY_HAND = 1 << 14  # that go through the network at once

Work = Callable[[str], object]  # is given the name of a device


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    large: Setting
    small: Setting
    wide: Setting
    n_inferred: int
    n_members: int
    n_sequences: int
    repeats: int


FULL = Sizes(
    large=SETTINGS["A: 20000 x 784"],
    small=SETTINGS["B: 5000 x 20"],
    wide=Setting(8000, (784, 1000, 500, 250, 30), 256, 3),
    n_inferred=100_000,
    n_members=64,
    n_sequences=4000,
    repeats=3,
)
QUICK = Sizes(
    large=Setting(300, (20, 16, 3), 64, 2),
    small=Setting(640, (4, 8, 2), 8, 2),
    wide=Setting(200, (20, 32, 3), 64, 1),
    n_inferred=500,
    n_members=4,
    n_sequences=64,
    repeats=1,
)


@dataclass(frozen=True)
class Job:
    """Work of the package, and the same by hand, if there is that; times are divided by ``steps``."""

    what: str
    ours: Work
    by_hand: Work | None
    steps: int = 1


@dataclass
class Report:
    """The table as it grows: rows of times and of promises."""

    rows: list[Row] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def times(self, what: str, ours: float, theirs: float, cpu: float) -> None:
        """Add a row of seconds."""
        numbers = [1e3 * ours, 1e3 * theirs, 1e3 * cpu, theirs / ours, cpu / ours]
        texts = ("-" if isnan(number) else f"{number:.2f}" for number in numbers)
        cells = dict(zip(TIMES, texts, strict=True))
        self.rows.append({"part": "speed", "what": what, **cells, "found": "", "kept": ""})

    def judged(self, part: str, what: str, found: str, kept: bool | None) -> None:
        """Add a row without times; None is neither kept nor broken."""
        verdict = {True: "yes", False: "no", None: ""}[kept]
        cells = dict.fromkeys(TIMES, "")
        self.rows.append({"part": part, "what": what, **cells, "found": found, "kept": verdict})
        if kept is False:
            self.broken.append(what)

    def at_most(self, what: str, found: float, limit: float) -> None:
        """Add a row of a promise."""
        self.judged("promises", what, f"{found:.3g}, at most {limit:g}", bool(found <= limit))

    def left_out(self, part: str, what: str, reason: str) -> None:
        """Add a row of something that was not done."""
        self.judged(part, what, f"left out: {reason}", None)

    def text(self) -> str:
        """Return the table."""
        return as_text(self.rows, {}, "part")


# Tests


def run_tests(report: Report, seconds: float) -> None:
    """Run the tests that are marked ``cuda``, in processes of their own: several if pytest-xdist is installed."""
    what = "tests marked cuda"
    files = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.cuda" in path.read_text("utf-8")]
    command = [sys.executable, "-m", "pytest", *files, "-m", "cuda", "-v", "-p", "no:cacheprovider"]
    if find_spec("xdist"):
        command += ["-n", str(min(_PROCESSES, max(1, (os.cpu_count() or 1) // 2)))]
    # The options of pyproject.toml need plugins that this machine may not have.
    command += ["-p", "no:benchmark"]  # warns where there are several processes
    command += ["-o", "addopts=--import-mode=importlib", "-W", "ignore:Unknown config option"]
    # skorch imports torch_geometric if it is there.
    command += ["-W", "ignore::DeprecationWarning:torch.jit._script"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    environment["PYTHONUNBUFFERED"] = "1"  # what has passed is known when the time is over
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as expired:
        passed = str(expired.stdout).count(" PASSED ")
        report.judged("tests", what, f"{passed} passed, not done after {seconds:.0f} s", False)
        return
    if "No module named pytest" in done.stderr:
        report.left_out("tests", what, "pytest is not installed")
        return
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    summary = ([line for line in done.stdout.splitlines() if line.strip()] or ["no output"])[-1].strip("= ")
    ran = done.returncode or "passed" in summary
    report.judged("tests", what, summary, done.returncode == 0 if ran else None)


# Speed


def jobs(sizes: Sizes) -> Iterator[Job]:
    """List what is measured, the most telling first."""
    for name, setting in (("A", sizes.large), ("B", sizes.small)):
        X = setting.rows
        yield Job(f"{name}: fit, {_shape(setting)}", _with(by_transformer, setting, X), _with(by_hand, setting, X))
    yield from steps(sizes.small)
    for name, setting in (("A", sizes.large), ("B", sizes.small)):
        yield inference(f"{name}: transform, {sizes.n_inferred} rows", setting, sizes.n_inferred)
    X = sizes.small.rows
    yield Job(
        f"B: fit, {sizes.n_members} members (by hand: one)",
        lambda device: by_ensemble(sizes.small, X, device, sizes.n_members),
        _with(by_hand, sizes.small, X),
    )
    yield from of_detector(sizes)
    yield from of_sequences(sizes.n_sequences)
    for precision in ("float32", "bfloat16"):
        yield in_precision(f"C: fit, {_shape(sizes.wide)}, {precision}", sizes.wide, precision)


def steps(setting: Setting) -> Iterator[Job]:
    """Steps, and as many with ten times as many rows each: where launches take the time, both take the same."""
    for times in (1, 10):
        larger = replace(setting, n_rows=times * setting.n_rows, batch_size=times * setting.batch_size)
        X = larger.rows
        n_steps = larger.epochs * -(-larger.n_rows // larger.batch_size)
        what = f"B: one step of {larger.batch_size} rows"
        yield Job(what, _with(by_transformer, larger, X), _with(by_hand, larger, X), n_steps)


def inference(what: str, setting: Setting, n_rows: int) -> Job:
    """Codes of an array of numpy, as an array of numpy."""
    X = np.random.default_rng(0).normal(size=(n_rows, setting.widths[0])).astype(np.float32)

    @cache
    def model(device: str) -> AutoencoderTransformer:
        return AutoencoderTransformer(**setting.parameters | {"max_iter": 1}, device=device).fit(X[:1000])

    @cache
    def encoder(device: str) -> torch.nn.Module:
        return plain_network(setting.widths)[: 2 * (len(setting.widths) - 1) - 1].to(device).eval()

    def encode(device: str) -> np.ndarray:
        with torch.inference_mode():
            parts = torch.from_numpy(X).split(_ROWS_BY_HAND)
            return np.concatenate([encoder(device)(part.to(device)).cpu().numpy() for part in parts])

    return Job(what, lambda device: model(device).transform(X), encode)


def of_detector(sizes: Sizes) -> Iterator[Job]:
    """Fit the default detector, and score samples."""
    X = sizes.small.rows
    new = np.random.default_rng(0).normal(size=(sizes.n_inferred // 5, X.shape[1]))

    @cache
    def model(device: str) -> AutoencoderOutlierDetector:
        return AutoencoderOutlierDetector(device=device, random_state=0).fit(X)

    def fit(device: str) -> None:
        AutoencoderOutlierDetector(device=device, random_state=0).fit(X)

    yield Job(f"default detector: fit, {_shape(sizes.small)}", fit, None)
    yield Job(f"default detector: scores of {len(new)} samples", lambda device: model(device).score_samples(new), None)


def of_sequences(n_samples: int) -> Iterator[Job]:
    """Train recurrent and attention networks."""
    X = throughput_sequences.samples(n_samples)
    shape = "x".join(map(str, throughput_sequences.SAMPLE_SHAPE))
    for name, (part, plain) in throughput_sequences.NETWORKS.items():
        model = AutoencoderTransformer(network=part, **throughput_sequences.PARAMETERS)
        yield Job(
            f"{name}: fit, {n_samples} x {shape}",
            lambda device, model=model: model.set_params(device=device).fit(X),  # type: ignore[misc]
            lambda device, plain=plain: throughput_sequences.train(plain, X, device),  # type: ignore[misc]
        )


def in_precision(what: str, setting: Setting, precision: str) -> Job:
    """Train in a precision of the package; by hand it is torch's autocast."""
    X = setting.rows

    def fit(device: str) -> None:
        AutoencoderTransformer(**setting.parameters, corruption=None, precision=precision, device=device).fit(X)

    def loop(device: str) -> None:
        lower = precision == "bfloat16"
        with torch.autocast(torch.device(device).type, torch.bfloat16) if lower else nullcontext():
            by_hand(setting, X, device)

    return Job(what, fit, loop)


def measure(job: Job, device: str, repeats: int) -> tuple[float, float, float]:
    """Seconds of the package, by hand, and of the package on the CPU; NaN where that lacks the precision."""
    ours, theirs = [], []
    works = [(job.ours, ours), (job.by_hand, theirs)] if job.by_hand else [(job.ours, ours)]
    for _ in range(1 + repeats):
        for work, seconds in works:
            seconds.append(_seconds(work, device))
    ours, theirs = ours[1:], theirs[1:] or [nan]  # the first loads kernels
    try:
        on_cpu = _seconds(job.ours, "cpu")
    except UserWarning:
        on_cpu = nan
    return median(ours) / job.steps, median(theirs) / job.steps, on_cpu / job.steps


def _seconds(work: Work, device: str) -> float:
    start = time.perf_counter()
    work(device)
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _with(train: Callable[[Setting, np.ndarray, str], None], setting: Setting, X: np.ndarray) -> Work:
    return lambda device: train(setting, X, device)


def _shape(setting: Setting) -> str:
    return f"{setting.n_rows} x {setting.widths[0]}"


# Promises


def check_agreement(report: Report, setting: Setting, device: str) -> None:
    """Compare with the CPU in float32: the same weights, and the same training."""
    X = setting.rows
    model, on_cpu = (_clean(setting, name).fit(X) for name in (device, "cpu"))
    codes = model.transform(X)
    model.device = "cpu"
    moved = pickle.loads(pickle.dumps(model)).transform(X)
    difference = np.abs(codes - moved).max() / np.abs(codes).max()
    report.at_most("codes, beside those of the same weights on the CPU", difference, SAME_WEIGHTS)
    losses = model.loss_curve_[-1], on_cpu.loss_curve_[-1]
    report.at_most("last loss, beside that of a fit on the CPU", abs(losses[0] / losses[1] - 1), SAME_TRAINING)


def check_repetition(report: Report, setting: Setting, device: str) -> None:
    """Fit twice, with noise, and compare all weights and codes."""
    X = setting.rows
    found = []
    for _ in range(2):
        model = AutoencoderTransformer(**setting.parameters, device=device).fit(X)
        weights = [weight.detach().cpu().numpy() for weight in model.net_.module_.parameters()]
        found.append(np.concatenate([model.transform(X).ravel(), *map(np.ravel, weights)]))
    different = np.count_nonzero(found[0] != found[1])
    report.at_most(f"numbers of {found[0].size} with other bits after a second fit", different, 0)


def check_waiting(report: Report, setting: Setting, device: str) -> None:
    """Count how often the host waits for the device in the steps that more rows add to an epoch."""
    setting = replace(setting, epochs=1)
    longer = replace(setting, n_rows=3 * setting.n_rows)
    few, many = (waits(_with(by_transformer, each, each.rows), device) for each in (setting, longer))
    found = (many - few) * setting.batch_size / (longer.n_rows - setting.n_rows)
    report.at_most("waits for the device in a step", found, WAITS)


def waits(work: Work, device: str) -> int:
    """Count how often work waits for a CUDA device; on the CPU, how often it reads a number out of a tensor.

    Adam's kernel for the CPU reads the number of the step, the one for CUDA does not.
    """
    work(device)
    if torch.device(device).type != "cuda":
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            work(device)
        reads = (event for event in recorded.events() if event.name == "aten::_local_scalar_dense")
        return sum(not any("adam" in name for name in _callers(event)) for event in reads)
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work(device)
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum("called a synchronizing" in str(warning.message) for warning in caught)


def _callers(event: Any) -> Iterator[str]:
    while (event := event.cpu_parent) is not None:
        yield event.name


def _clean(setting: Setting, device: str) -> AutoencoderTransformer:
    """Return a model without noise, which each device would draw otherwise."""
    return AutoencoderTransformer(**setting.parameters, corruption=None, device=device)


CHECKS = {"agreement": check_agreement, "repetition": check_repetition, "waiting": check_waiting}


def fill(report: Report, sizes: Sizes, device: str, seconds: float) -> None:
    """Do everything, unless the time is over: tests, promises, speed."""
    end = time.monotonic() + seconds
    run_tests(report, seconds / 2)
    for name, check in CHECKS.items():
        if time.monotonic() < end:
            check(report, sizes.large if name == "agreement" else sizes.small, device)
        else:
            report.left_out("promises", name, "no time")
    for job in jobs(sizes):
        if time.monotonic() > end:
            report.left_out("speed", job.what, "no time")
            continue
        try:
            report.times(job.what, *measure(job, device, sizes.repeats))
        except UserWarning as warning:
            report.left_out("speed", job.what, str(warning))


def main(arguments: list[str] | None = None) -> int:
    """Print the table and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--minutes", type=float, default=5.0, help="nothing begins after that")
    args = parser.parse_args(arguments)
    on_cuda = torch.device(args.device).type == "cuda"
    if on_cuda and not torch.cuda.is_available():
        print(f"benchmarks.cuda needs a GPU, and torch {torch.__version__} finds none.", file=sys.stderr)
        return NO_GPU
    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("error", message="precision='bfloat16' needs", category=UserWarning)
    card = torch.cuda.get_device_name(args.device) if on_cuda else "a rehearsal on the CPU"
    print(f"{card}; CPU: {torch.get_num_threads()} threads; torch {torch.__version__}", flush=True)
    report = Report()
    fill(report, QUICK if args.quick else FULL, args.device, 60 * args.minutes)
    print(report.text())
    if report.broken:
        print(f"broken: {'; '.join(report.broken)}")
    return int(bool(report.broken))


if __name__ == "__main__":
    sys.exit(main())
