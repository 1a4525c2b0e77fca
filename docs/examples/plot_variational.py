"""
Variational autoencoder: map, samples, interpolation
====================================================

A variational autoencoder (Kingma and Welling, 2014) is trained so that codes are distributed like N(0, I). So decoded
draws of N(0, I) look like the training samples, and so do samples between two codes.
"""

# %%
# Fit
# ---

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sk_autoencoder import AutoencoderTransformer, InterpolationDisplay, LatentGridDisplay

X, y = load_digits(return_X_y=True)
parameters = {"loss": "binary_cross_entropy", "corruption": None, "hidden_layer_sizes": (128, 64), "max_iter": 120}
flat = AutoencoderTransformer(2, objective="variational", random_state=0, **parameters).fit(X)
model = AutoencoderTransformer(8, objective="variational", random_state=0, **parameters).fit(X)
look = {"image_shape": (8, 8), "cmap": "gray_r", "vmin": 0, "vmax": 16}

# %%
# Map
# ---
# Decoded quantiles of N(0, I), for a code with two components.

LatentGridDisplay.from_estimator(flat, n_steps=12, **look)
plt.show()

# %%
# Samples
# -------
# ``sample`` decodes draws of N(0, I), here with eight components.

draws = model.sample(200, random_state=0)
figure, axes = plt.subplots(2, 10, figsize=(8, 1.9), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for ax, image in zip(axes.flat, draws, strict=False):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
plt.show()

# %%
# Interpolation
# -------------
# The samples at the ends, and decoded codes on the line between theirs.

ends = [[np.flatnonzero(y == digit)[0] for digit in pair] for pair in ([0, 1, 3], [6, 7, 8])]
InterpolationDisplay.from_estimator(model, X[ends[0]], X[ends[1]], n_steps=8, **look)
plt.show()

# %%
# ``score_samples`` estimates the log-likelihood of samples. Digits have a higher one than digits whose pixels are
# shuffled, each pixel among the samples.

shuffled = np.random.default_rng(0).permuted(X[:200], axis=0)
assert np.median(model.score_samples(X[:200])) > np.quantile(model.score_samples(shuffled), 0.95)
