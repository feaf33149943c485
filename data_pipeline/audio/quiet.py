"""Keeps what a decoder's C code prints off standard error: its errors reach us as exceptions."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
from collections.abc import Iterator

from data_pipeline.shared_context import SharedContext


@contextlib.contextmanager
def _without_c_stream() -> Iterator[None]:
    """C's ``stderr`` goes nowhere; file descriptor 2, to which Python writes, stays what it is."""
    stream, null = _streams()
    before = stream.value
    stream.value = null
    try:
        yield
    finally:
        stream.value = before


@functools.cache
def _streams() -> tuple[ctypes.c_void_p, int]:
    """The variable ``stderr`` of the C library, and an open stream to nowhere, which no thread ever closes."""
    library = ctypes.CDLL(None)
    library.fopen.restype = ctypes.c_void_p
    return ctypes.c_void_p.in_dll(library, "stderr"), library.fopen(os.devnull.encode(), b"w")


@contextlib.contextmanager
def _without_descriptor() -> Iterator[None]:
    """Nobody's words reach file descriptor 2: for C libraries whose ``stderr`` cannot be set."""
    try:
        saved = os.dup(2)
    except OSError:  # no standard error: nothing to keep clean
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


# Either is the whole process's: threads that decode at once share it.
quiet = SharedContext(_without_c_stream if platform.libc_ver()[0] == "glibc" else _without_descriptor)
