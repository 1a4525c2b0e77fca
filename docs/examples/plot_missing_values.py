"""
Missing values: reconstruction of what was not observed
=======================================================

NaN are missing values: they are left out of the scaling and of the loss, and ``reconstruct`` returns the network's
value for each of them. With ``Masking``, further values are hidden during training, so that the network learns to
reconstruct values that it does not see.
"""

# %%
# Digits with gaps
# ----------------
# A third of all pixels is missing, in training and test samples. The complete images serve for the comparison only.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer, SimpleImputer

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Masking
from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE, tidy

complete = load_digits().data
missing = np.random.default_rng(0).random(complete.shape) < 1 / 3
X = np.where(missing, np.nan, complete)
X_train, X_test = X[:1200], X[1200:]

# %%
# Three ways to fill them
# -----------------------

model = AutoencoderTransformer(16, corruption=Masking(0.2), max_iter=150, random_state=0).fit(X_train)
filled = {
    "mean": SimpleImputer().fit(X_train).transform(X_test),
    "five neighbors": KNNImputer().fit(X_train).transform(X_test),
    "autoencoder": model.reconstruct(X_test),
}
truth, gaps = complete[1200:], missing[1200:]
errors = {name: np.sqrt(np.mean((values - truth)[gaps] ** 2)) for name, values in filled.items()}

# %%
# Picture
# -------
# Missing pixels are orange. Pixels are numbers from 0 to 16.

figure = plt.figure(figsize=(9, 3.4), layout="constrained")
images, bars = figure.subfigures(1, 2, width_ratios=[2, 1])
rows = {"observed": X_test, "reconstruction": filled["autoencoder"], "complete": truth}
grays = plt.get_cmap("gray_r").with_extremes(bad=REFERENCE)
axes = images.subplots(3, 7, subplot_kw={"xticks": [], "yticks": []})
for row, (name, values) in zip(axes, rows.items(), strict=True):
    row[0].set_ylabel(name)
    for ax, sample in zip(row, values, strict=False):
        ax.imshow(sample.reshape(8, 8), cmap=grays, vmin=0, vmax=16)
ax = bars.subplots()
ax.barh(list(errors), list(errors.values()), color=[DATA, DATA, LEARNT])
ax.invert_yaxis()
ax.set(xlabel="RMS error, hidden pixels")
tidy(ax)

# %%
# The network was trained and applied with gaps, and needs no complete sample.

assert errors["autoencoder"] < min(0.98 * errors["five neighbors"], 0.7 * errors["mean"])
