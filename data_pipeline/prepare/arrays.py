"""Numbered array files in one folder, read where they are wanted."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np


class Arrays:
    """The arrays ``000000.npy``, ``000001.npy``, .. of a folder, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self._load = functools.lru_cache(maxsize=256)(lambda number: np.load(file(folder, number), mmap_mode="r"))

    def __getitem__(self, number: int) -> np.ndarray:
        return self._load(number)


def file(folder: Path, number: int) -> Path:
    """Where the array lies."""
    return folder / f"{number:06d}.npy"
