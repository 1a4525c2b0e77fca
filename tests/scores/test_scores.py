"""Scores against direct computations in numpy and scikit-learn, on evaluations made by hand."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import norm
from sklearn.base import clone
from sklearn.covariance import OAS, LedoitWolf, MinCovDet
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state
from skorch.callbacks import Callback

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores import (
    SCORES,
    CodeDistance,
    Combined,
    DependenceTree,
    FeatureTails,
    Mahalanobis,
    RankDistance,
    ReconstructionError,
    ReconstructionIsolation,
    RelativeDistance,
    ResidualDistance,
    SampleDistance,
    SampleIsolation,
    SensorError,
)
from sk_autoencoder.scores.base import city_block
from sk_autoencoder.scores.combined import name_of
from sk_autoencoder.scores.dependence import _tree
from sk_autoencoder.scores.distances import _euclidean
from sk_autoencoder.scores.surprises import damp

N_FEATURES, N_COMPONENTS = 5, 3
TENSORS = ("code", "reconstruction", "target")
SPREADS = np.array([1.0, 3.0, 0.5, 10.0, 0.1])

# Every registry line, and every choice within one.
ALL = {name: score() for name, score in SCORES.items()} | {
    "raw": ReconstructionError(normalize=None),
    "log": ReconstructionError(normalize="log"),
    "code+residual": Mahalanobis(on="code+residual"),
    "robust": Mahalanobis(covariance=MinCovDet(random_state=0)),
    "three": Combined(["reconstruction", CodeDistance(2), "mahalanobis"]),
    "all": Combined(n_largest=None),
    "grouped": Combined(
        [Combined(["reconstruction", "sample_distance"], n_largest=None), "sample_distance", "sample_isolation"]
    ),
    "neighbors": SampleDistance(7),
    "few subsets": SampleIsolation(n_subsets=3, subset_size=5),
    "sensors": SensorError(5),
}
each_score = pytest.mark.parametrize("score", ALL.values(), ids=ALL)


def evaluation(n_rows, seed, n_members=1):
    """Residuals that depend on each other and are not centred, and codes, as a network would leave them."""
    rng = np.random.default_rng(seed)
    shape = (n_members, n_rows)
    mix = np.random.default_rng(99).normal(size=(N_FEATURES, N_FEATURES)) + 2 * np.eye(N_FEATURES)
    residual = (rng.normal(size=(*shape, N_FEATURES)) @ mix + 0.5) * SPREADS
    target = rng.normal(size=(*shape, N_FEATURES))
    code = rng.normal(size=(*shape, N_COMPONENTS)) * [1.0, 5.0, 0.2]
    tensors = [torch.tensor(a, dtype=torch.float64) for a in (code, target - residual, target)]
    return found(*tensors)


def found(code, reconstruction, target):
    """Return an evaluation with the terms of all objectives."""
    parts = {"reconstruction": (target - reconstruction).square().mean(dim=-1), "kl": code.square().mean(dim=-1)}
    return Evaluation(torch.zeros(()), parts, code, reconstruction, target)


REFERENCES, HELD_OUT, NEW = evaluation(60, 0), evaluation(40, 1), evaluation(17, 2)


def residuals(rows):
    return (rows.target - rows.reconstruction)[0].numpy()


def fitted(score, references=REFERENCES, held_out=HELD_OUT):
    return score.fit(references, held_out)


def uses_min_cov_det(score):
    return any(isinstance(part, MinCovDet) for part in score.get_params().values())


def scored(score, new=NEW, **rows):
    """Score rows of a single member."""
    return score(new, fitted(score, **rows))[0].numpy()


@each_score
def test_one_finite_float64_for_each_row(score):
    result = scored(score)
    assert result.shape == (17,)
    assert result.dtype == np.float64
    assert np.isfinite(result).all()


@each_score
def test_larger_for_stranger_rows(score):
    far = found(NEW.code * 100, NEW.reconstruction * 1000, NEW.target + 100)
    assert (scored(score, far) > scored(score)).all()


@each_score
def test_parameters_clone(score):
    assert clone(score).get_params(deep=False).keys() == score.get_params(deep=False).keys()
    np.testing.assert_array_equal(scored(clone(score)), scored(score))


@each_score
def test_what_stands_beside_does_not_matter(score):
    """Rows and members have their own results: rows to the bit, whatever their number."""
    references, held_out = evaluation(60, 3, n_members=2), evaluation(40, 4, n_members=2)
    state = score.fit(references, held_out)
    shared = {name for name in state if name.endswith("sorted")}  # values of all members
    assert all(len(value) == 1 + (name not in shared) for name, value in state.items())
    rows = evaluation(150, 5, n_members=2)
    together = score(rows, state)
    for part in (slice(0, 2), slice(31, 33), slice(1, 34), slice(5, 102), slice(64, 150)):
        torch.testing.assert_close(score(rows[:, part], state), together[:, part], rtol=0, atol=0)
    # Combined looks at all members before it chooses; ReconstructionIsolation gives each member other directions;
    # RankDistance counts ranks among the references of all members.
    if not isinstance(score, Combined | ReconstructionIsolation | RankDistance):
        alone = score(rows[1:], score.fit(references[1:], held_out[1:]))
        torch.testing.assert_close(alone[0], together[1], rtol=1e-12, atol=0)


@each_score
@pytest.mark.parametrize("n_rows", [1, 2, 3, 5])
def test_few_held_out_rows(score, n_rows):
    few = HELD_OUT[:, :n_rows]
    if n_rows > 1 and uses_min_cov_det(score):
        pytest.skip("MinCovDet warns, rightly, that there are fewer samples than features")
    assert np.isfinite(scored(score, held_out=few)).all()
    assert np.isfinite(scored(score, few, held_out=few)).all()


@each_score
def test_equal_rows(score):
    """Nothing varies: spreads are not divided by."""
    same = HELD_OUT[:, [0] * 20]
    if uses_min_cov_det(score):
        pytest.skip("MinCovDet refuses samples that do not vary")
    assert np.isfinite(scored(score, references=same, held_out=same)).all()


@pytest.mark.parametrize("score", [s for s in ALL.values() if s.explains_features], ids=str)
def test_feature_scores_sum_to_the_score(score):
    state = fitted(score)
    shares = score.feature_scores(NEW, state)[0].numpy()
    total = score(NEW, state)[0].numpy()
    assert shares.shape == (17, N_FEATURES)
    if score.get_params().get("on") == "code+residual":
        assert not np.allclose(shares.sum(axis=1), total)
    elif score is ALL["three"]:  # codes have no features
        assert (shares.sum(axis=1) <= total * (1 + 1e-10)).all()
    else:
        np.testing.assert_allclose(shares.sum(axis=1), total, rtol=1e-10)


def test_no_feature_scores_without_a_residual():
    assert not CodeDistance().explains_features
    assert not Combined(["code_distance"]).explains_features
    assert Combined(["code_distance", "reconstruction"]).explains_features
    with pytest.raises(NotImplementedError, match="CodeDistance does not explain features"):
        CodeDistance().feature_scores(NEW, {})


def seen_by_ranks(rows, references):
    """Normal quantiles of ranks among the references, and logarithms: what RankDistance compares."""
    below = (references < rows[:, None]).sum(axis=1)
    up_to = (references <= rows[:, None]).sum(axis=1)
    quantiles = norm.ppf(((below + up_to) / 2 + 0.5) / (len(references) + 1))
    return np.concatenate([quantiles, signed_log(rows)], axis=1)


@pytest.mark.parametrize("n_neighbors", [1, 2, 25])
@pytest.mark.parametrize("kind", [SampleDistance, RankDistance])
def test_shared_references(kind, n_neighbors):
    """Members that judge the same rows compare them with each reference once, and find what they find alone."""
    rng = np.random.default_rng(0)
    folds = rng.normal(size=(3, 20, N_FEATURES))
    others = torch.tensor([[1, 2], [0, 2], [0, 1], [1, 2]])
    target = torch.from_numpy(folds)[others].swapaxes(1, 2).flatten(1, 2)
    references, rows = found(target, target, target), evaluation(50, 1)
    rows = rows.map(lambda tensor: tensor.expand(4, -1, -1))
    pool = folds.reshape(-1, N_FEATURES)
    transform = (lambda table: seen_by_ranks(table, pool)) if kind is RankDistance else np.asarray

    score = kind(n_neighbors)
    state = score.fit(references, references, others)
    np.testing.assert_allclose(state["references"].flatten(0, 1), transform(pool), rtol=1e-12)
    shared = score(rows, state)
    for member, own in enumerate(others.tolist()):
        known = transform(folds[own].reshape(-1, N_FEATURES))
        distances = cdist(transform(rows.target[0].numpy()), known, metric="cityblock")
        expected = np.sort(distances, axis=1)[:, :n_neighbors].mean(axis=1)
        np.testing.assert_allclose(shared[member], expected, rtol=1e-12)
    different = rows.map(lambda tensor: torch.cat([tensor[:3], tensor[3:] + 1]))
    torch.testing.assert_close(score(different, state)[:3], shared[:3], rtol=0, atol=0)
    assert not torch.equal(score(different, state)[3], shared[3])


@pytest.mark.parametrize("score", [SampleIsolation(), SampleIsolation(3, 5), FeatureTails(), FeatureTails(8)])
def test_members_share_what_they_compare_with(score):
    """Isolation and tails store each reference once, and each member finds what it finds alone."""
    folds = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 20, N_FEATURES)).round(1))
    others = torch.tensor([[1, 2], [0, 2], [0, 1], [1, 2]])
    target = folds[others].swapaxes(1, 2).flatten(1, 2)
    references, new = found(target, target, target), evaluation(50, 1)
    same = new.map(lambda tensor: tensor.expand(4, -1, -1))
    different = same.map(lambda tensor: torch.cat([tensor[:3], tensor[3:].flip(1)]))
    state = score.fit(references, references, others)
    n_references = score.n_references if isinstance(score, FeatureTails) else score.n_subsets * score.subset_size
    n_of_source = min(20, -(-n_references // 2))
    stored = state["sorted"][0].mT if "sorted" in state else state["references"].flatten(0, 1)
    assert stored.shape == (3 * n_of_source, N_FEATURES)
    for rows in (same, different):
        results = score(rows, state), score.feature_scores(rows, state)
        for member in range(4):
            known, own = (part.map(lambda tensor, i=member: tensor[i : i + 1]) for part in (references, rows))
            alone = score.fit(known, known)
            for result, expected in zip(results, (score(own, alone), score.feature_scores(own, alone)), strict=True):
                torch.testing.assert_close(result[member], expected[0], rtol=0, atol=0)


class TestRelativeDistance:
    @pytest.mark.parametrize("exponent", [0, 0.5, 1])
    @pytest.mark.parametrize("n_neighbors", [1, 5, 25])
    def test_shared_references(self, n_neighbors, exponent):
        """References are compared with those of all members, new samples with those of each member."""
        rng = np.random.default_rng(0)
        folds = rng.normal(size=(3, 20, N_FEATURES))
        others = torch.tensor([[1, 2], [0, 2], [0, 1], [1, 2]])
        target = torch.from_numpy(folds)[others].swapaxes(1, 2).flatten(1, 2)
        references, rows = found(target, target, target), evaluation(50, 1)
        same = rows.map(lambda tensor: tensor.expand(4, -1, -1))
        score = RelativeDistance(n_neighbors, exponent=exponent)
        state = score.fit(references, references, others)

        pool = folds.reshape(-1, N_FEATURES)
        seen, known = seen_by_ranks(rows.target[0].numpy(), pool), seen_by_ranks(pool, pool)
        theirs = np.sort(cdist(known, known), axis=1)[:, 1 : 1 + n_neighbors].mean(axis=1)
        np.testing.assert_allclose(state["own"].flatten(), theirs, rtol=1e-12)
        shared = score(same, state)
        for member, own in enumerate(others.tolist()):
            places = np.concatenate([np.arange(20) + 20 * fold for fold in own])
            distances = cdist(seen, known[places])
            nearest = np.argsort(distances, axis=1)[:, :n_neighbors]
            mean = np.take_along_axis(distances, nearest, axis=1).mean(axis=1)
            expected = mean / theirs[places[nearest]].mean(axis=1) ** exponent
            np.testing.assert_allclose(shared[member], expected, rtol=1e-12)
        different = same.map(lambda tensor: torch.cat([tensor[:3], tensor[3:] + 1]))
        torch.testing.assert_close(score(different, state)[:3], shared[:3], rtol=1e-12, atol=0)
        assert not torch.equal(score(different, state)[3], shared[3])

    def test_members_with_samples_of_their_own(self):
        """The same samples may be references of several members: they are not compared with each other."""
        target = REFERENCES.target.expand(2, -1, -1)
        both = found(target, target, target)
        new = NEW.map(lambda tensor: tensor.expand(2, -1, -1))
        state = RelativeDistance(1).fit(both, both)
        assert torch.equal(*state["own"])
        assert state["own"].min() > 0.01
        assert RelativeDistance(1)(new, state).isfinite().all()

    @pytest.mark.parametrize("n_references", [1, 3])
    def test_few_references_and_copies(self, n_references):
        known = REFERENCES[:, :n_references]
        scores = scored(RelativeDistance(), known, references=known)
        assert np.isfinite(scores).all()
        copies = REFERENCES[:, [0] * 20]
        near, far = (scored(RelativeDistance(), rows, references=copies) for rows in (copies, NEW))
        assert near.max() < far.min()

    def test_sample_beside_a_dense_part_is_more_outlying(self):
        rng = np.random.default_rng(0)
        parts = rng.normal(size=(300, 2)), 20 + 10 * rng.normal(size=(300, 2))
        known = torch.from_numpy(np.concatenate(parts))[None]
        beside = torch.tensor([[[-4.0, -4.0], [60.0, 60.0]]], dtype=torch.float64)
        plain, local = (
            scored(RelativeDistance(exponent=exponent), found(*[beside] * 3), references=found(*[known] * 3))
            for exponent in (0, 1)
        )
        assert local[0] / local[1] > plain[0] / plain[1]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("width", [1, 5, 64, 200])
    @pytest.mark.parametrize("n_references", [1, 6, 301])
    def test_nearest(self, n_threads, width, n_references, dtype):
        """Distances are right, and a row's bits do not depend on the rows beside it."""
        rows = torch.from_numpy(np.random.default_rng(0).normal(size=(300 + 2 * n_references, width))).to(dtype)
        references = rows[300:].unflatten(0, (2, n_references))
        distances, places = _euclidean(rows[:300], references, 5)
        direct = np.stack([cdist(rows[:300].double(), own.double()) for own in references], axis=1)
        expected = np.sort(direct, axis=2)[..., :5]
        tolerance = {"rtol": 1e-4, "atol": 1e-3} if dtype == torch.float32 else {"rtol": 1e-10}
        np.testing.assert_allclose(np.sort(distances, axis=2), expected, **tolerance)
        np.testing.assert_allclose(np.take_along_axis(direct, places.numpy(), axis=2), distances, **tolerance)
        for first, last in ((0, 2), (1, 18), (299, 300)):
            for part, whole in zip(_euclidean(rows[first:last], references, 5), (distances, places), strict=True):
                assert torch.equal(part, whole[first:last])


