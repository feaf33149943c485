"""``metrics.jsonl`` and TensorBoard events of a run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


class MetricLog:
    """Appends one JSON object a line, with ``step``, and the same scalars for TensorBoard.

    Args:
        resume_step: lines of later steps, left by a run that was killed, are dropped and written again.
    """

    def __init__(self, workdir: Path, resume_step: int):
        from tensorboardX import SummaryWriter

        path = workdir / "metrics.jsonl"
        kept = [line for line in _read_lines(path) if _step(line) <= resume_step]
        path.write_text("".join(f"{line}\n" for line in kept), "utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._events = SummaryWriter(logdir=str(workdir), purge_step=resume_step + 1)

    def write(self, step: int, scalars: dict[str, Any]) -> None:
        """Write one line and its events."""
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._file.flush()
        for name, value in scalars.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush both files."""
        self._file.close()
        self._events.close()


class NoLog:
    """Writes nothing: another process of the run does."""

    def write(self, step: int, scalars: dict[str, Any]) -> None:
        """Leave it."""

    def close(self) -> None:
        """Leave it."""


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
