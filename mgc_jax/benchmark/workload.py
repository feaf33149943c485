"""What is timed: settings and examples of the true shapes.

Axis letters: N examples, T frames, M mel bands, L lyric tokens, H encoder width, G genres.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

import jax
import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.reading.order import TrainingOrder
from data_pipeline.schema import LYRICS, Batch
from mgc_jax import recipes
from mgc_jax.benchmark import flops
from mgc_jax.benchmark.sizes import SIZES
from mgc_jax.config import Config
from mgc_jax.models.bert import BertConfig

ENCODERS = {
    "minilm": BertConfig(30522, 384, 6, 12, 1536),
    "google-bert/bert-base-uncased": BertConfig(30522, 768, 12, 12, 3072),
}
"""The shapes of the lyrics encoders that a size may name; their weights are random here."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """One model and the examples that it is fed; all contenders of a benchmark share it."""

    config: Config
    encoder: BertConfig
    examples: Batch
    """N examples by name, as a prepared data set holds them; ``lyrics_features`` (N, L, H) where the settings want
    features."""

    @property
    def num_genres(self) -> int:
        """G."""
        return self.examples["labels"].shape[1]

    @functools.cached_property
    def order(self) -> TrainingOrder:
        """Which examples make up which batch."""
        t, lengths = self.config.train, self.examples["num_tokens"]
        return TrainingOrder(len(lengths), t.batch_size, t.seed, lengths, t.lyrics_bucket)

    def length(self, step: int) -> int:
        """L of a step's batch."""
        longest = self.config.lyrics.max_tokens
        return min(self.order.length(step) or longest, longest)

    @property
    def lengths(self) -> list[int]:
        """L of the batches of one pass over the examples."""
        return [self.length(step) for step in range(self.order.steps_per_epoch)]

    @property
    def flops_per_track(self) -> float:
        """By :mod:`flops`, on average over one pass."""
        return float(np.mean([self._flops(length) for length in self.lengths]))

    def _flops(self, length: int) -> float:
        return sum(flops.training(self.config, self.encoder, self.num_genres, length).values())

    def batch(self, step: int) -> Batch:
        """A step's batch (B, ...)."""
        rows = self.order.indices(step)
        return {name: x[rows, : self.length(step)] if name in LYRICS else x[rows] for name, x in self.examples.items()}

    def in_buckets(self, tokens: int) -> Workload:
        """The same examples with ``train.lyrics_bucket``."""
        train = dataclasses.replace(self.config.train, lyrics_bucket=tokens)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, train=train))


def make(
    size: str,
    lyrics_input: str,
    spec: str | None = None,
    overrides: Iterable[str] = (),
    batches: int = 4,
    devices: int | None = None,
) -> Workload:
    """The workload of a size, changed by a recipe ``spec`` and by ``overrides``; ``batches`` is N / B.

    The batch is for ``devices``, or for all that are there.

    Raises:
        InputError: they make no valid settings, or name an encoder whose shapes are not known.
    """
    chosen = SIZES[size]
    batch_size = chosen.device_batch * (devices or jax.device_count())
    base = recipes.load(chosen.recipe, [f"train.batch_size={batch_size}"])
    settings = recipes.load(spec, [*overrides, f"lyrics.input={lyrics_input}"], base=base)
    if settings.model.architecture != "ru":
        raise InputError(
            f"The benchmark is for the paper's own model, not model.architecture={settings.model.architecture}."
        )
    encoder = ENCODERS.get(settings.lyrics.encoder)
    if encoder is None:
        raise InputError(f"lyrics.encoder must be {' or '.join(ENCODERS)} here, not {settings.lyrics.encoder}.")
    return Workload(settings, encoder, _examples(settings, encoder, chosen.num_genres, batches))


def _examples(settings: Config, encoder: BertConfig, num_genres: int, batches: int) -> Batch:
    rng = np.random.default_rng(0)
    count, length = batches * settings.train.batch_size, settings.lyrics.max_tokens
    num_tokens = rng.integers(length // 4, length + 1, count).astype(np.int32)
    real = np.arange(length) < num_tokens[:, None]
    spec = settings.audio
    examples = {
        "spectrogram": rng.integers(0, 256, (count, spec.num_frames, spec.n_mels), np.uint8),
        "tokens": np.where(real, rng.integers(1, encoder.vocab_size, (count, length)), 0).astype(np.int32),
        "num_tokens": num_tokens,
        "labels": (rng.random((count, num_genres)) < 2.3 / num_genres).astype(np.uint8),
        "index": np.arange(count, dtype=np.int32),
        "weight": np.ones(count, np.float32),
    }
    if settings.lyrics.input == "features":
        drawn = rng.standard_normal((count, length, encoder.hidden_size), np.float32)
        examples["lyrics_features"] = np.where(real[..., None], drawn, 0).astype(np.float16)
    return examples
