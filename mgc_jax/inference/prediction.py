"""What a model says of a song."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The genres of one song, best first.

    ``file`` is its name, or says that it came as bytes or as an array. ``windows`` is the number of clips whose scores
    were averaged; ``predicted`` those over their threshold (the highest one where none is).
    """

    file: str
    ranked: tuple[tuple[str, float], ...]
    predicted: tuple[str, ...]
    windows: int
    lyrics_tokens: int

    def to_json(self) -> dict[str, Any]:
        """The form of ``mgc-jax predict --json``."""
        return {
            "file": self.file,
            "predicted": list(self.predicted),
            "genres": [{"name": name, "score": score} for name, score in self.ranked],
            "windows": self.windows,
            "lyrics_tokens": self.lyrics_tokens,
        }


def of_scores(
    file: str, names: Sequence[str], scores: np.ndarray, thresholds: np.ndarray, *, windows: int, lyrics_tokens: int
) -> Prediction:
    """The prediction for scores (G,) of the genres with these names, each with its threshold (G,)."""
    ranked = np.argsort(-scores, kind="stable")
    over = [i for i in ranked if scores[i] >= thresholds[i]] or [ranked[0]]
    return Prediction(
        file=file,
        ranked=tuple((names[i], float(scores[i])) for i in ranked),
        predicted=tuple(names[i] for i in over),
        windows=windows,
        lyrics_tokens=lyrics_tokens,
    )
