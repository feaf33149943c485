"""What Orbax says beside what it raises, kept from the user, and nothing else."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

from data_pipeline.shared_context import SharedContext


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _told_once() -> Iterator[None]:
    """What cannot be written is told in one sentence, by whoever waits for it: not by Orbax's threads, its tasks and
    the writes that come to nothing afterwards as well."""
    _no_word_of_tasks()
    in_threads, system = threading, sys  # whose names are gone here when the process ends inside the block
    of_threads, unraisable = in_threads.excepthook, system.unraisablehook

    def thread_failed(args: threading.ExceptHookArgs) -> None:
        if not type(args.thread).__module__.startswith("orbax."):
            of_threads(args)

    def callback_failed(args: sys.UnraisableHookArgs) -> None:
        if str(args.exc_value) != "Event loop is closed":
            unraisable(args)

    in_threads.excepthook, system.unraisablehook = thread_failed, callback_failed
    try:
        yield
    finally:
        # Whoever has put a hook of their own over these in the meantime keeps it.
        if in_threads.excepthook is thread_failed:
            in_threads.excepthook = of_threads
        if system.unraisablehook is callback_failed:
            system.unraisablehook = unraisable


def _no_word_of_tasks() -> None:
    """Orbax's tasks that failed or never began say so when they are collected, which may be when the process ends: this
    holds for good, and for them alone."""
    logging.getLogger("asyncio").addFilter(_is_not_of_orbax)  # once, however often
    warnings.filterwarnings("ignore", "coroutine 'async_serialize", RuntimeWarning)


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
    failed = record.exc_info[2] if record.exc_info else None
    return failed is None or not failed.tb_frame.f_globals.get("__name__", "").startswith("orbax.")


while_reading = SharedContext(_without_log)
"""Without its log."""
while_writing = SharedContext(_told_once)
"""Without what it says of a failure once more."""
