"""
Outliers: what was expected, and why
====================================

``AutoencoderOutlierDetector`` learns from normal samples; ``novelty=True`` states that all of them are normal. For a
new one it gives a prediction, a p-value, the reconstruction, which is what the networks expected, and the contribution
of each feature to the score.
"""

# %%
# Threes
# ------
# The detector is trained on half of the threes, and gets two new ones and six other digits.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits

from sk_autoencoder import (
    AutoencoderOutlierDetector,
    FeatureScoresDisplay,
    OutlierReconstructionDisplay,
    OutlierScoreDisplay,
)

X, y = load_digits(return_X_y=True)
threes = np.flatnonzero(y == 3)
detector = AutoencoderOutlierDetector(novelty=True, random_state=0).fit(X[threes[:90]])
shown = [*threes[90:92], *(np.flatnonzero(y == digit)[1] for digit in (0, 1, 2, 4, 7, 8))]
OutlierReconstructionDisplay.from_estimator(detector, X[shown], image_shape=(8, 8), vmin=0, vmax=16)
plt.show()

# %%
# Tumours
# -------
# Features in different units: measurements of benign tumours train, and malignant ones are outliers.

data = load_breast_cancer(as_frame=True)
benign, malignant = (data.data[data.target == label] for label in (1, 0))
detector = AutoencoderOutlierDetector(novelty=True, random_state=0).fit(benign[:250])
new = pd.concat([benign[250:], malignant])
is_outlier = np.repeat([0, 1], [len(benign) - 250, len(malignant)])
OutlierScoreDisplay.from_estimator(detector, new, is_outlier, outlier_label=1)
plt.show()

# %%
# Why
# ---
# The features that contribute most to the score of one of them, with its values and those that were expected.

FeatureScoresDisplay.from_estimator(detector, malignant, index=0, top=8)
plt.show()

# %%
# More than two thirds of the malignant tumours are outliers, and few of the benign ones.

outliers = detector.predict(new) == -1
assert outliers[is_outlier == 1].mean() > 0.67
assert outliers[is_outlier == 0].mean() < 0.1
