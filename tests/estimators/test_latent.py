"""What a transformer does with the space of its codes: posteriors, likelihoods, new rows and ways between rows."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.metrics import pairwise_distances_argmin_min

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.estimators._latent import draw_like
from sk_autoencoder.networks import Dense
from sk_autoencoder.objectives import Reconstruction, Variational


def plane(n_rows, seed=0):
    """Rows near a plane in six dimensions, of equal variances."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(1).normal(size=(2, 6))
    X = rng.normal(size=(n_rows, 2)) @ mix + 0.3 * rng.normal(size=(n_rows, 6))
    return X / np.sqrt((mix**2).sum(axis=0) + 0.09)


@pytest.fixture(scope="module")
def linear():
    """A linear variational autoencoder, which is probabilistic PCA."""
    plain = {"hidden_layer_sizes": (), "corruption": None, "scaling": None}
    settings = {"alpha": 0.0, "learning_rate_init": 0.02, "max_iter": 80, "random_state": 0}
    return AutoencoderTransformer(2, objective="variational", **plain, **settings).fit(plane(1000))


@pytest.fixture(scope="module")
def plain():
    settings = {"hidden_layer_sizes": (16,), "corruption": None, "max_iter": 5, "random_state": 0}
    return AutoencoderTransformer(2, **settings).fit(plane(200))


class TestPosterior:
    def test_mean_is_the_code(self, linear):
        mean, std = linear.posterior(plane(50, 1))
        np.testing.assert_array_equal(mean, linear.transform(plane(50, 1)))
        assert mean.shape == std.shape == (50, 2)
        assert (std > 0).all()
        assert linear.posterior(plane(5).astype(np.float32))[1].dtype == np.float32

    def test_looks_like_the_prior_on_average(self, linear):
        mean, std = linear.posterior(plane(1000))
        np.testing.assert_allclose(mean.mean(axis=0), 0, atol=0.1)
        np.testing.assert_allclose(np.sqrt(mean.var(axis=0) + (std**2).mean(axis=0)), 1, atol=0.1)

    def test_active_components_are_those_whose_means_vary(self):
        X = load_wine().data
        model = AutoencoderTransformer(8, objective="variational", max_iter=500, random_state=0).fit(X)
        variances = model.posterior(X)[0].var(axis=0)
        assert 2 <= len(model.active_components_) < 8
        assert set(model.active_components_) == set(np.flatnonzero(variances > 0.01))
        assert (np.diff(variances[model.active_components_]) < 0).all()
        assert pickle.loads(pickle.dumps(model)).active_components_.tolist() == model.active_components_.tolist()
        model.partial_fit(X[:20])
        assert set(model.active_components_) == set(np.flatnonzero(model.transform(X[:20]).var(axis=0) > 0.01))

    def test_only_a_variational_objective_has_one(self, plain):
        with pytest.raises(AttributeError) as caught:
            plain.posterior(plane(3))
        assert str(caught.value) == (
            "This 'AutoencoderTransformer' has no attribute 'posterior': objective=Reconstruction() has no posterior; "
            "use objective='variational'."
        )
        assert not hasattr(plain, "score_samples")
        assert hasattr(AutoencoderTransformer(objective=Variational()), "score_samples")
        assert not hasattr(copy.copy(plain).set_params(objective="variational"), "score_samples")  # fitted without


class TestLikelihood:
    def test_a_linear_network_is_probabilistic_pca(self, linear):
        X = plane(500, 1)
        expected = PCA(2).fit(plane(1000)).score_samples(X)
        found = linear.score_samples(X)
        assert found.mean() == pytest.approx(expected.mean(), abs=0.02)
        assert np.corrcoef(found, expected)[0, 1] > 0.98
        assert found.dtype == linear.score_samples(X.astype(np.float32)).dtype == np.float64

    def test_is_above_the_bound(self, linear):
        bound = -6 * linear.loss_curve_[-1]
        assert bound - 0.1 < linear.score_samples(plane(1000)).mean() < bound + 0.5  # the loss is noisy

    def test_is_a_density_in_the_units_of_the_rows(self):
        X = plane(300)
        settings = {"objective": "variational", "max_iter": 3, "random_state": 0}
        first, second = (AutoencoderTransformer(2, **settings).fit(unit * X).score_samples(unit * X) for unit in (1, 8))
        np.testing.assert_allclose(second, first - 6 * np.log(8), rtol=1e-4)

    def test_of_zeros_and_ones_is_a_probability(self):
        rng = np.random.default_rng(0)
        X = (rng.random((400, 3)) < [0.5, 0.9, 0.2]).astype(float)
        settings = {"loss": "binary_cross_entropy", "max_iter": 30, "random_state": 0}
        model = AutoencoderTransformer(1, objective="variational", **settings).fit(X)
        corners = np.array(np.meshgrid(*[[0.0, 1.0]] * 3)).reshape(3, -1).T
        assert np.exp(model.score_samples(corners)).sum() == pytest.approx(1.0, abs=0.05)


