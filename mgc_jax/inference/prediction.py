"""What a model says of a song."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mgc_jax.inference.listening import Sound

MATTERS_OF_COURSE = {"decoded with libsndfile", "decoded with ffmpeg"}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The genres of one song, best first.

    ``file`` is its name, or says that it came as bytes or as an array; it is ``seconds`` long. ``windows`` is the
    number of clips whose scores were averaged, and ``too_quiet`` that of those left out because they are;
    ``predicted`` are the genres over their threshold (the highest one where none is); ``notes`` say what was done with
    the recording that is not a matter of course. ``lyrics_tokens`` is None for a model that reads none;
    ``lyrics_problem`` says why words that were found cannot be used, so that it was heard without.
    """

    file: str
    ranked: tuple[tuple[str, float], ...]
    predicted: tuple[str, ...]
    windows: int
    lyrics_tokens: int | None
    too_quiet: int = 0
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    lyrics_problem: str = ""

    def limited(self, min_score: float | None, max_genres: int) -> Prediction:
        """With other genres predicted: those from ``min_score`` on, or from their thresholds where that is None, and
        ``max_genres`` of them at most (0: all). Where none reaches ``min_score``, the best one is."""
        predicted = self.predicted
        if min_score is not None:
            predicted = tuple(name for name, score in self.ranked if score >= min_score) or (self.ranked[0][0],)
        return dataclasses.replace(self, predicted=predicted[: max_genres or None])

    def to_json(self) -> dict[str, Any]:
        """The form of ``mgc-jax predict --json``; of lyrics there is nothing for a model that reads none."""
        lyrics = {"lyrics_tokens": self.lyrics_tokens, "lyrics_problem": self.lyrics_problem}
        return {
            "file": self.file,
            "predicted": list(self.predicted),
            "genres": [{"name": name, "score": score} for name, score in self.ranked],
            "windows": self.windows,
            "windows_too_quiet": self.too_quiet,
            "sound": list(self.notes),
            "seconds": self.seconds,
            **({} if self.lyrics_tokens is None else lyrics),
        }


class WeightedMean:
    """The mean of what each window of a song gives, of which the louder ones count more."""

    def __init__(self) -> None:
        self._total: np.ndarray | float = 0.0
        self._weight, self.number = 0.0, 0

    def add(self, values: np.ndarray, weights: np.ndarray) -> None:
        """Of some windows N: values (N, ...) and weights (N,)."""
        self._total = self._total + np.tensordot(weights, values.astype(np.float64), axes=1)
        self._weight, self.number = self._weight + float(weights.sum()), self.number + len(weights)

    def __call__(self) -> np.ndarray:
        """The mean of all that was added."""
        return np.asarray(self._total / self._weight)


def of_scores(
    file: str,
    names: Sequence[str],
    scores: WeightedMean,
    thresholds: np.ndarray,
    sound: Sound,
    lyrics_tokens: int | None = None,
) -> Prediction:
    """The prediction for scores (G,) of the genres with these names, each with its threshold (G,); the ``sound`` was
    gone through to its end."""
    mean = scores()
    threshold = dict(zip(names, thresholds, strict=True))
    ranked = ranking(names, mean)
    over = [name for name, score in ranked if score >= threshold[name]] or [ranked[0][0]]
    return Prediction(
        file=file,
        ranked=ranked,
        predicted=tuple(over),
        windows=scores.number,
        lyrics_tokens=lyrics_tokens,
        too_quiet=sound.too_quiet,
        notes=tuple(sorted(sound.notes - MATTERS_OF_COURSE)),
        seconds=sound.seconds,
    )


def ranking(names: Sequence[str], scores: np.ndarray) -> tuple[tuple[str, float], ...]:
    """The genres with these names and their scores (G,), best first."""
    return tuple((names[i], float(scores[i])) for i in np.argsort(-scores, kind="stable"))
