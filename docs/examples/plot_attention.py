"""
Sines by a network with attention
=================================

Each sample has two sensors, a sine and a cosine. Three numbers describe it: frequency, phase and amplitude. A network
of transformer layers reduces its 64 features to a latent code of four components. (The phase is an angle, which needs
two.)
"""

# %%
# Samples
# -------
# The data have steps first: (samples, steps, sensors). Networks for sequences read flat samples, the steps of the first
# sensor, then those of the second; ``to_samples`` makes them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE, tidy
from sk_autoencoder.networks import Attention
from sk_autoencoder.windows import from_samples, to_samples

rng = np.random.default_rng(0)
n_steps = 32


def waves(n):
    """Return n pairs of sine and cosine, (n, n_steps, 2)."""
    frequency, phase = rng.uniform(0.03, 0.12, (n, 1)), rng.uniform(0, 2 * np.pi, (n, 1))
    angle = 2 * np.pi * frequency * np.arange(n_steps) + phase
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1) * rng.uniform(0.5, 1.5, (n, 1, 1))


X_train, X_test = to_samples(waves(2000)), to_samples(waves(300))

# %%
# Networks
# --------
# With ``patch_size=8`` a token holds 8 steps of both sensors, so that a sample has 4 tokens. Its positions in time
# enter as sinusoids. The dense network and PCA have codes of the same size.

training = {"corruption": None, "alpha": 0.0, "learning_rate_init": 0.01, "max_iter": 20, "random_state": 0}
network = Attention(patch_size=8, sample_shape=(2, n_steps))
models = {
    "PCA": PCA(4),
    "attention": AutoencoderTransformer(4, network=network, hidden_layer_sizes=(32, 32), **training),
    "dense": AutoencoderTransformer(4, **training),
}
reconstructed = {}
for name, model in models.items():
    codes = model.fit(X_train).transform(X_test)
    reconstructed[name] = model.inverse_transform(codes)
missed = {name: np.mean((X_test - X) ** 2) / X_test.var(axis=0).mean() for name, X in reconstructed.items()}

# %%
# Reconstructions
# ---------------
# The frequency is no linear function of the sample, so that four principal components are not enough. The networks
# reconstruct the waves from four numbers.
#
# On these short sequences the dense network is the better choice: it misses less, and its training takes less time.

figure, grid = plt.subplots(2, 4, figsize=(10, 4.2), sharex="col", layout="constrained", width_ratios=[1, 1, 1, 0.9])
for column, index in zip(grid.T[:3], range(3), strict=True):
    for sensor, ax in enumerate(column):
        for X, style in [
            (X_test, {"color": DATA, "linewidth": 3, "alpha": 0.4, "label": "input"}),
            (reconstructed["PCA"], {"color": REFERENCE, "linestyle": "--", "label": "PCA"}),
            (reconstructed["attention"], {"color": LEARNT, "label": "attention"}),
        ]:
            ax.plot(from_samples(X[[index]], n_sensors=2)[0, :, sensor], **style)
        ax.set(ylim=(-1.8, 1.8), ylabel=f"Sensor {sensor + 1}" if index == 0 else "")
        ax.tick_params(labelleft=index == 0)
        tidy(ax, grid="y")
    column[1].set_xlabel("Step")
figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
for ax in grid[:, 3]:
    ax.remove()
ax = figure.add_subplot(grid[0, 0].get_gridspec()[:, 3])
bars = ax.bar(list(missed), [100 * share for share in missed.values()], color=[REFERENCE, LEARNT, LEARNT])
ax.bar_label(bars, fmt="%.1f")
ax.set_ylabel("Variance missed on test samples (%)")
tidy(ax, grid="y")
plt.show()

# %%
# With a code of the same size, the network with attention misses less than a tenth of what PCA misses.

assert missed["attention"] < 0.1 * missed["PCA"]