class TestSample:
    @pytest.mark.parametrize("name", ["plain", "linear"])
    def test_draws_rows_like_those_it_learnt_from(self, name, request):
        model = request.getfixturevalue(name)
        rows, learnt = model.sample(2000, random_state=0), model.reconstruct(plane(1000))
        assert rows.shape == (2000, 6)
        np.testing.assert_allclose(rows.mean(axis=0), learnt.mean(axis=0), atol=0.15)
        np.testing.assert_allclose(rows.std(axis=0), learnt.std(axis=0), rtol=0.3)

    @pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
    @pytest.mark.parametrize("objective", ["variational", "reconstruction"])
    def test_noise_brings_the_standard_deviations_back(self, objective, loss):
        X = load_wine().data
        model = AutoencoderTransformer(2, objective=objective, loss=loss, max_iter=100, random_state=0).fit(X)
        means, drawn = (model.sample(5000, random_state=0, noise=noise) for noise in (False, True))
        assert (means.std(axis=0) / X.std(axis=0)).mean() < 0.93
        np.testing.assert_allclose(drawn.std(axis=0) / X.std(axis=0), 1, atol=0.05)
        noise = (drawn - means) / X.std(axis=0)
        np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.05)
        assert abs(np.corrcoef(noise.T) - np.eye(13)).max() < 0.1
        kurtosis = (noise**4).mean(axis=0) / (noise**2).mean(axis=0) ** 2
        np.testing.assert_allclose(kurtosis, 6 if loss == "absolute_error" else 3, rtol=0.3)

    def test_noise_of_zeros_and_ones_in_the_units_of_a_column(self):
        X = (np.random.default_rng(0).random((400, 3)) < [0.5, 0.9, 0.2]) * [1.0, 7.0, 2.0] + [0, 10, -1]
        settings = {"loss": "binary_cross_entropy", "max_iter": 30, "random_state": 0}
        drawn = AutoencoderTransformer(1, objective="variational", **settings).fit(X).sample(4000, 0, noise=True)
        for column, values in zip(drawn.T, ([0, 1], [10, 17], [-1, 1]), strict=True):
            assert np.unique(column).tolist() == values
        np.testing.assert_allclose(drawn.std(axis=0), X.std(axis=0), rtol=0.1)

    def test_noise_of_a_column_has_one_standard_deviation_in_all_calls(self, linear):
        found = []
        for seed in (0, 1):
            source = np.random.RandomState(seed)
            source.normal(size=(3, 2))  # the codes
            means, drawn = (linear.sample(3, random_state=seed, noise=noise) for noise in (False, True))
            found.append((drawn - means) / source.normal(size=(3, 6)))
        np.testing.assert_allclose(np.vstack(found), np.tile(found[0][0], (6, 1)), rtol=1e-6)

    def test_noise_is_repeatable_and_leaves_constant_columns(self, plain):
        drawn = plain.sample(7, random_state=3, noise=True)
        np.testing.assert_array_equal(plain.sample(7, random_state=3, noise=True), drawn)
        assert not np.array_equal(drawn, plain.sample(7, random_state=4, noise=True))
        X = np.c_[plane(50), np.full(50, 4.0)]
        model = AutoencoderTransformer(2, max_iter=2, random_state=0).fit(X)
        means, drawn = (model.sample(9, random_state=0, noise=noise)[:, 6] for noise in (False, True))
        np.testing.assert_allclose(drawn, means, rtol=1e-12)

    @pytest.mark.parametrize("name", ["plain", "linear"])
    def test_is_repeatable_and_changes_nothing(self, name, request):
        model = request.getfixturevalue(name)
        before = pickle.dumps(model)
        first = model.sample(7, random_state=3)
        np.testing.assert_array_equal(pickle.loads(before).sample(7, random_state=3), first)
        assert pickle.dumps(model) == before
        assert not np.array_equal(model.sample(7, random_state=4), first)
        source = np.random.RandomState(3)
        assert not np.array_equal(model.sample(7, random_state=source), model.sample(7, random_state=source))

    def test_after_partial_fit_and_of_a_single_row(self):
        model = AutoencoderTransformer(2, random_state=0).partial_fit(plane(64))
        model.partial_fit(plane(1))
        assert np.isfinite(model.sample(3, random_state=0)).all()

    def test_bad_number(self, plain):
        with pytest.raises(ValueError, match="n_samples == 0, must be >= 1"):
            plain.sample(0)
        with pytest.raises(NotFittedError):
            AutoencoderTransformer().sample()


