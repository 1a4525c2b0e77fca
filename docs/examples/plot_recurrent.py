"""
Abnormal heart beats with a recurrent autoencoder
=================================================

EncDec-AD (Malhotra et al., 2016) detects anomalies in sequences with an LSTM autoencoder that is trained on normal
sequences only. The encoder reads a sequence and returns its latent code. The decoder starts from the code and
reconstructs the steps in reverse order of time; its input at each step is the step that it reconstructed before. The
outlier score of a sequence is the Mahalanobis distance of its reconstruction errors.
"""

# %%
# Heart beats
# -----------
# A beat is a sum of five Gaussians, the waves P, Q, R, S and T, with 40 steps in 0.8 s. Heights, the heart rate and the
# measurement noise are random. Two kinds of beats are abnormal: without a T wave, and premature with a wide QRS complex
# and without a P wave. The training set has normal beats only.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.displays.style import DATA, LEARNT, OUTLIER, tidy
from sk_autoencoder.networks import Recurrent

rng = np.random.default_rng(0)
seconds = np.linspace(-0.35, 0.45, 40)  # from the peak of a normal R wave


def beats(n, waves=(1, 1, 1, 1, 1), width=1.0, shift=0.0):
    """Return n beats, (n, 40), in millivolts; ``width`` and ``shift`` (in seconds) change the QRS complex."""
    in_qrs = np.array([0, 1, 1, 1, 0])
    pace = 1 + rng.normal(0, 0.08, (n, 1)) * (1 - in_qrs)
    centers = np.array([-0.20, -0.04, 0, 0.04, 0.25]) * pace + shift * in_qrs
    heights = np.array([0.15, -0.12, 1.0, -0.25, 0.3]) * waves * rng.normal(1, [0.2, 0.1, 0.1, 0.1, 0.2], (n, 5))
    widths = np.array([0.025, 0.012, 0.016, 0.014, 0.05]) * np.where(in_qrs, width, 1)
    shapes = np.exp(-(((seconds - centers[..., None]) / widths[:, None]) ** 2) / 2)
    return np.einsum("nw,nwt->nt", heights, shapes) + rng.normal(0, 0.01, (n, len(seconds)))


X_train = beats(400)
X_test = {
    "normal": beats(200),
    "no T wave": beats(50, waves=(1, 1, 1, 1, 0)),
    "premature,\nwide QRS": beats(50, waves=(0, 1, 1, 1, 1), width=2.0, shift=-0.06),
}

# %%
# The detector
# ------------
# Network and outlier score make this EncDec-AD. ``sample_shape`` is (sensors, steps). A single ensemble member and
# conformal calibration suffice here: about 5 % of normal beats are called outliers.

network = Recurrent(feedback=True, sample_shape=(1, 40))
training = {"corruption": None, "learning_rate_init": 0.01, "batch_size": 32, "max_iter": 40, "random_state": 0}
detector = AutoencoderOutlierDetector(
    n_components=6, network=network, hidden_layer_sizes=(32,), outlier_score="mahalanobis", n_estimators=1, **training
)
detector.set_params(contamination="conformal").fit(X_train)

# %%
# Reconstructions
# ---------------
# Normal beats are reconstructed with their own heights and heart rate. The network has never seen a beat without a T
# wave, or with an early R wave, and reconstructs what it knows. There the errors are large.

figure, axes = plt.subplots(2, 3, figsize=(8, 4.2), sharex=True, sharey=True, layout="constrained")
for column, (kind, X) in zip(axes.T, X_test.items(), strict=True):
    column[0].set_title(kind.replace("\n", " "))
    for ax, x, x_reconstructed in zip(column, X[:2], detector.reconstruct(X[:2]), strict=True):
        ax.plot(seconds, x, color=DATA, label="input")
        ax.plot(seconds, x_reconstructed, color=LEARNT, label="reconstruction")
        ax.fill_between(seconds, x, x_reconstructed, color=OUTLIER, alpha=0.25, linewidth=0, label="error")
        tidy(ax, grid="y")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
figure.supxlabel("Time (s)", fontsize="medium")
figure.supylabel("Voltage (mV)", fontsize="medium")

# %%
# Outlier scores
# --------------
# Premature beats are easy to detect. A missing T wave is harder: the T wave of normal beats varies in height and in
# position. The score is compared with a Mahalanobis distance of the beats themselves, without a network: it ranks fewer
# of these beats above the normal ones (AUROC in the title).

scores = {kind: -detector.score_samples(X) for kind, X in X_test.items()}
without_network = LedoitWolf().fit(X_train).mahalanobis
is_outlier = np.repeat([0, 1], [200, 50])
auroc = roc_auc_score(is_outlier, np.r_[scores["normal"], scores["no T wave"]])
auroc_without = roc_auc_score(is_outlier, without_network(np.vstack([X_test["normal"], X_test["no T wave"]])))

_, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
for position, values in enumerate(scores.values()):
    height = position + rng.uniform(-0.25, 0.25, len(values))
    ax.plot(values, height, ".", color=OUTLIER if position else LEARNT, alpha=0.6, markeredgewidth=0)
ax.axvline(-detector.offset_, color="0.15", linewidth=1.4)
ax.text(-detector.offset_, 2.45, " called outlier \N{RIGHTWARDS ARROW}", color=OUTLIER, fontsize="small")
ax.set(xscale="log", xlabel="Outlier score (larger = more outlying)", yticks=range(3), yticklabels=scores)
ax.set_title(f"No T wave: AUROC {auroc:.3f}, without a network {auroc_without:.3f}", fontsize="medium", pad=16)
tidy(ax)
plt.show()

# %%
# The network ranks the beats without a T wave better than the distance without a network.

assert auroc > max(0.98, auroc_without + 0.01)
