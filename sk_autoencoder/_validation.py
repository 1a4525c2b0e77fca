"""Validation of parameters and samples, and all uses of scikit-learn's private modules."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, update_wrapper, wraps
from inspect import Parameter, signature
from types import MethodType
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import _safe_indexing, assert_all_finite, get_tags
from sklearn.utils._missing import is_pandas_na
from sklearn.utils._optional_dependencies import check_pandas_support
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

__all__ = [
    "FLOATS",
    "HasMethods",
    "Interval",
    "ParameterizedEstimator",
    "StrOptions",
    "as_numbers",
    "available_unless",
    "check_groups",
    "check_pandas_support",
    "check_parameters",
    "check_rows",
    "check_validation_rows",
    "check_weight",
    "column_apart",
    "fit_context",
    "integers",
    "is_missing",
    "layer_sizes",
    "own_modes",
    "plain",
    "reals",
    "take_rows",
]

FLOATS = [np.float64, np.float32]


@contextmanager
def own_modes() -> Iterator[None]:
    """Restore torch's default modes within the context: with gradients, without inference mode and autocast."""
    with ExitStack() as modes:
        if torch.is_inference_mode_enabled():
            modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                modes.enter_context(torch.autocast(device, enabled=False))
        yield


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """scikit-learn's decorator of ``fit`` and ``partial_fit``, extended by ``own_modes`` and checks of arguments."""
    in_context = _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        checked = in_context(own_modes()(method))
        parameters = signature(method).parameters.items()
        named = [name for name, p in parameters if p.kind is Parameter.KEYWORD_ONLY]
        _, *placed = (name for name, p in parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD)

        @wraps(method)
        def wrapper(estimator: Any, *args: Any, **kwargs: Any) -> Any:
            called = f"{type(estimator).__name__}.{method.__name__}"
            if len(args) > len(placed):
                names = ", ".join(f"{name}=..." for name in named)
                *first, last = placed
                raise TypeError(
                    f"{called} takes {', '.join(first)} and {last} by position, but got {len(args)} arguments. Pass "
                    f"the others as keyword arguments: {names or 'there are none'}."
                )
            return checked(estimator, *args, **kwargs)

        return wrapper

    return decorate


class _Method:
    """Descriptor of a method that is available unless ``lacks(estimator)`` returns a reason."""

    def __init__(self, method: Callable[..., Any], lacks: Callable[[Any], str | None]):
        self._method, self._lacks = method, lacks
        update_wrapper(self, method)  # type: ignore[arg-type]

    def __get__(self, estimator: Any, owner: type | None = None) -> Callable[..., Any]:
        if estimator is None:
            return self._method
        if reason := self._lacks(estimator):
            name = self._method.__name__
            raise AttributeError(f"This {type(estimator).__name__!r} has no attribute {name!r}: {reason}")
        return MethodType(self._method, estimator)


def available_unless(lacks: Callable[[Any], str | None]) -> Callable[[Callable[..., Any]], _Method]:
    """Make a method available only if ``lacks(estimator)`` returns None; otherwise access raises AttributeError.

    Like scikit-learn's ``available_if``, but the message of the error contains the reason that ``lacks`` returned.
    """
    return partial(_Method, lacks=lacks)


def integers(low: float | None, high: float | None = None, closed: str = "left") -> Interval:
    """Parameter constraint: an integer in the interval."""
    return Interval(numbers.Integral, low, high, closed=closed)


def reals(low: float | None, high: float | None = None, closed: str = "left") -> Interval:
    """Parameter constraint: a real number in the interval."""
    return Interval(numbers.Real, low, high, closed=closed)


# Address of the documentation, without a slash at its end. While it is empty, notebooks show no links.
DOCUMENTATION = ""


