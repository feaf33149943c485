"""Whether a data set has room on the disk, before hours are spent on it."""

from __future__ import annotations

import shutil
from pathlib import Path

from data_pipeline.errors import InputError


def check(out: Path, work: Path, tracks: int, track_bytes: int) -> None:
    """Raise InputError where the sound of so many ``tracks`` does not fit on the disk of ``out``.

    It is there twice before ``work`` is deleted: there, where some of it may lie already, and in the shards. Lyrics and
    what is small are not counted, so that nothing is refused that would fit.
    """
    there = sum(file.stat().st_size for file in work.glob("*.npy"))
    needed, free = 2 * tracks * track_bytes - there, shutil.disk_usage(out).free
    if needed > free:
        raise InputError(
            f"{out} has {_gigabytes(free)} GB left, and {tracks} tracks need {_gigabytes(needed)} GB while they are "
            "prepared: free some, or choose another --out."
        )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f}"
