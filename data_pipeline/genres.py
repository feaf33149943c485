"""The genre vocabulary: an ordered, validated list of genres with their training counts and co-occurrence."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.genre_names import CATCH_ALLS, is_missing, key, normalise, spaced
from data_pipeline.storage.json_file import read_json, write_json

_FORMAT = 1
_ROWS = 8192  # tracks whose labels are counted at once: 28 MB of 853 genres


@dataclasses.dataclass(frozen=True, eq=False)
class GenreVocabulary:
    """The genres of a data set in the order of the label vector.

    ``names`` (G,) by descending count, then by name; ``aliases`` maps other spellings to names; ``counts`` (G,) and
    ``cooccurrence`` (G, G) are track counts in the training split only (the diagonal of the latter is the former);
    ``num_tracks`` is the number of training tracks. ``data_sha256`` is a digest of the data set that they are of: of
    its tracks' files, genres and settings; empty for none.
    """

    names: tuple[str, ...]
    aliases: Mapping[str, str]
    counts: np.ndarray
    cooccurrence: np.ndarray
    num_tracks: int
    data_sha256: str = ""

    def __post_init__(self) -> None:
        index = {name: i for i, name in enumerate(self.names)}
        lookup: dict[str, int] = {}
        for name, i in index.items():
            lookup.setdefault(spaced(name), i)
        lookup |= {key(alias): index[name] for alias, name in self.aliases.items()}
        object.__setattr__(self, "_lookup", lookup | {key(name): i for name, i in index.items()})

    @property
    def size(self) -> int:
        """The number of genres G."""
        return len(self.names)

    @property
    def prevalence(self) -> np.ndarray:
        """The share (G,) of training tracks that have each genre, never 0 or 1: Laplace's (count + 1) / (N + 2)."""
        return (self.counts + 1) / (self.num_tracks + 2)

    def encode(self, genres: Iterable[str]) -> np.ndarray:
        """Multi-hot labels (G,) uint8 of one track; aliases are followed and unknown genres ignored."""
        return self.encode_all([genres])[0]

    def encode_all(self, label_lists: Sequence[Iterable[str]]) -> np.ndarray:
        """Multi-hot labels (N, G) uint8 of N tracks."""
        labels = np.zeros((len(label_lists), self.size), np.uint8)
        lookup: dict[str, int] = self._lookup  # type: ignore[attr-defined]
        for row, genres in zip(labels, label_lists, strict=True):
            for genre in genres:
                index = lookup.get(key(genre))
                if index is not None:
                    row[index] = 1
        return labels

    def with_statistics(self, label_lists: Sequence[Iterable[str]]) -> GenreVocabulary:
        """The same genres, counted and ordered by the given (training) tracks only."""
        cooccurrence = np.zeros((self.size, self.size), np.int64)
        for first in range(0, len(label_lists), _ROWS):
            labels = self.encode_all(label_lists[first : first + _ROWS]).astype(np.float32)
            cooccurrence += (labels.T @ labels).astype(np.int64)  # by BLAS, and exact up to 2**24 rows
        counts = np.diag(cooccurrence)
        order = sorted(range(self.size), key=lambda i: (-int(counts[i]), self.names[i]))
        names = tuple(self.names[i] for i in order)
        ordered = cooccurrence[np.ix_(order, order)]
        return GenreVocabulary(names, dict(self.aliases), counts[order], ordered, len(label_lists))

    def save(self, path: Path) -> None:
        """Writes the vocabulary as JSON, whole or not at all; raises InputError where the place cannot be written."""
        content = {
            "format": _FORMAT,
            "names": list(self.names),
            "aliases": dict(self.aliases),
            "counts": self.counts.tolist(),
            "cooccurrence": self.cooccurrence.tolist(),
            "num_tracks": self.num_tracks,
            "data_sha256": self.data_sha256,
        }
        write_json(Path(path), content, indent=None)

    @classmethod
    def load(cls, path: Path) -> GenreVocabulary:
        """Reads and checks what ``save`` wrote; raises InputError when anything is missing or inconsistent."""
        try:
            content = read_json(path)
        except (OSError, ValueError) as error:
            raise InputError(f"The genre vocabulary {path} cannot be read: {error}.") from error
        try:
            return _checked(content)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(f"The genre vocabulary {path} is broken: {problem}; prepare it again.") from error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GenreVocabulary):
            return NotImplemented
        return (
            self.names == other.names
            and dict(self.aliases) == dict(other.aliases)
            and self.num_tracks == other.num_tracks
            and self.data_sha256 == other.data_sha256
            and np.array_equal(self.counts, other.counts)
            and np.array_equal(self.cooccurrence, other.cooccurrence)
        )

    def __hash__(self) -> int:
        return hash((self.names, self.num_tracks))


