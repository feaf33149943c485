"""How XLA runs in tests, here and in the processes that they start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

# What is compiled here runs for a moment only: the compiler's time is what tests take.
QUICK_XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if tuple(map(int, version("jaxlib").split(".")[:2])) < (
    0,
    12,
):  # which no longer knows it, and ends at a flag that it does not know
    QUICK_XLA += " --xla_cpu_use_fusion_emitters=false"  # the new ones take twice the time

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": QUICK_XLA,
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
"""Of a process with one device."""


def with_devices(count: int) -> dict[str, str]:
    """What differs in the environment of a process with so many virtual devices.

    Several of them get no compilation cache: with it and jax 0.12 their programs deadlocked.
    """
    return {"JAX_NUM_CPU_DEVICES": str(count), "JAX_ENABLE_COMPILATION_CACHE": str(count == 1).lower()}


@contextmanager
def compiled_anew() -> Iterator[None]:
    """No compilation cache in this process for a while."""
    import jax  # reads the environment when it is imported
    from jax.experimental.compilation_cache import compilation_cache

    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # which else remembers that it is used
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
        compilation_cache.reset_cache()
