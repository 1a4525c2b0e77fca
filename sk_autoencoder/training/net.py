"""The skorch net: its loop, history and callbacks around whole chunks of mini-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer
from skorch.helper import predefined_split
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from sk_autoencoder._torch import has_hooks, has_module_hooks
from sk_autoencoder.corruptions import Corruption
from sk_autoencoder.losses import LOSSES, Loss
from sk_autoencoder.networks.base import refined
from sk_autoencoder.objectives import Batch, Evaluation
from sk_autoencoder.solvers import FusedAdam, Solver
from sk_autoencoder.training.callbacks import MeanOfChunks, StopTraining
from sk_autoencoder.training.devices import repeatable
from sk_autoencoder.training.graphs import Graphs, capture_on
from sk_autoencoder.training.interrupts import Interrupts
from sk_autoencoder.training.rows import RowDataset, TrainingBatches, ValidationBatches, rows_used
from sk_autoencoder.training.schedules import Schedule, constant
from sk_autoencoder.training.trimming import Trimming

__all__ = ["AutoencoderNet", "StopTraining", "TrainingPlan"]


_REFINED_FROM = 0.6  # earlier, a training takes more time, and the reconstruction is hardly better
_SMALLEST_NORM = 1e-6  # as in torch.nn.utils.clip_grad_norm_


@dataclass(frozen=True)
class TrainingPlan:
    """How a net trains, every choice resolved."""

    loss: Loss
    corruption: Corruption | None
    solver: Solver
    alpha: float  # weight decay
    mixed_precision: bool
    seed: int


class AutoencoderNet(NeuralNet):
    """A skorch net over chunks: a ``Batch`` of the samples of many mini-batches.

    One ``train_step`` takes all optimizer steps of its chunk, which avoids skorch's overhead per batch. When a
    callback listens to single batches, each chunk is cut into its mini-batches; the results are the same.

    Parameters
    ----------
    module : Autoencoder
        The network.
    criterion : Objective
        What it learns.
    plan : TrainingPlan
        How it learns.
    **kwargs : dict
        Further parameters of ``skorch.NeuralNet``.
    """

    epochs_restored_ = 0  # epochs that a restored checkpoint has already trained
    schedule_: Schedule = staticmethod(constant)  # of the last training
    foreign_rate_: float | None  # learning rate set by a callback, which overrides the schedule

    refines_: bool = False  # set by ``train``
    _update: Callable[[Batch], Evaluation]  # takes a step
    _needs_autograd: bool  # whether gradients are autograd's, not those of ``Objective.backpropagate``
    _fixed: tuple[Any, ...] | None  # what captured steps depend on; None without captured steps

    def __init__(self, module: Any, criterion: Any, *, plan: TrainingPlan, **kwargs: Any):
        super().__init__(module, criterion, **kwargs)
        self.plan = plan

    def __getstate__(self) -> dict[str, Any]:
        """Leave out captured steps, so that callbacks can store the net during training."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_update", "_fixed")}

    def get_default_callbacks(self) -> list[tuple[str, Callback]]:
        """Timer and losses; printing is left to the progress bar."""
        losses = [MeanOfChunks("train_loss", on_train=True), MeanOfChunks("valid_loss")]
        return [("epoch_timer", EpochTimer()), ("train_loss", losses[0]), ("valid_loss", losses[1])]

    def initialize_criterion(self) -> AutoencoderNet:
        """Take the objective as it is."""
        self.criterion_ = self.criterion
        return self

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> AutoencoderNet:
        """Build the plan's solver over all weights; those that are frozen now may be set free later.

        Weights for which the objective has another learning rate are further groups.
        """
        del triggered_directly
        factors = self.criterion_.learning_rates(self.module_)
        by_factor: dict[float, list[torch.nn.Parameter]] = {}
        for name, parameter in self.get_all_learnable_params():
            factor = factors.get(name, 1.0)
            by_factor.setdefault(factor, []).append(parameter)
            if factor == 0:
                parameter.requires_grad_(False)
        if not by_factor:
            raise ValueError("The network has no weights that can be trained.")
        (first, parameters), *others = by_factor.items()
        self.optimizer_ = self._make_optimizer(parameters)
        self.optimizer_.param_groups[0].update(factor=first, lr=self.lr * first, initial_lr=self.lr * first)
        for factor, parameters in others:
            rates = {"lr": self.lr * factor, "initial_lr": self.lr * factor, "factor": factor}
            self.optimizer_.add_param_group({"params": parameters, **rates})
        return self

    def _make_optimizer(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Build an optimizer; torch's schedulers need ``initial_lr`` when training goes on."""
        optimizer = self.plan.solver.build(parameters, self.lr, self.plan.alpha)
        for group in optimizer.param_groups:
            group["initial_lr"] = self.lr
            group["factor"] = 1.0  # of the learning rate
        return optimizer

    def renew(self, plan: TrainingPlan, lr: float, callbacks: list[Any]) -> None:
        """Go on with another plan, rate and callbacks; the solver keeps its state and takes the new settings."""
        self.plan, self.lr, self.callbacks = plan, lr, callbacks
        self.initialize_callbacks()
        for group in self.optimizer_.param_groups:
            settings = self._make_optimizer(group["params"]).param_groups[0]
            group.update({name: value for name, value in settings.items() if name not in ("params", "factor")})
            group["lr"] = group["initial_lr"] = self.lr * group["factor"]

    def train(
        self,
        rows: RowDataset,
        validation: RowDataset | None,
        *,
        batch_size: int,
        epochs: int,
        schedule: Schedule,
        endless: bool = False,
        refines: bool = False,
    ) -> None:
        """Train for ``epochs``, less those of a restored checkpoint; Ctrl-C is raised again after ``on_train_end``.

        With ``endless`` (``partial_fit``), the number of steps is unknown, the progress is 1, and the rate is that of
        the beginning if a schedule has changed it before. ``refines`` says whether missing values of the input are
        replaced by their reconstruction, in training late only.
        """
        if endless and self.schedule_ is not constant:
            for group in self.optimizer_.param_groups:
                group["lr"] = self.lr * group["factor"]
        self.batch_size, self.max_epochs = batch_size, epochs
        self.train_split = None if validation is None else predefined_split(validation)
        done, self.epochs_restored_ = self.epochs_restored_, 0
        self.schedule_, self.endless_ = schedule, endless
        self.refines_ = refines
        self.steps_done_ = done * -(-rows_used(len(rows), batch_size, self.module_.fewest_rows) // batch_size)
        self._trimming = Trimming(self.module_, self.criterion_.trim) if self.criterion_.trim else None
        self.foreign_rate_ = None
        self._update, self._fixed = self._plain_update, None
        for group in self.optimizer_.param_groups:
            group["scheduled"] = group["lr"]
        self.notify("on_train_begin", X=rows, y=None)
        interrupts = Interrupts()
        try:
            with repeatable(torch.device(self.device)), interrupts:
                self.fit_loop(rows, epochs=epochs - done)
        except StopTraining:
            pass
        except KeyboardInterrupt:
            if interrupts.by_user:  # callbacks of skorch raise it, too, to stop training
                raise
        finally:
            self.module_.noise = None
            self._update, self._trimming = self._plain_update, None  # frees the memory of graphs and of a network
            self._set_training(False)
            self.notify("on_train_end", X=rows, y=None)
            self.train_split = None  # holds the validation rows
        if not all(torch.isfinite(parameter).all() for _, parameter in self.get_all_learnable_params()):
            raise FloatingPointError("the last step left weights that are not finite")

    def get_iterator(self, dataset: RowDataset, training: bool = False) -> TrainingBatches | ValidationBatches:
        """Chunks instead of single rows."""
        members = self.module_.shape.n_members
        if not training:
            return ValidationBatches(dataset, members)
        batches = TrainingBatches(
            dataset,
            self.batch_size,
            members,
            seed=self.plan.seed,
            epoch=len(self.history),
            corruption=self.plan.corruption,
            single_steps=self._overridden("on_batch_begin", "on_batch_end"),
            fewest=self.module_.fewest_rows,
            keeps_uncorrupted=self.criterion_.uses_uncorrupted,
            refine=self._refine,
        )
        self.module_.noise = batches.noise
        self.total_steps_ = self.max_epochs * len(batches)
        self._trained = [parameter for _, parameter in self.get_all_learnable_params()]
        self._notify_gradients = self._overridden("on_grad_computed")
        return batches

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Forget the losses of the epoch before."""
        super().on_epoch_begin(net, **kwargs)
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, int | Tensor] = {"train": 0, "valid": 0}  # of the samples so far, in all

    def on_batch_end(self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
        """Let skorch average the losses of chunks by the weights of their samples."""
        super().on_batch_end(net, batch=batch, training=training, **kwargs)
        if batch.weight is not None:
            split = "train" if training else "valid"
            self.history.record_batch(f"{split}_batch_size", float(batch.total_weight.mean()))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write the epoch's losses, by member and by part, into the history."""
        super().on_epoch_end(net, **kwargs)
        for name, total in self._sums.items():
            split = name.partition("_")[0]
            mean = (total / self._weights[split]).tolist()
            self.history.record(name, mean if name.endswith("_member_loss") else sum(mean) / len(mean))

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Take one optimizer step for each mini-batch of the chunk; ``y_pred`` is of the last one."""
        del fit_params
        self._set_training(True)
        self._choose_update()
        sum_before = self._sums["train_member_loss"].clone() if self._sums else 0.0
        weight_before = self._weights["train"]
        for part in batch.split(self.batch_size, lambda: self._progress):
            evaluation = self._step(part)
        loss = ((self._sums["train_member_loss"] - sum_before) / (self._weights["train"] - weight_before)).mean()
        if not torch.isfinite(loss):
            raise FloatingPointError("the training loss is no longer finite")
        return {"loss": loss, "y_pred": evaluation.reconstruction.transpose(0, 1)}

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Evaluate a chunk without training."""
        del fit_params
        self._set_training(False)
        batch = self._refined(batch)
        with torch.set_grad_enabled(self.criterion_.uses_gradients):
            evaluation = self.criterion_(self.module_, batch, self.plan.loss)
        self._accumulate("valid", evaluation, batch)
        return {
            "loss": self._monitored(evaluation, batch).mean(),
            "y_pred": evaluation.reconstruction.detach().transpose(0, 1),
        }

    def evaluation_step(self, batch: Batch, training: bool = False) -> Tensor:
        """Reconstruct a chunk, for skorch callbacks that predict."""
        self._set_training(training)
        batch = self._refined(batch)
        with torch.set_grad_enabled(training):
            return self.module_(batch.corrupted).transpose(0, 1)

    def _set_training(self, training: bool = True) -> None:
        """Switch between training and inference; modules of a frozen encoder always infer, so that codes are kept."""
        super()._set_training(training)
        if training and self.criterion_.keeps_codes:
            for module in self.module_.children():
                module.eval()

    def _step(self, batch: Batch) -> Evaluation:
        self._follow_schedule()
        if self._trimming is not None:
            with self._precision():
                batch = self._trimming(batch, self.criterion_, self.plan.loss)
        evaluation = self._update(batch)
        self._accumulate("train", evaluation, batch)
        if self._trimming is not None:
            self._trimming.follow()
        self.steps_done_ += 1
        return evaluation

    def _learn(self, batch: Batch) -> Evaluation:
        """Compute the gradients of a step."""
        evaluation = self._evaluate_with_gradients(batch)
        if self.module_.max_gradient_norm is not None:
            self._clip(self.module_.max_gradient_norm)
        if self._notify_gradients:
            for named in self._weights_by_member():
                self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        return evaluation

    def _plain_update(self, batch: Batch) -> Evaluation:
        evaluation = self._learn(batch)
        self.optimizer_.step()
        return evaluation

    def _choose_update(self) -> None:
        """Choose how a chunk's steps are taken: with autograd or without, as captured graphs or by the plain program.

        What a captured step has fixed may have been changed by a callback; then it is captured again.
        """
        optimizer, capture = self.optimizer_, capture_on(torch.device(self.device))
        self._needs_autograd = (
            self.plan.mixed_precision
            or any(map(has_hooks, self._trained))  # only autograd calls them
            or not self.criterion_.backpropagates(self.module_, self.plan.loss)
        )
        if isinstance(optimizer, FusedAdam):
            optimizer.relink()
        if capture is None or not isinstance(optimizer, FusedAdam) or not self._repeats_operations():
            self._update, self._fixed = self._plain_update, None
            return
        settings = repr((vars(self.criterion_), vars(self.plan.loss), self.module_.max_gradient_norm))
        fixed = (settings, [buffer.data_ptr() for buffer in self.module_.buffers()], optimizer.fixed())
        if fixed == self._fixed:
            return

        def step(batch: Batch) -> Evaluation:
            evaluation = self._learn(batch)
            optimizer.update()
            return evaluation

        graphs = Graphs(step, capture)

        def update(batch: Batch) -> Evaluation:
            optimizer.set_rates()
            return graphs(batch)

        self._update, self._fixed = update, fixed

    def _repeats_operations(self) -> bool:
        """Whether all steps are the same operations on the device, and nobody looks at single steps."""
        return (
            self.criterion_.repeats_operations(self.module_)
            and type(self.plan.loss) in LOSSES.values()  # others may read values on the host
            and self._trimming is None
            and not any(map(has_hooks, self._trained))
            and not any(map(has_module_hooks, self.module_.modules()))
            and not self._overridden("on_batch_begin", "on_batch_end", "on_grad_computed")
        )

    @property
    def _progress(self) -> float:
        """Fraction of the training steps that are done; 1 if their number is unknown."""
        return 1.0 if self.endless_ else self.steps_done_ / self.total_steps_

    def _refine(self, inputs: Tensor, known: Tensor) -> Tensor:
        """Late in the training, replace missing values of the input of a chunk by their reconstruction."""
        if not self.refines_ or self._progress < _REFINED_FROM:
            return inputs
        self._set_training(False)  # no dropout, and normalization is not updated twice
        with torch.no_grad(), self._precision():
            return refined(self.module_, inputs, known)

    def _refined(self, batch: Batch) -> Batch:
        """Replace missing values of the input of samples that are not trained on."""
        if not self.refines_ or batch.observed is None:
            return batch
        with torch.no_grad():
            return replace(batch, corrupted=refined(self.module_, batch.corrupted, batch.observed))

    def _follow_schedule(self) -> None:
        """Set the rate of the next step. A rate that a callback has set stays, and the rest is left to callbacks."""
        if self.schedule_ is constant:
            return
        rate = self.lr * self.schedule_(self.steps_done_ / self.total_steps_)
        for group in self.optimizer_.param_groups:
            if group["lr"] not in (group["scheduled"], self.lr * group["factor"]):
                self.schedule_, self.foreign_rate_ = constant, group["lr"]
                return
            group["lr"] = group["scheduled"] = rate * group["factor"]

    def _evaluate_with_gradients(self, batch: Batch) -> Evaluation:
        for parameter in self._trained:
            parameter.grad = None
        if not self._needs_autograd:
            return self.criterion_.backpropagate(self.module_, batch, self.plan.loss)
        with self._precision():
            evaluation = self.criterion_(self.module_, batch, self.plan.loss)
        if evaluation.loss.requires_grad:  # not all weights are frozen
            evaluation.loss.backward(torch.ones_like(evaluation.loss))
        return evaluation.detach()  # autograd's nodes of this step must not exist when the next one is captured

    def _clip(self, largest: float) -> None:
        """Scale down the gradients of each member whose norm over all weights exceeds ``largest``."""
        if not self.module_.has_member_axis:
            for weights in self._weights_by_member():
                clip_grad_norm_((weight for _, weight in weights), largest)
            return
        gradients = [weight.grad for weight in self._trained if weight.grad is not None]
        if not gradients:
            return
        squares = [gradient.flatten(1).square().sum(dim=1) for gradient in gradients]
        factors = (largest / (sum(squares).sqrt() + _SMALLEST_NORM)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))

    def _weights_by_member(self) -> Iterator[list[tuple[str, Tensor]]]:
        """The named weights and gradients of each member, so that callbacks (clipping) treat it as if it were alone."""
        weights = {name: weight for name, weight in self.get_all_learnable_params() if weight.requires_grad}
        if self.module_.shape.n_members == 1:
            yield list(weights.items())
            return
        values = {name: weight.detach() for name, weight in weights.items()}
        gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
        for member in range(self.module_.shape.n_members):
            views = self.module_.of_member(values, member)
            for name, gradient in self.module_.of_member(gradients, member).items():
                views[name].grad = gradient
            yield list(views.items())

    def _precision(self) -> AbstractContextManager[Any]:
        """Matrix products in bfloat16, weights and sums in float32, if the plan says so."""
        if not self.plan.mixed_precision:
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def _accumulate(self, split: str, evaluation: Evaluation, batch: Batch) -> None:
        """Add up losses on the device, times the weight of the batch, without waiting for it."""
        total = batch.total_weight
        self._weights[split] = self._weights[split] + total
        self._add(f"{split}_member_loss", self._monitored(evaluation, batch), total)
        if len(evaluation.terms) > 1:
            for name, term in evaluation.terms.items():
                self._add(f"{split}_{name}", batch.over_samples(term), total)

    def _monitored(self, evaluation: Evaluation, batch: Batch) -> Tensor:
        """Return what curves and early stopping follow, (n_members,): a term that the objective names, or its loss."""
        name = self.criterion_.monitored
        return (evaluation.loss if name is None else batch.over_samples(evaluation.terms[name])).detach()

    def _add(self, name: str, mean: Tensor, total: int | Tensor) -> None:
        if name not in self._sums:
            self._sums[name] = torch.zeros_like(mean)
        if isinstance(total, Tensor):
            mean, total = mean * total, 1
        self._sums[name].add_(mean.detach(), alpha=total)

    def _overridden(self, *hooks: str) -> bool:
        """Whether any callback implements one of the hooks."""
        return any(
            getattr(type(callback), hook, None) is not getattr(Callback, hook)
            for _, callback in self.callbacks_
            for hook in hooks
        )
