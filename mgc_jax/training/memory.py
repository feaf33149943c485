"""Whether a training step fits into a device's memory, asked of the compiler before anything runs."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.stages import Compiled

from data_pipeline.errors import InputError
from mgc_jax.runtime import host_memory
from mgc_jax.training.batches import Batch

GIB = 2**30


def capacity() -> float:
    """Bytes that a device may hold: its allocator's limit, or a CPU device's share of what this process may have.

    Infinite where neither is told.
    """
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return float(stats["bytes_limit"])
    if device.platform == "cpu":
        return host_memory.limit() / jax.local_device_count()
    return math.inf


def needed(step: Compiled) -> float:
    """Bytes on each device while ``step`` runs: arguments, results and what lies between; donated ones count once."""
    memory: Any = step.memory_analysis()
    used = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
    return float(used - memory.alias_size_in_bytes)


def compile_if_it_fits(
    step: Any, *arguments: Any, limit: float | None = None, options: dict[str, Any] | None = None
) -> Compiled | None:
    """``step``, jitted, compiled for ``arguments`` (arrays or their shapes); None where a device cannot hold it.

    ``limit`` is in bytes; without it the :func:`capacity` of the devices here. ``options`` are the compiler's.
    """
    try:
        compiled = step.lower(*arguments).compile(options)
    except jax.errors.JaxRuntimeError as error:  # a TPU's compiler refuses by itself
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None
    return compiled if needed(compiled) <= (capacity() if limit is None else limit) else None


def compile_step(
    step: Any,
    state: Any,
    frozen: Any,
    batch: Batch,
    multiple: int,
    limit: float | None = None,
    options: dict[str, Any] | None = None,
) -> Compiled:
    """The training step compiled for ``batch``; ``limit`` and ``options`` as above.

    Raises:
        InputError: it does not fit; names the largest batch that does, among the multiples of ``multiple``.
    """
    limit = capacity() if limit is None else limit
    if compiled := compile_if_it_fits(step, state, frozen, batch, limit=limit, options=options):
        return compiled
    size = batch.size
    print(f"a batch of {size} does not fit; looking for the largest that does", flush=True)
    fits, too_many = 0, size // multiple
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        smaller = batch.with_size(middle * multiple)
        if compile_if_it_fits(step, state, frozen, smaller, limit=limit, options=options):
            fits = middle
        else:
            too_many = middle
    advice = f"the largest that does is {fits * multiple}" if fits else f"not even one of {multiple} does"
    raise InputError(
        f"A batch of {size} (train.batch_size) does not fit into a device's memory of {limit / GIB:.2f} GiB; {advice}."
    )
