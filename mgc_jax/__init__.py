"""Multi-label music genre classification from audio and lyrics, in JAX/Flax.

``import mgc_jax`` touches neither TensorFlow nor a device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from mgc_jax.inference import Model

__version__ = "0.1.0"
__all__ = ["load"]


def load(place: str | Path, *, dtype: str | None = None) -> Model:
    """Load a trained run for prediction and evaluation; see :func:`mgc_jax.inference.load`."""
    from mgc_jax import inference

    return inference.load(place, dtype=dtype)


def __getattr__(name: str) -> Any:
    if name == "Model":
        from mgc_jax.inference import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
