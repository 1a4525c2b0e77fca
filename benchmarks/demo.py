"""The main jobs on real data, in less than three minutes: tables and pictures.

    python -m benchmarks.demo --out demo

Uses nothing but scikit-learn's bundled sets. Each part is a module with ``run(out)``, which writes its pictures and
its ``<part>.csv`` into the folder and returns its table; all tables end up in ``table.txt``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")  # folds run side by side
os.environ.setdefault("MPLBACKEND", "agg")

from benchmarks import demo_outliers, demo_transformer

PARTS: dict[str, Callable[[Path], str]] = {"transformer": demo_transformer.run, "outliers": demo_outliers.run}


def main() -> None:
    """Run all parts, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    start = perf_counter()
    tables = []
    for part in options.parts:
        tables.append(PARTS[part](options.out))
        print(f"{tables[-1]}\n", flush=True)
    (options.out / "table.txt").write_text("\n\n".join(tables) + "\n")
    written = ", ".join(sorted(path.name for path in options.out.iterdir()))
    print(f"{perf_counter() - start:.0f} s; in {options.out}/: {written}")


if __name__ == "__main__":
    main()
