"""The arithmetic and the memory traffic of a compiled program, as XLA counts them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jaxlib
from jax.stages import Compiled

from mgc_jax.benchmark import program_text


class Cost(NamedTuple):
    """FLOPs of a device, None where they are not known, and bytes that it reads and writes in its memory."""

    flops: float | None
    bytes: float


def of(compiled: Compiled, platform: str) -> Cost:
    """The cost of a program for devices of this ``platform``.

    Of a GPU's convolutions, attention and Pallas kernels XLA knows no more than that they are called: to its count of
    bytes their operands and results are added, once each, and its count of FLOPs is left out.
    """
    counted: Any = compiled.cost_analysis()
    if counted is None:
        counted = _of_a_program_without_devices(compiled)
    if platform != "gpu":
        return Cost(counted["flops"], counted["bytes accessed"])
    return Cost(None, counted["bytes accessed"] + program_text.called(compiled.as_text() or ""))


def _of_a_program_without_devices(compiled: Compiled) -> Any:
    # What cost_analysis() calls for a GPU that is there; for one that is not jax gives None and has no public way.
    (module,) = compiled.runtime_executable().hlo_modules()  # type: ignore[union-attr]
    return jaxlib._jax.hlo_module_cost_analysis(jax.devices("cpu")[0].client, module)
