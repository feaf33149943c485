"""Where things are kept on this machine that can be had again."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    """The user's cache folder of this program, ``~/.cache/mgc-jax`` unless ``XDG_CACHE_HOME`` says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mgc-jax"
