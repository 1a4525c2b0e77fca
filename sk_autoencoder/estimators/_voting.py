"""Ensembles whose members score the samples that they hold out, and the thresholds of these scores."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from sk_autoencoder._parts import resolve
from sk_autoencoder._rounding import rounding
from sk_autoencoder._threads import SCORING, threads
from sk_autoencoder.blocks import mean_of_votes
from sk_autoencoder.donors import N_DONORS, Donors, Filling, choose_donors
from sk_autoencoder.estimators import _auto
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.estimators._base import BaseAutoencoder
from sk_autoencoder.estimators._copies import as_copies, repeated
from sk_autoencoder.estimators._folds import N_FOLDS, Folds, folds_of_groups, folds_of_members
from sk_autoencoder.estimators._training_samples import TrainingSamples, hashed
from sk_autoencoder.objectives import Evaluation, Objective
from sk_autoencoder.scores import SCORES, OutlierScore
from sk_autoencoder.scores.base import State
from sk_autoencoder.scores.combined import for_novelty
from sk_autoencoder.thresholds import THRESHOLDS, Conformal, Evidence, Quantile, Threshold
from sk_autoencoder.training import Scaler, dense

_DONORS = 3  # stream of random numbers that chooses donors
_NO_EVIDENCE = Evidence()


def offset_of(
    threshold: Threshold, scores: np.ndarray, held_out: np.ndarray, evidence: Evidence = _NO_EVIDENCE
) -> float:
    """Return the offset of ``decision_function``; scores that equal the threshold up to rounding are not above it."""
    limit = threshold.with_evidence(scores, held_out, evidence)
    return -(limit + rounding(limit))


def _n_folds(n_members: int, groups: np.ndarray | None) -> int:
    """Return as many folds as members, but at most 5, and at most as many as there are groups."""
    most = N_FOLDS if groups is None else min(N_FOLDS, len(np.unique(groups[:, 0])))
    return most if n_members == 1 else min(most, n_members)


class _KnownVotes(NamedTuple):
    """Votes of members, (n_members, n, n_votes), on the training samples at ``positions`` (n_members, n)."""

    votes: torch.Tensor
    positions: np.ndarray

    def means(self, voters: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
        """Return on which samples all votes of the ``voters`` (n_members, n_samples) are known, and their means."""
        members = np.arange(len(voters))[:, None]
        known = np.zeros_like(voters)
        known[members, self.positions] = True
        spread = self.votes.new_full((*voters.shape, self.votes.shape[-1]), torch.nan)
        spread[torch.from_numpy(members), torch.from_numpy(self.positions)] = self.votes
        complete = (known == voters).all(axis=0)
        return complete, mean_of_votes(spread[:, torch.from_numpy(complete)])


class BaseVotingDetector(BaseAutoencoder, metaclass=ABCMeta):
    """Abstract base class of a detector whose members vote on samples that they were not trained on."""

    _hidden_layers = 1
    _wide_code = True
    _input_margin = None

    offset_: float
    calibration_scores_: np.ndarray
    training_scores_: np.ndarray
    _evidence: tuple[float, ...]  # fields of the Evidence of the training samples
    _training_samples: TrainingSamples | None
    _copies: np.ndarray | None  # weights of all training samples as numbers of copies
    _n_folds: int
    _has_groups: bool
    outlier_score: OutlierScore | str
    contamination: float | str | Threshold
    novelty: bool
    restore_best: bool

    def __sklearn_is_fitted__(self) -> bool:
        # After an interrupted fit, there is a net but no threshold.
        return hasattr(self, "offset_")

    def _before_training(self, endless: bool) -> None:
        # The previous threshold is not valid for the new scores, also after an interrupt or error.
        if hasattr(self, "offset_"):
            del self.offset_

    def _prepare(self, training: Samples, validation: Samples | None, save: bool = False) -> None:
        super()._prepare(training, validation, save)
        # The number of folds does not change if members are added later.
        self._n_folds = _n_folds(self._shape.n_members, training.groups)
        self._has_groups = training.groups is not None

    @property
    def _may_refine(self) -> bool:
        return not self._chosen_score().uses_references  # otherwise, missing values are those of donors

    def _chosen_donors(self, X: np.ndarray) -> np.ndarray | None:
        """Return scaled training samples from which missing values are taken; None if the score stores no samples."""
        if not self._score.uses_references:
            return None
        chosen = np.random.default_rng([self._plan.seed, _DONORS]).permutation(X.shape[0])[:N_DONORS]
        rows = Scaler(self._affine, torch.device("cpu"), self._shape.torch_dtype)(dense(X[np.sort(chosen)]))
        return choose_donors(rows.numpy(), self._fill).astype(rows.numpy().dtype)

    def _filling(self, device: torch.device) -> Filling:
        donors = getattr(self, "_donors", None)  # not yet chosen after the training
        return super()._filling(device) if donors is None else Donors(torch.tensor(donors, device=device))

    def _n_members(self) -> int:
        return self._plain("n_estimators")

    @property
    def _is_default_for_novelty(self) -> bool:
        return self.outlier_score == "combined" and bool(self.novelty)

    @property
    def _training_steps(self) -> int:  # type: ignore[override]
        if self._is_default_for_novelty:
            return _auto.NOVELTY_STEPS
        return _auto.OUTLIER_STEPS if self._chosen_score().uses_network else _auto.FEWER_OUTLIER_STEPS

    @property
    def _most_epochs(self) -> int:  # type: ignore[override]
        return _auto.MOST_OUTLIER_EPOCHS if self._chosen_score().uses_network else _auto.FEWER_OUTLIER_EPOCHS

    def _chosen_score(self) -> OutlierScore:
        """Return the outlier score; the default depends on whether all training samples are inliers."""
        if self._is_default_for_novelty:
            return for_novelty(has_shape=getattr(self.network, "sample_shape", None) is not None).settled()
        return resolve(SCORES, self.outlier_score).settled()

    def _threshold(self, choice: float | str | Threshold) -> Threshold:
        if isinstance(choice, str) and choice not in THRESHOLDS:
            raise ValueError(
                f"contamination={choice!r} is not valid; use a float in (0, 0.5] or one of {sorted(THRESHOLDS)}."
            )
        if not isinstance(choice, str | Threshold):
            choice = Quantile(choice)
        if choice == "auto" and self.novelty:
            return Conformal()
        return resolve(THRESHOLDS, choice)

    def _known(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of training samples, and their scores by members that were trained on all and score new ones."""
        X, of_all = self._check(X), self._of_members()[:, None] < 0
        known = self._training_samples
        rows = np.flatnonzero(known.find(X)) if known is not None and of_all.any() else np.arange(0)
        return rows, self._score_samples(X[rows], np.tile(of_all, len(rows))) if len(rows) else np.empty(0)

    def _voters(self, X: np.ndarray) -> np.ndarray | None:
        """Return which members score which samples: for training samples, those that held them out; None means all."""
        known = self._training_samples
        folds = np.zeros(X.shape[0], dtype=np.uint8) if known is None else known.find(X)
        of_all = self._of_members() < 0  # trained on all samples
        if not of_all.any() and not folds.any():
            return None
        voters = self._members_holding_out(folds)
        voters[:, folds == 0] |= of_all[:, None]
        return voters

    def _members_holding_out(self, folds: np.ndarray) -> np.ndarray:
        """Return which members score samples with the given bits of folds, (n_members, n_samples)."""
        of_member = self._of_members()[:, None]
        return ((folds >> np.maximum(of_member, 0).astype(np.uint8)) & 1 > 0) & (of_member >= 0)

    def _of_members(self) -> np.ndarray:
        return folds_of_members(self._shape.n_members, self._n_folds, self._has_groups)

    def _score_samples(self, X: np.ndarray, voters: np.ndarray | None) -> np.ndarray:
        return -self._scored(X, voters, self._score.votes, self._score.combine)

    def _scores_and_evidence(
        self, X: np.ndarray, voters: np.ndarray | None, copies: np.ndarray | None, known: _KnownVotes | None = None
    ) -> tuple[np.ndarray, Evidence]:
        """Return what ``_score_samples`` does, and the evidence of outliers; samples count as often as ``copies``.

        Votes that are ``known`` are not computed again.
        """

        def combine(mean: torch.Tensor) -> torch.Tensor:
            return torch.cat([self._score.combine(mean)[..., None], self._score.evidence(mean)], dim=-1)

        if known is None or voters is None:
            found = self._scored(X, voters, self._score.votes, combine)
        else:
            complete, means = known.means(voters)
            combined = combine(means).cpu().numpy()
            found = np.empty((X.shape[0], combined.shape[1]))
            found[complete] = combined
            if not complete.all():
                found[~complete] = self._scored(X[~complete], voters[:, ~complete], self._score.votes, combine)
        return -found[:, 0], Evidence(*(float(repeated(kind, copies).sum()) for kind in found[:, 1:].T))

    def _scored(
        self,
        X: np.ndarray,
        voters: np.ndarray | None,
        votes: Callable[[Evaluation, State], torch.Tensor],
        combine: Callable[[torch.Tensor], torch.Tensor],
    ) -> np.ndarray:
        objective = self._objective_for_score()
        return self._inference.score(X, objective, self._plan.loss, votes, combine, self._score.uses_references, voters)

    def _objective_for_score(self) -> Objective | None:
        """Return the objective if the score uses its terms, otherwise None."""
        return self._assembly.objective if self._score.uses_terms else None

    @property
    def _validates(self) -> bool:
        return bool(self.restore_best)

    def _split(self, training: Samples, hold_out: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return positions of training samples and of held-out samples for each member."""
        folds = self._folds(training)
        return folds.trained(), folds.validation() if hold_out else None

    def _check_folds(self, training: Samples) -> None:
        """Raise an error for groups that cannot be held out, before anything is changed."""
        with_groups = training.groups is not None
        if self._continues() and with_groups != self._has_groups:
            raise ValueError(
                "warm_start=True cannot continue a training with groups without them, or the reverse; use "
                "warm_start=False."
            )
        if training.groups is not None:
            n_members = self._n_members()
            n_folds = self._n_folds if self._continues() else _n_folds(n_members, training.groups)
            of_groups = folds_of_groups(training.groups, n_folds, training.groups)
            Folds.draw(training.X.shape[0], n_members, n_folds, 0, of_groups=of_groups).validation()

    def _distinct(self, X: np.ndarray) -> float:
        """Return the number of distinct samples, as a share of all."""
        return len(np.unique(hashed(X, self._statistics.varies, exact=True))) / X.shape[0]

    def _folds(self, training: Samples) -> Folds:
        n_samples, n_members, seed = training.X.shape[0], self._shape.n_members, self._plan.seed
        copies = as_copies(training.given)
        copies = None if copies is None else copies[copies > 0]
        if training.groups is not None:
            of_groups = folds_of_groups(training.groups, self._n_folds, training.groups)
            return Folds.draw(n_samples, n_members, self._n_folds, seed, copies, of_groups)
        if n_members > 1:
            return Folds.draw(n_samples, n_members, self._n_folds, seed, copies)
        keys = hashed(training.X, self._statistics.varies, exact=True, seed=seed)
        return Folds.of_single_member(keys, seed, copies)

    def _calibrate(
        self, X_all: np.ndarray, training: Samples, from_scratch: bool, earlier: TrainingSamples | None
    ) -> None:
        """Fit the score of each member with held-out samples of other members, and score all samples.

        ``X_all`` has the training samples and those that were left out. ``earlier`` identifies the samples that the
        members were trained on before, unless they start ``from_scratch``.
        """
        X = training.X
        self._donors = self._chosen_donors(X)
        self._inference.fill = self._filling(torch.device(self.net_.device))
        folds = self._folds(training)
        evaluate = partial(self._inference.evaluate, X, objective=self._objective_for_score(), loss=self._plan.loss)
        held_out = evaluate(folds.held_out())
        references = evaluate(folds.references()) if self._score.uses_references else held_out[:, :0]
        others = torch.from_numpy(folds.others).to(held_out.target.device)
        # Time is dominated by scores that compare samples with references.
        with threads(4 * references.target.numel() * held_out.target.shape[1], SCORING):
            state, votes = self._score.fit_votes(references, held_out, others)
        self._set_score_state(state)
        self._training_samples = self._remembered(X, folds, from_scratch, earlier)
        self._copies = as_copies(training.given)
        known = _KnownVotes(votes, folds.held_out()) if X_all.shape[0] == X.shape[0] else None
        self.training_scores_, evidence = self._scores_and_evidence(X_all, self._voters(X_all), self._copies, known)
        self._evidence = tuple(evidence)
        if self._training_samples is None and folds.n_folds > 1:  # a single member, or other samples with warm_start
            # The first members hold out all folds.
            scores = self._cross_fitted_scores(references, held_out)[: folds.n_folds].ravel()
            self.calibration_scores_ = np.sort(scores)
        else:
            self.calibration_scores_ = repeated(-self.training_scores_, self._copies)

    def _remembered(
        self, X: np.ndarray, folds: Folds, from_scratch: bool, earlier: TrainingSamples | None
    ) -> TrainingSamples | None:
        """Return the keys of training samples if, for each of them, there are members that were not trained on it."""
        if not folds.all_held_out:
            return None
        samples = TrainingSamples.remember(X, folds.of_samples(X.shape[0]), self._statistics.varies)
        # Members that were trained on other samples before may have been trained on samples that they hold out now.
        never_trained_on = from_scratch or (earlier is not None and earlier.equal(samples))
        return samples if never_trained_on else None

    def _recognise(self, X: Any, groups: np.ndarray, trained: np.ndarray) -> None:
        """Recognise other samples of the groups of ``fit``, too: the members that hold out a group score them.

        ``groups`` are the groups of the samples, ``trained`` those of the training samples, both (n, n_groups). X may
        be any object whose rows are read by ``X[rows]``.
        """
        if self._training_samples is not None:
            folds = folds_of_groups(groups, self._n_folds, trained)[:, 0]
            self._training_samples = TrainingSamples.remember(X, (1 << folds).astype(np.uint8), self._statistics.varies)

    def _rescale(self, X: np.ndarray) -> None:
        """Learn the scales of errors that the score uses, and the threshold, from other normal samples."""
        X = self._check(X)
        index = np.tile(np.arange(len(X)), (self._shape.n_members, 1))
        held_out = self._inference.evaluate(X, index, self._objective_for_score(), self._plan.loss)
        self._set_score_state(self._score.rescaled(held_out, self._inference.state))
        self.calibration_scores_ = np.sort(-self._score_samples(X, self._voters(X)))
        self.recalibrate(X)

    def _cross_fitted_scores(self, references: Evaluation, held_out: Evaluation) -> np.ndarray:
        """Score held-out samples of each member, (n_members, n), each half with a state fitted to the other half."""
        half = held_out.target.shape[1] // 2
        halves = held_out[:, :half], held_out[:, half:]
        scores = [
            self._score.combine(self._score.votes(scored, self._score.fit(references, learnt)))
            for scored, learnt in zip(halves, reversed(halves), strict=True)
        ]
        return torch.cat(scores, dim=1).cpu().numpy()

    def _finish(self) -> None:
        super()._finish()
        self._load_score_state()

    def _set_score_state(self, state: State) -> None:
        self._score_state = {name: value.cpu().numpy().copy() for name, value in state.items()}
        self._load_score_state()

    def _load_score_state(self) -> None:
        device = torch.device(self.net_.device)
        arrays = getattr(self, "_score_state", {})
        self._inference.state = {name: torch.tensor(array, device=device) for name, array in arrays.items()}
