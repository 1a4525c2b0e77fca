"""
Scaling, and values far outside the training range
==================================================

Features are scaled inside the network. ``input_margin`` of a scaling limits how far a single extreme value of a new
sample reaches: beyond the training range and this margin, it enters the network by its logarithm.
"""

# %%
# Two networks
# ------------
# They differ in ``input_margin`` only; 1.0 is the default of the transformer.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.displays.style import LEARNT, REFERENCE, tidy
from sk_autoencoder.scaling import Standard

X_train, X_test = train_test_split(load_wine().data, random_state=0)
models = {
    margin: AutoencoderTransformer(4, scaling=Standard(input_margin=margin), max_iter=200, random_state=0).fit(X_train)
    for margin in (None, 1.0)
}

# %%
# One value of each test sample is moved
# --------------------------------------
# The error is that of the other features, in units of their variance.

shifts, spread = np.arange(0, 31, 2), X_train.std(axis=0)
errors = {margin: [] for margin in models}
for shift in shifts:
    moved = X_test + shift * spread * (np.arange(13) == 0)
    for margin, model in models.items():
        residual = (model.reconstruct(moved) - X_test) / spread
        errors[margin].append(np.mean(residual[:, 1:] ** 2))

_, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (margin, values), color in zip(errors.items(), (REFERENCE, LEARNT), strict=True):
    ax.plot(shifts, values, "o-", color=color, label=f"input_margin={margin}")
ax.set(xlabel="Standard deviations by which the first feature is moved", ylabel="Error of the other features")
ax.set_ylim(bottom=0)
ax.legend(frameon=False)
tidy(ax, grid="y")
plt.show()

# %%
# With the margin, a value that is wrong by a factor spoils the other features less.

assert errors[1.0][-1] < 0.7 * errors[None][-1]
