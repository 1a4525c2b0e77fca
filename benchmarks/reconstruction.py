"""Known systems of the autoencoder literature, from the public API, and whether each reaches its figure.

    python -m benchmarks.reconstruction --data DIR [--full] [--only ROW ...] [--out reconstruction]

The quick mode sees 10000 training and 2000 test images and takes minutes; where fewer images reach less it asks for
less, and says so. ``--full`` sees all images and takes up to two hours on two idle cores. Results are kept in
OUT/results-<mode>.jsonl, so that an interrupted run goes on where it stopped; ``--again`` measures anew. Pictures are
written into OUT. The last line is the verdict, and the exit status 1 if a row missed what it must show.

Each row is a function in ``studies_*.py`` with its recipe written out. DIR holds ``images/mnist.npz`` (LeCun et al.)
and ``images/fashion_mnist.npz`` (Zalando Research) with the keys X_train, y_train, X_test and y_test, images as uint8.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("MPLBACKEND", "agg")

from benchmarks import studies_codes, studies_families, studies_sequences
from benchmarks.studies import Row, Study
from benchmarks.tables import as_text
from sk_autoencoder import AutoencoderTransformer  # noqa: F401 - imported before the clock starts

ROWS: dict[str, Row] = {row.name: row for row in [*studies_families.ROWS, *studies_codes.ROWS, *studies_sequences.ROWS]}


def measure(row: Row, study: Study) -> dict[str, Any]:
    """Run one row; warnings about bfloat16 and the like belong to no table."""
    start = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = row.run(study)
    return {
        "row": row.name,
        "known": row.known,
        "must": row.must if study.full or not row.quick else f"{row.quick} (full mode: {row.must})",
        "measured": result.measured,
        "verdict": "yes" if result.passed else "NO",
        "seconds": perf_counter() - start,
    }


def stored(path: Path) -> dict[str, dict[str, Any]]:
    """Results of earlier runs, the last of each row."""
    if not path.exists():
        return {}
    return {result["row"]: result for result in map(json.loads, path.read_text().splitlines())}


def main() -> None:
    """Measure what is missing, print everything, and assert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("reconstruction"))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--again", action="store_true", help="measure rows that are already stored")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    study = Study(options.data, options.out, options.full)
    path = options.out / f"results-{study.pick('quick', 'full')}.jsonl"
    results = {} if options.again else stored(path)
    for name in options.only:
        if name not in results:
            results[name] = measure(ROWS[name], study)
            with path.open("a") as file:
                file.write(json.dumps(results[name]) + "\n")
            print(f"{name}: {results[name]['measured']} ({results[name]['seconds']:.0f} s)", flush=True)

    table = [results[name] for name in options.only]
    print(f"\n{as_text(table, {'seconds': '.0f'}, blocks='row')}")
    missed = [result["row"] for result in table if result["verdict"] != "yes"]
    print(
        f"{len(table) - len(missed)} of {len(table)} rows show what they must; {sum(r['seconds'] for r in table):.0f} s"
    )
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
