"""Everything that touches scikit-learn's private modules, and the checks on a user's rows."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, update_wrapper, wraps
from types import MethodType
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import assert_all_finite
from sklearn.utils._missing import is_pandas_na
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array, validate_data

__all__ = [
    "FLOATS",
    "Interval",
    "ParameterizedEstimator",
    "StrOptions",
    "available_unless",
    "check_parameters",
    "check_rows",
    "check_validation_rows",
    "fit_context",
    "integers",
    "own_modes",
    "plain",
    "reals",
]

FLOATS = [np.float64, np.float32]


@contextmanager
def own_modes() -> Iterator[None]:
    """Compute as torch does by default, whatever the caller has set: with gradients, and without autocast."""
    with ExitStack() as modes:
        if torch.is_inference_mode_enabled():
            modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                modes.enter_context(torch.autocast(device, enabled=False))
        yield


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """scikit-learn's decorator of ``fit`` and ``partial_fit``, which also sets ``own_modes`` and checks arguments."""
    in_context = _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        checked = in_context(own_modes()(method))

        @wraps(method)
        def wrapper(estimator: Any, *args: Any, **kwargs: Any) -> Any:
            called = f"{type(estimator).__name__}.{method.__name__}"
            if len(args) > 2:
                raise TypeError(
                    f"{called} takes X and y by position, but got {len(args)} arguments. Samples to validate on are "
                    "passed to fit by name, X_val=...; sample_weight is not supported."
                )
            if "sample_weight" in kwargs:
                raise TypeError(
                    f"{called} does not support sample_weight: all samples count alike. Leave it out, or repeat or "
                    "draw samples of X by their weights."
                )
            return checked(estimator, *args, **kwargs)

        return wrapper

    return decorate


class _Method:
    """A method that an estimator has, unless ``lacks(estimator)`` gives the reason why not."""

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
    """scikit-learn's ``available_if`` with a reason, which its own error leaves to the exception behind it."""
    return partial(_Method, lacks=lacks)


def integers(low: float | None, high: float | None = None, closed: str = "left") -> Interval:
    """Constraint: an integer in the interval."""
    return Interval(numbers.Integral, low, high, closed=closed)


def reals(low: float | None, high: float | None = None, closed: str = "left") -> Interval:
    """Constraint: a real number in the interval."""
    return Interval(numbers.Real, low, high, closed=closed)


class ParameterizedEstimator(BaseEstimator):
    """A ``BaseEstimator`` whose parameters are checked by table, and which explains nested names."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def set_params(self, **params: Any) -> ParameterizedEstimator:
        """Set parameters, nested ones as ``<part>__<parameter>``.

        Parameters
        ----------
        **params : dict
            Parameters of this object, or of the parts it holds.

        Returns
        -------
        self : object
            This object.

        Raises
        ------
        ValueError
            If a parameter does not exist, or a nested one is asked of a part given by its name.
        """
        own = {name: value for name, value in params.items() if "__" not in name}
        if own:
            super().set_params(**own)
        nested = {name: value for name, value in params.items() if "__" in name}
        for name in nested:
            axis = name.partition("__")[0]
            held = self.get_params(deep=False).get(axis, self)
            if held is None or isinstance(held, str):
                raise ValueError(
                    f"{name}={nested[name]!r} needs an object in {axis!r}, which holds {held!r}. A name has no "
                    f"parameters: write {axis}=<Class>({name.partition('__')[2]}=...), then search over {name!r}."
                )
        if nested:
            super().set_params(**nested)
        return self

    def _plain(self, name: str) -> Any:
        """Return a parameter as Python's own type; the attribute stays what the user gave."""
        return plain(getattr(self, name))

    def _validate_params(self) -> None:
        for name, value in self.get_params(deep=False).items():
            if isinstance(value, type) and issubclass(value, BaseEstimator):
                raise ValueError(f"{name}={value.__name__} is a class; write {name}={value.__name__}().")
        super()._validate_params()


def plain(value: Any) -> Any:
    """Turn a number, flag or text of another library into Python's own, also in a tuple; return the rest as it is.

    torch refuses numpy's integers, and narrow ones (uint8) overflow where they are multiplied.
    """
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value) if type(value) is tuple else value
    return next((own(value) for kind, own in _KINDS if isinstance(value, kind)), value)


# Flags come first: Python counts its own among the integers.
_KINDS: list[tuple[Any, Any]] = [
    (bool | np.bool_, bool),
    (np.str_, str),
    (numbers.Integral, int),
    (numbers.Real, float),
]


def check_parameters(holder: BaseEstimator) -> None:
    """Check every parameter against the class's table of constraints."""
    holder._validate_params()


_NUMBERS = (numbers.Number, np.bool_, type(None))


