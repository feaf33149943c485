"""How much of a GPU's memory JAX takes."""

from __future__ import annotations

import os

SETTINGS = (
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
)
"""JAX's own, by any of which a user has decided."""


def leave_room(share: float = 0.55) -> None:
    """Let JAX take no more than ``share`` of each GPU's memory in this process, where something else needs some too.

    To be called before JAX looks for devices, since it takes nearly all of it then. What a user has set stays.
    """
    if not any(os.environ.get(name) for name in SETTINGS):
        os.environ["XLA_CLIENT_MEM_FRACTION"] = str(share)
