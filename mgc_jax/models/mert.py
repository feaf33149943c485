"""MERT: a HuBERT that hears music, taught to guess the codes and the constant-Q spectrum of what was masked.

Sources:
    Li et al., "MERT: acoustic music understanding model with large-scale self-supervised training", ICLR 2024; the
    network is that of Hsu et al., "HuBERT", TASLP 2021. Weights: ``m-a-p/MERT-v1-95M`` (24 kHz, 94 M parameters;
    CC-BY-NC-4.0: **not for commercial use**). They are published as a pickle, which is never read here: see
    docs/audio-encoders.md for the conversion.
Read is what Transformers writes of a ``HubertModel``. MERT-v1-330M, whose layers are others, is refused.

A token is the mean over one second (75 frames) and over all 13 hidden states, the layers' input and outputs. The last
layer is made for guessing codes, genres are told best in the middle, and which layer it is depends on the task: the
authors learn a weighted mean of all, and this is where its weights start.

Axis letters: N windows, P samples, T frames, K tokens, C channels of the convolutions, H width.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mgc_jax.models.audio_encoder import AudioEncoder
from mgc_jax.models.bert import ACTIVATIONS, BertConfig, BertLayer
from mgc_jax.models.initial_keys import InitialKeys
from mgc_jax.models.layer_norm import LayerNorm
from mgc_jax.models.mel_spectrogram import means_over_time
from mgc_jax.models.pretrained import (
    LAYER_NORM,
    LINEAR,
    Published,
    as_function,
    expect,
    fill,
    settings,
    table,
)

MODEL_TYPE = "mert_model"
LICENCE = "CC-BY-NC-4.0"
SECONDS = 5
"""A window is what training heard at once."""
_PREPROCESSOR = "preprocessor_config.json"


# ---- Front end ----------------------------------------------------------------------------------------------------


def front_end(config: MertConfig, preprocessor: Mapping[str, Any]) -> Callable[[jax.Array], jax.Array]:
    """What happens to windows (N, P) before the network: nothing, or they are :func:`normalised`.

    Raises:
        ValueError: ``preprocessor_config.json`` is for another network.
    """
    wanted = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": config.sample_rate}
    expect(preprocessor, {**wanted, "feature_size": 1}, _PREPROCESSOR)
    normalise = preprocessor.get("do_normalize", True)
    if not isinstance(normalise, bool):
        raise ValueError(f"{_PREPROCESSOR} has do_normalize {normalise!r:.40}, where bool is expected")
    return normalised if normalise else lambda windows: windows


def normalised(windows: jax.Array) -> jax.Array:
    """Each window (N, P) with mean 0 and variance 1, as Wav2Vec2's feature extractor makes it."""
    centred = windows - windows.mean(-1, keepdims=True)
    return centred / jnp.sqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-7)


# ---- Network ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MertConfig:
    """The fields of ``config.json`` that fix the computation; defaults are Transformers' and MERT's."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    feat_extract_activation: str = "gelu"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    sample_rate: int = 24_000

    def __post_init__(self) -> None:
        for name in (self.hidden_act, self.feat_extract_activation):
            if name not in ACTIVATIONS:
                raise ValueError(f"the activation {name!r:.40} is not supported; known: {', '.join(ACTIVATIONS)}")
        for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            if self.hidden_size % getattr(self, name):
                raise ValueError(f"hidden_size {self.hidden_size} does not divide into {getattr(self, name)} ({name})")
        if not len(self.conv_dim) == len(self.conv_stride) == len(self.conv_kernel) > 0:
            raise ValueError("conv_dim, conv_stride and conv_kernel are not of one length")
        if SECONDS * self.sample_rate % self.stride:
            raise ValueError(
                f"{SECONDS} s at {self.sample_rate} Hz are no whole number of frames of {self.stride} samples"
            )

    @property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.conv_stride)

    @property
    def frames(self) -> int:
        """T, of a window."""
        return SECONDS * self.sample_rate // self.stride

    @property
    def window(self) -> int:
        """P: as many samples as T frames hear."""
        heard = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            heard = (heard - 1) * stride + kernel
        return heard + (self.frames - 1) * self.stride


class FeatureEncoder(nnx.Module):
    """Strided convolutions without biases, (N, P) -> (N, T, C); the first one's channels are normalised over time."""

    def __init__(self, config: MertConfig, rngs: nnx.Rngs):
        shapes = zip((1, *config.conv_dim), config.conv_dim, config.conv_kernel, config.conv_stride, strict=False)
        self.convolutions = nnx.List(
            nnx.Conv(into, out, (kernel,), strides=stride, padding="VALID", use_bias=False, rngs=rngs)
            for into, out, kernel, stride in shapes
        )
        first = config.conv_dim[0]
        self.norm = nnx.GroupNorm(first, num_groups=first, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def __call__(self, windows: jax.Array) -> jax.Array:
        first, *others = self.convolutions
        x = self.activation(self.norm(first(windows[..., None])))
        for convolution in others:
            x = self.activation(convolution(x))
        return x


class Mert(nnx.Module):
    """Windows (N, P) as :func:`front_end` leaves them -> tokens (N, K, H)."""

    def __init__(self, config: MertConfig, *, rngs: nnx.Rngs):
        width, channels = config.hidden_size, config.conv_dim[-1]
        layer = BertConfig(
            vocab_size=1,  # words it has none
            hidden_size=width,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            layer_norm_eps=config.layer_norm_eps,
            hidden_act=config.hidden_act,
        )
        self.features = FeatureEncoder(config, rngs)
        self.feature_norm = LayerNorm(channels, epsilon=config.layer_norm_eps, rngs=rngs)
        self.projection = nnx.Linear(channels, width, rngs=rngs)
        reach = config.num_conv_pos_embeddings
        self.positions = nnx.Conv(
            width,
            width,
            (reach,),
            padding=[(reach // 2, (reach - 1) // 2)],
            feature_group_count=config.num_conv_pos_embedding_groups,
            rngs=rngs,
        )
        self.norm = LayerNorm(width, epsilon=config.layer_norm_eps, rngs=rngs)
        self.layers = nnx.List(
            BertLayer(layer, jnp.float32, jnp.float32, rngs) for _ in range(config.num_hidden_layers)
        )
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def __call__(self, windows: jax.Array) -> jax.Array:
        states = self.hidden_states(windows)
        return means_over_time(sum(states[1:], states[0]) / len(states), SECONDS)

    def hidden_states(self, windows: jax.Array) -> list[jax.Array]:
        """The input of the layers and the output of each: (N, P) -> (N, T, H)."""
        x = self.projection(self.feature_norm(self.features(windows)))
        x = self.norm(x + self.activation(self.positions(x)))
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1], None))
        return states


