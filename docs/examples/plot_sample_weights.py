"""
Sample weights: which samples a code is made for
================================================

``fit`` takes ``sample_weight``. A sample with weight 2 has the effect of two equal samples: in the scaling, in the loss
and in the principal axes of a linear network. Weight 0 leaves a sample out.
"""

# %%
# Two groups of digits
# --------------------
# A code of 2 components cannot describe all digits well. Here ones and sevens have the weight 20, all others 1, and in
# a second network it is zeros and sixes.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE, tidy

X, y = load_digits(return_X_y=True)
groups = {"1 and 7": np.isin(y, (1, 7)), "0 and 6": np.isin(y, (0, 6))}
parameters = {"n_components": 2, "max_iter": 40, "random_state": 0}

models = {"equal weights": AutoencoderTransformer(**parameters).fit(X)}
for name, chosen in groups.items():
    models[f"20 for {name}"] = AutoencoderTransformer(**parameters).fit(X, sample_weight=np.where(chosen, 20, 1))

# %%
# Error of each group
# -------------------

errors = {}
for name, model in models.items():
    error = model.reconstruction_error(X)
    errors[name] = [error[chosen].mean() for chosen in groups.values()]

figure, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for position, ((name, values), color) in enumerate(zip(errors.items(), (REFERENCE, DATA, LEARNT), strict=True)):
    ax.bar(np.arange(2) + 0.26 * (position - 1), values, width=0.24, color=color, label=name)
ax.set_xticks(range(2), [f"digits {name}" for name in groups])
ax.set(ylabel="mean squared error", ylim=(0, 1.35 * max(map(max, errors.values()))))
ax.legend(frameon=False, ncols=3, loc="upper center")
tidy(ax)

# %%
# Each group is reconstructed best by the network that it was heavy for.

gain = np.divide([errors["20 for 1 and 7"][0], errors["20 for 0 and 6"][1]], errors["equal weights"])
assert (gain < 0.9).all()
