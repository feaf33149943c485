"""Opens what arguments name: data sets and models, with the progress of a download, songs, and lyrics."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline import extras
from data_pipeline.errors import InputError

if TYPE_CHECKING:
    from data_pipeline.reading.prepared_data import PreparedData
    from mgc_jax.api import Model, Tagger
    from mgc_jax.inference.collection import Summary
    from mgc_jax.inference.found_songs import Songs
    from mgc_jax.inference.song import Song

FEW = 4
"""Songs that are decoded in this process."""


def open_data(place: str | Path, *, shards: bool = True) -> PreparedData:
    """The prepared data set, copied to this machine's disk where it is in a bucket, with all its ``shards``."""
    from data_pipeline.reading.prepared_data import PreparedData

    with _download_progress() as progress:
        data = PreparedData(place, progress)
    _tell_copy(place, data.path)
    if shards:
        data.check_shards()
    return data


def load_model(place: str | Path) -> Model:
    """The model of a run, copied to this machine's disk where it is in a bucket."""
    from mgc_jax import api

    with _download_progress() as progress:
        model = api.load(place, progress)
    _tell_copy(place, model.folder.path)
    return model


def load_namer(place: str | Path, genres: Sequence[str] | None = None) -> Model | Tagger:
    """What names genres: a CLAP where ``genres`` are given, as texts in which commas separate them; the built-in model
    of this name; or the model of a run as :func:`load_model` has it."""
    from mgc_jax import api

    tagger = api.built_in(place) if genres is None else api.zero_shot(place, ",".join(genres))
    if tagger and tagger.licence_warning:
        print(tagger.licence_warning)
    return tagger or load_model(place)


def local_run(place: str | Path) -> Path:
    """The folder of a run, copied to this machine's disk where it is in a bucket."""
    from mgc_jax.runs import addresses

    with _download_progress() as progress:
        return addresses.local(place, progress)


def find_songs(options: argparse.Namespace) -> Songs:
    """The songs that AUDIO, ``--files-from`` and ``--manifest`` name; what is to be said of these is said."""
    from mgc_jax.inference import found_songs

    if not (options.audio or options.files_from or options.manifest):
        raise InputError("No song is named: give AUDIO files or folders, --files-from or --manifest.")
    found = found_songs.find(options.audio, options.files_from, options.manifest)
    for sentence in (*found.notes, *([found.passed_by] if found.passed_by else [])):
        print(sentence)
    return found


def with_words(songs: Sequence[Song], *, wanted: bool) -> list[Song]:
    """The songs with the words that a model is to be given, or where these are, and without any where none are
    ``wanted``; that those in tags cannot be read is said."""
    from mgc_jax.inference import found_songs

    if not wanted:
        return found_songs.without_words(songs)
    in_tags = True
    if any(song.look_in for song in songs):
        try:
            extras.check("Reading the lyrics in tags", "tags")
        except InputError as error:
            in_tags = False
            print(f"{error} Only those in .lrc and .txt files beside songs are read.")
    return found_songs.with_words(songs, in_tags=in_tags)


def num_workers(options: argparse.Namespace, songs: int) -> int:
    """As ``--workers`` has it; a few songs do not pay for the start of processes."""
    if options.workers is not None:
        return options.workers
    return 0 if songs <= FEW else os.cpu_count() or 1


def settle(options: argparse.Namespace, summary: Summary, failures: Path) -> None:
    """Say what became of a collection; raises InputError where songs failed."""
    new = summary.songs - summary.before - summary.failed
    before = f", {summary.before} were there already" if summary.before else ""
    print(f"{new} songs are new in {options.out}{before}")
    if summary.unread:
        print(f"{summary.unread} of them have lyrics that cannot be used: lyrics_problem in {options.out} says why")
    if summary.failed:
        raise InputError(
            f"{summary.failed} of {summary.songs} songs failed; {failures} says why, and --retry tries them again."
        )


def read_lyrics(file: str | None) -> str | None:
    """The words of a file; ``-`` stands for none. Where there are none in a file, that is said on standard error."""
    if file in (None, "-"):
        return None
    from data_pipeline.lyrics.reading import LyricsError, read_file

    try:
        lyrics = read_file(Path(file))
    except LyricsError as error:
        raise InputError(f"{file}: {error}.") from None
    if lyrics.text is None:
        print(f"{file} counts as no lyrics: {lyrics.absence}", file=sys.stderr)
    return lyrics.text


@contextmanager
def _download_progress() -> Iterator[Callable[[int, int], None]]:
    """What counts the files of a download (done, total) before a person."""
    from mgc_jax.runtime.progress import Counter

    with Counter("files") as counter:
        yield functools.partial(counter, "download")


def _tell_copy(place: str | Path, copy: Path) -> None:
    if isinstance(place, str):
        print(f"{place} is read from its copy in {copy}")
