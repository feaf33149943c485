"""Small jobs done by worker processes that end with the process that started them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from data_pipeline.errors import InputError

T = TypeVar("T")
_AHEAD = 3  # items that wait or are worked on, for each process


class Executor(Protocol):
    """Does a job with every item, wherever its workers are.

    Items come back as soon as they are done; an item on which its worker process ended does not. What a job leaves are
    files, and ``is_done`` tells whether they are there.
    """

    def __call__(
        self, job: Callable[[T], object], items: Sequence[T], is_done: Callable[[T], bool], /
    ) -> Iterator[T]: ...


@dataclasses.dataclass(frozen=True)
class Processes:
    """This machine's worker processes: so many, or one for each core; one does without.

    They run ahead of whoever takes the items by a few of them, and no more: what they leave may be large.
    """

    number: int = 0

    def __call__(self, job: Callable[[T], object], items: Sequence[T], is_done: Callable[[T], bool], /) -> Iterator[T]:
        processes = min(self.number or os.cpu_count() or 1, len(items))
        if processes <= 1:
            for item in items:
                job(item)
                yield item
            return
        crashed = False
        with pool(processes) as executor:
            waiting, running = deque(items), dict[concurrent.futures.Future[object], T]()
            try:
                while waiting or running:
                    try:
                        while waiting and len(running) < _AHEAD * processes:
                            running[executor.submit(job, waiting[0])] = waiting[0]
                            waiting.popleft()
                    except BrokenProcessPool:
                        crashed, waiting = True, deque()
                    done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        item = running.pop(future)
                        try:
                            future.result()
                        except BrokenProcessPool:
                            crashed = True
                        else:
                            yield item
            finally:
                executor.shutdown(wait=True, cancel_futures=True)
        if crashed:
            check()


@contextlib.contextmanager
def pool(workers: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Fresh processes with one numerical thread each, that end when this process ends."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as executor:
            yield executor
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def check() -> None:
    """Raises InputError when it is not the music that ends the worker processes."""
    try:
        with pool(1) as executor:
            executor.submit(int).result()
    except BrokenProcessPool as error:
        raise InputError(
            "Worker processes cannot be started; guard your script with if __name__ == '__main__' or use workers=1."
        ) from error


def _end_with_parent() -> None:
    """Ends this worker when the process that started it was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