def make_vocabulary(
    label_lists: Sequence[Iterable[str]],
    min_tracks: int = 1,
    max_genres: int = 0,
    aliases: Mapping[str, str] | None = None,
) -> GenreVocabulary:
    """The genres that at least ``min_tracks`` tracks carry (0 < ``max_genres``: only the most frequent of them).

    The result's statistics are those of ``label_lists``; ``with_statistics`` replaces them by the training split's.
    Raises InputError when no genre is left.

    >>> vocabulary = make_vocabulary([["Rock", "pop"], ["rock"], ["hiphop"]], aliases={"hiphop": "hip hop"})
    >>> vocabulary.names, vocabulary.counts.tolist()
    (('rock', 'hip hop', 'pop'), [2, 1, 1])
    >>> vocabulary.encode(["Pop", "polka"]).tolist()
    [0, 0, 1]
    """
    found = count_genres(label_lists, aliases)
    frequent = [name for name, count in found.tracks.items() if count >= max(1, min_tracks)]
    if max_genres > 0:
        frequent = frequent[:max_genres]
    if not frequent:
        most = max(found.tracks.values(), default=0)
        raise InputError(
            f"No genre has at least {min_tracks} tracks (the most frequent one has {most}); lower the minimum."
        )
    kept = set(frequent)
    used = {alias: name for alias, name in found.aliases.items() if name in kept}
    size = len(frequent)
    empty = GenreVocabulary(tuple(frequent), used, np.zeros(size, np.int64), np.zeros((size, size), np.int64), 0)
    return empty.with_statistics(label_lists)


@dataclasses.dataclass(frozen=True)
class GenreCounts:
    """All genres of a corpus.

    ``catch_alls``: names such as "other", which are none, and on how many tracks each is.
    ``tracks``: on how many tracks each is, in descending order, then by name. ``spellings``: how it is written there,
    and on how many tracks so. ``aliases``: keys of spellings that are not its own, by which it is known too.
    """

    tracks: Mapping[str, int]
    spellings: Mapping[str, Mapping[str, int]]
    aliases: Mapping[str, str]
    catch_alls: Mapping[str, int]


def catch_alls(genres: Iterable[str], aliases: Mapping[str, str]) -> set[str]:
    """Those of the ``genres``, normalised, that say that a track has none of the others, such as "misc".

    ``aliases`` may say otherwise: whatever these name is a genre.
    """
    named = {key(name) for pair in aliases.items() for name in pair}
    return {name for genre in genres if (name := normalise(genre)) in CATCH_ALLS and key(name) not in named}


