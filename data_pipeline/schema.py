"""One track, one example and one batch: the seam between raw music, the shards and the model.

Axis letters: B batch, T frames, M mel bands, W windows of a clip, S audio tokens, L lyric tokens, H an encoder's width,
G genres.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

Batch = dict[str, np.ndarray]
"""A batch, by name (all leading axes are the host's share of the global batch):

- ``spectrogram`` (B, T, M) uint8: log-mel, 0 = 80 dB under the clip's maximum, 255 = the maximum; or
- ``audio_features`` (B, S, H) float16: the frozen audio encoder's outputs, where these were stored; or
- ``filterbank`` (B, W T, M) float16: what the encoder's front end makes of W windows, one behind the other.
- ``tokens`` (B, L) int32: word-piece ids, padded with 0 to ``max_tokens``, or to what the batch needs.
- ``lyrics_features`` (B, L, H) float16: the frozen lyrics encoder's outputs, where they were stored.
- ``num_tokens`` (B,) int32: real tokens in the row; 0 means a track without lyrics.
- ``labels`` (B, G) uint8: multi-hot genres, in the vocabulary's order.
- ``index`` (B,) int32: the example's position in its split (a row of ``tracks.tsv``); -1 for padding.
- ``weight`` (B,) float32: 1 for a track, 0 for a row that only pads the batch.
"""

BATCH_KEYS = ("tokens", "num_tokens", "labels", "index", "weight")
"""What every batch has; the sound is beside it, under one of the names of ``AUDIO``."""
AUDIO = {"spectrogram": "spectrogram", "features": "audio_features", "filterbank": "filterbank"}
"""``audio.input`` -> the name of the sound in a batch."""
LYRICS = ("tokens", "lyrics_features")
"""What of a batch has the axis L."""
LyricsInput = Literal["tokens", "features"]
"""Whether the lyrics encoder runs in every step, or ran once and for all when the data set was prepared."""
LYRICS_INPUTS: tuple[str, ...] = get_args(LyricsInput)
SMALLEST_WINDOW = 8
"""Word pieces of the smallest window that lyrics are read in."""
SplitKind = Literal["random", "artist"]
"""Whether tracks are split, or whole artists."""
Duplicates = Literal["group", "drop", "ignore"]
"""What becomes of tracks that are one recording: one side for all, the first one alone, or nothing."""
_LONGEST_ID = 4096  # bytes; an id may be made of a file's path
SPLITS = ("train", "validation", "test")
MANY = 5_000
"""Tracks of which what is done before and behind their decoding takes more than a moment, too."""


@dataclasses.dataclass(frozen=True)
class Track:
    """One row of a corpus before anything was decoded.

    At most one of ``lyrics_file`` and ``lyrics_text`` is set; neither means that the corpus has no lyrics for it.
    ``genres`` are as the corpus spells them; ``artist`` and ``language`` are None where the corpus is silent.
    """

    id: str
    audio: Path
    genres: tuple[str, ...]
    lyrics_file: Path | None = None
    lyrics_text: str | None = None
    artist: str | None = None
    title: str | None = None
    language: str | None = None

    def row(self) -> list[Any]:
        """All fields, as JSON."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return [str(value) if isinstance(value, Path) else value for value in values]


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A track left out, and why: one line of ``quarantine.tsv``."""

    id: str
    file: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What a source found: usable rows in a stable order, and the rows that it had to leave out.

    ``source`` names the kind of corpus, for reports; whoever reads figures must know when nobody made the music.
    ``changed`` counts what was not taken as it is written, by kind; ``notes`` are sentences about what may be meant
    otherwise.
    """

    tracks: tuple[Track, ...]
    rejected: tuple[Rejected, ...] = ()
    source: str = ""
    changed: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def safe_id(text: str) -> bool:
    """Whether ``text`` can be a track's id: no longer than a path, and as a file name inside its folder."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return text not in (".", "..") and not set(text) & {"/", "\\", "\0", os.sep} and 0 < length <= _LONGEST_ID
