"""Rows as users hold them: number types, memory layouts, data frames, and what is refused."""

import datetime
import re
from decimal import Decimal
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.networks import Convolutional
from tests.contracts.variants import ESTIMATORS, outputs


@pytest.fixture
def model():
    return AutoencoderTransformer(2, max_iter=3, random_state=0)


def _results(model, X):
    fitted = clone(model).fit(X)
    return fitted.transform(X), fitted.reconstruct(X), fitted.reconstruction_error(X)


def _assert_as(model, X, expected):
    for found, wanted in zip(_results(model, X), _results(model, expected), strict=True):
        np.testing.assert_array_equal(found, wanted)


class TestNumberTypes:
    def test_float32_stays(self, model, rows):
        X = rows.astype(np.float32)
        fitted = model.fit(X)
        for result in (fitted.transform(X), fitted.reconstruct(X), fitted.inverse_transform(fitted.transform(X))):
            assert result.dtype == np.float32
        assert fitted.reconstruction_error(X).dtype == np.float64
        assert fitted.transform(rows).dtype == np.float64

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64, bool])
    def test_everything_else_becomes_float64(self, dtype, model):
        X = np.random.default_rng(0).integers(0, 2 if dtype is bool else 100, size=(60, 4)).astype(dtype)
        fitted = model.fit(X)
        assert fitted.transform(X).dtype == fitted.reconstruct(X).dtype == np.float64
        _assert_as(model, X, X.astype(np.float64))

    def test_lists_and_objects(self, model, rows):
        _assert_as(model, rows.tolist(), rows)
        _assert_as(model, rows.astype(object), rows)

    def test_float32_and_float64_agree(self, model, rows):
        for narrow, wide in zip(_results(model, rows.astype(np.float32)), _results(model, rows), strict=True):
            np.testing.assert_allclose(narrow, wide, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_precision_is_that_of_the_weights(self, precision, dtype, rows):
        fitted = AutoencoderTransformer(2, max_iter=2, precision=precision).fit(rows.astype(dtype))
        assert {str(p.dtype) for p in fitted.net_.module_.parameters()} == {f"torch.{precision}"}
        assert fitted.transform(rows.astype(dtype)).dtype == dtype


class TestLayouts:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize(
        "change",
        [
            np.asfortranarray,
            lambda X: np.repeat(X, 2, axis=0)[::2],
            lambda X: np.repeat(X, 3, axis=1)[:, ::3],
            lambda X: X[::-1].copy()[::-1],
            lambda X: np.broadcast_to(X[None], (2, *X.shape))[1],
        ],
        ids=["fortran", "rows", "columns", "reversed", "broadcast"],
    )
    def test_in_memory(self, change, dtype, model, rows):
        X = change(rows.astype(dtype))
        _assert_as(model, X, rows.astype(dtype))

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_read_only_memory_map(self, order, dtype, model, rows, tmp_path):
        np.save(tmp_path / "X.npy", np.asarray(rows, dtype=dtype, order=order))
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
        plain = np.array(X)
        for found, wanted in zip(_results(model, X), _results(model, plain), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
        fitted = clone(model).set_params(early_stopping=True, max_iter=100, n_iter_no_change=10).fit(X, X_val=X)
        assert np.isfinite(fitted.score(X))

    @pytest.mark.parametrize("dtype", [">f4", "<f4", ">f8", ">i4"])
    def test_byte_order(self, dtype, model, rows):
        X = rows.astype(dtype)
        found, wanted = _results(model, X), _results(model, X.astype(X.dtype.newbyteorder("=")))
        for result, expected in zip(found, wanted, strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)

    def test_read_only_array(self, model, rows):
        expected = rows.copy()
        rows.setflags(write=False)
        _assert_as(model, rows, expected)

    def test_subclass(self, model, rows):
        class Mine(np.ndarray):
            pass

        assert type(model.fit(rows.view(Mine)).transform(rows.view(Mine))) is np.ndarray


class TestFrames:
    @pytest.fixture
    def frame(self, rows):
        return pd.DataFrame(rows, columns=list("abcde"))

    @pytest.mark.parametrize("dtype", ["float64", "Float64", "double[pyarrow]"])
    def test_pandas(self, dtype, model, frame, rows):
        X = frame.astype(dtype)
        _assert_as(model, X, rows)
        assert clone(model).fit(X).feature_names_in_.tolist() == list("abcde")

    @pytest.mark.parametrize("dtype", ["int64", "Int64", "int64[pyarrow]", "bool", "boolean", "bool[pyarrow]", "uint8"])
    def test_pandas_integers_and_booleans(self, dtype, model):
        X = np.random.default_rng(0).integers(0, 2, size=(60, 4))
        _assert_as(model, pd.DataFrame(X, columns=list("abcd")).astype(dtype), X)

    def test_pandas_mixed_numbers(self, model, frame, rows):
        X = frame.astype({"a": "Float64", "b": "double[pyarrow]", "c": "float64"}).assign(
            n=pd.array(range(120), "Int64"), b2=pd.array([True, False] * 60, "boolean")
        )
        expected = np.column_stack([rows, np.arange(120), [1, 0] * 60])
        _assert_as(model, X, expected)

    def test_polars(self, model, rows):
        X = pl.DataFrame(rows, schema=list("abcde"))
        _assert_as(model, X, rows)
        names = getattr(StandardScaler().fit(X), "feature_names_in_", None)  # scikit-learn reads them from 1.7 on
        assert np.array_equal(getattr(clone(model).fit(X), "feature_names_in_", None), names)

    def test_polars_mixed_numbers(self, model, rows):
        X = pl.DataFrame(rows, schema=list("abcde")).with_columns(
            n=pl.Series(range(120), dtype=pl.Int32), flag=pl.Series([True, False] * 60)
        )
        _assert_as(model, X, np.column_stack([rows, np.arange(120), [1, 0] * 60]))

    def test_names_that_are_no_strings(self, model, frame, rows):
        X = frame.set_axis(range(5), axis=1)
        assert not hasattr(model.fit(X), "feature_names_in_")

    def test_other_order_of_columns(self, model, frame):
        model.fit(frame)
        with pytest.raises(ValueError, match="Feature names must be in the same order as they were in fit"):
            model.transform(frame[list("edcba")])

    def test_validation_rows(self, model, frame):
        assert len(model.fit(frame, X_val=frame[:20]).validation_loss_curve_) == 3
        with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
            model.fit(frame, X_val=frame.rename(columns={"a": "z"}))

    @pytest.mark.parametrize("dtype", ["Float64", "double[pyarrow]"])
    def test_missing_nullable_numbers(self, dtype, model, frame):
        X = frame.astype(dtype)
        X.iloc[3, 1] = pd.NA
        _assert_as(model, X, X.to_numpy(dtype=np.float64, na_value=np.nan))

    def test_missing_polars_numbers(self, model, rows):
        X = pl.DataFrame(rows, schema=list("abcde")).with_columns(a=pl.Series([None] + [1.0] * 119))
        _assert_as(model, X, X.to_numpy())


class TestMissingObjects:
    """Missing values are NaN, in whatever container."""

    @pytest.mark.parametrize("missing", [None, np.nan, float("nan"), pd.NA, pd.NaT, Decimal("NaN")], ids=repr)
    @pytest.mark.parametrize("kind", [pd.DataFrame, np.asarray, lambda X: X.tolist()], ids=["frame", "array", "list"])
    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_in_objects(self, estimator, kind, missing, rows):
        fitted = estimator(max_iter=1, random_state=0).fit(rows)
        X = rows.astype(object)
        X[3, 1] = missing
        numbers = np.where(pd.isna(X), np.nan, rows)
        np.testing.assert_array_equal(fitted.reconstruct(kind(X)), fitted.reconstruct(numbers))
        found, expected = (clone(fitted).fit(values).reconstruction_error(numbers) for values in (kind(X), numbers))
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("dtype", ["Int64", "boolean", "int64[pyarrow]", "bool[pyarrow]", "null[pyarrow]", object])
    def test_whole_columns(self, dtype, model):
        X = pd.DataFrame({"fine": [1.0, 2.0, 3.0], "gone": pd.Series([pd.NA] * 3, dtype=dtype)})
        with pytest.warns(UserWarning, match="Column 'gone' has no observed value"):
            model.fit(X)

    @pytest.mark.parametrize("dtype", [None, pl.Null, pl.Boolean, pl.Int8])
    def test_whole_polars_columns(self, dtype, model):
        X = pl.DataFrame({"fine": [1.0, 2.0, 3.0], "gone": pl.Series([None] * 3, dtype=dtype)})
        with pytest.warns(UserWarning, match="Column 'gone' has no observed value"):
            model.fit(X)

    def test_text_with_missing_values_is_text(self, model):
        X = pd.DataFrame({"fine": [1.0, 2.0, 3.0], "text": pd.Series(["a", pd.NA, "b"], dtype=object)})
        with pytest.raises(ValueError, match=r"these columns are not numeric: 'text' \(object\). Encode"):
            model.fit(X)

    def test_other_objects_are_not_called_missing(self, model):
        with pytest.raises(TypeError, match=r"'object'|'datetime\.date'"):
            model.fit(np.array([[1.0, datetime.date(2024, 1, 1)], [1.0, object()]], dtype=object))


DAYS = [datetime.date(2024, 1, 1 + n) for n in range(4)]


class TestOtherColumns:
    PANDAS: ClassVar = {
        "text": pd.Series(["a", "b", "c", "d"], dtype=object),
        "number text": pd.Series(["1", "2", "3", "4"], dtype=object),
        "string": pd.Series(["a", "b", "c", "d"], dtype="string"),
        "arrow": pd.Series(["a", "b", "c", "d"], dtype="string[pyarrow]"),
        "kind": pd.Series(["a", "b", "c", "d"], dtype="category"),
        "number kind": pd.Series([1, 2, 3, 4], dtype="category"),
        "day": pd.Series(pd.to_datetime(DAYS)),
        "zone": pd.Series(pd.to_datetime(DAYS)).dt.tz_localize("UTC"),
        "span": pd.Series(pd.to_timedelta([1, 2, 3, 4], unit="D")),
        "month": pd.Series(pd.period_range("2024-01", periods=4, freq="M")),
        "range": pd.Series(pd.interval_range(0, 4)),
        "object day": pd.Series(DAYS, dtype=object),
        "arrow day": pd.Series(DAYS, dtype="date32[pyarrow]"),
    }
    POLARS: ClassVar = {
        "text": pl.Series(["a", "b", "c", "d"]),
        "kind": pl.Series(["a", "b", "c", "d"], dtype=pl.Categorical),
        "level": pl.Series(["a", "b", "c", "d"], dtype=pl.Enum(["a", "b", "c", "d"])),
        "day": pl.Series(DAYS),
        "moment": pl.Series(DAYS).cast(pl.Datetime),
        "span": pl.Series(DAYS).diff(),
    }
    MESSAGE = "AutoencoderTransformer needs numeric features; these columns are not numeric: {}. Encode"

    @pytest.mark.parametrize("name", PANDAS)
    def test_pandas(self, name, model):
        X = pd.DataFrame({"fine": [1.0, 2, 3, 4], name: self.PANDAS[name]})
        with pytest.raises(ValueError, match=self.MESSAGE.format(rf"'{name}' \([\w\[\], .:-]+\)")):
            model.fit(X)

    @pytest.mark.parametrize("name", POLARS)
    def test_polars(self, name, model):
        X = pl.DataFrame({"fine": [1.0, 2, 3, 4], name: self.POLARS[name]})
        with pytest.raises(ValueError, match=self.MESSAGE.format(rf"'{name}' \(.+\)")):
            model.fit(X)

    @pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
    def test_lists_every_column(self, frame, model):
        X = frame({"a": ["x", "y"], "fine": [1.0, 2.0], "b": ["p", "q"]})
        with pytest.raises(ValueError, match=r"not numeric: 'a' \(.+\), 'b' \(.+\)\. Encode them first"):
            model.fit(X)

    def test_in_transform(self, model, rows):
        model.fit(pd.DataFrame(rows, columns=list("abcde")))
        with pytest.raises(ValueError, match="columns are not numeric: 'b'"):
            model.transform(pd.DataFrame(rows, columns=list("abcde")).assign(b="text"))

    def test_numbers_in_object_columns_are_fine(self, model, rows):
        _assert_as(model, pd.DataFrame(rows, columns=list("abcde")).astype(object), rows)

    def test_decimals_are_numbers(self, model, rows):
        X = pd.DataFrame(rows, columns=list("abcde"))
        X["a"] = [Decimal(value) for value in rows[:, 0]]
        _assert_as(model, X, rows)

    def test_array_of_text(self, model):
        with pytest.raises(ValueError, match="could not convert string to float"):
            model.fit(np.array([["a", "b"], ["c", "d"]]))


class TestTensors:
    def test_torch_bfloat16(self, model, rows):
        X = torch.tensor(rows, dtype=torch.bfloat16)
        _assert_as(model, X, X.float().numpy())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
    def test_torch(self, dtype, model, rows):
        X = torch.tensor(rows * 10).to(dtype)
        _assert_as(model, X, X.numpy())


class TestRefused:
    @pytest.mark.parametrize("value", [np.inf, -np.inf])
    @pytest.mark.parametrize("method", ["fit", "transform", "partial_fit", "score", "inverse_transform"])
    def test_not_finite(self, method, value, model, rows):
        model.fit(rows)
        X = model.transform(rows) if method == "inverse_transform" else rows.copy()
        X[7, 1] = value
        with pytest.raises(ValueError, match="Input X contains infinity"):
            getattr(model, method)(X)

    def test_missing_codes(self, model, rows):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            model.fit(rows).inverse_transform([[0.0, np.nan]])

    @pytest.mark.parametrize("method", ["transform", "reconstruct", "reconstruction_error", "score", "partial_fit"])
    def test_wrong_width(self, method, model, rows):
        with pytest.raises(ValueError, match="X has 6 features, but AutoencoderTransformer is expecting 5 features"):
            getattr(model.fit(rows), method)(np.ones((3, 6)))

    def test_wrong_width_of_codes(self, model, rows):
        with pytest.raises(ValueError, match="Codes have 2 components, but X has 5 columns"):
            model.fit(rows).inverse_transform(rows)

    def test_one_dimension(self, model, rows):
        with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
            model.fit(rows[0])

    @pytest.mark.parametrize("kind", [np.asarray, torch.tensor, lambda X: X.tolist(), list])
    @pytest.mark.parametrize(
        ("shape", "advice"),
        [
            (
                (9, 4, 6),
                "(sample_shape=(1, 4, 6)) for images of one channel, or sample_shape=(4, 6) for series",
            ),
            ((9, 3, 4, 6), "network=Convolutional(sample_shape=(3, 4, 6)), if the axes are channels, height and width"),
            ((9, 2, 3, 4, 6), "write X.reshape(len(X), -1)."),
        ],
    )
    def test_more_dimensions(self, shape, advice, kind, model, rows):
        message = (
            rf"Found array with dim {len(shape)}.*AutoencoderTransformer.*\. X has shape {re.escape(str(shape))}, but"
        )
        for method in (model.fit, clone(model).fit(rows).transform):
            with pytest.raises(ValueError, match=message) as caught:
                method(kind(np.zeros(shape)))
            assert "write X.reshape(len(X), -1)" in str(caught.value)
            assert advice in str(caught.value)

    def test_what_the_advice_says_works(self, model):
        X = np.random.default_rng(0).normal(size=(9, 4, 6))
        for shape in ((1, 4, 6), (4, 6)):
            fitted = clone(model).set_params(network=Convolutional(sample_shape=shape), hidden_layer_sizes=(4,))
            assert fitted.fit_transform(X.reshape(len(X), -1)).shape == (9, 2)

    def test_no_rows(self, model, rows):
        with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
            model.fit(rows[:0])
        with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
            model.fit(rows).transform(rows[:0])

    def test_no_columns(self, model, rows):
        with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\)"):
            model.fit(rows[:, :0])

    def test_complex(self, model, rows):
        with pytest.raises(ValueError, match="Complex data not supported"):
            model.fit(rows + 1j)


@pytest.mark.parametrize("estimator", ESTIMATORS)
class TestSparse:
    """Sparse matrices give what the same rows give as an array, and are never made dense as a whole."""

    @pytest.fixture
    def matrix(self):
        return scipy.sparse.random_array((150, 6), density=0.3, format="csr", rng=np.random.default_rng(0))

    @pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", None])
    def test_as_dense(self, scaling, estimator, matrix):
        model = estimator(2, max_iter=2, scaling=scaling, random_state=0)
        sparse, full = (clone(model).fit(X, X_val=X[:20]) for X in (matrix, matrix.toarray()))
        np.testing.assert_allclose(sparse.validation_loss_curve_, full.validation_loss_curve_)
        found, expected = outputs(sparse, matrix), outputs(full, matrix.toarray())
        for way, result in found.items():
            np.testing.assert_allclose(result, expected[way], rtol=1e-9, atol=1e-9, err_msg=way)

    @pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_array"])
    @pytest.mark.parametrize("dtype", [np.float32, np.int64])
    def test_kinds(self, kind, dtype, estimator, matrix):
        matrix = (10 * matrix).astype(dtype)
        model = estimator(2, max_iter=1, random_state=0)
        X = getattr(scipy.sparse, kind)(matrix)
        found = model.fit(X).reconstruction_error(X)
        np.testing.assert_allclose(found, clone(model).fit(matrix.toarray()).reconstruction_error(matrix.toarray()))

    def test_held_out_rows(self, estimator, matrix):
        validating = {"early_stopping": True} if estimator is AutoencoderTransformer else {}
        model = estimator(2, max_iter=2, n_iter_no_change=10, random_state=0, **validating)
        with pytest.warns(match="before the validation loss stopped"):
            curve = clone(model).fit(matrix).validation_loss_curve_
        with pytest.warns(match="before the validation loss stopped"):
            np.testing.assert_allclose(curve, model.fit(matrix.toarray()).validation_loss_curve_)

    def test_is_never_dense_as_a_whole(self, estimator, monkeypatch):
        X = scipy.sparse.random_array((3000, 2000), density=0.002, format="csr", rng=np.random.default_rng(0))
        sizes = []
        original = scipy.sparse.csr_array.toarray
        monkeypatch.setattr(scipy.sparse.csr_array, "toarray", lambda self: sizes.append(self.shape) or original(self))
        quick = {"outlier_score": "reconstruction"} if estimator is AutoencoderOutlierDetector else {}
        model = estimator(2, hidden_layer_sizes=64, max_iter=1, batch_size=300, **quick).fit(X)
        model.reconstruction_error(X)
        assert 0 < max(n_rows for n_rows, _ in sizes) < 3000