class TestDependenceTree:
    def rows(self, n_rows, seed=0):
        """Two pairs of features that depend on each other, and one without dependence."""
        rng = np.random.default_rng(seed)
        first, second, alone = rng.normal(size=(3, n_rows))
        return np.stack([first, second, first + 0.1 * rng.normal(size=n_rows), alone, -second], axis=1)

    def fitted(self, target, **parameters):
        rows = torch.from_numpy(target)[None]
        return DependenceTree(**parameters).fit(found(rows, rows, rows), HELD_OUT)

    def scores(self, state, target, **parameters):
        rows = torch.from_numpy(target)[None]
        return DependenceTree(**parameters)(found(rows, rows, rows), state)[0].numpy()

    def test_edges_are_those_of_dependent_features(self):
        edges = {tuple(edge) for edge in self.fitted(self.rows(500))["edges"][0].tolist()}
        assert len(edges) == 4
        assert {(0, 2), (1, 4)} <= edges

    @pytest.mark.parametrize("seed", range(6), ids=str)
    def test_rounding_does_not_tell_copies_of_features_apart(self, seed):
        """The correlations of copies, and of opposite features, are equal on any number of threads."""
        ranks = np.random.default_rng(seed).permuted(np.tile(np.arange(1024), (30, 1)), axis=1)
        bins = torch.from_numpy(np.concatenate([ranks, ranks[:20], 1023 - ranks]) // 128).double()
        before, trees = torch.get_num_threads(), []
        try:
            for n_threads in (1, 2, 4):
                torch.set_num_threads(n_threads)
                trees.append(_tree(bins))
        finally:
            torch.set_num_threads(before)
        assert torch.equal(trees[0], trees[1])
        assert torch.equal(trees[0], trees[2])

    def test_against_fractions_of_bins(self):
        target = self.rows(400)[:, [0, 2]]
        new = self.rows(50, seed=1)[:, [0, 2]]
        limits = np.sort(target, axis=0)[np.arange(1, 4) * 100]
        known, seen = ((rows[:, :, None] > limits.T).sum(axis=2) for rows in (target, new))
        joint = np.zeros((4, 4))
        np.add.at(joint, tuple(known.T), 1 / 400)
        independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
        joint = (400 * joint + 8 * independent) / 408
        expected = -np.log(joint / independent)[tuple(seen.T)]
        found_ = self.scores(self.fitted(target, n_bins=4), new, n_bins=4)
        np.testing.assert_allclose(found_, expected, rtol=1e-12)

    def test_values_that_do_not_belong_together(self):
        new = self.rows(200, seed=1)
        broken = new.copy()
        broken[:, 2] *= -1
        broken = broken[np.abs(new[:, 0]) > 1]
        state = self.fitted(self.rows(1000))
        assert self.scores(state, broken).min() > np.quantile(self.scores(state, new), 0.95)

    @pytest.mark.parametrize("columns", [[3], [3, 3], []])
    def test_one_feature_has_no_edges_and_constants_say_nothing(self, columns):
        target = self.rows(100)[:, columns] if columns else np.ones((100, 3))
        scores = self.scores(self.fitted(target), target)
        assert np.isfinite(scores).all()
        if columns != [3, 3]:
            np.testing.assert_allclose(scores, 0, atol=1e-12)

    @pytest.mark.parametrize("constant", [False, True])
    def test_values_far_outside_are_less_probable_than_all_others(self, constant):
        """Of independent features, of which each pair of bins has samples, and of constants."""
        target = np.zeros((30, 3)) if constant else self.rows(3000)[:, [0, 1, 3]]
        state = self.fitted(target)
        width = np.maximum(np.ptp(target, axis=0), 1)
        inside, below, above = target.max(axis=0) + 0.9 * width, target.min(axis=0) - 1.1 * width, np.full(3, 1e30)
        scores = self.scores(state, np.stack([inside, below, above, -above]))
        assert scores[1:] == pytest.approx([scores[1]] * 3)
        assert scores[1] > max(self.scores(state, target).max(), scores[0]) + 1


def test_clipping_is_at_the_median():
    """Without clipping, samples that are nearer than most are told apart, down to a surprise of 0."""
    near = HELD_OUT.map(lambda tensor: 0.01 * tensor)
    bounds = {True: np.log(2), False: 0.0}
    for clipped, lowest in bounds.items():
        score = Combined(["reconstruction"], clipped=clipped)
        found_ = scored(score, HELD_OUT)
        assert found_.min() == pytest.approx(lowest, abs=0 if clipped else 0.3)
        assert (np.mean(found_ == lowest) > 0.4) == clipped
        assert scored(score, near).max() == pytest.approx(lowest)


class TestReconstructionError:
    def test_raw(self):
        expected = (residuals(NEW) ** 2).mean(axis=1)
        np.testing.assert_allclose(scored(ReconstructionError(normalize=None)), expected)

    def test_standard(self):
        rms = np.sqrt((residuals(HELD_OUT) ** 2).mean(axis=0))
        expected = ((residuals(NEW) / rms) ** 2).mean(axis=1)
        np.testing.assert_allclose(scored(ReconstructionError()), expected)
        assert scored(ReconstructionError(), HELD_OUT).mean() == pytest.approx(1)

    def test_log(self):
        rms = np.sqrt((residuals(HELD_OUT) ** 2).mean(axis=0))
        expected = np.log1p((residuals(NEW) / rms) ** 2).mean(axis=1)
        np.testing.assert_allclose(scored(ReconstructionError(normalize="log")), expected)

    def test_feature_scores_are_not_negative(self):
        for normalize in (None, "standard", "log"):
            score = ReconstructionError(normalize)
            assert (score.feature_scores(NEW, fitted(score)) >= 0).all()


class NoTraining(Callback):
    """Fails if a training begins."""

    def on_train_begin(self, net, **kwargs):
        raise AssertionError


class TestSensorError:
    def test_against_numpy(self):
        pairs = [(evaluation(n, seed), evaluation(n, seed + 5)) for n, seed in ((40, 1), (17, 2))]
        rows = [found(*(torch.cat([getattr(own, name) for own in pair], dim=-1) for name in TENSORS)) for pair in pairs]
        held_out, new = (np.log(np.square(residuals(own)).reshape(-1, 2, N_FEATURES).mean(axis=-1)) for own in rows)
        expected = ((new - held_out.mean(axis=0)) / held_out.std(axis=0)).max(axis=1)
        np.testing.assert_allclose(scored(SensorError(2), rows[1], held_out=rows[0]), expected)

    def test_sensors_must_divide_the_features(self):
        for score in (SensorError(2), Combined([SensorError(2), "mahalanobis"])):
            detector = AutoencoderOutlierDetector(outlier_score=score, callbacks=[NoTraining()])
            with pytest.raises(ValueError, match="n_sensors=2 of SensorError does not divide the 5 features"):
                detector.fit(np.random.default_rng(0).normal(size=(40, 5)))


@each_score
def test_scales_of_other_samples(score):
    """Larger errors become usual; what comes from references is kept."""
    other = found(HELD_OUT.code, HELD_OUT.target - 10 * (HELD_OUT.target - HELD_OUT.reconstruction), HELD_OUT.target)
    state = fitted(score)
    again = score.rescaled(other, state)
    assert again.keys() == state.keys()
    larger = score(other, state)
    if isinstance(score, Combined):
        assert score(other, again).median() < larger.median()
    elif isinstance(score, ReconstructionError | SensorError) or score.get_params().get("on") == "residual":
        torch.testing.assert_close(score(other, again), score(other, score.fit(REFERENCES, other)))
    else:
        torch.testing.assert_close(score(other, again), larger)


class TestMahalanobis:
    @pytest.mark.parametrize("covariance", [None, OAS(), MinCovDet(random_state=0)], ids=str)
    @pytest.mark.parametrize("on", ["residual", "code+residual"])
    def test_against_numpy(self, on, covariance):
        def vectors(rows):
            return residuals(rows) if on == "residual" else np.hstack([rows.code[0].numpy(), residuals(rows)])

        learnt = residuals(HELD_OUT)
        if on == "code+residual":  # references, with residuals as large as those of held-out rows
            sizes = [np.sqrt(np.square(residuals(rows)).mean(axis=0)) for rows in (HELD_OUT, REFERENCES)]
            learnt = np.hstack([REFERENCES.code[0].numpy(), residuals(REFERENCES) * sizes[0] / sizes[1]])
        spread = learnt.std(axis=0)
        model = (LedoitWolf() if covariance is None else clone(covariance)).fit(learnt / spread)
        deviation = vectors(NEW) / spread - model.location_
        expected = (deviation * np.linalg.solve(model.covariance_, deviation.T).T).mean(axis=1)
        np.testing.assert_allclose(scored(Mahalanobis(on, covariance)), expected, rtol=1e-8)

    def test_shares(self):
        score = Mahalanobis()
        state = fitted(score)
        deviation = residuals(NEW) - state["location"][0].numpy()
        root = state["root"][0, :N_FEATURES].numpy()  # without padding
        expected = deviation * (deviation @ root @ root.T) / N_FEATURES
        np.testing.assert_allclose(score.feature_scores(NEW, state)[0], expected, rtol=1e-10, atol=1e-12)
        assert (expected < 0).any()

    def test_fewer_rows_than_columns(self):
        """The same quadratic form, without a matrix of columns by columns."""
        few = HELD_OUT[:, :4]
        state = Mahalanobis().fit(REFERENCES, few)
        assert "root" not in state
        spread = residuals(few).std(axis=0)
        model = LedoitWolf().fit(residuals(few) / spread)
        deviation = residuals(NEW) / spread - model.location_
        product = np.linalg.solve(model.covariance_, deviation.T).T
        np.testing.assert_allclose(Mahalanobis()(NEW, state)[0], (deviation * product).mean(axis=1), rtol=1e-8)
        shares = Mahalanobis().feature_scores(NEW, state)[0]
        np.testing.assert_allclose(shares, deviation * product / N_FEATURES, rtol=1e-7, atol=1e-10)

    def test_directions_of_hardly_larger_variance_are_left_out(self):
        """Vectors of few directions and a little noise: few axes have the same distances."""
        rng = np.random.default_rng(0)
        learnt = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 50)) + 1e-9 * rng.normal(size=(30, 50))
        form, spread = Mahalanobis()._form(learnt.copy()), learnt.std(axis=0)
        assert form["axes"].shape == (50, 3)
        model = LedoitWolf().fit(learnt / spread)
        deviation = rng.normal(size=(20, 50)) / spread - model.location_
        expected = (deviation * np.linalg.solve(model.covariance_, deviation.T).T).sum(axis=1)
        rows = deviation * spread
        found = np.square(rows) @ form["weight"] - np.square(rows @ form["axes"]).sum(axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    def test_members_may_have_different_numbers_of_axes(self):
        rng = np.random.default_rng(0)
        rows = torch.from_numpy(np.stack([rng.normal(size=(9, k)) @ rng.normal(size=(k, 40)) for k in (2, 5)]))
        both = Evaluation(HELD_OUT.loss, {}, rows[..., :3], torch.zeros_like(rows), rows)
        score = Mahalanobis()
        state = score.fit(both, both)
        for member in range(2):
            own = both[member : member + 1]
            torch.testing.assert_close(score(both, state)[member : member + 1], score(own, score.fit(own, own)))

    def test_robust_covariance_bears_outliers_among_the_held_out_rows(self):
        spoilt = Evaluation(
            HELD_OUT.loss, HELD_OUT.terms, HELD_OUT.code, HELD_OUT.reconstruction.clone(), HELD_OUT.target
        )
        spoilt.reconstruction[:, :6] += torch.tensor(50 * SPREADS)
        strange = spoilt[:, :6]
        robust = Mahalanobis(covariance=MinCovDet(random_state=0, support_fraction=0.7))
        ratios = [
            np.median(scored(s, strange, held_out=spoilt)) / np.median(scored(s, HELD_OUT[:, 6:], held_out=spoilt))
            for s in (Mahalanobis(), robust)
        ]
        assert ratios[1] > 10 * ratios[0]

    def test_robust_covariance_draws_nothing_from_numpys_global_generator(self):
        before = check_random_state(None).get_state()[1].copy()
        robust = Mahalanobis(covariance=MinCovDet())
        np.testing.assert_array_equal(scored(robust), scored(robust))
        np.testing.assert_array_equal(check_random_state(None).get_state()[1], before)
        assert robust.covariance.random_state is None

    def test_own_random_state_is_used(self):
        states = [fitted(Mahalanobis(covariance=MinCovDet(random_state=seed)), held_out=HELD_OUT) for seed in (0, 1, 2)]
        assert any(not torch.equal(states[0]["root"], state["root"]) for state in states[1:])


SPACES = {
    SampleDistance: lambda rows: rows.target[0].numpy(),
    CodeDistance: lambda rows: rows.code[0].numpy() / REFERENCES.code[0].numpy().std(axis=0),
    ResidualDistance: lambda rows: residuals(rows) / np.sqrt((residuals(HELD_OUT) ** 2).mean(axis=0)),
}


class TestDistances:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("width", [5, 63, 64, 784, 3000])
    @pytest.mark.parametrize("n_references", [1, 2, 300])
    def test_city_block(self, n_threads, width, n_references, dtype):
        """Sums are right, and a row's bits do not depend on the rows beside it."""
        rows = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 36 + n_references, width))).to(dtype)
        rows, references = rows[:, :36], rows[:, 36:]
        found = city_block(rows, references)
        direct = [cdist(*map(np.float64, own), "cityblock") for own in zip(rows, references, strict=True)]
        np.testing.assert_allclose(found, direct, rtol=1e-5 if dtype == torch.float32 else 1e-12)
        for first, last in ((0, 2), (1, 17), (34, 36)):
            assert torch.equal(city_block(rows[:, first:last], references), found[:, first:last])
        assert torch.equal(city_block(rows[0], references[0]), found[0])

    def test_ranks_and_logarithms(self):
        """Of a heavy-tailed column, one with ties, and one that never varies."""

        def rows(n, seed):
            rng = np.random.default_rng(seed)
            table = np.stack([rng.standard_cauchy(n), rng.integers(0, 3, n), np.ones(n)], axis=1)
            target = torch.tensor(table)[None]
            return table, Evaluation(torch.zeros(()), {}, target, target, target)

        (references, known), (new, unknown) = rows(50, 0), rows(20, 1)

        nearest = NearestNeighbors(n_neighbors=3, metric="manhattan").fit(seen_by_ranks(references, references))
        nearest = nearest.kneighbors(seen_by_ranks(new, references))[0]
        found = scored(RankDistance(3), unknown, references=known)
        np.testing.assert_allclose(found, nearest.mean(axis=1), rtol=1e-10)

    @pytest.mark.parametrize("n_neighbors", [1, 5, 60])
    @pytest.mark.parametrize("kind", SPACES)
    def test_against_nearest_neighbors(self, kind, n_neighbors):
        references, new = map(SPACES[kind], (REFERENCES, NEW))
        distances, _ = NearestNeighbors(n_neighbors=n_neighbors, metric="manhattan").fit(references).kneighbors(new)
        np.testing.assert_allclose(scored(kind(n_neighbors)), distances.mean(axis=1), rtol=1e-10)

    def test_fewer_references_than_neighbors(self):
        few = REFERENCES[:, :3]
        np.testing.assert_array_equal(scored(CodeDistance(5), references=few), scored(CodeDistance(3), references=few))

    def test_entry_of_the_code_that_never_varies(self):
        code = REFERENCES.code.clone()
        code[..., 0] = 0.0
        dead = Evaluation(REFERENCES.loss, REFERENCES.terms, code, REFERENCES.reconstruction, REFERENCES.target)
        assert np.isfinite(scored(CodeDistance(), references=dead)).all()

    @pytest.mark.parametrize(("width", "kept"), [(5, 1024), (256, 512), (2000, 256)])
    @pytest.mark.parametrize("kind", [*SPACES, RankDistance])
    def test_references_are_limited(self, kind, width, kept):
        wide = torch.zeros(1, 1100, width, dtype=torch.float64)
        rows = Evaluation(torch.zeros(()), {}, wide, wide, wide)
        assert len(kind().fit(rows, rows)["references"][0]) == kept

    @pytest.mark.parametrize(("width", "n_references", "kept"), [(5, 4096, 1100), (256, 2000, 1000), (2000, 100, 100)])
    @pytest.mark.parametrize("kind", [*SPACES, RankDistance, FeatureTails])
    def test_number_of_references_is_chosen(self, kind, width, n_references, kept):
        wide = torch.zeros(1, 1100, width, dtype=torch.float64)
        rows = Evaluation(torch.zeros(()), {}, wide, wide, wide)
        state = kind(n_references=n_references).fit(rows, rows)
        sorted_values = state["sorted"].mT if "sorted" in state else state["references"]
        assert len(sorted_values[0]) == kept

    def test_are_measured_in_the_type_of_the_network(self):
        rows = REFERENCES.map(lambda tensor: tensor.float())
        for kind in (*SPACES, RankDistance):
            state = fitted(kind(), references=rows, held_out=rows)
            assert state["references"].dtype == torch.float32
            distances = kind()(NEW.map(lambda tensor: tensor.float()), state)
            assert distances.dtype == torch.float64
            np.testing.assert_allclose(distances[0], scored(kind(), held_out=REFERENCES), rtol=1e-4)


