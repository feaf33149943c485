"""A trained run, ready to name the genres of songs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline import audio
from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.input import PreparedData
from data_pipeline.lyrics import LyricsTokenizer, clean, locate_encoder
from mgc_jax import build, checkpoint, distributed, optim, sharding
from mgc_jax.config import Config
from mgc_jax.evaluate import evaluate
from mgc_jax.state import Network, TrainState, abstract
from mgc_jax.steps import make_evaluation_step
from mgc_jax.workdir import Workdir

WINDOW_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The genres of one file, best first.

    ``windows`` is the number of clips whose scores were averaged; ``predicted`` those over their threshold (the
    highest one where none is).
    """

    file: str
    ranked: tuple[tuple[str, float], ...]
    predicted: tuple[str, ...]
    windows: int
    lyrics_tokens: int

    def to_json(self) -> dict[str, Any]:
        """The form of ``mgc-jax predict --json``."""
        return {
            "file": self.file,
            "predicted": list(self.predicted),
            "genres": [{"name": name, "score": score} for name, score in self.ranked],
            "windows": self.windows,
            "lyrics_tokens": self.lyrics_tokens,
        }


def load(workdir: str) -> Model:
    """Load the best checkpoint of a run.

    Raises:
        InputError: the folder holds no run, or its files cannot be read.
    """
    folder = Workdir(Path(workdir))
    config, vocabulary = folder.config(), folder.vocabulary()
    encoder = locate_encoder(config.lyrics.encoder)
    mesh = sharding.make_mesh(config.compute.model_parallel)
    distributed.check_model_parallel(config.compute.model_parallel)
    optimiser = optim.adamw(lambda _: 0.0, weight_decay=0.0, clip_norm=0.0)  # its state is not restored
    network, target = abstract(config, vocabulary.size, encoder, optimiser, mesh)
    best = checkpoint.best(folder.path)
    try:
        restored = best.restore(target)
    finally:
        best.close()
    if restored is None:
        raise InputError(f"{workdir} holds no evaluated checkpoint yet; let mgc-jax train finish an epoch first.")
    return Model(folder, config, vocabulary, network, restored[0], LyricsTokenizer(encoder, config.lyrics.max_tokens))


class Model:
    """A loaded run; see :func:`mgc_jax.load`."""

    def __init__(
        self,
        folder: Workdir,
        config: Config,
        vocabulary: GenreVocabulary,
        network: Network,
        state: TrainState,
        tokenizer: LyricsTokenizer,
    ):
        self.folder, self.config, self.vocabulary = folder, config, vocabulary
        self.network, self.state = network, state
        self._tokenizer = tokenizer
        self._spec = build.audio_spec(config)

    @cached_property
    def _step(self) -> Any:
        return make_evaluation_step(self.network)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """(G,) calibrated thresholds, or 0.5 where the run was never evaluated."""
        stored = self.folder.thresholds()
        return np.full(self.vocabulary.size, 0.5) if stored is None else stored

    def predict(self, file: str | Path, lyrics: str | None = None) -> Prediction:
        """Rank the genres of an audio file of any format and length, given its lyrics as text or not at all.

        Each genre's score is the mean over consecutive windows of the training clip's length.

        Raises:
            InputError: the file cannot be decoded.
        """
        text = clean(lyrics) if lyrics else None
        tokens = self._tokenizer.encode(text) if text else np.zeros(0, np.uint16)
        clips = (audio.log_mel(samples, self._spec) for _, samples in audio.windows(Path(file), self._spec))
        total, windows = np.zeros(self.vocabulary.size), 0
        for group in _groups(clips, self._batch_size()):
            total += self._scores(group, tokens).sum(0)
            windows += len(group)
        scores = total / windows
        ranked = np.argsort(-scores, kind="stable")
        over = [i for i in ranked if scores[i] >= self.thresholds[i]] or [ranked[0]]
        names = self.vocabulary.names
        return Prediction(
            file=os.fsencode(file).decode(errors="backslashreplace"),  # a name need not be UTF-8
            ranked=tuple((names[i], float(scores[i])) for i in ranked),
            predicted=tuple(names[i] for i in over),
            windows=windows,
            lyrics_tokens=len(tokens),
        )

    def evaluate(self, data: PreparedData | str | Path, split: str = "test") -> dict[str, Any]:
        """All metrics on a split of a prepared data set; see :func:`mgc_jax.evaluate.evaluate`."""
        data = data if isinstance(data, PreparedData) else PreparedData(data)
        if data.vocabulary.names != self.vocabulary.names:
            raise InputError(f"{data.path} has another genre vocabulary than the run in {self.folder.path}.")
        report, thresholds = evaluate(self.network, self.state, self.config, data, split)
        self.thresholds = thresholds
        if distributed.is_first():
            self.folder.save_thresholds(thresholds, self.vocabulary)
        return report

    def _batch_size(self) -> int:
        shards = self.network.mesh.shape["data"]
        return -(-WINDOW_BATCH // shards) * shards

    def _scores(self, clips: list[np.ndarray], tokens: np.ndarray) -> np.ndarray:
        """(number of clips, G) scores of clips (T, M) that share their lyrics."""
        size, count = self._batch_size(), len(clips)
        spectrogram = np.zeros((size, *clips[0].shape), np.uint8)
        spectrogram[:count] = clips
        row = np.zeros(self.config.lyrics.max_tokens, np.int32)
        row[: len(tokens)] = tokens
        batch = {
            "spectrogram": spectrogram,
            "tokens": np.tile(row, (size, 1)),
            "num_tokens": np.full(size, len(tokens), np.int32),
            "labels": np.zeros((size, self.vocabulary.size), np.uint8),
            "index": np.arange(size, dtype=np.int32),
            "weight": np.ones(size, np.float32),
        }
        out = self._step(self.state, self.network.frozen, sharding.place_batch(batch, self.network.mesh))
        return np.asarray(jax.device_get(out["scores"]))[:count]


def _groups(clips: Iterator[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    group: list[np.ndarray] = []
    for clip in clips:
        group.append(clip)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
