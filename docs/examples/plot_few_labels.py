"""
Few labels
==========

A classifier that learns from 100 labelled and 1158 unlabelled digits, beside classifiers that use the labelled ones
only. The unlabelled samples show where the groups of digits are; 10 labels of each kind name them.
"""

# %%
# Ten labels a class
# ------------------
# Unknown labels are -1. All other methods learn from the labelled digits only.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from sk_autoencoder import AutoencoderClassifier

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
few = np.full(len(y), -1)
for digit in range(10):
    chosen = np.flatnonzero(y == digit)[:10]
    few[chosen] = digit

model = AutoencoderClassifier(max_iter=60, random_state=0).fit(X, few)
known = few >= 0
accuracies = {
    "1 neighbor": KNeighborsClassifier(1).fit(X[known], y[known]).score(X_test, y_test),
    "SVC": SVC(C=10).fit(X[known], y[known]).score(X_test, y_test),
    "AutoencoderClassifier": model.score(X_test, y_test),
}

# %%
# Accuracy, and a map of the codes
# --------------------------------

figure, (bars, map_) = plt.subplots(1, 2, figsize=(10, 4))
bars.barh(list(accuracies), list(accuracies.values()), color=["0.6", "0.6", "C0"])
bars.set(xlim=(0.8, 1), xticks=[0.8, 0.85, 0.9, 0.95, 1], xlabel="accuracy on test samples", title="100 labels")
codes = model.transform(X_test)
axes = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)[2][:2]
map_.scatter(*(codes @ axes.T).T, c=y_test, cmap="tab10", s=8)
map_.set(title="Latent codes of test samples", xlabel="first principal axis", ylabel="second")
figure.tight_layout()
plt.show()

# %%
# With samples without labels, the accuracy on new digits is higher than that of both classifiers of the labelled ones.

assert accuracies["AutoencoderClassifier"] > max(accuracies["SVC"], accuracies["1 neighbor"])
