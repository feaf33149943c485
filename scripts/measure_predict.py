"""How long predicting many songs takes, beside its parts and beside a plain loop, all in one run.

python scripts/measure_predict.py SOURCE --workdir W [--songs 40] [--workers N] [--as-sold]

SOURCE is a manifest or a folder in Music4All's layout. Timed in turn over the same songs with their lyrics, every
program compiled before: *decoding alone*, by the workers; *the model alone*, over what they decoded; *the command*,
which is both at once with results written song by song; and *the plain loop*, one song after the other in one process
with the words in every window. Beside the time that passes stands that of all cores, of this process and its workers:
what the command needs of that is the sum of its parts, and what it can take no less than this sum divided by the cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data_pipeline.errors import InputError
from data_pipeline.schema import AUDIO
from data_pipeline.sources import read_corpus
from mgc_jax.inference.listening import listen
from mgc_jax.inference.recording import WINDOW_BATCH
from mgc_jax.inference.song import Song

if TYPE_CHECKING:  # the workers import this file, and are to start without JAX
    from mgc_jax.api import Model

CD_RATE = 44_100


def as_sold(song: Song, folder: Path) -> Song:
    """The song in stereo at 44.1 kHz, as MP3; one that cannot be decoded stays as it is."""
    import numpy as np
    import soundfile
    import soxr

    assert isinstance(song.audio, Path)
    try:
        samples, rate = soundfile.read(song.audio, dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        return song
    left = soxr.resample(samples.mean(1), rate, CD_RATE)
    copy = folder / f"{song.audio.stem}.mp3"
    soundfile.write(copy, np.stack([left, np.roll(left, CD_RATE // 100)], axis=1).clip(-1, 1), CD_RATE, format="MP3")
    return dataclasses.replace(song, audio=copy)


def plainly(model: Model, songs: list[Song]) -> None:
    """One song after the other, every window with its words through the whole model, by eight windows."""
    import jax
    import numpy as np

    from mgc_jax.runtime import sharding

    length = model.config.lyrics.max_tokens
    for song in songs:
        try:
            tokens, windows = model.tokens(song.words()), iter(model.windows(song.audio))
        except InputError:
            continue
        while group := list(itertools.islice(windows, WINDOW_BATCH)):
            clips = model.hear([window.samples for window in group])
            sounds = np.zeros((WINDOW_BATCH, *clips[0].shape), clips[0].dtype)
            sounds[: len(clips)] = clips
            batch = {
                AUDIO[model.spec.input]: sounds,
                "tokens": np.tile(np.pad(tokens.astype(np.int32), (0, length - len(tokens))), (WINDOW_BATCH, 1)),
                "num_tokens": np.full(WINDOW_BATCH, len(tokens), np.int32),
                "labels": np.zeros((WINDOW_BATCH, model.vocabulary.size), np.uint8),
                "index": np.arange(WINDOW_BATCH, dtype=np.int32),
            }
            placed = sharding.place_batch(batch, model.network.mesh)
            jax.device_get(model.evaluation_step(model.state, model.network.frozen, placed))


class Taken(NamedTuple):
    """How long something took: the ``seconds`` that passed, and those of all cores by this process and its workers."""

    seconds: float
    of_cores: float


def timed(work: Callable[[], object]) -> Taken:
    """How long it takes; the workers that it starts have ended then."""
    started, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return Taken(time.perf_counter() - started, sum(after[:4]) - sum(before[:4]))


def main() -> None:
    """Measure, and print a table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--songs", type=int, default=40, help="so many of them (default %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default %(default)s")
    text = "measure copies of them in stereo at 44.1 kHz, as music is sold, which take longer to decode"
    parser.add_argument("--as-sold", action="store_true", help=text)
    options = parser.parse_args()
    import jax

    from mgc_jax import api
    from mgc_jax.inference import collection, found_songs, results

    tracks = read_corpus(options.source).tracks[: options.songs]
    songs = [Song(track.audio, track.lyrics_text, lyrics_file=track.lyrics_file) for track in tracks]
    model = api.load(options.workdir)
    if not model.reads_lyrics:
        songs = found_songs.without_words(songs)
    with tempfile.TemporaryDirectory() as folder:
        if options.as_sold:
            songs = [as_sold(song, Path(folder)) for song in songs]
        heard = list(listen(songs, model.front_end, options.workers))
        list(model.predict_heard(heard))  # compiles
        plainly(model, songs[:2])

        def command() -> None:
            place = results.predictions(Path(folder, "genres.jsonl"), model.genres, reads_lyrics=model.reads_lyrics)
            with place.opened({"command": "predict", "workdir": options.workdir, "model": model.digest}) as output:
                predict = partial(model.predict_many, workers=options.workers)
                collection.carry_out(predict, found_songs.Songs(songs), output, "predict")

        taken = {
            "decoding alone": timed(lambda: list(listen(songs, model.front_end, options.workers))),
            "the model alone": timed(lambda: list(model.predict_heard(heard))),
            "the command": timed(command),
            "the plain loop": timed(lambda: plainly(model, songs)),
        }
    cores = os.cpu_count() or 1
    print(f"{len(songs)} songs, {options.workers} workers, {cores} cores, {jax.devices()[0].device_kind}")
    print("| | s | songs/s | s of all cores |\n|---|---|---|---|")
    for name, (seconds, of_cores) in taken.items():
        print(f"| {name} | {seconds:.2f} | {len(songs) / seconds:.2f} | {of_cores:.2f} |")
    decoding, computing, both, loop = taken.values()
    longer = max(decoding.seconds, computing.seconds)
    least = max(longer, (decoding.of_cores + computing.of_cores) / cores)
    print(
        f"the command is {both.seconds / longer:.2f} times as long as the longer of its parts, where "
        f"{least / longer:.2f} is the least that {cores} cores allow, and {loop.seconds / both.seconds:.1f} times as "
        "fast as the plain loop"
    )


if __name__ == "__main__":
    main()
