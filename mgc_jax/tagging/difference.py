"""What a file was, told by what it is: ranges of bytes that are still there, and the bytes that are not.

Tags are rewritten at the beginning or the end of a file, and its sound moves as a whole: nearly all of the old file
lies in the new one, a few bytes further on.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import mmap
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

Recipe = list[list[int] | str]
"""``[start, length]`` is a range of the new file; a text is bytes, deflated, in base64."""

_CHUNK = 8192
_PROBE = 64
_SHORTEST = 24  # bytes of a range that is worth its place
_MANY = 1 << 20
_LOOKS = 256  # for bytes that are nowhere: each reads the whole file


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, block: bytes, /) -> object:
        """Take some bytes."""


class RecipeError(ValueError):
    """A recipe that does not go with the file."""


def difference(old: Path, new: Path) -> Recipe:
    """How ``old`` is made of ``new`` by :func:`restore`."""
    with old.open("rb") as old_file, new.open("rb") as new_file:
        before, after = _mapped(old_file), _mapped(new_file)
        return _encoded(_ranges(before, after), before)


def restore(recipe: Recipe, new: Path, out: Sink) -> None:
    """Write to ``out`` what was, made of ``new`` by the recipe; raises RecipeError where it cannot be."""
    with new.open("rb") as file:
        for part in recipe:
            if isinstance(part, str):
                try:
                    out.write(zlib.decompress(base64.b64decode(part, validate=True)))
                except (binascii.Error, zlib.error, ValueError):
                    raise RecipeError("broken bytes") from None
                continue
            start, left = part
            file.seek(start)
            while left > 0:
                block = file.read(min(left, _MANY))
                if not block:
                    raise RecipeError("the file is too short")
                out.write(block)
                left -= len(block)


def _mapped(file: BinaryIO) -> mmap.mmap | bytes:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:  # an empty file
        return b""


def _ranges(old: mmap.mmap | bytes, new: mmap.mmap | bytes) -> Iterator[tuple[int, int, int | None]]:
    """Consecutive ranges (start, end, shift) of ``old``; those with a shift lie so many bytes further on in ``new``."""
    shifts, looks = [0, len(new) - len(old)], _LOOKS
    for start in range(0, len(old), _CHUNK):
        chunk = old[start : start + _CHUNK]
        for shift in shifts:
            if new[max(start + shift, 0) : max(start + shift, 0) + len(chunk)] == chunk and start + shift >= 0:
                break
        else:
            for position in range(0, len(chunk) - _PROBE + 1, max(len(chunk) // 4, 1)):
                probe = chunk[position : position + _PROBE]
                found = new.find(probe) if looks and len(set(probe)) > 4 else -1
                if found < 0:
                    looks = max(looks - 1, 0)
                elif found - start - position not in shifts:
                    shifts.append(found - start - position)
            yield from _within(chunk, start, new, shifts)
            continue
        shifts.remove(shift)
        shifts.insert(0, shift)  # the next chunk most likely moved with this one
        yield start, start + len(chunk), shift


def _within(
    chunk: bytes, start: int, new: mmap.mmap | bytes, shifts: Sequence[int]
) -> Iterator[tuple[int, int, int | None]]:
    """The ranges of one chunk, by the shift under which each byte is in the longest equal run."""
    values = np.frombuffer(chunk, np.uint8)
    longest = np.zeros(len(values), np.int64)
    best = np.zeros(len(values), np.int64)
    for number, shift in enumerate(shifts):
        runs = _runs(values, start + shift, new)
        better = runs > longest
        longest[better], best[better] = runs[better], number
    best[longest < _SHORTEST] = -1
    edges = [0, *(np.flatnonzero(np.diff(best)) + 1).tolist(), len(values)]
    for first, last in itertools.pairwise(edges):
        yield start + first, start + last, None if best[first] < 0 else shifts[best[first]]


def _runs(values: np.ndarray, place: int, new: mmap.mmap | bytes) -> np.ndarray:
    """For each byte how long the run of bytes is that are equal to ``new`` from ``place`` on; 0 where it is not."""
    begin = max(-place, 0)
    there = np.frombuffer(new[max(place, 0) : max(place + len(values), 0)], np.uint8)
    equal = np.zeros(len(values), bool)
    equal[begin : begin + len(there)] = values[begin : begin + len(there)] == there
    edges = np.flatnonzero(np.diff(equal, prepend=~equal[:1], append=~equal[-1:]))
    lengths = np.repeat(np.diff(edges), np.diff(edges))
    return np.where(equal, lengths, 0)


def _encoded(ranges: Iterator[tuple[int, int, int | None]], old: mmap.mmap | bytes) -> Recipe:
    merged: list[list] = []
    for start, end, shift in ranges:
        if merged and merged[-1][2] == shift:
            merged[-1][1] = end
        else:
            merged.append([start, end, shift])
    return [
        base64.b64encode(zlib.compress(old[start:end], 9)).decode() if shift is None else [start + shift, end - start]
        for start, end, shift in merged
    ]