class TestDrawLike:
    """What draws from a few samples' codes should have in common with new codes of the same kind."""

    @staticmethod
    def draw(codes, n_samples=2000):
        return draw_like(codes, n_samples, np.random.RandomState(0))

    def test_a_dense_core_is_found_in_a_wide_cluster(self):
        """Both have one centre, so that k-means, where the mixture begins, cannot tell them apart."""
        rng = np.random.default_rng(0)
        codes = rng.normal(size=(400, 20)) * np.where(rng.random(400) < 0.5, 1.0, 5.0)[:, None]
        in_core = np.linalg.norm(self.draw(codes), axis=1) < 9
        assert in_core.mean() == pytest.approx(0.5, abs=0.1)
        assert in_core[:200].mean() == pytest.approx(0.5, abs=0.15)  # draws are not sorted by component

    def test_codes_on_a_curve_stay_near_it(self):
        angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 400)
        radii = np.linalg.norm(self.draw(np.c_[np.cos(angles), np.sin(angles)]), axis=1)
        assert np.abs(radii - 1).mean() < 0.05

    def test_thin_directions_stay_thin(self):
        rng = np.random.default_rng(0)
        along, across = rng.normal(size=(2, 300)) * [[1.0], [0.03]]
        drawn = self.draw(np.c_[along, along + across])
        assert np.ptp(drawn, axis=1).std() == pytest.approx(np.abs(across).std(), rel=0.3)

    def test_few_codes_are_not_learnt_by_heart(self):
        codes, new = (
            np.random.default_rng(0).normal(size=(1030, 3))[:30],
            np.random.default_rng(1).normal(size=(1000, 3)),
        )
        near, expected = (pairwise_distances_argmin_min(rows, codes)[1] for rows in (self.draw(codes), new))
        assert np.median(near) > 0.75 * np.median(expected)

    def test_units_do_not_matter(self):
        codes = np.random.default_rng(0).normal(size=(200, 2)) ** 3
        units, offsets = np.array([1e-6, 1e3]), np.array([5.0, -70.0])
        np.testing.assert_allclose((self.draw(codes * units + offsets) - offsets) / units, self.draw(codes), atol=1e-3)

    def test_a_component_that_never_varies(self):
        codes = np.c_[np.random.default_rng(0).normal(size=100), np.full(100, 3.0)]
        np.testing.assert_allclose(self.draw(codes)[:, 1], 3.0, atol=0.1)


class TestInterpolate:
    def test_ends_are_reconstructions(self, plain):
        X = plane(2)
        way = plain.interpolate(X[0], X[1], 5)
        assert way.shape == (5, 6)
        np.testing.assert_allclose(way[[0, -1]], plain.reconstruct(X), atol=1e-6)
        codes = plain.transform(X)
        np.testing.assert_allclose(way[2], plain.inverse_transform(codes.mean(axis=0)[None])[0], atol=1e-6)

    def test_takes_rows_of_tables(self, plain):
        table = pd.DataFrame(plane(200), columns=list("abcdef"))
        model = clone(plain).fit(table)
        expected = plain.interpolate(plane(200)[0], plane(200)[1], 4)
        np.testing.assert_array_equal(model.interpolate(table.iloc[[0]], table.iloc[[1]], 4), expected)
        np.testing.assert_array_equal(model.interpolate(table.iloc[0], table.iloc[1], 4), expected)

    def test_bad_rows(self, plain):
        with pytest.raises(ValueError, match="X has 5 features, but AutoencoderTransformer is expecting 6"):
            plain.interpolate(np.zeros(5), np.zeros(6))
        with pytest.raises(NotFittedError):
            AutoencoderTransformer(2).interpolate(np.zeros(6), np.ones(6))
        with pytest.raises(ValueError, match="a and b must be single samples, but got 2 samples"):
            plain.interpolate(plane(2), plane(2))
        with pytest.raises(ValueError, match="n_steps == 1, must be >= 2"):
            plain.interpolate(np.zeros(6), np.ones(6), 1)


