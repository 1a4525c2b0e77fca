"""Which samples each member of a detector holds out of its training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_FOLDS = 5
_MOST_VALIDATED = 2000
_FEWEST_SAMPLES = 10
_N_REFERENCES = 4096


@dataclass(frozen=True)
class Folds:
    """Sample numbers, dealt out in random order: member m holds out fold m modulo their number.

    There is one fold, on which all members are trained, if there are fewer than 10 samples. A single member holds out
    one fold of five.
    """

    order: np.ndarray  # (n,) sample numbers; fold k is every n_folds-th of them from the k-th on
    n_folds: int
    n_members: int
    seed: int

    @classmethod
    def draw(cls, positions: np.ndarray, n_members: int, n_folds: int, seed: int) -> Folds:
        """Deal samples out."""
        if len(positions) < _FEWEST_SAMPLES:
            return cls(positions, 1, n_members, seed)
        return cls(np.random.default_rng([seed, N_FOLDS]).permutation(positions), n_folds, n_members, seed)

    @property
    def of_member(self) -> np.ndarray:
        """Each member's fold, (n_members,)."""
        return np.arange(self.n_members) % self.n_folds

    @property
    def cover(self) -> bool:
        """Whether each sample is held out by a member that was not trained on it."""
        return self.n_folds > 1 and self.n_members >= self.n_folds

    @property
    def others(self) -> np.ndarray:
        """For each member, one member for each other fold; itself, if there are none: (n_members, n_others)."""
        if not self.cover:
            return np.arange(self.n_members)[:, None]
        return np.stack([np.delete(np.arange(self.n_folds), fold) for fold in self.of_member])

    def trained(self) -> np.ndarray:
        """Samples that each member trains on, (n_members, n): all but its fold, or all if there is one fold.

        Where folds differ in size by one, members with the smaller fold leave one sample out.
        """
        if self.n_folds == 1:
            return np.tile(self.order, (self.n_members, 1))
        n_trained = len(self.order) - -(-len(self.order) // self.n_folds)
        return np.stack([others[:n_trained] for others in map(self._others, self.of_member)])

    def held_out(self) -> np.ndarray:
        """Samples that each member validates on, and from which scores learn: at most 2000, (n_members, n)."""
        size = min(len(self.order) // self.n_folds, _MOST_VALIDATED)
        return np.stack([self.order[fold :: self.n_folds][:size] for fold in self.of_member])

    def references(self) -> np.ndarray:
        """Samples that each member was trained on, at most 4096, in random order, (n_members, n).

        They come from the folds of ``others`` in turn, and members that were trained on a fold have the same samples
        of it, so that distances to them are computed once.
        """
        if not self.cover:
            streams = [np.random.default_rng([self.seed, N_FOLDS, member]) for member in range(self.n_members)]
            drawn = [rng.permutation(rows) for rng, rows in zip(streams, self.trained(), strict=True)]
            return np.stack(drawn)[:, :_N_REFERENCES]
        size = min(len(self.order) // self.n_folds, _N_REFERENCES // (self.n_folds - 1))
        of_folds = np.stack([self.order[fold :: self.n_folds][:size] for fold in range(self.n_folds)])
        return of_folds[self.others].swapaxes(1, 2).reshape(self.n_members, -1)

    def of_samples(self, n_samples: int) -> np.ndarray:
        """Folds of each sample as bits (n_samples,): bit k stands for fold k; samples that all hold out have all."""
        bits = np.full(n_samples, (1 << self.n_folds) - 1, dtype=np.uint8)
        for fold in range(self.n_folds):
            bits[self.order[fold :: self.n_folds]] = 1 << fold
        return bits

    def _others(self, fold: int) -> np.ndarray:
        kept = np.ones(len(self.order), dtype=bool)
        kept[fold :: self.n_folds] = False
        return self.order[kept]
