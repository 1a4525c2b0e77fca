"""What importing the package costs beside skorch, in fresh interpreters that take turns.

    python -m benchmarks.import_time [--rounds 7]

Prints the medians and asserts that their ratio is at most 1.15.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from statistics import median

LIMIT = 1.15
_PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_seconds(name: str) -> float:
    """Import a package in a fresh interpreter."""
    command = [sys.executable, "-c", _PROGRAM.format(name)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds

    names = ("skorch", "sk_autoencoder")
    for name in names:  # fill the disk's cache
        import_seconds(name)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            seconds[name].append(import_seconds(name))

    print("| package | median seconds | fastest |\n|---|---|---|")
    for name, found in seconds.items():
        print(f"| {name} | {median(found):.2f} | {min(found):.2f} |")
    ratio = median(ours / theirs for ours, theirs in zip(seconds["sk_autoencoder"], seconds["skorch"], strict=True))
    print(f"\nmedian ratio {ratio:.3f}, at most {LIMIT}")
    assert ratio <= LIMIT


if __name__ == "__main__":
    main()
