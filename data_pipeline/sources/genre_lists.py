"""How a table writes a track's genres: one name, names with a separator between them, or a list in some notation.

HTML entities are resolved before anything is split. A list says itself where its names end: JSON, the repr of Python's
lists, tuples and sets and of numpy's arrays, PostgreSQL's arrays. For the other cells there is one separator for the
whole column, given or found out; a name in quotation marks keeps what is in it.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import math
import re
import urllib.parse
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from data_pipeline.genre_names import is_missing, key, resolve_entities
from data_pipeline.sources import genre_weights, id3_genres

NO_GENRES = "no genres"
_NO_TEXT = "genres hold something that is not a text"
_CUT_OFF = "the list of genres is cut off (...)"

_LONGEST = 1 << 14  # characters of a cell

_COMMA, _SLASH = ",", " / "
_SEPARATORS = {
    "|": "[|｜]",
    ";": "[;；؛]",
    "\0": r"\0",
    "\\\\": r"\\{1,2}",
    "//": "(?<!:)//",
    "\t": r"\t",
    "\n": r"[\r\n\v\x1c-\x1f\u2028\u2029]",
    "·": r"(?<=\s)[·•](?=\s)",
    _COMMA: "[,，、،]",
    _SLASH: r"(?<=\s)/(?=\s)",
}
"""Patterns of what separates genres. All but the last two hardly occur within a name."""
_STRONG = [name for name in _SEPARATORS if name not in (_COMMA, _SLASH)]
_ADDRESS = re.compile(r"https?://[^\s/]+/\S+")
_PERHAPS = ("/", ">", "+", "→", "#")
"""What is in names and between them: told where all parts are genres of other cells, or one stands in front."""

# Names that hold a comma or a slash with blanks: genres of Discogs and of Beatport.
_WHOLE = (
    "Folk, World, & Country|Folk, World & Country|Folk, World, and Country|Funk / Soul|Rap / Hip Hop|"
    "Electronica / Downtempo|Minimal / Deep Tech|Dance / Electro Pop|Hard Dance / Hardcore / Neo Rave|"
    "Trap / Future Bass|Trap / Wave|140 / Deep Dubstep / Grime|Nu Disco / Disco|Organic House / Downtempo|"
    "UK Garage / Bassline|Bass / Club|Ambient / Experimental|Electro (Classic / Detroit / Modern)|"
    "Techno (Raw / Deep / Hypnotic)|Techno (Peak Time / Driving)|Trance (Main Floor)|"
    "Trance (Raw / Deep / Hypnotic)|Breaks / Breakbeat / UK Bass|Bass House / Future House|Leftfield House / Techno|"
    "Brazilian Funk / Baile Funk"
).split("|")
_WHOLE_PATTERN = "|".join(r"\s*".join(map(re.escape, name.split())) for name in _WHOLE)

_STRING = r"""[ubUB]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_ITEM = rf"(?:{_STRING}|None|nan|NaN|null|NaT|<NA>|-?\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\.\.)"
_ITEMS = re.compile(rf"\s*(?:{_ITEM}(?:(?:\s*,\s*|\s+){_ITEM})*\s*(?:,\s*)?)?", re.DOTALL)
_CALL = re.compile(
    r"(?:(?:np|numpy|pd|collections)\.)?(?:array|list|tuple|set|frozenset|Index|dict|Counter|OrderedDict)\s*\((.*?)(?:,\s*(?:dtype|name|shape)\s*=.*)?\)",
    re.DOTALL,
)
_QUOTED_LIST = re.compile(r"""(["'])\[.*\]\1""", re.DOTALL)
_OPENED = re.compile(r"""[\[({]\s*['"]""")
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})|(.))", re.DOTALL
)
_SHORT = {"n": "\n", "t": "\t", "r": "\r"}
_QUOTES = {"double": '"', "single": "'"}
_MAY_BE_WHOLE = re.compile(r"[\"'&/(]|\band\b", re.IGNORECASE)
_LEADING = {_COMMA: re.compile(r"^(?:&|and\b)\s*", re.IGNORECASE), "\n": re.compile(r"^[-*•]\s+")}
"""What parts begin with that is none of the name: of "rock, pop, & jazz", and of a list with a bullet a line."""


