"""
Few targets
===========

A regressor that learns from 50 targets: a ridge regression, and networks for what it leaves, where they help. The
targets that each network holds out decide.
"""

# %%
# Two relations
# -------------
# A nonlinear one with little noise (Friedman's first), and a linear one with much noise. Unknown targets are NaN.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1, make_regression
from sklearn.linear_model import RidgeCV

from sk_autoencoder import AutoencoderRegressor

sets = {
    "nonlinear": make_friedman1(800, noise=1.0, random_state=0),
    "linear, noisy": make_regression(800, 10, n_informative=10, noise=200.0, random_state=0),
}
known, new = np.arange(50), np.arange(400, 800)
scores, weights = {}, {}
for name, (X, y) in sets.items():
    targets = np.where(np.arange(400) < 50, y[:400], np.nan)
    model = AutoencoderRegressor(max_iter=100, random_state=0).fit(X[:400], targets)
    network = AutoencoderRegressor(max_iter=100, n_estimators=1, random_state=0).fit(X[:400], targets)
    ridge = RidgeCV(np.logspace(-2, 3, 16)).fit(X[known], y[known])
    models = {"one network": network, "ridge regression": ridge, "AutoencoderRegressor": model}
    scores[name] = {label: fitted.score(X[new], y[new]) for label, fitted in models.items()}
    weights[name] = model.network_weight_

# %%
# Scores on new samples, and the weight of the networks
# -----------------------------------------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
places = np.arange(len(sets))
for offset, (label, color) in enumerate(zip(models, ("0.7", "0.5", "C0"), strict=True)):
    left.bar(places + 0.27 * (offset - 1), [scores[name][label] for name in sets], 0.25, label=label, color=color)
left.set(xticks=places, xticklabels=list(sets), ylabel="R2 of new samples", title="50 targets")
left.axhline(0, color="0.3", linewidth=0.8)
left.legend(loc="lower left")
right.bar(places, [weights[name] for name in sets], 0.4, color="C0")
right.set(xticks=places, xticklabels=list(sets), ylim=(0, 1), title="network_weight_")
plt.show()

# %%
# The prediction is nearly as good as that of the better method, or better than both.

differences = [r2["AutoencoderRegressor"] - max(r2["one network"], r2["ridge regression"]) for r2 in scores.values()]
assert min(differences) > -0.05
