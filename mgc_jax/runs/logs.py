"""Where a run's scalars go: one interface, ``metrics.jsonl`` and TensorBoard; the trackers are in ``trackers/``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from data_pipeline.storage.files import written_whole
from data_pipeline.storage.json_file import json_text
from mgc_jax.runtime.signals import Stopped

NAME = "metrics.jsonl"
"""A run's scalars in its folder."""
_MOST_STEPS, _LARGEST = 2**53, 1e300


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a training ended.

    Args:
        status: ``stopped``: by a signal, and to be taken up again; ``failed``: by an error.
        best_score: of validation (macro-mAP), at ``best_step``; step 0 where nothing was evaluated.
    """

    status: Literal["finished", "stopped", "failed"]
    best_score: float
    best_step: int


class Log(Protocol):
    """One destination of a run's scalars."""

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Take the scalars of a step; the part of a name before its first slash is its group."""

    def close(self, ending: Ending) -> None:
        """Take the end of the training; nothing is written afterwards."""


class JsonLines:
    """Appends one JSON object a line, with ``step``, to ``metrics.jsonl``.

    Args:
        resume_step: lines of later steps, left by a run that was killed, are dropped and written again.
    """

    def __init__(self, workdir: Path, resume_step: int):
        path = workdir / NAME
        lines = _read_lines(path)
        kept = [line for line in lines if _step(line) <= resume_step]
        if [*kept, ""] != lines:  # the last line is ended
            with written_whole(path) as file:
                file.write("".join(f"{line}\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8")
        self.kept: list[tuple[int, dict[str, float]]] = [(int(_step(line)), _scalars(line)) for line in kept]
        """The step and the scalars of each line that was there before."""

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write one line; a number that is not finite is ``null`` there."""
        self._file.write(json_text({"step": step, **scalars}) + "\n")
        self._file.flush()

    def close(self, ending: Ending) -> None:
        """Close the file."""
        self._file.close()


class TensorBoard:
    """Events for TensorBoard; it hides those after ``resume_step`` that a killed run left."""

    def __init__(self, workdir: Path, resume_step: int):
        with _not_found("torch"):  # which it looks for, and which takes seconds and 200 MB
            from tensorboardX import SummaryWriter

        self._events = SummaryWriter(logdir=str(workdir), purge_step=resume_step + 1)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write an event for each scalar."""
        for name, value in scalars.items():
            self._events.add_scalar(name, value, step)

    def close(self, ending: Ending) -> None:
        """Write what is left."""
        self._events.close()


@contextlib.contextmanager
def _not_found(package: str) -> Iterator[None]:
    """Imports in the block go on as if the package were not installed, unless it was imported before."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # what import reads as "there is none"
    try:
        yield
    finally:
        del sys.modules[package]


class Together:
    """Several destinations as one, or none: another process of the run writes."""

    def __init__(self, logs: Sequence[Log]):
        self._logs = logs

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write to each, in their order."""
        for log in self._logs:
            log.write(step, scalars)

    def close(self, ending: Ending) -> None:
        """Close each, also where one of them fails."""
        with contextlib.ExitStack() as all_of_them:
            for log in reversed(self._logs):
                all_of_them.callback(log.close, ending)


@contextlib.contextmanager
def closed_at_the_end(log: Log, progress: Mapping[str, Any]) -> Iterator[None]:
    """Close the log after the block, saying how it ended and what the best score is then (``checkpoint.RECORD``)."""
    status: Literal["finished", "stopped", "failed"] = "failed"
    try:
        yield
        status = "finished"
    except (Stopped, KeyboardInterrupt):
        status = "stopped"
        raise
    finally:
        log.close(Ending(status, progress["best_score"], progress["best_step"]))


def read(workdir: Path) -> tuple[list[dict[str, float]], int]:
    """The lines of a run's ``metrics.jsonl``, each with ``step`` and its other numbers; and how many cannot be read.

    The file may be missing; a last line that a killed run has cut is not counted. Raises OSError.
    """
    rows, broken = [], 0
    *whole, last = _read_lines(workdir / NAME) or [""]
    for line in (*whole, last):
        if not 0 <= _step(line) < _MOST_STEPS:
            broken += bool(line.strip()) and line is not last
            continue
        numbers = ((key, value) for key, value in json.loads(line).items() if type(value) in (int, float))
        rows.append({key: float(value) for key, value in numbers if abs(value) < _LARGEST})
    return sorted(rows, key=lambda row: row["step"]), broken


def _read_lines(path: Path) -> list[str]:
    """The lines of a file that may not exist and whose last line may be cut."""
    return path.read_text("utf-8", errors="replace").split("\n") if path.exists() else []


def _step(line: str) -> float:
    """The step of a whole line, infinity for anything else: it is dropped."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return math.inf
    return step if type(step) is int else math.inf


def _scalars(line: str) -> dict[str, float]:
    """The numbers of a whole line, but for its step."""
    values = json.loads(line).items()
    return {name: value for name, value in values if type(value) in (int, float) and name != "step"}
