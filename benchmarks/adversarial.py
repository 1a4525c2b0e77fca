"""Which weight of the discriminator brings codes nearest to N(0, I), on development data.

    python -m benchmarks.adversarial --data DIR [--seeds 2] [--out FILE]

DIR holds ``images/mnist.npz`` (LeCun et al.) and ``images/fashion_mnist.npz`` (Zalando Research). Networks are those of
the row "adversarial map" of ``benchmarks.reconstruction``, on other images: 10000 training images from number 20000 on,
and the 2000 after them as new ones. Scikit-learn's digits, one half for training, have the defaults of
``AutoencoderTransformer``. The distance is the energy distance of codes of new samples to draws of N(0, I), and
"explained" the share of variance explained by their reconstruction, in percent.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.cells import store, stored
from benchmarks.studies import PIXELS
from benchmarks.studies_codes import CODES_OF_MAPS, MAPS, codes_like_draws, energy_distance
from benchmarks.tables import as_text
from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.objectives import Adversarial

FIRST, N_TRAINING, N_NEW = 20000, 10000, 2000
OBJECTIVES: dict[str, Any] = {
    "reconstruction": "reconstruction",
    "variational": "variational",
    **{f"adversarial, weight {weight}": Adversarial(weight) for weight in (0.05, 0.1, 0.2, 0.4)},
}
NAMES = ("set", "size", "objective", "seed")


def images(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return training and new images that the reported row does not use, in [0, 1]."""
    with np.load(path, allow_pickle=False) as kept:
        chosen = kept["X_train"][FIRST : FIRST + N_TRAINING + N_NEW].reshape(N_TRAINING + N_NEW, -1)
    return tuple(np.split(chosen.astype(np.float32) / np.float32(255), [N_TRAINING]))  # type: ignore[return-value]


def measure(
    X: np.ndarray, X_new: np.ndarray, size: int, objective: Any, parameters: dict[str, Any], seed: int
) -> dict[str, float]:
    """Fit, and return the distance of new codes to draws, and the share of variance explained."""
    model = AutoencoderTransformer(size, objective=objective, **parameters | {"random_state": seed}).fit(X)
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(N_NEW, size))
    codes, _, _ = codes_like_draws(model, X, X_new, rng)
    return {"distance": energy_distance(codes, draws), "explained": 100 * model.score(X_new)}


def main() -> None:
    """Measure what is missing, and print the means over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("adversarial.jsonl"))
    options = parser.parse_args()
    digits, _ = load_digits(return_X_y=True)
    sets: dict[str, tuple[np.ndarray, np.ndarray, dict[str, Any]]] = {
        name: (*images(options.data / "images" / f"{name}.npz"), PIXELS | MAPS | {"max_iter": 40})
        for name in ("mnist", "fashion_mnist")
    }
    sets["digits"] = digits[::2], digits[1::2], {}
    results = stored(options.out, NAMES)
    rows = []
    for name, (X, X_new, parameters) in sets.items():
        for size in CODES_OF_MAPS:
            for label, objective in OBJECTIVES.items():
                cells = [(name, size, label, seed) for seed in range(options.seeds)]
                for cell in cells:
                    if cell not in results:
                        figures = measure(X, X_new, size, objective, parameters, cell[-1])
                        store(options.out, results, NAMES, cell, figures)
                found = [results[cell] for cell in cells]
                distances = [figures["distance"] for figures in found]
                rows.append(
                    {
                        "set": f"{name}, code {size}",
                        "objective": label,
                        "distance": float(np.mean(distances)),
                        "largest": max(distances),
                        "explained": float(np.mean([figures["explained"] for figures in found])),
                    }
                )
    print(as_text(rows, {"distance": ".3f", "largest": ".3f", "explained": ".1f"}, blocks="set"))


if __name__ == "__main__":
    main()
