"""A change of something that the whole process has, for as long as any of its threads needs it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable


class SharedContext:
    """A context that the first who comes in enters, and the last who goes out leaves.

    Threads that change one thing and bring it back, each by itself, bring back what another one had made of it.

    Args:
        make: gives the context; called for each first one.
    """

    def __init__(self, make: Callable[[], contextlib.AbstractContextManager[object]]) -> None:
        self._make, self._lock, self._inside = make, threading.Lock(), 0
        self._open = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._open.enter_context(self._make())
            self._inside += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._open.close()
