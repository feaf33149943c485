"""Runs the training command again and again in one workdir, and interrupts it at given moments.

A program for ``test_faults.py``: every run is a fork of this process, which has imported everything, for that is most
of a start. Nothing but the moment of the signal is arranged; the signal is real, and the run ends by it.

    python -m tests.support.interrupted MOMENTS COMMAND...

MOMENTS is JSON, [{"place": ..., "count": ..., "delay": ..., "signal": ...}, ...]: the signal is sent ``delay`` seconds
after the ``count``-th time that the place is reached. Prints a line of JSON for each run: its exit code, or minus the
signal that ended it, and what it said. The last run is left alone.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from data_pipeline import host_tensorflow  # noqa: F401
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.runs import checkpoint
from mgc_jax.training import feed, loop, step_by_length  # noqa: F401

PLACES: dict[str, tuple[Any, str]] = {
    "data": (feed.Timed, "__next__"),
    "step": (step_by_length.StepByLength, "__call__"),
    "evaluation": (PreparedData, "evaluation_batches"),
    "checkpoint": (checkpoint._Manager, "save"),
}


def arm(place: str, count: int, delay: float, signal: int) -> None:
    """Send this process the signal when the place is reached."""
    owner, name = PLACES[place]
    original: Callable[..., Any] = getattr(owner, name)
    left = [count]

    def reached(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            if delay:
                threading.Timer(delay, os.kill, (os.getpid(), signal)).start()
            else:
                os.kill(os.getpid(), signal)
        return original(*args, **kwargs)

    setattr(owner, name, reached)


def run(moment: dict[str, Any] | None, command: list[str]) -> tuple[int, str]:
    """One run in a process of its own."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            if moment:
                arm(**moment)
            code = main(command)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read().decode()


if __name__ == "__main__":
    for moment in [*json.loads(sys.argv[1]), None]:
        code, said = run(moment, sys.argv[2:])
        print(json.dumps({"code": code, "said": said}), flush=True)
