"""Worker processes that end with the process that started them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

from data_pipeline.errors import InputError


@contextlib.contextmanager
def pool(workers: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Fresh processes with one numerical thread each, that end when this process ends."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
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
