"""
Choosing a threshold
====================

A detector gives scores. ``contamination`` is the rule that turns them into a threshold: each bounds another share, and
none needs labels.
"""

# %%
# One detector, four rules
# ------------------------
# Three classes of digits are normal, and 3 % of the training samples are other digits. ``recalibrate`` changes the rule
# of a fitted detector; networks and scores stay as they are.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from sk_autoencoder import AutoencoderOutlierDetector, OutlierScoreDisplay
from sk_autoencoder.displays.style import LEARNT, OUTLIER, tidy
from sk_autoencoder.thresholds import Auto, Conformal, Hampel, Quantile

X, y = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
normal, others = (rng.permutation(np.flatnonzero(np.isin(y, (0, 1, 3)) == choice)) for choice in (True, False))
train = np.r_[normal[:388], others[:12]]
clean, strange = X[normal[388:]], X[others[12:162]]
detector = AutoencoderOutlierDetector(random_state=0).fit(X[train])

rules = {"Auto()": Auto(), "Hampel()": Hampel(), "Quantile(0.03)": Quantile(0.03), "Conformal(0.05)": Conformal(0.05)}
rates = {}
for name, rule in rules.items():
    detector.recalibrate(X[train], contamination=rule)
    rates[name] = [np.mean(detector.predict(rows) == -1) for rows in (clean, strange)]

# %%
# Scores of new samples, and what each rule makes of them
# -------------------------------------------------------
# Left: scores, and the threshold of the last rule. Right: shares of new samples above each threshold.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", width_ratios=[1.4, 1])
labels = np.repeat([0, 1], [len(clean), len(strange)])
OutlierScoreDisplay.from_estimator(detector, np.r_[clean, strange], labels, outlier_label=1, ax=left)
table = pd.DataFrame(rates, index=["false alarms", "outliers found"]).T
table.plot.barh(ax=right, color=[LEARNT, OUTLIER], width=0.75)
for bars in right.containers:
    right.bar_label(bars, fmt="{:.1%}", padding=3, fontsize="small")
right.invert_yaxis()
right.set(xlabel="Share of new samples", xlim=(0, 1))
right.legend(frameon=False, loc="upper right")
tidy(right)
plt.show()

# %%
# A conformal threshold has at most the promised share of false alarms, up to chance.

assert table.loc["Conformal(0.05)", "false alarms"] < 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(clean))
