"""Training steps on a CUDA device as graphs: one launch for all kernels of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from sk_autoencoder._warnings import warn
from sk_autoencoder.objectives import Batch, Evaluation

# Steps of a shape that are taken before it is captured. They load the kernels, and short trainings need no graph.
_STEPS_BEFORE = 3

Step = Callable[[Batch], Evaluation]
Capture = Callable[[Step, Batch], tuple[Evaluation, Callable[[], None]]]


class _Captured(NamedTuple):
    """A step that reads its samples from ``batch``, and writes its result to ``evaluation``, each time in place."""

    batch: Batch
    evaluation: Evaluation
    replay: Callable[[], None]


class Graphs:
    """A training step that is captured once for each shape of mini-batch, and replayed afterwards.

    A step of a small network is some sixty kernels. Launching them takes the host several times as long as the device
    needs to run them; a graph launches all of them at once. The kernels are the same, and so are the results.

    A step that cannot be captured is taken plainly, with a warning: what a graph can contain depends on the versions of
    torch and CUDA.

    Parameters
    ----------
    step : callable
        Computes gradients of a batch and updates the weights, by the same operations on the same memory in each call:
        without random numbers, and without reading values on the host.
    capture : callable
        Captures a call of the step with a batch, without running it, and returns the result and a function that runs
        it, such as ``on_cuda``.
    """

    def __init__(self, step: Step, capture: Capture):
        self._step, self._capture = step, capture
        self._n_steps: dict[tuple[torch.Size | None, ...], int] = {}
        self._captured: dict[tuple[torch.Size | None, ...], _Captured] = {}
        self._failed = False

    def __call__(self, batch: Batch) -> Evaluation:
        """Take a step; the result is overwritten by the next step with a batch of the same shape."""
        shape = batch.shape
        captured = self._captured.get(shape)
        if captured is None:
            self._n_steps[shape] = self._n_steps.get(shape, 0) + 1
            if self._failed or self._n_steps[shape] <= _STEPS_BEFORE:
                return self._step(batch)
            own = batch.map(lambda tensor: tensor.clone(memory_format=torch.contiguous_format))
            try:
                captured = self._captured[shape] = _Captured(own, *self._capture(self._step, own))
            except RuntimeError as error:  # an error of the step itself is raised again by the next line
                self._failed = True
                evaluation = self._step(batch)
                reason = str(error.__context__ or error).partition("\n")[0]
                warn(f"torch cannot capture the training steps as CUDA graphs, so they take longer: {reason}")
                return evaluation
        captured.batch.copy_(batch)
        captured.replay()
        return captured.evaluation


def capture_on(device: torch.device) -> Capture | None:
    """Return how steps are captured on a device, None if they are not."""
    return on_cuda if device.type == "cuda" else None


def on_cuda(step: Step, batch: Batch) -> tuple[Evaluation, Callable[[], None]]:
    """Capture a step as a CUDA graph, on a stream of its own; other threads may use the device in the meantime."""
    graph = torch.cuda.CUDAGraph()
    device = batch.clean.device
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            evaluation = step(batch)
        finally:
            graph.capture_end()
    torch.cuda.current_stream(device).wait_stream(stream)
    return evaluation, graph.replay
