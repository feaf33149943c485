"""How XLA runs in tests, here and in the processes that they start."""

from __future__ import annotations

# What is compiled here runs for a moment only: the compiler's time is what tests take.
QUICK_XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": QUICK_XLA,
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
"""Of a process with one device."""

QUICK = {"xla_backend_optimization_level": 0}
"""For ``jax.jit(compiler_options=...)``."""


def with_devices(count: int) -> dict[str, str]:
    """What differs in the environment of a process with so many virtual devices.

    Several of them get no compilation cache: with it and jax 0.12 their programs deadlocked.
    """
    return {"JAX_NUM_CPU_DEVICES": str(count), "JAX_ENABLE_COMPILATION_CACHE": str(count == 1).lower()}
