"""Which seconds speak for the genres of a model that hears a song in short windows, each by itself.

Axis letters: K windows, E explained genres, G genres.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import jax
import numpy as np
from scipy.special import logit

from data_pipeline.audio import log_mel
from data_pipeline.lyric_words import Words
from mgc_jax.explain.explainer import indices, spectrogram
from mgc_jax.explain.explanation import Explanation
from mgc_jax.inference import prediction
from mgc_jax.inference.listening import Listening
from mgc_jax.inference.prediction import WeightedMean
from mgc_jax.inference.song import Song
from mgc_jax.inference.tagger import Tagger

_CLOSEST = 1e-6  # of a probability to 0 and 1


def explain_by_windows(
    model: Tagger, song: Song, sound: Listening | None = None, genres: Sequence[str] | None = None
) -> Explanation:
    """Explain the ``genres`` of a song, or those that are predicted; its ``sound`` is given where it is decoded
    already.

    Such a model says of each window what it says of no other one, so that to take a window away is to put silence in
    its place: ``segments`` are all windows, and the effect of one is its logit less that of silence. Their weighted
    mean, less that of silence, is ``sound_part``.

    Raises:
        InputError: as ``predict`` of the model does, and for a genre that it does not know.
    """
    targets = None if genres is None else indices(genres, model.genres)
    song.check_wordless(model.name)
    sound = sound or model.front_end.listening(song)
    pictures, weights, parts, mean = [], [], [], WeightedMean()
    windows = iter(sound.windows)
    while group := list(itertools.islice(windows, model.at_once)):
        scores = jax.device_get(model.window_scores([window.samples for window in group]))[: len(group)]
        mean.add(scores, np.array([window.weight for window in group]))
        parts.append(scores)
        pictures += [(window.start, log_mel(window.samples, model.spec)) for window in group]
        weights += [window.weight for window in group]
    found = prediction.of_scores(song.name, model.genres, mean, model.thresholds, sound)
    targets = indices(found.predicted, model.genres) if targets is None else targets
    targets.sort(key=lambda index: -mean()[index])

    logits = _logit(np.concatenate(parts)[:, targets])
    base = _logit(jax.device_get(model.window_scores([]))[0, targets])
    weight = np.array(weights) / sum(weights)
    whole = weight @ logits
    starts = np.array([start for start, _ in pictures])
    seconds = max(found.seconds, starts[-1])
    spans = np.stack([starts, np.minimum(starts + model.spec.seconds, seconds)], axis=1)
    return Explanation(
        prediction=found,
        genres=tuple(model.genres[index] for index in targets),
        logits=whole,
        thresholds=_logit(model.thresholds[targets]),
        base=base,
        sound_part=whole - base,
        words_part=np.zeros(len(targets)),
        graph=None,
        related=None,
        seconds=seconds,
        windows=spans,
        segments=spans,
        segment_effect=logits - base,
        words=Words("", np.zeros((0, 2), np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)),
        groups=np.zeros(0, np.int64),
        word_effect=np.zeros((0, len(targets))),
        attention=None,
        spectrogram=spectrogram(pictures, model.spec),
        names=model.genres,
        uses_audio=True,
        uses_lyrics=False,
    )


def _logit(probability: np.ndarray) -> np.ndarray:
    return logit(np.clip(probability.astype(np.float64), _CLOSEST, 1 - _CLOSEST))
