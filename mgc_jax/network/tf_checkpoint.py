"""Reads TensorFlow's checkpoints (V2, uncompressed) with numpy alone.

A checkpoint is an index, a sorted string table of LevelDB's form whose values are ``BundleEntryProto``, and a file of
raw tensors at the places that the entries tell. Source: tensorflow/core/util/tensor_bundle and tensorflow/core/lib/io.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.errors import InputError

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER = 48  # bytes: two block handles, padding, magic
_FLOAT32 = 1
_TYPE, _SHAPE, _OFFSET, _SIZE = 1, 2, 4, 5  # fields of BundleEntryProto; of its shape, 2 are the axes
_AXIS, _LENGTH = 2, 1


def read(index: Path, data: Path) -> dict[str, np.ndarray]:
    """The float32 tensors of a checkpoint in one piece, by name.

    Raises:
        InputError: a file cannot be opened, or is no such checkpoint or not whole.
    """
    try:
        table, tensors = index.read_bytes(), data.read_bytes()
    except OSError as error:
        raise InputError(f"{error.filename} cannot be opened: {error.strerror}.") from None
    try:
        return {name: _tensor(entry, tensors) for name, entry in _entries(table)}
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise InputError(f"{index} and {data.name} are no whole TensorFlow checkpoint ({error}).") from None


def _entries(table: bytes) -> Iterator[tuple[str, bytes]]:
    """What the index says of each tensor."""
    footer = table[-_FOOTER:]
    if len(footer) < _FOOTER or not footer.endswith(_MAGIC):
        raise ValueError("its end is missing")
    at = 0
    for _ in range(2):  # the handle of the block of metadata blocks, which are none
        _, at = _varint(footer, at)
    for _, handle in _block(table, *_handle(footer[at:])):
        for key, value in _block(table, *_handle(handle)):
            if key:  # the entry without a name is the header
                yield key.decode(), value


def _handle(handle: bytes) -> tuple[int, int]:
    """Where a block begins and how long it is."""
    offset, at = _varint(handle, 0)
    return offset, _varint(handle, at)[0]


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values; of each key what it shares with the one before is left out."""
    if table[offset + size] != 0:
        raise ValueError("it is compressed")
    block = table[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    at, end, key = 0, len(block) - 4 * (restarts + 1), b""
    while at < end:
        shared, at = _varint(block, at)
        rest, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + rest]
        at += rest
        yield key, block[at : at + length]
        at += length


def _tensor(entry: bytes, tensors: bytes) -> np.ndarray:
    fields: dict[int, Any] = dict(_fields(entry))
    if fields[_TYPE] != _FLOAT32:
        raise ValueError("a tensor is not float32")
    axes = [dict(_fields(axis)) for number, axis in _fields(fields.get(_SHAPE, b"")) if number == _AXIS]
    shape = [axis.get(_LENGTH, 0) for axis in axes]
    return np.frombuffer(tensors, "<f4", fields[_SIZE] // 4, fields.get(_OFFSET, 0)).reshape(shape)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protocol buffer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, at = _varint(message, at)
        elif kind in (2, 5):
            length, at = _varint(message, at) if kind == 2 else (4, at)
            value, at = message[at : at + length], at + length
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        yield tag >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and where it ends."""
    value, shift = 0, 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
