"""Compiled programs kept from one start to the next."""

from __future__ import annotations

import contextlib

import jax

from data_pipeline.errors import InputError
from data_pipeline.storage import user_cache


def keep() -> None:
    """Keep what is compiled for an accelerator in the user's cache folder, so that the next start has it at hand.

    Not on a CPU, where compiling takes seconds and a home folder may be shared with CPUs of other features; JAX's own
    ``JAX_COMPILATION_CACHE_DIR`` names a folder for any device, or another one.
    """
    kept: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if kept is None and jax.default_backend() != "cpu":
        with contextlib.suppress(InputError):  # where nothing can be kept, each start compiles
            jax.config.update("jax_compilation_cache_dir", str(user_cache.folder() / "compiled"))


def tell_names_apart() -> None:
    """Take no program from the cache whose instructions bear other names, to which a profile would give no part."""
    jax.config.update("jax_compilation_cache_include_metadata_in_key", True)