def signed_log(rows):
    return np.sign(rows) * np.log1p(np.abs(rows))


class TestIsolation:
    def test_rows_against_its_definition(self):
        rows, new = (signed_log(r.target[0].numpy()) for r in (REFERENCES, NEW))
        nearest = [np.abs(new[:, None] - rows[start : start + 8]).sum(axis=-1).min(axis=1) for start in range(0, 56, 8)]
        np.testing.assert_allclose(scored(SampleIsolation()), np.mean(np.log1p(nearest), axis=0), rtol=1e-10)

    def test_reconstructions_against_their_definition(self):
        rows, new = (signed_log(r.reconstruction[0].numpy()) for r in (REFERENCES, NEW))
        state = fitted(ReconstructionIsolation(n_subsets=3, subset_size=5))
        nearest = []
        for subset in range(3):
            directions = state["directions"][0, :, 2 * subset : 2 * subset + 2].numpy()
            np.testing.assert_allclose((rows @ directions).std(axis=0), 1)
            seen = rows[5 * subset : 5 * subset + 5] @ directions
            nearest.append(np.abs((new @ directions)[:, None] - seen).sum(axis=-1).min(axis=1))
        expected = np.mean(np.log1p(nearest), axis=0)
        np.testing.assert_allclose(scored(ReconstructionIsolation(3, 5)), expected, rtol=1e-10)

    def test_members_look_from_other_directions(self):
        state = ReconstructionIsolation().fit(evaluation(60, 0, n_members=2), evaluation(40, 1, n_members=2))
        assert not torch.equal(*state["directions"])

    @pytest.mark.parametrize("kind", [SampleIsolation, ReconstructionIsolation])
    def test_fewer_references_than_a_subset(self, kind):
        assert np.isfinite(scored(kind(subset_size=100))).all()
        assert np.isfinite(scored(kind(), references=REFERENCES[:, :1])).all()

    def test_clusters_of_outliers_stay_far(self):
        """A row of a cluster has a near neighbour among all references, but in few subsets of them."""
        target = torch.randn(1, 300, 5, generator=torch.Generator("cpu").manual_seed(0), dtype=torch.float64)
        target[:, ::25] = target[:, ::25] / 100 + 6
        rows = Evaluation(torch.zeros(()), {}, target, target, target)
        for score, found in ((SampleIsolation(), True), (SampleDistance(), False)):
            scores = score(rows, score.fit(rows[:, :256], rows))[0, 256:]
            strange = torch.arange(256, 300) % 25 == 0
            assert (scores[strange].min() > scores[~strange].quantile(0.9)) == found


