"""``mgc-jax predict``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.errors import InputError
from mgc_jax.cli.arguments import add_json, add_namer, at_least
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import load_namer, read_lyrics

if TYPE_CHECKING:
    from mgc_jax.inference.prediction import Prediction


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_namer(parser)
    parser.add_argument("audio", type=Path, nargs="+", metavar="AUDIO")
    lyrics = "a text file; once for each AUDIO, in the same order, or not at all (- for a track without)"
    parser.add_argument("--lyrics", action="append", default=[], metavar="FILE", help=lyrics)
    top = "genres to print (default %(default)s)"
    parser.add_argument("--top", type=at_least(1), default=10, metavar="N", help=top)
    add_json(parser)


def _run(options: argparse.Namespace) -> None:
    from data_pipeline.storage.json_file import write_json

    if options.lyrics and len(options.lyrics) != len(options.audio):
        raise InputError(
            f"{len(options.audio)} audio files but {len(options.lyrics)} lyrics: give one --lyrics for each, in "
            "order (- for a track without), or none."
        )
    lyrics = [read_lyrics(file) for file in options.lyrics] or [None] * len(options.audio)
    model = load_namer(options.workdir, options.genres)
    predictions, failures = [], []
    for file, text in zip(options.audio, lyrics, strict=True):
        try:
            prediction = model.predict(file, text)
        except InputError as error:  # the other files still get their genres
            failures.append(str(error))
            continue
        predictions.append(prediction.to_json())
        _print(prediction, options.top)
    if options.json:
        write_json(options.json, predictions)
    if failures:
        raise InputError(" ".join(dict.fromkeys(failures)))


def _print(prediction: Prediction, top: int) -> None:
    windows = f"{prediction.windows} window{'s' * (prediction.windows != 1)}"
    windows += f", {prediction.too_quiet} too quiet" if prediction.too_quiet else ""
    lyrics = f"{prediction.lyrics_tokens} lyric tokens" if prediction.lyrics_tokens else "no lyrics"
    notes = "".join(f", {note}" for note in prediction.notes)
    print(f"{prediction.file} ({windows}, {lyrics}{notes}): {', '.join(prediction.predicted)}")
    for name, score in prediction.ranked[:top]:
        mark = "*" if name in prediction.predicted else " "
        print(f"  {mark} {name:<24} {score:.3f} {'#' * round(40 * score)}")


COMMAND = Command(
    "predict",
    help="rank the genres of songs of any format and length",
    example="mgc-jax predict --workdir run song.mp3 --lyrics song.txt",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
