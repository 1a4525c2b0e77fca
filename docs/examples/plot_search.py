"""
A search over parts
===================

Networks, corruptions, losses and the other parts are parameters of the estimator, and have parameters of their own. So
``GridSearchCV`` chooses between parts, and tunes what is inside them.
"""

# %%
# Grid
# ----
# ``corruption`` takes objects or None, and ``corruption__std`` is a parameter of ``Gaussian``. ``score`` of the
# estimator is the explained share of the variance of test samples, averaged over the features.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, KFold

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian, Swap
from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE, tidy

X, _ = load_wine(return_X_y=True)
search = GridSearchCV(
    AutoencoderTransformer(4, hidden_layer_sizes=(64, 32), max_iter=150, random_state=0),
    [
        {"corruption": [None]},
        {"corruption": [Gaussian()], "corruption__std": [0.1, 0.3, 1.0]},
        {"corruption": [Swap()], "corruption__rate": [0.05, 0.15, 0.5]},
    ],
    cv=KFold(3, shuffle=True, random_state=0),
).fit(X)

# %%
# Results
# -------

results = pd.DataFrame(search.cv_results_)
names = results["params"].map(lambda chosen: ", ".join(f"{value}" for value in chosen.values()))
colors = results["param_corruption"].map(lambda part: {"G": LEARNT, "S": REFERENCE}.get(str(part)[0], DATA))

_, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
bars = ax.barh(names, results["mean_test_score"], color=colors)
ax.bar_label(bars, fmt="%.3f", padding=3)
ax.invert_yaxis()
ax.set(xlabel="Explained variance, mean of the test folds", xlim=(0, 1))
tidy(ax)
plt.show()

# %%
# The best corruption is a parameter like any other.

search.best_estimator_

# %%
# Much noise costs accuracy: in both kinds, the largest amount is the worst.

scores = results["mean_test_score"].to_numpy()
assert scores[3] < scores[1:3].min()
assert scores[6] < scores[4:6].min()
