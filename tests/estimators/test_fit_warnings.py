"""Warnings of fit: of copies of training samples and of a low threshold, and that what they advise helps."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.estimators._fit_warnings import share_of_copies

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6))
OTHER_IN_ONE = np.where(np.eye(6, dtype=bool), X[:6] + 1, X[:6])  # coincide with others in each half
SWITCHED_OFF = np.where(np.arange(200)[:, None] < 120, 0.0, X)
INTEGERS = RNG.poisson(2, size=(2000, 6)).astype(float)


@pytest.mark.parametrize(
    ("samples", "share"),
    [
        (X, 0.0),
        (np.repeat(X, 3, axis=0), 1.0),
        (csr_array(np.repeat(X, 3, axis=0)), 1.0),
        (np.r_[X, X[:50]], 0.4),
        (np.round(np.r_[X, X], 2), 1.0),  # values of one feature are equal by chance, of three hardly
        (np.where(np.isin(np.arange(6), [1, 3]), np.r_[X, X], np.nan), 1.0),
        (np.repeat(np.r_[X, OTHER_IN_ONE], 2, axis=0), 1.0),
        (SWITCHED_OFF, 0.0),
        (INTEGERS, 0.0),
        (np.r_[INTEGERS, INTEGERS], 0.0),
        (np.eye(10)[RNG.integers(10, size=500)], 0.0),
        (np.repeat(X[:, :1], 3, axis=0), 0.0),  # one feature may have few values
        (np.repeat(X[:10], 3, axis=0), 0.0),
    ],
    ids=lambda value: str(getattr(value, "shape", value)),
)
def test_share_of_copies(samples, share):
    assert share_of_copies(samples) == share


def test_bootstrap_sample():
    drawn = np.random.default_rng(1).integers(200, size=200)
    assert share_of_copies(X[drawn]) == np.isin(drawn, np.flatnonzero(np.bincount(drawn) > 1)).mean()


def test_warning_and_its_advice():
    copies, new = np.repeat(X, 3, axis=0), np.random.default_rng(1).normal(size=(300, 6))
    settings = {"max_iter": 20, "random_state": 0}
    with pytest.warns(UserWarning, match=r"^100% of the training samples are equal to another one"):
        found = AutoencoderOutlierDetector(**settings).fit(copies)
    assert (found.p_values(new) <= 0.05).mean() > 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distinct, counts = np.unique(copies, axis=0, return_counts=True)
        for mended in (
            AutoencoderOutlierDetector(**settings).fit(distinct, sample_weight=counts),
            AutoencoderOutlierDetector(**settings).fit(copies, groups=np.arange(600) // 3),
            AutoencoderOutlierDetector(n_estimators=1, **settings).fit(copies),  # holds out copies together
        ):
            assert (mended.p_values(new) <= 0.05).mean() < 0.12


def test_threshold_of_a_single_member():
    """It is trained on most samples whose scores make the threshold."""
    new = np.random.default_rng(1).normal(size=(500, 6))
    single = AutoencoderOutlierDetector(n_estimators=1, max_iter=20, contamination=0.05, random_state=0)
    with pytest.warns(UserWarning, match=r"exceeded by 5% of the training samples.*but by \d+% of those"):
        low = single.fit(X[:100])
    assert (low.predict(new) == -1).mean() > 0.15
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for changes in ({"n_estimators": 5}, {"n_estimators": 1, "contamination": "conformal"}):
            found = single.set_params(**changes).fit(X[:100]).predict(new)
            assert (found == -1).mean() < 0.12
    with pytest.raises(TypeError, match=r"write recalibrate\(contamination='tail'\)"):
        single.recalibrate("tail")