def uneven():
    """Rows of unequal variances and large offsets."""
    return plane(400) * [1, 2, 1, 3, 1, 0.5] + [0, 500, 0, -7, 1, 0]


class TestPrincipalAxes:
    def test_are_those_of_pca(self):
        centred = uneven() - uneven().mean(axis=0)
        settings = {"activation": "identity", "alpha": 0.0, "learning_rate": "cosine", "random_state": 0}
        network = {"hidden_layer_sizes": (8,), "scaling": None, "batch_size": 400, "learning_rate_init": 0.05}
        model = AutoencoderTransformer(2, corruption=None, max_iter=400, **settings, **network).fit(centred)
        pca = PCA(2).fit(centred)
        np.testing.assert_allclose(model.components_, pca.components_, atol=1e-3)
        np.testing.assert_allclose(model.explained_variance_ratio_, pca.explained_variance_ratio_, rtol=1e-4)
        np.testing.assert_allclose(model.transform(centred), pca.transform(centred), atol=0.02)
        np.testing.assert_allclose(
            model.inverse_transform(model.transform(centred)), pca.inverse_transform(pca.transform(centred)), atol=0.02
        )
        assert model.reconstruction_error(centred).mean() == pytest.approx(
            (pca.noise_variance_ * 4 / 6) * 399 / 400, rel=1e-3
        )

    def test_code_is_a_coordinate_along_them_in_any_scaling(self):
        rows = uneven()
        for scaling in ("standard", "minmax"):
            model = AutoencoderTransformer(2, hidden_layer_sizes=(), scaling=scaling, max_iter=5, random_state=0)
            codes = model.fit_transform(rows)
            np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(2), atol=1e-6)
            np.testing.assert_allclose(np.cov(codes.T)[0, 1], 0, atol=1e-4)
            learnt = model.reconstruct(rows)
            np.testing.assert_allclose(codes @ model.components_ + learnt.mean(axis=0), learnt, atol=1e-4)
            np.testing.assert_allclose(model.inverse_transform(codes), learnt, atol=1e-4)
            share = codes.var(axis=0) / rows.var(axis=0).sum()
            np.testing.assert_allclose(model.explained_variance_ratio_, share, rtol=1e-4)
            encoder, decoder = model.to_torch()
            found = encoder(torch.tensor(rows))
            np.testing.assert_allclose(found.detach(), codes, atol=1e-4)
            np.testing.assert_allclose(decoder(found).detach(), learnt, atol=1e-3)

    def test_only_where_the_code_may_be_turned(self):
        rows = uneven()
        straight = {"hidden_layer_sizes": (), "max_iter": 1, "random_state": 0}
        for bent in (
            {"hidden_layer_sizes": (3,)},
            {"objective": "variational"},
            {"objective": Reconstruction(sparsity="l1")},
            {"network": Dense(out_activation="tanh")},
            {"n_components": 7, "corruption": "masking"},
        ):
            assert not hasattr(
                AutoencoderTransformer(**({"n_components": 2} | straight | bent)).fit(rows), "components_"
            )
        model = AutoencoderTransformer(2, **straight).fit(rows)
        assert model.components_.shape == (2, 6)
        assert not hasattr(model.partial_fit(rows), "components_")
        assert not hasattr(model.set_params(objective="variational").fit(rows), "components_")

    def test_code_that_never_varies(self):
        model = AutoencoderTransformer(2, hidden_layer_sizes=(), max_iter=1, random_state=0).fit(np.ones((20, 4)))
        np.testing.assert_allclose(model.inverse_transform(model.transform(np.ones((3, 4)))), 1, atol=0.1)
        assert model.explained_variance_ratio_.tolist() == [0, 0]
