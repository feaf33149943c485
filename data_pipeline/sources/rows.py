"""The rows of a table, counted while they are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

T = TypeVar("T")
Rows = Callable[[int, int], None]
"""Called with how many rows are done, and how many there are."""
_AT_ONCE = 1000


def counted(rows: Collection[T], progress: Rows | None) -> Iterator[T]:
    """The rows, of which ``progress`` hears some at a time."""
    for done, row in enumerate(rows):
        if progress and done % _AT_ONCE == 0:
            progress(done, len(rows))
        yield row
    if progress and rows:
        progress(len(rows), len(rows))
