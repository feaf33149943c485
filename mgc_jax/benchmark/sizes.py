"""The sizes that a benchmark comes in."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """A recipe by name, None for the defaults, the number of genres, and the batch of each device."""

    recipe: str | None
    num_genres: int
    device_batch: int


SIZES = {
    "demo": Size("demo", num_genres=26, device_batch=16),
    "paper": Size(None, num_genres=87, device_batch=16),
    "pod": Size(None, num_genres=87, device_batch=64),
}
"""``paper`` is the paper's model at Music4All's shapes, ``pod`` the same with 64 tracks a device."""
