"""What AutoencoderTransformer promises beyond the contracts: methods, names, scores, agreement with PCA."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Masking
from sk_autoencoder.losses import LOSSES
from sk_autoencoder.networks import Dense
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.scaling import SCALINGS


@pytest.fixture
def fitted(rows):
    return AutoencoderTransformer(2, max_iter=5, random_state=0).fit(rows)


def test_methods_agree(fitted, rows):
    codes = fitted.transform(rows)
    rebuilt = fitted.inverse_transform(codes)
    assert codes.shape == (120, 2)
    assert rebuilt.shape == rows.shape
    np.testing.assert_allclose(fitted.reconstruct(rows), rebuilt, rtol=1e-5, atol=1e-4)
    errors = ((rows - fitted.reconstruct(rows)) ** 2).mean(axis=1)
    np.testing.assert_allclose(fitted.reconstruction_error(rows), errors, rtol=1e-12)


class TestScore:
    """The mean over features of 1 - mean squared error / training variance."""

    def test_value(self, fitted, rows):
        other = rows[::2] + 0.1
        explained = 1 - ((other - fitted.reconstruct(other)) ** 2).mean(axis=0) / rows.var(axis=0)
        assert explained.min() > -1
        assert fitted.score(other) == pytest.approx(explained.mean())
        assert fitted.score(other, y=np.arange(len(other))) == fitted.score(other)

    def test_one_sample(self, fitted, rows):
        explained = 1 - (rows[:1] - fitted.reconstruct(rows[:1])) ** 2 / rows.var(axis=0)
        assert fitted.score(rows[:1]) == pytest.approx(np.maximum(explained, -1).mean())

    def test_units_do_not_matter(self, rows):
        units = np.array([1, 1e9, 1e-9, 1e3, 7])
        scores = [AutoencoderTransformer(2, max_iter=5, random_state=0).fit(X).score(X) for X in (rows, rows * units)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)

    def test_one_feature_cannot_decide(self, rows):
        X = np.c_[rows, np.zeros(120)]
        X[0, 5] = 1e-3
        model = AutoencoderTransformer(2, max_iter=5, random_state=0).fit(X)
        wild = X.copy()
        wild[:, 5] = 1e6
        explained = 1 - ((wild - model.reconstruct(wild)) ** 2).mean(axis=0) / X.var(axis=0)
        assert explained[5] < -1e9
        assert model.score(wild) == pytest.approx((np.maximum(explained[:5], -1).sum() - 1) / 6)

    def test_constant_features_are_left_out(self, rows):
        X = np.c_[rows, np.full(120, 0.1)]
        model = AutoencoderTransformer(2, max_iter=5, random_state=0).fit(X)
        explained = 1 - ((rows - model.reconstruct(X)[:, :5]) ** 2).mean(axis=0) / rows.var(axis=0)
        assert model.score(X) == pytest.approx(explained.mean())
        assert model.score(np.c_[rows, np.full(120, 0.2)]) == pytest.approx(model.score(X), abs=0.1)


def test_standardized_errors_make_up_the_score(rows):
    X = np.c_[rows, np.full(120, 0.1)]
    model = AutoencoderTransformer(2, max_iter=5, random_state=0).fit(X)
    errors = model.reconstruction_error(X, standardize=True)
    expected = ((rows - model.reconstruct(X)[:, :5]) ** 2 / rows.var(axis=0)).mean(axis=1)
    np.testing.assert_allclose(errors, expected)
    assert model.score(X) == pytest.approx(1 - errors.mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_score_means_the_same_under_every_loss(loss, rows):
    model = AutoencoderTransformer(2, loss=loss, max_iter=200, random_state=0).fit(rows)
    assert 0 < model.score(rows) < 1 - 1e-4
    assert model.score(np.tile(rows.mean(axis=0), (4, 1))) < 1


def test_nothing_to_explain():
    model = AutoencoderTransformer(1, max_iter=2).fit(np.full((10, 3), 4.0))
    assert model.score(np.full((2, 3), 4.0)) == 0
    assert model.reconstruction_error(np.full((2, 3), 9.0), standardize=True).tolist() == [0, 0]


def test_fit_transform(rows):
    model = AutoencoderTransformer(2, max_iter=2, random_state=0)
    np.testing.assert_array_equal(clone(model).fit_transform(rows), clone(model).fit(rows).transform(rows))
    labelled = clone(model).fit_transform(rows, np.arange(120), X_val=rows[:10])
    np.testing.assert_array_equal(labelled, clone(model).fit(rows, X_val=rows[:10]).transform(rows))


@pytest.mark.parametrize(
    ("n_features", "n_components", "hidden"),
    [
        (1, 1, (128, 64, 32)),
        (5, 3, (128, 64, 32)),
        (64, 8, (128, 64, 32)),
        (200, 15, (200, 100, 50)),
        (1000, 32, (512, 256, 128)),
    ],
)
def test_auto_sizes(n_features, n_components, hidden):
    model = AutoencoderTransformer(max_iter=1).fit(np.random.default_rng(0).normal(size=(10, n_features)))
    assert model.n_components_ == n_components
    assert model.net_.module_.shape.hidden_layer_sizes == hidden


@pytest.mark.parametrize("n_rows", [1, 50, 1000])
def test_auto_epochs_hold_a_budget_of_steps(n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 2))
    model = AutoencoderTransformer(1, hidden_layer_sizes=(), scaling="standard").fit(X)
    assert model.n_iter_ * -(-n_rows // 128) == pytest.approx(3000, rel=0.01)


@pytest.mark.parametrize("sizes", [(), 8, (8,), [8, 4], np.array([8, 4]), (3, 5, 7, 9)])
def test_hidden_layer_sizes(sizes, rows):
    model = AutoencoderTransformer(2, hidden_layer_sizes=sizes, max_iter=1).fit(rows)
    widths = tuple(np.atleast_1d(np.array(sizes, dtype=int)).tolist())
    assert [w.shape[2] for w in model.net_.module_.encoder_weights] == [*widths, 2]
    assert [w.shape[2] for w in model.net_.module_.decoder_weights] == [*reversed(widths), 5]


def test_feature_names_out(rows):
    frame = pd.DataFrame(rows, columns=list("abcde"))
    model = AutoencoderTransformer(2, max_iter=1).fit(frame)
    assert model.feature_names_in_.tolist() == list("abcde")
    assert model.get_feature_names_out().tolist() == ["autoencodertransformer0", "autoencodertransformer1"]


@pytest.mark.parametrize("method", ["fit_transform", "transform"])
def test_pandas_output(method, rows):
    frame = pd.DataFrame(rows, columns=list("abcde"), index=np.arange(120) + 7)
    model = AutoencoderTransformer(2, max_iter=1, random_state=0).fit(frame)
    plain = getattr(model, method)(frame)
    found = getattr(model.set_output(transform="pandas"), method)(frame)
    assert isinstance(found, pd.DataFrame)
    assert found.columns.tolist() == ["autoencodertransformer0", "autoencodertransformer1"]
    assert found.index.equals(frame.index)
    np.testing.assert_array_equal(found, plain)
    np.testing.assert_array_equal(model.inverse_transform(found), model.inverse_transform(plain))


def test_polars_output(rows):
    frame = pl.DataFrame(rows, schema=list("abcde"))
    model = AutoencoderTransformer(2, max_iter=1, random_state=0).fit(frame)
    plain = model.transform(frame)
    found = model.set_output(transform="polars").transform(frame)
    assert isinstance(found, pl.DataFrame)
    assert found.columns == ["autoencodertransformer0", "autoencodertransformer1"]
    np.testing.assert_array_equal(found.to_numpy(), plain)
    np.testing.assert_array_equal(model.inverse_transform(found), model.inverse_transform(plain))


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "reconstruct", "reconstruction_error", "score"])
def test_methods_need_fit(method, rows):
    with pytest.raises(NotFittedError, match="This AutoencoderTransformer instance is not fitted yet"):
        getattr(AutoencoderTransformer(), method)(rows)


@pytest.mark.parametrize("attribute", ["to_torch", "get_feature_names_out"])
def test_other_methods_need_fit(attribute):
    with pytest.raises(NotFittedError, match="This AutoencoderTransformer instance is not fitted yet"):
        getattr(AutoencoderTransformer(), attribute)()


class TestAgreementWithPCA:
    """A linear autoencoder under squared error finds PCA's subspace (Baldi and Hornik, 1989)."""

    @pytest.mark.parametrize("network", ["dense", Dense(tied_weights=True)], ids=["dense", "tied"])
    def test_wine(self, network):
        X = load_wine().data
        scaled = StandardScaler().fit_transform(X)
        pca = PCA(2).fit(scaled)
        model = AutoencoderTransformer(
            2,
            hidden_layer_sizes=(),
            network=network,
            corruption=None,
            activation="identity",
            learning_rate="cosine",
            learning_rate_init=0.01,
            max_iter=800,
            precision="float64",
            random_state=0,
        ).fit(X)
        missed = (scaled - pca.inverse_transform(pca.transform(scaled))).var()
        assert missed <= ((scaled - self._scaled(model, X)) ** 2).mean() < missed * 1.001

        weights = model.net_.module_.encoder_weights[0][0].detach().numpy()
        cosines = np.linalg.svd(pca.components_ @ np.linalg.qr(weights)[0])[1]
        np.testing.assert_allclose(cosines, 1, atol=1e-3)

    def test_deep_identity_network_is_no_better(self):
        X = load_digits().data[:500]
        pca = PCA(4).fit(X)
        plain = {"activation": "identity", "scaling": None, "corruption": None, "learning_rate": "cosine"}
        model = AutoencoderTransformer(4, max_iter=400, random_state=0, **plain).fit(X - X.mean(axis=0))
        missed = ((X - pca.inverse_transform(pca.transform(X))) ** 2).mean()
        assert missed * 0.9999 <= model.reconstruction_error(X - X.mean(axis=0)).mean() < missed * 1.05

    @staticmethod
    def _scaled(model, X):
        scaler = StandardScaler().fit(X)
        return scaler.transform(model.reconstruct(X))


