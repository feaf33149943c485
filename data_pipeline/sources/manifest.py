"""Your own catalogue: one CSV, TSV, JSON or JSON Lines file that names audio files, genres and, where there are any,
lyrics.

Columns (or JSON keys): ``audio`` and ``genres`` are required; ``lyrics`` (the text itself), ``lyrics_file``,
``artist``, ``title``, ``language`` and ``id`` are optional, others are ignored. How genres are written is told in
:mod:`data_pipeline.sources.genre_lists`, how paths in :mod:`data_pipeline.sources.paths`. Relative paths start at the
manifest's folder. Where a row has both ``lyrics`` and ``lyrics_file``, the text itself is taken. Without an ``id`` the
audio path is the id, with ``__`` for ``/``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.schema import Corpus, Rejected, Track, safe_id
from data_pipeline.sources import genre_lists, tables
from data_pipeline.sources.music4all import is_instrumental
from data_pipeline.sources.paths import Files, Found, PathError, id_of
from data_pipeline.sources.rows import Rows, counted

COLUMNS = tables.Wanted(
    required={
        "audio": """file path filename file_name filepath file_path audio_file audio_path audio_filename location track
            track_path song mp3 wav uri url""".split(),
        "genres": "genre style styles tag tags label labels category categories class classes".split(),
    },
    optional={
        "lyrics": "lyric lyrics_text text words".split(),
        "lyrics_file": "lyric_file lyrics_path lyric_path lyrics_filename".split(),
        "artist": "artists artist_name performer band singer".split(),
        "title": "song_title track_title track_name song_name name".split(),
        "language": "lang languages language_code".split(),
        "id": "track_id song_id ids".split(),
    },
    paths=("audio", "lyrics_file"),
)
"""What is read, and what others call it: for the sentence about a column that is missing or not read."""
_WITHOUT_GENRES = COLUMNS._replace(required={"audio": COLUMNS.required["audio"]})
_ABSENT = frozenset("nan none null n/a #n/a <na> nat \\n".split())
"""How pandas and databases write that a cell is empty."""


def read(path: Path, genre_separator: str = "", *, genres_wanted: bool = True, progress: Rows | None = None) -> Corpus:
    """Read the manifest at ``path``; tracks come in the order of their ids.

    ``genre_separator`` is found out where it is empty. Where genres are not wanted, their column need not be there and
    is not read. ``progress(done, total)`` counts rows. A bad row becomes a Rejected line with its line number. Raises
    :class:`InputError` where the file is missing, has another suffix, is neither UTF-8 nor UTF-16, or lacks a required
    column or has one twice.
    """
    path = Path(path)
    wanted = COLUMNS if genres_wanted else _WITHOUT_GENRES
    table = tables.read_table(path, wanted)
    cells = [row.cells.get("genres") for row in table.rows if isinstance(row.cells, dict)]
    column = genre_lists.read_column(cells if genres_wanted else [], genre_separator)
    genres = iter(column.genres if genres_wanted else [()] * len(cells))
    files = Files(path.parent)
    changed = Counter(column.changes())
    tracks: dict[str, Track] = {}
    audio_files: set[Hashable] = set()
    rejected = []
    for number, row in counted(table.rows, progress):
        where = f"{path.name}:{number}" if table.unit == "line" else f"{path.name}[{number}]"
        id_ = f"{table.unit} {number}"
        try:
            if isinstance(row, str):
                raise _Unusable(row)
            id_ = _name(row) or id_
            track, identity = _track(row, next(genres), files, changed)
            if identity in audio_files:
                raise _Unusable("an earlier row has the same audio file")
            if track.id in tracks:
                raise _Unusable(f"the id {track.id!r} is taken by an earlier row")
        except (_Unusable, PathError) as error:
            if table.undecoded is not None and str(error).startswith((_NO_AUDIO, _NO_LYRICS)):
                raise tables.not_utf8(path, table.undecoded) from None
            rejected.append(Rejected(id_, where, str(error)))
        else:
            tracks[track.id] = track
            audio_files.add(identity)
    notes = (*tables.unread(table, wanted), *column.notes())
    return Corpus(tuple(tracks[id_] for id_ in sorted(tracks)), tuple(rejected), "a manifest", dict(changed), notes)


class _Unusable(InputError):
    """Why a row has no track."""


_NO_AUDIO, _NO_LYRICS = "no audio file", "no lyrics file"


def _name(row: dict[str, Any]) -> str:
    """What a row is called that has no track."""
    return next((str(value).strip() for value in (row.get("id"), row.get("audio")) if _text(value)), "")


def _track(
    row: dict[str, Any], genres: tuple[str, ...] | str, files: Files, changed: Counter[str]
) -> tuple[Track, Hashable]:
    """The row's track, and what its audio file is the same by; raises _Unusable or PathError with the reason."""
    texts = {name: _optional_text(row, name, changed) for name in ("artist", "title", "language")}
    paths = {name: _required_text(row, name) for name in ("audio", "lyrics_file")}
    lyrics = row.get("lyrics")
    if isinstance(lyrics, list) and all(isinstance(line, str) for line in lyrics):
        lyrics = "\n".join(lyrics)
    words = _required_text({"lyrics": lyrics}, "lyrics")
    id_ = _required_text(row, "id").strip()
    audio = _found(files, paths["audio"], "audio", changed)
    if audio is None:
        if _is_absent(paths["audio"]):
            raise _Unusable("no audio")
        other = files.otherwise(paths["audio"])
        raise _Unusable(f"{_NO_AUDIO}: {other}" if other else _NO_AUDIO)
    if isinstance(genres, str):
        raise _Unusable(genres)
    lyrics_file = _found(files, paths["lyrics_file"], "lyrics", changed)
    if lyrics_file is None and not _is_absent(paths["lyrics_file"]):
        named = paths["lyrics_file"].strip().encode(errors="backslashreplace").decode()
        raise _Unusable(f"{_NO_LYRICS} {named}")
    id_ = id_ or id_of(audio.path, files.folder)
    if not safe_id(id_):
        raise _Unusable("the id cannot be a file name")
    text = None if _is_absent(words) else words.strip()
    sung = not is_instrumental(texts["language"])
    track = Track(
        id=id_,
        audio=audio.path,
        genres=genres,
        lyrics_file=lyrics_file.path if lyrics_file and sung and not text else None,
        lyrics_text=text if sung else None,
        **texts,
    )
    return track, audio.identity


