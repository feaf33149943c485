"""Jobs that worker processes do ahead of whoever takes the results, a few of them and no more."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from data_pipeline.prepare import workers

T = TypeVar("T")
R = TypeVar("R")

PER_PROCESS = 3
"""Items that wait, are worked on or are done, for each process."""
GRACE_SECONDS = 3.0
"""What a job may still take when nobody wants its result any more."""


class Ended:
    """In the place of a result: the process that did the job ended, in whatever way."""


def in_order(job: Callable[[T], R], items: Iterable[T], processes: int) -> Iterator[tuple[T, R | Ended]]:
    """Each item and what ``job`` makes of it, in the order of the items.

    Items are taken as results are. What raises in a job raises here.

    Raises:
        InputError: processes cannot be started.
    """
    waiting: deque[T] = deque()
    remaining = iter(items)
    running: deque[tuple[T, Future[R]]] = deque()
    ended = False
    while not ended:
        with _pool(processes) as executor:
            try:
                while True:
                    _fill(executor, job, waiting, remaining, running, PER_PROCESS * processes)
                    if not running:
                        ended = True
                        break
                    result = running[0][1].result()
                    yield running.popleft()[0], result
            except BrokenProcessPool:
                pass
        if not ended:
            workers.check()
            yield from _apart(job, running)


def _fill(
    executor: ProcessPoolExecutor,
    job: Callable[[T], R],
    waiting: deque[T],
    remaining: Iterator[T],
    running: deque[tuple[T, Future[R]]],
    most: int,
) -> None:
    """Give out items until so many are given out; one that a broken pool does not take stays in ``waiting``."""
    while len(running) < most:
        if not waiting:
            try:
                waiting.append(next(remaining))
            except StopIteration:
                return
        with _uninterrupted():
            future = executor.submit(job, waiting[0])
        running.append((waiting.popleft(), future))


def _apart(job: Callable[[T], R], running: deque[tuple[T, Future[R]]]) -> Iterator[tuple[T, R | Ended]]:
    """The results of the items that a pool was given when one of its processes ended: one at a time, so that a process
    that ends names its item."""
    while running:
        with _pool(1) as executor:
            while running:
                item, future = running.popleft()
                if future.done() and not future.cancelled() and future.exception() is None:
                    yield item, future.result()
                    continue
                try:
                    with _uninterrupted():
                        again = executor.submit(job, item)
                    result: R | Ended = again.result()
                except BrokenProcessPool:
                    yield item, Ended()
                    break
                yield item, result


@contextlib.contextmanager
def _pool(number: int) -> Iterator[ProcessPoolExecutor]:
    """A pool that is not waited for when its results are not wanted any more."""
    before = set(multiprocessing.active_children())
    with workers.pool(number) as executor:
        try:
            yield executor
        finally:
            own = set(multiprocessing.active_children()) - before
            executor.shutdown(wait=False, cancel_futures=True)
            deadline = time.monotonic() + GRACE_SECONDS
            for process in own:
                process.join(max(0.0, deadline - time.monotonic()))
            for process in own:
                if process.is_alive():  # in a decoder: a process that hands something over has done so by now
                    process.kill()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that start in here do not hear of Ctrl-C, which a terminal sends to them all."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
