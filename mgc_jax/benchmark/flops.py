"""The arithmetic that the model needs, counted from its shapes: what a machine is measured by.

A multiplication and an addition count as 2. A trained weight is used three times (forward, gradient of its input,
gradient of itself), one that reads a spectrogram, stored features or a frozen encoder's outputs twice (nobody asks for
their gradient), a frozen one once.
Element-wise work, norms and pooling are left out, as is usual for model FLOPs utilisation (MFU).
"""

from __future__ import annotations

import itertools
import math

from mgc_jax.config import Config
from mgc_jax.models import lyric_windows
from mgc_jax.models.audio_cnn import PRESETS
from mgc_jax.models.bert import BertConfig
from mgc_jax.network import build

FROZEN, TRAINED_ON_GIVEN, TRAINED = 1, 2, 3


def training(
    config: Config, encoder: BertConfig, num_genres: int, tokens: int, audio_shape: tuple[int, int] | None = None
) -> dict[str, float]:
    """FLOPs of one training step for one track with lyrics of ``tokens``, by part of the paper's full model.

    ``audio_shape`` is (S, H) where the audio encoder's outputs are stored, in the CNN's place.
    """
    m, width, hidden = config.model, config.model.width, encoder.hidden_size
    parts = {}
    if audio_shape is None:
        parts["audio CNN"], audio_length, features = _audio_cnn(config)
    else:
        audio_length, features = audio_shape
    audio_times = TRAINED if audio_shape is None else TRAINED_ON_GIVEN
    lyrics_times = TRAINED if config.train.encoder_rate else TRAINED_ON_GIVEN
    projections = audio_times * audio_length * features + lyrics_times * tokens * hidden
    attention = (
        2 * (2 * audio_length + 2 * tokens) * width**2 + 2 * 4 * audio_length * tokens * width
    )  # Q, K, V; scores, values
    attention += 2 * (audio_length + tokens) * width**2 * (2 if m.heads > 1 else 1)
    widths = [hidden, *[m.gcn_hidden] * (m.gcn_depth - 1), width]
    graph = sum(
        2 * num_genres * (a * b + num_genres * b) for a, b in itertools.pairwise(widths)
    )  # once for the whole batch
    parts |= {
        "projections": 2 * width * projections,
        "cross-attention": TRAINED * attention,
        "genre graph": TRAINED * (graph / config.train.batch_size + 2 * num_genres * width),
    }
    if config.lyrics.input == "tokens" and build.reads_words(config):
        window, windows = tokens, 1
        if 0 < config.lyrics.window < tokens:
            window, windows = config.lyrics.window, lyric_windows.count(tokens, config.lyrics.window)
        layer = 2 * window * (4 * hidden**2 + 2 * hidden * encoder.intermediate_size) + 4 * window**2 * hidden
        times = (TRAINED if config.train.encoder_rate else FROZEN) * windows
        parts["lyrics encoder"] = times * encoder.num_hidden_layers * layer
    return parts


def _audio_cnn(config: Config) -> tuple[float, int, int]:
    """FLOPs of the CNN from scratch, and the number S and width of the audio tokens that it gives."""
    every_position = config.model.audio_tokens == "all"
    preset = PRESETS[config.model.audio_preset]
    patch = preset.get("patch", (1, 1))
    frames, mels = config.audio.num_frames // patch[0], config.audio.n_mels // patch[1]
    cnn, before = 0.0, 0
    for channels, (time, mel) in zip(preset["widths"], preset["pools"], strict=True):
        times = TRAINED if before else TRAINED_ON_GIVEN
        cnn += times * 2 * 9 * (before or math.prod(patch)) * channels * frames * mels
        frames, mels, before = frames // time, mels // mel, channels
    return cnn, frames * (mels if every_position else 1), before * (1 if every_position else mels)
