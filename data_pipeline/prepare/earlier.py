"""What a finished data set gives to the next one of the same corpus: the sound and the encoded lyrics of its examples.

Axis letters: L lyric tokens, H the lyrics encoder's width.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipeline.prepare.source_files import Source
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import AUDIO, SPLITS, Batch, Track

FINGERPRINTS = "fingerprints.npy"
_AT_ONCE = 32


class Known(NamedTuple):
    """What a data set has of a recording: where its example is, what was done with its sound, and the file's sha256."""

    split: str
    example: int
    sound: tuple[str, ...]
    sha256: str


class Sounds(NamedTuple):
    """The sounds of recordings and their fingerprints (N, D) int8, which any worker reads from a data set's folder."""

    folder: Path
    known: tuple[Known, ...]

    def read(self) -> tuple[list[np.ndarray], np.ndarray]:
        """The sounds, each as it is stored, and the fingerprints, in the order of ``known``."""
        mark = (self.folder / "dataset.json").stat()
        data = _opened(self.folder, (mark.st_ino, mark.st_mtime_ns))
        sounds = [batch[AUDIO[data.audio.input]][row] for batch, row in _examples(data, self.known)]
        firsts = dict(zip(SPLITS, np.cumsum([0, *(data.split_sizes[name] for name in SPLITS)]).tolist(), strict=False))
        fingerprints = np.load(self.folder / FINGERPRINTS, mmap_mode="r")
        return sounds, np.array(fingerprints[[firsts[known.split] + known.example for known in self.known]])


class Earlier:
    """The finished data set in a folder, of which ``sources`` are the sources; raises InputError where it is broken.

    ``audio_encoder_sha256`` and ``lyrics_encoder_sha256`` are of the encoders that are used now: what others made is
    of no use.
    """

    def __init__(
        self, folder: Path, sources: Mapping[str, Source], audio_encoder_sha256: str, lyrics_encoder_sha256: str
    ) -> None:
        self._data = PreparedData(folder)
        self._data.check_shards()
        self._sources = sources
        rows = [row for split in SPLITS for row in self._data.tracks(split)]
        self._rows = {row["id"]: row for row in rows}
        self._same_audio_encoder = self._data.audio_encoder_sha256 == audio_encoder_sha256
        self._same_lyrics_encoder = self._data.encoder_sha256 == lyrics_encoder_sha256

    def known(self, track: Track) -> Known | None:
        """What it has of the track's recording; None where there is nothing, or of another file."""
        row, source = self._rows.get(track.id), self._sources.get(track.id)
        if row is None or source is None or not self._same_audio_encoder:
            return None
        if not source.files or not source.files[0].is_of(track.audio):
            return None
        return Known(row["split"], int(row["index"]), tuple(row["sound"].split("; ")), source.files[0].sha256)

    def sounds(self, known: Sequence[Known]) -> Sounds:
        """The sounds of these recordings, not read yet."""
        return Sounds(self._data.path.absolute(), tuple(known))

    def lyrics(self, tracks: Sequence[Track]) -> Lyrics | None:
        """The encoded lyrics of the tracks; None where it has none."""
        if not self._data.lyrics_width or not self._same_lyrics_encoder:
            return None
        rows = [self._rows.get(track.id) for track in tracks]
        return Lyrics(self._data, [Known(row["split"], int(row["index"]), (), "") if row else None for row in rows])


class Lyrics:
    """The encoder's outputs for tracks that a data set has, by their number among those that are wanted now."""

    def __init__(self, data: PreparedData, places: Sequence[Known | None]) -> None:
        self._data, self._places = data, places

    def same(self, tokens: Sequence[np.ndarray]) -> list[int]:
        """The numbers of the tracks whose ``tokens`` (n,) are those that the encoder was given, n > 0."""
        there = [i for i, place in enumerate(self._places) if place and len(tokens[i])]
        parts = (there[first : first + _AT_ONCE] for first in range(0, len(there), _AT_ONCE))
        return [
            i
            for part in parts
            for i, (batch, row) in zip(part, self._examples(part), strict=True)
            if np.array_equal(batch["tokens"][row][: batch["num_tokens"][row]], tokens[i])
        ]

    def outputs(self, tracks: Iterable[int]) -> list[np.ndarray]:
        """What the encoder made of these tracks' tokens, (n, H) float16 each."""
        return [batch["lyrics_features"][row][: batch["num_tokens"][row]] for batch, row in self._examples(tracks)]

    def _examples(self, tracks: Iterable[int]) -> list[tuple[Batch, int]]:
        return _examples(self._data, [place for i in tracks if (place := self._places[i])])


def _examples(data: PreparedData, wanted: Sequence[Known]) -> list[tuple[Batch, int]]:
    """Of each example the batch that it is in, and its row there."""
    found: dict[Known, tuple[Batch, int]] = {}
    for split in SPLITS:
        own = [known for known in wanted if known.split == split]
        index = np.array([known.example for known in own], np.int64)
        batches = data.some(split, index, batch_size=_AT_ONCE) if own else ()
        rows = ((batch, row) for batch in batches for row in range(len(batch["index"])))
        found |= dict(zip(own, rows, strict=False))
    return [found[known] for known in wanted]


@functools.lru_cache(maxsize=1)
def _opened(folder: Path, mark: tuple[int, int]) -> PreparedData:
    """The data set of a folder whose ``dataset.json`` has that number on the disk, and that time."""
    return PreparedData(folder)
