"""A model over a collection, song by song into an output that can be gone on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Protocol, TypeVar

from data_pipeline.storage.files import sha256
from mgc_jax.inference.found_songs import Songs, key
from mgc_jax.inference.results import Output
from mgc_jax.inference.song import Failure, Song
from mgc_jax.runtime.progress import Progress
from mgc_jax.runtime.signals import StopRequest


class Result(Protocol):
    """What a model makes of a song."""

    @property
    def lyrics_problem(self) -> str:
        """Why words that were found cannot be used, so that it was heard without."""
        ...


R = TypeVar("R", bound=Result)
Model = Callable[[Iterable[Song]], Generator["R | Failure", None, None]]
"""What makes a result or a failure of each song, in their order, and takes songs as it needs them."""
_NOT_FOUND = "found-"
"""How the keys of failures begin that are known before any song is heard, every time anew."""


@dataclasses.dataclass
class Summary:
    """How many songs there are, with the rows and folders that cannot be used; how many results were there before, and
    how many songs have failed, in this run or an earlier one; ``unread``: how many new results are of songs whose words
    cannot be used."""

    songs: int
    before: int = 0
    failed: int = 0
    unread: int = 0


def carry_out(model: Model[R], found: Songs, output: Output[R], label: str, *, retry: bool = False) -> Summary:
    """Write what ``model`` makes of the songs that ``output`` has not yet, each as soon as it is there.

    A song that has changed, or whose words have, is done anew, and its old result removed. One that has failed is left
    out unless ``retry``.

    Raises:
        InputError: the output cannot be written.
        Stopped: somebody asked to stop; what is done by then is written.
    """
    songs = {key(song): song for song in found.songs}
    results, failures = output.results, output.failures
    paths = {_path(name) for name in songs}

    def stays(name: str) -> bool:
        """Whether an entry is of a song as it is now, or of one that is not among these."""
        return name in songs or _path(name) not in paths

    done, failed = set(results.keys()), set(failures.keys())
    if not all(map(stays, done)):
        results.keep(stays)
    if failed:
        kept = {name for name in failed if not name.startswith(_NOT_FOUND) and stays(name)}
        kept -= set(songs) if retry else done
        failures.keep(kept.__contains__)
        failed = kept
    for failure in found.failures:
        failures.add(_NOT_FOUND + sha256([failure.file, failure.reason])[:16], failure)
    summary = Summary(len(songs) + len(found.failures), len(done & songs.keys()))
    summary.failed = len(found.failures) + len(failed & songs.keys())
    todo = {name: song for name, song in songs.items() if name not in done and name not in failed}
    progress = Progress(label, summary.songs, "songs", initial=summary.songs - len(todo))
    with closing(progress), StopRequest() as stop, closing(model(todo.values())) as made:
        for number, (name, result) in enumerate(zip(todo, made, strict=True), start=1):
            if isinstance(result, Failure):
                failures.add(name, result)
                summary.failed += 1
            else:
                results.add(name, todo[name], result)
                summary.unread += bool(result.lyrics_problem)
            progress.update(1, f"{summary.failed} failed" if summary.failed else None)
            if stop.due() and number < len(todo):
                raise stop.obeyed(f"stopped after {number} of {len(todo)} songs")
    return summary


def _path(name: str) -> str:
    return name.split("-")[0]
