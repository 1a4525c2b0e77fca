"""Objectives that compute gradients themselves: a contractive penalty in training, validation and scoring."""

import numpy as np
import pytest
import torch

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.networks import Dense
from sk_autoencoder.objectives import Evaluation, Objective, compare
from sk_autoencoder.scores import OutlierScore


class Contractive(Objective):
    """Reconstruction, and the squared norm of the code's Jacobian (Rifai et al., ICML 2011)."""

    terms = ("reconstruction", "contraction")
    uses_gradients = True

    def __init__(self, weight=0.1, trim=0.0):
        self.weight = weight
        self.trim = trim

    def __call__(self, network, batch, loss):
        inputs = batch.corrupted.detach().requires_grad_()
        code = network.encode(inputs)
        rows_of_jacobian = (
            torch.autograd.grad(code[..., k].sum(), inputs, create_graph=network.training, retain_graph=True)[0]
            for k in range(code.shape[-1])
        )
        error, reconstruction = compare(network, code, batch, loss)
        norm = sum(gradient.square().sum(dim=-1) for gradient in rows_of_jacobian)
        terms = {"reconstruction": error.mean(dim=-1), "contraction": norm / error.shape[-1]}
        total = (terms["reconstruction"] + self.weight * terms["contraction"]).mean(dim=-1)
        return Evaluation(total, terms, code, reconstruction, batch.clean)


class Contraction(OutlierScore):
    """How much the code of a sample changes with the sample."""

    required_terms = ("contraction",)
    uses_references = False

    def __call__(self, evaluation, state):
        return evaluation.terms["contraction"].double()


@pytest.mark.parametrize("activation", ["relu", "silu", "tanh", "elu"])  # written over their input after training
@pytest.mark.parametrize("network", ["dense", Dense(tied_weights=True), "convolutional"], ids=str)
def test_a_score_reads_gradients(network, activation, rows):
    parameters = {"hidden_layer_sizes": (16,), "max_iter": 2, "n_estimators": 3, "random_state": 0}
    detector = AutoencoderOutlierDetector(
        2, objective=Contractive(), outlier_score=Contraction(), network=network, activation=activation, **parameters
    ).fit(rows)
    new = rows + 0.1
    scores = detector.score_samples(new)
    np.testing.assert_array_equal(scores[40:42], detector.score_samples(new[40:42]))
    norms = []
    module = detector.net_.module_.double().eval()
    for member in range(3):
        scaled = torch.tensor((new - detector._affine.center) / detector._affine.scale)

        def code(row, member=member):
            return module.encode(row.expand(3, 1, -1))[member, 0]

        jacobians = torch.stack([torch.autograd.functional.jacobian(code, row) for row in scaled])
        norms.append(jacobians.square().sum(dim=(1, 2)).numpy() / rows.shape[1])
    np.testing.assert_allclose(-scores, np.mean(norms, axis=0), rtol=1e-4)


def test_validation_and_trimming_know_gradients(rows):
    model = AutoencoderTransformer(2, objective=Contractive(trim=0.2), early_stopping=True, max_iter=3, random_state=0)
    with pytest.warns(match="increase max_iter"):
        model.fit(rows)
    assert np.isfinite(model.validation_loss_curve_).all()
    assert sorted(model.loss_curves_) == ["contraction", "reconstruction"]
    assert np.isfinite(model.transform(rows)).all()


def test_the_penalty_contracts(rows):
    plain, contracted = (
        AutoencoderTransformer(2, objective=Contractive(weight), max_iter=30, random_state=0).fit(rows)
        for weight in (0.0, 1.0)
    )
    assert contracted.loss_curves_["contraction"][-1] < 0.5 * plain.loss_curves_["contraction"][-1]
