"""NVIDIA GPUs that are not there, for XLA's real compiler."""

from __future__ import annotations

import importlib.util
import re
from typing import NamedTuple

import jax
from jax.experimental import topologies

from data_pipeline import extras
from data_pipeline.errors import InputError
from mgc_jax.benchmark import chips


class Gpu(NamedTuple):
    """What XLA's choices depend on beside the data sheet's peaks; sizes are in bytes."""

    kind: str
    """By which :data:`chips.CHIPS` has it."""
    capability: tuple[int, int]
    cores: int
    """Streaming multiprocessors."""
    lanes: int
    """float32 units of a core."""
    threads: int
    """At most on a core."""
    shared_memory: int
    """Of a core; a program may have 1 KiB less."""
    cache: int
    """L2."""
    clock: float
    """Boost, in GHz."""


KIB, MIB = 2**10, 2**20
GPUS = {
    "a100": Gpu("NVIDIA A100-SXM4-80GB", (8, 0), 108, 64, 2048, 164 * KIB, 40 * MIB, 1.41),
    "a100-40gb": Gpu("NVIDIA A100-SXM4-40GB", (8, 0), 108, 64, 2048, 164 * KIB, 40 * MIB, 1.41),
    "h100": Gpu("NVIDIA H100 80GB HBM3", (9, 0), 132, 128, 2048, 228 * KIB, 50 * MIB, 1.98),
    "h200": Gpu("NVIDIA H200", (9, 0), 132, 128, 2048, 228 * KIB, 50 * MIB, 1.98),
    "l4": Gpu("NVIDIA L4", (8, 9), 58, 128, 1536, 100 * KIB, 48 * MIB, 2.04),
}
OPTIONS = {"xla_gpu_enable_triton_gemm": False}
"""Matrix products are cuBLAS's. Without a device no tiling of Triton's is tried, and jax 0.10 finds none for some."""
MOST = 8
"""GPUs that a machine's links join."""

NAMES = f"h100:1 or h100:{MOST}, also {', '.join(GPUS)}, up to {MOST} each"


def knows(name: str) -> bool:
    """Whether ``name``, such as ``h100:8``, is a number of GPUs in one machine."""
    kind, _, count = name.partition(":")
    return kind in GPUS and re.fullmatch(f"[1-{MOST}]", count) is not None


def devices(name: str) -> list[jax.Device]:
    """The GPUs of a topology that this module :func:`knows`.

    Raises:
        InputError: no GPU compiler is installed, or it refuses the topology.
    """
    if importlib.util.find_spec("jax_cuda13_plugin") is None:  # which is as good as the extra's
        extras.check("compile", "cuda")
    kind, _, count = name.partition(":")
    shape = f"1x1x{count}"  # slices x hosts x devices
    try:
        target = target_config(GPUS[kind])
        topology = topologies.get_topology_desc(shape, platform="cuda", topology=shape, target_config=target)
    except RuntimeError as error:
        raise InputError(f"The GPU's compiler refuses {name}: {str(error).splitlines()[0]}") from None
    return list(topology.devices)


def target_config(gpu: Gpu) -> str:
    """The GPU as XLA's ``GpuTargetConfigProto``, in text form.

    Of its fields those without which the compiler breaks or writes another program, by trial, and the limits that
    stand beside them. From compute capability 9 on a GPU has instructions of its own version alone, which XLA uses.
    """
    chip = chips.CHIPS[gpu.kind]
    major, minor = gpu.capability
    return f"""
gpu_device_info {{
  cuda_compute_capability {{
    major: {major}
    minor: {minor}
    feature_extension: {"ACCELERATED_FEATURES" if major >= 9 else "NONE"}
  }}
  core_count: {gpu.cores}
  fpus_per_core: {gpu.lanes}
  clock_rate_ghz: {gpu.clock}
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: {gpu.threads}
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: {48 * KIB}
  shared_memory_per_block_optin: {gpu.shared_memory - KIB}
  shared_memory_per_core: {gpu.shared_memory}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  l2_cache_size: {gpu.cache}
  memory_bandwidth: {chip.bandwidth:.0f}
  device_memory_size: {chip.memory:.0f}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{gpu.kind}"
"""
