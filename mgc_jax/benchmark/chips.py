"""What chips can do by their makers' data sheets, to say how much of it is used."""

from __future__ import annotations

from typing import NamedTuple

import jax


class Chip(NamedTuple):
    """Dense bfloat16 FLOP/s, and bytes/s of the device's memory."""

    flops: float
    bandwidth: float


CHIPS = {
    "NVIDIA H200": Chip(989e12, 4.8e12),
    "NVIDIA H100 80GB HBM3": Chip(989e12, 3.35e12),
    "NVIDIA A100-SXM4-80GB": Chip(312e12, 2.039e12),
    "NVIDIA A100-SXM4-40GB": Chip(312e12, 1.555e12),
    "NVIDIA L4": Chip(121e12, 0.3e12),
    "TPU v5 lite": Chip(197e12, 0.819e12),
    "TPU v5": Chip(459e12, 2.765e12),
    "TPU v6 lite": Chip(918e12, 1.64e12),
}
"""By ``jax.Device.device_kind``; ``TPU v5 lite`` is the v5e, ``TPU v5`` the v5p, ``TPU v6 lite`` the v6e."""


def of(device: jax.Device) -> Chip | None:
    """The chip, or None where it is not in the table (any CPU)."""
    return CHIPS.get(device.device_kind)