# ---- Pretrained weights -------------------------------------------------------------------------------------------

_WRITTEN_FOR = {
    "model_type": MODEL_TYPE,
    "feat_extract_norm": "group",
    "feat_proj_layer_norm": True,
    "conv_bias": False,
    "conv_pos_batch_norm": False,
    "do_stable_layer_norm": False,
    "deepnorm": False,
    "attention_relax": -1.0,
    "feature_extractor_cqt": False,
}
"""What MERT-v1-95M says in ``config.json``, and other members of the family otherwise."""
_POSITIONS = "encoder.pos_conv_embed.conv"
_NEW = "parametrizations.weight.original"
_LAYER = (
    ("query", "attention.q_proj", LINEAR),
    ("key", "attention.k_proj", LINEAR),
    ("value", "attention.v_proj", LINEAR),
    ("attention_out", "attention.out_proj", LINEAR),
    ("attention_norm", "layer_norm", LAYER_NORM),
    ("up", "feed_forward.intermediate_dense", LINEAR),
    ("down", "feed_forward.output_dense", LINEAR),
    ("norm", "final_layer_norm", LAYER_NORM),
)


def weight_table(config: MertConfig) -> dict[str, str]:
    """Our dotted names -> those of ``HubertModel``'s file, its weight norm being multiplied out."""
    kernel = {"kernel": "weight"}
    return table(
        *(
            (f"features.convolutions.{i}", f"feature_extractor.conv_layers.{i}.conv", kernel)
            for i in range(len(config.conv_dim))
        ),
        ("features.norm", "feature_extractor.conv_layers.0.layer_norm", LAYER_NORM),
        ("feature_norm", "feature_projection.layer_norm", LAYER_NORM),
        ("projection", "feature_projection.projection", LINEAR),
        ("positions", _POSITIONS, LINEAR),
        ("norm", "encoder.layer_norm", LAYER_NORM),
        *(
            (f"layers.{i}.{ours}", f"encoder.layers.{i}.{theirs}", leaves)
            for i in range(config.num_hidden_layers)
            for ours, theirs, leaves in _LAYER
        ),
    )


def _without_weight_norm(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The positions' kernel (out, in, k) = g v / |v|, a length g for each of the k places, by its old or new names."""
    for g, v in (("weight_g", "weight_v"), (f"{_NEW}0", f"{_NEW}1")):
        g, v = f"{_POSITIONS}.{g}", f"{_POSITIONS}.{v}"
        if g in tensors and v in tensors:
            length, kernel = tensors[g].astype(np.float32), tensors[v].astype(np.float32)
            if kernel.ndim != 3 or length.shape != (1, 1, kernel.shape[-1]):
                raise ValueError(f"{g} gives {length.shape}, which does not fit the {kernel.shape} of {v}")
            norm = np.sqrt(np.square(kernel, dtype=np.float64).sum((0, 1)))
            return {**tensors, f"{_POSITIONS}.weight": (length * kernel / norm).astype(np.float32)}
    return dict(tensors)


def load(published: Published) -> Mert:
    """The network with the published weights.

    Raises:
        ValueError: the config is not that of a MERT-v1-95M, or weights are missing or of another shape.
    """
    expect(published.config, _WRITTEN_FOR)
    config = settings(MertConfig, published.config)
    network: Mert = nnx.eval_shape(lambda: Mert(config, rngs=InitialKeys(0)))
    fill(network, weight_table(config), _without_weight_norm(published.tensors))
    return network


def encoder(published: Published) -> AudioEncoder:
    """The frozen encoder: 5 tokens a window of 5 s; raises ValueError as :func:`load` and :func:`front_end` do."""
    weights, network = as_function(load(published))
    config = settings(MertConfig, published.config)
    prepared = front_end(config, published.preprocessor)
    return AudioEncoder(
        name=published.name,
        rate=config.sample_rate,
        window=config.window,
        hop=config.frames * config.stride,
        lead=0,
        tokens=SECONDS,
        width=config.hidden_size,
        licence=published.licence or LICENCE,
        source=published.source,
        digest=published.digest,
        weights=weights,
        apply=lambda weights, windows: network(weights, prepared(windows)),
    )
