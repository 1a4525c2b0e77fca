"""Objective of adversarial autoencoders: codes that a discriminator cannot tell from draws of the prior."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from sk_autoencoder._validation import integers, layer_sizes, reals
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives.base import Batch, Evaluation, Objective, compare, normal_like
from sk_autoencoder.objectives.perceptron import Layers, outputs, register, registered

_ACTIVATION = "leaky_relu"  # of the discriminator's hidden layers
_NAME = "discriminator"  # how the names of its weights begin


class Adversarial(Objective):
    """Adversarial autoencoder: a discriminator tells latent codes from draws of the standard normal distribution.

    The discriminator, a second neural network, is trained to tell the codes of a mini-batch from as many draws of
    N(0, I). The encoder is trained to reconstruct the samples, and to give codes that the discriminator takes for
    draws. So the codes of all samples together are distributed approximately like N(0, I), and ``sample`` decodes
    draws from it. Unlike in a variational autoencoder, each sample has one code, without noise.

    Parameters
    ----------
    weight : float, default=0.1
        Weight of the encoder's loss against the discriminator, in units of the reconstruction loss of the mini-batch,
        so that it does not depend on the scaling. On scikit-learn's digits, higher values bring the codes nearer to the
        standard normal distribution. On MNIST with 8 components and on Fashion-MNIST, codes are further away with 0.4
        than with 0.1. With 0, the discriminator has no effect on the codes.
    hidden_layer_sizes : int or tuple of int, default=(64,)
        Numbers of units in the hidden layers of the discriminator; ``()`` means a linear one.
    trim : float in [0, 1), default=0.0
        Fraction of each mini-batch that is left out of the loss: the samples with the largest reconstruction errors
        under a moving average of the weights. If a tenth of the training set are outliers, use for example 0.15.
        Without outliers in the training set, trimming lowers the accuracy.

    Notes
    -----
    Let l be the output of the discriminator, the logarithm of the odds that a code was drawn from N(0, I). The
    discriminator minimizes the binary cross-entropy, ``softplus(l)`` for codes and ``softplus(-l)`` for draws. The
    encoder minimizes ``softplus(-l)`` for codes (the non-saturating loss of Goodfellow et al.). Both take their steps
    at the same time, with one optimizer. Each loss has gradients for its own weights only, so with Adam this equals two
    optimizers with the same learning rate (except in recurrent and attention networks, which clip the gradients of all
    weights together). Reversed gradients of the cross-entropy (Ganin et al.) nearly vanish while
    the discriminator recognizes all codes; on digits they needed two to ten times the weight for codes as near to
    N(0, I).

    The terms are "reconstruction" and "discriminator". In training, the second is the binary cross-entropy, the mean of
    a code and a draw. For validation and after training, where nothing is drawn, it is the loss ``softplus(-l)`` of the
    code, which is larger the less the code looks like a draw. Both are log(2) = 0.69 when the discriminator cannot tell
    codes and draws apart. Encoder and discriminator work against each other, so the sum of their losses says little;
    loss curves and early stopping follow the reconstruction loss.

    The discriminator does not keep a code with more components than features from copying the sample; use a corruption.

    References
    ----------
    A. Makhzani et al., "Adversarial Autoencoders", arXiv 1511.05644, 2015.
    I. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014.
    Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016 (reversed gradients).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.objectives import Adversarial
    >>> X, _ = load_digits(return_X_y=True)
    >>> model = AutoencoderTransformer(2, objective=Adversarial(weight=0.5), max_iter=2, random_state=0).fit(X)
    >>> sorted(model.loss_curves_)
    ['discriminator', 'reconstruction']
    >>> model.sample(3, random_state=0).shape
    (3, 64)
    """

    terms = ("reconstruction", "discriminator")
    monitored = "reconstruction"
    has_prior = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "weight": [reals(0)],
        "hidden_layer_sizes": ["array-like", integers(1)],
        "trim": [reals(0, 1)],
    }

    def __init__(self, weight: float = 0.1, hidden_layer_sizes: Any = (64,), trim: float = 0.0):
        self.weight = weight
        self.hidden_layer_sizes = hidden_layer_sizes
        self.trim = trim

    def extend(self, network: Autoencoder) -> None:
        """Register the discriminator of each member, and draw its weights."""
        sizes = (network.shape.n_components, *layer_sizes(self.hidden_layer_sizes), 1)
        register(network, _NAME, sizes, _ACTIVATION)

    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""
        code = network.encode(batch.corrupted)
        error, reconstruction = compare(network, code, batch, loss)
        layers = registered(network, _NAME)
        of_code = _logits(layers, code.detach())
        if network.training:
            of_draw = _logits(layers, normal_like(network, code))
            entropy = 0.5 * (F.softplus(of_code) + F.softplus(-of_draw))
            fixed = [(weight.detach(), bias.detach()) for weight, bias in layers]
            deceit = F.softplus(-_logits(fixed, code))  # has gradients for the encoder only
        else:
            deceit = entropy = F.softplus(-of_code.double())  # float64, so that a score can invert it
        mean = batch.over_all(error)
        terms = {"reconstruction": batch.over_features(error), "discriminator": entropy}
        total = mean + batch.over_samples(entropy) + self.weight * mean.detach().abs() * batch.over_samples(deceit)
        return Evaluation(total, terms, code, reconstruction, batch.clean)


def _logits(layers: Layers, code: Tensor) -> Tensor:
    """Return the discriminator's logarithm of the odds that a code is a draw of the prior, (m, n)."""
    return outputs(layers, code, _ACTIVATION)[..., 0]
