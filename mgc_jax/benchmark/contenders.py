"""Who takes part: something that does training steps on a workload, as many at a time as it is told."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any, Protocol

import jax
import numpy as np

from mgc_jax import memory, resident, sharding, state, steps
from mgc_jax.benchmark.workload import Workload
from mgc_jax.feed import prefetch
from mgc_jax.train import make_optimiser, step_recipe


class Contender(Protocol):
    """Ready to run: everything that happens once is done, and ``start_seconds`` says how long it took."""

    name: str
    start_seconds: float

    def run(self, count: int) -> None:
        """Do ``count`` training steps, and return when the last one is done."""

    def facts(self) -> dict[str, float]:
        """What is known of a step besides its time."""


class FusedStep:
    """Our compiled step, fed from the host's memory (``stream``) or the devices' (``device``)."""

    def __init__(self, workload: Workload, placement: str, mesh: jax.sharding.Mesh):
        self.name = f"mgc-jax, {placement}"
        config = workload.config
        optimiser = make_optimiser(config, steps_per_epoch=1000)
        self._network, self._state = state.untrained(config, workload.num_genres, workload.encoder, optimiser, mesh)
        batches = self._batches(workload, placement, mesh)
        first = next(batches)
        start = time.monotonic()
        step = steps.make_train_step(self._network, optimiser, step_recipe(config))
        self._step = memory.compile_step(step, self._state, self._network.frozen, first, mesh.shape["data"])
        self.start_seconds = time.monotonic() - start
        self._batches_left = batches

    @staticmethod
    def _batches(workload: Workload, placement: str, mesh: jax.sharding.Mesh) -> Iterator[Any]:
        if placement == "device":
            split = sharding.place_batch(workload.examples, mesh)
            rows = ({"rows": workload.rows(step)} for step in itertools.count())
            for batch in prefetch(rows, mesh, workload.config.compute.prefetch):
                yield resident.Resident(split, batch["rows"])
        gathered = ({k: v[workload.rows(step)] for k, v in workload.examples.items()} for step in itertools.count())
        yield from prefetch(gathered, mesh, workload.config.compute.prefetch)

    def run(self, count: int) -> None:
        metrics: Any = {}
        for _ in range(count):
            self._state, metrics = self._step(self._state, self._network.frozen, next(self._batches_left))
        if not np.isfinite(jax.device_get(metrics["loss"])):
            raise FloatingPointError("the loss is not finite")

    def facts(self) -> dict[str, float]:
        """The compiler's count of FLOPs and bytes of a step, and the memory it needs on each device."""
        cost: Any = self._step.cost_analysis()
        return {
            "compiler_flops": cost["flops"],
            "compiler_bytes": cost["bytes accessed"],
            "device_bytes": memory.needed(self._step),
        }


def mesh_for(workload: Workload) -> jax.sharding.Mesh:
    """All devices; raises InputError where they cannot share the batch."""
    mesh = sharding.make_mesh(workload.config.compute.model_parallel)
    sharding.check_batch_size(workload.config.train.batch_size, mesh, "train.batch_size")
    return mesh


def ours(workload: Workload) -> list[Contender]:
    """The step with streamed and with resident examples."""
    mesh = mesh_for(workload)
    return [FusedStep(workload, placement, mesh) for placement in ("stream", "device")]
