"""A small run on a generated corpus, to try things on: minutes on a CPU, and no data of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.sources import generated, read_corpus
from mgc_jax import config
from mgc_jax.config import Config
from mgc_jax.network import build
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime.progress import Counter
from mgc_jax.training.loop import train

RECIPE: dict[str, Any] = {
    "audio": {"seconds": 6.0, "n_mels": 80, "hop_length": 1024},
    "lyrics": {"encoder": "minilm", "max_tokens": 64, "input": "features"},
    "model": {"audio_preset": "narrow", "width": 128, "heads": 4, "baseline_width": 0.25},
    "train": {"learning_rate": 1e-3, "warmup_steps": 40, "halve_every_epochs": 3, "weight_decay": 0.05},
}
"""The settings of configs/demo.py, whose file an installed package does not have, for more epochs of fewer tracks."""


class ExampleRun(NamedTuple):
    """Where the parts of the run are."""

    corpus: Path
    data: Path
    workdir: Path


def settings(tracks: int, seconds: float, epochs: int) -> Config:
    """The recipe for a generated corpus of ``tracks`` tracks of ``seconds`` s."""
    fewest = max(3, tracks // 250)
    size = (f"data.min_genre_tracks={fewest}", f"audio.seconds={float(seconds)}", f"train.epochs={epochs}")
    return config.load(base=RECIPE, overrides=size)


def make(folder: str | Path, *, tracks: int = 1000, seconds: float = 6.0, epochs: int = 8) -> ExampleRun:
    """Generate, prepare and train in ``folder``; a run that is there is taken, whatever its size, and ended.

    Raises:
        InputError: the arguments are out of range, or the folder cannot be used.
        Stopped: somebody asked for it; the same call goes on.
    """
    folder = Path(folder)
    run = ExampleRun(folder / "corpus", folder / "data", folder / "run")
    if (run.workdir / "config.json").is_file() and (run.data / "dataset.json").is_file():
        recipe = Workdir(run.workdir).config()
    else:
        recipe = settings(tracks, seconds, epochs)
        _prepare(run, recipe, tracks, seconds)
    train(recipe, PreparedData(run.data), run.workdir)
    return run


def _prepare(run: ExampleRun, recipe: Config, tracks: int, seconds: float) -> None:
    with Counter("tracks") as counter:
        generated.write_corpus(
            run.corpus, tracks=tracks, seconds=seconds, progress=lambda done, total: counter("corpus", done, total)
        )
        options, encode = build.prepare_options(recipe), build.lyrics_encoder(recipe)
        prepare(read_corpus(run.corpus), run.data, options, encode=encode, progress=counter)