class TestFeatureTails:
    def test_against_its_definition(self):
        rows, new = REFERENCES.target[0].numpy(), NEW.target[0].numpy()
        below = (rows <= new[:, None]).mean(axis=1)
        above = (rows >= new[:, None]).mean(axis=1)
        expected = -np.log(np.maximum(np.minimum(below, above), 0.5 / 60))
        np.testing.assert_allclose(scored(FeatureTails()), expected.sum(axis=1), rtol=1e-10)
        np.testing.assert_allclose(FeatureTails().feature_scores(NEW, fitted(FeatureTails()))[0], expected, rtol=1e-10)

    def test_ties_count_on_both_sides(self):
        target = torch.tensor([0.0] * 9 + [1.0], dtype=torch.float64).reshape(1, 10, 1)
        rows = Evaluation(torch.zeros(()), {}, target, target, target)
        np.testing.assert_allclose(scored(FeatureTails(), rows, references=rows), -np.log([0.9] * 9 + [0.1]))


class Divided(ReconstructionError):
    """Divides by a number of its state, which has any name."""

    def __init__(self, key="divisor"):
        super().__init__(None)
        self.key = key

    def fit(self, references, held_out, others=None):
        return {self.key: torch.full((len(held_out.target),), 7.0, dtype=torch.float64)}

    def __call__(self, evaluation, state):
        return super().__call__(evaluation, {}) / state[self.key][:, None]


