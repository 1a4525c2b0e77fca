"""
Manifolds: an autoencoder beside PCA, LDA, t-SNE, Isomap and LLE
================================================================

Six methods reduce an S-curve and handwritten digits to two components. The table compares how well neighbourhoods are
kept (trustworthiness), the time, and whether a fitted model can map new samples.
"""

# %%
# Data and methods
# ----------------
# The S-curve has no classes: as classes for LDA serve six sections of it. All samples are standardized first.

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits, make_s_curve
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import TSNE, Isomap, LocallyLinearEmbedding, trustworthiness
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderTransformer

curve, position = make_s_curve(500, noise=0.05, random_state=0)
sections = np.digitize(position, np.quantile(position, np.arange(1, 6) / 6))
images, digits = load_digits(return_X_y=True)
data = {"S-curve": (curve, sections, position), "digits": (images[:500], digits[:500], digits[:500])}

autoencoder = AutoencoderTransformer(2, corruption=None, alpha=0.0, max_iter=100, random_state=0)
methods = {
    "PCA": PCA(2),
    "LDA": LinearDiscriminantAnalysis(n_components=2),
    "t-SNE": TSNE(max_iter=500, random_state=0),
    "Isomap": Isomap(n_neighbors=10),
    "LLE": LocallyLinearEmbedding(n_neighbors=10, method="modified", random_state=0),
    "autoencoder": autoencoder,
}

# %%
# Maps
# ----

rows = []
figure, axes = plt.subplots(2, 6, figsize=(12, 4.4), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for line, (name, (X, y, colors)) in zip(axes, data.items(), strict=True):
    X = StandardScaler().fit_transform(X)
    line[0].set_ylabel(name)
    for ax, (method, model) in zip(line, methods.items(), strict=True):
        start = perf_counter()
        codes = model.fit_transform(X, y)
        seconds = perf_counter() - start
        kept = trustworthiness(X, codes, n_neighbors=10)
        rows.append((name, method, kept, seconds, hasattr(model, "transform"), hasattr(model, "inverse_transform")))
        ax.scatter(*codes.T, c=colors, s=4, cmap="Spectral" if name == "S-curve" else "tab10")
        ax.set_title(f"{method}: {kept:.3f}", fontsize="medium")
plt.show()

# %%
# Table
# -----

columns = ["data", "method", "trustworthiness", "seconds", "can map new samples", "can reconstruct"]
table = pd.DataFrame(rows, columns=columns).set_index(["data", "method"])
table.round({"trustworthiness": 3, "seconds": 2})

# %%
# t-SNE keeps neighbourhoods best, but has no map for new samples. The autoencoder keeps more of them than PCA and LDA
# on both sets, maps new samples, and reconstructs samples from their codes, as PCA does.

kept = table.reset_index().pivot_table("trustworthiness", "data", "method")
assert (kept["autoencoder"] > kept[["PCA", "LDA"]].max(axis=1)).all()
