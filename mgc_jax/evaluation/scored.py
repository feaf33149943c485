"""A split as a model scored it, and the file in which an evaluation keeps it for the report.

Axis letters: N tracks, G genres, C width of the A-L embeddings, D width of the fused and the genre vectors.
"""

from __future__ import annotations

import dataclasses
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.storage.files import written_whole


class Scored(NamedTuple):
    """A split in its own order: scores (N, G) in [0, 1], labels (N, G) and each track's cross-entropy (N,).

    ``words`` (N,) int64 is the same number for tracks with the same lyrics, -1 for a track without. The embeddings
    (N, C) of the A-L loss and the ``fused`` vectors (N, D) are None for a model without.
    """

    scores: np.ndarray
    labels: np.ndarray
    bce: np.ndarray
    words: np.ndarray
    audio: np.ndarray | None = None
    lyrics: np.ndarray | None = None
    fused: np.ndarray | None = None

    @classmethod
    def mean(cls, parts: Sequence[Scored]) -> Scored:
        """Several models' scores of one split averaged (late fusion); they share no space for embeddings."""
        scores = np.mean([part.scores for part in parts], axis=0)
        labels = parts[0].labels
        likelihood = np.clip(np.where(labels > 0, scores, 1.0 - scores), np.finfo(scores.dtype).tiny, 1.0)
        return cls(scores, labels, -np.log(likelihood).sum(axis=1), parts[0].words)


_ARRAYS = ("scores", "labels", "bce", "words", "thresholds", "genres", "step")
_OPTIONAL = ("audio", "lyrics", "fused", "genre_vectors", "adjacency")
# What zipfile and numpy raise for a file in which any byte may be wrong.
_BROKEN = (OSError, ValueError, LookupError, EOFError, MemoryError, OverflowError, RuntimeError, TypeError)
_BROKEN += (AttributeError, struct.error, zipfile.BadZipFile, zlib.error)  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True)
class StoredScores:
    """What ``evaluation_<split>.npz`` holds: a scored split, the genres' names and thresholds (G,), the checkpoint's
    step, and of a model that has them its genre vectors (G, D) and its graph's adjacency (G, G)."""

    scored: Scored
    thresholds: np.ndarray
    genres: tuple[str, ...]
    step: int
    genre_vectors: np.ndarray | None = None
    adjacency: np.ndarray | None = None

    def save(self, path: Path) -> None:
        """Write the file whole or not at all; raises InputError when the place cannot be written."""
        arrays = self.scored._asdict() | {
            "labels": self.scored.labels.astype(np.uint8),
            "thresholds": self.thresholds,
            "genres": np.array(self.genres, np.str_),
            "step": np.int64(self.step),
            "genre_vectors": self.genre_vectors,
            "adjacency": self.adjacency,
        }
        with written_whole(path) as file:
            np.savez_compressed(file, **{name: x for name, x in arrays.items() if x is not None})

    @classmethod
    def load(cls, path: Path) -> StoredScores:
        """Read and check what :meth:`save` wrote.

        Raises:
            InputError: the file is missing, damaged, or holds anything else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (*_ARRAYS, *_OPTIONAL) if name in file or name in _ARRAYS}
            _check(arrays)
        except _BROKEN as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{path} cannot be used ({reason}); run mgc-jax evaluate again.") from None
        return cls(
            Scored(**{name: arrays[name] for name in Scored._fields if name in arrays}),
            arrays["thresholds"],
            tuple(map(str, arrays["genres"])),
            int(arrays["step"]),
            arrays.get("genre_vectors"),
            arrays.get("adjacency"),
        )


def _check(arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError for arrays that do not fit each other."""
    labels = arrays["labels"]
    if labels.ndim != 2 or 0 in labels.shape:
        raise ValueError(f"labels of shape {labels.shape}")
    tracks, genres = labels.shape
    wanted: dict[str, tuple[int | None, ...]] = {
        "scores": (tracks, genres),
        "labels": (tracks, genres),
        "bce": (tracks,),
        "words": (tracks,),
        "thresholds": (genres,),
        "genres": (genres,),
        "step": (),
        "audio": (tracks, None),
        "lyrics": (tracks, None),
        "fused": (tracks, None),
        "genre_vectors": (genres, None),
        "adjacency": (genres, genres),
    }
    for name, shape in wanted.items():
        if name not in arrays:
            continue
        array = arrays[name]
        if len(array.shape) != len(shape) or any(b not in (a, None) for a, b in zip(array.shape, shape, strict=True)):
            raise ValueError(f"{name} of shape {array.shape} beside labels of shape {labels.shape}")
        kinds = {"genres": "U", "labels": "u", "words": "i", "step": "i"}.get(name, "f")
        if array.dtype.kind not in kinds or (kinds == "f" and not np.isfinite(array).all()):
            raise ValueError(f"{name} is not what it should be")
    if arrays["scores"].min() < 0 or arrays["scores"].max() > 1:
        raise ValueError("scores outside 0 to 1")
    both = [arrays[name].shape for name in ("audio", "lyrics") if name in arrays]
    if len(both) == 1 or len(set(both)) > 1:
        raise ValueError("audio and lyrics do not fit each other")
