"""Tables as people have them: CSV in its dialects, TSV, JSON Lines and JSON -> rows of named cells."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.errors import InputError
from data_pipeline.genre_names import normalise

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")

_MAX_FIELD = 1 << 24
_MAGIC = {
    codecs.BOM_UTF32_LE: "UTF-32",
    b"PK\x03\x04": "a ZIP archive, as .xlsx and .ods files are",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML file",
    b"version https://git-lfs": "a pointer of Git LFS, for which git lfs pull gets the file",
    b"\xd0\xcf\x11\xe0": "a file of Excel or Word",
    b"PAR1": "a Parquet file",
    b"SQLite": "an SQLite database",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
}
_NOT_READ = {
    "a workbook": ".xlsx .xls .xlsm .xlsb .ods .numbers",
    "a table of columns": ".parquet .feather .arrow .orc .h5 .hdf5",
    "a pickle, which is never opened": ".pkl .pickle .joblib",
    "an archive": ".zip .gz .tgz .7z .rar .bz2 .xz .zst",
    "a playlist": ".m3u .m3u8 .pls .xspf",
    "a database": ".sqlite .sqlite3 .db .sql",
    "no table": ".xml .yaml .yml .toml .ini .html .htm .pdf .doc .docx",
}
_HEADER_WITHIN = 20
"""Lines that may stand above the header."""
_SOUND = re.compile(r"\.(?:mp3|flac|wav|ogg|oga|opus|m4a|aac|wma|aiff?|wv|ape|mp4|webm)\Z", re.IGNORECASE)
_UNDECODED = re.compile("[\udc80-\udcff]")


class Row(NamedTuple):
    """A row's number and its cells by column, or the reason why it has none."""

    number: int
    cells: dict[str, Any] | str


class Table(NamedTuple):
    """The rows of a file. ``columns``: by what they are read as, the names as they are written. ``unit``: what
    the numbers of rows count. ``undecoded``: where the file is not UTF-8, None where it is. ``above``: how many lines
    above the header say something else."""

    rows: list[Row]
    columns: Mapping[str, str]
    unit: str
    undecoded: int | None
    above: int = 0


class Wanted(NamedTuple):
    """The columns that are read: those that must be there, by the names that others give them, and the optional ones.
    Names of files, among the ``paths``, may hold bytes that are not UTF-8."""

    required: Mapping[str, Collection[str]]
    optional: Mapping[str, Collection[str]]
    paths: Collection[str]


def read_table(path: Path, wanted: Wanted) -> Table:
    """The rows of a CSV, TSV, JSON Lines or JSON file.

    Raises:
        InputError: it has another suffix, cannot be read, is neither UTF-8 nor UTF-16, is no table, lacks a required
            column, or has a column twice.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is no manifest; {not_read(path)}.")
    text, undecoded = _decoded(path)
    if not text.strip("\ufeff \t\r\n,;|"):
        raise InputError(f"{path} is empty.")
    is_json, above, unit = path.suffix.lower().startswith((".json", ".ndjson")), 0, "line"
    if is_json:
        rows, columns, unit = _json_rows(path, text, wanted)
    else:
        rows, columns, above = _text_rows(path, text, wanted)
    if undecoded is not None:
        held = (cell for row in rows if isinstance(row.cells, dict) for cell in row.cells.items())
        names = [name for name, cell in held if isinstance(cell, str) and _UNDECODED.search(cell)]
        if not names or not set(names) <= set(wanted.paths):
            raise not_utf8(path, undecoded)
    return Table(rows, columns, unit, undecoded, above)


def not_read(path: Path) -> str:
    """What to do about a file with another suffix, for a sentence."""
    suffix = path.suffix.lower()
    what = next((what for what, suffixes in _NOT_READ.items() if suffix in suffixes.split()), "")
    kinds = ", ".join(SUFFIXES)
    return f"it is {what}: save the table as CSV in UTF-8" if what else f"its name must end in {kinds}"


def not_utf8(path: Path, position: int) -> InputError:
    """The sentence about a file of another code: Latin-1 would decode anything, and spoil accents in silence."""
    return InputError(
        f"{path} is not UTF-8 (byte {position}) but an older code such as cp1252; save it as UTF-8, which Excel calls "
        "'CSV UTF-8'."
    )


def unread(table: Table, wanted: Wanted) -> list[str]:
    """Sentences about columns that are not read, and look as if they were meant to be."""
    sentences = []
    if table.above:
        lines = "line" if table.above == 1 else "lines"
        sentences.append(f"{table.above} {lines} above the header {'is' if table.above == 1 else 'are'} not read.")
    for name, others in wanted.optional.items():
        free = [column for column in table.columns if column not in (*wanted.required, *wanted.optional)]
        if name not in table.columns and (near := _near(name, others, free, cutoff=0.8)):
            sentences.append(
                f"The column {table.columns[near]!r} is not read; call it {name!r} if that is what it holds."
            )
    return sentences


def _decoded(path: Path) -> tuple[str, int | None]:
    """The text, and the first byte that is not UTF-8, which stands in it as surrogateescape has it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise InputError(f"{path} is no text but {what}; save the table as CSV in UTF-8.")
    utf16 = _utf16(data)
    try:
        return data.decode(utf16 or "utf-8-sig"), None
    except UnicodeDecodeError as error:
        if utf16:
            raise InputError(f"{path} is not UTF-8, nor whole UTF-16 (byte {error.start}); save it as UTF-8.") from None
        return data.decode("utf-8-sig", "surrogateescape"), error.start


