"""
Linear autoencoder and PCA
==========================

An autoencoder without hidden layers and with the squared error minimizes what PCA minimizes: the squared error of the
reconstruction from a linear code. So its code spans the same subspace.
"""

# %%
# A plane in three dimensions
# ---------------------------
# ``fit`` rotates the code of a linear network to the principal axes, so that it can be compared with PCA component by
# component. Signs are arbitrary in both.

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE, tidy

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 3)) + 0.1 * rng.normal(size=(200, 3))
pca = PCA(2).fit(X)
linear = AutoencoderTransformer(
    n_components=2,
    hidden_layer_sizes=(),
    corruption=None,
    scaling=None,
    alpha=0.0,
    learning_rate_init=0.05,
    learning_rate="cosine",
    batch_size=20,
    max_iter=300,
    precision="float64",
    random_state=0,
).fit(X - X.mean(axis=0))
angle = np.degrees(subspace_angles(linear.components_.T, pca.components_.T)[0])

# %%
# Samples and codes
# -----------------
# Left: the samples, and the plane that is spanned by the decoder. Right: codes of both models, with the sign of PCA's.

codes = {"PCA": pca.transform(X), "autoencoder": linear.transform(X - X.mean(axis=0))}
codes["autoencoder"] *= np.sign((codes["autoencoder"] * codes["PCA"]).sum(axis=0))

figure = plt.figure(figsize=(9, 4), layout="constrained")
space = figure.add_subplot(1, 2, 1, projection="3d")
corners = np.array([[-4, -2], [4, -2], [-4, 2], [4, 2]]) @ linear.components_ + X.mean(axis=0)
space.plot_surface(*corners.T.reshape(3, 2, 2), color=LEARNT, alpha=0.25)
space.scatter(*X.T, s=8, color=DATA)
space.set(xticklabels=[], yticklabels=[], zticklabels=[], title="Samples and plane of the decoder")
space.view_init(elev=15, azim=-150)
flat = figure.add_subplot(1, 2, 2)
flat.scatter(*codes["PCA"].T, s=40, facecolors="none", edgecolors=REFERENCE, label="PCA")
flat.scatter(*codes["autoencoder"].T, s=8, color=LEARNT, label="linear autoencoder")
flat.set(xlabel="Component 1", ylabel="Component 2", title=f"Angle of the subspaces: {angle:.3f} degrees")
flat.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=2)
flat.set_aspect("equal")
tidy(flat)
plt.show()

# %%
# Subspace and explained variance are equal. PCA needs no training; use it where a linear code is enough.

assert angle < 1
assert np.allclose(linear.explained_variance_ratio_, pca.explained_variance_ratio_, atol=1e-3)
