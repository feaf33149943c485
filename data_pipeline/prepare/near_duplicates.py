"""Pairs of genres that may be one: nobody but their owner can tell, so they are asked about and never merged."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

_AND = re.compile(r"\s*(?:&|\+)\s*|(?<=\w)(?:\s*'n'?\s*|\s+n'\s*)(?=\w)|\s+(?:and|und|y|e|et|n)\s+")
_SHORTEST_TYPO = 4
"""Letters of a word in which one of them may be a mistake."""
_SHORTEST_SUGGESTED = 5
"""Letters of a name that is suggested to be one: bass and brass are asked about, and no more."""
_RARER = 3
"""How much rarer a spelling must be for it to be suggested as a mistake."""


class NearDuplicate(NamedTuple):
    """Two genres, the more frequent one first, on how many tracks they are, and what they have in common."""

    genres: tuple[str, str]
    tracks: tuple[int, int]
    why: str


def near_duplicates(tracks: Mapping[str, int]) -> list[NearDuplicate]:
    """The pairs among these genres: the same letters, a plural, or one letter apart; the most frequent ones first.

    >>> pairs = near_duplicates({"hip hop": 40, "hiphop": 2, "r&b": 9, "rnb": 3, "funk": 8, "punk": 8, "tecno": 1})
    >>> [(pair.genres, pair.why) for pair in pairs]
    [(('hip hop', 'hiphop'), 'the same letters'), (('r&b', 'rnb'), 'the same letters')]
    """
    ranked = sorted(tracks, key=lambda name: (-tracks[name], name))
    found: dict[tuple[str, str], str] = {}
    for why, groups in (
        ("the same letters", _grouped(ranked, lambda name: [_letters(name)])),
        ("a plural", _grouped(ranked, lambda name: [_letters(name).removesuffix("s")])),
        ("one letter apart", _grouped(ranked, _with_a_letter_less)),
    ):
        for first, second in groups:
            if why != "one letter apart" or _is_typo(first, second):
                found.setdefault((first, second), why)
    pairs = [NearDuplicate(pair, (tracks[pair[0]], tracks[pair[1]]), why) for pair, why in found.items()]
    return sorted(pairs, key=lambda pair: (-pair.tracks[0], -pair.tracks[1], pair.genres))


def suggested_aliases(pairs: Iterable[NearDuplicate]) -> dict[str, str]:
    """What would merge the pairs, as ``data.aliases`` has it; of mistakes only those that are rare.

    >>> suggested_aliases(near_duplicates({"hip hop": 40, "hiphop": 2, "hip-hops": 1}))
    {'hiphop': 'hip hop', 'hip-hops': 'hip hop'}
    """
    aliases: dict[str, str] = {}
    for (name, other), (often, rarely), why in pairs:
        sure = min(len(name), len(other)) >= _SHORTEST_SUGGESTED and rarely * _RARER <= often
        if other not in aliases and (sure or why != "one letter apart"):
            aliases[other] = aliases.get(name, name)
    return aliases


def _grouped(ranked: Sequence[str], forms: Callable[[str], list[str]]) -> Iterator[tuple[str, str]]:
    """The pairs of names, in their order, that have a form in common."""
    groups: dict[str, list[str]] = {}
    for name in ranked:
        for form in dict.fromkeys(forms(name)):
            groups.setdefault(form, []).append(name)
    for form, names in groups.items():
        if form:
            yield from itertools.combinations(names, 2)


def _letters(name: str) -> str:
    """Letters and digits without accents, ``&`` and "and" being an n: ``R&B`` -> ``rnb``."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    return "".join(sign for sign in _AND.sub("n", plain) if sign.isalnum())


def _words(name: str) -> list[str]:
    return re.findall(r"\w+", name)


def _with_a_letter_less(name: str) -> list[str]:
    """Two names that are a letter apart, or have two swapped, share one of these."""
    letters = "".join(_words(name))
    if len(letters) < _SHORTEST_TYPO:
        return []
    return [letters, *(letters[:i] + letters[i + 1 :] for i in range(len(letters)))]


def _is_typo(first: str, second: str) -> bool:
    """Whether the names differ in one long word alone, and there in one letter that is not its first."""
    ours, theirs = _words(first), _words(second)
    if len(ours) != len(theirs):
        return False
    different = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    if len(different) != 1:
        return False
    a, b = sorted(different[0], key=len)
    if len(a) < _SHORTEST_TYPO or a[0] != b[0] or any(sign.isdigit() for sign in a + b):
        return False
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    swapped = a[at : at + 2] == b[at : at + 2][::-1] and a[at + 2 :] == b[at + 2 :]
    return swapped if len(a) == len(b) and swapped else a[at + (len(a) == len(b)) :] == b[at + 1 :]