def count_genres(label_lists: Iterable[Iterable[str]], aliases: Mapping[str, str] | None = None) -> GenreCounts:
    """The genres under one name each: its most frequent spelling (of two, the shorter), or what ``aliases`` lead to.

    >>> found = count_genres([["R & B"], ["R&amp;B", "pop"], ["r&b"], ["nan"]])
    >>> dict(found.tracks), dict(found.spellings["r&b"])
    ({'r&b': 3, 'pop': 1}, {'r&b': 2, 'r & b': 1})
    """
    lists = [{normalise(genre) for genre in genres if not is_missing(genre)} for genres in label_lists]
    left_out = [catch_alls(names, aliases or {}) for names in lists]
    lists = [names - none for names, none in zip(lists, left_out, strict=True)]
    aliases = {normalise(alias): normalise(name) for alias, name in (aliases or {}).items()}
    written: dict[str, Counter[str]] = {key(name): Counter({name: 0}) for name in aliases.values()}
    for spelling in (spelling for spellings in lists for spelling in spellings):
        written.setdefault(key(spelling), Counter())[spelling] += 1
    leads = _leads(written, {key(alias): key(name) for alias, name in aliases.items()})
    tracks = Counter(genre for spellings in lists for genre in {leads[key(spelling)] for spelling in spellings})
    names = {genre: min(written[genre], key=lambda text: (-written[genre][text], len(text), text)) for genre in tracks}
    spellings: dict[str, Counter[str]] = {name: Counter() for name in names.values()}
    for genre, counted in written.items():
        if leads[genre] in names:
            spellings[names[leads[genre]]] += counted
    return GenreCounts(
        {names[genre]: tracks[genre] for genre in sorted(tracks, key=lambda genre: (-tracks[genre], names[genre]))},
        {name: dict(of.most_common()) for name, of in spellings.items()},
        {genre: names[lead] for genre, lead in leads.items() if genre != lead and lead in names},
        dict(Counter(name for names in left_out for name in names).most_common()),
    )


def _leads(written: Mapping[str, Counter[str]], aliases: Mapping[str, str]) -> dict[str, str]:
    """The key of the genre that each key stands for: by the aliases, and "r b" for "r&b" where that is written too."""

    def followed(genre: str) -> str:
        passed = {genre}
        while (genre := aliases.get(genre, genre)) not in passed:
            passed.add(genre)
        return genre

    leads = {genre: followed(genre) for genre in (*written, *aliases)}
    punctuated: dict[str, str] = {}
    for genre in sorted(set(leads.values()), key=lambda genre: (-written[genre].total(), genre)):
        if spaced(genre) != genre:
            punctuated.setdefault(spaced(genre), genre)
    return punctuated | {genre: punctuated.get(lead, lead) for genre, lead in leads.items()}


def _checked(content: dict) -> GenreVocabulary:
    """A vocabulary from untrusted JSON; raises ValueError, KeyError or TypeError."""
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"it is not of format {_FORMAT}")
    names, aliases, num_tracks = content["names"], content["aliases"], content["num_tracks"]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        raise ValueError("names is not a list of genre names")
    if len(set(names)) != len(names):
        raise ValueError("a genre name occurs twice")
    if not isinstance(aliases, dict) or not set(aliases.values()) <= set(names):
        raise ValueError("an alias leads to no genre")
    counts, cooccurrence = _integers(content["counts"]), _integers(content["cooccurrence"])
    size = len(names)
    if counts.shape != (size,) or cooccurrence.shape != (size, size):
        raise ValueError(f"the counts do not fit {size} genres")
    if not isinstance(num_tracks, int) or isinstance(num_tracks, bool) or num_tracks < 0:
        raise ValueError("num_tracks is not a count")
    if (cooccurrence < 0).any() or (counts > num_tracks).any():
        raise ValueError("a count is out of range")
    if not (np.diag(cooccurrence) == counts).all() or not (cooccurrence == cooccurrence.T).all():
        raise ValueError("the co-occurrence matrix contradicts the counts")
    data_sha256 = content.get("data_sha256", "")
    if not isinstance(data_sha256, str):
        raise ValueError("data_sha256 is no digest")
    return GenreVocabulary(tuple(names), dict(aliases), counts, cooccurrence, num_tracks, data_sha256)


def _integers(values: list) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind != "i":
        raise ValueError("a count is not an integer")
    return array.astype(np.int64)
