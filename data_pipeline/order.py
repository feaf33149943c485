"""Which examples make up which batch: a pure function of (seed, step), the same on every host."""

from __future__ import annotations

import functools

import numpy as np

from data_pipeline.errors import InputError


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Full batches in one epoch; the remainder is left out, another one in every epoch."""
    if batch_size < 1:
        raise InputError(f"The batch size must be at least 1, not {batch_size}.")
    if batch_size > num_examples:
        raise InputError(
            f"The batch size {batch_size} is larger than the split's {num_examples} tracks; use a smaller batch."
        )
    return num_examples // batch_size


@functools.lru_cache(maxsize=4)
def _permutation(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation (N,) int32 keyed by (seed, epoch) alone."""
    key = np.array([seed % 2**64, epoch], np.uint64)
    permutation = np.random.Generator(np.random.Philox(key=key)).permutation(num_examples).astype(np.int32)
    permutation.flags.writeable = False
    return permutation


def batch_indices(num_examples: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """The examples (B,) int32 of the global batch of training step ``step`` (from 0)."""
    if step < 0:
        raise InputError(f"The step must not be negative, but is {step}.")
    epoch, place = divmod(step, steps_per_epoch(num_examples, batch_size))
    return _permutation(num_examples, seed, epoch)[place * batch_size : (place + 1) * batch_size]


def host_slice(batch_size: int, host: int, num_hosts: int) -> slice:
    """The rows of the global batch that belong to one host."""
    if not 0 <= host < num_hosts:
        raise InputError(f"The host must lie between 0 and {num_hosts - 1}, but is {host}.")
    if batch_size % num_hosts:
        raise InputError(f"The batch size {batch_size} cannot be divided among {num_hosts} hosts; use a multiple.")
    share = batch_size // num_hosts
    return slice(host * share, (host + 1) * share)


def evaluation_indices(num_examples: int, batch_size: int) -> list[np.ndarray]:
    """All examples in order as batches (B,) int32, the last one padded with -1."""
    if batch_size < 1:
        raise InputError(f"The batch size must be at least 1, not {batch_size}.")
    count = -(-num_examples // batch_size)
    indices = np.full(count * batch_size, -1, np.int32)
    indices[:num_examples] = np.arange(num_examples)
    return list(indices.reshape(count, batch_size))
