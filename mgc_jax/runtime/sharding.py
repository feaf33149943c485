"""The mesh and which array lives where on it.

A rule is (regular expression over the array's path, PartitionSpec); the first match wins and every array must match.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from data_pipeline.errors import InputError

Rules = Sequence[tuple[str, P]]


def rules(fsdp: bool = False) -> Rules:
    """Which axis of a weight is cut over which axis of the mesh.

    Over "model" the encoders' layers (tensor parallel: heads and hidden units, so that a layer sums over the
    chips twice); with ``fsdp`` over "data" the output features of every kernel and embedding. Small vectors stay whole.
    """
    data = "data" if fsdp else None
    return (
        (r"(bert|audio_encoder)/layers/\d+/(query|key|value|up)/kernel", P(data, "model")),
        (r"(bert|audio_encoder)/layers/\d+/(query|key|value|up)/bias", P("model")),
        (r"(bert|audio_encoder)/layers/\d+/(attention_out|down)/kernel", P("model", data)),
        (r"audio_cnn.*kernel", P(None, None, None, data)),
        (r"kernel|embedding", P(None, data)),
        (r".*", P()),
    )


def make_mesh(model_parallel: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A ("data", "model") mesh over all devices, with Auto axes.

    Raises:
        InputError: the number of devices is not a multiple of ``model_parallel``.
    """
    devices = jax.devices() if devices is None else devices
    if len(devices) % model_parallel:
        raise InputError(f"{len(devices)} devices cannot be cut into groups of {model_parallel} (model_parallel).")
    shape = (len(devices) // model_parallel, model_parallel)
    return jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=devices)


def tree_shardings(tree: Any, mesh: Mesh, rules: Rules) -> Any:
    """A NamedSharding for every array of ``tree``; an axis that its mesh axis does not divide stays whole.

    Raises:
        ValueError: an array that no rule matches.
    """

    def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        for pattern, spec in rules:
            if re.search(pattern, name):
                return NamedSharding(mesh, _fit(spec, leaf.shape, mesh))
        raise ValueError(f"no sharding rule matches {name}")

    return jax.tree_util.tree_map_with_path(place, tree)


def _fit(spec: P, shape: tuple[int, ...], mesh: Mesh) -> P:
    if len(spec) > len(shape):
        return P()
    fits = [axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in zip(spec, shape, strict=False)]
    return P(*fits)


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device."""
    return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis cut over "data"."""
    return NamedSharding(mesh, P("data"))


def place_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Put this host's rows of a batch on the mesh as one global array each."""
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def batch_shapes(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """What ``place_batch`` would give, without placing it."""
    hosts, sharding = jax.process_count(), batch_sharding(mesh)

    def shape(x: np.ndarray) -> jax.ShapeDtypeStruct:
        dtype = jax.dtypes.canonicalize_dtype(x.dtype)
        return jax.ShapeDtypeStruct((len(x) * hosts, *x.shape[1:]), dtype, sharding=sharding)

    return {name: shape(x) for name, x in batch.items()}


def check_batch_size(batch_size: int, mesh: Mesh, name: str) -> None:
    """Raise InputError where a global batch cannot be cut evenly over the mesh."""
    if batch_size % mesh.shape["data"]:
        raise InputError(
            f"{name} is {batch_size}, which {mesh.shape['data']} data-parallel devices cannot share evenly; "
            f"use a multiple of {mesh.shape['data']}."
        )
