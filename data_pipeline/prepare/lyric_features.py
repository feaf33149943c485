"""The frozen lyrics encoder run once over all lyrics, in batches of like length; a killed run goes on where it was.

Axis letters: B lyrics, L tokens, H the encoder's width.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_pipeline.prepare import arrays
from data_pipeline.prepare.arrays import Arrays
from data_pipeline.prepare.earlier import Lyrics
from data_pipeline.storage.files import written_whole

Encode = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A frozen lyrics encoder: tokens (B, L), num_tokens (B,) -> hidden states (B, L, H)."""

AT_ONCE = 32
STRIDE = 64
"""Lyrics are padded to a multiple of so many tokens: few lengths, each compiled once. A batch has lyrics of one length
and always the same number of rows, so that what a track gets does not depend on the others."""


class LyricFeatures:
    """The hidden states of every track, on disk.

    Args:
        folder: for the files, one for each batch; kept if it is of the same tokens and ``identity``.
        tokens: the word pieces of every track, none for a track without lyrics.
        max_tokens: L, the most that lyrics have.
        identity: of the encoder; another one starts anew.
        progress: called with the numbers of lyrics done and of all.
        earlier: what the same encoder made of some of the tracks, where their tokens are still the same.
    """

    def __init__(
        self,
        folder: Path,
        tokens: Sequence[np.ndarray],
        max_tokens: int,
        encode: Encode,
        identity: str,
        progress: Callable[[int, int], None],
        earlier: Lyrics | None = None,
    ):
        lengths = np.array([len(ids) for ids in tokens], np.int32)
        self._width = 0
        self._places = np.zeros((len(tokens), 3), np.int64)
        self._arrays = Arrays(folder)
        kept = earlier.same(tokens) if earlier else []
        _claim(folder, tokens, max_tokens, f"{identity} {kept}")
        batches = list(_batches(lengths, kept, max_tokens))
        done, total = 0, int((lengths > 0).sum())
        for number, (batch, padding) in enumerate(batches):
            file = arrays.file(folder, number)
            if not file.is_file():
                if earlier and not padding:
                    _save(file, np.concatenate(earlier.outputs(batch.tolist())))
                else:
                    _save(file, _encoded(encode, [tokens[i] for i in batch], padding))
            ends = np.cumsum(lengths[batch])
            self._places[batch] = np.stack([np.full(len(batch), number), ends - lengths[batch], ends], axis=1)
            done += len(batch)
            progress(done, total)
        if total:
            self._width = self._arrays[0].shape[1]
        else:
            self._width = encode(*padded([np.zeros(0, np.uint16)], max_tokens)).shape[-1]

    @property
    def width(self) -> int:
        """H."""
        return self._width

    @property
    def positions(self) -> np.ndarray:
        """Where every track's outputs lie (tracks, 3): number of the batch, first row, row behind."""
        return self._places

    def __getitem__(self, track: int) -> np.ndarray:
        """The hidden states (n, H) float16 of a track's n tokens."""
        return hidden(self._arrays, self._places[track], self._width)


def hidden(batches: Arrays, position: np.ndarray, width: int) -> np.ndarray:
    """The hidden states (n, ``width``) float16 of one track's n tokens at its ``position`` (3,)."""
    number, start, end = position.tolist()
    return np.array(batches[number][start:end]) if end > start else np.zeros((0, width), np.float16)


def padded(tokens: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids (B, L) with zeros behind, in the tokens' own dtype, and their numbers (B,)."""
    ids = np.zeros((len(tokens), length), np.result_type(np.uint16, *{own.dtype for own in tokens}))
    for row, own in zip(ids, tokens, strict=True):
        row[: len(own)] = own
    return ids, np.array([len(own) for own in tokens], np.int32)


def _batches(lengths: np.ndarray, kept: Sequence[int], max_tokens: int) -> Iterator[tuple[np.ndarray, int]]:
    """The numbers of the tracks of each batch, and to how many tokens it is padded: 0 where it is kept."""
    for first in range(0, len(kept), AT_ONCE):
        yield np.array(kept[first : first + AT_ONCE]), 0
    paddings = np.minimum(-(-lengths // STRIDE) * STRIDE, max_tokens)
    paddings[kept] = 0
    for padding in np.unique(paddings[paddings > 0]).tolist():
        own = np.flatnonzero(paddings == padding)
        for first in range(0, len(own), AT_ONCE):
            yield own[first : first + AT_ONCE], padding


def _claim(folder: Path, tokens: Sequence[np.ndarray], max_tokens: int, identity: str) -> None:
    """Makes the folder, or empties it where it is of other lyrics."""
    digest = hashlib.sha256(f"{identity} {max_tokens} {AT_ONCE} {STRIDE}".encode())
    for ids in tokens:
        digest.update(len(ids).to_bytes(4, "little") + ids.tobytes())
    plan, file = digest.hexdigest(), folder / "plan"
    if not file.is_file() or file.read_text("ascii") != plan:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        file.write_text(plan, "ascii")


def _encoded(encode: Encode, tokens: Sequence[np.ndarray], length: int) -> np.ndarray:
    """The outputs for all real tokens, one track behind the other, (sum of lengths, H) float16, padded to ``length``.

    The encoder always sees the same number of rows.
    """
    ids, numbers = padded([*tokens, *[np.zeros(0, np.uint16)] * (AT_ONCE - len(tokens))], length)
    hidden = encode(ids, numbers)
    return hidden[np.arange(length) < numbers[:, None]].astype(np.float16)


def _save(file: Path, features: np.ndarray) -> None:
    with written_whole(file) as stream:
        np.save(stream, features)
