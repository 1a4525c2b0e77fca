"""Rows of ``benchmarks.reconstruction`` about sequences: samples of two sine waves, see ``benchmarks.sequences``."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.sequences import SINES, WAVES, attention, sine_waves
from benchmarks.studies import Result, Row, Study
from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Masking
from sk_autoencoder.networks import Convolutional

RUN = 16  # neighbouring steps that are hidden


def sequence(study: Study) -> Result:
    """Attention against the best of three dense networks, by the error on noiseless samples."""
    _, X = sine_waves(4000, 0)
    clean, X_test = sine_waves(2000, 1)
    shown, errors, pictures = slice(0, 3), {}, {}
    dense = [name for name in WAVES if name.startswith("dense")]
    networks = {name: WAVES[name] for name in study.pick(dense[:1], dense)}
    for name, fit in {**networks, "attention": attention(*study.pick((100, 2), (180, 4)))}.items():
        rebuilt = fit(X, 0)(X_test)
        errors[name] = float(np.square(rebuilt - clean).mean() / np.square(clean).mean())
        pictures[name] = rebuilt[shown]
    best = min(errors[name] for name in networks)
    draw(study, "sequence", {"noiseless": clean[shown], **pictures})
    listed = ", ".join(f"{name} {value:.4f}" for name, value in errors.items())
    return Result(f"error relative to the power: {listed}", errors["attention"] <= 0.8 * best)


def span_masking(study: Study) -> Result:
    """Two networks trained to fill in single values and runs of steps, each on both."""
    _, X = sine_waves(study.pick(2000, 4000), 0)
    clean, X_test = sine_waves(1000, 1)
    rng, steps = np.random.default_rng(0), np.arange(SINES[1])
    start = rng.integers(0, len(steps) - RUN + 1, size=(len(X_test), 1))
    hidden = {
        "runs": np.tile((steps >= start) & (steps < start + RUN), SINES[0]),
        "single values": rng.random(X_test.shape) < RUN / len(steps),
    }
    errors, pictures = {}, {}
    for span in (1, RUN):
        model = AutoencoderTransformer(
            32,
            network=Convolutional(sample_shape=SINES),
            corruption=Masking(0.3, span=span),
            max_iter=study.pick(40, 100),
            random_state=0,
        ).fit(X)
        for kind, where in hidden.items():
            rebuilt = model.reconstruct(np.where(where, X.mean(axis=0), X_test))
            errors[kind, span] = float(np.square(rebuilt - clean)[where].mean() / np.square(clean).mean())
            pictures[kind, span] = rebuilt[:3]
    draw(study, "span-masking", {"noiseless": clean[:3], **{f"span={s}": pictures["runs", s] for s in (1, RUN)}})
    gain = errors["runs", RUN] / errors["runs", 1]
    listed = ", ".join(f"{kind}, span={span} {error:.3f}" for (kind, span), error in errors.items())
    passed = gain <= 0.6 and errors["single values", 1] < errors["single values", RUN]
    return Result(f"error relative to the power: {listed}; x {gain:.2f}", passed)


def draw(study: Study, name: str, lines: dict[str, np.ndarray]) -> None:
    """Store a picture of the first sensor of three samples."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3), sharey=True, layout="constrained")
    for i, ax in enumerate(axes):
        for label, samples in lines.items():
            ax.plot(samples[i, : SINES[1]], label=label, linewidth=1)
        ax.set(xlabel="Step")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(lines))
    figure.savefig(study.out / f"{name}.png", dpi=110)
    plt.close(figure)


ROWS = [
    Row("sequence", "-", "attention <= .8 of dense", sequence),
    Row("span masking", "-", "runs x <= .6 by span, single values better without", span_masking),
]
