"""
Many machines: one detector of time series
==========================================

``TimeSeriesOutlierDetector`` learns one model from the series of several machines. Windows never cover steps of two
machines. With ``group_scaling=True``, each sensor is centered and scaled by its mean and standard deviation in the
machine, so that machines with different ranges look alike.
"""

# %%
# Three machines
# --------------
# Two sensors oscillate with a fixed phase difference, but each machine has its own levels and amplitudes. The rows are
# in the order of time, and alternate between the machines. The column "machine" says which machine a row belongs to.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from sk_autoencoder import AutoencoderOutlierDetector, TimeSeriesDisplay, TimeSeriesOutlierDetector
from sk_autoencoder.displays.style import LEARNT, REFERENCE, tidy

rng = np.random.default_rng(0)
levels = {"A": (0.0, 1.0), "B": (50.0, 5.0), "C": (-20.0, 0.2)}  # mean and amplitude of the sensors


def measured(n_steps):
    """Series of all machines: a row for each machine and step."""
    rows = []
    for machine, (level, amplitude) in levels.items():
        phase = 2 * np.pi * (np.arange(n_steps) / 25 + rng.random())
        values = np.column_stack([np.sin(phase), np.sin(phase + 1)]) + rng.normal(0, 0.1, (n_steps, 2))
        frame = pd.DataFrame(level + amplitude * values, columns=["flow", "power"])
        rows.append(frame.assign(machine=machine, step=np.arange(n_steps)))
    return pd.concat(rows).sort_values(["step", "machine"]).reset_index(drop=True)


train, test = measured(400), measured(300)

# %%
# A fault in each machine
# -----------------------
# For 30 steps, the power has the opposite phase: its values are in the usual range, but do not fit to the flow.

is_fault = test.step.between(150, 179)
for machine, (level, _) in levels.items():
    chosen = is_fault & (test.machine == machine)
    test.loc[chosen, "power"] = 2 * level - test.loc[chosen, "power"]

# %%
# With and without a scale for each machine
# -----------------------------------------
# ``group_column`` is the way to give the ids of machines in pipelines and searches too.

X_train, X_test = train.drop(columns="step"), test.drop(columns="step")
detectors, precision = {}, {}
for scaling in (False, True):
    detector = TimeSeriesOutlierDetector(
        AutoencoderOutlierDetector(max_iter=30),
        window_size=12,
        group_column="machine",
        group_scaling=scaling,
        random_state=0,
    )
    scores = -detector.fit(X_train).score_samples(X_test)
    detectors[scaling] = detector
    precision[scaling] = {
        machine: average_precision_score(is_fault[rows], scores[rows])
        for machine, rows in X_test.groupby("machine").indices.items()
    }

figure, ax = plt.subplots(figsize=(5.5, 3), layout="constrained")
for offset, (scaling, color) in zip((-0.2, 0.2), ((False, REFERENCE), (True, LEARNT)), strict=True):
    bars = ax.bar(np.arange(3) + offset, precision[scaling].values(), 0.38, color=color, label=f"{scaling}")
    ax.bar_label(bars, fmt="%.2f", fontsize="small")
ax.set(xticks=range(3), xticklabels=levels, xlabel="Machine", ylabel="Average precision", ylim=(0, 1.45))
ax.legend(title="group_scaling", frameon=False, ncols=2, loc="upper center")
tidy(ax, grid="y")

# %%
# One machine in detail
# ---------------------

TimeSeriesDisplay.from_estimator(detectors[True], X_test, group="C")
plt.show()

# %%
# Machine C has the smallest amplitudes. Without a scale of its own, its faults are hidden by the ranges of the others.

assert min(precision[True].values()) > 0.8
assert precision[False]["C"] < precision[True]["C"] - 0.2
