"""An anomaly that a network rebuilds too well, because it was among the training rows and training went on too long.

    python -m benchmarks.rebuilt_too_well [--out docs/images/rebuilt_too_well.png]

120 threes and 12 eights train one autoencoder without noise: for a short time, a long time, a long time with trim, and
as long as is best for the rows that it holds out, the default.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.objectives import Reconstruction

WAYS: dict[str, dict[str, Any]] = {
    "30 epochs": {"max_iter": 30, "restore_best": False},
    "3000 epochs": {"max_iter": 3000, "restore_best": False},
    "3000 epochs, trim=0.15": {"max_iter": 3000, "restore_best": False, "objective": Reconstruction(trim=0.15)},
    "best of 3000 for rows held out": {"max_iter": 3000},
}


def main() -> None:
    """Train, and draw the eight whose error falls most."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/rebuilt_too_well.png"))
    out = parser.parse_args().out
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    rows, labels = np.r_[X[y == 3][:120], X[y == 8][:12]], np.repeat([0, 1], [120, 12])

    plain = {"n_estimators": 1, "corruption": None, "n_components": 8, "random_state": 0}
    detectors = [AutoencoderOutlierDetector(**plain, **way).fit(rows) for way in WAYS.values()]
    errors = np.array([detector.reconstruction_error(rows) for detector in detectors])
    eight = int(np.argmax((errors[0] - errors[1]) * labels))
    pictures = [rows[eight], *(detector.reconstruct(rows[[eight]])[0] for detector in detectors)]
    titles = ["one of 12 eights among\n120 threes in training"]
    titles += [
        f"{way}\nerror {e[eight]:.1f}, AUROC {roc_auc_score(labels, e):.2f}"
        for way, e in zip(WAYS, errors, strict=True)
    ]

    figure, axes = plt.subplots(1, 5, figsize=(12.5, 3.2), layout="constrained")
    for ax, picture, title in zip(axes, pictures, titles, strict=True):
        ax.imshow(picture.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(title=title, xticks=[], yticks=[])
    figure.savefig(out, dpi=80)


if __name__ == "__main__":
    main()
