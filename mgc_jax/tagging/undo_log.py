"""The log of files whose tags are changed: what each one was, on the disk before the file is touched.

JSON Lines. The first line says what the file is; then one line for each change, with a number of its own, and one for
each change that was taken back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from data_pipeline.errors import InputError
from mgc_jax.tagging.difference import Recipe

_KIND = {"log": "mgc-jax tag", "version": 1}


@dataclass(frozen=True)
class FileState:
    """A file at some time: its size in bytes, its time of change in ns, and its sha256."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Change:
    """One file's new genres. ``settings`` is a digest of how they were found; ``recipe`` makes the old file of the new
    one, see :mod:`mgc_jax.tagging.difference`."""

    file: str
    settings: str
    genres_before: tuple[str, ...]
    genres_after: tuple[str, ...]
    before: FileState
    after: FileState
    recipe: Recipe


class UndoLog:
    """The log at ``path``; to be held by one process at a time, see :func:`data_pipeline.storage.alone.alone`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number = 0
        self._places: dict[int, tuple[int, str]] = {}
        self._written: dict[str, tuple[int, str, int, int]] = {}
        self._file: IO[bytes] | None = None
        self._end = 0
        if path.exists():
            self._read()

    def _read(self) -> None:
        """Where each change stands; what a process that was killed wrote of a last line does not count."""
        with self._opened("rb") as file:
            while (line := file.readline()).endswith(b"\n"):
                self._note(line)
                self._end += len(line)
            if not self._end and not _dumped(_KIND).startswith(line):
                raise self._not_one()

    def _note(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if not self._end:
                if entry != _KIND:
                    raise self._not_one()
            elif "undone" in entry:
                self._forget(entry["undone"])
            else:
                change = _change(entry)
                self._number = entry["number"] + 1
                self._remember(entry["number"], self._end, change)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._not_one() from None

    def _remember(self, number: int, place: int, change: Change) -> None:
        self._places[number] = place, change.file
        self._written[change.file] = number, change.settings, change.after.size, change.after.mtime_ns

    def _forget(self, number: int) -> None:
        _, file = self._places.pop(number, (0, ""))
        if self._written.get(file, (None,))[0] == number:
            del self._written[file]

    def _not_one(self) -> InputError:
        return InputError(f"{self.path} is no log of mgc-jax tag, or is broken.")

    def _opened(self, mode: str, buffering: int = -1) -> IO[Any]:
        try:
            return self.path.open(mode, buffering)
        except OSError as error:
            raise InputError(f"{self.path} cannot be opened ({error.strerror}).") from None

    @property
    def num_changes(self) -> int:
        """How many were not taken back."""
        return len(self._places)

    def has(self, file: Path, size: int, mtime_ns: int, settings: str) -> bool:
        """Whether the file is as a change with the same settings left it."""
        return self._written.get(str(file), ())[1:] == (settings, size, mtime_ns)

    def changes(self) -> Iterator[tuple[int, Change]]:
        """The numbers and changes that were not taken back, the last one first."""
        with self._opened("rb") as file:
            for number, (place, _) in sorted(self._places.items(), reverse=True):
                file.seek(place)
                yield number, _change(json.loads(file.readline()))

    def last(self, file: Path) -> Change:
        """The last change of a file."""
        with self._opened("rb") as log:
            log.seek(self._places[self._written[str(file)][0]][0])
            return _change(json.loads(log.readline()))

    def add(self, change: Change) -> None:
        """Write a change, and return when it is on the disk; raises InputError where it cannot be written."""
        place = self._append({"number": self._number, **asdict(change)})
        self._remember(self._number, place, change)
        self._number += 1

    def undone(self, number: int) -> None:
        """Write that a change was taken back."""
        self._append({"undone": number})
        self._forget(number)

    def _append(self, entry: dict[str, Any]) -> int:
        new = self._file is None and not self.path.exists()
        if self._file is None:
            # Without a buffer: closing one writes again what did not fit on a full disk.
            self._file = self._opened("ab" if new else "r+b", buffering=0)
            if not new:
                self._file.truncate(self._end)
        self._file.seek(0, os.SEEK_END)
        place = self._file.tell()
        lines: Sequence[dict[str, Any]] = [entry] if place else [_KIND, entry]
        texts = [_dumped(line) for line in lines]
        try:
            rest = memoryview(b"".join(texts))
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(place)
            self._file.close()
            self._file = None
            self._end = place
            raise InputError(f"{self.path} cannot be written ({error.strerror}): no more files are changed.") from None
        return place + sum(map(len, texts[:-1]))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _dumped(entry: dict[str, Any]) -> bytes:
    """A line; a byte of a file's name that is not UTF-8 is ``\\udcHH`` in it, as Python's own JSON has it."""
    return json.dumps(entry).encode() + b"\n"


def _change(entry: dict[str, Any]) -> Change:
    recipe = [part if isinstance(part, str) else [int(number) for number in part] for part in entry["recipe"]]
    return Change(
        file=str(entry["file"]),
        settings=str(entry["settings"]),
        genres_before=tuple(entry["genres_before"]),
        genres_after=tuple(entry["genres_after"]),
        before=FileState(**entry["before"]),
        after=FileState(**entry["after"]),
        recipe=recipe,
    )
