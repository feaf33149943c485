"""Names of genres: one spelling for what looks alike, one key for what is one genre, and words that name none."""

from __future__ import annotations

import functools
import html
import html.entities
import re
import unicodedata

MISSING = frozenset(
    """nan -nan none null nil na n/a n.a. n.a #n/a #na <na> nat \\n undefined unknown <unknown> unspecified missing
    unclassified untagged unclassifiable uncategorized uncategorised
    #value! #ref! #name? #div/0! #null! #num!""".split()
) | {"#n/a n/a", "not available", "not specified", "no genre", "no genres", "unknown genre", "genre unknown", "not set"}
"""What tables write where there is no value, normalised."""

CATCH_ALLS = frozenset(
    """misc misc. miscellaneous other others various varied genre genres sonstige sonstiges andere anderes autre
    autres divers otro otros varios outro outros altro altri overige annat inne
    другое разное прочее 其他 其它 その他 기타""".split()
) | {"other genre", "other genres", "various genres", "other music", "all genres"}
"""What catalogues call all that has no genre of its own, normalised: what it holds has nothing in common."""

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);|&amp(?![A-Za-z0-9;])")
# Unicode's Default_Ignorable_Code_Point, controls that are no white space, and halves of surrogate pairs.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]"
)
_SIGNS = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d", "-")
    | dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02b9\u02bb\u02bc\u00b4\u0060\uff07", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\uff02", '"')
    | {"\u2800": " ", "\u2044": "/", "\u2215": "/"}
)
_BINDING = re.compile(r"\s*([&/-])\s*")
_NOTHING = re.compile(r"[^\w\U00002190-\U0010ffff]*")


def resolve_entities(text: str) -> str:
    """HTML's character references resolved, however often they were escaped; a bare ``&`` stays.

    >>> resolve_entities("R&amp;amp;B, Rock &#39;n&#39; Roll, soul&notes")
    "R&B, Rock 'n' Roll, soul&notes"
    """
    while (resolved := _ENTITY.sub(_character, text)) != text:
        text = resolved
    return text


def _character(match: re.Match[str]) -> str:
    name = match[0][1:]
    # html.unescape would read "&notes;" as the sign that "&not" stands for.
    return html.unescape(match[0]) if name[0] == "#" or name in html.entities.html5 else match[0]


@functools.lru_cache(maxsize=1 << 16)
def normalise(genre: str) -> str:
    """A genre's spelling as it is shown: lower case, single spaces, no entities, nothing invisible, one kind of dash
    and of apostrophe, NFKC.

    >>> normalise(" Drum &amp;  Bass"), normalise("Post\\u2010Rock\\u200b")
    ('drum & bass', 'post-rock')
    """
    while True:
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", genre).translate(_SIGNS))
        # Lower case leaves a dot over the i of Turkish words that were written in capitals.
        text = " ".join(resolve_entities(text).lower().replace("i\u0307", "i").split())
        if text == genre:
            return text
        genre = text


@functools.lru_cache(maxsize=1 << 16)
def key(genre: str) -> str:
    """What all spellings of one genre have in common: they differ in case, and in the blanks around ``&``, ``-`` and
    ``/``.

    >>> key("R & B") == key("r&amp;b"), key("post - rock") == key("Post-Rock"), key("hip hop") == key("hiphop")
    (True, True, False)
    """
    return _BINDING.sub(r"\1", normalise(genre).upper().casefold().replace("i\u0307", "i"))


def spaced(genre: str) -> str:
    """The key in the spelling of Music4All-Onion, which writes a "-" or "&" between words as a space: ``r&b`` ->
    ``r b``. What begins or ends with a sign is no whole name, and stays as it is."""
    name = key(genre)
    whole = bool(name) and name[0] not in "&-/" and name[-1] not in "&-/"
    return " ".join(name.replace("-", " ").replace("&", " ").split()) if whole else name


def is_missing(text: str) -> bool:
    """Whether a cell or a list's item names no genre: ``nan``, ``N/A``, ``-``, ``[]``, or nothing at all.

    >>> [is_missing(text) for text in ("NaN", "<NA>", "?", "[]", "r&b", "nu metal")]
    [True, True, True, True, False, False]
    """
    name = key(text)
    return name in MISSING or name.strip("()[]<>{} ") in MISSING or _NOTHING.fullmatch(name) is not None
