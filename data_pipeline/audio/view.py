"""A stretch of a file as a file of its own."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, BinaryIO


class View(io.RawIOBase):
    """The bytes [start, stop) of ``file``, of which some are read as others: ``patches`` by their place in ``file``.

    It raises nothing, for those who read it are C libraries: ``error`` is what ended the reading before the end.
    """

    def __init__(self, file: BinaryIO, start: int, stop: int, patches: Mapping[int, bytes]) -> None:
        self._file, self._start, self._stop, self._patches, self._at = file, start, stop, patches, start
        self.error: OSError | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As files have it."""
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._at, io.SEEK_END: self._stop}[whence]
        if base + offset >= self._start:
            self._at = base + offset
        return self.tell()

    def tell(self) -> int:
        """As files have it."""
        return self._at - self._start

    def readinto(self, buffer: Any) -> int:
        """As files have it."""
        wanted = min(len(buffer), self._stop - self._at)
        if wanted <= 0 or self.error:
            return 0
        try:
            self._file.seek(self._at)
            content = bytearray(self._file.read(wanted))
        except OSError as error:
            self.error = error
            return 0
        for place, patch in self._patches.items():
            first, last = max(place, self._at), min(place + len(patch), self._at + len(content))
            if first < last:
                content[first - self._at : last - self._at] = patch[first - place : last - place]
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
