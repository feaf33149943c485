"""``mgc-jax predict``."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from data_pipeline.errors import InputError
from mgc_jax.cli.arguments import add_json, add_namer, add_songs, at_least, table
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import find_songs, load_namer, num_workers, read_lyrics, settle, with_words

if TYPE_CHECKING:
    from mgc_jax.api import Model, Tagger
    from mgc_jax.inference.found_songs import Songs
    from mgc_jax.inference.prediction import Prediction
    from mgc_jax.inference.song import Song

TOLD = 3
"""Reasons that fit into one sentence."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_namer(parser)
    add_songs(parser)
    lyrics = (
        "a text file; once for each AUDIO file, in the same order (- for a track without), or not at all: then words "
        "are those in its tags, or in the .lrc or .txt beside it"
    )
    parser.add_argument("--lyrics", action="append", default=[], metavar="FILE", help=lyrics)
    top = "genres to print (default %(default)s)"
    parser.add_argument("--top", type=at_least(1), default=10, metavar="N", help=top)
    add_json(parser)
    out = (
        "write predictions song by song into this .jsonl or .csv instead of printing them; go on with it if it is there"
    )
    parser.add_argument("--out", type=table, metavar="FILE", help=out)
    retry = "with --out: try the songs again that failed before"
    parser.add_argument("--retry", action="store_true", help=retry)


def _run(options: argparse.Namespace) -> None:
    _check(options)
    lyrics = [read_lyrics(file) for file in options.lyrics]
    found = find_songs(options)
    if lyrics:
        pairs = zip(found.songs, lyrics, strict=True)
        found.songs = [dataclasses.replace(song, lyrics=text, look_in=None) for song, text in pairs]
    if options.out:
        _write(options, found)
    else:
        _show(options, found)


def _check(options: argparse.Namespace) -> None:
    if options.out and options.json:
        raise InputError("--out and --json hold the same: give one of them.")
    if options.retry and not options.out:
        raise InputError("--retry goes with --out, which knows what failed.")
    if not options.lyrics:
        return
    if options.no_lyrics:
        raise InputError("Give --lyrics or --no-lyrics, not both.")
    if options.files_from or options.manifest or any(map(os.path.isdir, options.audio)):
        raise InputError("--lyrics is for AUDIO files; a --manifest names the lyrics of many songs.")
    if len(options.lyrics) != len(options.audio):
        raise InputError(
            f"{len(options.audio)} audio files but {len(options.lyrics)} lyrics: give one --lyrics for each, in "
            "order (- for a track without), or none."
        )


def _write(options: argparse.Namespace, found: Songs) -> None:
    from mgc_jax.inference import collection, results

    model = load_namer(options.workdir, options.genres)
    found.songs = _suited(options, found, model)
    place = results.predictions(options.out, model.genres, reads_lyrics=model.reads_lyrics)
    made_by = {"command": "predict", "workdir": str(options.workdir), "model": model.digest}
    with place.opened(made_by) as output:
        predict = partial(model.predict_many, workers=num_workers(options, len(found.songs)))
        summary = collection.carry_out(predict, found, output, "predict", retry=options.retry)
    settle(options, summary, place.failures)


def _suited(options: argparse.Namespace, found: Songs, model: Model | Tagger) -> list[Song]:
    """The songs with their words, but for those of a manifest where the model reads none."""
    if not model.reads_lyrics and any(file != "-" for file in options.lyrics):
        raise InputError(f"{options.workdir} hears a song and reads no lyrics: leave them out.")
    return with_words(found.songs, wanted=model.reads_lyrics and not options.no_lyrics)


def _show(options: argparse.Namespace, found: Songs) -> None:
    """Print the predictions, and all failures at the end."""
    from data_pipeline.storage.json_file import write_json
    from mgc_jax.inference.song import Failure
    from mgc_jax.runtime.signals import StopRequest

    model = load_namer(options.workdir, options.genres)
    songs = _suited(options, found, model)
    predictions, failures = [], list(found.failures)
    stopped = None
    with StopRequest() as stop:
        made = model.predict_many(songs, workers=num_workers(options, len(songs)))
        for number, result in enumerate(made, start=1):
            if isinstance(result, Failure):  # the other files still get their genres
                failures.append(result)
            else:
                _print(result, options.top)
                if options.json:
                    predictions.append(result.to_json())
            if stop.due() and number < len(songs):
                made.close()
                stopped = stop.obeyed(f"stopped after {number} of {len(songs)} songs", "--out FILE can be gone on with")
                break
    if options.json:
        write_json(options.json, predictions)
    reasons = list(dict.fromkeys(f"{failure.file}: {failure.reason}." for failure in failures))
    if len(reasons) > TOLD or (reasons and stopped):
        for reason in reasons:
            print(reason, file=sys.stderr)
    if stopped:
        raise stopped
    if reasons:
        total = len(songs) + len(found.failures)
        raise InputError(" ".join(reasons) if len(reasons) <= TOLD else f"{len(failures)} of {total} songs failed.")


def _print(prediction: Prediction, top: int) -> None:
    given = [f"{prediction.windows} window{'s' * (prediction.windows != 1)}"]
    if prediction.too_quiet:
        given.append(f"{prediction.too_quiet} too quiet")
    if prediction.lyrics_tokens is not None:
        lyrics = f"{prediction.lyrics_tokens} lyric tokens" if prediction.lyrics_tokens else "no lyrics"
        given.append(f"{lyrics}: {prediction.lyrics_problem}" if prediction.lyrics_problem else lyrics)
    print(f"{prediction.file} ({', '.join([*given, *prediction.notes])}): {', '.join(prediction.predicted)}")
    for name, score in prediction.ranked[:top]:
        mark = "*" if name in prediction.predicted else " "
        print(f"  {mark} {name:<24} {score:.3f} {'#' * round(40 * score)}")


COMMAND = Command(
    "predict",
    help="rank the genres of songs of any format and length, of a few or of whole collections",
    example="mgc-jax predict --workdir run song.mp3 --lyrics song.txt",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