def _found(files: Files, written: str, what: str, changed: Counter[str]) -> Found | None:
    found = files.find(written)
    if found is not None and not found.as_written:
        changed[f"paths of {what} that the disk spells otherwise"] += 1
    return found


def _required_text(row: dict[str, Any], name: str) -> str:
    """The cell as it is; raises _Unusable where it is no text."""
    text = _text(row.get(name))
    if text is None:
        raise _Unusable(f"{name} is not a text")
    return text


def _is_absent(text: str) -> bool:
    """Whether a cell is empty, or says so."""
    return not text.strip() or text.strip().lower() in _ABSENT


def _optional_text(row: dict[str, Any], name: str, changed: Counter[str]) -> str | None:
    """The cell without blanks around it; None where it is empty, or where nothing can be made of it."""
    value = row.get(name)
    if isinstance(value, list) and name != "language" and all(isinstance(part, str) for part in value):
        value = "; ".join(part.strip() for part in value if part.strip())
    text = _text(value)
    if text is None:
        changed[f"{name}s that are no text, left out"] += 1
        return None
    absent = not text.strip() if name == "title" else _is_absent(text)  # songs are called None, too
    return None if absent else text.strip()


def _text(value: Any) -> str | None:
    """A text or a number as a text, empty for nothing and for NaN; None for anything else."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int | float) else None
