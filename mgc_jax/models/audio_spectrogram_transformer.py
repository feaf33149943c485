"""AST: a vision transformer on patches of a log-mel spectrogram, trained on AudioSet; and MAEST, the same on Discogs.

Sources:
    Gong, Chung & Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021: 86 M parameters, of which
    ``MIT/ast-finetuned-audioset-10-10-0.4593`` is 16 kHz, 10.24 s, 527 sounds (BSD-3-Clause).
    Alonso-Jimenez, Serra & Bogdanov, "Efficient supervised training of audio transformers for music representation
    learning", ISMIR 2023: ``mtg-upf/discogs-maest-30s-pw-129e`` and others of 5 to 30 s have heard the 400 styles of
    Discogs on another front end (CC-BY-NC-SA-4.0: **not for commercial use**).
Read is what Transformers writes (``ASTModel``, ``ASTForAudioClassification``), whose classifier is left out.

Both papers classify by the class and distillation tokens, which have no place in time. Here a token is the mean over
all bands and over one second of patches: SCMA and explanations ask when something was heard, and 30 s stay 30 tokens
instead of 3 636.

Axis letters: B or N windows, P samples, T frames, M mels, F x U patches (bands x times), K tokens, H width.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike, DTypeLike

from mgc_jax.models.attention import attention
from mgc_jax.models.audio_encoder import AudioEncoder, SpectrogramNetwork
from mgc_jax.models.bert import ACTIVATIONS, freeze
from mgc_jax.models.initial_keys import InitialKeys
from mgc_jax.models.layer_norm import LayerNorm
from mgc_jax.models.mel_spectrogram import frames, means_over_time, mel_power
from mgc_jax.models.pretrained import (
    LAYER_NORM,
    LINEAR,
    MelBank,
    Published,
    as_function,
    expect,
    fill,
    settings,
    table,
)

MODEL_TYPE = "audio-spectrogram-transformer"


# ---- Front ends ---------------------------------------------------------------------------------------------------

_FRAME, _HOP, _N_FFT = 400, 160, 512  # of Kaldi's at 16 kHz: 25 ms every 10 ms
_LOWEST = 20.0  # Hz
_PRE_EMPHASIS = 0.97
_FLOOR = float(np.finfo(np.float32).eps)


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """How a window becomes the spectrogram that the network hears."""

    rate: int
    """Hz."""
    window: int
    """P."""
    hop: int
    """Samples from one window's first frame to the next one's, so that no frame is heard twice."""
    spectrogram: Callable[[jax.Array], jax.Array]
    """(N, P) -> (N, T, M) float32, normalised."""
    licence: str
    """Of the published weights that hear so."""


@dataclasses.dataclass(frozen=True)
class _Preprocessor:
    """The fields of ``preprocessor_config.json`` that fix the spectrogram."""

    feature_extractor_type: str = "ASTFeatureExtractor"
    sampling_rate: int = 16_000
    do_normalize: bool = True
    mean: float = -4.2677393
    std: float = 4.5689974


@dataclasses.dataclass(frozen=True)
class _MaestPreprocessor(_Preprocessor):
    mean: float = 2.06755686098554
    std: float = 1.268292820667291


def front_end(config: AstConfig, preprocessor: Mapping[str, Any], bank: MelBank) -> FrontEnd:
    """The front end that ``preprocessor_config.json`` names: AST's own, or MAEST's with Slaney's mel ``bank``.

    Raises:
        ValueError: it is another one, or of other settings than the published ones.
    """
    file = "preprocessor_config.json"
    kind = preprocessor.get("feature_extractor_type", "ASTFeatureExtractor")
    same = {"sampling_rate": 16_000, "num_mel_bins": config.num_mel_bins, "max_length": config.max_length}
    expect(preprocessor, same, file)
    if kind == "ASTFeatureExtractor":
        fields = settings(_Preprocessor, preprocessor, file)
        features = functools.partial(kaldi_fbank, kaldi_filters(config.num_mel_bins, fields.sampling_rate))
        window, licence = _FRAME + (config.max_length - 1) * _HOP, "BSD-3-Clause"
        hop = config.max_length * _HOP
    elif kind == "MAESTFeatureExtractor":
        expect(preprocessor, {"n_fft": 512, "hop_length": 256, "log_compression": "logC"}, file)
        fields = settings(_MaestPreprocessor, preprocessor, file)
        filters = bank(config.num_mel_bins, fields.sampling_rate, _N_FFT, 0.0, fields.sampling_rate / 2)
        features = functools.partial(log_mel, filters)
        window, licence = (config.max_length - 1) * 256, "CC-BY-NC-SA-4.0"
        hop = window  # the last frame stands on the edge
    else:
        raise ValueError(f"{file} has feature_extractor_type {kind!r:.40}; known: ASTFeatureExtractor and MAEST's")
    if fields.std <= 0:
        raise ValueError(f"{file} has std {fields.std}, which must be positive")
    mean, deviation = (fields.mean, 2 * fields.std) if fields.do_normalize else (0.0, 1.0)

    def spectrogram(windows: jax.Array) -> jax.Array:
        return (features(windows) - mean) / deviation

    return FrontEnd(fields.sampling_rate, window, hop, spectrogram, licence)


def kaldi_fbank(filters: ArrayLike, windows: jax.Array) -> jax.Array:
    """Kaldi's log-mel filter bank without dither: windows (N, P) -> (N, T, M) float32, natural logarithms.

    Each frame of 25 ms loses its mean, is pre-emphasised and seen through a symmetric Hann window.
    """
    framed = frames(windows, _FRAME, _HOP)
    framed = framed - framed.mean(-1, keepdims=True)
    before = jnp.concatenate([framed[..., :1], framed[..., :-1]], axis=-1)
    emphasised = (framed - _PRE_EMPHASIS * before) * np.hanning(_FRAME).astype(np.float32)
    return jnp.log(jnp.maximum(mel_power(emphasised, filters), _FLOOR))


def kaldi_filters(n_mels: int, rate: int) -> np.ndarray:
    """Kaldi's bank (M, 257) float32: triangles of height 1 over mels, from 20 Hz to Nyquist's frequency."""
    edges = np.linspace(_mels(_LOWEST), _mels(rate / 2), n_mels + 2)
    away = edges[:, None] - _mels(np.fft.rfftfreq(_N_FFT, 1 / rate))
    width = np.diff(edges)[:, None]
    return np.maximum(0.0, np.minimum(-away[:-2] / width[:-1], away[2:] / width[1:])).astype(np.float32)


def _mels(hertz: Any) -> Any:
    return 1127.0 * np.log1p(hertz / 700.0)


def log_mel(filters: ArrayLike, windows: jax.Array) -> jax.Array:
    """MAEST's log10(1 + 10 000 mel power), n_fft 512, hop 256: windows (N, P) -> (N, 1 + P // 256, M) float32."""
    framed = frames(jnp.pad(windows, ((0, 0), (_N_FFT // 2, _N_FFT // 2))), _N_FFT, 256)
    hann = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
    return jnp.log1p(10_000 * mel_power(framed * hann, filters)) / np.float32(np.log(10))


# ---- Network ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class AstConfig:
    """The fields of ``config.json`` that fix the computation; defaults are Transformers'."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    patch_size: int = 16
    frequency_stride: int = 10
    time_stride: int = 10
    max_length: int = 1024
    """T."""
    num_mel_bins: int = 128

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} does not divide into {self.num_attention_heads} heads")
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"hidden_act {self.hidden_act!r:.40} is not supported; known: {', '.join(ACTIVATIONS)}")
        if min(self.num_mel_bins, self.max_length) < self.patch_size:
            raise ValueError(f"a patch of {self.patch_size} is larger than {self.max_length} x {self.num_mel_bins}")

    @property
    def patches(self) -> tuple[int, int]:
        """(F, U)."""
        return (
            (self.num_mel_bins - self.patch_size) // self.frequency_stride + 1,
            (self.max_length - self.patch_size) // self.time_stride + 1,
        )


class AstLayer(nnx.Module):
    """One pre-norm transformer layer: (B, 2 + F U, H) -> the same."""

    def __init__(self, config: AstConfig, dtype: DTypeLike, param_dtype: DTypeLike, rngs: nnx.Rngs, kernel: str):
        width = config.hidden_size
        linear = functools.partial(nnx.Linear, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        norm = functools.partial(
            LayerNorm, width, epsilon=config.layer_norm_eps, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.attention_norm = norm()
        self.query, self.key, self.value = linear(width, width), linear(width, width), linear(width, width)
        self.attention_out = linear(width, width)
        self.norm = norm()
        self.up, self.down = linear(width, config.intermediate_size), linear(config.intermediate_size, width)
        self.heads = config.num_attention_heads
        self.activation = ACTIVATIONS[config.hidden_act]
        self.kernel = kernel

    def __call__(self, x: jax.Array) -> jax.Array:
        normed = self.attention_norm(x)
        split = (*x.shape[:2], self.heads, -1)
        q, k, v = (part(normed).reshape(split) for part in (self.query, self.key, self.value))
        x = x + self.attention_out(attention(q, k, v, None, self.kernel).reshape(x.shape))
        return x + self.down(self.activation(self.up(self.norm(x))))


class AudioSpectrogramTransformer(nnx.Module):
    """A spectrogram (B, T, M), normalised -> tokens (B, K, H), the means over one of ``tokens`` spans of time.

    ``frozen`` turns the weights into :class:`mgc_jax.models.bert.Frozen` and stops the gradient at the output;
    otherwise they are ``nnx.Param`` and can be trained on spectrograms as they are stored. Without :func:`load` they
    are random. ``kernel`` is :func:`mgc_jax.models.attention.attention`'s. ``rematerialise`` keeps of each layer only
    its input for the backward pass.
    """

    def __init__(
        self,
        config: AstConfig,
        tokens: int,
        *,
        frozen: bool = True,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        kernel: str = "xla",
        rematerialise: bool = False,
        rngs: nnx.Rngs,
    ):
        self.config = config
        self.rematerialise = rematerialise
        self.tokens = tokens
        self.frozen = frozen
        self.projection = nnx.Conv(
            1,
            config.hidden_size,
            (config.patch_size, config.patch_size),
            strides=(config.frequency_stride, config.time_stride),
            padding="VALID",
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        normal = nnx.initializers.normal(0.02)
        bands, times = config.patches
        self.class_token = nnx.Param(normal(rngs.params(), (1, 1, config.hidden_size), param_dtype))
        self.distillation_token = nnx.Param(normal(rngs.params(), (1, 1, config.hidden_size), param_dtype))
        self.positions = nnx.Param(normal(rngs.params(), (1, 2 + bands * times, config.hidden_size), param_dtype))
        self.layers = nnx.List(
            AstLayer(config, dtype, param_dtype, rngs, kernel) for _ in range(config.num_hidden_layers)
        )
        self.norm = LayerNorm(
            config.hidden_size, epsilon=config.layer_norm_eps, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        if frozen:
            freeze(self)

    def __call__(self, spectrogram: jax.Array) -> jax.Array:
        x = self.hidden_states(spectrogram)
        patches = x[:, 2:].reshape(x.shape[0], *self.config.patches, -1)
        tokens = means_over_time(patches.mean(1), self.tokens)
        return jax.lax.stop_gradient(tokens) if self.frozen else tokens

    def hidden_states(self, spectrogram: jax.Array) -> jax.Array:
        """(B, T, M) -> (B, 2 + F U, H): the class and distillation tokens, then the patches band by band."""
        patches = self.projection(spectrogram.swapaxes(1, 2)[..., None])
        x = patches.reshape(patches.shape[0], -1, patches.shape[-1])
        extra = jnp.concatenate([self.class_token[...], self.distillation_token[...]], axis=1).astype(x.dtype)
        extra = jnp.broadcast_to(extra, (x.shape[0], *extra.shape[1:]))
        x = jnp.concatenate([extra, x], axis=1) + self.positions[...].astype(x.dtype)
        for layer in self.layers:
            x = _forgetful(layer, x) if self.rematerialise else layer(x)
        return self.norm(x)


@nnx.remat
def _forgetful(layer: AstLayer, x: jax.Array) -> jax.Array:
    return layer(x)


# ---- Pretrained weights -------------------------------------------------------------------------------------------

EMBEDDINGS = {
    "class_token": "embeddings.cls_token",
    "distillation_token": "embeddings.distillation_token",
    "positions": "embeddings.position_embeddings",
    **table(
        ("projection", "embeddings.patch_embeddings.projection", LINEAR),
        ("norm", "layernorm", LAYER_NORM),
    ),
}
LAYER = table(
    ("attention_norm", "layernorm_before", LAYER_NORM),
    ("query", "attention.attention.query", LINEAR),
    ("key", "attention.attention.key", LINEAR),
    ("value", "attention.attention.value", LINEAR),
    ("attention_out", "attention.output.dense", LINEAR),
    ("norm", "layernorm_after", LAYER_NORM),
    ("up", "intermediate.dense", LINEAR),
    ("down", "output.dense", LINEAR),
)


def weight_table(config: AstConfig) -> dict[str, str]:
    """Our dotted names -> those of ``ASTModel``'s file."""
    layers = {
        f"layers.{i}.{ours}": f"encoder.layer.{i}.{theirs}"
        for i in range(config.num_hidden_layers)
        for ours, theirs in LAYER.items()
    }
    return EMBEDDINGS | layers


def load(
    published: Published,
    tokens: int,
    *,
    frozen: bool = True,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike = jnp.float32,
    kernel: str = "xla",
    rematerialise: bool = False,
) -> AudioSpectrogramTransformer:
    """The network with the published weights, to be used as it is or trained.

    Raises:
        ValueError: the config is not that of an AST, or weights are missing or of another shape.
    """
    expect(published.config, {"model_type": MODEL_TYPE, "qkv_bias": True})
    config = settings(AstConfig, published.config)
    kinds: dict[str, Any] = {
        "frozen": frozen,
        "dtype": dtype,
        "param_dtype": param_dtype,
        "kernel": kernel,
        "rematerialise": rematerialise,
    }
    network: AudioSpectrogramTransformer = nnx.eval_shape(
        lambda: AudioSpectrogramTransformer(config, tokens, rngs=InitialKeys(0), **kinds)
    )
    tensors = {name.removeprefix("audio_spectrogram_transformer."): t for name, t in published.tensors.items()}
    fill(network, weight_table(config), tensors, param_dtype)
    return network


def encoder(published: Published, bank: MelBank) -> AudioEncoder:
    """The frozen encoder: one token a second; raises ValueError as :func:`load` and :func:`front_end` do."""
    config = settings(AstConfig, published.config)
    ears = front_end(config, published.preprocessor, bank)
    tokens = max(1, round(ears.window / ears.rate))
    weights, network = as_function(load(published, tokens))
    in_step = SpectrogramNetwork(
        front_end=ears.spectrogram,
        frames=config.max_length,
        bands=config.num_mel_bins,
        tokens=tokens,
        width=config.hidden_size,
        pretrained=functools.partial(load, published, tokens),
        random=functools.partial(AudioSpectrogramTransformer, config, tokens),
    )
    return AudioEncoder(
        name=published.name,
        rate=ears.rate,
        window=ears.window,
        hop=ears.hop,
        lead=0,
        tokens=tokens,
        width=config.hidden_size,
        licence=published.licence or ears.licence,
        source=published.source,
        digest=published.digest,
        weights=weights,
        apply=lambda weights, windows: network(weights, ears.spectrogram(windows)),
        network=in_step,
    )
