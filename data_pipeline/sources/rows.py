"""The rows of a table, counted while they are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from data_pipeline.schema import MANY

T = TypeVar("T")
Rows = Callable[[int, int], None]
"""Called with how many rows are done, and how many there are."""
_AT_ONCE = 1000


def counted(rows: Collection[T], progress: Rows | None) -> Iterator[T]:
    """The rows, which ``progress`` counts some at a time where they are many."""
    if progress is None or len(rows) < MANY:
        yield from rows
        return
    for done, row in enumerate(rows):
        if done % _AT_ONCE == 0:
            progress(done, len(rows))
        yield row
    progress(len(rows), len(rows))
