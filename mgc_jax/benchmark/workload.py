"""What is timed: settings and examples of the true shapes.

Axis letters: N examples, T frames, M mel bands, S audio tokens, L lyric tokens, H encoder width, G genres.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

import jax
import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.reading.order import TrainingOrder
from data_pipeline.schema import AUDIO, LYRICS, Batch
from mgc_jax.benchmark import flops
from mgc_jax.benchmark.sizes import SIZES
from mgc_jax.config import Config, recipes
from mgc_jax.models.audio_encoder import AudioWindows
from mgc_jax.models.bert import BertConfig
from mgc_jax.network import build
from mgc_jax.network.audio_features import shape

ENCODERS = {
    "minilm": BertConfig(30522, 384, 6, 12, 1536),
    "google-bert/bert-base-uncased": BertConfig(30522, 768, 12, 12, 3072),
}
"""The shapes of the lyrics encoders that a size may name; their weights are random here."""
AUDIO_ENCODERS = {
    windows.name: windows
    for windows in (
        AudioWindows("musicnn", 16_000, window=48_128, hop=47_872, lead=256, tokens=1, width=1706),
        AudioWindows("MIT/ast-finetuned-audioset-10-10-0.4593", 16_000, 164_080, 163_840, 0, tokens=10, width=768),
        AudioWindows("mtg-upf/discogs-maest-30s-pw-129e", 16_000, 480_000, 480_000, 0, tokens=30, width=768),
        AudioWindows("laion/larger_clap_general", 48_000, 480_000, 480_000, 0, tokens=8, width=1024),
        AudioWindows("m-a-p/MERT-v1-95M", 24_000, 120_080, 120_000, 0, tokens=5, width=768),
    )
}
"""The audio encoders whose outputs are drawn at random here, in the shapes of the published ones."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """One model and the examples that it is fed; all contenders of a benchmark share it."""

    config: Config
    encoder: BertConfig
    examples: Batch
    """N examples by name, as a prepared data set holds them; where the settings want features, ``audio_features``
    (N, S, H) in the spectrogram's place, and ``lyrics_features`` (N, L, H)."""

    @property
    def num_genres(self) -> int:
        """G."""
        return self.examples["labels"].shape[1]

    @property
    def audio_shape(self) -> tuple[int, int] | None:
        """(S, H) of the audio encoder's outputs, where the model hears these."""
        return audio_shape(self.config)

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
        return sum(flops.training(self.config, self.encoder, self.num_genres, length, self.audio_shape).values())

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
    audio_input: str | None = None,
) -> Workload:
    """The workload of a size, changed by a recipe ``spec`` and by ``overrides``; ``batches`` is N / B.

    The batch is for ``devices``, or for all that are there. With an ``audio_input`` of ``features`` the sample rate is
    the audio encoder's, unless the settings name one; without any it is what the settings say.

    Raises:
        InputError: they make no valid settings, or name an encoder whose shapes are not known.
    """
    chosen = SIZES[size]
    batch_size = chosen.device_batch * (devices or jax.device_count())
    base = recipes.load(chosen.recipe, [f"train.batch_size={batch_size}"])
    wanted = [*overrides, f"lyrics.input={lyrics_input}", *([f"audio.input={audio_input}"] if audio_input else [])]
    settings = recipes.load(spec, wanted, base=base)
    if audio_input == "features":
        rate = _audio_encoder(settings).rate
        settings = recipes.load(spec, wanted, base=recipes.load(None, [f"audio.sample_rate={rate}"], base=base))
    if settings.model.architecture != "ru":
        raise InputError(
            f"The benchmark is for the paper's own model, not model.architecture={settings.model.architecture}."
        )
    if settings.audio.input == "filterbank":
        raise InputError("The benchmark is for spectrograms and stored features, not audio.input=filterbank.")
    encoder = ENCODERS.get(settings.lyrics.encoder)
    if encoder is None:
        raise InputError(f"lyrics.encoder must be {' or '.join(ENCODERS)} here, not {settings.lyrics.encoder}.")
    return Workload(settings, encoder, _examples(settings, encoder, chosen.num_genres, batches))


def _audio_encoder(settings: Config) -> AudioWindows:
    if settings.audio.encoder not in AUDIO_ENCODERS:
        known = ", ".join(AUDIO_ENCODERS)
        raise InputError(f"audio.encoder must be one of {known} here, not {settings.audio.encoder}.")
    return AUDIO_ENCODERS[settings.audio.encoder]


def audio_shape(settings: Config) -> tuple[int, int] | None:
    """(S, H) of the audio encoder's outputs, where the settings want these; raises InputError as :func:`make` does."""
    return shape(_audio_encoder(settings), settings.audio) if build.has_audio_encoder(settings) else None


def _examples(settings: Config, encoder: BertConfig, num_genres: int, batches: int) -> Batch:
    rng = np.random.default_rng(0)
    count, length = batches * settings.train.batch_size, settings.lyrics.max_tokens
    num_tokens = rng.integers(length // 4, length + 1, count).astype(np.int32)
    real = np.arange(length) < num_tokens[:, None]
    spec, features = settings.audio, audio_shape(settings)
    if features is None:
        sound = rng.integers(0, 256, (count, spec.num_frames, spec.n_mels), np.uint8)
    else:
        sound = rng.standard_normal((count, *features), np.float32).astype(np.float16)
    examples = {
        AUDIO[spec.input]: sound,
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
