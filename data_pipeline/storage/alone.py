"""One process at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from data_pipeline.errors import InputError


@contextlib.contextmanager
def alone(lock_file: Path, refusal: str) -> Iterator[None]:
    """Holds a lock; the operating system lets go of it when this process ends, in whatever way.

    Raises:
        InputError: with the ``refusal``, where another process holds it.
    """
    lock = filelock.FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InputError(refusal) from None
    except (NotImplementedError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        print(f"{lock_file.parent} cannot be locked ({reason}): see to it that nobody else writes there")
    try:
        yield
    finally:
        lock.release()