class GenreColumn(NamedTuple):
    """What a column of genres holds.

    ``genres``: each row's names, or the reason why it has none. ``separator``: the column's, empty where none occurs.
    ``missing``: how many names only say that there is none. ``also``: cells with another separator, between genres that
    other rows name. ``whole``: names that hold another separator, and were not split.
    """

    genres: list[tuple[str, ...] | str]
    separator: str
    missing: int
    also: tuple[str, ...]
    whole: tuple[str, ...]
    weighted: int = 0
    """How many names had a weight."""
    numbered: Sequence[str] = ()
    """The bare numbers that were taken for ID3's."""

    def changes(self) -> dict[str, int]:
        """What was not taken as it is written, counted."""
        counts = {
            "genres that only say that there is none": self.missing,
            "cells of genres that were split at another separator": len(self.also),
            "genres with a weight, which was taken off": self.weighted,
            "genres that were numbers of ID3": len(self.numbered),
        }
        return {what: count for what, count in counts.items() if count}

    def notes(self) -> list[str]:
        """Sentences about what may be meant otherwise."""
        return [*self._on_separators(), *self._on_numbers(), *self._on_id3()]

    def _on_id3(self) -> list[str]:
        if not self.numbered:
            return []
        one = self.numbered[0]
        return [f"Genres that are numbers are read as ID3's: {one} is {id3_genres.of_number(one)!r}; else give names."]

    def _on_numbers(self) -> list[str]:
        names = dict.fromkeys(name for row in self.genres if not isinstance(row, str) for name in row)
        numbers = [name for name in names if not any(sign.isalpha() for sign in name)]
        if not numbers:
            return []
        return [f"{len(numbers)} of {len(names)} genres have no letter, such as {numbers[0]!r:.80}: names are wanted."]

    def _on_separators(self) -> list[str]:
        if not self.whole:
            return []
        count, one = len(self.whole), len(self.whole) == 1
        hold = "genre holds a separator and stays" if one else "genres hold a separator and stay"
        column = f"this column's is {self.separator!r}" if self.separator else "this column has none"
        return [f"{count} {hold} whole, such as {self.whole[0]!r:.80}: {column}; data.genre_separator says otherwise."]


class _Cell(NamedTuple):
    """A text that is to be split, or a list's items, or the reason why there is neither."""

    text: str = ""
    listed: tuple[str, ...] = ()
    reason: str = ""
    weighted: int = 0


class _Field(NamedTuple):
    """A part of a text, and whether it is to stay whole."""

    name: str
    whole: bool


def read_column(cells: Sequence[Any], separator: str = "") -> GenreColumn:
    """The genres of all rows; ``separator`` is found out where it is empty.

    >>> read_column(["['Rock', 'Pop']", "R&amp;B;Soul", "Folk, World, & Country;Rock"]).genres
    [('Rock', 'Pop'), ('R&B', 'Soul'), ('Folk, World, & Country', 'Rock')]
    """
    read = [_cell(value) for value in cells]
    texts = Counter(cell.text for cell in read if cell.text)
    found = separator or _found(texts)
    fields = {text: _without_leading(_fields(text, found), found) for text in texts}
    also, whole = ({}, ()) if separator else _otherwise(fields, found)
    rows = [genre_weights.alternating([*cell.listed, *_names(fields.get(cell.text, ()), also)]) for cell in read]
    rows = genre_weights.behind_blanks(rows) or rows
    numbers = [name for names in rows for name in names if name.replace(".", "").isdecimal()]
    are_ids = all(map(id3_genres.is_number, numbers))
    genres, missing, weighted = list[tuple[str, ...] | str](), 0, 0
    for cell, names in zip(read, rows, strict=True):
        named: dict[str, None] = {}
        for name in map(_of_address, names):
            bare, counts = genre_weights.without(name)
            weighted += bare != name
            if is_missing(bare):
                missing += bool(bare)
            elif counts and are_ids and id3_genres.is_number(bare):
                named |= dict.fromkeys(filter(None, [id3_genres.of_number(bare)]))
            elif counts:
                references = id3_genres.references(bare)
                named |= dict.fromkeys([bare] if references is None else references)
        genres.append(cell.reason or tuple(named) or NO_GENRES)
    said = [name for cell in read for name in cell.listed]  # to be whole, by a list or by the given separator
    said += [field.name for parts in fields.values() for field in parts if separator and not field.whole]
    whole += tuple(name for name in dict.fromkeys(said) if any(_splits(name, sign) for sign in "|;"))
    weighted += sum(cell.weighted for cell in read)
    return GenreColumn(genres, found, missing, tuple(also), whole, weighted, numbers if are_ids else ())


