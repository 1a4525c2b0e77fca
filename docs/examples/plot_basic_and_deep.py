"""
Basic and deep autoencoders
===========================

An autoencoder without hidden layers and one with three, trained on the same digits. Both reduce an image of 64 pixels
to 3 components, from which the decoder reconstructs it. PCA with 3 components serves for comparison.
"""

# %%
# Three models
# ------------
# A basic autoencoder has one layer in the encoder, and one in the decoder. Its output is a sigmoid, since the loss is
# the binary cross-entropy. The deep one has hidden layers of 128, 64 and 32 units; the decoder mirrors them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from sk_autoencoder import AutoencoderTransformer, LossCurveDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, _, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
parameters = {"corruption": None, "loss": "binary_cross_entropy", "max_iter": 100, "random_state": 0}
models = {
    "PCA": PCA(3).fit(X_train),
    "basic": AutoencoderTransformer(3, hidden_layer_sizes=(), **parameters).fit(X_train),
    "deep": AutoencoderTransformer(3, hidden_layer_sizes=(128, 64, 32), **parameters).fit(X_train, X_val=X_test),
}

# %%
# Reconstructions of digits that were not in the training set
# -----------------------------------------------------------

shown = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
reconstructed = {name: model.inverse_transform(model.transform(X_test)) for name, model in models.items()}
errors = {name: np.mean((values - X_test) ** 2) for name, values in reconstructed.items()}

figure, axes = plt.subplots(4, 10, figsize=(8, 3.6), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for row, (name, values) in zip(axes, {"digit": X_test, **reconstructed}.items(), strict=True):
    row[0].set_ylabel(name if name == "digit" else f"{name}\n{errors[name]:.1f}")
    for ax, image in zip(row, values[shown], strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
plt.show()

# %%
# Loss of each epoch
# ------------------
# ``X_val`` in ``fit`` gives the validation loss.

LossCurveDisplay.from_estimator(models["deep"])
plt.show()

# %%
# The numbers beside the images are mean squared errors of test samples: that of the deep network is the smallest.

assert errors["deep"] < 0.8 * min(errors["PCA"], errors["basic"])