class TestCombined:
    @pytest.mark.parametrize("key", ["start", "scale", "base", "lowest", "excess", "score", "a.b"])
    def test_names_in_the_state_of_a_component_are_its_own(self, key):
        np.testing.assert_array_equal(scored(Combined([Divided(key)])), scored(Combined([Divided()])))
        np.testing.assert_array_equal(
            *(Combined([Divided(k)]).components(NEW, fitted(Combined([Divided(k)])))["Divided"] for k in (key, "d"))
        )

    def test_needs_what_a_component_needs(self):
        assert set(Combined().required_terms) == {"reconstruction"}
        assert Combined(["code_distance"]).required_terms == ()

        class KLError(ReconstructionError):
            required_terms = ("kl",)

            def __init__(self, normalize=None):
                super().__init__(normalize)

        assert set(Combined([KLError(), "mahalanobis", "reconstruction"]).required_terms) == {"kl", "reconstruction"}

    @pytest.mark.parametrize(
        ("votes", "expected"),
        [
            ([5.0, 2.0, 3.0], [1 / 2, 0, 1 / 2]),
            ([2.0, 5.0, 2.0], [1 / 4, 1 / 2, 1 / 4]),
            ([0.1, torch.nan, 0.2], [1 / 3, 1 / 3, 1 / 3]),  # all below that of the median held-out sample
        ],
    )
    def test_tied_components_share_their_weight(self, votes, expected):
        score = Combined(["mahalanobis", "reconstruction", "code_distance"], n_largest=2)
        found = score.weights(torch.tensor([votes], dtype=torch.float64))
        np.testing.assert_allclose(found[0], expected, rtol=1e-15)

    @pytest.mark.parametrize("damped", [True, False])
    def test_evidence(self, damped):
        """Isolated samples with unusual residuals, and isolated samples with unusual values of features."""
        nested = Combined(["mahalanobis", ResidualDistance(1)], n_largest=None, damped=damped)
        score = Combined([nested, "sample_isolation", "feature_tails"], damped=damped)
        low, high = -np.log(0.07), -np.log(0.015)
        middle = np.log(5) + np.expm1(np.mean([np.log1p(surprise - np.log(5)) for surprise in (low, high)]))
        rows = [(high, high, high), (high, low, high), (middle, 9, low), (9, middle, 9), (np.nan, 9, 9), (1, 9, 9)]
        residual, isolation, tails = torch.tensor(rows, dtype=torch.float64).T
        of_residual = [damp(residual), 9 * torch.ones(6)] if damped else [residual]  # with the limit of the score
        votes = torch.stack([9 * torch.ones(6), *of_residual, isolation, tails], dim=-1)
        expected = [[1, 1], [0, 0], [0.5, 0], [0.5, 0.5], [0, 1], [0, 1]]
        np.testing.assert_allclose(score.evidence(votes), expected, atol=1e-12)
        without = Combined([nested, "sample_isolation"], damped=damped)
        np.testing.assert_array_equal(without.evidence(votes[:, :-1]), np.zeros((6, 2)))

    @pytest.mark.parametrize("damped", [True, False])
    @pytest.mark.parametrize(("n_largest", "kept"), [(1, 1), (2, 2), (4, 4), (9, 4), (None, 4)])
    def test_against_its_definition(self, n_largest, kept, damped):
        parts = [Mahalanobis(), CodeDistance(), SampleDistance(), SampleIsolation()]
        target = NEW.target.clone()
        target[:, :4] *= 20  # samples far beyond all others
        new = found(NEW.code, NEW.reconstruction, target)
        surprises = []
        for position, part in enumerate(parts):
            start, high = np.quantile(np.log(scored(part, HELD_OUT)), [0.5, 0.9])
            held_out, surprise = (
                (np.log(scored(part, rows)) - start) / (high - start) * np.log(5) + np.log(2)
                for rows in (HELD_OUT, new)
            )
            if position == 2:
                excesses = np.maximum(held_out - np.log(10), 0)
                mean_excess = np.minimum(excesses, np.quantile(excesses, 0.98)).mean() / 0.08
                limit = np.log(2) + (surprise - np.log(10)) / max(mean_excess, 0.75)
            surprise = np.maximum(surprise, np.log(2))
            if damped and position < 3:  # the last is global
                surprise = [s if s < np.log(5) else np.log(5) + np.log(1 + s - np.log(5)) for s in surprise]
            surprises.append(surprise)
        expected = np.sort(surprises, axis=0)[-kept:].mean(axis=0)
        if damped:
            assert 0 < (limit > expected).sum() < len(limit)
            expected = np.maximum(expected, limit)
        np.testing.assert_allclose(scored(Combined(parts, n_largest, damped), new), expected, rtol=1e-10)

    @pytest.mark.parametrize(
        ("votes", "expected"),
        [
            # surprise and limit of the residual's distance, the same of the sample's, surprise of isolation
            pytest.param([4.0, 1.0, 2.0, 3.4, 3.0], 3.5, id="mean of the largest"),
            pytest.param([4.0, 3.6, 2.0, 3.4, 3.0], 3.6, id="limit of the residual"),
            pytest.param([4.0, 3.6, 2.0, 6.0, 3.0], 6.0, id="limit of the sample"),
            pytest.param([4.0, torch.nan, 2.0, 3.4, 3.0], 3.5, id="no limit"),
        ],
    )
    @pytest.mark.parametrize("nested", [False, True])
    def test_the_larger_of_mean_and_lower_limits(self, votes, expected, nested):
        """The components of the mean explain it, whichever it is."""
        first = Combined([ResidualDistance(1)]) if nested else ResidualDistance(1)
        score = Combined([first, SampleDistance(1), "sample_isolation"])
        given = torch.tensor([votes], dtype=torch.float64)
        assert score.combine(given).item() == pytest.approx(expected, rel=1e-15)
        np.testing.assert_array_equal(score.weights(given)[0], [1 / 2, 0, 0, 0, 1 / 2])
        features = given[..., None] * torch.tensor([0.25, 0.75], dtype=torch.float64)
        np.testing.assert_allclose(score.combine_features(given, features)[0], [expected / 4, 3 * expected / 4])

    def test_what_keeps_extremes(self):
        assert {name for name, score in SCORES.items() if score.keeps_extremes} == {
            "residual_distance",
            "sample_distance",
        }
        assert not any(Combined(damped=False).of_extremes)

    def test_few_outliers_do_not_change_what_is_extreme(self):
        many = evaluation(2000, 7)
        target = many.target.clone()
        target[:, :20] *= 100
        contaminated = found(many.code, many.reconstruction, target)
        clean, other = (
            fitted(Combined([SampleDistance(1)]), held_out=rows)["sample_distance.excess"]
            for rows in (many, contaminated)
        )
        torch.testing.assert_close(other, clean, rtol=0.25, atol=0)

    def test_all_local_components_of_the_default_are_damped_or_none(self):
        far = NEW.map(lambda tensor: 3 * tensor)
        damped, plain = (score.votes(far, fitted(score))[0] for score in (Combined(), Combined(damped=False)))
        damped = damped[:, ~torch.tensor(Combined().of_extremes)]  # (n, 6): four local components, two global ones
        assert (damped[:, :4] < plain[:, :4]).any(dim=0).all()
        torch.testing.assert_close(damped[:, 4:], plain[:, 4:], rtol=0, atol=0)

    def test_what_is_global(self):
        assert {name for name, score in SCORES.items() if not score.is_local} == {
            "sample_isolation",
            "reconstruction_isolation",
            "feature_tails",
            "dependence_tree",
        }

    def test_members_are_averaged_before_the_largest_are_chosen(self):
        score = Combined(["mahalanobis", "sample_distance", "sample_isolation"])
        state = score.fit(evaluation(60, 3, n_members=2), evaluation(40, 4, n_members=2))
        new = evaluation(17, 5, n_members=2)
        alone = [
            Combined([part]).fit(evaluation(60, 3, n_members=2), evaluation(40, 4, n_members=2))
            for part in score.scores
        ]
        single = [Combined([part])(new, own) for part, own in zip(score.scores, alone, strict=True)]
        expected = torch.stack(single).topk(2, dim=0).values.mean(dim=0)
        torch.testing.assert_close(score(new, state), expected)
        torch.testing.assert_close(score(new, state)[0], score(new, state)[1])

    def test_a_group_counts_as_one(self):
        """It is on the common scale, and is neither measured nor damped again."""
        group = Combined(["mahalanobis", "code_distance"], n_largest=None)
        score = Combined([group, "rank_distance"], n_largest=None)
        expected = (scored(group) + scored(Combined(["rank_distance"]))) / 2
        np.testing.assert_allclose(scored(score), expected, rtol=1e-12)

    def test_a_score_with_several_votes_is_one_component(self):
        class Halves(SampleDistance):
            """The sum of two votes."""

            uses_terms = False

            def votes(self, evaluation, state):
                half = self(evaluation, state)[..., None] / 2
                return torch.cat([half, half], dim=-1)

            def combine(self, votes):
                return votes.sum(dim=-1)

        found = scored(Combined([Halves(3), "mahalanobis"]))
        np.testing.assert_array_equal(found, scored(Combined([SampleDistance(3), "mahalanobis"])))

    def test_components_of_a_group_stand_in_its_place(self):
        score = Combined(
            [Combined(["mahalanobis", SampleDistance(1)]), SampleDistance(9), Combined([SampleDistance(5)])]
        )
        found = score.components(NEW, fitted(score), name_of(score))
        assert list(found) == ["mahalanobis", "sample_distance", "sample_distance_2", "sample_distance_3"]
        np.testing.assert_array_equal(found["sample_distance_2"][0], scored(SampleDistance(9)))

    def test_is_minus_the_logarithm_of_a_share_of_normal_rows(self):
        """Exactly so at the median and the 90th percentile of held-out rows, by an exponential law elsewhere."""
        many = evaluation(4000, 7)
        surprises = scored(Combined(["mahalanobis"], damped=False), many, held_out=many)
        for share in (0.5, 0.1):
            assert (surprises > -np.log(share)).mean() == pytest.approx(share, abs=0.001)
        assert 0.1 < (surprises > -np.log(0.2)).mean() < 0.35

    def test_usual_rows_are_no_less_strange_than_the_median(self):
        """So that a component which knows a row, as distances know training rows, does not outvote the others."""
        state = fitted(Combined([SampleDistance(1), "sample_isolation"]))
        terms = Combined([SampleDistance(1), "sample_isolation"]).votes(REFERENCES, state)
        known = terms[0, :, 0]
        assert known.isnan().all()  # its own nearest reference: no vote
        assert (scored(Combined([SampleDistance(1), "sample_isolation"])) >= np.log(2)).all()
        assert (scored(Combined([SampleDistance(1)]), REFERENCES) == np.log(2)).all()

    def test_identical_rows_leave_the_law_to_the_others(self):
        """Six of ten rows are references: their distance 0 is no part of the spread of the others."""
        half = found(*(torch.cat([getattr(REFERENCES, n)[:, :60], getattr(HELD_OUT, n)], dim=1) for n in TENSORS))
        assert scored(Combined([SampleDistance(1)]), half, held_out=half).max() < 8
        surprises = scored(Combined([SampleDistance(1)], damped=False), half, held_out=half)
        assert (surprises[:60] == np.log(2)).all()
        assert (surprises > np.log(10)).mean() == pytest.approx(0.1, abs=0.02)
        assert surprises.max() < 8

    def test_a_component_alone_ranks_as_it_does_outside(self):
        for name, score in SCORES.items():
            if score is not Combined:
                order = np.argsort(scored(score()))
                assert (np.diff(scored(Combined([name]))[order]) >= 0).all()  # equal below the median

    def test_units_of_a_component_do_not_matter(self):
        class Thousandfold(CodeDistance):
            def __call__(self, evaluation, state):
                return 1000 * super().__call__(evaluation, state)

        np.testing.assert_allclose(
            scored(Combined(["mahalanobis", Thousandfold()])), scored(Combined(["mahalanobis", CodeDistance()]))
        )

    def test_components_are_named_and_raw(self):
        score = Combined(["mahalanobis", CodeDistance(1), CodeDistance(9)])
        found = score.components(NEW, fitted(score), name_of(score))
        assert list(found) == ["mahalanobis", "code_distance", "code_distance_2"]
        np.testing.assert_array_equal(found["code_distance"][0], scored(CodeDistance(1)))
        np.testing.assert_array_equal(found["code_distance_2"][0], scored(CodeDistance(9)))

    @pytest.mark.parametrize(
        ("scores", "message"),
        [
            ([], "needs at least one score"),
            (["combined"], r"names among .* got \['combined'\]"),
            ([Combined(["nope"])], r"got \['nope'\]"),
            (["nope"], r"names among \['code_distance', .*got \['nope'\]"),
            (["mahalanobis", 3], r"got \[3\]"),
            ([CodeDistance(0)], "'n_neighbors' parameter of CodeDistance must be"),
        ],
    )
    def test_wrong_components(self, scores, message):
        with pytest.raises(ValueError, match=message):
            _ = Combined(scores).required_terms


