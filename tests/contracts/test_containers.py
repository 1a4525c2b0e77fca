"""The same numbers give the same results, whatever their type and container; numbers within rounding are ties."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.scores import SCORES

from .variants import ESTIMATORS, VARIANTS, assert_equal, outputs, with_objective


def _mapped(X, path):
    np.save(path / "X.npy", X)
    return np.load(path / "X.npy", mmap_mode="r")


CONTAINERS = {
    "float32": lambda X, path: X.astype(np.float32),
    "int64": lambda X, path: X.astype(np.int64),
    "uint8": lambda X, path: X.astype(np.uint8),
    "list": lambda X, path: X.tolist(),
    "fortran": lambda X, path: np.asfortranarray(X),
    "read-only": lambda X, path: np.broadcast_to(X, X.shape),
    "memory map": _mapped,
    "memory map of float32": lambda X, path: _mapped(X.astype(np.float32), path),
    "csr": lambda X, path: sparse.csr_array(X),
    "csr of float32": lambda X, path: sparse.csr_matrix(X.astype(np.float32)),
    "tensor": lambda X, path: torch.tensor(X, dtype=torch.float32),
    "pandas": lambda X, path: pd.DataFrame(X),
    "pandas, float32": lambda X, path: pd.DataFrame(X.astype(np.float32)),
    "pandas, mixed": lambda X, path: pd.DataFrame(X).astype({0: np.float32, 1: np.int64}),
    "pandas, nullable": lambda X, path: pd.DataFrame(X).astype("Float32"),
    "pandas, objects": lambda X, path: pd.DataFrame(X).astype(object),
    "polars": lambda X, path: pl.DataFrame(X, schema=list("abcd")).cast(pl.Float32),
}
pytestmark = pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")  # here on purpose
each_container = pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
each_score = pytest.mark.parametrize("name", SCORES)


@pytest.fixture
def counts():
    """Small whole numbers, which every container holds exactly, (60, 4)."""
    return np.random.default_rng(0).integers(0, 4, size=(60, 4)).astype(float)


def detector(name, **options):
    choice = with_objective("outlier_score", name)
    return AutoencoderOutlierDetector(**choice, n_estimators=2, max_iter=1, random_state=0, **options)


def as_float32(results):
    """Codes and reconstructions leave in the type of X."""
    return {way: result.astype(np.float32) for way, result in results.items()}


@each_container
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_fit(estimator, container, counts, tmp_path):
    model = estimator(max_iter=2, random_state=0)
    expected = outputs(clone(model).fit(counts), counts)
    assert_equal(outputs(model.fit(container(counts, tmp_path)), counts), expected)


@each_container
def test_results(container, counts, tmp_path):
    X = container(counts, tmp_path)
    for model in (VARIANTS["AutoencoderTransformer-objective=variational"], detector("combined")):
        fitted = clone(model).fit(counts)
        found, expected = outputs(fitted, X), outputs(fitted, counts)
        assert_equal(as_float32(found), as_float32(expected))


@each_score
def test_verdicts(name, counts):
    model = detector(name, contamination=0.1).fit(counts)
    for X in (counts.astype(np.float32), sparse.csr_array(counts), pd.DataFrame(counts).astype("Float32")):
        for way in ("score_samples", "decision_function", "predict", "p_values"):
            np.testing.assert_array_equal(getattr(model, way)(X), getattr(model, way)(counts))


@each_score
def test_rounded_to_float32(name):
    """A sample that is read as float32 keeps its verdict."""
    rng = np.random.default_rng(0)
    tenths, thirds = rng.integers(0, 4, size=(60, 2)) / 10 + 0.1, rng.integers(0, 4, size=(60, 2)) / 3 + 20
    rare = np.where(rng.random((60, 2)) < 0.7, 0, rng.integers(1, 5, size=(60, 2)) / 7)
    X = np.c_[tenths, thirds, rare, np.full((60, 3), [0.1, 0.7, 1e6 + 0.1])]
    model = detector(name, contamination=0.1).fit(X)
    narrow = X.astype(np.float32)
    assert (narrow != X).any(axis=0).all()
    np.testing.assert_array_equal(model.predict(narrow), model.predict(X))
    # The network makes rounding larger, and small distances are compared with it.
    if name not in ("code_distance", "residual_distance"):
        np.testing.assert_allclose(model.p_values(narrow), model.p_values(X), atol=0.02)


@each_score
def test_behind_a_scaler_of_float32(name, counts):
    scaler = StandardScaler().fit(counts)
    X, narrow = scaler.transform(counts), scaler.transform(counts.astype(np.float32))
    assert narrow.dtype == np.float32
    model = detector(name, contamination=0.1).fit(X)
    np.testing.assert_array_equal(model.predict(narrow), model.predict(X))


@each_score
def test_a_constant_column_that_moves_by_rounding(name):
    constants = np.array([0.0, 0.1, 1e6, 1e-12])
    X = np.c_[np.random.default_rng(0).normal(size=(60, 4)), np.full((60, 4), constants)]
    model = detector(name, contamination=0.1).fit(X)
    moved = X.copy()
    moved[:, 4:] += 1e-12 * np.where(constants > 0, constants, 1.0)
    np.testing.assert_array_equal(model.predict(moved), model.predict(X))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, 1e-12])
def test_a_constant_column_that_moves(value):
    X = np.c_[np.random.default_rng(0).normal(size=(300, 4)), np.full(300, value)]
    model = AutoencoderOutlierDetector(max_iter=20, random_state=0).fit(X)
    moved = np.random.default_rng(1).normal(size=(50, 5))
    moved[:, 4] = 1.01 * value if value else 1.0
    assert (model.predict(moved) == -1).mean() > 0.9
