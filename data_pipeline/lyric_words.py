"""The words of lyrics as people see them, and which word pieces of the encoder each is made of.

Axis letters: W words, P word pieces.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from data_pipeline.lyrics.tokenizer import Pieces

# Chinese characters have no spaces between them, and BERT reads each as a word; other encoders, what they like.
_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+")


@dataclasses.dataclass(frozen=True)
class Words:
    """What stands between white space in ``text``, punctuation included, and every Chinese character by itself unless
    the tokenizer has one piece for it and its neighbour.

    ``spans`` (W, 2) are their characters, ``lines`` (W,) the numbers of their lines; ``owner`` (P,) is the word of each
    word piece, -1 for a piece of none ([CLS], [SEP]).
    """

    text: str
    spans: np.ndarray
    lines: np.ndarray
    owner: np.ndarray

    @property
    def words(self) -> tuple[str, ...]:
        """(W,) in the text's own spelling."""
        return tuple(self.text[start:end] for start, end in self.spans)

    @property
    def read(self) -> np.ndarray:
        """(W,) bool: the words of which at least one piece is read; those behind ``max_tokens`` are not, nor what the
        tokenizer drops."""
        read = np.zeros(len(self.spans), bool)
        read[self.owner[self.owner >= 0]] = True
        return read

    def groups(self, at_most: int) -> np.ndarray:
        """(W,) the number of each word's group, -1 for a word that is not read.

        One word is a group, unless more than ``at_most`` are read: then words that follow each other share one, as
        few as will do, and never across a line break unless there are more lines than groups.
        """
        groups = np.full(len(self.spans), -1)
        read = np.flatnonzero(self.read)
        if len(read) == 0:
            return groups
        _, line, sizes = np.unique(self.lines[read], return_inverse=True, return_counts=True)
        if len(sizes) > at_most:
            groups[read] = line * at_most // len(sizes)
            return groups
        size = 1
        while (-(-sizes // size)).sum() > at_most:
            size += 1
        in_line = np.arange(len(read)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        starts = (in_line % size) == 0
        groups[read] = np.cumsum(starts) - 1
        return groups


def find_words(text: str, pieces: Pieces) -> Words:
    """The words of a text whose word pieces are known."""
    spans = np.array([match.span() for match in _WORD.finditer(text)], np.int64).reshape(-1, 2)
    spans = _joined(spans, pieces.spans[~pieces.special])
    starts = np.cumsum([0, *map(len, text.splitlines(keepends=True))])
    lines = np.searchsorted(starts, spans[:, 0], side="right") - 1
    # Of some tokenizers a piece begins with the white space before its word.
    owner = np.searchsorted(spans[:, 1], pieces.spans[:, 0], side="right")
    inside = owner < len(spans)
    inside[inside] = spans[owner[inside], 0] < pieces.spans[inside, 1]  # else it is white space alone
    return Words(text, spans, lines, np.where(inside & ~pieces.special, owner, -1))


def _joined(spans: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """The ``spans`` (W, 2) of words, those that touch and share a piece as one."""
    touching = spans[1:, 0] == spans[:-1, 1]
    # The number of pieces (P, 2) that begin before and end behind each border between two words.
    border = spans[1:, 0]
    begun = np.searchsorted(np.sort(pieces[:, 0]), border, side="left")
    ended = np.searchsorted(np.sort(pieces[:, 1]), border, side="right")
    apart = np.append(True, ~(touching & (begun > ended)))
    return np.stack([spans[apart, 0], spans[np.append(apart[1:], True), 1]], axis=1) if len(spans) else spans
