"""The arithmetic that the model needs, counted from its shapes: what a machine is measured by.

A multiplication and an addition count as 2. A trained weight is used three times (forward, gradient of its input,
gradient of itself), the first convolution twice (nobody asks for the spectrogram's gradient), a frozen one once.
Element-wise work, norms and pooling are left out, as is usual for model FLOPs utilisation (MFU).
"""

from __future__ import annotations

import itertools
import math

from mgc_jax.config import Config
from mgc_jax.models import lyric_windows
from mgc_jax.models.audio_cnn import PRESETS
from mgc_jax.models.bert import BertConfig

FROZEN, TRAINED = 1, 3


def training(config: Config, encoder: BertConfig, num_genres: int, tokens: int) -> dict[str, float]:
    """FLOPs of one training step for one track with lyrics of ``tokens``, by part of the paper's full model."""
    m = config.model
    spec = config.audio
    frames, mels, width = spec.num_frames, spec.n_mels, m.width
    preset = PRESETS[m.audio_preset]
    patch = preset.get("patch", (1, 1))
    cnn, before = 0.0, 0
    frames, mels = frames // patch[0], mels // patch[1]
    for channels, (time, mel) in zip(preset["widths"], preset["pools"], strict=True):
        cnn += (TRAINED if before else TRAINED - 1) * 2 * 9 * (before or math.prod(patch)) * channels * frames * mels
        frames, mels, before = frames // time, mels // mel, channels
    audio_length = frames * (mels if m.audio_tokens == "all" else 1)
    features = before * (1 if m.audio_tokens == "all" else mels)
    hidden = encoder.hidden_size
    projections = 2 * width * (audio_length * features + tokens * hidden)
    attention = (
        2 * (2 * audio_length + 2 * tokens) * width**2 + 2 * 4 * audio_length * tokens * width
    )  # Q, K, V; scores, values
    attention += 2 * (audio_length + tokens) * width**2 * (2 if m.heads > 1 else 1)
    widths = [hidden, *[m.gcn_hidden] * (m.gcn_depth - 1), width]
    graph = sum(
        2 * num_genres * (a * b + num_genres * b) for a, b in itertools.pairwise(widths)
    )  # once for the whole batch
    parts = {
        "audio CNN": cnn,
        "projections": TRAINED * projections,
        "cross-attention": TRAINED * attention,
        "genre graph": TRAINED * (graph / config.train.batch_size + 2 * num_genres * width),
    }
    if config.lyrics.input == "tokens":
        window, windows = tokens, 1
        if 0 < config.lyrics.window < tokens:
            window, windows = config.lyrics.window, lyric_windows.count(tokens, config.lyrics.window)
        layer = 2 * window * (4 * hidden**2 + 2 * hidden * encoder.intermediate_size) + 4 * window**2 * hidden
        times = (TRAINED if config.train.encoder_rate else FROZEN) * windows
        parts["lyrics encoder"] = times * encoder.num_hidden_layers * layer
    return parts
