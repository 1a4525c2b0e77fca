"""
Denoising
=========

A denoising autoencoder is trained on corrupted samples, and its targets are the clean ones (Vincent et al., 2008). So
it learns to remove noise of this kind.
"""

# %%
# Two networks
# ------------
# They differ in the corruption only. The standard deviation of the noise is 0.25 in scaled units; pixels are scaled to
# [0, 1].

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_autoencoder import AutoencoderTransformer, ReconstructionDisplay
from sk_autoencoder.corruptions import Gaussian

X, y = load_digits(return_X_y=True)
X_train, X_test, _, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
parameters = {"hidden_layer_sizes": (256, 128), "scaling": "minmax", "max_iter": 100, "random_state": 0}
models = {
    name: AutoencoderTransformer(32, corruption=corruption, **parameters).fit(X_train)
    for name, corruption in {"plain": None, "denoising": Gaussian(std=0.25)}.items()
}

# %%
# Noisy test samples
# ------------------
# ``Gaussian`` and the other corruptions have a method ``corrupt``; here it acts on pixels from 0 to 16.

noisy = np.clip(Gaussian(std=0.25 * 16).corrupt(X_test, random_state=0), 0, 16)
shown = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
ReconstructionDisplay.from_estimator(
    models["denoising"],
    noisy[shown],
    target=X_test[shown],
    n_samples=10,
    image_shape=(8, 8),
    names=("noisy input", "reconstruction", "clean target"),
    cmap="gray_r",
    vmin=0,
    vmax=16,
)
plt.show()

# %%
# Errors to the clean samples
# ---------------------------

errors = {name: np.mean((model.reconstruct(noisy) - X_test) ** 2) for name, model in models.items()}
errors["noisy input"] = np.mean((noisy - X_test) ** 2)
{name: round(float(error), 1) for name, error in errors.items()}

# %%
# The plain network copies much of the noise. The denoising one removes more than half of it.

assert errors["denoising"] < 0.8 * errors["plain"]
assert errors["denoising"] < 0.5 * errors["noisy input"]
