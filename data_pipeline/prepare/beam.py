"""Jobs done by Apache Beam: by processes of this machine, or by a cluster whose workers see the same disk.

The only file that imports Apache Beam, which need not be installed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.prepare import workers
from data_pipeline.prepare.workers import T

_disabled = logging.root.manager.disable
try:
    logging.disable(max(_disabled, logging.WARNING))  # of packages that only Google's storage needs
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners.runner import PipelineState
finally:
    logging.disable(_disabled)

_LOOK_EVERY_SECONDS = 1.0
_LOCAL = (None, "DirectRunner")
_DEFAULTS = (
    # There are no triggers here. With this, DirectRunner does without Prism, which it would have to download and which
    # knows no number of workers.
    "--allow_unsafe_triggers",
    "--default_sdk_harness_log_level=CRITICAL",
)


class Beam:
    """Workers that the pipeline options name, e.g. ``--runner=DirectRunner --direct_num_workers=4``.

    Raises InputError where Beam does not take the options, and where a job fails.
    """

    def __init__(self, options: str) -> None:
        with _quiet():
            self._options = _parsed(options)

    def __call__(self, job: Callable[[T], object], items: Sequence[T], is_done: Callable[[T], bool], /) -> Iterator[T]:
        if not items:
            return
        with _quiet():
            yield from self._done(job, items, is_done)

    def _done(self, job: Callable[[T], object], items: Sequence[T], is_done: Callable[[T], bool]) -> Iterator[T]:
        pipeline = self._pipeline()
        _ = pipeline | apache_beam.Create(items) | apache_beam.ParDo(_Do(job, is_done))
        failures: list[str] = []
        thread = threading.Thread(target=_finish, args=(pipeline, failures), daemon=True)
        thread.start()
        waiting = list(items)
        while waiting:
            thread.join(_LOOK_EVERY_SECONDS)
            over = not thread.is_alive()  # before the look at the files, so that none is missed
            done = [is_done(item) for item in waiting]
            yield from (item for item, its in zip(waiting, done, strict=True) if its)
            waiting = [item for item, its in zip(waiting, done, strict=True) if not its]
            if over:
                break
        thread.join()
        if failures:
            raise InputError(f"The Beam pipeline failed: {failures[0]}.")

    def _pipeline(self) -> apache_beam.Pipeline:
        try:
            return apache_beam.Pipeline(options=self._options)
        except (ValueError, TypeError, ImportError, AttributeError) as error:
            raise InputError(f"Beam cannot run with --beam: {' '.join(str(error).split()).rstrip('.')}.") from error


class _Do(apache_beam.DoFn):
    """Does the job in a child process: one that a decoder ends does not take Beam's worker with it."""

    def __init__(self, job: Callable[[Any], object], is_done: Callable[[Any], bool]) -> None:
        self._job, self._is_done = job, is_done

    def setup(self) -> None:
        self._open = contextlib.ExitStack()
        self._child: ProcessPoolExecutor = self._open.enter_context(workers.pool(1))

    def teardown(self) -> None:
        self._open.close()

    def process(self, item: Any) -> tuple[()]:
        if not self._is_done(item):  # Beam repeats what it believes lost
            try:
                self._child.submit(self._job, item).result()
            except BrokenProcessPool:
                self.teardown()
                self.setup()
        return ()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Beam's log: a failure is one sentence of ours."""
    logger = logging.getLogger("apache_beam")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _finish(pipeline: apache_beam.Pipeline, failures: list[str]) -> None:
    try:
        state = pipeline.run().wait_until_finish()
        if state != PipelineState.DONE:
            failures.append(f"it ended as {state}")
    except Exception as error:  # every runner has errors of its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        failures.append(lines[-1].rstrip("."))


def _parsed(text: str) -> PipelineOptions:
    """Raises InputError for what Beam would ignore, or end the program for."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"--beam {text!r} cannot be read ({error}).") from error
    for word in words:
        if not word.startswith("--"):
            raise InputError(f"Pipeline options look like --name=value, not {word!r}; check --beam.")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            options = PipelineOptions([*_DEFAULTS, *words])
            known, requested = options.get_all_options(), options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        reason = printed.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise InputError(f"Beam does not take the options of --beam: {reason}.") from error
    # Other runners ask their cluster for more options.
    if options.view_as(StandardOptions).runner in _LOCAL and (unknown := sorted(requested.keys() - known.keys())):
        raise InputError(f"Beam does not know the pipeline option --{unknown[0]}; check --beam.")
    return options
