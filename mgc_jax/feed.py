"""A run's batches on their way to the devices: streamed, or the places of their tracks in a split that is there."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import jax

from data_pipeline import order
from data_pipeline.input import PreparedData
from mgc_jax import sharding
from mgc_jax.config import Config


def hosts() -> dict[str, Any]:
    """Which host this is, and of how many."""
    return {"host": jax.process_index(), "num_hosts": jax.process_count()}


def streamed(
    config: Config, data: PreparedData, mesh: jax.sharding.Mesh, start: int, total: int
) -> Iterator[dict[str, jax.Array]]:
    """The batches after step ``start`` up to ``total``."""
    t = config.train
    read = data.train_batches(
        batch_size=t.batch_size, seed=t.seed, start_step=start, num_steps=total - start, **hosts()
    )
    return prefetch(read, mesh, config.compute.prefetch)


def rows(config: Config, data: PreparedData, mesh: jax.sharding.Mesh, start: int, total: int) -> Iterator[jax.Array]:
    """The places (B,) of the same batches in the training split."""
    t, tracks = config.train, data.split_sizes["train"]
    mine = order.host_slice(t.batch_size, **hosts())
    places = ({"rows": order.batch_indices(tracks, t.batch_size, t.seed, step)[mine]} for step in range(start, total))
    return (batch["rows"] for batch in prefetch(places, mesh, config.compute.prefetch))


def prefetch(batches: Iterator[Any], mesh: jax.sharding.Mesh, size: int) -> Iterator[dict[str, jax.Array]]:
    """Place batches on the mesh ``size`` steps ahead of their use."""
    placed = (sharding.place_batch(batch, mesh) for batch in batches)
    queue = deque(itertools.islice(placed, size))
    while queue:
        yield queue.popleft()
        queue.extend(itertools.islice(placed, 1))


def peek(batches: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
    """The first one, and all of them."""
    first = next(batches)
    return first, itertools.chain([first], batches)


class Timed(Iterator[Any]):
    """The same batches; ``seconds`` says how long the host waited for them since it was last set to 0.

    What of it the devices waited too is less: they have work while the host waits.
    """

    def __init__(self, batches: Iterator[Any]):
        self._batches, self.seconds = batches, 0.0

    def __next__(self) -> Any:
        start = time.monotonic()
        try:
            return next(self._batches)
        finally:
            self.seconds += time.monotonic() - start
