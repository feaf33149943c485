"""The linear rival of every model on a data set: fitted on its training split, kept beside the evaluation."""

from __future__ import annotations

import contextlib
import dataclasses
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import AUDIO
from data_pipeline.storage.files import sha256, written_whole
from mgc_jax.evaluation import linear
from mgc_jax.evaluation.thresholds import calibrate_thresholds
from mgc_jax.runtime.progress import Progress

NAME = "linear.npz"
"""The file in a workdir."""
MOST_TRACKS = 20_000
"""On more training tracks it is not fitted: a draw of so many bounds its memory to about 1 GB."""
MOST_WORK = 1_000_000
"""Tracks times genres, for the same reason with time: a few minutes on two cores."""
_BATCH = 64
_METHOD = 2  # of fitting: scores of another are not these
# What zipfile and numpy raise for a file in which any byte may be wrong.
_BROKEN = (OSError, ValueError, LookupError, EOFError, MemoryError, OverflowError, RuntimeError, TypeError)
_BROKEN += (AttributeError, struct.error, zipfile.BadZipFile, zlib.error)  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True)
class Rival:
    """Its ``scores`` (N, G) by split, at which ``thresholds`` (G,) a genre is named, and the C that validation chose.

    ``tracks`` is how many training tracks it was fitted on.
    """

    scores: dict[str, np.ndarray]
    thresholds: np.ndarray
    strength: float
    tracks: int


_last: dict[str, Rival] = {}
"""The one of the last data set, by what it is: the runs of a sweep share it."""


def rival(data: PreparedData, split: str, folder: Path | None = None) -> Rival | str:
    """The rival on ``data`` with its scores on ``split``, or a reason why there is none.

    It is fitted once: in ``folder``, if there is one, it is kept and looked for.
    """
    key = sha256([_METHOD, data.digest(), linear.STRENGTHS, linear.COMPONENTS, MOST_TRACKS, MOST_WORK])
    kept = _read(folder / NAME, key, data) if folder else None
    found = next((one for one in (kept, _last.get(key)) if one and split in one.scores), None)
    try:
        found = found or _fit(data, dict.fromkeys(["validation", "test", split]))
    except (InputError, ValueError, MemoryError) as error:
        return " ".join(str(error).split())[:300] or type(error).__name__
    _last.clear()
    _last[key] = found
    if folder and found is not kept:
        _keep(found, folder / NAME, key)
    return found


def _fit(data: PreparedData, splits: Iterable[str]) -> Rival:
    others = {name: _whole(data, name) for name in splits if data.split_sizes[name]}
    fitted = regressions(data, others["validation"])
    scores = {name: fitted.scores(pooled) for name, (pooled, _) in others.items()}
    thresholds = calibrate_thresholds(
        scores["validation"], others["validation"][1], prevalence=data.vocabulary.prevalence
    )
    tracks = len(chosen(data.split_sizes["train"], data.vocabulary.size))
    return Rival(scores, thresholds, fitted.strength, tracks)


def regressions(data: PreparedData, validation: tuple[linear.Pooled, np.ndarray] | None = None) -> linear.Regressions:
    """The rival's regressions, fitted on the training split.

    Args:
        validation: the split's tracks and labels (N, G), where they are read already.

    Raises:
        InputError: the training split is empty, or cannot be read.
        ValueError: nothing can be fitted to it.
    """
    index = chosen(data.split_sizes["train"], data.vocabulary.size)
    if not len(index):
        raise InputError("the train split of this data set is empty.")
    train, labels = _pooled(data, "train", index)
    bar = Progress("logistic regression, fitting", len(linear.STRENGTHS) * data.vocabulary.size, "genres")
    try:
        return linear.fit(train, labels, *(validation or _whole(data, "validation")), bar.update)
    finally:
        bar.close()


def _whole(data: PreparedData, split: str) -> tuple[linear.Pooled, np.ndarray]:
    return _pooled(data, split, np.arange(data.split_sizes[split]))


def chosen(tracks: int, genres: int) -> np.ndarray:
    """The training tracks that the rival is fitted on: all, or as many as it can take, always the same ones."""
    most = min(MOST_TRACKS, MOST_WORK // genres)
    if tracks <= most:
        return np.arange(tracks)
    return np.sort(np.random.default_rng(0).choice(tracks, most, replace=False))


def _pooled(data: PreparedData, split: str, index: np.ndarray) -> tuple[linear.Pooled, np.ndarray]:
    """The tracks ``index`` of a split, and their labels (N, G)."""
    words = "lyrics_features" if data.lyrics_width else "tokens"
    parts, labels = [], []
    bar = Progress(f"logistic regression, reading {split}", len(index), "tracks")
    try:
        for batch in data.some(split, index, batch_size=_BATCH):
            parts.append(linear.pool(batch[AUDIO[data.audio.input]], batch[words], batch["num_tokens"]))
            labels.append(batch["labels"])
            bar.update(len(batch["labels"]))
    finally:
        bar.close()
    return linear.Pooled.joined(parts), np.concatenate(labels)


def _keep(found: Rival, file: Path, key: str) -> None:
    """Write the file, where that can be done: without it the rival is fitted again."""
    arrays: dict[str, Any] = {f"scores_{split}": scores for split, scores in found.scores.items()}
    arrays |= {"thresholds": found.thresholds, "strength": found.strength, "tracks": found.tracks, "key": key}
    with contextlib.suppress(InputError), written_whole(file) as opened:
        np.savez_compressed(opened, **arrays)


def _read(file: Path, key: str, data: PreparedData) -> Rival | None:
    """What :func:`_keep` wrote for this data set, or None."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            if str(kept["key"]) != key:
                return None
            scores = {name: kept[f"scores_{name}"] for name in data.split_sizes if f"scores_{name}" in kept}
            thresholds, strength, tracks = kept["thresholds"], float(kept["strength"]), int(kept["tracks"])
        genres = data.vocabulary.size
        for name, array in scores.items():
            if array.shape != (data.split_sizes[name], genres) or array.dtype != np.float32:
                raise ValueError(f"scores of shape {array.shape}")
            if not (array.min() >= 0 and array.max() <= 1):
                raise ValueError("scores outside 0 to 1")
        if thresholds.shape != (genres,) or not np.isfinite(thresholds).all() or not np.isfinite(strength):
            raise ValueError("thresholds are not what they should be")
        return Rival(scores, thresholds, strength, tracks)
    except _BROKEN:
        return None
