"""The files that a data set was made from, so that one that was changed, replaced or repaired since is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.schema import Track

NAME = "sources.json"


class FileState(NamedTuple):
    """Of one file: its size in bytes and time of change in ns, None where it is not there; and its sha256, empty where
    nobody read it."""

    size: int | None
    modified_ns: int | None
    sha256: str = ""


def look(track: Track) -> list[FileState]:
    """The states of a track's files, not read: the audio, and the lyrics where they are a file."""
    return [_state(file) for file in files(track)]


def read(track: Track) -> list[FileState]:
    """The states of a track's files with their digests; a file is looked at before it is read."""
    return [state._replace(sha256=digest(file)) for file, state in zip(files(track), look(track), strict=True)]


def files(track: Track) -> list[Path]:
    """A track's files: the audio, and the lyrics where they are a file."""
    return [track.audio, *([track.lyrics_file] if track.lyrics_file else [])]


def digest(file: Path) -> str:
    """The sha256 of a file, empty for one that cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return ""


def changed(tracks: Sequence[Track], before: Mapping[str, Sequence[Sequence[Any]]]) -> list[Path]:
    """The files that are not what they were ``before``, by track id as ``sources.json`` has it.

    A file with another time and the same size is read: one that was only touched or copied has not changed.
    """
    found = []
    for track in tracks:
        states = before.get(track.id)
        if states is not None:
            then = [FileState(*state) for state in states]
            pairs = zip(files(track), then, look(track), strict=False)
            found += [file for file, old, new in pairs if _differs(file, old, new)]
    return found


def _differs(file: Path, old: FileState, new: FileState) -> bool:
    if old[:2] == new[:2]:
        return False
    return old.size != new.size or not old.sha256 or digest(file) != old.sha256


def _state(file: Path) -> FileState:
    try:
        found = file.stat()
    except (OSError, ValueError):
        return FileState(None, None)
    return FileState(found.st_size, found.st_mtime_ns)
