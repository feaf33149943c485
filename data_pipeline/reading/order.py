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


class TrainingOrder:
    """The batches of the training steps, from step 0 on.

    With a ``bucket``, lyrics of like length share a batch, so that it can be cut to few tokens: in every epoch the
    examples are shuffled, sorted by their length in buckets, cut into batches, and the batches shuffled. Examples
    without lyrics are spread over the buckets.

    Args:
        lengths: (N,) the examples' numbers of tokens.
        bucket: of how many tokens the lengths are multiples; 0 leaves all batches as they are stored.
    """

    def __init__(
        self, num_examples: int, batch_size: int, seed: int, lengths: np.ndarray | None = None, bucket: int = 0
    ):
        self.num_examples, self.batch_size, self.seed = num_examples, batch_size, seed
        self.steps_per_epoch = steps_per_epoch(num_examples, batch_size)
        self.bucket = bucket
        if bucket:
            assert lengths is not None
            self.buckets = -(-lengths // bucket)
        self._epoch = functools.lru_cache(maxsize=4)(self._arrange)

    def indices(self, step: int) -> np.ndarray:
        """The examples (B,) int32 of the global batch of training step ``step``."""
        if step < 0:
            raise InputError(f"The step must not be negative, but is {step}.")
        epoch, index = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[index]

    def length(self, step: int) -> int | None:
        """The tokens that the longest lyrics of the step's batch need, up to a bucket; None where nothing is cut."""
        return max(1, int(self.buckets[self.indices(step)].max())) * self.bucket if self.bucket else None

    def _arrange(self, epoch: int) -> np.ndarray:
        """The batches (steps, B) int32 of an epoch, keyed by (seed, epoch) alone."""
        rng = np.random.Generator(np.random.Philox(key=np.array([self.seed % 2**64, epoch], np.uint64)))
        examples = rng.permutation(self.num_examples).astype(np.int32)[: self.steps_per_epoch * self.batch_size]
        if self.bucket:
            buckets = self.buckets[examples]
            without = buckets == 0
            if not without.all():
                buckets[without] = rng.choice(buckets[~without], without.sum())
            examples = examples[np.argsort(buckets, kind="stable")]
        batches = examples.reshape(self.steps_per_epoch, self.batch_size)
        if self.bucket:
            batches = rng.permutation(batches)
        batches.flags.writeable = False
        return batches


def host_slice(batch_size: int, host: int, num_hosts: int) -> slice:
    """The rows of the global batch that belong to one host.

    >>> host_slice(16, host=1, num_hosts=4)
    slice(4, 8, None)
    """
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