def _column_kinds(X: Any) -> list[tuple[str, str]]:
    """Names and types of the columns of a data frame that hold no numbers ([] for anything else)."""
    if hasattr(X, "schema") and hasattr(X, "to_numpy"):  # polars
        return [(str(n), str(t)) for n, t in X.schema.items() if not (t.is_numeric() or str(t) in ("Boolean", "Null"))]
    if not (hasattr(X, "dtypes") and hasattr(X.dtypes, "items")):
        return []
    kinds = []
    for (name, dtype), position in zip(X.dtypes.items(), range(X.shape[1]), strict=True):
        kind = getattr(dtype, "kind", "O")
        # Objects are looked at: they may be numbers, but also text, dates, periods or intervals.
        odd = kind == "O" and not all(isinstance(v, _NUMBERS) or _is_missing(v) for v in X.iloc[:, position])
        if kind in "mMSUT" or odd or str(dtype).startswith(("category", "string", "str", "date", "time")):
            kinds.append((str(name), str(dtype)))
    return kinds


def _as_array(estimator: BaseEstimator, X: Any) -> Any:
    """Bring a tensor to numpy, and refuse columns that hold no numbers by their names."""
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu()
        X = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    wrong = _column_kinds(X)
    if wrong:
        listed = ", ".join(f"{name!r} ({kind})" for name, kind in wrong)
        raise ValueError(
            f"{type(estimator).__name__} takes numbers only; these columns hold something else: {listed}. Encode "
            "them first, for example with OneHotEncoder or OrdinalEncoder in a ColumnTransformer, or drop them."
        )
    return X


def check_rows(estimator: BaseEstimator, X: Any, *, reset: bool, finite: bool = True, **options: Any) -> np.ndarray:
    """Validate rows: numeric, finite, two-dimensional, the width seen in fit; float32 stays float32, CSR stays CSR.

    With ``finite=False`` the caller sees to ``check_finite`` himself.
    """
    X = _as_array(estimator, X)
    options |= {"dtype": FLOATS, "accept_sparse": "csr", "ensure_all_finite": False}
    with _explained(estimator, X, "X"):
        X = validate_data(estimator, X, reset=reset, **options)
    if finite and not _sums_up(X):
        check_finite(X, type(estimator).__name__)
    return X


def check_validation_rows(estimator: Any, X_val: Any) -> np.ndarray:
    """Validate the rows of ``X_val`` against those seen in fit; errors speak of X_val."""
    try:
        X_val = _as_array(estimator, X_val)
        options = {"dtype": FLOATS, "accept_sparse": "csr", "ensure_all_finite": False}
        with _explained(estimator, X_val, "X_val"):
            checked = check_array(X_val, estimator=estimator, input_name="X_val", **options)
        if checked.shape[1] != estimator.n_features_in_:
            raise ValueError(f"X_val has {checked.shape[1]} features, but X has {estimator.n_features_in_}.")
        validate_data(estimator, X_val, reset=False, skip_check_array=True)
        check_finite(checked, type(estimator).__name__, "X_val")
    except (TypeError, ValueError) as error:
        message = str(error) if "X_val" in str(error) else f"X_val cannot be used: {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from error
    return checked


@contextmanager
def _explained(estimator: BaseEstimator, X: Any, name: str) -> Iterator[None]:
    """Let errors about missing values and about samples with a shape of their own say what to do."""
    try:
        yield
    except TypeError:
        if any(map(_is_missing, np.asarray(X, dtype=object).ravel())):  # which numpy cannot turn into NaN
            check_finite(np.array([np.nan]), type(estimator).__name__, name)
        raise
    except ValueError as error:
        if str(error).startswith("Found array with dim"):
            raise ValueError(f"{error} {_as_table(np.shape(X), name)}") from error
        raise


def _is_missing(value: Any) -> bool:
    """Whether a cell is one of the missing values of pandas that are no numbers."""
    return is_pandas_na(value) or type(value).__name__ == "NaTType"


def _as_table(shape: tuple[int, ...], name: str) -> str:
    """Say how samples with a shape of their own are passed."""
    n_axes = len(shape) - 1
    shapes = {
        2: f"{(1, *shape[1:])}) for images of one channel, or sample_shape={shape[1:]} for series",
        3: f"{shape[1:]}), if the axes are channels, height and width",
    }
    network = f" and network=Convolutional(sample_shape={shapes[n_axes]}" if n_axes in shapes else ""
    table = f"{name}.reshape(len({name}), -1)"
    return f"{name} has shape {shape}: each sample is one row here; write {table}{network}."


def check_finite(X: Any, estimator_name: str, input_name: str = "X") -> None:
    """Raise scikit-learn's error if rows hold NaN or infinity."""
    assert_all_finite(X, estimator_name=estimator_name, input_name=input_name)


def _sums_up(X: Any) -> bool:
    """Whether a quick look, with all threads, finds nothing but finite numbers."""
    suits_torch = isinstance(X, np.ndarray) and X.flags.writeable and X.flags.forc
    return suits_torch and bool(torch.from_numpy(X).sum().isfinite())
