"""
Pretraining, frozen and fine-tuned
==================================

An autoencoder is fitted to all digits without labels. A classifier with few labels uses it in three ways: the head
alone is trained on its codes ("frozen"), the encoder is trained too ("finetune"), or both losses are minimized together
from the beginning ("joint"). ``FrozenEstimator`` passes a fitted autoencoder on, for example to several classifiers.
"""

# %%
# One autoencoder, three classifiers
# ----------------------------------
# 100 of the training samples have a label.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from sk_autoencoder import AutoencoderClassifier, AutoencoderTransformer

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
few = np.where(np.arange(len(y)) < 100, y, -1)

encoder = AutoencoderTransformer(16, max_iter=60, random_state=0).fit(X)
models = {
    training: AutoencoderClassifier(
        FrozenEstimator(encoder), training=training, consistency=None, max_iter=60, random_state=0
    ).fit(X, few)
    for training in ("frozen", "finetune", "joint")
}

# %%
# Codes of test samples
# ---------------------

figure, panels = plt.subplots(1, 3, figsize=(12, 4))
for panel, (training, model) in zip(panels, models.items(), strict=True):
    codes = model.transform(X_test)
    axes = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)[2][:2]
    panel.scatter(*(codes @ axes.T).T, c=y_test, cmap="tab10", s=8)
    panel.set(title=f"{training}: accuracy {model.score(X_test, y_test):.3f}", xticks=[], yticks=[])
figure.tight_layout()
plt.show()

# %%
# With "frozen" the codes are those of the autoencoder, bit for bit.

assert np.array_equal(models["frozen"].transform(X), encoder.transform(X))
