"""Assignment of samples to the folds that the members of a detector hold out of their training sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_FOLDS = 5
_MOST_VALIDATED = 2000
_FEWEST_SAMPLES = 10
_N_REFERENCES = 4096


@dataclass(frozen=True)
class Folds:
    """Random folds of samples. Member m is trained on all folds but fold ``m % n_folds``, which it holds out.

    A sample is always identified by its position: its row index in X. Methods return arrays of positions. If there are
    fewer than 10 samples, there is one fold, on which all members are trained. A single member holds out one of five
    folds.
    """

    order: np.ndarray  # (n,) positions in random order; fold k is order[k::n_folds]
    n_folds: int
    n_members: int
    seed: int

    @classmethod
    def draw(cls, positions: np.ndarray, n_members: int, n_folds: int, seed: int) -> Folds:
        """Draw random folds of the samples at the given positions."""
        if len(positions) < _FEWEST_SAMPLES:
            return cls(positions, 1, n_members, seed)
        return cls(np.random.default_rng([seed, N_FOLDS]).permutation(positions), n_folds, n_members, seed)

    @property
    def of_member(self) -> np.ndarray:
        """The fold that each member holds out, (n_members,)."""
        return np.arange(self.n_members) % self.n_folds

    @property
    def all_held_out(self) -> bool:
        """Whether there are several folds, and each is held out by at least one member."""
        return self.n_folds > 1 and self.n_members >= self.n_folds

    @property
    def others(self) -> np.ndarray:
        """For each member, one member for each other fold, which holds it out, (n_members, n_others).

        These indices are also those of the folds, since member k holds out fold k for all k < n_folds. Without
        ``all_held_out``, the index of each member itself, (n_members, 1).
        """
        if not self.all_held_out:
            return np.arange(self.n_members)[:, None]
        return np.stack([np.delete(np.arange(self.n_folds), fold) for fold in self.of_member])

    def trained(self) -> np.ndarray:
        """Positions of the samples that each member is trained on, (n_members, n).

        All folds but the one that the member holds out; all samples if there is one fold. If the sizes of the folds
        differ by one, members that hold out a smaller fold leave out one more sample, so that n is the same for all.
        """
        if self.n_folds == 1:
            return np.tile(self.order, (self.n_members, 1))
        largest_fold = -(-len(self.order) // self.n_folds)
        n_trained = len(self.order) - largest_fold
        return np.stack([self._without(fold)[:n_trained] for fold in self.of_member])

    def held_out(self) -> np.ndarray:
        """Positions of held-out samples of each member, at most 2000, (n_members, n).

        They are used for validation, and scores learn from them.
        """
        size = min(len(self.order) // self.n_folds, _MOST_VALIDATED)
        return np.stack([self._fold(fold)[:size] for fold in self.of_member])

    def references(self) -> np.ndarray:
        """Positions of samples that each member was trained on, at most 4096, in random order, (n_members, n).

        With ``all_held_out``, they alternate between the folds that the member was trained on. The samples of a fold
        are the same for all members, so that distances to them can be computed once for all.
        """
        if not self.all_held_out:
            generators = [np.random.default_rng([self.seed, N_FOLDS, member]) for member in range(self.n_members)]
            drawn = [rng.permutation(trained) for rng, trained in zip(generators, self.trained(), strict=True)]
            return np.stack(drawn)[:, :_N_REFERENCES]
        size = min(len(self.order) // self.n_folds, _N_REFERENCES // (self.n_folds - 1))
        of_folds = np.stack([self._fold(fold)[:size] for fold in range(self.n_folds)])  # (n_folds, size)
        of_members = of_folds[self.others]  # (n_members, n_folds - 1, size)
        return of_members.swapaxes(1, 2).reshape(self.n_members, -1)

    def of_samples(self, n_samples: int) -> np.ndarray:
        """Folds of the samples at positions 0 to ``n_samples - 1``, as bits: bit k is set for samples in fold k.

        All bits are set for samples in no fold, which all members hold out.
        """
        bits = np.full(n_samples, (1 << self.n_folds) - 1, dtype=np.uint8)
        for fold in range(self.n_folds):
            bits[self._fold(fold)] = 1 << fold
        return bits

    def _fold(self, fold: int) -> np.ndarray:
        """Positions of the samples in a fold."""
        return self.order[fold :: self.n_folds]

    def _without(self, fold: int) -> np.ndarray:
        """Positions of the samples in all other folds."""
        kept = np.ones(len(self.order), dtype=bool)
        kept[fold :: self.n_folds] = False
        return self.order[kept]
