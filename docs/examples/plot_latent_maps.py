"""
Latent maps: plain, variational and adversarial
===============================================

Three objectives reduce handwritten digits to two components. The plain autoencoder places codes anywhere. The
variational and the adversarial autoencoder (Makhzani et al., 2015) place them approximately like draws from the
standard normal distribution N(0, I), so that decoded draws look like digits.
"""

# %%
# Three models
# ------------
# They differ in the objective only.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from sk_autoencoder import AutoencoderTransformer, LatentDisplay, LatentGridDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)

settings = {"hidden_layer_sizes": (128, 64), "corruption": None, "loss": "binary_cross_entropy", "max_iter": 100}
models = {
    name: AutoencoderTransformer(2, objective=objective, random_state=0, **settings).fit(X_train)
    for name, objective in [("plain", "reconstruction"), ("variational", "variational"), ("adversarial", "adversarial")]
}

# %%
# Maps and draws
# --------------
# Above: codes of test samples, and the circle that holds 95 % of the draws from N(0, I). The accuracy is that of the
# five nearest neighbours on the map, for test samples. Below: decoded quantiles of N(0, I). The distance is the mean
# distance of a test sample to the nearest of 1000 decoded draws, which is small if draws look like digits of all kinds.

draws = np.random.default_rng(0).normal(size=(1000, 2))
distances = {}
figure, axes = plt.subplots(2, 3, figsize=(10, 6.6), layout="constrained")
for (name, model), (above, below) in zip(models.items(), axes.T, strict=True):
    LatentDisplay.from_estimator(model, X_test, y_test, ax=above).legend_.remove()
    above.add_patch(plt.Circle((0, 0), 2.45, fill=False, linewidth=1.4, color="0.15"))
    above.set_aspect("equal", adjustable="datalim")
    codes = model.transform(X_test)
    accuracy = KNeighborsClassifier().fit(model.transform(X_train), y_train).score(codes, y_test)
    inside = np.mean(np.linalg.norm(codes, axis=1) < 2.45)
    above.set_title(f"{name}\naccuracy {accuracy:.2f}, {100 * inside:.0f} % in the circle", fontsize="medium")

    neighbors = NearestNeighbors(n_neighbors=1).fit(model.inverse_transform(draws))
    distances[name] = neighbors.kneighbors(X_test)[0].mean()
    LatentGridDisplay.from_estimator(model, n_steps=8, image_shape=(8, 8), ax=below, vmin=0, vmax=16)
    below.set(xticks=[], yticks=[])
    below.set_title(f"distance {distances[name]:.1f}", fontsize="medium")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False, title="Digit")
plt.show()

# %%
# What each is good for
# ---------------------
#
# - Plain: dimensionality reduction. The map has the best accuracy, but no fixed scale, and draws from N(0, I) show few
#   kinds of digits.
# - Variational: draws of all kinds. Each sample has a distribution of codes (``posterior``) and a likelihood
#   (``score_samples``).
# - Adversarial: the same draws, with one code for each sample, without noise.
#
# With two components, and a training as short as this one, both priors cost accuracy.

assert max(distances["variational"], distances["adversarial"]) < 0.85 * distances["plain"]
