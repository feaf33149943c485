"""SIGTERM and SIGINT: the work goes on to a place where it can be taken up again, and ends there."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any


class Stopped(Exception):
    """The work ended early because ``signal_number`` asked for it."""

    def __init__(self, signal_number: int, sentence: str):
        super().__init__(sentence)
        self.signal_number = signal_number


class StopRequest:
    """Whether somebody asked to stop; a context manager that listens to SIGTERM and to the first SIGINT.

    On several processes one request is enough: JAX's preemption service tells all of them, and lets all of them stop
    at the same call of :meth:`due`, without any exchange between devices.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._calls = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # Python allows no other
            numbers = [signal.SIGINT] if _several() else [signal.SIGINT, signal.SIGTERM]
            self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)  # who insists is obeyed at once
        if _several():
            os.kill(os.getpid(), signal.SIGTERM)  # which the preemption service listens to

    def obeyed(self, what: str, hint: str = "run the same command again to go on") -> Stopped:
        """The exception to raise after stopping."""
        return Stopped(self.signal_number, f"{what}; {hint}.")

    def due(self) -> bool:
        """Whether to stop here; to be called by every process the same number of times."""
        self._calls += 1
        if not _several():
            return bool(self.signal_number)
        from jax.experimental import multihost_utils

        if not multihost_utils.reached_preemption_sync_point(self._calls):
            return False
        self.signal_number = self.signal_number or signal.SIGTERM
        return True


def _several() -> bool:
    import jax  # here, for the command line knows Stopped and is quick without

    return jax.process_count() > 1
