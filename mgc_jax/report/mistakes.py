"""The tracks of a split as a model judged them, the most wrong ones first, as a person wants to see and hear them.

Axis letters: N tracks, G genres.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipeline.audio import AudioError, AudioSpec, load_clip
from mgc_jax.evaluation import metrics
from mgc_jax.evaluation.scored import Scored
from mgc_jax.plots.data_uri import data_uri

WORST = 10
SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Named:
    """A genre of one track: its score, and whether the model was right about it."""

    genre: str
    score: float
    right: bool


@dataclasses.dataclass(frozen=True)
class Judged:
    """One track as the model judged it: its index in the split, cross-entropy, the genres it has and those predicted
    (best score first)."""

    index: int
    bce: float
    true: tuple[Named, ...]
    predicted: tuple[Named, ...]
    with_lyrics: bool


def decided(scored: Scored, thresholds: np.ndarray) -> np.ndarray:
    """The predictions (N, G) bool at the thresholds (G,), or the best genre where none is over its own."""
    return metrics.argmax_fallback(metrics.predict(scored.scores, thresholds), scored.scores)


def judged(scored: Scored, thresholds: np.ndarray, names: Sequence[str], tracks: Sequence[int]) -> list[Judged]:
    """These ``tracks`` (indices) with their genres and those that are :func:`decided`."""
    truth, predicted = scored.labels > 0, decided(scored, thresholds)

    def named(track: int, which: np.ndarray, right: np.ndarray) -> tuple[Named, ...]:
        genres = np.flatnonzero(which[track])
        ranked = genres[np.argsort(-scored.scores[track, genres], kind="stable")]
        return tuple(Named(names[g], float(scored.scores[track, g]), bool(right[track, g])) for g in ranked)

    return [
        Judged(
            int(i),
            float(scored.bce[i]),
            named(i, truth, predicted),
            named(i, predicted, truth),
            bool(scored.words[i] >= 0),
        )
        for i in tracks
    ]


def worst(scored: Scored, thresholds: np.ndarray, names: Sequence[str], count: int = WORST) -> list[Judged]:
    """The ``count`` tracks with the highest cross-entropy, worst first."""
    return judged(scored, thresholds, names, [int(i) for i in np.argsort(-scored.bce, kind="stable")[:count]])


def locate(track: Mapping[str, str], data: Path) -> Path:
    """The audio file of a row of ``tracks.tsv``: as it is written there, from here or from a folder above the data set.

    The path is as written, and need not exist, where none of these does.
    """
    written = Path(track.get("audio", ""))
    places = [written, *(folder / written for folder in data.absolute().parents)]
    return next((place for place in places if place.is_file()), written)


def player(path: Path) -> str | None:
    """:func:`clip`, or None where the file cannot be played."""
    with contextlib.suppress(AudioError):
        return clip(path)
    return None


@functools.lru_cache(maxsize=WORST + 3)  # the worst track is asked for twice
def clip(path: Path) -> str:
    """The first 10 s of an audio file with sound in them as a ``data:`` address of a small mono MP3.

    Raises:
        AudioError: the file is missing or cannot be decoded, with a short reason.
    """
    import soundfile

    spec = AudioSpec(seconds=SECONDS)
    samples = load_clip(path, spec)
    written = io.BytesIO()
    try:
        soundfile.write(written, np.trim_zeros(samples, "b"), spec.sample_rate, format="MP3", subtype="MPEG_LAYER_III")
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:  # a libsndfile without MP3
        raise AudioError(f"cannot be written as MP3: {error}") from None
    return data_uri("audio/mpeg", written.getvalue())
