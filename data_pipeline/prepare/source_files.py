"""The tracks and files that a data set was made from, so that what was changed, replaced or repaired is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.schema import Corpus, Track
from data_pipeline.storage.files import sha256

NAME = "sources.json"


class FileState(NamedTuple):
    """Of one file: its size in bytes, its times of change in ns (of the content, which copies may keep, and of the
    file, which nothing keeps) and its number on the disk, None where it is not there; and its sha256, empty where
    nobody read it."""

    size: int | None
    modified_ns: int | None
    changed_ns: int | None
    number: int | None
    sha256: str = ""

    def is_of(self, file: Path) -> bool:
        """Whether the file is still this one: it is read where its size is the same and anything else is another."""
        now = _state(file)
        if now[:4] == self[:4]:
            return True
        return self.size == now.size and bool(self.sha256) and digest(file) == self.sha256


class Source(NamedTuple):
    """Of one track: a digest of what its tables say, without the places of its files, and the states of its files,
    none where nobody read them."""

    row: str
    files: list[FileState]


class Changes(NamedTuple):
    """How many tracks of a corpus are new, have other tables or files, and are gone; and the first file that
    changed."""

    new: int
    changed: int
    gone: int
    first: Path | None


def look(track: Track) -> list[FileState]:
    """The states of a track's files, not read: the audio, and the lyrics where they are a file."""
    return [_state(file) for file in files(track)]


def read(track: Track, audio_sha256: str = "") -> list[FileState]:
    """The states of a track's files with their digests, of which that of the audio may be known; a file is looked at
    before it is read."""
    known = [audio_sha256, ""]
    return [
        state._replace(sha256=sha or digest(file))
        for file, state, sha in zip(files(track), look(track), known, strict=False)
    ]


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


def sources(corpus: Corpus, states: Mapping[str, list[FileState]]) -> dict[str, Source]:
    """What ``sources.json`` holds, by track id; ``states`` are those of the files that were read."""
    return {track.id: Source(_row(track), states.get(track.id, [])) for track in corpus.tracks}


def parse(content: Any) -> dict[str, Source]:
    """What ``sources.json`` holds; raises TypeError, ValueError or AttributeError for anything else."""
    return {id_: Source(row, [FileState(*state) for state in states]) for id_, (row, states) in content.items()}


def changes(tracks: Sequence[Track], before: Mapping[str, Source]) -> Changes:
    """How the tracks differ from what they were ``before``."""
    new = changed = 0
    first: Path | None = None
    now = {track.id: track for track in tracks}  # the last of an id, as in sources()
    for track in now.values():
        source = before.get(track.id)
        if source is None:
            new += 1
            continue
        pairs = zip(files(track), source.files, strict=False)
        other = next((file for file, state in pairs if not state.is_of(file)), None)
        changed += other is not None or source.row != _row(track)
        first = first or other
    return Changes(new, changed, len(before.keys() - now.keys()), first)


def _row(track: Track) -> str:
    written = (track.id, track.genres, track.lyrics_text, track.artist, track.title, track.language)
    return sha256([*written, track.lyrics_file is not None])[:16]


def _state(file: Path) -> FileState:
    try:
        found = file.stat()
    except (OSError, ValueError):
        return FileState(None, None, None, None)
    return FileState(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
