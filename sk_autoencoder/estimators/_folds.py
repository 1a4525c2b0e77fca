"""Which rows each member of a detector holds out of its training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_N_FOLDS = 5
_LARGEST_FOLD = 2000
_SMALLEST_SPLIT = 10
_N_REFERENCES = 4096


@dataclass(frozen=True)
class Folds:
    """Row numbers: member m holds out fold m modulo 5, a fifth of the rows, at most 2000. Few rows make one fold."""

    held_out: np.ndarray  # (n_folds, n)
    rest: np.ndarray  # rows of no fold, in random order
    n_members: int
    seed: int

    @classmethod
    def draw(cls, positions: np.ndarray, n_members: int, seed: int) -> Folds:
        """Deal rows out."""
        if len(positions) < _SMALLEST_SPLIT:
            return cls(positions[None], positions[:0], n_members, seed)
        n_fold = min(len(positions) // _N_FOLDS, _LARGEST_FOLD)
        shuffled = np.random.default_rng([seed, _N_FOLDS]).permutation(positions)
        held_out, rest = np.split(shuffled, [_N_FOLDS * n_fold])
        return cls(held_out.reshape(_N_FOLDS, n_fold), rest, n_members, seed)

    @property
    def of_member(self) -> np.ndarray:
        """Each member's fold, (n_members,)."""
        return np.arange(self.n_members) % len(self.held_out)

    @property
    def rows(self) -> np.ndarray:
        """Rows that calibration looks at: all folds, and enough others for references."""
        return np.concatenate([self.held_out.ravel(), self.rest[:_N_REFERENCES]])

    def within_rows(self) -> Folds:
        """Return the same folds, numbered by their place in ``rows``."""
        numbers = np.arange(len(self.rows))
        held_out, rest = np.split(numbers, [self.held_out.size])
        return replace(self, held_out=held_out.reshape(self.held_out.shape), rest=rest)

    def trained(self) -> np.ndarray:
        """Rows that each member trains on, (n_members, n): all but its fold, or all if there is one fold."""
        folds = self.held_out
        others = [np.delete(folds, fold, axis=0) if len(folds) > 1 else folds for fold in self.of_member]
        return np.stack([np.concatenate([other.ravel(), self.rest]) for other in others])

    def references(self) -> np.ndarray:
        """Rows that each member was trained on, drawn in random order, (n_members, n_references)."""
        streams = [np.random.default_rng([self.seed, _N_FOLDS, member]) for member in range(self.n_members)]
        drawn = [rng.permutation(rows) for rng, rows in zip(streams, self.trained(), strict=True)]
        return np.stack(drawn)[:, :_N_REFERENCES]
