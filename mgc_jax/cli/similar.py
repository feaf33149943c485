"""``mgc-jax similar``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipeline.errors import InputError
from mgc_jax.cli.arguments import add_json, at_least, local, place
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import load_model, read_lyrics, with_words

if TYPE_CHECKING:
    from mgc_jax.api import Embeddings, Model
    from mgc_jax.inference.embeddings import Neighbours, Query


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    songs = "a file, which is decoded unless it is one of the collection"
    parser.add_argument("songs", type=Path, nargs="*", metavar="SONG", help=songs)
    folder = "the collection: what mgc-jax embed --out wrote"
    parser.add_argument("--in", type=local, required=True, dest="folder", metavar="DIR", help=folder)
    by = (
        "what songs are compared by: fused, of which the genres are told; audio, their sound; or lyrics, their words "
        "(default fused; with --words audio, the sound that goes with them)"
    )
    parser.add_argument("--by", metavar="WHAT", help=by)
    count = "neighbours to print (default %(default)s)"
    parser.add_argument("--count", type=at_least(1), default=10, metavar="N", help=count)
    lyrics = (
        "the words of a SONG that is not in the collection; once for each SONG, in order (- for none), or not at all: "
        "then words are those in its tags, or in the .lrc or .txt beside it"
    )
    parser.add_argument("--lyrics", action="append", default=[], metavar="FILE", help=lyrics)
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--words", metavar="TEXT", help="in place of SONG: words that a neighbour goes with")
    words.add_argument("--words-file", metavar="FILE", help="in place of SONG: a text file with such words")
    workdir = "the model that made DIR, if it is not where it was then"
    parser.add_argument("--workdir", type=place, metavar="W", help=workdir)
    add_json(parser)


def _run(options: argparse.Namespace) -> None:
    from data_pipeline.storage.json_file import write_json
    from mgc_jax import api

    _check(options)
    collection = api.Embeddings(options.folder)
    results, reasons = _by_words(options, collection) if _asks_by_words(options) else _by_songs(options, collection)
    if options.json:
        write_json(options.json, results)
    if reasons:
        raise InputError(" ".join(reasons))


def _asks_by_words(options: argparse.Namespace) -> bool:
    return options.words is not None or options.words_file is not None


def _check(options: argparse.Namespace) -> None:
    if _asks_by_words(options):
        if options.songs or options.lyrics:
            raise InputError("Give songs or words to compare with, not both; a SONG's own words are --lyrics.")
        if options.by == "fused":
            raise InputError("Words are compared --by audio, the sound that goes with them, or --by lyrics.")
    elif not options.songs:
        raise InputError("Nothing is named: give a SONG, --words or --words-file.")
    if options.lyrics and len(options.lyrics) != len(options.songs):
        raise InputError(
            f"{len(options.songs)} songs but {len(options.lyrics)} lyrics: give one --lyrics for each, in order (- for "
            "none), or not at all."
        )


def _by_words(options: argparse.Namespace, collection: Embeddings) -> tuple[list[dict[str, Any]], list[str]]:
    words = read_lyrics(options.words_file) if options.words is None else options.words
    by = options.by or "audio"
    collection.vectors(by)  # what cannot be compared is told before a model is opened
    vector = _model(options, collection).embed_words(words)
    if by == "audio":
        _print("songs whose sound goes with these words", found := collection.sounding_like(vector, options.count))
    else:
        _print("songs with words like these", found := collection.nearest(vector, options.count, by))
    return [{"words": words, **_to_json(by, found)}], []


def _by_songs(options: argparse.Namespace, collection: Embeddings) -> tuple[list[dict[str, Any]], list[str]]:
    """What was found, and why songs could not be compared, which costs no other song."""
    from mgc_jax.inference.song import Failure

    by = options.by or "fused"
    collection.vectors(by)
    results, reasons = [], []
    for song, query in zip(options.songs, _queries(options, collection), strict=True):
        name = os.fsencode(song).decode(errors="backslashreplace")
        if problem := getattr(query, "lyrics_problem", ""):
            print(f"{name} is compared without its lyrics: {problem}")
        try:
            if isinstance(query, Failure):
                raise InputError(f"{name}: {query.reason}.")
            found = collection.nearest(query, options.count, by)
        except InputError as error:
            reasons.append(str(error) if name in str(error) else f"{name}: {error}")
            continue
        _print(f"{name}, by {by}", found)
        results.append({"song": name, **_to_json(by, found)})
    return results, list(dict.fromkeys(reasons))


def _queries(options: argparse.Namespace, collection: Embeddings) -> list[Query | Any]:
    """Each song by its row in the collection, or as the model embeds it, or its failure."""
    from mgc_jax.inference.song import Song

    rows = [collection.row(song) for song in options.songs]
    lyrics = options.lyrics or ["-"] * len(rows)
    for song, row, file in zip(options.songs, rows, lyrics, strict=True):
        if row is not None and file != "-":
            raise InputError(f"{song} is in {options.folder} with its own words: leave its --lyrics out, or give -.")
        if row is not None and collection.has_changed(row):
            print(f"{song} has changed since: its old vectors are compared until mgc-jax embed does it anew")
    new = [
        Song(song, read_lyrics(file), look_in=None if options.lyrics else "tags")
        for song, row, file in zip(options.songs, rows, lyrics, strict=True)
        if row is None
    ]
    embedded: Iterator[Any] = iter(())
    if new:
        model = _model(options, collection)
        named = bool(options.lyrics)  # what is named and cannot be used is told
        embedded = model.embed_many(with_words(new, wanted=named or model.embeds_lyrics))
    return [next(embedded) if row is None else row for row in rows]


def _model(options: argparse.Namespace, collection: Embeddings) -> Model:
    """The one that made the collection."""
    try:
        model = load_model(options.workdir or place(collection.workdir))
    except InputError as error:
        if options.workdir:
            raise
        raise InputError(
            f"{collection.folder} was made by the model in {collection.workdir}, which cannot be opened "
            f"({str(error).rstrip('.')}); --workdir says where it is now."
        ) from None
    collection.check_made_by(model)
    return model


def _to_json(by: str, found: Neighbours) -> dict[str, Any]:
    neighbours = [neighbour.to_json() for neighbour in found.nearest]
    return {"by": by, "compared": found.compared, "neighbours": neighbours}


def _print(title: str, found: Neighbours) -> None:
    print(f"{title}: the {len(found.nearest)} nearest of {found.compared}")
    genres = [", ".join(f"{name} {score:.2f}" for name, score in one.song.genres) for one in found.nearest]
    width = max(map(len, genres), default=0)
    for one, text in zip(found.nearest, genres, strict=True):
        print(f"  {one.similarity:6.3f}  {text:<{width}}  {_shown(one.song.file)}")


def _shown(file: str) -> str:
    """A path from here, where it is below."""
    here = os.getcwd() + os.sep
    return file.removeprefix(here)


COMMAND = Command(
    "similar",
    help="find the songs of an embedded collection that are most like a song, or go with words",
    example="mgc-jax similar song.mp3 --in embeddings --count 5",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