def test_nonlinear_code_beats_pca_on_digits():
    X = load_digits().data
    pca = PCA(2).fit(X)
    missed = ((X - pca.inverse_transform(pca.transform(X))) ** 2).mean()
    model = AutoencoderTransformer(2, scaling="minmax", learning_rate_init=0.005, max_iter=100, random_state=0).fit(X)
    assert model.reconstruction_error(X).mean() < missed - 0.2 * X.var(axis=0).mean()


class TestToTorch:
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_every_activation(self, activation, rows):
        self._assert_equal(AutoencoderTransformer(2, activation=activation), rows)

    @pytest.mark.parametrize("scaling", [*SCALINGS, None])
    def test_every_scaling(self, scaling, rows):
        self._assert_equal(AutoencoderTransformer(2, scaling=scaling), rows)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_every_loss(self, loss, rows):
        self._assert_equal(AutoencoderTransformer(2, loss=loss), rows)

    @pytest.mark.parametrize("network", [Dense(tied_weights=True), Dense(dropout=0.5)])
    @pytest.mark.parametrize("sizes", [(), (8,), (16, 8, 4)])
    def test_shapes(self, network, sizes, rows):
        self._assert_equal(AutoencoderTransformer(2, network=network, hidden_layer_sizes=sizes), rows)

    def test_modules_are_copies_of_plain_layers(self, rows):
        model = AutoencoderTransformer(2, max_iter=1, random_state=0).fit(rows)
        before = model.transform(rows)
        encoder, decoder = model.to_torch()
        assert not encoder.training
        assert not decoder.training
        assert {type(m).__module__.partition(".")[0] for m in encoder.modules()} == {"torch", "sk_autoencoder"}
        with torch.no_grad():
            for parameter in [*encoder.parameters(), *decoder.parameters()]:
                parameter.zero_()
        np.testing.assert_array_equal(model.transform(rows), before)

    def test_state_dict_holds_the_scaling(self, rows):
        first, second = (AutoencoderTransformer(2, max_iter=1, random_state=s).fit(rows * (s + 1)) for s in (0, 1))
        encoder, other = first.to_torch()[0], second.to_torch()[0]
        other.load_state_dict(encoder.state_dict())
        X = torch.tensor(rows)
        torch.testing.assert_close(other(X), encoder(X))

    @staticmethod
    def _assert_equal(model, rows):
        model.set_params(precision="float64", max_iter=3, random_state=0).fit(rows)
        encoder, decoder = model.to_torch()
        with torch.no_grad():
            codes = encoder(torch.tensor(rows))
            np.testing.assert_allclose(codes, model.transform(rows), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(decoder(codes), model.reconstruct(rows), rtol=1e-9, atol=1e-9)


class TestWideCodes:
    def test_warns_once_when_nothing_prevents_copying(self, rows):
        with pytest.warns(
            UserWarning, match="n_components=8 exceeds the 5 features, and nothing prevents the network"
        ) as w:
            model = AutoencoderTransformer(8, corruption=None, max_iter=1).fit(rows)
        assert len(w) == 1
        assert w[0].filename == __file__
        assert model.transform(rows).shape == (120, 8)

    @pytest.mark.parametrize(
        "choice", [{}, {"corruption": Masking()}, {"corruption": None, "network": Dense(dropout=0.1)}]
    )
    def test_no_warning_when_something_does(self, choice, rows):
        assert AutoencoderTransformer(8, max_iter=1, **choice).fit(rows).n_components_ == 8
