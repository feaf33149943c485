"""Scalars on their way to a tracker, in a thread of its own: neither a slow nor a dead server holds training up.

``metrics.jsonl`` is the record; a tracker is a copy of it, brought up to date whenever the tracker answers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from mgc_jax.runs.logs import Ending, Log
from mgc_jax.runtime.progress import Progress

PATIENCE = 30.0
"""Seconds that the end of a training waits for its tracker."""


class Tracker(Log, Protocol):
    """A run in an experiment tracker. Its methods may take long, and raise anything."""

    name: str
    """Of the tracker, for people."""
    run: str
    """The run's id there."""
    written: dict[str, int]
    """The last step that the tracker holds of each group of scalars."""


class Delivery:
    """Writes to a tracker without waiting for it; what it does not take is tried again with the next scalars.

    A step that the tracker already holds is not written again: a resumed training repeats the steps since its
    checkpoint, with the same values but for the speed.
    """

    def __init__(self, tracker: Tracker):
        self._tracker = tracker
        self._written = dict(tracker.written)
        self._waiting: deque[tuple[int, dict[str, float]]] = deque()
        self._ending: Ending | None = None
        self._news = threading.Event()
        self._closed = self._warned = False
        self._thread = threading.Thread(target=self._deliver, name=f"mgc-jax to {tracker.name}", daemon=True)
        self._thread.start()

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Hand the scalars over; returns at once."""
        new = {name: value for name, value in scalars.items() if step > self._written.get(group(name), -1)}
        if new:
            self._written |= {group(name): step for name in new}
            self._waiting.append((step, new))
            self._news.set()

    def close(self, ending: Ending) -> None:
        """Wait for what is on its way, but not for long; says so where something did not arrive."""
        self._ending = ending
        self._news.set()
        self._thread.join(PATIENCE)
        if self._waiting or not self._closed:
            Progress.say(
                f"{self._tracker.name} did not take all of the run; metrics.jsonl has everything, and the same "
                "training command, given again, sends what is missing"
            )

    def _deliver(self) -> None:
        while self._ending is None:
            self._news.wait()
            self._news.clear()
            self._send()
        self._send()  # what came between the last attempt and the end
        try:
            self._tracker.close(self._ending)
            self._closed = True
        except Exception as error:  # of somebody else's client: it has no list of what it raises
            self._warn(error)

    def _send(self) -> None:
        """What waits, as far as the tracker takes it."""
        while self._waiting:
            try:
                self._tracker.write(*self._waiting[0])
            except Exception as error:
                self._warn(error)
                return
            self._waiting.popleft()

    def _warn(self, error: Exception) -> None:
        """Once is enough."""
        if not self._warned:
            self._warned = True
            Progress.say(f"{self._tracker.name} does not take the scalars ({reason_of(error)}); training goes on")


def group(name: str) -> str:
    """``train`` of ``train/loss``."""
    return name.partition("/")[0]


def reason_of(error: Exception) -> str:
    """An error in a few words, on one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(" .:")
