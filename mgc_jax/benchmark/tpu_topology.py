"""TPUs that are not there, for their real compiler."""

from __future__ import annotations

import math
import os
import re

import jax
from jax.experimental import topologies

from data_pipeline import extras
from data_pipeline.errors import InputError

QUIET = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""The compiler asks nobody for a chip, does not complain that there is none (any type will do), and holds none."""

PODS = {"v5e": (16, 16), "v5p": (16, 20, 28), "v6e": (16, 16)}
"""The largest slice of each generation, in chips along each axis."""

NAMES = "v5e:2x2, v5p:2x2x1 or v6e:16x16, up to " + ", ".join(
    f"{generation}:{'x'.join(map(str, most))}" for generation, most in PODS.items()
)


def knows(name: str) -> bool:
    """Whether ``name``, such as ``v5e:2x2``, is a slice that fits into a pod."""
    pod, axes = PODS.get(name.partition(":")[0], ()), _axes(name)
    return 0 < len(axes) == len(pod) and all(1 <= n <= most for n, most in zip(axes, pod, strict=True))


def devices(name: str) -> list[jax.Device]:
    """The chips of a slice that this module :func:`knows`.

    Raises:
        InputError: no TPU compiler is installed, or it refuses the slice.
    """
    extras.check("compile", "tpu")
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    try:
        host = {"chips_per_host_bounds": (1, 1, 1)} if math.prod(_axes(name)) == 1 else {}
        return list(topologies.get_topology_desc(name, platform="tpu", **host).devices)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise InputError(f"The TPU's compiler refuses {name}: {str(error).splitlines()[0]}") from None


def _axes(name: str) -> list[int]:
    """The chips along each axis, or nothing where ``name`` does not say them."""
    shape = name.partition(":")[2]
    return [int(size) for size in shape.split("x")] if re.fullmatch(r"[0-9]{1,2}(x[0-9]{1,2})*", shape) else []
