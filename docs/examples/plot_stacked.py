"""
Stacked autoencoders with layer-wise pretraining
================================================

The gradients of a deep network of sigmoids vanish in its first layers. Layer-wise pretraining (Hinton and
Salakhutdinov, 2006; Vincent et al., 2010) trains each layer as a shallow autoencoder of the codes of the layer before,
and then the whole network.
"""

# %%
# The same network, with and without
# ----------------------------------
# Both are trained for the same number of epochs. With ``layerwise_pretraining``, half of them belong to the layers.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE, tidy
from sk_autoencoder.networks import Dense

X_train, X_test = train_test_split(load_digits().data, test_size=0.3, random_state=0)
parameters = {
    "hidden_layer_sizes": (128, 96, 64, 48),
    "activation": "sigmoid",
    "scaling": "minmax",
    "corruption": None,
    "alpha": 0.0,
    "learning_rate_init": 0.02,
    "batch_size": 32,
    "max_iter": 40,
    "random_state": 0,
}
models = {
    name: AutoencoderTransformer(16, network=Dense(layerwise_pretraining=pretrained), **parameters).fit(X_train)
    for name, pretrained in {"without": False, "with pretraining": True}.items()
}

# %%
# Loss of the whole network
# -------------------------
# The losses of the layers are in ``stage_loss_curves_``. The training of the whole network begins after them.

errors = {name: model.reconstruction_error(X_test).mean() for name, model in models.items()}
_, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for (name, model), color in zip(models.items(), (REFERENCE, LEARNT), strict=True):
    before = sum(map(len, model.stage_loss_curves_))
    epochs = before + np.arange(1, len(model.loss_curve_) + 1)
    ax.plot(epochs, model.loss_curve_, color=color, label=f"{name}: test error {errors[name]:.1f}")
ax.axvline(before, color=DATA, linewidth=0.8)
ax.text(before, ax.get_ylim()[1], " layers are trained, now the whole network", color=DATA, va="top", fontsize="small")
ax.set(xlabel="Epoch", ylabel="Training loss")
ax.legend(frameon=False)
tidy(ax)
plt.show()

# %%
# In the same number of epochs, the pretrained network reaches a smaller error.

assert errors["with pretraining"] < 0.8 * errors["without"]