class ParameterizedEstimator(BaseEstimator):
    """A ``BaseEstimator`` that validates its parameters, with helpful errors for nested parameters of strings."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    _doc_link_module = "sk_autoencoder"  # the links of scikit-learn's HTML representation

    @property
    def _doc_link_template(self) -> str:
        return f"{DOCUMENTATION}/api/generated/{{name}}.html" if DOCUMENTATION else ""  # parameters add an anchor

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """Return the name under which users import the class: parts from their folder, estimators from the top."""
        package, folder, *_ = type(self).__module__.split(".")
        path = package if folder == "estimators" else f"{package}.{folder}"
        return {"name": f"{path}.{type(self).__name__}"}

    def set_params(self, **params: Any) -> ParameterizedEstimator:
        """Set parameters; nested parameters are written ``<part>__<parameter>``.

        Parameters
        ----------
        **params : dict
            Parameters of this object, or of the objects that are its parameters.

        Returns
        -------
        self : object
            This object.

        Raises
        ------
        ValueError
            If a parameter does not exist, or if a nested parameter belongs to a part given as a string or None.
        """
        direct = {name: value for name, value in params.items() if "__" not in name}
        if direct:
            super().set_params(**direct)
        nested = {name: value for name, value in params.items() if "__" in name}
        for name in nested:
            outer, _, inner = name.partition("__")
            present = self.get_params(deep=False).get(outer, self)
            if present is None or isinstance(present, str):
                raise ValueError(
                    f"{name}={nested[name]!r} needs an object as {outer!r}, but {outer}={present!r}, which has no "
                    f"parameters: write {outer}=<Class>({inner}=...), then search over {name!r}."
                )
        if nested:
            super().set_params(**nested)
        return self

    def _plain(self, name: str) -> Any:
        """Return the value of a parameter as a built-in type, without changing the attribute."""
        return plain(getattr(self, name))

    def _validate_params(self) -> None:
        for name, value in self.get_params(deep=False).items():
            if isinstance(value, type) and issubclass(value, BaseEstimator):
                raise ValueError(f"{name}={value.__name__} is a class; write {name}={value.__name__}().")
        super()._validate_params()


def plain(value: Any) -> Any:
    """Convert numbers, booleans and strings of numpy to built-in types, also in tuples; return other values unchanged.

    torch does not accept numpy's integers, and products of narrow ones (uint8) overflow.
    """
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value) if type(value) is tuple else value
    return next((builtin(value) for kind, builtin in _KINDS if isinstance(value, kind)), value)


# Types and the built-in types that they are converted to. Booleans come first, because bool is a subclass of int.
_KINDS: list[tuple[Any, Any]] = [
    (bool | np.bool_, bool),
    (np.str_, str),
    (numbers.Integral, int),
    (numbers.Real, float),
]


def layer_sizes(given: Any) -> tuple[int, ...]:
    """Return the widths of hidden layers as a tuple; an integer stands for one layer."""
    widths = tuple(np.atleast_1d(given).tolist())
    if not all(isinstance(width, int) and width >= 1 for width in widths):
        raise ValueError(f"hidden_layer_sizes={given!r} must contain positive integers; use () for no hidden layer.")
    return widths


def check_parameters(holder: BaseEstimator) -> None:
    """Check all parameters against the constraints of the class."""
    holder._validate_params()


_NUMBERS_OR_MISSING = (numbers.Number, np.bool_, type(None))
_OBJECT = "O"  # the kind of numpy's object dtype, and of most extension dtypes of pandas
# Kinds of numpy dtypes that are not numeric: timedelta, datetime, bytes, fixed-width string and variable-width string.
_NON_NUMERIC_KINDS = frozenset("mMSUT")
# How the names of non-numeric extension dtypes of pandas begin, such as "string[pyarrow]" or "date32[day][pyarrow]".
_NON_NUMERIC_NAMES = ("category", "string", "str", "date", "time")


def _non_numeric_columns(X: Any) -> list[tuple[str, str]]:
    """Return names and dtypes of the non-numeric columns of a pandas or polars DataFrame; [] if X is something else."""
    if hasattr(X, "schema") and hasattr(X, "to_numpy"):  # polars
        return [(str(n), str(t)) for n, t in X.schema.items() if not (t.is_numeric() or str(t) in ("Boolean", "Null"))]
    if not (hasattr(X, "dtypes") and hasattr(X.dtypes, "items")):
        return []
    kinds = []
    for position, (name, dtype) in enumerate(X.dtypes.items()):
        kind = getattr(dtype, "kind", _OBJECT)
        # Objects may be numbers, but also strings, dates, periods or intervals: check all values.
        has_other_objects = kind == _OBJECT and not all(
            isinstance(value, _NUMBERS_OR_MISSING) or is_missing(value) for value in X.iloc[:, position]
        )
        if kind in _NON_NUMERIC_KINDS or has_other_objects or str(dtype).startswith(_NON_NUMERIC_NAMES):
            kinds.append((str(name), str(dtype)))
    return kinds


def _as_array(estimator: BaseEstimator, X: Any) -> Any:
    """Convert a tensor to numpy, and raise an error that lists non-numeric columns of a DataFrame."""
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu()
        X = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    if get_tags(estimator).input_tags.allow_nan:
        X = _with_nan(X)
    wrong = _non_numeric_columns(X)
    if wrong:
        listed = ", ".join(f"{name!r} ({kind})" for name, kind in wrong)
        raise ValueError(
            f"{type(estimator).__name__} needs numeric features; these columns are not numeric: {listed}. Encode "
            "them first, for example with OneHotEncoder or OrdinalEncoder in a ColumnTransformer, or drop them."
        )
    return X


def _with_nan(X: Any) -> Any:
    """Replace missing values by NaN in a list, an array of objects, or object columns of a pandas DataFrame."""
    if isinstance(X, list):
        X = np.asarray(X)
    if isinstance(X, np.ndarray) and X.dtype.kind == _OBJECT:
        missing = [is_missing(value) for value in X.ravel()]
        return np.where(np.reshape(missing, X.shape), np.nan, X) if any(missing) else X
    if hasattr(X, "dtypes") and hasattr(X, "isna") and hasattr(X.dtypes, "items"):
        X = X.copy(deep=False)
        for position, dtype in enumerate(X.dtypes):
            if getattr(dtype, "kind", None) == _OBJECT and dtype.name == "object":
                X.isetitem(position, X.iloc[:, position].where(X.iloc[:, position].notna(), np.nan))
    return X


def as_numbers(X: Any, name: str) -> np.ndarray:
    """Convert samples that are drawn to float64; missing objects become NaN."""
    if issparse(X):
        raise ValueError(f"{name} is sparse and cannot be drawn; pass {name}.toarray().")
    options = {"ensure_all_finite": False, "ensure_2d": False, "allow_nd": True, "ensure_min_samples": 0}
    return check_array(_with_nan(X), dtype=np.float64, ensure_min_features=0, input_name=name, **options)


def check_rows(estimator: BaseEstimator, X: Any, *, reset: bool, finite: bool = True, **options: Any) -> np.ndarray:
    """Validate samples: numeric, finite, 2-D, and with the features seen in fit; float32 and CSR are preserved.

    Estimators whose tags say so take missing values (NaN). With ``finite=False`` the caller must run ``finite_check``.
    ``options`` are those of scikit-learn's ``check_array``.
    """
    X = _as_array(estimator, X)
    options = {"accept_sparse": "csr", **options, "dtype": FLOATS, "ensure_all_finite": False}
    with _with_advice(estimator, X, "X"):
        X = validate_data(estimator, X, reset=reset, **options)
    if finite and not _sum_is_finite(X):
        finite_check(estimator)(X)
    return X


def check_weight(sample_weight: Any, X: Any, name: str = "sample_weight") -> np.ndarray | None:
    """Validate weights of the samples X, (n_samples,), or None; return them in float64."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, str | numbers.Number):
        raise ValueError(f"{name} must have one weight for each of the {X.shape[0]} samples, got {sample_weight!r}.")
    try:
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    except ValueError as error:
        raise ValueError(str(error).replace("sample_weight", name)) from error
    if not weight.any():
        raise ValueError(f"{name} has zero weights only; at least one sample needs a positive weight.")
    return weight


