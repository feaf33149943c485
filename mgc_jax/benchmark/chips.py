"""What chips can do by their makers' data sheets, to say how much of it is used."""

from __future__ import annotations

from typing import NamedTuple

import jax


class Chip(NamedTuple):
    """Dense bfloat16 FLOP/s, bytes/s of the device's memory, its bytes, and bytes/s that it sends to other chips."""

    flops: float
    bandwidth: float
    memory: float
    links: float
    """One way, over all links together: of NVLink half of what its data sheet names, which has both ways in sum."""


CHIPS = {
    "NVIDIA H200": Chip(989e12, 4.8e12, 141e9, 450e9),
    "NVIDIA H100 80GB HBM3": Chip(989e12, 3.35e12, 80e9, 450e9),
    "NVIDIA A100-SXM4-80GB": Chip(312e12, 2.039e12, 80e9, 300e9),
    "NVIDIA A100-SXM4-40GB": Chip(312e12, 1.555e12, 40e9, 300e9),
    "NVIDIA L4": Chip(121e12, 0.3e12, 24e9, 32e9),
    "TPU v5 lite": Chip(197e12, 0.819e12, 16e9, 200e9),
    "TPU v5": Chip(459e12, 2.765e12, 95e9, 600e9),
    "TPU v6 lite": Chip(918e12, 1.64e12, 32e9, 400e9),
}
"""By ``jax.Device.device_kind``; ``TPU v5 lite`` is the v5e, ``TPU v5`` the v5p, ``TPU v6 lite`` the v6e."""


def of(device: jax.Device) -> Chip | None:
    """The chip, or None where it is not in the table (any CPU)."""
    return CHIPS.get(device.device_kind)
