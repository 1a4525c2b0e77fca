"""Threshold rules on scores whose distribution is known."""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

from sk_autoencoder.thresholds import (
    THRESHOLDS,
    Auto,
    Conformal,
    Evidence,
    Hampel,
    Quantile,
    Tail,
    _pareto_quantile,
    exponential_tail,
)

RULES = {name: rule() for name, rule in THRESHOLDS.items()} | {"quantile": Quantile(0.05), "alpha": Conformal(0.01)}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
DISTRIBUTIONS = {
    "normal": stats.norm(),
    "exponential": stats.expon(),
    "uniform": stats.uniform(),
    "student": stats.t(4),
    "lognormal": stats.lognorm(1.0),
}
each_distribution = pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)


def draw(distribution, n, seed=0):
    return np.sort(distribution.rvs(n, random_state=seed))


@each_rule
@pytest.mark.parametrize("n", [1, 2, 3, 9, 10, 11, 20, 500])
def test_finite_for_any_number_of_rows(rule, n):
    scores = draw(stats.norm(), n)
    threshold = rule(scores, scores)
    assert isinstance(threshold, float)
    assert np.isfinite(threshold)


@each_rule
@pytest.mark.parametrize("value", [0.0, -3.5, 1e12, 1e-12])
def test_equal_scores_are_no_outliers(rule, value):
    scores = np.full(40, value)
    assert not (scores > rule(scores, scores)).any()


@each_rule
def test_moves_with_the_scores(rule):
    """Shift and scale have no meaning in a score."""
    scores = draw(stats.expon(), 300)
    np.testing.assert_allclose(rule(3 * scores + 7, 3 * scores + 7), 3 * rule(scores, scores) + 7)


@each_rule
def test_order_of_rows_does_not_matter(rule):
    scores = draw(stats.norm(), 200)
    turned = np.random.default_rng(0).permutation(scores)
    assert rule(turned, turned) == pytest.approx(rule(scores, scores))


@each_rule
def test_clones(rule):
    scores = draw(stats.norm(), 200)
    assert clone(rule)(scores, scores) == rule(scores, scores)


@each_rule
def test_reads_the_scores_it_says(rule):
    """A share of the training rows is a quantile of these; the other rules see held-out rows alone."""
    scores, held_out = draw(stats.expon(), 200), draw(stats.expon(), 100, seed=1)
    moved_scores = rule(scores + 1, held_out) != rule(scores, held_out)
    moved_held_out = rule(scores, held_out + 1) != rule(scores, held_out)
    assert (moved_scores, moved_held_out) == ((True, False) if isinstance(rule, Quantile) else (False, True))


