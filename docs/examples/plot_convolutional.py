"""
Convolutional networks for images
=================================

A convolution applies the same weights at each position of an image. So a shape that was learnt at one position is
recognised at others, and fewer weights suffice.
"""

# %%
# Digits at random positions
# --------------------------
# Each digit of 8 x 8 pixels is placed at random in an image of 16 x 16 pixels. ``X`` stays two-dimensional: the network
# gets the shape of a sample by ``sample_shape``, (channels, height, width).

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.networks import Convolutional

digits = load_digits().images[:1200]
X = np.zeros((len(digits), 16, 16))
for image, digit, (row, column) in zip(X, digits, np.random.default_rng(0).integers(0, 9, (1200, 2)), strict=True):
    image[row : row + 8, column : column + 8] = digit
X = X.reshape(len(X), -1) / 16
X_train, X_test = X[:900], X[900:]

# %%
# Two networks with about as many weights
# ---------------------------------------

parameters = {"scaling": None, "corruption": None, "learning_rate_init": 0.02, "max_iter": 40, "random_state": 0}
models = {
    "convolutional": AutoencoderTransformer(
        32, network=Convolutional(sample_shape=(1, 16, 16)), hidden_layer_sizes=(8, 16), **parameters
    ),
    "dense": AutoencoderTransformer(32, hidden_layer_sizes=(34,), **parameters),
}
errors, n_weights = {}, {}
for name, model in models.items():
    model.fit(X_train)
    errors[name] = model.reconstruction_error(X_test).mean()
    n_weights[name] = sum(weight.numel() for weight in model.net_.module_.parameters())

# %%
# Reconstructions of test samples
# -------------------------------

figure, axes = plt.subplots(3, 8, figsize=(8, 3.3), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
rows = {"test sample": X_test, **{name: model.reconstruct(X_test[:8]) for name, model in models.items()}}
for row, (name, values) in zip(axes, rows.items(), strict=True):
    row[0].set_ylabel(name)
    for ax, image in zip(row, values, strict=False):
        ax.imshow(image.reshape(16, 16), cmap="gray_r", vmin=0, vmax=1)
figure.suptitle(", ".join(f"{name}: {n_weights[name]} weights, error {errors[name]:.4f}" for name in models))
plt.show()

# %%
# With as many weights, the convolutional network has the smaller error. It takes more time.

assert n_weights["convolutional"] < n_weights["dense"]
assert errors["convolutional"] < 0.7 * errors["dense"]
