"""
Missing stretches of a time series: masking runs of steps
=========================================================

A denoising autoencoder learns to fill in what is hidden during training. ``Masking(span=1)`` hides single values, which
can be interpolated from the steps beside them. ``Masking(span=8)`` hides runs of 8 steps in all sensors of a sample, so
that the network has to learn how the sequence continues.
"""

# %%
# Windows
# -------
# A time series of two sensors, with random noise and a frequency and amplitude that change slowly, is cut into
# overlapping windows of 32 steps. The first 1000 are the training set.

import matplotlib.pyplot as plt
import numpy as np

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Masking
from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE, tidy
from sk_autoencoder.networks import Convolutional
from sk_autoencoder.windows import cut_windows

rng = np.random.default_rng(0)
time = np.arange(3000)
phase = 2 * np.pi * np.cumsum(0.05 + 0.015 * np.sin(time / 97))
amplitude = 1 + 0.4 * np.sin(time / 61)
series = amplitude[:, None] * np.c_[np.sin(phase), np.cos(phase)] + rng.normal(0, 0.05, (3000, 2))

windows = cut_windows(series, window_size=32, step=2)
X = windows.reshape(len(windows), -1)
X_train, X_test = X[:1000], X[1016:]  # without windows that have steps of both

# %%
# Two networks
# ------------
# They differ in ``span`` only. Both hide 30 % of the values on average.

network = Convolutional(sample_shape=(2, 32))
models = {
    span: AutoencoderTransformer(
        16, network=network, corruption=Masking(0.3, span=span), alpha=0.0, max_iter=40, random_state=0
    ).fit(X_train)
    for span in (1, 8)
}

# %%
# Hidden test values
# ------------------
# In each test window either 8 consecutive steps of both sensors are hidden, or single values, as many on average.
# Hidden values are replaced by the mean of the training set, as in training. The error is the root mean square over the
# hidden values.

start = rng.integers(0, 25, len(X_test))[:, None]
in_run = (np.arange(32) >= start) & (np.arange(32) < start + 8)
hidden = {"a run of steps": np.tile(in_run, 2), "single values": rng.random(X_test.shape) < 0.25}
inputs = {kind: np.where(mask, X_train.mean(axis=0), X_test) for kind, mask in hidden.items()}
reconstructed = {(kind, span): models[span].reconstruct(inputs[kind]) for kind in hidden for span in models}
errors = {key: np.sqrt(np.mean((X - X_test)[hidden[key[0]]] ** 2)) for key, X in reconstructed.items()}

colors = {1: REFERENCE, 8: LEARNT}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained", width_ratios=[1, 1, 0.9])
for ax, index in zip(axes[:2], [0, 240], strict=True):
    ax.axvspan(start[index, 0] - 0.5, start[index, 0] + 7.5, color="0.92", label="hidden")
    ax.plot(X_test[index, :32], color=DATA, linewidth=3, alpha=0.4, label="true values")
    for span, color in colors.items():
        ax.plot(reconstructed["a run of steps", span][index, :32], color=color, label=f"span={span}")
    ax.set(xlabel="Step", ylabel="Sensor 1", ylim=(-2, 2))
    tidy(ax, grid="y")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
for offset, (span, color) in zip((-0.2, 0.2), colors.items(), strict=True):
    heights = [errors[kind, span] for kind in hidden]
    bars = axes[2].bar(np.arange(2) + offset, heights, width=0.38, color=color, label=f"span={span}")
    axes[2].bar_label(bars, fmt="%.2f", fontsize="small")
axes[2].set(xticks=range(2), xticklabels=hidden, xlabel="Hidden in test samples", ylabel="Error (root mean square)")
tidy(axes[2], grid="y")
plt.show()

# %%
# Each network is better at what it was trained for: choose ``span`` as long as the stretches that will be missing.

assert errors["a run of steps", 8] < 0.8 * errors["a run of steps", 1]
assert errors["single values", 1] < 0.9 * errors["single values", 8]
