"""Who takes part: something that does training steps on a workload, as many at a time as it is told."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from mgc_jax.benchmark import cost
from mgc_jax.benchmark.workload import Workload
from mgc_jax.network.state import untrained
from mgc_jax.runtime import sharding
from mgc_jax.training import memory, state, steps
from mgc_jax.training.batches import Batch, ResidentBatch, StreamedBatch
from mgc_jax.training.feed import Timed, prefetch
from mgc_jax.training.objective import make_objective, make_optimiser
from mgc_jax.training.profile import Recording
from mgc_jax.training.step_by_length import StepByLength


class Contender(Protocol):
    """Ready to run: everything that happens once is done, and ``start_seconds`` says how long it took."""

    name: str
    start_seconds: float

    def run(self, count: int) -> None:
        """Do ``count`` training steps, and return when the last one is done."""

    def facts(self) -> dict[str, Any]:
        """What is known of a step besides its time."""


class FusedStep:
    """Our compiled step, fed from the host's memory (``stream``) or the devices' (``device``)."""

    def __init__(self, workload: Workload, placement: str, mesh: jax.sharding.Mesh):
        self.name = f"mgc-jax, {placement}"
        config = workload.config
        if config.train.lyrics_bucket:
            self.name += f", lyrics by {config.train.lyrics_bucket}"
        self._workload = workload
        optimiser = make_optimiser(config, steps_per_epoch=1000)
        self._network, model = untrained(config, workload.num_genres, workload.encoder, mesh, workload.audio_shape)
        self._state = state.begin(self._network, model, optimiser)
        batches = self._batches(workload, placement, mesh)
        first = next(batches)
        start = time.monotonic()
        step = steps.make_train_step(self._network, self._state, optimiser, make_objective(config))
        shapes = first.with_length(config.lyrics.max_tokens)
        self._longest = memory.compile_step(step, self._state, self._network.frozen, shapes, mesh.shape["data"])
        self._step = StepByLength(step, config.lyrics.max_tokens, self._longest)
        for length in workload.lengths:
            self._step.compile(self._state, self._network.frozen, first.with_length(length))
        self.start_seconds = time.monotonic() - start
        self._batches_left = Timed(itertools.chain([first], batches))
        self._data_wait = 0.0

    @staticmethod
    def _batches(workload: Workload, placement: str, mesh: jax.sharding.Mesh) -> Iterator[Batch]:
        if placement == "device":
            split = sharding.place_batch(workload.examples, mesh)
            rows = ({"rows": workload.order.indices(step)} for step in itertools.count())
            for step, batch in enumerate(prefetch(rows, mesh, workload.config.compute.prefetch)):
                yield ResidentBatch(split, batch["rows"], workload.length(step))
        for arrays in prefetch(map(workload.batch, itertools.count()), mesh, workload.config.compute.prefetch):
            yield StreamedBatch(arrays)

    def run(self, count: int) -> None:
        """See :class:`Contender`."""
        metrics: Any = {}
        self._batches_left.seconds, start = 0.0, time.monotonic()
        for _ in range(count):
            self._state, metrics = self._step(self._state, self._network.frozen, next(self._batches_left))
        if not np.isfinite(jax.device_get(metrics["loss"])):
            raise FloatingPointError("the loss is not finite")
        self._data_wait = self._batches_left.seconds / (time.monotonic() - start)

    def profile(self, folder: Path, count: int) -> dict[str, Any]:
        """Trace ``count`` steps into ``folder``; what they say, see :func:`mgc_jax.training.kernel_table.summary`."""
        recording = Recording(folder)
        recording.begin(self._state)
        self.run(count)
        return recording.end(self._state, count, self._step.texts())

    def facts(self) -> dict[str, Any]:
        """The compiler's count of FLOPs and bytes of a step (not where steps differ), the memory that the largest needs
        on each device, and the share of the last block's time that the host waited for batches."""
        counted = cost.of(self._longest, jax.default_backend())
        counts = {"compiler_flops": counted.flops, "compiler_bytes": counted.bytes}
        return {
            **({} if self._workload.config.train.lyrics_bucket else counts),
            "model_flops_per_track": self._workload.flops_per_track,
            "device_bytes": memory.needed(self._longest),
            "data_wait": self._data_wait,
        }


def mesh_for(workload: Workload) -> jax.sharding.Mesh:
    """All devices; raises InputError where they cannot share the batch."""
    mesh = sharding.make_mesh(workload.config.compute.model_parallel)
    sharding.check_batch_size(workload.config.train.batch_size, mesh, "train.batch_size")
    return mesh


def ours(workload: Workload) -> list[FusedStep]:
    """The step with streamed and with resident examples; with tokens also with lyrics of like length in a batch."""
    mesh = mesh_for(workload)
    every = [FusedStep(workload, placement, mesh) for placement in ("stream", "device")]
    if workload.config.lyrics.input == "tokens" and not workload.config.train.lyrics_bucket:
        every.append(FusedStep(workload.in_buckets(workload.config.lyrics.max_tokens // 8), "stream", mesh))
    return every
