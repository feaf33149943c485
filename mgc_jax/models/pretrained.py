"""Published weights in Hugging Face's layout, put into a network of ours: settings by name, weights by a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

MelBank = Callable[[int, int, int, float, float], np.ndarray]
"""(M bands, rate in Hz, n_fft, lowest Hz, highest Hz) -> Slaney's triangular filters (M, 1 + n_fft // 2) float32."""

LAYER_NORM = {"scale": "weight", "bias": "bias"}
LINEAR = {"kernel": "weight", "bias": "bias"}
"""Our leaves -> those of PyTorch; convolutions are named alike."""

_LARGEST = 1 << 16
_MOST_LAYERS = 256
_LAYERS = ("num_hidden_layers", "depths")
_NAMED = 6
"""So many of a file's faults are spelt out."""

Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True)
class Published:
    """What a folder in Hugging Face's layout holds of an encoder, read."""

    name: str
    """By which settings call it."""
    config: Mapping[str, Any]
    """``config.json``."""
    preprocessor: Mapping[str, Any]
    """``preprocessor_config.json``."""
    tensors: Mapping[str, np.ndarray]
    """``model.safetensors``."""
    digest: str = ""
    """The sha256 of the weights' file."""
    source: str = ""
    """Where the folder comes from."""
    licence: str = ""
    """What the folder itself says about its weights, if anything."""


def settings(kind: type[Settings], raw: Mapping[str, Any], file: str = "config.json") -> Settings:
    """The dataclass ``kind`` out of those of a JSON object's fields that it knows.

    A field that is missing has its default, which is that of Transformers. Numbers far over what any encoder has are
    refused before they are taken for a building plan.

    Raises:
        ValueError: a field is of another type than its default, or out of range.
    """
    known = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {name: _value(file, name, raw[name], default) for name, default in known.items() if name in raw}
    return kind(**values)


def _value(file: str, name: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple) and isinstance(value, list | tuple) and len(value) <= _MOST_LAYERS:
        return tuple(_value(file, name, entry, default[0]) for entry in value)
    if type(default) is float and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise ValueError(f"{file} has {name} {value!r:.40}, where {type(default).__name__} is expected")
    limit = _MOST_LAYERS if name in _LAYERS else _LARGEST
    if type(value) is int and not 1 <= value <= limit:
        raise ValueError(f"{file} has {name} {value}, which is not between 1 and {limit}")
    if type(value) is float and not np.isfinite(value):
        raise ValueError(f"{file} has {name} {value}, which is no number")
    return value


def expect(raw: Mapping[str, Any], wanted: Mapping[str, Any], file: str = "config.json") -> None:
    """Refuse by a ValueError what the file says otherwise than an encoder here is written for."""
    for name, value in wanted.items():
        if raw.get(name, value) != value:
            raise ValueError(f"{file} has {name} {raw[name]!r:.40}; only {value!r} is supported")


def table(*parts: tuple[str, str, Mapping[str, str]]) -> dict[str, str]:
    """Our names -> the file's, out of (our module, its module, our leaves -> its leaves)."""
    return {f"{ours}.{a}": f"{theirs}.{b}" for ours, theirs, leaves in parts for a, b in leaves.items()}


def fill(
    module: nnx.Module,
    names: Mapping[str, str],
    tensors: Mapping[str, np.ndarray],
    dtype: DTypeLike = jnp.float32,
) -> None:
    """Put the ``tensors`` into ``module``, in place, as ``dtype``; ``names`` are our dotted names -> theirs.

    PyTorch's kernels (out, in, ...) become ours (..., in, out).

    Raises:
        ValueError: it names what is missing, not finite or of another shape.
    """
    problems = []
    for ours, theirs in names.items():
        holder, leaf = _holder(module, ours)
        variable = getattr(holder, leaf)
        value = tensors.get(theirs)
        if value is None:
            problems.append(f"{theirs} is missing")
            continue
        value = np.moveaxis(value, (0, 1), (-1, -2)) if leaf == "kernel" and value.ndim > 1 else value
        if value.shape != variable.shape:
            problems.append(f"{theirs} gives {value.shape}, not {variable.shape}")
        elif not np.isfinite(value).all():
            problems.append(f"{theirs} is not finite")
        else:
            setattr(holder, leaf, type(variable)(jnp.asarray(value, dtype)))
    if problems:
        more = len(problems) - _NAMED
        raise ValueError("; ".join(problems[:_NAMED]) + (f"; and {more} more" if more > 0 else ""))


def _holder(module: Any, name: str) -> tuple[Any, str]:
    """The module that holds a weight, and by which attribute."""
    *path, leaf = name.split(".")
    for key in path:
        module = module[int(key)] if key.isdigit() else getattr(module, key)
    return module, leaf


def as_function(module: nnx.Module) -> tuple[Any, Callable[[Any, jax.Array], jax.Array]]:
    """The weights of ``module``, and the function (weights, input) -> its output."""
    graph, weights = nnx.split(module)
    return weights, lambda weights, x: nnx.merge(graph, weights)(x)
