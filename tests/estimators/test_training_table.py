"""The detector as most people use it: fitted on a table, and asked about the same table and about new samples."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.scores import Combined

from .training_tables import DAMAGE, clean, contaminated, houses


@pytest.mark.parametrize("n", [300, 1000])
def test_shares_hold_on_both_sides(n):
    """``contamination`` is the share of the training samples, and about that of clean new samples."""
    for level in (0.05, 0.1):
        rates = []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            model = AutoencoderOutlierDetector(contamination=level, max_iter=40, random_state=seed).fit(clean(n, rng))
            assert (model.labels_ == -1).sum() == pytest.approx(level * n, abs=1)
            rates.append((model.predict(clean(2000, rng)) == -1).mean())
        assert 0.6 * level < np.mean(rates) < 1.5 * level


def test_p_values_on_both_sides():
    rng = np.random.default_rng(0)
    X = clean(400, rng)
    model = AutoencoderOutlierDetector(max_iter=40, random_state=0).fit(X)
    assert (model.p_values(X) <= 0.05).mean() == pytest.approx(0.05, abs=0.003)
    assert (model.p_values(clean(4000, rng)) <= 0.05).mean() == pytest.approx(0.05, abs=0.03)


def test_members_that_held_a_sample_out_find_more():
    """One column scaled, a relation broken, a pair shifted: 10 of 900 samples in the training table."""
    found, by_all = [], []
    for damage in DAMAGE:
        for seed in range(2):
            X, y = houses(900, 10, damage, seed)
            model = AutoencoderOutlierDetector(
                outlier_score=Combined(damped=False), max_iter=60, random_state=seed
            ).fit(X)
            found.append(average_precision_score(y, -model.training_scores_))
            by_all.append(average_precision_score(y, -model.forget_training_samples().score_samples(X)))
    assert np.mean(found) > np.mean(by_all) + 0.02
    assert np.mean(found) > 0.3


def test_rare_outliers_are_found_as_well_as_by_the_reconstruction_error():
    """10 of 900 or 3000 samples in the training table, which damping alone would rank below normal ones."""
    found = {"combined": [], "reconstruction": []}
    for n_samples in (900, 3000):
        for damage in DAMAGE:
            X, y = houses(n_samples, 10, damage, 0)
            for score, precisions in found.items():
                model = AutoencoderOutlierDetector(outlier_score=score, random_state=0).fit(X)
                precisions.append(average_precision_score(y, -model.training_scores_))
    assert np.mean(found["combined"]) > np.mean(found["reconstruction"])


@pytest.mark.parametrize("trained_on", [True, False])
def test_the_wrong_feature_is_named(trained_on):
    hits = 0
    for seed in range(2):
        X, y = houses(900, 10, "occupancy", seed)
        model = AutoencoderOutlierDetector(max_iter=60, random_state=seed).fit(X if trained_on else X[y == 0])
        shares = model.feature_scores(X[y == 1])
        hits += (shares.argmax(axis=1) == 4).sum()
    assert hits >= 18


def test_auto_finds_nearly_as_much_as_tail():
    found = {}
    for seed in range(200, 204):
        for name, X, is_outlier in contaminated(seed):
            model = AutoencoderOutlierDetector(random_state=seed).fit(X)
            for rule in ("auto", "tail"):
                outliers = model.recalibrate(contamination=rule).labels_[is_outlier]
                found.setdefault((name, rule), []).append((outliers == -1).mean())
    means = {key: np.mean(shares) for key, shares in found.items()}
    for name in {name for name, _ in means}:
        assert means[name, "auto"] >= 0.8 * means[name, "tail"] > 0.25


@pytest.mark.parametrize("long_tailed", [False, True])
def test_auto_flags_about_one_percent_of_clean_tables(long_tailed):
    rates = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = clean(2300, rng) if not long_tailed else clean(2300, rng) * rng.chisquare(3, size=(2300, 1)) ** -0.5
        model = AutoencoderOutlierDetector(random_state=seed).fit(X[:300])
        rates.append(((model.labels_ == -1).mean(), (model.predict(X[300:]) == -1).mean()))
    assert 0.003 < np.mean(rates) < 0.015


def test_evidence_of_training_samples_and_others():
    """``recalibrate`` uses the evidence of the samples that it gets."""
    _, X, is_outlier = next(table for table in contaminated(0) if table[0].startswith("houses"))
    model = AutoencoderOutlierDetector(random_state=0).fit(X)
    by_all = model.offset_
    assert model.recalibrate().offset_ == model.recalibrate(X).offset_ == by_all
    assert by_all == model.recalibrate(contamination="tail").offset_
    clean_only = model.recalibrate(X[~is_outlier], contamination="auto").offset_
    assert clean_only < model.recalibrate(X[~is_outlier], contamination="tail").offset_


def test_identical_samples():
    """Six of ten samples are one and the same; those that differ are no outliers as such, planted ones are."""
    rng = np.random.default_rng(0)
    X = 3 + rng.normal(size=(600, 6))
    X[rng.random(600) < 0.6] = 0
    differ = X.any(axis=1)
    X[np.flatnonzero(differ)[:6]] += 12
    model = AutoencoderOutlierDetector(max_iter=60, random_state=0)
    labels = model.fit_predict(X)
    planted = np.flatnonzero(differ)[:6]
    assert (labels[planted] == -1).all()
    assert (np.delete(labels, planted) == -1).mean() < 0.05
