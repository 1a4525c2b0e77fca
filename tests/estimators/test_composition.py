"""AutoencoderTransformer among other estimators: pipelines, searches over parts, routing, clones."""

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_digits, load_wine
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  the import switches it on
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian, Masking, Swap
from sk_autoencoder.losses import Huber
from sk_autoencoder.networks import Dense
from sk_autoencoder.objectives import Reconstruction
from sk_autoencoder.scaling import MinMax, Robust


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True)


def quick(**parameters):
    return AutoencoderTransformer(
        **{"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, **parameters}
    )


class TestPipelines:
    def test_in_front_of_a_classifier(self, wine):
        X, y = wine
        code = quick(n_components=5, hidden_layer_sizes=(), max_iter=500, learning_rate_init=0.01)
        assert cross_val_score(make_pipeline(StandardScaler(), code, LogisticRegression()), X, y, cv=3).mean() > 0.85
        model = make_pipeline(StandardScaler(), quick(), LogisticRegression())
        assert cross_val_predict(model, X, y, cv=3).shape == y.shape

    def test_in_front_of_clusters(self, wine):
        labels = make_pipeline(quick(max_iter=50), KMeans(3, n_init=3, random_state=0)).fit_predict(wine[0])
        assert set(labels) == {0, 1, 2}

    def test_pipeline_goes_back(self, wine):
        X, _ = wine
        model = make_pipeline(StandardScaler(), quick()).fit(X)
        np.testing.assert_allclose(
            model.inverse_transform(model.transform(X)),
            model[0].inverse_transform(model[1].inverse_transform(model[1].transform(model[0].transform(X)))),
        )

    def test_score_of_a_pipeline_is_ours(self, wine):
        X, _ = wine
        model = make_pipeline(StandardScaler(), quick()).fit(X)
        assert model.score(X) == model[1].score(model[0].transform(X))

    def test_cached(self, wine, tmp_path):
        X, y = wine
        steps = [("code", quick()), ("classify", LogisticRegression(max_iter=1000))]
        cached = Pipeline(steps, memory=str(tmp_path)).fit(X, y)
        np.testing.assert_array_equal(cached.predict(X), Pipeline(steps, memory=str(tmp_path)).fit(X, y).predict(X))

    def test_feature_names(self, wine):
        model = make_pipeline(StandardScaler(), quick()).fit(wine[0])
        assert model.get_feature_names_out().tolist() == [f"autoencodertransformer{i}" for i in range(3)]

    def test_column_transformer(self):
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(rng.normal(size=(60, 4)), columns=list("abcd")).assign(kind=rng.choice(["x", "y"], 60))
        columns = ColumnTransformer([("code", quick(), list("abcd")), ("kind", OneHotEncoder(), ["kind"])])
        assert columns.fit_transform(frame).shape == (60, 5)
        assert columns.get_feature_names_out()[0] == "code__autoencodertransformer0"
        model = make_pipeline(columns, LogisticRegression()).fit(frame, rng.integers(0, 2, 60))
        assert model.predict(frame).shape == (60,)

    def test_feature_union(self, wine):
        X, _ = wine
        union = FeatureUnion([("code", quick()), ("scaled", StandardScaler())]).fit(X)
        assert union.transform(X).shape == (178, 3 + 13)
        frame = union.set_output(transform="pandas").transform(X)
        assert frame.columns[0] == "code__autoencodertransformer0"

    def test_frozen(self, wine):
        X, y = wine
        fitted = quick().fit(X)
        model = make_pipeline(FrozenEstimator(fitted), KNeighborsClassifier()).fit(X[:50], y[:50])
        assert model[0].estimator is fitted
        np.testing.assert_array_equal(model[0].transform(X), fitted.transform(X))
        np.testing.assert_array_equal(clone(model)[0].transform(X), fitted.transform(X))

    def test_inside_other_meta_estimators(self, wine):
        X, y = wine
        member = make_pipeline(quick(), LogisticRegression(max_iter=1000))
        assert BaggingClassifier(member, n_estimators=2, random_state=0).fit(X, y).predict(X).shape == y.shape
        stack = StackingClassifier([("ours", member), ("knn", KNeighborsClassifier())], cv=2).fit(X, y)
        assert stack.predict(X).shape == y.shape
        target = TransformedTargetRegressor(
            Ridge(), transformer=AutoencoderTransformer(1, max_iter=2), check_inverse=False
        )
        assert target.fit(X, y.astype(float)).predict(X).shape == y.shape
        selected = make_pipeline(SelectKBest(k=5), quick(), SelectFromModel(LogisticRegression())).fit(X, y)
        assert len(selected.transform(X)) == len(X)


GRID = [
    {"corruption": [None, "swap", Masking(0.3), Gaussian(0.2)]},
    {"network": ["dense", Dense(tied_weights=True)], "activation": ["relu", "tanh"]},
    {"loss": ["squared_error", Huber(0.5)], "scaling": ["robust", MinMax((-1, 1))]},
    {"network": [Dense()], "network__dropout": [0.0, 0.5], "hidden_layer_sizes": [(8,), (16, 8)]},
]


def _threads(model, X, y=None):
    return torch.get_num_threads()


class TestSearches:
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_grid_over_parts(self, n_jobs, wine):
        search = GridSearchCV(quick(), GRID, cv=2, n_jobs=n_jobs, error_score="raise").fit(wine[0])
        scores = search.cv_results_["mean_test_score"]
        assert len(scores) == 4 + 4 + 4 + 4
        assert np.isfinite(scores).all()
        assert len(set(scores.round(12))) > 10
        assert search.transform(wine[0]).shape == (178, 3)

    def test_results_do_not_depend_on_n_jobs(self, wine):
        grid = {"corruption": ["swap", Masking(0.3)], "n_components": [1, 4]}
        scores = [
            GridSearchCV(quick(), grid, cv=2, n_jobs=n_jobs).fit(wine[0]).cv_results_["mean_test_score"]
            for n_jobs in (1, 2)
        ]
        np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)

    def test_workers_share_the_processor(self, wine):
        search = GridSearchCV(quick(), {"n_components": [1, 2]}, cv=2, n_jobs=2, scoring=_threads)
        before = torch.get_num_threads()
        torch.set_num_threads(before + 2)
        try:
            assert search.fit(wine[0]).cv_results_["mean_test_score"].max() <= max(1, joblib.cpu_count() // 2)
            assert torch.get_num_threads() == before + 2  # the refit in this process left them alone
        finally:
            torch.set_num_threads(before)

    def test_grid_over_nested_parameters_of_a_step(self, wine):
        X, y = wine
        model = Pipeline([("code", quick(corruption=Swap())), ("classify", LogisticRegression(max_iter=2000))])
        grid = {"code__corruption__rate": [0.0, 0.5], "code__n_components": [2, 5], "classify__C": [0.1, 1]}
        search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
        assert set(search.best_params_) == set(grid)
        assert search.best_estimator_["code"].n_components_ == search.best_params_["code__n_components"]

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_randomized(self, n_jobs, wine):
        choices = {"objective": [Reconstruction()], "scaling": ["standard", Robust()], "alpha": [0.0, 0.1, 0.2]}
        search = RandomizedSearchCV(quick(), choices, n_iter=3, cv=2, n_jobs=n_jobs, random_state=0)
        assert np.isfinite(search.fit(wine[0]).cv_results_["mean_test_score"]).all()

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_halving_over_epochs(self, n_jobs, wine):
        search = HalvingGridSearchCV(
            quick(),
            {"corruption": [None, "gaussian", Masking(0.2), "swap"]},
            resource="max_iter",
            min_resources=2,
            max_resources=8,
            factor=2,
            cv=2,
            n_jobs=n_jobs,
            random_state=0,
        ).fit(wine[0])
        assert search.n_resources_ == [2, 4, 8]
        assert search.best_estimator_.n_iter_ == 8

    def test_the_better_setting_wins(self):
        X = load_digits().data[:400]
        search = GridSearchCV(
            quick(hidden_layer_sizes=(), learning_rate_init=0.01, max_iter=200), {"n_components": [1, 10]}, cv=2
        ).fit(X)
        assert search.best_params_ == {"n_components": 10}


class TestNestedParameters:
    def test_of_an_object(self):
        model = AutoencoderTransformer(network=Dense())
        assert model.set_params(network__dropout=0.3).network.dropout == 0.3
        assert model.get_params()["network__dropout"] == 0.3

    def test_object_and_its_parameter_at_once(self):
        model = AutoencoderTransformer().set_params(corruption__rate=0.7, corruption=Masking())
        assert model.corruption.rate == 0.7

    @pytest.mark.parametrize(
        ("name", "fix"),
        [
            ("network__dropout", r"network=<Class>\(dropout=...\)"),
            ("corruption__rate", r"corruption=<Class>\(rate=...\)"),
            ("objective__beta", r"objective=<Class>\(beta=...\)"),
            ("scaling__feature_range", r"scaling=<Class>\(feature_range=...\)"),
        ],
    )
    def test_of_a_name(self, name, fix):
        axis = name.partition("__")[0]
        with pytest.raises(ValueError, match=rf"{name}=1 needs an object as '{axis}', but {axis}=.* write {fix}"):
            AutoencoderTransformer().set_params(**{name: 1})

    def test_of_a_name_in_a_search(self, wine):
        search = GridSearchCV(quick(), {"network__dropout": [0.1]}, cv=2)
        with pytest.raises(ValueError, match="needs an object as 'network', but network='dense'"):
            search.fit(wine[0])

    def test_unknown(self):
        with pytest.raises(ValueError, match="Invalid parameter 'drop' for estimator Dense"):
            AutoencoderTransformer(network=Dense()).set_params(network__drop=1)
        with pytest.raises(ValueError, match="Invalid parameter 'depth' for estimator AutoencoderTransformer"):
            AutoencoderTransformer().set_params(depth=3)


class TestClone:
    def test_parts_are_cloned(self):
        model = AutoencoderTransformer(network=Dense(dropout=0.2), corruption=Swap(0.4), callbacks=[])
        copy = clone(model)
        assert copy.network is not model.network
        assert repr(copy) == repr(model)

    def test_clone_of_a_fitted_model_is_unfitted(self, wine):
        assert not clone(quick().fit(wine[0])).__sklearn_is_fitted__()

    def test_repr(self):
        model = AutoencoderTransformer(8, network=Dense(dropout=0.1), corruption="masking")
        assert repr(model) == (
            "AutoencoderTransformer(corruption='masking', n_components=8,\n                       "
            "network=Dense(dropout=0.1))"
        )
        assert "Dense" in model._repr_html_()


class TestRouting:
    @pytest.fixture(autouse=True)
    def _enabled(self):
        with sklearn.config_context(enable_metadata_routing=True):
            yield

    def test_does_not_get_in_the_way(self, wine):
        X, y = wine
        weighted = (
            LogisticRegression(max_iter=1000).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        )
        scaler, code = (step.set_fit_request(sample_weight=False) for step in (StandardScaler(), quick()))
        model = make_pipeline(scaler, code, weighted)
        assert model.fit(X, y, sample_weight=np.ones(len(X))).predict(X).shape == y.shape
        # A scorer that asks for weights by itself: a Pipeline's own score is not routed by scikit-learn 1.6.
        accuracy = get_scorer("accuracy").set_score_request(sample_weight=True)
        grid = {"autoencodertransformer__n_components": [2, 3]}
        search = GridSearchCV(model, grid, scoring=accuracy, cv=2, error_score="raise")
        search.fit(X, y, sample_weight=np.ones(len(X)))
        assert np.isfinite(search.best_score_)

    def test_feature_union_and_column_transformer(self, wine):
        X, _ = wine
        union = FeatureUnion([("code", quick()), ("scaled", StandardScaler())])
        assert union.fit_transform(X).shape == (178, 16)
        columns = ColumnTransformer([("code", quick(), [0, 1, 2]), ("scaled", StandardScaler(), [3, 4])])
        assert columns.fit_transform(X).shape == (178, 5)

    def test_validation_rows_are_routed_on_request(self, wine):
        X, y = wine
        model = make_pipeline(quick().set_fit_request(X_val=True), LogisticRegression(max_iter=1000))
        fitted = model.fit(X, y, X_val=X[:20])
        assert len(fitted[0].validation_loss_curve_) == 3


def test_validation_rows_through_a_pipeline(wine):
    X, y = wine
    model = make_pipeline(quick(), LogisticRegression(max_iter=1000))
    fitted = model.fit(X, y, autoencodertransformer__X_val=X[:20])
    assert len(fitted[0].validation_loss_curve_) == 3
