"""Files that grow by a record at a time, and that a process which is killed leaves whole but for the last one."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.storage.files import replacing

_AT_ONCE = 1 << 12  # rows that are copied at once


class GrowingFile:
    """Lines of text with a ``header`` line; where it is ``quoted``, a line end between quotation marks ends none, as in
    CSV. What was written of a last line is cut off when the file is opened.

    One process at a time may hold it.

    Raises:
        InputError: it cannot be opened.
    """

    def __init__(self, path: Path, *, header: bytes = b"", quoted: bool = False) -> None:
        self.path, self._header, self._quoted = path, header, quoted
        self._open()

    def _open(self) -> None:
        try:
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise InputError(f"{self.path} cannot be written ({error.strerror or error}).") from None
        with self.path.open("rb") as file:
            self._end = sum(map(len, _lines(file, self._quoted)))
        self._file.truncate(self._end)
        if not self._end and self._header:
            self.append(self._header)

    def records(self) -> Iterator[bytes]:
        """All that was appended, with its line ends."""
        with self.path.open("rb") as file:
            lines = _lines(file, self._quoted)
            if self._header:
                next(lines, None)
            yield from lines

    def append(self, record: bytes) -> None:
        """Write a line, which ends with its line end; raises InputError where the place is full, and leaves nothing of
        it then."""
        try:
            rest = memoryview(record)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(self._end)
            raise InputError(f"{self.path} cannot be written ({error.strerror or error}).") from None
        self._end += len(record)

    def replace(self, records: Iterable[bytes]) -> None:
        """Write other records in the place of all."""
        with replacing(self.path) as partial:
            self.write(partial, records)
            self.close()
        self._open()

    def write(self, path: Path, records: Iterable[bytes]) -> None:
        """Write a file of the same kind with these records."""
        with path.open("wb") as file:
            file.write(self._header)
            file.writelines(records)

    def close(self) -> None:
        """Put it on the disk, and leave it."""
        os.fsync(self._file.fileno())
        self._file.close()


def _lines(file: io.BufferedReader, quoted: bool) -> Iterator[bytes]:
    """The lines that have an end."""
    line = b""
    for piece in file:
        line += piece
        if line.endswith(b"\n") and not (quoted and line.count(b'"') % 2):
            yield line
            line = b""


class GrowingArray:
    """The rows (N, ``width``) float32 of a ``.npy`` file.

    One process at a time may hold it.

    Raises:
        InputError: it cannot be opened, or holds something else.
    """

    def __init__(self, path: Path, width: int) -> None:
        self.path, self.width = path, width
        try:
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror or error}).") from None
        size = os.fstat(self._file.fileno()).st_size
        self._begin = len(_header(0, width))
        if size < self._begin:
            self._file.truncate(0)
            self._put(0, _header(0, width))
            size = self._begin
        elif not self._is_ours():
            raise InputError(f"{path} holds no vectors of {width} numbers; give another --out.")
        self.rows = (size - self._begin) // (4 * width)

    def _is_ours(self) -> bool:
        self._file.seek(0)
        try:
            np.lib.format.read_magic(self._file)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(self._file)
        except ValueError:
            return False
        return shape[1:] == (self.width,) and not fortran and dtype == np.float32 and self._file.tell() == self._begin

    def cut(self, rows: int) -> None:
        """Leave so many rows."""
        self._file.truncate(self._place(rows))
        self.rows = rows
        self.commit()

    def append(self, row: np.ndarray) -> None:
        """Write a row (width,), which is counted when it is committed; raises InputError where the place is full."""
        self._put(self._place(self.rows), np.ascontiguousarray(row, "<f4").tobytes())
        self.rows += 1

    def commit(self) -> None:
        """Let the header count the rows."""
        self._put(0, _header(self.rows, self.width))

    def write(self, path: Path, kept: np.ndarray) -> None:
        """Write the rows that are kept (N,) bool to another file."""
        with path.open("wb") as file:
            file.write(_header(int(kept.sum()), self.width))
            for first in range(0, self.rows, _AT_ONCE):
                self._file.seek(self._place(first))
                count = min(_AT_ONCE, self.rows - first)
                rows = np.frombuffer(self._file.read(count * 4 * self.width), "<f4").reshape(count, self.width)
                file.write(rows[kept[first : first + count]].tobytes())

    def close(self) -> None:
        """Put it on the disk, and leave it."""
        os.fsync(self._file.fileno())
        self._file.close()

    def _place(self, row: int) -> int:
        return self._begin + row * 4 * self.width

    def _put(self, place: int, content: bytes) -> None:
        try:
            self._file.seek(place)
            rest = memoryview(content)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise InputError(f"{self.path} cannot be written ({error.strerror or error}).") from None


def _header(rows: int, width: int) -> bytes:
    """Of as many bytes for any number of rows: numpy leaves room for more."""
    text = io.BytesIO()
    content: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(text, content)
    return text.getvalue()


_MARK = "replacing"


def replace_together(folder: Path, write: dict[str, Callable[[Path], None]]) -> None:
    """Write files of a folder anew, by their names, in the place of those that are there: all of them or none."""
    for name, put in write.items():
        put(folder / f"{name}.new")
        with (folder / f"{name}.new").open("rb") as file:
            os.fsync(file.fileno())
    (folder / _MARK).touch()
    finish_replacing(folder)


def finish_replacing(folder: Path) -> None:
    """What a process that was killed in :func:`replace_together` left to be done, or to be taken back."""
    marked = (folder / _MARK).exists()
    for new in folder.glob("*.new"):
        if marked:
            new.replace(new.with_suffix(""))
        else:
            new.unlink()
    (folder / _MARK).unlink(missing_ok=True)
