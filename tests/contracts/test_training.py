"""What training owes to every variant: gradients everywhere, a falling loss, and nothing left behind outside."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sk_autoencoder.solvers import SGD

from .variants import ESTIMATORS, VARIANTS, assert_equal, outputs, without_validation

each_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


@each_variant
def test_gradient_reaches_every_weight(variant, rows):
    model = clone(variant).set_params(max_iter=1, **without_validation(variant)).fit(rows)
    for name, parameter in model.net_.module_.named_parameters():
        touched = parameter.grad.flatten(1).abs().amax(dim=1)  # (n_members,)
        assert (touched > 0).all(), name


@each_variant
def test_loss_falls(variant, rows):
    epochs = {"max_iter": 60, "batch_size": 32, "learning_rate_init": 0.02} | without_validation(variant)
    if variant.solver == "sgd" or isinstance(variant.solver, SGD):  # learns slowly from the mean over all cells
        epochs["learning_rate_init"] = 0.1
    model = clone(variant).set_params(**epochs).fit(rows)
    assert np.mean(model.loss_curve_[-5:]) < 0.95 * model.loss_curve_[0]
    assert len(model.loss_curve_) == model.n_iter_
    assert model.n_iter_ + sum(map(len, model.stage_loss_curves_)) == 60
    assert model.best_loss_ == min(model.loss_curve_)


@each_variant
def test_results_are_finite_and_have_one_row_each(variant, rows):
    for way, result in outputs(clone(variant).fit(rows), rows).items():
        assert len(result) == len(rows), way
        assert np.isfinite(result).all(), way


@each_variant
def test_rows_stay_as_they_were(variant, rows):
    before = rows.copy()
    model = clone(variant).fit(rows)
    outputs(model, rows)
    np.testing.assert_array_equal(rows, before)


@each_variant
def test_global_state_stays_as_it_was(variant, rows):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    settings = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled())
    deterministic = torch.are_deterministic_algorithms_enabled()
    model = clone(variant).fit(rows)
    outputs(model, rows)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()) == settings
    assert torch.are_deterministic_algorithms_enabled() == deterministic


@each_estimator
def test_no_random_state_draws_one_number_from_numpys_global_generator(estimator, rows):
    saved = np.random.get_state()
    try:
        np.random.seed(3)
        first = outputs(estimator(max_iter=2).fit(rows), rows)
        drawn = np.random.get_state()[2]
        np.random.seed(3)
        np.random.randint(np.iinfo(np.int32).max)
        assert np.random.get_state()[2] == drawn
        np.random.seed(3)
        second = outputs(estimator(max_iter=2).fit(rows), rows)
    finally:
        np.random.set_state(saved)
    for way, result in first.items():
        np.testing.assert_array_equal(result, second[way])


@each_estimator
def test_random_state_instance_moves_on(estimator, rows):
    source = np.random.RandomState(0)
    curves = [estimator(max_iter=2, random_state=source).fit(rows).loss_curve_ for _ in range(2)]
    assert curves[0] != curves[1]
    again = np.random.RandomState(0)
    assert estimator(max_iter=2, random_state=again).fit(rows).loss_curve_ == curves[0]


@each_estimator
def test_parameters_stay_as_given(estimator, rows):
    model = estimator(max_iter=2, random_state=0)
    before = dict(model.get_params())
    model.fit(rows)
    after = model.get_params()
    assert all(after[name] is value for name, value in before.items())


@each_variant
def test_parts_of_the_user_are_not_written_to(variant, rows):
    model = clone(variant)
    before = repr(model.get_params())
    model.fit(rows)
    assert repr(model.get_params()) == before


@each_estimator
def test_warm_start_refuses_rows_of_another_width(estimator, rows):
    model = estimator(max_iter=1, warm_start=True, random_state=0).fit(rows)
    before = outputs(model, rows)
    with pytest.raises(ValueError, match=f"X has 4 features, but {estimator.__name__} is expecting 5 features"):
        model.fit(rows[:, :4])
    assert_equal(outputs(model, rows), before)


@each_estimator
class TestBfloat16:
    def test_falls_back_with_a_warning(self, estimator, rows, monkeypatch):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        model = estimator(max_iter=2, random_state=0, device="cpu")
        expected = outputs(clone(model).fit(rows), rows)
        with pytest.warns(UserWarning, match="precision='bfloat16' needs instructions that this cpu device lacks") as w:
            found = outputs(model.set_params(precision="bfloat16").fit(rows), rows)
        assert [warning.filename for warning in w] == [__file__]
        assert_equal(found, expected)

    def test_trains_in_mixed_precision(self, estimator, rows, monkeypatch):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
        parameters = {"max_iter": 60, "batch_size": 32, "learning_rate_init": 0.002, "random_state": 0, "device": "cpu"}
        exact = estimator(**parameters).fit(rows)
        mixed = estimator(precision="bfloat16", **parameters).fit(rows)
        assert {parameter.dtype for parameter in mixed.net_.module_.parameters()} == {torch.float32}
        assert mixed.loss_curve_ != exact.loss_curve_
        assert mixed.loss_curve_[-1] < 0.5 * mixed.loss_curve_[0]
        assert mixed.loss_curve_[-1] == pytest.approx(exact.loss_curve_[-1], rel=0.5)