def check_groups(groups: Any, n_samples: int, sample: str = "sample") -> np.ndarray:
    """Validate ids of groups: one for each sample, or several in columns; return (n_samples, n_columns)."""
    ids = np.asarray(groups)
    if ids.ndim not in (1, 2) or len(ids) != n_samples or ids.size == 0:
        raise ValueError(f"groups must have one id for each {sample}: {n_samples}, but has the shape {ids.shape}.")
    ids = ids.reshape(n_samples, -1)
    if ids.dtype.kind == _OBJECT:
        missing = np.array([value is None or is_missing(value) or value != value for value in ids.ravel()])
    else:
        missing = np.ravel(ids != ids)
    if ids.dtype.kind == _OBJECT and len({isinstance(value, str) for value in ids.ravel()}) > 1:
        raise ValueError("groups has texts and numbers as ids, which cannot be sorted; use one type of ids.")
    if missing.any():
        first = int(np.argmax(missing)) // ids.shape[1]
        raise ValueError(f"groups has no id for {missing.sum()} {sample}(s), the first is number {first}.")
    return ids


def column_apart(X: Any, column: str | int) -> tuple[np.ndarray, Any]:
    """Return one column of a DataFrame or array, by its name or position, and X without this column."""
    if isinstance(column, bool):
        raise ValueError(f"group_column={column} must be a name or position of a column.")
    X = np.asarray(X) if isinstance(X, list) else X
    if isinstance(column, str):
        if not hasattr(X, "columns"):
            raise ValueError(f"group_column={column!r} is a name, but X has no column names; use a position.")
        names = [str(name) for name in X.columns]
        if column not in names:
            raise ValueError(f"group_column={column!r} is no column of X; its columns are {names}.")
        column = names.index(column)
    n_columns = np.shape(X)[1] if np.ndim(X) == 2 else 0
    if not -n_columns <= column < n_columns:
        raise ValueError(f"group_column={column} is no column of X, which has the shape {np.shape(X)}.")
    others = np.delete(np.arange(n_columns), column)
    return np.asarray(_safe_indexing(X, column % n_columns, axis=1)), _safe_indexing(X, others, axis=1)


