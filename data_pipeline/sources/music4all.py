"""Music4All's layout: TAB-separated tables in spite of their ``.csv``, ``audios/<id>.mp3``, ``lyrics/<id>.txt``."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.schema import Corpus, Rejected, Track, safe_id
from data_pipeline.sources import genre_lists
from data_pipeline.sources.rows import Rows, counted

INFORMATION, GENRES, LANGUAGE = "id_information.csv", "id_genres.csv", "id_lang.csv"
NO_LYRICS_LANGUAGES = frozenset({"INTRUMENTAL", "INSTRUMENTAL"})
"""The corpus spells it without the S; derived sets repair it."""

GENERATED = ".generated.json"
"""Lies in a corpus of this layout whose music nobody made."""

_NESTED = ("", "music4all", "music4all/music4all")


def is_instrumental(language: str | None) -> bool:
    """Whether a language code says that the track has no lyrics."""
    return language is not None and language.strip().upper() in NO_LYRICS_LANGUAGES


def read(root: Path, genre_separator: str = "", progress: Rows | None = None) -> Corpus:
    """Read the corpus under ``root`` (or its nested ``music4all/`` folders); tracks come in the order of their ids.

    Nothing is decoded. A comma separates genres unless ``genre_separator`` says otherwise. ``progress(done, total)``
    counts tracks. A bad row becomes a Rejected line; a missing folder, table or column, a column that is there twice,
    or a table that is not UTF-8, raises :class:`InputError`.
    """
    root = _find_root(Path(root))
    information = _read_table(root / INFORMATION, ("id", "artist", "song"))
    genres = _read_table(root / GENRES, ("id", "genres"))
    languages: dict[str, dict[str, str]] = {}
    if (root / LANGUAGE).exists():
        # A bad row here costs the language, not the track, so this table rejects nothing.
        languages = _read_table(root / LANGUAGE, ("id", "lang")).rows
    # One listing per folder: asking the disk about 109 269 files one by one takes minutes on network storage.
    audio_names = _listing(root / "audios", required=True)
    lyrics_names = _listing(root / "lyrics", required=False)

    rejected = information.rejected + genres.rejected
    refused = genres.short | information.short
    tracks = []
    column = genre_lists.read_column([row["genres"] for row in genres.rows.values()], genre_separator or ",")
    genres_of = dict(zip(genres.rows, column.genres, strict=True))
    for id_ in counted(sorted(information.rows.keys() | genres.rows.keys()), progress):
        names = genres_of.get(id_, genre_lists.NO_GENRES)
        audio = _named(f"{id_}.mp3", audio_names) or f"{id_}.mp3"
        reason = None
        if not safe_id(id_):
            reason = "the id cannot be a file name"
        elif id_ in refused:
            continue
        elif id_ not in information.rows:
            reason = f"not listed in {INFORMATION}"
        elif isinstance(names, str):
            reason = f"{names} in {GENRES}" if names == genre_lists.NO_GENRES else names
        elif audio not in audio_names:
            reason = "no audio file"
        if reason or isinstance(names, str):
            rejected.append(Rejected(id_, str(root / "audios" / audio), str(reason)))
            continue
        language = languages.get(id_, {}).get("lang", "").strip() or None
        words = None if is_instrumental(language) else _named(f"{id_}.txt", lyrics_names)
        row = information.rows[id_]
        tracks.append(
            Track(
                id=id_,
                audio=root / "audios" / audio,
                genres=names,
                lyrics_file=root / "lyrics" / words if words else None,
                artist=html.unescape(row["artist"]).strip() or None,
                title=html.unescape(row["song"]).strip() or None,
                language=language,
            )
        )
    generated = (root / GENERATED).is_file()
    source = "a generated corpus" if generated else "a corpus in Music4All's layout"
    return Corpus(tuple(tracks), tuple(rejected), source, column.changes(), tuple(column.notes()))


def _find_root(root: Path) -> Path:
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give the folder that holds {INFORMATION} and audios/.")
    for nested in _NESTED:
        folder = root / nested
        if (folder / INFORMATION).is_file() or (folder / GENRES).is_file():
            return folder
    what = "has no" if any(root.iterdir()) else "is empty: there is no"
    raise InputError(f"{root} {what} {INFORMATION}; give the folder in which Music4All was unpacked.")


def _listing(folder: Path, *, required: bool) -> Mapping[str, str]:
    """The names of the files in a folder, by themselves and by their normalised forms."""
    if not folder.is_dir():
        if required:
            raise InputError(f"{folder} is missing; Music4All keeps its MP3 files there.")
        return {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file())
    return {unicodedata.normalize("NFC", name): name for name in names} | {name: name for name in names}


def _named(name: str, names: Mapping[str, str]) -> str | None:
    """The file that is called ``name``, in whatever Unicode form."""
    return names.get(name) or names.get(unicodedata.normalize("NFC", name))


@dataclasses.dataclass(frozen=True)
class _Table:
    rows: dict[str, dict[str, str]]
    """By id, the first row of each; only the columns asked for."""
    rejected: list[Rejected]
    short: set[str]
    """Ids rejected for too few columns, which are not to be reported again."""


def _read_table(path: Path, columns: tuple[str, ...]) -> _Table:
    if not path.is_file():
        raise InputError(f"{path} is missing; Music4All's tables lie beside the audios folder.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); save the table as UTF-8.") from None
    # QUOTE_NONE: titles hold single quotation marks, which must not swallow the lines after them.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    table = _Table({}, [], set())
    try:
        header = [name.strip() for name in next(reader, [])]
        for name in columns:
            if name not in header:
                found = ", ".join(header) or "nothing"
                raise InputError(f"{path} has no column {name!r} (TAB-separated header found: {found}).")
            if header.count(name) > 1:
                raise InputError(f"{path} has {header.count(name)} columns {name!r}; keep one of them.")
        positions = {name: header.index(name) for name in columns}
        for row in reader:
            if not any(row):
                continue
            where = f"{path.name}:{reader.line_num}"
            id_ = row[positions["id"]].strip() if len(row) > positions["id"] else ""
            if len(row) <= max(positions.values()):
                reason = f"{len(row)} columns instead of {len(header)}"
                table.rejected.append(Rejected(id_, where, reason))
                table.short.add(id_)
            elif id_ in table.rows:
                table.rejected.append(Rejected(id_, where, "duplicate id; the first row is kept"))
            else:
                table.rows[id_] = {name: row[position] for name, position in positions.items()}
    except csv.Error as error:
        raise InputError(f"{path} is not a TAB-separated table (line {reader.line_num}: {error}).") from None
    # A later whole row redeems an id whose first row was cut off.
    table.short.difference_update(table.rows)
    return table
