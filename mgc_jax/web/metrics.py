"""What is counted of requests and songs, in Prometheus' form: the only file that knows its client."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
SONGS = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def made(kind: type, name: str, about: str, labels: tuple[str, ...] = (), **more: object):
            return kind(f"mgc_jax_{name}", about, labels, registry=self._registry, **more)

        self._requests = made(Counter, "requests", "Requests that were answered", ("route", "status"))
        self._seconds = made(
            Histogram, "request_seconds", "From a request to the end of its answer", ("route",), buckets=SECONDS
        )
        self._songs = made(Counter, "songs", "Songs, by what became of them", ("work", "outcome"))
        self._audio = made(Counter, "audio_seconds", "Seconds of sound in songs that were answered")
        self._turns = made(
            Histogram,
            "turn_songs",
            "Songs that the model took at once: their windows share batches on the device",
            ("work",),
            buckets=SONGS,
        )
        self._waiting = made(Gauge, "queue_length", "Songs that wait for their turn")

    def watch(self, waiting: Callable[[], int]) -> None:
        """Ask here how many songs wait."""
        self._waiting.set_function(waiting)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def song(self, work: str, outcome: str, seconds: float = 0.0) -> None:
        """A song of so many seconds came to an end: ``answered``, ``failed`` or ``dropped``."""
        self._songs.labels(work, outcome).inc()
        self._audio.inc(seconds)

    def turn(self, work: str, songs: int) -> None:
        """The model took so many songs at once."""
        self._turns.labels(work).observe(songs)

    def text(self) -> bytes:
        """All of them, as ``CONTENT_TYPE``."""
        return generate_latest(self._registry)
