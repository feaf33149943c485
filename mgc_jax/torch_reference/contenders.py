"""The twin as a contender of the benchmark: as fast as PyTorch can, fed in two ways, and as a user writes it."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from data_pipeline.schema import LYRICS
from mgc_jax.benchmark.race import Rival
from mgc_jax.benchmark.workload import Workload
from mgc_jax.network import build
from mgc_jax.torch_reference import files
from mgc_jax.torch_reference.build import trainer, untrained
from mgc_jax.torch_reference.model import GenreClassifier
from mgc_jax.torch_reference.training import Trainer


class SameWork:
    """The same arithmetic as ours with PyTorch's best means: torch.compile, channels last, fused AdamW, and on a GPU
    bfloat16 autocast; batches come from pinned memory."""

    name = "PyTorch, same work"

    def __init__(self, workload: Workload):
        start = time.monotonic()
        self._device = _device()
        low = torch.bfloat16 if build.compute_dtype(workload.config).name == "bfloat16" else None
        model = _model(workload, "sdpa").to(self._device)
        if not model.hears_features:
            model.audio_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.compile()
        self._trainer = trainer(workload.config, model, steps_per_epoch=1000, fused=True, autocast=low)
        self._batches = self._feed(workload)
        self.run(1)
        self.start_seconds = time.monotonic() - start

    def _feed(self, workload: Workload) -> Iterator[dict[str, Tensor]]:
        gpu = self._device.type == "cuda"
        for step in itertools.count():
            batch = {name: torch.from_numpy(x) for name, x in workload.batch(step).items()}
            yield {n: (x.pin_memory() if gpu else x).to(self._device, non_blocking=True) for n, x in batch.items()}

    def run(self, count: int) -> None:
        """See :class:`mgc_jax.benchmark.contenders.Contender`."""
        _run(self._trainer, self._batches, count)

    def facts(self) -> dict[str, float]:
        """Of a GPU the most that PyTorch held in this process; it counts nothing else."""
        return {"device_bytes": torch.cuda.max_memory_allocated()} if self._device.type == "cuda" else {}


class SameWorkOnTheDevice(SameWork):
    """The same with all examples in the device's memory, where batches are gathered, as ours with the split there."""

    name = "PyTorch, same work, split on the device"

    def _feed(self, workload: Workload) -> Iterator[dict[str, Tensor]]:
        split = {name: torch.from_numpy(x).to(self._device) for name, x in workload.examples.items()}
        for step in itertools.count():
            rows = torch.tensor(workload.order.indices(step), dtype=torch.long, device=self._device)
            length = workload.length(step)
            yield {name: x[rows, :length] if name in LYRICS else x[rows] for name, x in split.items()}


class AsAUser:
    """The same model as most people write it: eager, float32, a DataLoader over files of one array each, and losses
    fetched after every step."""

    name = "PyTorch, as a user would"

    def __init__(self, workload: Workload):
        start = time.monotonic()
        self._folder = tempfile.TemporaryDirectory(prefix="mgc_jax_benchmark_")
        self._device = _device()
        model = _model(workload, "eager").to(self._device)
        self._trainer = trainer(workload.config, model, steps_per_epoch=1000)
        examples = files.ExampleFiles(workload.examples, Path(self._folder.name))
        batch_size = workload.config.train.batch_size
        workers = files.workers_that_fit(workload.examples, batch_size)
        batches = files.batches(examples, batch_size, workers)
        if not workers:
            self.name += ", without workers"
        self._batches = ({name: x.to(self._device) for name, x in batch.items()} for batch in batches)
        self.run(1)
        self.start_seconds = time.monotonic() - start

    def run(self, count: int) -> None:
        """See :class:`mgc_jax.benchmark.contenders.Contender`."""
        for _ in range(count):
            self._trainer.step(next(self._batches))

    def facts(self) -> dict[str, float]:
        """Of a GPU the most that PyTorch held in this process; it counts nothing else."""
        return {"device_bytes": torch.cuda.max_memory_allocated()} if self._device.type == "cuda" else {}


def every(workload: Workload) -> list[Rival]:
    """All of them, to be made in their turn."""
    return [
        Rival(SameWork.name, lambda: SameWork(workload)),
        Rival(SameWorkOnTheDevice.name, lambda: SameWorkOnTheDevice(workload)),
        Rival(AsAUser.name, lambda: AsAUser(workload)),
    ]


def _model(workload: Workload, attention: str) -> GenreClassifier:
    return untrained(workload.config, workload.num_genres, workload.encoder, workload.audio_shape, attention=attention)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _run(steps: Trainer, batches: Iterator[dict[str, Tensor]], count: int) -> None:
    losses: dict[str, Tensor] = {}
    for _ in range(count):
        losses = steps.update(next(batches))
    if not losses["loss"].isfinite().item():  # waits for the device
        raise FloatingPointError("the loss is not finite")
