"""Who an artist is, however the name is spelt: tracks that share an artist belong to one side of a split by artist."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence

NOBODY = frozenset(
    "various variousartists variousartist va vvaa aavv unknown unknownartist unknownartists artistunknown na nan none "
    "null noartist undefined diverse diverseartists diverseinterpreten verschiedene verschiedeneinterpreten varios "
    "variosartistas variosinterpretes artistesdivers multiinterpretes artistivari artistavario varieartiesten "
    "desconhecido desconocido artistadesconocido inconnu artisteinconnu unbekannt unbekannterinterpret sconosciuto "
    "неизвестен неизвестныи неизвестныиисполнитель разные разныеисполнители сборник 群星 合辑 合輯 未知 未知艺术家 "
    "オムニバス ヴァリアスアーティスト 不明 여러아티스트 미상".split()
)
"""What stands in tables where nobody in particular is meant: each such track is by itself."""

_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ð": "d", "$": "s"})
_FEATURED = re.compile(
    r"[\s(\[,~-]+(?:feat(?:uring|\.)?|ft\.?|f/|w/|pres(?:ents|\.)|starring|при участии)\s*(?<=[\s./])"
    r"|[(\[](?:with|con|avec|mit)\s+|\s+(?:vs\.?|versus)\s+|\s+[x×•·]\s+|\s*[;\x00|]\s*|\s+/+\s+",
    re.IGNORECASE,
)
_PRODUCED = re.compile(r"\s*[(\[]\s*prod(?:\.|uced\b)[^)\]]*(?:[)\]]|\Z)|\s+(?:prod\.|produced by\b).*", re.IGNORECASE)
_MEMBERS = re.compile(
    r"\s*[,/&+、]\s*|\s+(?:and|with|y|e|et|und|con|avec|mit|og|och|en|i|ja|és|ve|και|και οι|и|та|с)\s+", re.IGNORECASE
)


def key(name: str) -> str:
    """The name without what spellings differ in: case, accents, Unicode form, hyphens, punctuation, blanks, ``&`` and
    ``+`` for "and", and "the" before or behind it."""
    plain = unicodedata.normalize("NFKC", html.unescape(name)).casefold()
    decomposed = unicodedata.normalize("NFD", plain)
    plain = re.sub("[\u0300-\u036f]", "", decomposed).translate(_LETTERS)
    plain = re.sub(r"\s*[&+]\s*|\s+n\W?\s+", " and ", unicodedata.normalize("NFC", plain))
    plain = re.sub(r"^\W*(?:the\s+)+(?=.*\w)|(?:,\s*the\s*)+\W*$", "", plain)
    return re.sub(r"[\W_]", "", plain) or "".join(unicodedata.normalize("NFKC", name).casefold().split())


def names(artist: str) -> list[str]:
    """The artists that a table's field names: those between "feat.", "vs.", "x", ``;`` and " / "; not who produced."""
    text = _PRODUCED.sub("", unicodedata.normalize("NFKC", html.unescape(artist)))
    parts = (part.strip(" ()[],~-") for part in _FEATURED.split(text))
    return [part for part in parts if part] or [artist]


def identities(artists: Sequence[str | None]) -> list[frozenset[str]]:
    """The keys of everybody in each field; empty where nobody is named.

    "A & B" and "A, B" are one name, and A's or B's too where these are artists by themselves elsewhere.
    """
    fields = [names(artist) if artist and artist.strip() else [] for artist in artists]
    known = {key(name) for field in fields for name in field} - NOBODY
    return [
        frozenset(
            {key(name) for name in field}
            | {member for name in field for part in _MEMBERS.split(name) if (member := key(part)) in known}
        )
        - NOBODY
        for field in fields
    ]
