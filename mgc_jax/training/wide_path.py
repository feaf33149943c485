"""The wide path is fitted before the first step, as the linear rival is, and then stays as it is."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.config import Config
from mgc_jax.evaluation import rival
from mgc_jax.models.audio_encoder import Tags
from mgc_jax.network import build
from mgc_jax.network.audio_features import audio_features
from mgc_jax.network.state import ModelState
from mgc_jax.runtime import processes


def fit_wide_path(config: Config, data: PreparedData, model: ModelState) -> ModelState:
    """``model`` with its wide path fitted on the training split, the same on every process.

    A genre that all training tracks have, or none, stays at its log odds among them. With ``model.wide_tags`` each
    genre that has the name of one of the audio encoder's tags is told by this tag too.

    Raises:
        InputError: the lyrics are stored as tokens, or nothing can be fitted to this data set.
    """
    if not data.lyrics_width:
        raise InputError(
            "model.wide needs the lyrics encoder's stored outputs: set lyrics.input=features, or model.wide=0."
        )
    try:
        fitted = rival.regressions(data)
    except ValueError as error:
        raise InputError(f"The wide path cannot be fitted to {data.path}: {error}.") from None
    kernel, bias = fitted.on_pooled()
    bias = np.where(np.isfinite(bias), bias, build.prior_logits(data.vocabulary))
    tags = audio_features(config.audio).encoder.tags
    told = _add_tags(kernel, bias, tags, fitted.features.sound_mean, data.vocabulary.names, config.model.wide_tags)
    if processes.is_first():
        print(
            f"the wide path: logistic regression with C={fitted.strength:g}"
            + (f", and {config.audio.encoder}'s own tags for {told} of {len(bias)} genres" if told else "")
        )
    values = {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
    if jax.process_count() > 1:  # hosts of two kinds round differently
        from jax.experimental import multihost_utils

        values = multihost_utils.broadcast_one_to_all(values)

    def fill(path: Any, leaf: jax.Array) -> jax.Array:
        part, name = (jax.tree_util.keystr((key,), simple=True) for key in (path[0], path[-1]))
        return jax.device_put(np.asarray(values[name]), leaf.sharding) if part == "wide" else leaf

    return dataclasses.replace(model, constants=jax.tree_util.tree_map_with_path(fill, model.constants))


def _add_tags(
    kernel: np.ndarray, bias: np.ndarray, tags: Tags | None, mean: np.ndarray, genres: Sequence[str], weight: float
) -> int:
    """Add ``weight`` times a tag's logit, less its mean among the training tracks, to the genre of the same name.

    Returns:
        how many genres have one.
    """
    if tags is None or not weight:
        return 0
    width = len(tags.kernel)
    columns = {_plain(name): column for column, name in enumerate(tags.names)}
    named = [(genre, columns[_plain(name)]) for genre, name in enumerate(genres) if _plain(name) in columns]
    for genre, column in named:
        direction = weight * tags.kernel[:, column].astype(np.float64)
        kernel[:width, genre] += direction
        bias[genre] -= mean[:width] @ direction
    return len(named)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
