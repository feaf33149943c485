"""The training step for batches whose lyrics are of several lengths: a program for each length.

Axis letters: B batch, L lyric tokens.
"""

from __future__ import annotations

from typing import Any

from jax.stages import Compiled

from mgc_jax.training.batches import Batch


class StepByLength:
    """The jitted ``step``, compiled already for lyrics of ``length`` tokens; for others when they first come."""

    def __init__(self, step: Any, length: int, program: Compiled):
        self._step, self._programs = step, {length: program}

    def __call__(self, state: Any, frozen: Any, batch: Batch) -> Any:
        return self.compile(state, frozen, batch)(state, frozen, batch)

    def compile(self, state: Any, frozen: Any, batch: Batch) -> Compiled:
        """The program for lyrics as long as those of ``batch``, or of its shapes."""
        tokens = batch.length
        if tokens not in self._programs:
            print(f"compiling the training step for lyrics of {tokens} tokens", flush=True)
            self._programs[tokens] = self._step.lower(state, frozen, batch).compile()
        return self._programs[tokens]

    def texts(self) -> list[str]:
        """The programs so far in XLA's text form."""
        return [program.as_text() or "" for program in self._programs.values()]
