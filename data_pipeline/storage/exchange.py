"""A folder that takes the place of another one at once: whoever looks finds the old one or the new one, and no gap."""

from __future__ import annotations

import ctypes
import os
import secrets
import sys
from pathlib import Path

_HERE = -100  # AT_FDCWD of Linux
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


def exchange(one: Path, two: Path) -> None:
    """Gives each of two folders on one disk the other one's name.

    Where the system or the disk cannot do that at once, ``one`` is away for a moment.

    Raises:
        OSError: they cannot be renamed.
    """
    if not _at_once(os.fsencode(one), os.fsencode(two)):
        aside = one.with_name(f"{one.name}.{secrets.token_hex(4)}.partial")
        one.rename(aside)
        two.rename(one)
        aside.rename(two)


def _at_once(one: bytes, two: bytes) -> bool:
    """Whether the system took both names in one call."""
    if not sys.platform.startswith(("linux", "darwin")):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            return library.renamex_np(one, two, _EXCHANGE) == 0
        return library.renameat2(_HERE, one, _HERE, two, _EXCHANGE) == 0
    except AttributeError:  # an older C library
        return False
