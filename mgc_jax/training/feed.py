"""A run's batches on their way to the devices: streamed, or the indices of their tracks in a split that is there."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from data_pipeline.reading import order
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.config import Config
from mgc_jax.runtime import sharding
from mgc_jax.training.batches import ResidentBatch, StreamedBatch


def hosts() -> dict[str, Any]:
    """Which host this is, and of how many."""
    return {"host": jax.process_index(), "num_hosts": jax.process_count()}


def streamed(
    config: Config, data: PreparedData, mesh: jax.sharding.Mesh, start: int, total: int
) -> Iterator[StreamedBatch]:
    """The batches after step ``start`` up to ``total``.

    The reader lives as long as this does: to end it takes seconds at times, which no batch should wait for.
    """
    count = total - start
    batches = data.train_batches(start_step=start, num_steps=count, **batches_of(config), **hosts())
    for arrays in prefetch(itertools.islice(batches, count), mesh, config.compute.prefetch):
        yield StreamedBatch(arrays)


def resident(
    config: Config,
    data: PreparedData,
    split: Mapping[str, Any],
    mesh: jax.sharding.Mesh,
    start: int,
    total: int,
) -> Iterator[ResidentBatch]:
    """The same batches by reference to the training split, which is in the devices' memory."""
    steps = data.training_order(**batches_of(config))
    own_rows = order.host_slice(config.train.batch_size, **hosts())
    rows = ({"rows": steps.indices(step)[own_rows]} for step in range(start, total))
    placed = prefetch(rows, mesh, config.compute.prefetch)
    lengths = (min(steps.length(step) or data.max_tokens, data.max_tokens) for step in range(start, total))
    return (ResidentBatch(split, batch["rows"], length) for batch, length in zip(placed, lengths, strict=True))


def batches_of(config: Config) -> dict[str, Any]:
    """What of the settings decides which tracks make up which batch."""
    t = config.train
    return {"batch_size": t.batch_size, "seed": t.seed, "bucket": t.lyrics_bucket}


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