def _of_address(name: str) -> str:
    """What an address such as DBpedia's names: the words of its last part."""
    if not _ADDRESS.fullmatch(name):
        return name
    last = name.rstrip("/").rpartition("/")[2].rpartition("#")[2]
    return urllib.parse.unquote(last).replace("_", " ").strip() or name


def _names(fields: Iterable[_Field], also: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for field in fields:
        yield from (field.name,) if field.whole else also.get(field.name, (field.name,))


def _found(texts: Mapping[str, int]) -> str:
    """The column's separator: of those that hardly occur within a name the one that splits most, unless the comma
    splits more cells that hold none of them."""
    counts, rows = Counter[str](), Counter[str]()  # different cells, and all of them, which decide between equals
    for text, times in texts.items():
        strong = [name for name in _STRONG if _splits(text, name)]
        counts.update(strong)
        rows.update(dict.fromkeys(strong, times))
        if strong:
            continue
        if _splits(text, _SLASH) and not any(
            _splits(side.name, _COMMA) for side in _fields(text, _SLASH) if not side.whole
        ):
            counts[_SLASH] += 1
        elif _splits(text, _COMMA) and not _is_series(_fields(text, _COMMA)):
            counts[_COMMA] += 1
    best = max(_STRONG, key=lambda name: (counts[name], rows[name]))
    if counts[best] and counts[best] >= counts[_COMMA]:
        return best
    return next((name for name in (_COMMA, _SLASH) if counts[name]), "")


def _otherwise(
    fields: Mapping[str, Sequence[_Field]], found: str
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The names that hold another separator: with their parts where all of these are genres of other cells, and those
    that stay whole."""
    others = [name for name in (*_STRONG, _COMMA) if name != found]
    names = dict.fromkeys(field for parts in fields.values() for field in parts)
    known = {key(field.name) for field in names if field.whole}
    split: dict[str, tuple[str, ...]] = {}
    for name in (field.name for field in names if not field.whole):
        pieces = [_Field(name, False)]
        for other in others:
            if _end(other).search(name):
                pieces = [piece for part in pieces for piece in ([part] if part.whole else _fields(part.name, other))]
        if len(pieces) > 1:
            split[name] = () if _is_series(pieces) else tuple(piece.name for piece in pieces if piece.name)
        else:
            known.add(key(name))
    also = {name: parts for name, parts in split.items() if parts and all(key(part) in known for part in parts)}
    bare = known | {name.strip("#") for name in known}
    perhaps = {
        field.name: None
        for field in names
        if not field.whole and field.name not in split
        for sign in _PERHAPS
        if len(parts := [part for part in field.name.split(sign) if part.strip()]) > 1
        and (field.name.startswith(sign) or all(key(part.strip()) in bare for part in parts))
    }
    return also, (*(name for name in split if name not in also), *perhaps)


def _splits(text: str, separator: str) -> bool:
    return _end(separator).search(text) is not None and len(_fields(text, separator)) > 1


def _is_series(fields: Sequence[_Field]) -> bool:
    """Whether they are a name such as "Blues, Roots, & Acoustic"."""
    return any(field.name.startswith("&") and not field.whole for field in fields)


def _without_leading(fields: Sequence[_Field], separator: str) -> list[_Field]:
    sign = _LEADING.get(separator)
    if sign is None or len(fields) == 1:
        return list(fields)
    first = separator == _COMMA  # nothing stands before the first of a series
    return [
        field if field.whole or (first and i == 0) else _Field(sign.sub("", field.name), False)
        for i, field in enumerate(fields)
    ]


def _fields(text: str, separator: str) -> list[_Field]:
    """The parts of a text; those in quotation marks, and names that are known to hold a separator, are whole."""
    if not _MAY_BE_WHOLE.search(text):
        return [_Field(name.strip(), False) for name in _end(separator).split(text)]
    fields: list[_Field] = []
    position, more = 0, True
    while more:
        match = _field(separator).match(text, position)
        assert match is not None
        name, whole = match["bare"], False
        if name is None:
            quoted = {sign: match[kind] for kind, sign in _QUOTES.items() if match[kind] is not None}
            name, whole = match["known"], True
            for sign, text_in_quotes in quoted.items():
                name = text_in_quotes.replace(sign * 2, sign)
        fields.append(_Field(name.strip(), whole))
        position, more = match.end(), bool(match["end"])
    return fields


@functools.lru_cache(maxsize=64)
def _end(separator: str) -> re.Pattern[str]:
    """The pattern of what ends a field."""
    if separator in _SEPARATORS or not separator:
        return re.compile(_SEPARATORS.get(separator, "(?!)"))
    sign = re.escape(separator.strip() or separator)
    # " - " is not the hyphen of "post-rock".
    return re.compile(rf"(?<=\s){sign}(?=\s)" if separator != separator.strip() != "" else sign)


@functools.lru_cache(maxsize=64)
def _field(separator: str) -> re.Pattern[str]:
    """The pattern of a field and its end."""
    end = _end(separator).pattern
    kinds = r'"(?P<double>(?:[^"]|"")*)"', r"'(?P<single>(?:[^']|'')*)'", f"(?P<known>{_WHOLE_PATTERN})"
    return re.compile(
        rf"\s*(?:(?:{'|'.join(kinds)})\s*(?={end}|\Z)|(?P<bare>(?:\([^()]*\)|.)*?))(?P<end>{end}|\Z)",
        re.DOTALL | re.IGNORECASE,
    )


def _cell(value: Any) -> _Cell:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _Cell()
    if isinstance(value, list | tuple | Mapping):
        return _listed([value])
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        value = str(value)
    if not isinstance(value, str):
        return _Cell(reason="genres are neither a text nor a list")
    if len(value) > _LONGEST:
        return _Cell(reason="genres are longer than 16 384 characters")
    text = resolve_entities(value).strip()
    if is_missing(text):  # a null of MySQL is no separator
        return _Cell(listed=("nan",) if text else ())
    if id3_genres.references(text) is not None and text[-1:] == ")":
        return _Cell(listed=(text,))
    items = _notation(text[1:-1] if _QUOTED_LIST.fullmatch(text) else text)
    if items is None:
        items = genre_weights.apart(text)
    return _Cell(text) if items is None else _listed([items])


def _listed(items: Iterable[Any]) -> _Cell:
    names: list[str] = []
    weighted = 0
    waiting = deque(items)
    while waiting:
        item = waiting.popleft()
        if (pair := genre_weights.pair(item)) is not None:
            weighted += 1
            waiting.extendleft([pair[0]] if pair[1] else [])
        elif isinstance(item, list | tuple | set):
            waiting.extendleft(reversed([*item]))
        elif isinstance(item, Mapping):
            held = genre_weights.of_object(item)
            if held is None:
                return _Cell(reason=_NO_TEXT)
            weighted += 1
            waiting.extendleft(reversed(held))
        elif item is None or (isinstance(item, float) and math.isnan(item)):
            names.append("nan")
        elif isinstance(item, str):
            whole = item.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            names.append(resolve_entities(whole).strip())
        else:
            return _Cell(reason=_CUT_OFF if item is Ellipsis else _NO_TEXT)
    return _Cell(listed=tuple(names), weighted=weighted)


def _notation(text: str) -> list[Any] | None:
    """The items of a list that is written in a notation that says where they end; None for any other text."""
    call = _CALL.fullmatch(text)
    text = call[1].strip() if call else text
    if call and not text:
        return []
    if text[:1] + text[-1:] not in ("[]", "()", "{}"):
        return [...] if _OPENED.match(text) else None
    if text[0] in "[{":
        with contextlib.suppress(ValueError, RecursionError):
            return _as_list(json.loads(text))
    inner = text[1:-1]
    if _ITEMS.fullmatch(inner):
        return [_item(match[0]) for match in re.finditer(_ITEM, inner, re.DOTALL)]
    if re.search(rf"{_STRING}\s*:|[\[({{]\s*{_STRING}", inner):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return _as_list(ast.literal_eval(text))
        return [{}]
    if text[0] == "(" and not re.fullmatch(r"[^()]*,[^()]*", inner):
        return None  # "(Neo) Soul (live)"
    separator = next((name for name in (_COMMA, ";", "|") if len(_fields(inner, name)) > 1), _COMMA)
    return [_without_quotes(field.name) for field in _fields(inner, separator)]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _without_quotes(name: str) -> str:
    """Of a list whose strings hold their own quotation marks, as in ``['rock 'n' roll']``."""
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] in "'\"" else name


def _item(written: str) -> Any:
    """A string, None for a missing value, Ellipsis, or 0 for a number."""
    if written == "...":
        return ...
    if written[-1] in "'\"":
        return _ESCAPE.sub(_character, written.lstrip("ubUB")[1:-1])
    return 0 if written.strip("-")[0].isdigit() else None


def _character(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else _SHORT.get(match[4], match[4])
