"""Progress with rate and ETA: a bar on a terminal and in a notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import ClassVar

from tqdm import tqdm

from data_pipeline.schema import MANY

PLAIN_SECONDS = 10.0


def _redraws() -> bool:
    """Whether standard error can show a line over the one before: a terminal, or a notebook's kernel."""
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")


def stage(name: str) -> None:
    """Name the stage about to begin, so that a hang is located."""
    print(f"[mgc-jax] {name}", flush=True)


def show(line: str) -> None:
    """Print a line of a command's result on standard output without breaking any bar."""
    tqdm.write(line, file=sys.stdout)


class Progress:
    """Counts ``unit`` up to ``total`` on standard error.

    The rate leaves out what an earlier run had done (``initial``). Where another process of the run counts the same,
    ``shown`` is False.
    """

    shown: ClassVar[bool] = True

    def __init__(self, label: str, total: int, unit: str, initial: int = 0):
        self._bar = (
            tqdm(total=total, initial=initial, desc=label, unit=f" {unit}", dynamic_ncols=True, mininterval=0.3)
            if self.shown and _redraws()
            else None
        )
        self._label, self._total, self._unit = label, total, unit
        self._done = self._initial = initial
        self._note = ""
        self._start = self._printed = time.monotonic()

    def announce(self) -> None:
        """Say what is about to be counted, where that is much and no bar shows it."""
        if self.shown and self._bar is None and self._done < self._total >= MANY:
            print(f"{self._label}: {self._total} {self._unit}", file=sys.stderr, flush=True)

    def update(self, count: int, note: str | None = None) -> None:
        """Advance by ``count``; ``note`` stands at the end of the line until there is another one."""
        self._done += count
        self._note = self._note if note is None else note
        if not self.shown:
            return
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(count)
        elif (now := time.monotonic()) - self._printed >= PLAIN_SECONDS or (count and self._done >= self._total):
            self._printed = now
            elapsed = max(now - self._start, 1e-9)
            rate = (self._done - self._initial) / elapsed
            left = tqdm.format_interval(max(self._total - self._done, 0) / rate) if rate else "?"
            speed = f", {rate:.1f}/s, {left} left" if rate else ""
            tail = f", {self._note}" if self._note else ""
            line = f"{self._label}: {self._done}/{self._total} {self._unit}{speed}{tail}"
            print(line, file=sys.stderr, flush=True)

    @classmethod
    def say(cls, line: str) -> None:
        """Print a line without breaking any bar."""
        if cls.shown:
            tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the terminal to the next printer."""
        if self._bar is not None:
            self._bar.close()


class Counter:
    """Turns calls (label, done, total) into one :class:`Progress` a label and total; use it as a context manager.

    What is counted is ``unit``, but for the labels that are in ``other``.
    """

    def __init__(self, unit: str, **other: str):
        self._unit, self._other = unit, other
        self._label, self._total = "", 0
        self._progress: Progress | None = None
        self._done = 0

    def __enter__(self) -> Counter:
        return self

    def __call__(self, label: str, done: int, total: int) -> None:
        if (label, total) != (self._label, self._total) or self._progress is None:
            self.close()
            # What the first call reports at once was done by an earlier run.
            unit = self._other.get(label, self._unit)
            self._progress = Progress(label, total, unit, initial=done)
            self._progress.announce()
            self._label, self._total, self._done = label, total, done
        self._progress.update(done - self._done)
        self._done = done

    def close(self) -> None:
        """End the current bar."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    def __exit__(self, *_: object) -> None:
        self.close()
