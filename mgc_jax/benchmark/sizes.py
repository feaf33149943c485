"""The sizes that a benchmark comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Size(NamedTuple):
    """Settings over the defaults, the number of genres, and the batch of each device."""

    settings: Mapping[str, Any]
    num_genres: int
    device_batch: int


SIZES = {
    "demo": Size(
        {
            "audio": {"seconds": 6.0, "n_mels": 80, "hop_length": 1024},
            "lyrics": {"encoder": "minilm", "max_tokens": 64},
            "model": {"audio_preset": "narrow", "width": 128, "heads": 4},
        },
        num_genres=26,
        device_batch=16,
    ),
    "paper": Size({}, num_genres=87, device_batch=16),
    "pod": Size({}, num_genres=87, device_batch=64),
}
"""``demo`` is configs/demo.py, ``paper`` the paper's recipe at Music4All's shapes, ``pod`` the same with 64 tracks a
device."""
