"""Assignment of samples to the folds that the members of a detector hold out of their training sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sk_autoencoder.estimators._copies import n_copies

N_FOLDS = 5
_MOST_VALIDATED = 2000
_FEWEST_SAMPLES = 10
_N_REFERENCES = 4096


@dataclass(frozen=True)
class Folds:
    """Random folds of samples. Member m is trained on all folds but fold ``m % n_folds``, which it holds out.

    A sample is always identified by its position: its row index in X. Methods return arrays of positions. If there are
    fewer than 10 samples and no groups, there is one fold, on which all members are trained. A single member holds out
    one of five folds.

    With groups, folds are whole groups, and members beyond the number of folds hold out none: they are trained on all
    samples, and score new ones. A sample may share data with samples of other groups, as windows of a series
    do. Then it is not used by members that hold out one of these groups: they are not trained on it. Samples that share
    data with their own fold only are apart; scores learn from these alone, whichever member they belong to.

    With ``copies``, the weights of the samples as numbers of copies, positions are repeated in proportion to them where
    scores learn from samples.
    """

    order: np.ndarray  # (n,) positions in random order
    of_order: np.ndarray  # (n,) fold of each of them
    n_folds: int
    n_members: int
    seed: int
    copies: np.ndarray | None = None  # (n,) by position
    shared: np.ndarray | None = None  # (n, n_shared) folds of the samples that each of ``order`` shares data with

    @classmethod
    def draw(
        cls,
        n_samples: int,
        n_members: int,
        n_folds: int,
        seed: int,
        copies: np.ndarray | None = None,
        of_groups: np.ndarray | None = None,
    ) -> Folds:
        """Draw random folds of equal size.

        ``of_groups`` (n, n_groups) are the folds of the groups of each sample, its own first; None draws folds.
        """
        if n_samples < _FEWEST_SAMPLES and of_groups is None:
            return cls(np.arange(n_samples), np.zeros(n_samples, dtype=int), 1, n_members, seed, copies)
        order = np.random.default_rng([seed, N_FOLDS]).permutation(n_samples)
        if of_groups is None:
            return cls(order, np.arange(n_samples) % n_folds, n_folds, n_members, seed, copies)
        of_order = of_groups[order]
        return cls(order, of_order[:, 0], n_folds, n_members, seed, copies, of_order[:, 1:])

    @classmethod
    def of_single_member(cls, keys: np.ndarray, seed: int, copies: np.ndarray | None = None) -> Folds:
        """Hold out about a fifth of the samples, by keys (n,) of their values: all copies of a sample, or none.

        So neither the order of the samples, nor whether a sample is repeated or has a weight, has an effect.
        """
        order = np.argsort(keys, kind="stable")
        totals = np.cumsum(np.ones(len(keys)) if copies is None else copies[order])
        ends = np.flatnonzero(np.append(np.diff(keys[order]) > 0, True))  # the last copy of each sample
        if totals[-1] < _FEWEST_SAMPLES or len(ends) == 1:
            return cls.draw(len(keys), 1, N_FOLDS, seed, copies)
        fits = totals[ends] <= totals[-1] * (1 / N_FOLDS + 1e-12)
        n_held_out = 1 + ends[max(1, int(np.count_nonzero(fits))) - 1]
        return cls(order, (np.arange(len(keys)) >= n_held_out).astype(int), N_FOLDS, 1, seed, copies)

    @property
    def of_member(self) -> np.ndarray:
        """The fold that each member holds out, (n_members,); -1 for members that hold out none."""
        return folds_of_members(self.n_members, self.n_folds, self.shared is not None)

    @property
    def all_held_out(self) -> bool:
        """Whether there are several folds, and each is held out by at least one member."""
        return self.n_folds > 1 and self.n_members >= self.n_folds

    @property
    def others(self) -> np.ndarray:
        """For each member, one member for each other fold, which holds it out, (n_members, n_others).

        If members hold out no fold, there is one more fold for them; the others repeat one.

        These indices are also those of the folds, since member k holds out fold k for all k < n_folds. Without
        ``all_held_out``, the index of each member itself, (n_members, 1).
        """
        if not self.all_held_out:
            return np.arange(self.n_members)[:, None]
        folds = np.arange(self.n_folds)
        others = [folds[folds != fold] for fold in self.of_member]
        return np.stack([np.resize(own, max(map(len, others))) for own in others])

    def trained(self) -> np.ndarray:
        """Positions of the samples that each member is trained on, (n_members, n).

        All folds but the one that the member holds out; all samples if there is one fold. So that n is the same for
        all, members that hold out a smaller fold leave out more samples. With groups, whose folds may differ more,
        samples are repeated instead.
        """
        if self.n_folds == 1:
            return np.tile(self.order, (self.n_members, 1))
        trained = [self.order[self._used_without(fold)] for fold in self.of_member]
        size = (min if self.shared is None else max)(map(len, trained))
        return np.stack([np.resize(positions, size) for positions in trained])

    def validation(self) -> np.ndarray:
        """Positions of held-out samples of each member, at most 2000, (n_members, n)."""
        held_out = [self._apart(fold) for fold in self.of_member]
        size = min(_MOST_VALIDATED, *map(len, held_out))
        return np.stack([positions[:size] for positions in held_out])

    def held_out(self) -> np.ndarray:
        """Positions of held-out samples that scores learn from, at most 2000 for each member, (n_members, n)."""
        return self._repeated([self._apart(fold) for fold in self.of_member], _MOST_VALIDATED)

    def references(self) -> np.ndarray:
        """Positions of samples that each member was trained on, at most 4096, in random order, (n_members, n).

        With ``all_held_out``, they alternate between the folds that the member was trained on. The samples of a fold
        are the same for all members, so that distances to them can be computed once for all.
        """
        if not self.all_held_out:
            generators = [np.random.default_rng([self.seed, N_FOLDS, member]) for member in range(self.n_members)]
            drawn = [rng.permutation(trained) for rng, trained in zip(generators, self.trained(), strict=True)]
            return self._repeated(drawn, _N_REFERENCES)
        most = _N_REFERENCES // (self.n_folds - 1)
        of_folds = self._repeated([self._apart(fold) for fold in range(self.n_folds)], most)  # (n_folds, size)
        of_members = of_folds[self.others]  # (n_members, n_folds - 1, size)
        return of_members.swapaxes(1, 2).reshape(self.n_members, -1)

    def of_samples(self, n_samples: int) -> np.ndarray:
        """Folds of the samples at positions 0 to ``n_samples - 1``, as bits: bit k is set for samples in fold k.

        All bits are set for samples in no fold, which all members hold out.
        """
        bits = np.full(n_samples, (1 << self.n_folds) - 1, dtype=np.uint8)
        bits[self.order] = 1 << self.of_order
        return bits

    def _apart(self, fold: int) -> np.ndarray:
        """Positions of the samples in a fold that share no data with other folds; of all samples for the fold -1."""
        if fold < 0:
            return self.order
        apart = self.of_order == fold
        if self.shared is not None:
            apart &= (self.shared == fold).all(axis=1)
            if not apart.any():
                raise ValueError("groups must leave, in each fold, samples that share no data with other folds.")
        return self.order[apart]

    def _used_without(self, fold: int) -> np.ndarray:
        """Which samples of ``order`` are in other folds and share no data with this one, (n,)."""
        used = self.of_order != fold
        return used if self.shared is None else used & (self.shared != fold).all(axis=1)

    def _repeated(self, groups: list[np.ndarray], most: int) -> np.ndarray:
        """Return equally many positions of each group, at most ``most``, repeated in proportion to the weights."""
        if self.copies is None:
            size = min(most, *map(len, groups))
            return np.stack([positions[:size] for positions in groups])
        weights = [self.copies[positions] for positions in groups]
        size = max(1, min(most, *(round(float(weight.sum())) for weight in weights)))
        pairs = zip(groups, weights, strict=True)
        return np.stack([np.repeat(positions, n_copies(weight, size)) for positions, weight in pairs])


def folds_of_members(n_members: int, n_folds: int, with_groups: bool) -> np.ndarray:
    """Return the fold that each member holds out, (n_members,); -1 for none."""
    members = np.arange(n_members)
    return np.where(members < n_folds, members, -1) if with_groups else members % n_folds


def folds_of_groups(groups: np.ndarray, n_folds: int, trained: np.ndarray) -> np.ndarray:
    """Distribute the groups of the training samples over folds, and look up the folds of groups, (n, n_groups).

    Groups are dealt by their numbers of samples, the largest first, each to the fold that is the smallest so far. In
    the first column are the samples' own groups. Other groups without a training sample count as the own one.
    ``trained`` are the groups of the training samples, in the same form.
    """
    distinct, counts = np.unique(trained[:, 0], return_counts=True)
    if len(distinct) < max(n_folds, 2):
        raise ValueError(
            f"groups has {len(distinct)} different value(s), but its samples are held out in {max(n_folds, 2)} folds; "
            "use at least as many groups, or leave groups out."
        )
    dealt, sizes = np.empty(len(distinct), dtype=int), np.zeros(n_folds, dtype=int)
    for group in np.argsort(-counts, kind="stable"):
        dealt[group] = sizes.argmin()
        sizes[dealt[group]] += counts[group]
    places = np.minimum(np.searchsorted(distinct, groups), len(distinct) - 1)
    return np.where(distinct[places] == groups, dealt[places], dealt[places[:, :1]])