@pytest.mark.parametrize("contamination", [0.001, 0.01, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("n", [2, 10, 99, 100, 1001])
def test_quantile_is_the_share_of_the_training_rows(n, contamination):
    scores = draw(stats.norm(), n)
    flagged = (scores > Quantile(contamination)(scores, scores)).sum()
    assert abs(flagged - contamination * n) <= 1


def test_quantile_with_ties_flags_fewer():
    scores = np.repeat([0.0, 1.0], [60, 40])
    assert (scores > Quantile(0.2)(scores, scores)).sum() == 0
    assert (scores > Quantile(0.45)(scores, scores)).sum() == 40


class TestHampel:
    def test_against_its_definition(self):
        scores = np.arange(101.0)
        assert Hampel(2.0)(scores, scores) == pytest.approx(50 + 2 * 25 / stats.norm.ppf(0.75))

    @pytest.mark.parametrize("n_deviations", [1.0, 2.0, 3.0])
    def test_normal_scores(self, n_deviations):
        scores = draw(stats.norm(), 20_000)
        assert Hampel(n_deviations)(scores, scores) == pytest.approx(n_deviations, rel=0.05)

    def test_outliers_among_held_out_rows_hardly_move_it(self):
        scores = draw(stats.norm(), 1000)
        spoilt = np.concatenate([scores, np.full(250, 1e6)])
        assert Hampel()(spoilt, spoilt) < 3 * Hampel()(scores, scores)

    def test_lower_half_does_not_count(self):
        scores = draw(stats.norm(), 1001)
        stretched = np.where(scores < np.median(scores), 1000 * scores, scores)
        assert Hampel()(stretched, stretched) == pytest.approx(Hampel()(scores, scores))


class TestTail:
    @each_distribution
    @pytest.mark.parametrize("alpha", [0.01, 0.05])
    def test_false_alarms(self, distribution, alpha):
        """The mean over draws of the probability beyond the threshold, computed exactly."""
        rates = [distribution.sf(Tail(alpha)(s, s)) for s in (draw(distribution, 500, seed) for seed in range(30))]
        assert 0.7 * alpha < np.mean(rates) < 1.3 * alpha

    @pytest.mark.parametrize("name", ["exponential", "student", "lognormal"])
    def test_extrapolates_beyond_all_rows(self, name):
        scores = draw(DISTRIBUTIONS[name], 200)
        assert Tail(1e-4)(scores, scores) > scores.max()

    def test_a_level_inside_the_tail_is_a_quantile(self):
        scores = draw(stats.norm(), 1000)
        assert Tail(0.3)(scores, scores) == np.quantile(scores, 0.7)

    @pytest.mark.parametrize(("tail", "n", "n_tail"), [(0.1, 300, 30), (0.2, 300, 60), (0.1, 50, 10), (0.5, 8, 8)])
    def test_is_fitted_on_a_share_of_the_scores_and_ten_at_least(self, tail, n, n_tail):
        scores = draw(stats.expon(), n) + 1
        for rank in range(1, n + 1):
            moved = scores.copy()
            moved[-rank] -= 0.3 * (scores[-rank] - scores[-rank - 1]) if rank < n else 0.3
            changes = Tail(0.01, tail)(moved, moved) != Tail(0.01, tail)(scores, scores)
            assert changes == (rank <= n_tail), rank

    @pytest.mark.parametrize(("spread", "same_moments"), [(1.0, stats.expon()), (3**-0.5, stats.uniform(scale=2))])
    def test_distribution_has_the_moments_of_the_excesses(self, spread, same_moments):
        excesses = np.repeat([1 - spread, 1 + spread], 5)
        assert _pareto_quantile(excesses, 0.02) == pytest.approx(same_moments.isf(0.02))

    def test_falls_with_alpha(self):
        scores = draw(stats.expon(), 300)
        thresholds = [Tail(alpha)(scores, scores) for alpha in (0.0001, 0.001, 0.01, 0.05, 0.2)]
        assert (np.diff(thresholds) < 0).all()


class TestConformal:
    @pytest.mark.parametrize("n", [20, 99, 500])
    @pytest.mark.parametrize("alpha", [0.05, 0.1, 0.5])
    @each_distribution
    def test_level_holds(self, distribution, alpha, n):
        """In the mean over draws the level is floor(alpha (n + 1)) / (n + 1), whatever the distribution."""
        draws = distribution.rvs((400, n), random_state=0)
        rates = distribution.sf([Conformal(alpha)(scores, scores) for scores in draws])
        exact = np.floor(alpha * (n + 1) + 1e-9) / (n + 1)
        error = np.sqrt(exact * (1 - exact) / (n + 2) / 400)
        assert exact <= alpha + 1e-9
        assert np.mean(rates) == pytest.approx(exact, abs=4 * error)

    def test_counts_rows(self):
        scores = np.arange(1.0, 100.0)  # n + 1 = 100
        assert [Conformal(a)(scores, scores) for a in (0.01, 0.05, 0.1)] == [99.0, 95.0, 90.0]

    def test_flags_where_the_p_value_is_small(self):
        held_out = draw(stats.norm(), 57)
        new = np.linspace(-4, 4, 2001)
        p_values = (1 + (held_out >= new[:, None]).sum(axis=1)) / 58
        for alpha in (0.05, 0.1, 0.37):
            np.testing.assert_array_equal(new > Conformal(alpha)(held_out, held_out), p_values <= alpha)

    def test_rounding_of_the_level_loses_no_row(self):
        assert 0.29 * 100 < 29
        assert Conformal(0.29)(np.arange(99.0), np.arange(99.0)) == 70.0  # the 29th largest

    @pytest.mark.parametrize("alpha", [1e-9, 0.01, 1 - 1e-12])
    def test_levels_that_few_rows_cannot_tell_apart(self, alpha):
        scores = np.arange(10.0)
        assert Conformal(alpha)(scores, scores) == (0.0 if alpha > 0.5 else 9.0)


@pytest.mark.parametrize(
    "rule",
    [
        *(Quantile(0.0), Quantile(0.6), Hampel(0.0), Hampel(-1)),
        *(Tail(alpha=0), Tail(alpha=0.5), Tail(tail=0), Tail(tail=1), Conformal(0), Conformal(1)),
    ],
    ids=str,
)
def test_wrong_levels(rule):
    from sk_autoencoder._parts import resolve

    with pytest.raises(ValueError, match=f"parameter of {type(rule).__name__} must be"):
        resolve(THRESHOLDS, rule)


class TestAuto:
    def test_exponential_scores(self):
        scores = np.random.default_rng(0).exponential(2.0, size=20_000) + 5
        for rule, alpha in ((Auto(0.01), 0.01), (Auto(), 0.015), (Auto(0.05), 0.05)):
            assert (scores > rule(scores, scores)).mean() == pytest.approx(alpha, rel=0.25)

    def test_outliers_hardly_move_it(self):
        scores = np.random.default_rng(0).exponential(size=2000)
        clean = Auto()(scores, scores)
        spoilt = np.r_[scores, np.full(100, 50.0)]
        assert clean < Auto()(spoilt, spoilt) < 1.5 * clean

    def test_the_strangest_training_sample_is_an_outlier(self):
        scores = np.random.default_rng(0).uniform(size=200)
        assert (scores > Auto()(scores, scores)).sum() == 1
        tied = np.r_[scores, [1.0] * 50]  # unless a tenth are as strange
        assert (tied > Auto()(tied, tied)).sum() == 0

    def test_evidence_of_outliers(self):
        scores = np.random.default_rng(0).exponential(size=1000)
        few, many = Auto()(scores, scores), Tail()(scores, scores)
        assert many < few
        for evidence, expected in (
            (Evidence(9.0, 2.5), many),
            (Evidence(9.0, 3.5), few),  # less than .6 % more
            (Evidence(5.9, -1.0), few),  # fewer than 6
            (Evidence(), few),
        ):
            assert Auto().with_evidence(scores, scores, evidence) == expected
        assert Auto(0.2).with_evidence(scores, scores, Evidence(9, 0)) == Auto(0.2)(scores, scores)

    @each_rule
    def test_other_rules_use_no_evidence(self, rule):
        scores = np.random.default_rng(0).exponential(size=1000)
        if not isinstance(rule, Auto):
            assert rule.with_evidence(scores, scores, Evidence(100, 0)) == rule(scores, scores)

    def test_tied_scores_are_left_out_of_the_law(self):
        """Six of ten samples are identical; the others follow an exponential law above them."""
        others = 3 + np.random.default_rng(0).exponential(size=4000)
        scores = np.r_[np.zeros(6000), others]
        assert (scores > Auto(0.01)(scores, scores)).mean() == pytest.approx(0.01, rel=0.3)
        assert exponential_tail(scores).base == pytest.approx(-np.log(0.25))
