"""Training steps under a trace: which ones, and what is left of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.profiler import ProfileData

from data_pipeline.errors import InputError
from mgc_jax.runtime import device_trace
from mgc_jax.training import kernel_table

WARM_UP = 2
"""Steps of a start that a profile given as a count leaves out."""


class Steps(NamedTuple):
    """Training steps ``first`` to ``last``, both included; without ``first`` the ``last`` ones after the warm-up."""

    first: int | None
    last: int

    def of_run(self, start: int, total: int) -> range:
        """Them, of a run that goes on after step ``start`` and ends with ``total``.

        Raises:
            InputError: it has no such steps.
        """
        first = start + WARM_UP + 1 if self.first is None else self.first
        last = start + WARM_UP + self.last if self.first is None else self.last
        if start < first <= last <= total:
            return range(first, last + 1)
        has = f"does steps {start + 1} to {total}" if start < total else f"has done all of its {total} steps"
        raise InputError(f"There is nothing to profile in steps {first} to {last}: this run {has}.")


class Recording:
    """A trace of training steps in ``folder``, from ``begin`` to ``end``, neither of which the devices overlap."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._start = 0.0

    def begin(self, state: Any) -> None:
        """``state`` is the training state before the first step."""
        jax.block_until_ready(state)
        device_trace.start(self._folder)
        self._start = time.perf_counter()

    def end(self, state: Any, steps: int, programs: Sequence[str]) -> dict[str, Any]:
        """See :func:`kernel_table.summary`; ``state`` is the training state after the last of ``steps``."""
        jax.block_until_ready(state)
        seconds = time.perf_counter() - self._start
        device_trace.stop()
        trace = ProfileData.from_file(str(device_trace.newest(self._folder)))
        return kernel_table.summary(device_trace.kernels(trace), programs, steps, seconds)

    def abandon(self) -> None:
        """End a trace that nobody will look at."""
        device_trace.stop()


class ProfiledSteps:
    """A context in which a training loop runs, that traces ``steps`` of it into ``folder`` and prints their table.

    ``programs`` gives the texts of the compiled steps, when all have run.
    """

    def __init__(self, folder: Path, steps: range, programs: Callable[[], Sequence[str]]):
        self._folder, self._steps, self._programs = folder, steps, programs
        self._recording: Recording | None = None

    def __enter__(self) -> ProfiledSteps:
        if self._steps:
            device_trace.make_folder(self._folder)
        return self

    def before(self, step: int, state: Any) -> None:
        """To be called before each step with the state that it takes."""
        if self._steps and step == self._steps[0]:
            self._recording = Recording(self._folder)
            self._recording.begin(state)

    def after(self, step: int, state: Any) -> None:
        """To be called after each step with the state that it gave."""
        if self._steps and step == self._steps[-1]:
            self.end(step, state)

    def end(self, step: int, state: Any) -> None:
        """To be called after the last step, whichever that is, with the state that it gave."""
        if self._recording is not None:
            recording, self._recording = self._recording, None
            result = recording.end(state, step + 1 - self._steps[0], self._programs())
            where = f"the trace of steps {self._steps[0]} to {step} is in {self._folder}"
            print(f"\n{where}\n\n{kernel_table.markdown(result)}\n", flush=True)
        elif self._steps and step < self._steps[0]:
            print(f"training ended with step {step}: there is no trace of steps from {self._steps[0]} on")

    def __exit__(self, *_: object) -> None:
        if self._recording is not None:
            self._recording.abandon()
