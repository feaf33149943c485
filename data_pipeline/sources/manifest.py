"""Your own catalogue: one CSV, TSV or JSONL file that names audio files, genres and, where there are any, lyrics.

Columns (or JSON keys): ``audio`` and ``genres`` are required; ``lyrics`` (the text itself), ``lyrics_file``,
``artist``, ``title``, ``language`` and ``id`` are optional, others are ignored. Genres are separated by ``,``, ``;``
or ``|`` (in JSONL also a list). Relative paths start at the manifest's folder. Where a row has both ``lyrics`` and
``lyrics_file``, the text itself is taken. Without an ``id`` the audio path is the id, with ``__`` for ``/``.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import itertools
import json
import os
import re
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.schema import Corpus, Rejected, Track, safe_id
from data_pipeline.sources.music4all import is_instrumental

SUFFIXES = (".csv", ".tsv", ".jsonl")
REQUIRED = ("audio", "genres")

_MAX_FIELD = 1 << 24

_Row = tuple[int, dict[str, Any] | str]
"""Line number, and the row's fields or the reason why it has none."""


def read(path: Path) -> Corpus:
    """Read the manifest at ``path``; tracks come in the order of their ids.

    A bad row becomes a Rejected line with its line number. Raises :class:`InputError` where the file is missing,
    has another suffix, is neither UTF-8 nor UTF-16 with a byte order mark, or lacks a required column.
    """
    path = Path(path)
    text = _decode(path)
    rows = _json_rows(path, text) if path.suffix.lower() == ".jsonl" else _table_rows(path, text)
    tracks: dict[str, Track] = {}
    audio_files: set[Path] = set()
    rejected = []
    for line, row in rows:
        track = row if isinstance(row, str) else _track(row, path.parent)
        if isinstance(track, Track):
            if track.id in tracks:
                track = f"the id {track.id!r} is taken by an earlier row"
            elif track.audio in audio_files:
                track = "an earlier row has the same audio file"
        if isinstance(track, str):
            id_ = f"line {line}" if isinstance(row, str) else str(row.get("id") or row.get("audio") or f"line {line}")
            rejected.append(Rejected(id_, f"{path.name}:{line}", track))
        else:
            tracks[track.id] = track
            audio_files.add(track.audio)
    return Corpus(tuple(tracks[id_] for id_ in sorted(tracks)), tuple(rejected), "a manifest")


def _decode(path: Path) -> str:
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is no manifest; its name must end in {', '.join(SUFFIXES)}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        # Latin-1 would decode anything and spoil every accented genre in silence.
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None


def _require(path: Path, columns: list[str]) -> None:
    for name in REQUIRED:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1, cutoff=0.0)
            hint = f"the nearest column found is {near[0]!r}" if near else "it has no columns"
            raise InputError(f"{path} has no column {name!r}; {hint}.")


def _table_rows(path: Path, text: str) -> list[_Row]:
    """The rows under the header; a quotation mark that is never closed costs its own row, not those after it."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    lines = list(io.StringIO(text, newline=""))
    rows: list[_Row] = []
    limit = csv.field_size_limit(_MAX_FIELD)  # of the whole process; the default is shorter than some lyrics
    try:
        reader, offset = csv.reader(lines, delimiter=delimiter), 0
        header = [name.strip().lower() for name in next(reader, [])]
        _require(path, [name for name in header if name])
        while (start := offset + reader.line_num) < len(lines):
            try:
                row: list[str] | None = next(reader)
            except csv.Error:  # a field without end
                row = None
            end = offset + reader.line_num
            if row is None or _swallows(lines, start, end, row, len(header), delimiter):
                rows.append((start + 1, "a quotation mark is not closed"))
                offset = start + 1
                reader = csv.reader(itertools.islice(lines, offset, None), delimiter=delimiter)
            elif not any(field.strip() for field in row):
                continue
            elif len(row) != len(header):
                rows.append((end, f"{len(row)} columns instead of {len(header)}; quote fields that hold a separator"))
            else:
                rows.append((end, dict(zip(header, row, strict=True))))
    except csv.Error as error:
        raise InputError(f"{path} is no table (line {reader.line_num}: {error}).") from None
    finally:
        csv.field_size_limit(limit)
    return rows


def _swallows(lines: list[str], start: int, end: int, row: list[str], num_columns: int, delimiter: str) -> bool:
    """Whether the row of several lines start .. end - 1 took whole rows into a field that nobody closed."""
    if end - start == 1:
        return False
    if len(row) == num_columns:
        try:
            if end < len(lines):
                return False
            for _ in csv.reader(lines[start:end], delimiter=delimiter, strict=True):
                pass
            return False
        except csv.Error as error:
            if "unexpected end" not in str(error):
                return False
    return any(len(next(csv.reader([line], delimiter=delimiter))) == num_columns for line in lines[start + 1 : end])


def _json_rows(path: Path, text: str) -> list[_Row]:
    rows: list[_Row] = []
    keys: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            rows.append((number, "not valid JSON"))
            continue
        if not isinstance(value, dict):
            rows.append((number, "not a JSON object"))
            continue
        if "\\ud" in line.lower() and not _encodable(value):
            rows.append((number, "half of a surrogate pair is not text"))
            continue
        row = {str(key).strip().lower(): field for key, field in value.items()}
        keys.update(dict.fromkeys(row))
        rows.append((number, row))
    # A key may be absent from a row, but one that no row has is a mistake in the whole file.
    if keys or not rows:
        _require(path, list(keys))
    return rows


def _encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _track(row: dict[str, Any], folder: Path) -> Track | str:
    """The row's track, or the reason why it has none."""
    fields = {}
    for name in ("audio", "lyrics", "lyrics_file", "artist", "title", "language", "id"):
        value = row.get(name)
        if value is not None and not isinstance(value, str | int):
            return f"{name} is not a text"
        fields[name] = "" if value is None else str(value).strip()
    genres = _genres(row.get("genres"))
    if not fields["audio"]:
        return "no audio"
    if isinstance(genres, str):
        return genres
    try:
        audio = Path(os.path.abspath(folder / fields["audio"]))
        if not audio.is_file():
            return "no audio file"
        relative = Path(os.path.relpath(audio, os.path.abspath(folder)))
        lyrics_file = Path(os.path.abspath(folder / fields["lyrics_file"])) if fields["lyrics_file"] else None
        if lyrics_file is not None and not lyrics_file.is_file():
            return f"no lyrics file {fields['lyrics_file']}"
    except (ValueError, OSError):  # a NUL byte or an endless name
        return "a path that no file can have"
    id_ = fields["id"] or relative.with_suffix("").as_posix().replace("/", "__")
    if not safe_id(id_):
        return "the id cannot be a file name"
    language = fields["language"] or None
    sung = not is_instrumental(language)
    return Track(
        id=id_,
        audio=audio,
        genres=genres,
        lyrics_file=lyrics_file if sung and not fields["lyrics"] else None,
        lyrics_text=fields["lyrics"] or None if sung else None,
        artist=fields["artist"] or None,
        title=fields["title"] or None,
        language=language,
    )


def _genres(value: Any) -> tuple[str, ...] | str:
    names = value if isinstance(value, list) else re.split(r"[,;|]", value) if isinstance(value, str) else []
    if not all(isinstance(name, str) for name in names):
        return "genres hold something that is not a text"
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip())) or "no genres"
