"""
Images of one class
===================

A detector that is trained on images of one class finds images of other classes. Pixels have the same unit, so that all
are divided by one number (``Standard(shared_scale=True)``): pixels at the border, which are nearly constant, are not
scaled up. Without noise the code is narrow, and the score is the squared error of the reconstruction.
"""

# %%
# Eights
# ------
# Half of the eights train. The other half and all other digits are new.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from sk_autoencoder import (
    AutoencoderOutlierDetector,
    OutlierReconstructionDisplay,
    OutlierScoreDisplay,
)
from sk_autoencoder.scaling import Standard
from sk_autoencoder.scores import ReconstructionError

X, y = load_digits(return_X_y=True)
eights = np.flatnonzero(y == 8)
trained = np.isin(np.arange(len(y)), eights[::2])
X_new, is_outlier = X[~trained], y[~trained] != 8

detector = AutoencoderOutlierDetector(
    novelty=True,
    corruption=None,
    scaling=Standard(shared_scale=True),
    outlier_score=ReconstructionError(None),
    random_state=0,
).fit(X[trained])
OutlierScoreDisplay.from_estimator(detector, X_new, is_outlier, outlier_label=True)
plt.show()

# %%
# What was expected
# -----------------
# Two new eights, and one of each of six other digits: the network, which knows eights only, reconstructs them worse.

y_new = y[~trained]
others = [np.flatnonzero(y_new == digit)[0] for digit in (0, 2, 4, 5, 6, 7)]
shown = X_new[[*np.flatnonzero(~is_outlier)[:2], *others]]
OutlierReconstructionDisplay.from_estimator(detector, shown, image_shape=(8, 8), vmin=0, vmax=16)
plt.show()

# %%
# Beside a scale for each pixel
# -----------------------------
# The same detector with the default scaling ranks new eights and other digits less well.

own_scales = clone(detector).set_params(scaling="standard").fit(X[trained])
areas = [roc_auc_score(is_outlier, -model.score_samples(X_new)) for model in (detector, own_scales)]
assert areas[0] > max(0.98, areas[1])
