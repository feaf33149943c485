"""A folder of tagged songs -> a manifest, as :mod:`data_pipeline.sources.manifest` reads it.

What was read of each file is kept in a journal beside the manifest until that is written, so that an interrupted scan
goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from data_pipeline.errors import InputError
from data_pipeline.genre_names import key
from data_pipeline.sources import genre_lists
from data_pipeline.sources.walk import Walk
from data_pipeline.storage.alone import alone
from data_pipeline.storage.files import write_tsv, written_whole
from data_pipeline.storage.growing import GrowingFile
from data_pipeline.tags.tag_file import TagError, Tags, read
from data_pipeline.tags.words import SideFiles

SUFFIXES = (".csv", ".jsonl")
"""What a manifest's name may end in."""
COLUMNS = ("audio", "genres", "lyrics", "lyrics_file", "artist", "album_artist", "album", "title", "language")


@dataclasses.dataclass
class Scanned:
    """What a scan found: numbers of songs and of what was passed by; ``unreadable`` files stand in ``failures_file``,
    which is None where all could be read. ``genres``: of how many names."""

    songs: int = 0
    without_genres: int = 0
    without_lyrics: int = 0
    genres: int = 0
    unreadable: int = 0
    hidden: int = 0
    others: int = 0
    repeated: int = 0
    failures_file: Path | None = None


def scan(folders: Sequence[Path], out: Path, progress: Callable[[str, int, int], None] | None = None) -> Scanned:
    """Write the songs in ``folders`` to the manifest ``out`` (.csv or .jsonl), and ``out``.unreadable.tsv with the
    reason for each file whose tags cannot be read.

    Songs without genres are in it, too, for ``prepare`` to count. ``progress(stage, done, total)`` is called with the
    stage "scan".

    Raises:
        InputError: a folder is not there, ``out`` cannot be written or has another suffix, or another scan writes it.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out} is no manifest; its name must end in {' or '.join(SUFFIXES)}.")
    walk = Walk()
    lock = out.with_name(f"{out.name}.lock")
    with alone(lock, f"{out} is being written by another scan; wait for it."):
        songs = list(walk.songs(folders))
        with _Journal(out.with_name(f"{out.name}.scanned.jsonl")) as journal:
            for done, song in enumerate(songs):
                if progress:
                    progress("scan", done, len(songs))
                journal.add(song)
            if progress:
                progress("scan", len(songs), len(songs))
            result = _write(journal, songs, walk, out)
            journal.delete()
        with contextlib.suppress(OSError):
            lock.unlink()
    return result


class _Journal:
    """What was read of each file, one line of JSON each, by the file's path, size and time of change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, list[int]]] = {}
        self._end = 0

    def __enter__(self) -> _Journal:
        self._file = GrowingFile(self._path)
        for line in self._file.records():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                self._places[entry["file"]] = self._end, entry["state"]
            self._end += len(line)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, song: Path) -> None:
        """Read the tags of a file that is not in the journal yet as it is now; raises InputError where that cannot be
        written."""
        name = str(song)
        try:
            info = song.stat()
            state = [info.st_size, info.st_mtime_ns]
        except OSError:
            state = [-1, -1]
        if name in self._places and self._places[name][1] == state:
            return
        try:
            entry: dict[str, Any] = {"file": name, "state": state, "tags": dataclasses.asdict(read(song))}
        except TagError as error:
            entry = {"file": name, "state": state, "reason": str(error)}
        line = json.dumps(entry).encode() + b"\n"
        self._file.append(line)
        self._places[name] = self._end, state
        self._end += len(line)

    def entries(self, songs: Iterable[Path]) -> Iterator[tuple[Path, Tags | str]]:
        """Each song's tags, or why it has none."""
        with self._path.open("rb") as file:
            for song in songs:
                file.seek(self._places[str(song)][0])
                entry = json.loads(file.readline())
                if "tags" in entry:
                    yield song, Tags(**{**entry["tags"], "genres": tuple(entry["tags"]["genres"])})
                else:
                    yield song, entry["reason"]

    def delete(self) -> None:
        """Remove what is not needed any more."""
        self._path.unlink(missing_ok=True)


def _write(journal: _Journal, songs: Sequence[Path], walk: Walk, out: Path) -> Scanned:
    written = dict.fromkeys(
        genre for _, tags in journal.entries(songs) if isinstance(tags, Tags) for genre in tags.genres
    )
    names = _split(list(written))
    result = Scanned(hidden=walk.hidden, others=walk.others, repeated=walk.repeated)
    failures = list(walk.failures)
    side_files, folder = SideFiles(), os.path.abspath(out.parent)
    known: set[str] = set()
    with written_whole(out) as file:
        write = _writer(file, out.suffix.lower())
        for song, tags in journal.entries(songs):
            if not isinstance(tags, Tags):
                failures.append((str(song), tags))
                continue
            genres = list(dict.fromkeys(name for genre in tags.genres for name in names[genre]))
            lyrics_file = None if tags.lyrics else side_files.of(song)
            write(
                {
                    "audio": _relative(song, folder),
                    "genres": genres,
                    "lyrics_file": _relative(lyrics_file, folder) if lyrics_file else "",
                    **{name: getattr(tags, name) for name in COLUMNS if name not in ("audio", "genres", "lyrics_file")},
                    "artist": tags.artist or tags.album_artist,
                }
            )
            result.songs += 1
            result.without_genres += not genres
            result.without_lyrics += not (tags.lyrics or lyrics_file)
            known.update(map(key, genres))
    result.genres, result.unreadable = len(known), len(failures)
    failures_file = out.with_name(f"{out.name}.unreadable.tsv")
    if failures:
        write_tsv(failures_file, ["file", "reason"], failures)
        result.failures_file = failures_file
    else:
        failures_file.unlink(missing_ok=True)
    return result


def _split(written: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The genres that a tag's text stands for: by the separator of the whole collection, as in a manifest's column; and
    at a slash, as programs join the genres of ID3v2.3, where all parts are genres of other songs."""
    column = genre_lists.read_column(written)
    names = {text: () if isinstance(found, str) else found for text, found in zip(written, column.genres, strict=True)}
    known = {key(name) for found in names.values() for name in found if "/" not in name}
    return {text: tuple(part for name in found for part in _at_slashes(name, known)) for text, found in names.items()}


def _at_slashes(name: str, known: set[str]) -> list[str]:
    parts = [part.strip() for part in name.split("/")]
    return parts if len(parts) > 1 and all(key(part) in known for part in parts) else [name]


def _writer(file: IO[bytes], suffix: str) -> Callable[[dict[str, Any]], None]:
    """What writes a row; bytes of names that are not UTF-8 stay as they are."""
    if suffix == ".jsonl":

        def write_line(row: dict[str, Any]) -> None:
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))

        return write_line
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")

    def flush() -> None:
        file.write(text.getvalue().encode(errors="surrogateescape"))
        text.seek(0)
        text.truncate()

    def write(row: dict[str, Any]) -> None:
        writer.writerow(row | {"genres": json.dumps(row["genres"], ensure_ascii=False)})
        flush()

    writer.writeheader()
    flush()
    return write


def _relative(path: Path, folder: str) -> str:
    """The path from the manifest's folder where it lies in that, so that both can be moved together."""
    text = os.path.abspath(path)
    return os.path.relpath(text, folder) if Path(text).is_relative_to(folder) else text
