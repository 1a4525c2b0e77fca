"""Folds of groups: members hold out whole groups, and are not trained on what shares data with them."""

import numpy as np
import pytest

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.estimators._assembly import Samples
from tests.contracts.variants import assert_equal, outputs

N, N_GROUPS = 120, 8
OWN = np.sort(np.random.default_rng(0).integers(N_GROUPS, size=N))
LEFT, RIGHT = OWN[np.maximum(np.arange(N) - 2, 0)], OWN[np.minimum(np.arange(N) + 2, N - 1)]
SHARED = np.column_stack([OWN, LEFT, RIGHT])


def table(n=N):
    return np.random.default_rng(0).normal(size=(n, 4))


def detector(**options):
    return AutoencoderOutlierDetector(**{"max_iter": 2, "hidden_layer_sizes": (8,), "random_state": 0, **options})


def spied(monkeypatch, X, groups, **options):
    """Fit, and return the detector with the positions that each member was trained on."""
    trained = []
    split = AutoencoderOutlierDetector._split

    def watched(self, *args, **kwargs):
        trained.append(split(self, *args, **kwargs)[0])
        return split(self, *args, **kwargs)

    monkeypatch.setattr(AutoencoderOutlierDetector, "_split", watched)
    return detector(**options).fit(X, groups=groups), trained[0]


@pytest.mark.parametrize("n_estimators", [2, 5, 7])
@pytest.mark.parametrize(
    "groups", [OWN, OWN.astype(str), OWN.astype(object), OWN * 1.5], ids=["int", "str", "object", "float"]
)
def test_no_member_votes_on_a_group_that_it_was_trained_on(monkeypatch, n_estimators, groups):
    X = table()
    model, trained = spied(monkeypatch, X, groups, n_estimators=n_estimators)
    voters = model._voters(X)
    assert voters.any(axis=0).all()
    for voting, own in zip(voters, trained, strict=True):
        assert not set(OWN[voting]) & set(OWN[own])
    np.testing.assert_array_equal(model.score_samples(X), model.training_scores_)
    assert len(model.calibration_scores_) == N


def test_no_member_is_trained_on_what_shares_data_with_its_held_out_groups(monkeypatch):
    X = table()
    model, trained = spied(monkeypatch, X, SHARED)
    for voting, own in zip(model._voters(X), trained, strict=True):
        assert len(own) > 40
        assert not set(OWN[voting]) & set(SHARED[own].ravel())
        assert np.abs(np.flatnonzero(voting)[:, None] - own).min() > 2


def test_scores_learn_from_samples_that_share_no_data_with_the_held_out_groups():
    X = table()
    model = detector().fit(X, groups=SHARED)
    voters = model._voters(X)
    folds = model._folds(Samples(X, groups=SHARED))
    for member, others in enumerate(folds.others):
        learnt = np.concatenate([folds.held_out()[others].ravel(), folds.references()[member]])
        assert not set(OWN[voters[member]]) & set(SHARED[learnt].ravel())


def test_one_group_for_each_sample_is_like_no_groups_but_for_the_draw():
    X = table()
    model = detector().fit(X, groups=np.arange(N))
    assert (model._voters(X).sum(axis=0) == 1).all()
    assert (model._voters(X).sum(axis=1) == N // 5).all()


def test_fewer_groups_than_members():
    X, groups = table(), np.arange(N) % 2
    model = detector().fit(X, groups=groups)
    np.testing.assert_array_equal(model._voters(X)[:2], [groups == 0, groups == 1])
    assert not model._voters(X)[2:].any()


def test_warm_start():
    X = table()
    model = detector(warm_start=True).fit(X, groups=OWN)
    scores = model.fit(X, groups=OWN).training_scores_
    np.testing.assert_array_equal(model.score_samples(X), scores)
    assert model.fit(X, groups=OWN[::-1])._voters(X) is None  # members were trained on what they hold out now
    with pytest.raises(ValueError, match="groups has 2 different value"):
        model.fit(X, groups=np.arange(N) % 2)


def test_groups_are_not_kept():
    X = table()
    model = detector().fit(X, groups=OWN)
    expected = outputs(detector().fit(X), X)
    assert_equal(outputs(model.fit(X), X), expected)


def test_other_groups_are_another_training(tmp_path):
    X = table()
    detector(checkpoint=tmp_path).fit(X, groups=OWN)
    with pytest.raises(ValueError, match="groups"):
        detector(checkpoint=tmp_path).fit(X, groups=OWN[::-1])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(N), "groups has 1 different value"),
        (OWN[1:], r"one id for each sample: 120, but has the shape \(119,\)"),
        (3, r"shape \(\)"),
        (np.where(OWN == 0, np.nan, OWN), "groups has no id for .* first is number 0"),
        ([None, *OWN[1:]], "groups has no id for 1 sample"),
        (np.column_stack([OWN, (OWN + 1) % N_GROUPS]), "share no data with other folds"),
    ],
)
def test_errors(groups, message):
    with pytest.raises(ValueError, match=message):
        detector().fit(table(), groups=groups)


def test_members_without_a_fold_are_trained_on_all_samples_and_score_new_ones():
    X, groups = table(), np.arange(N) % 2
    new = np.random.default_rng(1).normal(size=(7, 4))
    model = detector(n_estimators=4).fit(X, groups=groups)
    trained, _ = model._split(Samples(X, groups=groups[:, None]), hold_out=False)
    assert [len(set(own)) for own in trained] == [N // 2, N // 2, N, N]
    np.testing.assert_array_equal(model._voters(new), np.tile([[False], [False], [True], [True]], 7))
    both = model._voters(np.vstack([X[:1], new]))
    assert both[:, 0].tolist() == [True, False, False, False]
    np.testing.assert_array_equal(both[:, 1:], model._voters(new))
    # p-values count a new sample itself, and a training sample is one of the held-out ones.
    far = np.full((1, 4), 1e3)
    assert model.p_values(far)[0] == 1 / (N + 1)
    assert model.p_values(X).min() == 1 / N
    model.forget_training_samples()
    np.testing.assert_array_equal(model._voters(X), np.tile([[False], [False], [True], [True]], N))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(N), "groups has 1 different value"),
        (np.column_stack([np.arange(N) % 2, 1 - np.arange(N) % 2]), "samples that share no data"),
        (np.array([1] * 60 + ["a"] * 60, dtype=object), "texts and numbers"),
        (np.zeros(N - 1), "one id for each sample: 120"),
    ],
)
def test_wrong_groups_change_nothing(groups, message):
    X = table()
    model = detector(n_estimators=2).fit(X)
    before = model.score_samples(X)
    with pytest.raises(ValueError, match=message):
        model.fit(X, groups=groups)
    np.testing.assert_array_equal(model.score_samples(X), before)


@pytest.mark.parametrize("first", [None, OWN])
def test_warm_start_does_not_change_whether_there_are_groups(first):
    X = table()
    model = detector(warm_start=True).fit(X, groups=first)
    with pytest.raises(ValueError, match="warm_start=True cannot continue"):
        model.fit(X, groups=OWN if first is None else None)
