"""
Density and dependence
======================

Two scores of ``AutoencoderOutlierDetector`` that count most where all training samples are normal. Neither uses the
networks.
"""

# %%
# A dense and a sparse cluster
# ----------------------------
# ``RelativeDistance`` divides the distance to the nearest training samples by a power of their own distances. With
# exponent 0, samples between the clusters are normal (light). With 0.5, the default, some beside the dense cluster are
# outliers. With 1, a local outlier factor, some samples far outside are normal, since their neighbors are far from each
# other, too.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sk_autoencoder import AutoencoderOutlierDetector, FeatureScoresDisplay
from sk_autoencoder.scores import RelativeDistance

rng = np.random.default_rng(0)
X = np.concatenate([rng.normal([-3, 0], 0.3, size=(200, 2)), rng.normal([3, 0], 1.5, size=(200, 2))])
grid = np.stack(np.meshgrid(np.linspace(-6, 8, 70), np.linspace(-5, 5, 50)), axis=-1)

figure, panels = plt.subplots(1, 3, figsize=(9, 3), sharex=True, sharey=True, layout="constrained")
outlying = {}
for panel, exponent in zip(panels, (0, 0.5, 1), strict=True):
    score = RelativeDistance(exponent=exponent)
    detector = AutoencoderOutlierDetector(outlier_score=score, novelty=True, max_iter=5, random_state=0).fit(X)
    outlying[exponent] = detector.predict(grid.reshape(-1, 2)).reshape(grid.shape[:2]) == -1
    panel.contourf(*grid.T, outlying[exponent].T, levels=[-0.5, 0.5, 1.5], colors=["#fdf6e3", "#b5c7d3"])
    panel.scatter(*X.T, s=3, color="black")
    panel.set_title(f"exponent {exponent}")
plt.show()

# %%
# Values that do not belong together
# ----------------------------------
# Weights and heights depend on each other. Each value of the new sample is usual, but its weight is not that of a small
# person. "feature_tails" looks at single features, "dependence_tree" at pairs of them.

height = rng.normal(170, 10, size=1000)
weight = 0.9 * (height - 100) + rng.normal(0, 4, size=1000)
people = pd.DataFrame({"height": height, "weight": weight, "age": rng.normal(40, 12, size=1000)})
new = pd.DataFrame({"height": [156.0], "weight": [76.0], "age": [40.0]})
p_values = {}
for name in ("feature_tails", "dependence_tree"):
    detector = AutoencoderOutlierDetector(outlier_score=name, novelty=True, max_iter=5, random_state=0).fit(people)
    p_values[name] = detector.p_values(new)[0]
FeatureScoresDisplay.from_estimator(detector, new)
plt.show()

# %%
# More samples beside the dense cluster are outliers with exponent 0.5, and only the tree finds the new sample.

beside_dense = (np.abs(grid[..., 0] + 1.7) < 0.5) & (np.abs(grid[..., 1]) < 0.8)
assert outlying[0.5][beside_dense].sum() > outlying[0][beside_dense].sum()
assert p_values["dependence_tree"] < 0.02 < p_values["feature_tails"]