def _utf16(data: bytes) -> str:
    """The name of the UTF-16 that the file is in: with a mark, or by the zeros of its first letters."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    first, second = data[:40:2], data[1:40:2]
    if len(data) >= 8 and not any(second) and all(first):
        return "utf-16-le"
    return "utf-16-be" if len(data) >= 8 and not any(first) and all(second) else ""


def _column(name: Any) -> str:
    """What a column is read as: `` Lyrics File`` is ``lyrics_file``."""
    return normalise(str(name)).replace(" ", "_").replace("-", "_")


def _checked(path: Path, written: Sequence[Any], wanted: Wanted) -> dict[str, str]:
    """The columns by what they are read as; raises InputError where a wanted one is missing, or there twice."""
    columns = {_column(name): str(name).strip() for name in reversed(written)}
    columns.pop("", None)
    for name in wanted.required:
        if name not in columns:
            raise InputError(f"{path} has no column {name!r}; {_hint(name, columns, wanted)}.")
    times = Counter(map(_column, written))
    if twice := [name for name in (*wanted.required, *wanted.optional) if times[name] > 1]:
        raise InputError(f"{path} has {times[twice[0]]} columns {twice[0]!r}; keep one of them.")
    return columns


def _hint(name: str, columns: Mapping[str, str], wanted: Wanted) -> str:
    """What may be done about a column that is missing."""
    free = [column for column in columns if column not in (*wanted.required, *wanted.optional)]
    if near := _near(name, wanted.required[name], free, cutoff=0.5):
        return f"the nearest column found is {columns[near]!r}, rename it if it is"
    if any(_SOUND.search(written) for written in columns.values()):
        return f"its first line is no header, put one above it that says {','.join(wanted.required)}"
    found = ", ".join(f"{written!r:.60}" for written in [*columns.values()][:8])
    return f"it has {found}" if found else "it has no columns"


def _near(name: str, others: Collection[str], columns: Sequence[str], cutoff: float) -> str | None:
    """The column that seems to be meant by ``name``."""
    called = next((column for column in columns if column in others), None)
    return called or next(iter(difflib.get_close_matches(name, columns, n=1, cutoff=cutoff)), None)


class _Dialect(NamedTuple):
    delimiter: str
    skipinitialspace: bool

    def reader(self, lines: Any, strict: bool = False) -> Any:
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.skipinitialspace, strict=strict)


def _text_rows(path: Path, text: str, wanted: Wanted) -> tuple[list[Row], Mapping[str, str], int]:
    """The rows under the header, and how many lines stand above it.

    A quotation mark that is never closed costs its own row, not those after it.
    """
    lines = list(io.StringIO(text, newline=""))
    rows: list[Row] = []
    limit = csv.field_size_limit(_MAX_FIELD)  # of the whole process; the default is shorter than some lyrics
    offset = 0
    try:
        first = next((i for i, line in enumerate(lines) if line.strip()), 0)
        told = re.fullmatch(r"sep=(.)\s*", lines[first]) if lines else None  # Excel's own line
        first = offset = first + (told is not None)
        own = told[1] if told else "\t" if path.suffix.lower() == ".tsv" else ","
        headers = ((i, _dialect(lines[i:], own, wanted)) for i in range(first, min(first + _HEADER_WITHIN, len(lines))))
        offset, dialect = next(((i, found) for i, found in headers if found), (first, None))
        above = sum(any(sign.isalnum() for sign in line) for line in lines[first:offset])
        dialect = dialect or _widest(lines[first:], own)
        reader = dialect.reader(itertools.islice(lines, offset, None))
        header: list[str] = next(reader, [])
        columns = _checked(path, header, wanted)
        names = [_column(name) for name in header]
        while (start := offset + reader.line_num) < len(lines):
            try:
                row: list[str] | None = next(reader)
            except csv.Error:  # a field without end
                row = None
            end = offset + reader.line_num
            if row is None or _swallows(lines, start, end, row, len(header), dialect):
                rows.append(Row(start + 1, "a quotation mark is not closed"))
                offset = start + 1
                reader = dialect.reader(itertools.islice(lines, offset, None))
            elif not any(field.strip() for field in row):
                continue
            elif len(row) != len(header):
                reason = f"{len(row)} columns instead of {len(header)}; quote fields that hold a separator"
                rows.append(Row(end, reason))
            else:
                rows.append(Row(end, dict(zip(names, row, strict=True))))
    except csv.Error as error:
        raise InputError(f"{path} is no table (line {offset + reader.line_num}: {error}).") from None
    finally:
        csv.field_size_limit(limit)
    return rows, columns, above


def _dialect(lines: Sequence[str], own: str, wanted: Wanted) -> _Dialect | None:
    """The delimiter under which the first line is a header that has what is required; None where there is none."""
    for delimiter, header in _headers(lines, own).items():
        if set(wanted.required) <= {_column(name) for name in header}:
            after = lines[0].split(delimiter)[1:]
            return _Dialect(delimiter, bool(after) and all(name.startswith(" ") for name in after))
    return None


def _widest(lines: Sequence[str], own: str) -> _Dialect:
    """The delimiter that gives the most columns."""
    headers = _headers(lines, own)
    return _Dialect(max(headers, key=lambda name: len(headers[name])), False)


def _headers(lines: Sequence[str], own: str) -> dict[str, list[str]]:
    delimiters = dict.fromkeys((own, ",", ";", "\t", "|"))
    return {
        delimiter: next(csv.reader(lines[:1], delimiter=delimiter, skipinitialspace=True), [])
        for delimiter in delimiters
    }


def _swallows(lines: list[str], start: int, end: int, row: list[str], num_columns: int, dialect: _Dialect) -> bool:
    """Whether the row of several lines start .. end - 1 took whole rows into a field that nobody closed."""
    if end - start == 1:
        return False
    if len(row) == num_columns:
        try:
            if end < len(lines):
                return False
            for _ in dialect.reader(lines[start:end], strict=True):
                pass
            return False
        except csv.Error as error:
            if "unexpected end" not in str(error):
                return False
    return any(len(next(dialect.reader([line]))) == num_columns for line in lines[start + 1 : end])


class _Object(dict):
    """A JSON object that remembers all its keys."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.keys_written = [key for key, _ in pairs]


