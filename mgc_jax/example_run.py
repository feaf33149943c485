"""A small run on a generated corpus, to try things on: minutes on a CPU, and no data of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from data_pipeline.prepare.options import PrepareOptions
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.sources import generated, read_corpus
from mgc_jax.config import Config, recipes
from mgc_jax.network import build
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime.progress import Counter
from mgc_jax.training.loop import train


class ExampleRun(NamedTuple):
    """Where the parts of the run are."""

    corpus: Path
    data: Path
    workdir: Path


def settings(tracks: int, seconds: float, epochs: int) -> Config:
    """The demo's recipe, for more epochs of a generated corpus of ``tracks`` tracks of ``seconds`` s."""
    size = {
        "data.min_genre_tracks": max(3, tracks // 250),
        "audio.seconds": float(seconds),
        "train.epochs": epochs,
        "train.halve_every_epochs": 3,
    }
    return recipes.changed(recipes.load("demo"), size, origin="the example")


def make(folder: str | Path, *, tracks: int = 1000, seconds: float = 6.0, epochs: int = 8) -> ExampleRun:
    """Generate, prepare and train in ``folder``; a run that is there is taken, whatever its size, and ended.

    Raises:
        InputError: the arguments are out of range, or the folder cannot be used.
        Stopped: somebody asked for it; the same call goes on.
    """
    folder = Path(folder)
    run = ExampleRun(folder / "corpus", folder / "data", folder / "run")
    if (run.workdir / "config.json").is_file() and (run.data / "dataset.json").is_file():
        config = Workdir(run.workdir).config()
    else:
        config = settings(tracks, seconds, epochs)
        _prepare(run, config, tracks, seconds)
    train(config, PreparedData(run.data), run.workdir)
    return run


def _prepare(run: ExampleRun, config: Config, tracks: int, seconds: float) -> None:
    with Counter("tracks") as counter:
        generated.write_corpus(
            run.corpus, tracks=tracks, seconds=seconds, progress=lambda done, total: counter("corpus", done, total)
        )
        options = PrepareOptions(config.data, config.audio, config.lyrics)
        prepare(
            read_corpus(run.corpus),
            run.data,
            options,
            encode=build.lyrics_encoder(config),
            audio_encoding=build.audio_encoding(config) if build.has_audio_encoder(config) else None,
            progress=counter,
        )
