"""Which of a model's genres are written into a song's tags."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from data_pipeline.errors import InputError
from data_pipeline.genre_names import is_missing, spaced
from mgc_jax.tagging.genre_tree import GenreTree, read_aliases, read_names, read_tree
from mgc_jax.tagging.spelling import Spelling

Mode = Literal["keep", "append", "replace"]
"""``keep`` the tags of songs that have a genre, ``append`` to what they have, or ``replace`` it."""
MODES: tuple[Mode, ...] = get_args(Mode)
TreeUse = Literal["canonical", "parents"]
"""What a tree is for: to write the genres above a genre in its place, as beets' lastgenre does with ``canonical``, or
beside it."""
TREE_USES: tuple[TreeUse, ...] = get_args(TreeUse)


@dataclasses.dataclass(frozen=True)
class Policy:
    """From scores to genres.

    A genre counts from ``min_score`` on, or from the model's own threshold where that is None. Where none does, the
    best one that may be written is, unless ``none_if_unsure``. With a ``tree``, ``parents`` writes a genre and all
    those above it; ``canonical`` those of them that are in the ``whitelist``, or, where there is none, the root. Only
    what is in the ``whitelist`` (by :func:`~data_pipeline.genre_names.spaced`) is written, ``max_genres`` at most (0:
    all), spelled by ``spelling``.
    """

    mode: Mode = "keep"
    min_score: float | None = None
    max_genres: int = 0
    none_if_unsure: bool = False
    whitelist: frozenset[str] | None = None
    tree: GenreTree | None = None
    tree_use: TreeUse = "canonical"
    spelling: Spelling = dataclasses.field(default_factory=Spelling)

    def genres(self, scores: Mapping[str, float], thresholds: Mapping[str, float]) -> dict[str, float]:
        """The genres to write and the score of what each comes from, best first; none where the model is unsure."""
        ranked = sorted(scores, key=lambda name: -scores[name])
        least = thresholds if self.min_score is None else dict.fromkeys(scores, self.min_score)
        written: dict[str, tuple[str, float]] = {}
        for name in ranked:
            if scores[name] < least[name] and (written or self.none_if_unsure):
                continue
            for genre in self._allowed(name):
                spelled = self.spelling(genre)
                written.setdefault(spaced(spelled), (spelled, scores[name]))
        return dict(list(written.values())[: self.max_genres or None])

    def check(self, genres: Sequence[str]) -> None:
        """Raise InputError where nothing could be written, whatever a song is: no genre of a model with these
        ``genres``, and none above it in the tree, is in the whitelist."""
        if not any(map(self._allowed, genres)):
            known = ", ".join(genres[:3])
            raise InputError(f"The whitelist has no genre that could be written: the model knows {known} and others.")

    def _allowed(self, name: str) -> Sequence[str]:
        """What may be written for a genre of the model."""
        line: Sequence[str] = (name,)
        if self.tree is not None:
            line = self.tree.line(name)
            if self.tree_use == "canonical" and self.whitelist is None:
                line = line[-1:]
        return [genre for genre in line if self.whitelist is None or spaced(genre) in self.whitelist]

    def merged(self, old: Sequence[str], new: Iterable[str]) -> tuple[str, ...]:
        """What a song's tags shall hold that hold ``old`` genres; the same where nothing is to change."""
        new = tuple(new)
        if not new or (self.mode == "keep" and has_genre(old)):
            return tuple(old)
        if self.mode != "append" or not has_genre(old):
            return new
        there = {spaced(name) for name in old}
        return (*old, *(name for name in new if spaced(name) not in there))


def read_policy(
    *, whitelist: Path | None, tree: Path | None, aliases: Path | None, capitals: bool = True, **choices: Any
) -> Policy:
    """A policy whose names are in files: a ``whitelist`` of one a line, a ``tree`` and ``aliases`` in YAML; raises
    InputError where one cannot be read. ``choices`` are the other fields of :class:`Policy`."""
    names = read_names(whitelist) if whitelist else []
    return Policy(
        whitelist=frozenset(map(spaced, names)) if whitelist else None,
        tree=read_tree(tree) if tree else None,
        spelling=Spelling(read_aliases(aliases) if aliases else {}, names, capitals=capitals),
        **choices,
    )


def has_genre(tags: Iterable[str]) -> bool:
    """Whether one of the texts in a genre tag names a genre, which "Unknown" does not."""
    return any(not is_missing(name) for name in tags)