def _json_rows(path: Path, text: str, wanted: Wanted) -> tuple[list[Row], Mapping[str, str], str]:
    """The objects of an array, or one of each line."""
    unit, values = "line", list[tuple[int, Any]]()
    whole = _json(text)
    if isinstance(whole, _Object):
        whole = _within(path, whole, wanted)
    if isinstance(whole, list):
        unit, values = "item", list(enumerate(whole, start=1))
    elif _is_row(set(wanted.required))(whole):
        values = [(1, whole)]
    else:
        values = [(n, _json(line)) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows: list[Row] = []
    written: dict[str, str] = {}
    for number, value in values:
        if isinstance(value, _Object):
            rows.append(Row(number, _cells(value, wanted)))
            written |= {_column(key): key for key in reversed(value.keys_written)}
        else:
            rows.append(Row(number, "not valid JSON" if value is _BROKEN else "not a JSON object"))
    if not rows:
        raise InputError(f"{path} holds no rows.")
    if not written and (path.suffix.lower() == ".json" or unit == "item"):
        raise InputError(f"{path} {_no_objects(text)}; give an array of objects, or one object a line.")
    # A key may be absent from a row, but one that no row has is a mistake in the whole file.
    return rows, _checked(path, list(written.values()), wanted) if written else {}, unit


def _within(path: Path, whole: _Object, wanted: Wanted) -> Any:
    """The rows of a file that is one object: a row itself, rows under some name or each under its id, or columns.

    ``whole`` where it is a row, or nothing that is known.
    """
    required = set(wanted.required)
    columns = {_column(key): value for key, value in whole.items()}
    if required <= columns.keys():
        held = [value for value in columns.values() if isinstance(value, list | _Object)]
        return _transposed(path, whole) if len(held) == len(columns) else whole
    if isinstance(names := columns.get("columns"), list) and isinstance(data := columns.get("data"), list):
        pairs = [[*zip(map(str, names), row, strict=False)] for row in data if isinstance(row, list)]
        return [_Object(row) for row in pairs]
    tables = [value for value in whole.values() if isinstance(value, list) and any(map(_is_row(required), value))]
    if len(tables) > 1:
        raise InputError(f"{path} holds {len(tables)} tables; give one of them.")
    if tables:
        return tables[0]
    if whole and all(map(_is_row(required), whole.values())):
        return [_Object([("id", key), *value.items()]) if "id" not in value else value for key, value in whole.items()]
    inner = [value for value in whole.values() if isinstance(value, _Object)]
    return _within(path, inner[0], wanted) if len(inner) == 1 else whole


def _is_row(required: set[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, _Object) and required <= set(map(_column, value))


def _transposed(path: Path, whole: _Object) -> list[_Object]:
    """Columns, each a list or an object by the rows' numbers as pandas has it, as rows."""
    columns = {key: [*value.values()] if isinstance(value, _Object) else value for key, value in whole.items()}
    columns = {key: value for key, value in columns.items() if isinstance(value, list)}
    if len(lengths := {len(value) for value in columns.values()}) > 1:
        raise InputError(f"{path} has columns of {min(lengths)} and of {max(lengths)} cells; they must be the same.")
    return [_Object([*zip(columns, row, strict=True)]) for row in zip(*columns.values(), strict=True)]


def _no_objects(text: str) -> str:
    """Why a file has no objects that are rows."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return f"is no JSON (line {error.lineno}, column {error.colno}: {error.msg.lower()})"
    except (ValueError, RecursionError):  # a number of thousands of digits, or brackets within brackets
        return "is no JSON that can be read"
    return "is an array without objects" if isinstance(value, list) else "is JSON without rows"


_BROKEN = object()


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return _BROKEN


def _cells(value: _Object, wanted: Wanted) -> dict[str, Any] | str:
    """The fields of an object by column, or why it has none."""
    times = Counter(map(_column, value.keys_written))
    if twice := [name for name in (*wanted.required, *wanted.optional) if times[name] > 1]:
        return f"the key {twice[0]!r} occurs twice"
    cells = {_column(key): field for key, field in value.items()}
    for name, field in cells.items():
        if not _is_text(field, of_a_path=name in wanted.paths):
            return "half of a surrogate pair is not text"
    return cells


def _is_text(value: Any, of_a_path: bool) -> bool:
    """Whether what a JSON value holds can be written: halves of surrogate pairs can only in the names of files."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text.encode("utf-8", "surrogateescape" if of_a_path else "strict")
    except (UnicodeEncodeError, RecursionError):
        return False
    return True
