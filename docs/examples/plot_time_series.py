"""
Time series: which steps are outliers, and which sensors say so
===============================================================

``TimeSeriesOutlierDetector`` learns from a normal stretch of a series of several sensors. Then it scores every step of
new series, lists intervals of outliers, and names their sensors.
"""

# %%
# A machine with four sensors
# ---------------------------
# The load of a machine varies with the hour. Temperature follows it slowly, vibration is proportional to it, and the
# pressure is kept constant. Four weeks, a step each 10 minutes: the first three train. In the fourth one there are
# three faults: the vibration is twice as large as the load explains, the temperature does not change, and the pressure
# decreases slowly.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sk_autoencoder import TimeSeriesDisplay, TimeSeriesOutlierDetector

rng = np.random.default_rng(0)
n_steps, day = 4032, 144
time = np.arange(n_steps)
load = 1 + 0.5 * np.sin(2 * np.pi * time / day) + 0.3 * np.sin(6 * np.pi * time / day) + rng.normal(0, 0.05, n_steps)
temperature = np.zeros(n_steps)
for step in range(1, n_steps):
    temperature[step] = 0.95 * temperature[step - 1] + 0.05 * load[step] + rng.normal(0, 0.01)
series = pd.DataFrame(
    {
        "load": load,
        "temperature": temperature,
        "vibration": load * (1 + rng.normal(0, 0.05, n_steps)),
        "pressure": 2 + rng.normal(0, 0.05, n_steps),
    }
)
faults = {"vibration": slice(3200, 3240), "temperature": slice(3500, 3600), "pressure": slice(3800, 3900)}
series.loc[3200:3239, "vibration"] *= 2
series.loc[3500:3599, "temperature"] = series.loc[3500, "temperature"]
series.loc[3800:3899, "pressure"] -= np.linspace(0, 0.4, 100)

train, test = series[:3024], series[3024:]

# %%
# Fit and list intervals
# ----------------------
# Windows of 24 steps are the samples of the detector. An interval opens when 3 of the last 4 steps are outliers, so
# that single steps raise no alarm. Start and end are labels of the index. The threshold bounds the share of outlying
# steps in a normal series, so that there are some short intervals with a low peak, too.
#
# The p-value of an interval is the share of held-out blocks of one window with at least as high a peak. A fifth of the
# three weeks was held out, 25 blocks. None of them has a peak as high as these intervals, so that all p-values are 1 /
# 26, the smallest that 25 blocks allow. Smaller ones need a longer series. The peaks tell faults from short intervals.

detector = TimeSeriesOutlierDetector(window_size=24, random_state=0).fit(train)
intervals = detector.anomalous_intervals(test, min_steps=3, within=4)
intervals[["start", "end", "kind", "peak", "p_value", "sensors"]].round(3)

# %%
# Plot
# ----
# The bars show the sensors of the interval with the highest score.

display = TimeSeriesDisplay.from_estimator(detector, test, min_steps=3, within=4)
plt.show()

# %%
# With ``margin``, only this interval is drawn, with the values that the detector expects: its reconstruction of the
# windows.

event = TimeSeriesDisplay.from_estimator(detector, test, min_steps=3, within=4, margin=40, sensors=[0, 1, 2, 3])
plt.show()

# %%
# Stream
# ------
# ``stream`` scores steps as they arrive, one or several at once, by the windows that end there. The result is None
# until the first window is full.

stream = detector.stream()
results = [stream.push(test[start : start + 12]) for start in range(0, len(test), 12)]
streamed = np.concatenate([result.scores for result in results if result is not None])
assert streamed.shape == (len(test) - 23,)

# %%
# Each fault is found, and its sensor has the largest share.

found = {}
for sensor, fault in faults.items():
    inside = intervals[(intervals.start < fault.stop) & (intervals.end >= fault.start)]
    found[sensor] = not inside.empty and inside.loc[inside.peak.idxmax(), "sensors"][0] == sensor
assert all(found.values()), found
