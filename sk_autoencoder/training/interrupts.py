"""Ctrl-C, and how it differs from a callback that stops training."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """Context in which Ctrl-C is noted before it raises KeyboardInterrupt as usual.

    Callbacks of skorch stop training by raising KeyboardInterrupt themselves, without a signal. Only the main thread
    receives signals.
    """

    def __init__(self) -> None:
        self.by_user = False

    def __enter__(self) -> Interrupts:
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._before: Any = signal.getsignal(signal.SIGINT) if in_main_thread else None
        if callable(self._before):
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if callable(self._before) and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.by_user = True
        self._before(number, frame)
