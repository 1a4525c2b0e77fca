"""
Codes in front of a classifier
==============================

In a pipeline, an autoencoder reduces samples to codes, and a classifier learns from the codes. With ``whiten=True``
components are uncorrelated and have variance 1, so that logistic regression converges in few iterations.
"""

# %%
# Accuracy for different numbers of components
# --------------------------------------------
# Digits, logistic regression on whitened codes of PCA and of the autoencoder. Each accuracy is the mean of three folds.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.displays.style import LEARNT, REFERENCE, tidy

X, y = load_digits(return_X_y=True)
sizes = [2, 4, 8]
reducers = {
    "PCA": lambda size: PCA(size, whiten=True),
    "autoencoder": lambda size: AutoencoderTransformer(size, whiten=True, max_iter=40, random_state=0),
}
accuracy = {
    name: [cross_val_score(make_pipeline(make(size), LogisticRegression()), X, y, cv=3).mean() for size in sizes]
    for name, make in reducers.items()
}

_, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (name, values), color in zip(accuracy.items(), (REFERENCE, LEARNT), strict=True):
    ax.plot(sizes, values, "o-", color=color, label=name)
ax.set(xticks=sizes, xlabel="Components", ylabel="Accuracy of logistic regression", ylim=(0.4, 1))
ax.legend(frameon=False)
tidy(ax, grid="y")
plt.show()

# %%
# A pipeline
# ----------
# It is fitted, searched and stored like any other.

pipeline = make_pipeline(reducers["autoencoder"](8), LogisticRegression())
pipeline.fit(X[:1200], y[:1200])

# %%
# The smaller the code, the larger the advantage over PCA.

gains = [learnt - linear for linear, learnt in zip(accuracy["PCA"], accuracy["autoencoder"], strict=True)]
assert gains[0] > gains[1] > gains[2] > 0
