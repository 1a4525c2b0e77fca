"""What displays ask of estimators, and what samples are called in a picture."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted


def check_detector(estimator: Any, *methods: str) -> None:
    """Check that an estimator is fitted and has what an outlier detector has."""
    missing = _missing(estimator, methods)
    if missing:
        raise ValueError(f"{type(estimator).__name__} has no {missing}: it is no outlier detector.")


def check_transformer(caller: str, estimator: Any, *methods: str) -> None:
    """Check that an estimator is fitted and gives codes; ``caller`` is the display named in the error."""
    missing = _missing(estimator, methods)
    if missing:
        raise TypeError(
            f"{caller} draws codes, but {type(estimator).__name__} has no {missing}; use a transformer such as "
            "AutoencoderTransformer, or OutlierScoreDisplay and OutlierReconstructionDisplay for a detector."
        )


def _missing(estimator: Any, methods: tuple[str, ...]) -> str:
    check_is_fitted(estimator)
    return " and no ".join(name for name in methods if not hasattr(estimator, name))


def active_first(estimator: Any) -> int:
    """Return the most active component of a fitted transformer, or the first one where activity is not known."""
    active = getattr(estimator, "active_components_", [0])
    return int(active[0]) if len(active) else 0


def has_collapsed(estimator: Any, component: int) -> bool:
    """Whether a fitted transformer says that its decoder does without this component."""
    return hasattr(estimator, "active_components_") and component not in estimator.active_components_


def map_names(estimator: Any) -> tuple[str, str]:
    """Names of the first two components on the axes of a map."""
    first, second = (f"Component {i + 1}{' (collapsed)' * has_collapsed(estimator, i)}" for i in (0, 1))
    return first, second


def row_labels(X: Any) -> list[str] | None:
    """Name the samples of a pandas DataFrame by their labels, like "row 'a'"; None if X has no labels."""
    if not hasattr(X, "iloc"):
        return None
    return [f"row {label!r}" if isinstance(label, str) else f"row {label}" for label in X.index]
