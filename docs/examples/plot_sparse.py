"""
Sparse codes
============

A code may have more components than the sample has features, if few of them are active for each sample. A penalty on
the absolute values of the code, ``sparsity="l1"``, keeps the network from copying its input.
"""

# %%
# A code of 100 components for 64 pixels
# --------------------------------------
# Both networks have the default noise, which keeps the plain one from copying, too.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.displays.style import LEARNT, REFERENCE, tidy
from sk_autoencoder.objectives import Reconstruction

X_train, X_test = train_test_split(load_digits().data, test_size=0.3, random_state=0)
penalized = Reconstruction(sparsity="l1", sparsity_weight=1.0)
parameters = {"hidden_layer_sizes": (256,), "max_iter": 40, "random_state": 0}
models = {
    "plain": AutoencoderTransformer(100, **parameters).fit(X_train),
    "sparse": AutoencoderTransformer(100, objective=penalized, **parameters).fit(X_train),
}

# %%
# How many components are active
# ------------------------------
# A component counts as active if it is larger than a tenth of the largest one of the sample.

active, errors = {}, {}
for name, model in models.items():
    codes = np.abs(model.transform(X_test))
    active[name] = (codes > 0.1 * codes.max(axis=1, keepdims=True)).sum(axis=1)
    errors[name] = model.reconstruction_error(X_test).mean()

_, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for (name, counts), color in zip(active.items(), (REFERENCE, LEARNT), strict=True):
    ax.hist(
        counts,
        bins=np.arange(0, 101, 4),
        color=color,
        alpha=0.8,
        label=f"{name}: mean {counts.mean():.0f}, error {errors[name]:.1f}",
    )
ax.set(xlabel="active components of a sample", ylabel="test samples")
ax.legend(frameon=False, loc="upper center")
tidy(ax)
plt.show()

# %%
# The sparse code has fewer active components, at the price of a larger error.

assert active["sparse"].mean() < 0.5 * active["plain"].mean()
