"""Compiled programs kept from one start to the next."""

from __future__ import annotations

import os
from pathlib import Path

import jax


def keep() -> None:
    """Keep what is compiled for an accelerator in the user's cache folder, so that the next start has it at hand.

    Not on a CPU, where compiling takes seconds and a home folder may be shared with CPUs of other features; JAX's own
    ``JAX_COMPILATION_CACHE_DIR`` names a folder for any device, or another one.
    """
    kept: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if kept is None and jax.default_backend() != "cpu":
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "mgc-jax" / "compiled"))