class TestOthers:
    """Each member learns from samples that other members held out, as these judge them."""

    MEMBERS, OTHERS = evaluation(40, 4, n_members=3), torch.tensor([[1, 2], [0, 2], [0, 1]])

    def test_spread(self):
        state = ReconstructionError().fit(REFERENCES, self.MEMBERS, self.OTHERS)
        residual = (self.MEMBERS.target - self.MEMBERS.reconstruction).numpy()
        expected = [np.sqrt(np.square(residual[own]).mean(axis=(0, 1))) for own in self.OTHERS.numpy()]
        np.testing.assert_allclose(state["spread"], expected, rtol=1e-12)

    def test_covariance(self):
        state = Mahalanobis().fit(REFERENCES, self.MEMBERS, self.OTHERS)
        for own, location in zip(self.OTHERS.numpy(), state["location"].numpy(), strict=True):
            residual = (self.MEMBERS.target - self.MEMBERS.reconstruction).numpy()[own]
            np.testing.assert_allclose(location, residual.mean(axis=(0, 1)), rtol=1e-9)

    def test_tail(self):
        references = evaluation(60, 3, n_members=3)
        state = Combined(["sample_distance"]).fit(references, self.MEMBERS, self.OTHERS)
        logs = SampleDistance()(self.MEMBERS, SampleDistance().fit(references, self.MEMBERS, self.OTHERS)).log().numpy()
        expected = [np.median(logs[own]) for own in self.OTHERS.numpy()]
        np.testing.assert_allclose(state["sample_distance.start"], expected, rtol=1e-12)
