"""The weights of a model in one safetensors file, under dotted names, with what tells which model they are for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from data_pipeline.errors import InputError
from mgc_jax.network.state import ModelState
from mgc_jax.version import __version__

NAME = "model.safetensors"
FORMAT = 1
"""The version of the names and of the metadata; a change that older programs cannot read raises it."""
PARTS = ("params", "batch_stats", "constants")
"""What of a state is a model's: a trained lyrics encoder is among the parameters, a frozen one is not."""


def leaves(state: ModelState) -> dict[str, jax.Array]:
    """The arrays of a model by dotted name, such as ``audio_cnn.blocks.0.conv.kernel``."""
    parts = [jax.tree_util.tree_flatten_with_path(getattr(state, part))[0] for part in PARTS]
    return {dotted(path): leaf for part in parts for path, leaf in part}


def dotted(path: Any) -> str:
    """The name of a leaf of a tree."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def save(file: Path, state: ModelState, genres: Sequence[str], encoder: str) -> None:
    """Write the weights of ``state``, for these genres and the encoders with this sha256.

    Raises:
        InputError: the file cannot be written.
    """
    arrays = {name: np.asarray(jax.device_get(leaf), order="C") for name, leaf in leaves(state).items()}
    metadata = {
        "format": "mgc-jax",
        "format_version": str(FORMAT),
        "mgc_jax_version": __version__,
        "step": str(int(state.step)),
        "encoder_sha256": encoder,
        "genres": json.dumps(list(genres), ensure_ascii=False),
        "sha256": _digest(arrays),
    }
    try:
        save_file(arrays, file, metadata=metadata)
        file.chmod(0o644)  # the library lets nobody else read it
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} cannot be written ({error}); make room, or choose another place.") from None


def load(file: Path, target: ModelState, genres: Sequence[str], encoder: str) -> ModelState:
    """The weights of ``file`` in the shardings of an abstract state.

    Args:
        target: a state of shapes.
        genres: those of the vocabulary beside it.
        encoder: the sha256 of the encoders beside it.

    Raises:
        InputError: the file is cut or changed, of a newer program, or of another vocabulary, encoder or model.
    """
    metadata, arrays = _read(file)
    _check_metadata(file, metadata, genres, encoder)
    wanted = leaves(target)
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - arrays.keys())]
    problems += [f"{name} is not known" for name in sorted(arrays.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & arrays.keys()):
        of_file, of_model = (f"{x.dtype}{list(x.shape)}" for x in (arrays[name], wanted[name]))
        if of_file != of_model:
            problems.append(f"{name} is {of_file}, not {of_model}")
    if problems:
        more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise InputError(f"{file} does not fit the config.json beside it: {problems[0]}{more}.")
    if metadata.get("sha256") != _digest(arrays):
        raise InputError(f"{file} was changed or damaged (sha256 differs); export or download it again.")

    def place(value: np.ndarray, target: Any) -> jax.Array:
        return jax.make_array_from_callback(value.shape, target.sharding, value.__getitem__)

    parts = {
        part: jax.tree_util.tree_map_with_path(lambda path, leaf: place(arrays[dotted(path)], leaf), tree)
        for part, tree in ((part, getattr(target, part)) for part in PARTS)
    }
    step = place(np.asarray(_number(metadata.get("step")), np.int32), target.step)
    return dataclasses.replace(target, step=step, **parts)


def _read(file: Path) -> tuple[Mapping[str, str], dict[str, np.ndarray]]:
    try:
        with safe_open(os.fspath(file), framework="numpy") as stored:
            return stored.metadata() or {}, {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"{file} cannot be read ({reason}); export or download it again.") from None


def _check_metadata(file: Path, metadata: Mapping[str, str], genres: Sequence[str], encoder: str) -> None:
    if metadata.get("format") != "mgc-jax":
        raise InputError(f"{file} holds no model of mgc-jax; make one with mgc-jax export.")
    version = metadata.get("format_version")
    if version != str(FORMAT):
        by = f"mgc-jax {metadata.get('mgc_jax_version', 'of another version')}"
        raise InputError(
            f"{file} is of format {version!s:.20}, written by {by:.60}, and this program reads format {FORMAT}: "
            "install a matching mgc-jax, or export again."
        )
    try:
        known = json.loads(metadata.get("genres", ""))
    except (ValueError, RecursionError):
        known = None
    if known != list(genres):
        raise InputError(f"{file} is for another genre vocabulary than the genres.json beside it.")
    if metadata.get("encoder_sha256") != encoder:
        raise InputError(
            f"{file} was trained with another encoder (sha256 {metadata.get('encoder_sha256', '')!s:.12}) than "
            f"the one that is here ({encoder:.12})."
        )


def _number(text: str | None) -> int:
    """The step; 0 for what is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """The sha256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
