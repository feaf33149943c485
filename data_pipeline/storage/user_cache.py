"""Where things are kept on this machine that can be had again."""

from __future__ import annotations

import os
from pathlib import Path

from data_pipeline.errors import InputError


def folder() -> Path:
    """The user's cache folder of this program, ``~/.cache/mgc-jax`` unless ``XDG_CACHE_HOME`` says otherwise; made
    where it is not there yet.

    Raises:
        InputError: it cannot be written.
    """
    try:
        place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mgc-jax"
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK):
            return place
        reason = f"{place} cannot be written"
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
    except RuntimeError:  # a number instead of a user, as containers have it
        reason = "this user has no home folder"
    raise InputError(f"There is no cache folder ({reason}); set XDG_CACHE_HOME to a folder that can be written.")
