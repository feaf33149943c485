"""A sentence for a process that JAX's coordination service aborts because another one is missing or dead.

The service ends a process with a C++ abort, which Python cannot catch. A small child process therefore stands between
this process and its standard error: it passes everything on but for the stack trace, and says at the end what happened.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

FATAL = "JAX distributed service detected fatal errors"


@contextlib.contextmanager
def spoken(coordinator: str) -> Iterator[None]:
    """Standard error through the child, from here to the end of the block."""
    sys.stderr.flush()
    kept = os.dup(2)
    command = [sys.executable, "-m", __name__, coordinator]
    # In a session of its own no signal to the group reaches it: it ends when what it listens to has ended.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdin is not None
        os.dup2(child.stdin.fileno(), 2)
        child.stdin.close()
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def _listen(coordinator: str) -> None:
    fatal: list[str] = []
    with open(0, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if fatal or FATAL in line:
                fatal.append(line)
            else:
                print(line, end="", file=sys.stderr, flush=True)
    if fatal:
        print(f"mgc-jax: {explain(''.join(fatal), coordinator)}", file=sys.stderr)


def explain(error: str, coordinator: str) -> str:
    """What a person should know of the coordination service's fatal ``error``."""
    again = "run the same command again on all hosts to go on from the last checkpoint."
    if missing := tasks(error, "timed out task names"):
        return f"{named(missing)} did not come to the coordinator ({coordinator}) in time; see whether it was started."
    if dead := tasks(error, "tasks are unhealthy"):
        return f"{named(dead)} died or lost the connection, so this one ended too; {again}"
    if "ALREADY_EXISTS" in error:
        return "Another process of this run has the same --process number; give each its own, from 0 on."
    if "RegisterTask" in error:
        return f"Process 0, the coordinator ({coordinator}), could not be reached in time; see whether it was started."
    return f"Process 0, the coordinator ({coordinator}), died or lost the connection, so this one ended too; {again}"


def tasks(error: str, heading: str) -> list[str]:
    """The process numbers that stand in lines of their own under the line with ``heading``."""
    _, _, rest = error.partition(heading)
    return list(itertools.takewhile(str.isdecimal, rest.split("\n")[1:]))


def named(processes: Sequence[str]) -> str:
    """``Process 3`` or ``Processes 1 and 3``."""
    *most, last = processes
    return f"Processes {', '.join(most)} and {last}" if most else f"Process {last}"


if __name__ == "__main__":
    _listen(sys.argv[1])
