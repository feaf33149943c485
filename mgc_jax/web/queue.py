"""Songs wait here for the model, which takes those that wait together."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from enum import Enum

import numpy as np

from data_pipeline.errors import InputError
from mgc_jax.api import Model, Tagger
from mgc_jax.explain.explanation import Explanation
from mgc_jax.inference import listening
from mgc_jax.inference.listening import Listening, Sound
from mgc_jax.inference.prediction import Prediction
from mgc_jax.inference.predictor import Embedding
from mgc_jax.inference.song import Failure, Song, failure
from mgc_jax.web.metrics import Metrics

FEWEST_DECODERS, MOST_DECODERS = 2, 8
"""Threads: a long song is to keep no other one waiting."""
Result = Prediction | Embedding | Explanation | Failure


class Work(Enum):
    """What is asked of the model."""

    PREDICT = "predict"
    EMBED = "embed"
    EXPLAIN = "explain"


class UnavailableError(Exception):
    """Why no song is taken or answered now, in one sentence; ``retry_after`` is in s, where it is worth to wait."""

    def __init__(self, sentence: str, retry_after: int | None = None):
        super().__init__(sentence)
        self.retry_after = retry_after


class FullError(UnavailableError):
    """As many songs wait as may."""


@dataclasses.dataclass(eq=False)
class Job:
    """A song, what is asked about it, and the ``answer`` when it is there; who cancels that does not want it any
    more. Where its ``sound`` is given, it is not decoded again."""

    work: Work
    song: Song
    genres: Sequence[str] | None = None
    """Those to explain; None for the predicted ones."""
    answer: Future[Result] = dataclasses.field(default_factory=Future)
    sound: Sound | None = None


class SongQueue:
    """Where songs are handed in, from any thread.

    They are decoded by a few threads as they come. One thread asks the model: it takes the songs that wait for the same
    work, in their order, as long as there are any, so that their windows share batches. A song whose answer nobody
    wants any more is dropped before it is begun.

    Args:
        most: songs that may wait; those that the model has taken do not count.
        timeout: how long a song may take from here to its answer, in s.
    """

    def __init__(self, model: Model | Tagger, *, most: int = 16, timeout: float = 120.0):
        self.model, self.timeout, self.metrics = model, timeout, Metrics()
        self._most = most
        self._changed = threading.Condition()  # guards what follows
        self._state = "warming up"
        self._waiting: set[Job] = set()
        self._ready: deque[Job] = deque()
        self._working = False
        self._pace = 1.0  # s a song
        self._undecoded: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self.metrics.watch(lambda: self.waiting)

    def open(self) -> None:
        """Compile, so that the first song need not wait for it, and take songs from then on."""
        self.model.warm_up()
        rate = self.model.spec.sample_rate
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, 2 * rate).astype(np.float32)
        words = "a word and another one" if self.model.reads_lyrics else None
        self.model.explain(noise, words, rate=rate)
        for _ in range(min(max(os.cpu_count() or 1, FEWEST_DECODERS), MOST_DECODERS)):
            threading.Thread(target=self._decode, daemon=True).start()
        self._worker.start()
        with self._changed:
            self._state = "ready"

    @property
    def state(self) -> str:
        """``warming up``, ``ready`` or ``stopping``."""
        return self._state

    @property
    def waiting(self) -> int:
        """How many songs wait."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a song is worked on."""
        return self._working

    def check(self) -> None:
        """Whether a song would be taken now; raises as :meth:`submit` does."""
        if self._state != "ready":
            raise UnavailableError(f"The server is {self._state}.")
        if self.waiting >= self._most:
            seconds = max(1, math.ceil(self._pace * self.waiting))
            raise FullError(f"{self.waiting} songs are waiting, and no more may: try again in {seconds} s.", seconds)

    def submit(self, job: Job) -> Future[Result]:
        """Take a song, and give its answer when it is there: a Failure where the song cannot be used.

        Raises:
            UnavailableError: songs are not taken yet or not any more; in the answer: the song's turn did not come
                before the queue was closed, or there is not enough memory.
            FullError: as many wait as may.
        """
        with self._changed:
            self.check()
            self._waiting.add(job)
        job.answer.add_done_callback(lambda _: self._leave(job))
        if job.sound is None:
            self._undecoded.put(job)
        else:
            self._is_ready(job)
        return job.answer

    def ask(self, job: Job) -> Result:
        """Wait for the answer; raises as :meth:`submit` does, and UnavailableError where it takes too long."""
        answer = self.submit(job)
        try:
            return answer.result(self.timeout)
        except TimeoutError:
            raise self.too_late() from None
        finally:
            answer.cancel()

    def too_late(self) -> UnavailableError:
        """What is said when an answer has taken too long."""
        return UnavailableError(f"There was no answer within {self.timeout:g} s: try again later.", 1)

    def close(self) -> None:
        """Refuse every song whose turn has not come, and wait for those that are worked on."""
        with self._changed:
            self._state = "stopping"
            for job in list(self._waiting):
                with contextlib.suppress(InvalidStateError):
                    job.answer.set_exception(UnavailableError("The server was stopped before this song's turn came."))
            self._changed.notify_all()
        if self._worker.is_alive():
            self._worker.join()

    def _leave(self, job: Job) -> None:
        """It does not wait any more: nobody wants it, or it is answered."""
        with self._changed:
            dropped = job in self._waiting
            self._waiting.discard(job)
        if dropped:
            self.metrics.song(job.work.value, "dropped")

    def _begin(self, job: Job) -> bool:
        """Whether anybody still wants it; nobody can cancel it from now on."""
        if job.answer.done() or not job.answer.set_running_or_notify_cancel():
            return False
        self._waiting.discard(job)
        return True

    def _decode(self) -> None:
        while True:
            job = self._undecoded.get()
            if job.answer.done():
                continue
            try:
                job.sound = self._heard(job)
            except Exception as error:
                if not isinstance(error, InputError):
                    error = InputError(f"{job.song.name}: cannot be decoded: {type(error).__name__}: {error}.")
                with self._changed:
                    wanted = self._begin(job)
                if wanted:
                    self._answer(job, failure(job.song, error))
            else:
                self._is_ready(job)

    def _heard(self, job: Job) -> Sound:
        """What the model is given of a song: an explanation goes through it more than once."""
        if job.work is Work.EXPLAIN:
            return self.model.front_end.listening(job.song)
        if isinstance(sound := listening.heard(job.song, self.model.front_end), InputError):
            raise sound
        return sound

    def _is_ready(self, job: Job) -> None:
        with self._changed:
            self._ready.append(job)
            self._changed.notify_all()

    def _next(self, work: Work | None = None) -> Job | None:
        """Begin the song whose turn it is: the next one to come where ``work`` is None, else one that is there and
        needs this work; None where there is none, and when the queue is closed."""
        with self._changed:
            while self._state != "stopping":
                while self._ready and work in (None, self._ready[0].work):
                    job = self._ready.popleft()
                    if self._begin(job):
                        return job
                if work is not None:
                    break
                self._changed.wait()
            return None

    def _work(self) -> None:
        while job := self._next():
            self._working = True
            begun, start, taken = deque([job]), time.monotonic(), 0
            try:
                for result in self._results(job, begun):
                    taken += 1
                    self._answer(begun.popleft(), result)
            except Exception as error:
                taken += len(begun)
                self._excuse(begun, error)
            self.metrics.turn(job.work.value, taken)
            self._pace = (self._pace + (time.monotonic() - start) / taken) / 2
            self._working = False

    def _results(self, first: Job, begun: deque[Job]) -> Iterator[Result]:
        """Of a song and of those that come after it for the same work, which are added to ``begun``."""

        def heard() -> Iterator[tuple[Song, Sound | InputError]]:
            job: Job | None = first
            while job:
                if job is not first:
                    begun.append(job)
                assert job.sound is not None
                yield job.song, job.sound
                job = self._next(first.work)

        if first.work is Work.PREDICT:
            yield from self.model.predict_heard(heard())
            return
        if first.work is Work.EMBED:
            assert isinstance(self.model, Model)
            yield from self.model.embed_heard(heard())
            return
        assert isinstance(first.sound, Listening)
        try:
            yield self.model.explain_listening(first.song, first.sound, first.genres)
        except InputError as error:
            yield failure(first.song, error)

    def _answer(self, job: Job, result: Result) -> None:
        if isinstance(result, Failure):
            self.metrics.song(job.work.value, "failed")
        else:
            assert job.sound is not None
            self.metrics.song(job.work.value, "answered", job.sound.seconds)
        job.answer.set_result(result)

    def _excuse(self, jobs: deque[Job], error: Exception) -> None:
        """Something else than a song went wrong, which whoever runs the server is told."""
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            error = UnavailableError("There is not enough memory for this song now.")
        else:
            traceback.print_exception(error, file=sys.stderr)
        for job in jobs:
            self.metrics.song(job.work.value, "failed")
            job.answer.set_exception(error)
