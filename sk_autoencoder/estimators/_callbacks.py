"""Validation, copies and nested parameters of the user's callbacks."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from sk_autoencoder._validation import ParameterizedEstimator
from sk_autoencoder.training.callbacks import Callback, unsupported


def check_callbacks(callbacks: list[Any] | None) -> None:
    """Check that a list holds supported skorch callbacks, their classes, or pairs of a name and one of these."""
    for position, entry in enumerate(callbacks or []):
        if not _is_callback(_held(entry)):
            raise ValueError(
                f"callbacks[{position}]={entry!r} is not a skorch callback; write for example "
                "callbacks=[skorch.callbacks.LRScheduler()], or a pair (name, callback)."
            )
        if reason := unsupported(_held(entry)):
            raise ValueError(f"callbacks[{position}]={type(_held(entry)).__name__}(...) {reason}.")


def copied(callbacks: Any) -> Any:
    """Return shallow copies of the callbacks, because attributes such as writers, locks and files cannot be copied."""
    if not isinstance(callbacks, list):
        return callbacks
    return [_with(entry, copy.copy(_held(entry))) for entry in callbacks]


def check_storable(callbacks: list[Any] | None) -> None:
    """Raise an error if a callback cannot be stored."""
    for position, entry in enumerate(callbacks or []):
        try:
            # deepcopy fails like pickle, but not for classes that pickle cannot import and other libraries can store.
            copy.deepcopy(entry)
        except TypeError as error:
            raise TypeError(
                f"callbacks[{position}]={entry!r} cannot be stored ({error}); use set_params(callbacks=None) before "
                "the estimator is pickled, copied or sent to another process."
            ) from error


def named(callbacks: Any) -> dict[str, int]:
    """Return the position of each callback by the name that skorch gives it: the user's name, or that of the class.

    Callbacks with the same name are numbered from 1. The result is empty if ``callbacks`` is not a list of callbacks.
    """
    if not isinstance(callbacks, list) or not all(_is_callback(_held(entry)) for entry in callbacks):
        return {}
    names = [entry[0] if isinstance(entry, tuple) else _class_name(entry) for entry in callbacks]
    counts, seen = Counter(names), Counter[str]()
    positions = {}
    for position, name in enumerate(names):
        seen[name] += 1
        positions[f"{name}_{seen[name]}" if counts[name] > 1 else name] = position
    return positions


def nested_parameters(callbacks: Any) -> dict[str, Any]:
    """Return the parameters of all callbacks as ``callbacks__<name>__<parameter>``."""
    by_name = {name: _held(callbacks[position]) for name, position in named(callbacks).items()}
    return {
        f"callbacks__{name}__{parameter}": value
        for name, callback in by_name.items()
        if not isinstance(callback, type)
        for parameter, value in callback.get_params().items()
    }


def set_nested(callbacks: Any, changes: dict[str, Any]) -> list[Any]:
    """Set the parameters ``<name>__<parameter>``, and return a list in which classes are replaced by instances."""
    positions = named(callbacks)
    by_name: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        name, _, parameter = key.partition("__")
        if name not in positions or not parameter:
            raise ValueError(
                f"callbacks__{key}={value!r} is not a parameter of a callback; write callbacks__<name>__<parameter> "
                f"with a name among {sorted(positions)}."
            )
        by_name.setdefault(name, {})[parameter] = value
    result = list(callbacks)
    for name, parameters in by_name.items():
        callback = _held(result[positions[name]])
        if isinstance(callback, type):
            result[positions[name]] = _with(result[positions[name]], callback(**parameters))
        else:
            callback.set_params(**parameters)
    return result


def _held(entry: Any) -> Any:
    """Return the callback of an entry of the list, which may be a pair of a name and a callback."""
    return entry[-1] if isinstance(entry, tuple) and entry else entry


def _with(entry: Any, callback: Any) -> Any:
    """Return an entry of the list with another callback and the same name."""
    return (*entry[:-1], callback) if isinstance(entry, tuple) else callback


def _is_callback(choice: Any) -> bool:
    return isinstance(choice, Callback) or (isinstance(choice, type) and issubclass(choice, Callback))


def _class_name(choice: Any) -> str:
    return choice.__name__ if isinstance(choice, type) else type(choice).__name__


class BaseWithCallbacks(ParameterizedEstimator):
    """Estimator with a parameter ``callbacks``, whose entries have parameters of their own."""

    callbacks: list[Any] | None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get parameters of this estimator, including ``callbacks__<name>__<parameter>``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the parameters of parts and callbacks too.

        Returns
        -------
        params : dict
            Parameters by name.
        """
        return super().get_params(deep) | (nested_parameters(self.callbacks) if deep else {})

    def set_params(self, **params: Any) -> BaseWithCallbacks:
        """Set parameters, including nested ones: ``<part>__<parameter>`` and ``callbacks__<name>__<parameter>``.

        The name of a callback is that of its pair (name, callback), or the name of its class. If there are several of a
        class, a number from 1 is appended, as in skorch.

        Parameters
        ----------
        **params : dict
            Parameters of this estimator, of its parts or of its callbacks.

        Returns
        -------
        self : object
            This estimator.

        Raises
        ------
        ValueError
            If a parameter does not exist, or a nested parameter belongs to a part that was given as a string.
        """
        of_callbacks = {name: params.pop(name) for name in list(params) if name.startswith("callbacks__")}
        super().set_params(**params)
        if of_callbacks:
            changes = {name.removeprefix("callbacks__"): value for name, value in of_callbacks.items()}
            self.callbacks = set_nested(self.callbacks, changes)
        return self

    def __sklearn_clone__(self) -> BaseWithCallbacks:
        """Clone the estimator; callbacks are copied, and share their attributes with the originals."""
        bare = object.__new__(type(self))
        bare.__dict__.update(self.__dict__, callbacks=None)
        cloned = super(BaseWithCallbacks, bare).__sklearn_clone__()
        cloned.callbacks = copied(self.callbacks)
        return cloned
