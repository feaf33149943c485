"""TensorFlow as this project uses it: quiet, on the host alone. The accelerators belong to JAX."""

from __future__ import annotations

import contextlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # it computes nothing here, and would announce itself

with contextlib.suppress(ImportError):  # PyTorch's GPU build brings it, and crashes where TensorFlow's LLVM came first
    import triton  # noqa: F401

import tensorflow as tf

for _kind in ("GPU", "TPU"):
    tf.config.set_visible_devices([], _kind)

__all__ = ["tf"]