def take_rows(X: Any, positions: np.ndarray) -> Any:
    """Return the rows of a DataFrame, array or list at the given positions."""
    return _safe_indexing(X, positions)


def check_validation_rows(estimator: Any, X_val: Any) -> np.ndarray:
    """Validate ``X_val`` against the X seen in fit; error messages name X_val."""
    try:
        X_val = _as_array(estimator, X_val)
        options = {"dtype": FLOATS, "accept_sparse": "csr", "ensure_all_finite": False}
        with _with_advice(estimator, X_val, "X_val"):
            checked = check_array(X_val, estimator=estimator, input_name="X_val", **options)
        if checked.shape[1] != estimator.n_features_in_:
            raise ValueError(f"X_val has {checked.shape[1]} features, but X has {estimator.n_features_in_}.")
        validate_data(estimator, X_val, reset=False, skip_check_array=True)
        finite_check(estimator)(checked, input_name="X_val")
    except (TypeError, ValueError) as error:
        message = str(error) if "X_val" in str(error) else f"X_val cannot be used: {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from error
    return checked


@contextmanager
def _with_advice(estimator: BaseEstimator, X: Any, name: str) -> Iterator[None]:
    """Add advice to errors about missing values and about arrays with more than two dimensions."""
    try:
        yield
    except TypeError:
        if any(map(is_missing, np.asarray(X, dtype=object).ravel())):  # numpy cannot convert these to NaN
            finite_check(estimator)(np.array([np.nan]), input_name=name)  # scikit-learn's error about NaN
        raise
    except ValueError as error:
        if str(error).startswith("Found array with dim"):
            raise ValueError(f"{error} {_as_table(np.shape(X), name)}") from error
        raise


def is_missing(value: Any) -> bool:
    """Whether a value is one of pandas' non-numeric missing values, NA or NaT."""
    return is_pandas_na(value) or type(value).__name__ == "NaTType"


def _as_table(shape: tuple[int, ...], name: str) -> str:
    """Return advice on how to pass an array with more than two dimensions."""
    n_axes = len(shape) - 1
    shapes = {
        2: f"{(1, *shape[1:])}) for images of one channel, or sample_shape={shape[1:]} for series",
        3: f"{shape[1:]}), if the axes are channels, height and width",
    }
    network = f" and network=Convolutional(sample_shape={shapes[n_axes]}" if n_axes in shapes else ""
    table = f"{name}.reshape(len({name}), -1)"
    return f"{name} has shape {shape}, but each sample must be one row: write {table}{network}."


def finite_check(estimator: BaseEstimator) -> Callable[..., None]:
    """Return a function of X and ``input_name`` that raises scikit-learn's error if X contains infinity.

    It raises an error for NaN too, unless the estimator's tags say that it takes missing values.
    """
    allow_nan = get_tags(estimator).input_tags.allow_nan
    return partial(assert_all_finite, allow_nan=allow_nan, estimator_name=type(estimator).__name__, input_name="X")


def has_missing(X: Any) -> bool:
    """Whether samples, an array or a CSR matrix, contain NaN."""
    if _sum_is_finite(X):
        return False
    values = X.data if issparse(X) else X
    step = max(1, _CELLS_AT_ONCE // max(1, np.prod(values.shape[1:], dtype=int)))
    return any(np.isnan(values[start : start + step]).any() for start in range(0, len(values), step))


_CELLS_AT_ONCE = 1 << 20


def _sum_is_finite(X: Any) -> bool:
    """Fast check with all threads: whether the sum of X is finite, and thus all its values; False if not supported."""
    suits_torch = isinstance(X, np.ndarray) and X.flags.writeable and X.flags.forc
    return suits_torch and bool(torch.from_numpy(X).sum().isfinite())
