"""The table of weights between the JAX model and its twin, used in both directions.

| ours | the twin's | axes |
|---|---|---|
| ``audio_cnn.blocks.N`` | ``audio_encoder.N`` | |
| ``.conv.kernel`` (time, mel, in, out) | ``.conv.weight`` (out, in, mel, time) | reversed |
| ``.kernel`` (in, out) | ``.weight`` (out, in) | reversed |
| ``.scale`` of a norm | ``.weight`` | |
| ``.mean``, ``.var`` of a BatchNorm | ``.running_mean``, ``.running_var`` | |
| ``genre_graph.node_features`` | ``genre_graph.nodes`` | |
| ``bert.`` | ``lyrics_encoder.``, then Hugging Face's names | |
| everything else | the same name | |

A frozen lyrics encoder does not travel: both read the same pretrained files. The twin's BatchNorm keeps the
unbiased variance while training, ours the biased one: equal weights stay equal, statistics learned apart do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
from torch import Tensor

from data_pipeline.errors import InputError
from mgc_jax.models.bert import pretrained_name
from mgc_jax.network.state import ModelState
from mgc_jax.runs.weights_file import PARTS, dotted, leaves
from mgc_jax.torch_reference.model import GenreClassifier

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
    "node_features": "nodes",
}


class Row(NamedTuple):
    """One weight: our name, the twin's, and the order of our axes in the twin's array."""

    ours: str
    theirs: str
    axes: tuple[int, ...]


def row(name: str, ndim: int) -> Row:
    """The table's row for our parameter ``name``."""
    path, _, leaf = name.rpartition(".")
    axes = tuple(reversed(range(ndim))) if leaf == "kernel" else tuple(range(ndim))
    if path.startswith("bert."):
        return Row(name, f"lyrics_encoder.{pretrained_name(name.removeprefix('bert.'))}", axes)
    path = path.replace("audio_cnn.blocks.", "audio_encoder.")
    return Row(name, f"{path}.{_LEAVES.get(leaf, leaf)}".lstrip("."), axes)


def to_torch(state: ModelState, model: GenreClassifier) -> None:
    """Copy the weights, statistics and graph of ``state`` into ``model``.

    Raises:
        InputError: names or shapes differ.
    """
    weights = {}
    for name, value in leaves(state).items():
        _, theirs, axes = row(name, value.ndim)
        weights[theirs] = torch.tensor(np.transpose(np.asarray(value), axes))
    wanted = {name: value for name, value in model.state_dict().items() if not _stays(name, model.frozen)}
    _check({k: tuple(v.shape) for k, v in wanted.items()}, {k: tuple(v.shape) for k, v in weights.items()})
    model.load_state_dict(weights, strict=False)


def from_torch(weights: Mapping[str, Tensor], state: ModelState) -> ModelState:
    """``state`` with the twin's weights (its ``state_dict``); its step stays as it is.

    Raises:
        InputError: names or shapes differ.
    """
    rows = {name: row(name, value.ndim) for name, value in leaves(state).items()}
    shapes = leaves(state)
    _check(
        {r.theirs: tuple(shapes[name].shape[axis] for axis in r.axes) for name, r in rows.items()},
        {name: tuple(value.shape) for name, value in weights.items() if not _stays(name, "bert" not in state.params)},
    )

    def convert(path: Any, leaf: jax.Array) -> jax.Array:
        _, theirs, axes = rows[dotted(path)]
        value = np.transpose(weights[theirs].detach().cpu().numpy(), np.argsort(axes))
        return jax.device_put(value.astype(leaf.dtype), leaf.sharding)

    parts = {part: jax.tree_util.tree_map_with_path(convert, getattr(state, part)) for part in PARTS}
    return dataclasses.replace(state, **parts)


def _stays(name: str, frozen: bool) -> bool:
    return (frozen and name.startswith("lyrics_encoder.")) or name.endswith("num_batches_tracked")


def _check(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> None:
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - given.keys())]
    problems += [f"{name} is not known" for name in sorted(given.keys() - wanted.keys())]
    problems += [
        f"{name} is {given[name]}, not {wanted[name]}"
        for name in sorted(wanted.keys() & given.keys())
        if given[name] != wanted[name]
    ]
    if problems:
        raise InputError(f"The weights do not fit the model: {'; '.join(problems)}.")
