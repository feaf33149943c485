"""Built-in models, which have heard real music elsewhere: they name genres without any training here."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np

from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from mgc_jax.inference import prediction, recording
from mgc_jax.inference.prediction import Prediction, WeightedMean
from mgc_jax.inference.recording import Audio
from mgc_jax.models import musicnn
from mgc_jax.network.audio_encoders import audio_encoder
from mgc_jax.runs import addresses

THRESHOLD = 0.2
"""From which mean probability on musicnn's genres are named, each by the same: nothing was calibrated. A genre that is
in a song throughout gets .3 to .9, the ones beside it about .2."""
AT_ONCE = 24
"""Seconds of a song that are heard at once, as far as whole windows allow."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tagger:
    """A model that was trained elsewhere; see :func:`mgc_jax.load`. It hears songs, reads no lyrics, and gives no
    reasons."""

    name: str
    genres: tuple[str, ...]
    """Its G genres."""
    spec: AudioSpec
    """Of the windows that it hears by themselves."""
    scores: Callable[[np.ndarray], jax.Array]
    """Windows (N, P) float32 -> the probability (N, G) of each genre in each window."""
    about: str
    """What it learned from or how it judges, and so what it cannot know."""
    threshold: float = THRESHOLD
    """From which score on a genre is named."""
    repeats: bool = False
    """Whether a song shorter than a window is repeated in it."""
    licence_warning: str = ""
    """A sentence where its weights may not be used commercially."""

    @property
    def thresholds(self) -> np.ndarray:
        """(G,), from which score on each genre is named."""
        return np.full(len(self.genres), self.threshold)

    def predict(self, audio: Audio, lyrics: str | None = None, *, rate: int | None = None) -> Prediction:
        """Rank the genres of a song of any format and length; each one's score is the mean over consecutive windows,
        weighted by their level, without those that are far quieter than the loudest.

        Args:
            audio: a path, the bytes of a file, or an array of samples.
            lyrics: none.
            rate: of the samples of an array, in Hz.

        Raises:
            InputError: the audio cannot be decoded, or there are lyrics.
        """
        if lyrics:
            raise InputError(f"{self.name} hears a song and reads no lyrics: leave them out.")
        windows, scores = recording.windows(audio, rate, self.spec, repeat=self.repeats), WeightedMean()
        size = max(1, round(AT_ONCE / self.spec.seconds))  # always the same, which is compiled once
        remaining = iter(windows)
        while group := list(itertools.islice(remaining, size)):
            batch = np.zeros((size, self.spec.num_samples), np.float32)
            batch[: len(group)] = [window.samples for window in group]
            scores.add(np.asarray(self.scores(batch))[: len(group)], np.array([window.weight for window in group]))
        return prediction.of_scores(recording.name(audio), self.genres, scores, self.thresholds, windows, 0)


def built_in(place: str | Path) -> Tagger | None:
    """The built-in model of this name; None where the ``place`` is the folder or the address of something else.

    Raises:
        InputError: its weights are not to be had.
    """
    return TAGGERS[str(place)]() if addresses.is_built_in(place) else None


def _musicnn() -> Tagger:
    encoder = audio_encoder("musicnn")
    columns = np.array([musicnn.TAGS.index(genre) for genre in musicnn.GENRES])

    @jax.jit
    def scores(weights: dict, windows: jax.Array) -> jax.Array:
        tokens = encoder.apply(weights, windows)
        return musicnn.tag_probabilities(weights, tokens[:, 0, : musicnn.POOLED])[:, columns]

    return Tagger(
        name=encoder.name,
        genres=musicnn.GENRES,
        spec=AudioSpec(encoder.rate, musicnn.N_FFT, musicnn.HOP, musicnn.N_MELS, encoder.window / encoder.rate),
        scores=partial(scores, jax.device_put(encoder.weights)),
        about="It learned from 200 000 songs what listeners called them on Last.fm until 2011, most of them known in "
        "the USA: younger genres and those of other parts of the world it does not know.",
    )


TAGGERS: dict[str, Callable[[], Tagger]] = {"musicnn": _musicnn}
"""By the names of :data:`mgc_jax.runs.addresses.BUILT_IN`."""
