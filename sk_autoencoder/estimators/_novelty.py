"""Whether training samples contradict ``novelty=True``."""

import numpy as np

from sk_autoencoder._rounding import ROUNDING
from sk_autoencoder._warnings import warn

# With novelty=True, fit warns if more than 2 % of the training samples have scores that one in 500 inliers exceeds, by
# an exponential tail above the median. In 106 sets of inliers, at most 1.8 % had. Where samples are repeated, such
# as counts and categories, scores are no evidence: samples that occur once are far from all others.
_CONTRADICTING, _RARE, _FEWEST_OUTLIERS, DISTINCT = 0.02, 2e-3, 5, 0.9


def warn_of_outliers(held_out: np.ndarray, is_log_scale: bool) -> None:
    """Warn if the scores of held-out training samples show that some of them are outliers."""
    logs = held_out if is_log_scale else np.log(held_out.clip(min=ROUNDING))
    median, upper = np.quantile(logs, [0.5, 0.75])
    n_outliers = np.count_nonzero(logs > median + (upper - median) * np.log2(0.5 / _RARE))
    if n_outliers > max(_CONTRADICTING * len(logs), _FEWEST_OUTLIERS - 1):
        warn(
            f"novelty=True states that all training samples are inliers, but {n_outliers / len(logs):.1%} of them have "
            f"outlier scores that one in {1 / _RARE:.0f} inliers would exceed; use novelty=False, or leave out the "
            "outliers."
        )
