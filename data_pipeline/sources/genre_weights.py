"""Genres with how much each of them counts, as Last.fm and classifiers have them: the weight is taken off.

A genre whose weight is 0 or less is none of the track's; all others count the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = ("name", "genre", "tag", "label", "genre_name", "tag_name", "title", "text", "#text", "term", "value", "id")
_LISTS = ("genres", "tags", "tag", "genre", "labels", "styles", "toptags", "top_tags", "items", "values")
_WEIGHTS = (
    "count",
    "weight",
    "score",
    "probability",
    "prob",
    "confidence",
    "votes",
    "percent",
    "percentage",
    "rank_score",
)

_W = r"-?\d{1,9}(?:\.\d{1,20})?(?:e-?\d{1,3})?"
_WEIGHTED = re.compile(
    rf"(.*\S)\s*(?:[:=]\s*({_W})\s?%?|[(\[]\s*(?!(?:19|20)\d\d\s*[)\]])({_W})\s?%?\s*[)\]]|[\s:=]\s*({_W})\s?%)",
    re.DOTALL,
)
_BEFORE = re.compile(rf"({_W})\s?%\s+(\S.*)", re.DOTALL)
_BEHIND_A_BLANK = re.compile(rf"(\S.*?)\s+({_W})", re.DOTALL)
_LEAST = 4  # different names, of which none is without a number, for "rock 100" to have a weight
_IN_A_ROW = re.compile(rf"(?:[^:=|,;/\d][^:=|,;/]*[:=]\s?{_W}(?:\s+|\Z)){{2,}}")


def apart(text: str) -> list[str] | None:
    """The items of "rock:100 hip hop:20", whose weights alone separate them; None for any other text."""
    return re.findall(rf"\S[^:=]*[:=]\s?{_W}(?=\s|\Z)", text) if _IN_A_ROW.fullmatch(text) else None


def without(name: str) -> tuple[str, bool]:
    """A name without its weight, and whether it counts.

    >>> without("rock:100"), without("hip hop (0.8)"), without("jazz=0"), without("pop (1984)")
    (('rock', True), ('hip hop', True), ('jazz', False), ('pop (1984)', True))
    """
    if match := _BEFORE.fullmatch(name):
        return match[2], float(match[1]) > 0
    match = _WEIGHTED.fullmatch(name)
    if match is None or not any(sign.isalpha() for sign in match[1]):
        return name, True
    return match[1].rstrip(), float(next(filter(None, match.groups()[1:]))) > 0


def behind_blanks(rows: Sequence[Sequence[str]]) -> list[list[str]] | None:
    """The rows with a colon before the weight of "rock 100", where every name of the column has one; else None."""
    names = {name for row in rows for name in row}
    if any(map(_WEIGHTED.fullmatch, names)):
        return None
    found = {name: match for name in names if (match := _BEHIND_A_BLANK.fullmatch(name))}
    if len(names) < _LEAST or len(found) < len(names) or len({match[2] for match in found.values()}) < _LEAST - 1:
        return None
    return [[f"{found[name][1]}:{found[name][2]}" for name in row] for row in rows]


def alternating(names: Sequence[str]) -> list[str]:
    """Of names and weights in turn, such as rock, 100, pop, 3, the names with their weights; of others themselves."""
    pairs = [*zip(names[::2], names[1::2], strict=False)]
    is_name = re.compile(r"[^\W\d]")
    if not pairs or len(names) % 2 or not all(is_name.search(one) and re.fullmatch(_W, two) for one, two in pairs):
        return [*names]
    return [f"{one}:{two}" for one, two in pairs]


def pair(item: Any) -> tuple[str, bool] | None:
    """The name of a pair such as ``("rock", 100)`` and whether it counts; None for anything else."""
    if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[0], str):
        return None
    weight = item[1]
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool) and not math.isnan(weight)
    return (item[0], weight > 0) if is_number else None


def of_object(item: Mapping[Any, Any]) -> list[Any] | None:
    """The items that an object holds: ``{"name": "rock", "count": 3}``, ``{"rock": 3, "pop": 0}``, ``{"tags": [...]}``.

    None where nothing says what its genres are.
    """
    flat = all(isinstance(name, str) and _is_weight(value) for name, value in item.items())
    if flat and not item.keys() & {*_WEIGHTS, *_NAMES}:
        return [name for name, value in item.items() if value is not None and value > 0]
    named = next((item[key] for key in _NAMES if isinstance(item.get(key), str)), None)
    if named is not None:
        weight = next((item[key] for key in _WEIGHTS if _is_weight(item.get(key, ""))), 1)
        return [named] if weight is not None and weight > 0 else []
    inner = [item[key] for key in _LISTS if isinstance(item.get(key), list | tuple | Mapping)]
    return inner if len(inner) == 1 else None


def _is_weight(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)
