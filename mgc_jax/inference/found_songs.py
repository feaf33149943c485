"""Which songs are meant: by files and folders, by lists of them, or by a manifest."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.sources import manifest
from data_pipeline.sources.walk import Walk
from data_pipeline.storage.files import sha256
from data_pipeline.tags.words import SideFiles
from mgc_jax.inference.song import Failure, Song


@dataclasses.dataclass
class Songs:
    """What was found: ``songs``, and ``failures`` of folders that cannot be opened and rows that cannot be used.

    ``hidden``, ``others`` and ``repeated`` count what was passed by in folders, as :class:`Walk` has it; ``notes`` are
    sentences about what may be meant otherwise in a manifest.
    """

    songs: list[Song] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    hidden: int = 0
    others: int = 0
    repeated: int = 0
    notes: tuple[str, ...] = ()

    @property
    def passed_by(self) -> str:
        """A sentence about what was passed by in folders; empty for nothing."""
        passed = self.hidden + self.others + self.repeated
        if not passed:
            return ""
        return (
            f"{passed} entries were passed by: {self.hidden} hidden or of a system, {self.others} no songs by "
            f"their names, {self.repeated} links to what was there already"
        )


def find(places: Sequence[Path], files_from: str | None = None, manifest_file: Path | None = None) -> Songs:
    """The songs in files and folders, in a list of them (see :func:`read_list`), and in a manifest.

    A folder stands for all songs in it and in its folders, each once. Whether a file that is named is there at all is
    found out when it is heard. Words are to be looked for in tags, but those of a manifest's songs, which it names; see
    :func:`with_words`.

    Raises:
        InputError: the list or the manifest cannot be read, or there is no song.
    """
    walk, found = Walk(), Songs()
    named = [*places, *(read_list(files_from) if files_from is not None else ())]
    for place in named:
        if os.path.isdir(place):
            found.songs += (Song(song, look_in="tags") for song in walk.songs([place]))
        else:
            found.songs.append(Song(place, look_in="tags"))
    found.failures += [Failure(Song(Path(path)).name, reason) for path, reason in walk.failures]
    found.hidden, found.others, found.repeated = walk.hidden, walk.others, walk.repeated
    if manifest_file is not None:
        _add_manifest(found, manifest_file)
    if not found.songs and not found.failures:
        where = ", ".join(
            dict.fromkeys([*(Song(place).name for place in places), *_sources(files_from, manifest_file)])
        )
        raise InputError(f"There are no songs in {where}{f' ({found.passed_by})' if found.passed_by else ''}.")
    return found


def _sources(files_from: str | None, manifest_file: Path | None) -> list[str]:
    return [str(source) for source in (files_from, manifest_file) if source is not None]


def _add_manifest(found: Songs, file: Path) -> None:
    corpus = manifest.read(file, genres_wanted=False)
    for track in corpus.tracks:
        found.songs.append(Song(track.audio, track.lyrics_text, lyrics_file=track.lyrics_file, language=track.language))
    found.notes = corpus.notes
    found.failures += [Failure(rejected.id, f"{rejected.file}: {rejected.reason}") for rejected in corpus.rejected]


def with_words(songs: Sequence[Song], *, in_tags: bool) -> list[Song]:
    """The songs, each with the file beside it whose words are its own where there are none ``in_tags``, or where these
    are not to be read."""
    side_files = SideFiles()

    def told(song: Song) -> Song:
        if song.look_in is None or not isinstance(song.audio, Path):
            return song
        beside = side_files.of(song.audio)
        return dataclasses.replace(song, lyrics_file=beside, look_in="tags" if in_tags else "beside")

    return [told(song) for song in songs]


def without_words(songs: Sequence[Song]) -> list[Song]:
    """The songs alone."""
    return [dataclasses.replace(song, lyrics=None, lyrics_file=None, look_in=None) for song in songs]


def read_list(file: str) -> list[Path]:
    """The paths in a file, or on standard input where it is ``-``: one a line, or with NUL between them where there is
    one.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if b"\0" in content:
        names: Iterable[bytes] = content.split(b"\0")
    else:
        names = (line.removesuffix(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    return [Path(os.fsdecode(name)) for name in names if name]


def key(song: Song) -> str:
    """What the result of a song in a file is known by: three digests, of its absolute path, of its size and time of
    change, and of its lyrics as text or of where they are and the state of their file."""
    assert isinstance(song.audio, Path)
    path = song.audio
    words: object = song.lyrics
    if song.lyrics_file is not None or song.look_in:
        words = [song.look_in, str(song.lyrics_file), _state(song.lyrics_file) if song.lyrics_file else []]
    return f"{path_key(path)}-{state_key(path)}-{sha256(words)[:16]}"


def path_key(path: str | Path) -> str:
    """The first part of a song's key: a digest of its absolute path."""
    return sha256(os.path.abspath(path))[:16]


def state_key(path: str | Path) -> str:
    """The second part: a digest of the file's size and time of change."""
    return sha256(_state(path))[:16]


def _state(path: str | Path) -> list[int]:
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return []
    return [info.st_size, info.st_mtime_ns]
