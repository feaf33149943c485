"""Examples in .npy files and PyTorch's DataLoader over them: what our input pipeline is compared with."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Examples = Mapping[str, np.ndarray]
WAITING = 2
"""Batches that each worker has ready."""
SHARED_MEMORY = Path("/dev/shm")
"""Through which workers hand over their batches, where there is such a place."""


class ExampleFiles(Dataset):
    """N examples as most people keep them, an array of one track a file; as numpy arrays by name."""

    def __init__(self, examples: Examples, folder: Path):
        self._folder, self._names, self._count = folder, tuple(examples), len(examples["index"])
        for name, array in examples.items():
            for index, value in enumerate(array):
                np.save(folder / f"{index}_{name}.npy", value)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: np.load(self._folder / f"{index}_{name}.npy") for name in self._names}


class MappedArrays(Dataset):
    """The same with all tracks in one memory-mapped file for each array."""

    def __init__(self, examples: Examples, folder: Path):
        self._arrays = {}
        for name, array in examples.items():
            np.save(folder / f"{name}.npy", array)
            self._arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self._arrays["index"])

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: np.array(array[index]) for name, array in self._arrays.items()}


def workers_that_fit(examples: Examples, batch_size: int, workers: int = 2) -> int:
    """``workers``, or 0 where shared memory cannot hold the batches that they have ready; a line says so."""
    if not SHARED_MEMORY.exists():
        return workers
    free = shutil.disk_usage(SHARED_MEMORY).free
    needed = (WAITING * workers + 2) * batch_size * sum(array[0].nbytes for array in examples.values())
    if needed <= free:
        return workers
    print(
        f"PyTorch's DataLoader has no workers: their batches need {needed / 1e6:.0f} MB of shared memory, and "
        f"{SHARED_MEMORY} has {free / 1e6:.0f} MB",
        flush=True,
    )
    return 0


def batches(examples: Dataset, batch_size: int, workers: int = 2) -> Iterator[dict[str, Tensor]]:
    """Shuffled batches without end, loaded by ``workers`` processes, or by this one."""
    # JAX or TensorFlow is in this process; their threads do not survive a fork.
    by_processes = {"prefetch_factor": WAITING, "persistent_workers": True, "multiprocessing_context": "spawn"}
    loader = DataLoader(
        examples,
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        **(by_processes if workers else {}),  # type: ignore[arg-type]
    )
    return (batch for _ in itertools.count() for batch in loader)
