"""Prediction in the plainest way: one window at a time, each with its words through the whole model."""

from __future__ import annotations

import jax
import numpy as np

from data_pipeline.schema import AUDIO
from mgc_jax.inference.predictor import Predictor
from mgc_jax.inference.recording import Audio
from mgc_jax.runtime import sharding


def batch(model: Predictor, clips: list[np.ndarray], tokens: np.ndarray) -> dict[str, jax.Array]:
    """An evaluation batch of clips that share their lyrics, on the devices."""
    size = -(-len(clips) // model.network.mesh.shape["data"]) * model.network.mesh.shape["data"]
    sounds = np.zeros((size, *clips[0].shape), clips[0].dtype)
    sounds[: len(clips)] = clips
    row = np.zeros(model.config.lyrics.max_tokens, np.int32)
    row[: len(tokens)] = tokens
    content = {
        AUDIO[model.spec.input]: sounds,
        "tokens": np.tile(row, (size, 1)),
        "num_tokens": np.full(size, len(tokens), np.int32),
        "labels": np.zeros((size, model.vocabulary.size), np.uint8),
        "index": np.arange(size, dtype=np.int32),
        "weight": np.ones(size, np.float32),
    }
    return sharding.place_batch(content, model.network.mesh)


def scores(model: Predictor, audio: Audio, lyrics: str | None = None) -> dict[str, float]:
    """Each genre's score: the mean over the windows by their weights."""
    tokens = model.tokens(lyrics)
    windows = list(model.windows(audio))
    rows = []
    for window in windows:
        given = batch(model, model.hear([window.samples]), tokens)
        rows.append(np.asarray(model.evaluation_step(model.state, model.network.frozen, given)["scores"])[0])
    mean = np.average(np.array(rows, np.float64), 0, [window.weight for window in windows])
    return dict(zip(model.genres, mean.tolist(), strict=True))
