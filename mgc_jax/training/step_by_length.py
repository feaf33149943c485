"""The training step for batches whose lyrics are of several lengths: a program for each length.

Axis letters: B batch, L lyric tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax.stages import Compiled

from data_pipeline.schema import LYRICS
from mgc_jax.training.resident import Resident


class StepByLength:
    """The jitted ``step``, compiled already for lyrics of ``length`` tokens; for others when they first come."""

    def __init__(self, step: Any, length: int, program: Compiled):
        self._step, self._programs = step, {length: program}

    def __call__(self, state: Any, frozen: Any, batch: Any) -> Any:
        return self.compile(state, frozen, batch)(state, frozen, batch)

    def compile(self, state: Any, frozen: Any, batch: Any) -> Compiled:
        """The program for lyrics as long as those of ``batch``, or of its shapes."""
        tokens = length(batch)
        if tokens not in self._programs:
            print(f"compiling the training step for lyrics of {tokens} tokens", flush=True)
            self._programs[tokens] = self._step.lower(state, frozen, batch).compile()
        return self._programs[tokens]


def length(batch: Any) -> int:
    """L of a batch."""
    return batch.length if isinstance(batch, Resident) else batch["tokens"].shape[1]


def with_length(batch: Any, tokens: int) -> Any:
    """The shapes of a batch whose lyrics have another length."""
    if isinstance(batch, Resident):
        return dataclasses.replace(batch, length=tokens)
    resized = {
        name: jax.ShapeDtypeStruct((x.shape[0], tokens, *x.shape[2:]), x.dtype, sharding=x.sharding)
        for name, x in batch.items()
        if name in LYRICS
    }
    return {**batch, **resized}
