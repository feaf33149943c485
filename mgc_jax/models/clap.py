"""CLAP: a transformer that hears and one that reads, trained to put a sound and its caption side by side.

Sources:
    Wu et al., "Large-scale contrastive language-audio pretraining with feature fusion and keyword-to-caption
    augmentation", ICASSP 2023. The audio tower is HTSAT (:mod:`mgc_jax.models.htsat`), the text tower a RoBERTa.
    Weights: ``laion/larger_clap_general`` (Apache-2.0; 48 kHz, 10 s, without fusion; 194 M parameters). Never
    ``laion/larger_clap_music``, whose published weights are broken.
Read is what Transformers writes (``ClapModel``).

What CLAP projects is the mean of the audio tower's tokens: how well genres fit that nobody was trained on is told from
stored tokens, too.

    score(clip, text) = scale <AudioProjection(tokens of the clip), TextTower(text)>
    probability(genre) = softmax over the genres of score(clip, PROMPT of the genre)

It was trained to tell which of many texts belongs to a clip, by a softmax over them. So only differences of scores
between texts mean anything: a sigmoid of one score does not.

Axis letters: N clips or windows, K tokens of a window, S of a clip, H width of the audio tower, E width in common,
G texts, L text tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from mgc_jax.models import htsat
from mgc_jax.models.audio_encoder import AudioEncoder
from mgc_jax.models.bert import ACTIVATIONS, Bert, BertConfig
from mgc_jax.models.bert import weight_table as bert_table
from mgc_jax.models.htsat import AudioConfig, AudioTower
from mgc_jax.models.initial_keys import InitialKeys
from mgc_jax.models.pretrained import LINEAR, MelBank, Published, as_function, expect, fill, settings, table

MODEL_TYPE = "clap"
LICENCE = "Apache-2.0"
BROKEN = "larger_clap_music"
PROMPT = "This audio is a {} song."
"""What the authors ask about a genre: https://github.com/LAION-AI/CLAP, of their GTZAN figures."""
TEXT_TOKENS = 77
"""Tokens of the longest text that CLAP was trained with, ``<s>`` and ``</s>`` among them."""
_WRITTEN_FOR = {
    "enable_fusion": False,
    "patch_embed_input_channels": 1,
    "qkv_bias": True,
    "enable_patch_layer_norm": True,
    "flatten_patch_embeds": True,
}


# ---- Towers -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """The fields of ``text_config`` that fix the computation; defaults are Transformers'."""

    vocab_size: int = 50_265
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 1
    projection_dim: int = 512
    projection_hidden_act: str = "relu"

    def bert(self) -> BertConfig:
        """RoBERTa is a BERT but for its positions, which begin behind the padding's."""
        return BertConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=self.intermediate_size,
            max_position_embeddings=self.max_position_embeddings,
            type_vocab_size=self.type_vocab_size,
            layer_norm_eps=self.layer_norm_eps,
            hidden_act=self.hidden_act,
            first_position=self.pad_token_id + 1,
        )


class Projection(nnx.Module):
    """From a tower's width to the width in common, (..., H or h) -> (..., E) of length 1."""

    def __init__(self, width: int, config: AudioConfig | TextConfig, rngs: nnx.Rngs):
        self.first = nnx.Linear(width, config.projection_dim, rngs=rngs)
        self.second = nnx.Linear(config.projection_dim, config.projection_dim, rngs=rngs)
        self.activation = ACTIVATIONS[config.projection_hidden_act]

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.second(self.activation(self.first(x)))
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


class AudioProjection(nnx.Module):
    """A clip's place among captions: tokens (N, S, H) of :class:`AudioTower` -> (N, E) of length 1."""

    def __init__(self, config: AudioConfig, *, rngs: nnx.Rngs):
        self.projection = Projection(config.hidden_size, config, rngs)
        self.log_scale = nnx.Param(jnp.zeros(()))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        return self.projection(tokens.mean(1))

    @property
    def scale(self) -> jax.Array:
        """What cosines are multiplied by."""
        return jnp.exp(self.log_scale[...])


class TextTower(nnx.Module):
    """Texts' places among sounds: tokens (G, L) int32, mask (G, L) bool -> (G, E) of length 1.

    In each row of ``mask`` the true places come first. A text begins with RoBERTa's ``<s>`` and ends with its ``</s>``.
    """

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.bert = Bert(config.bert(), rngs=rngs)
        self.pooler = nnx.Linear(config.hidden_size, config.hidden_size, rngs=rngs)
        self.projection = Projection(config.hidden_size, config, rngs)

    def __call__(self, tokens: jax.Array, mask: jax.Array) -> jax.Array:
        return self.projection(jnp.tanh(self.pooler(self.bert(tokens, mask)[:, 0])))


def scores(audio: jax.Array, text: jax.Array, scale: ArrayLike) -> jax.Array:
    """How well each text fits each clip, ``scale`` times their cosine: (N, E), (G, E) -> (N, G)."""
    return audio @ text.T * jnp.asarray(scale)


# ---- Pretrained weights -------------------------------------------------------------------------------------------


def refuse_broken(*names: str) -> None:
    """Raise ValueError where one of these names or addresses of a CLAP is that of the broken weights."""
    if any(name.rstrip("/").endswith(BROKEN) for name in names):
        raise ValueError(f"the published weights of {BROKEN} are broken; take laion/larger_clap_general")


def text_table(config: TextConfig) -> dict[str, str]:
    """The names of :class:`TextTower`'s weights -> those of the file."""
    names = {f"bert.{ours}": f"text_model.{theirs}" for ours, theirs in bert_table(config.bert()).items()}
    return names | table(("pooler", "text_model.pooler.dense", LINEAR)) | _projection_table("text")


def _projection_table(tower: str) -> dict[str, str]:
    linears = (("first", "linear1"), ("second", "linear2"))
    return table(*((f"projection.{ours}", f"{tower}_projection.{theirs}", LINEAR) for ours, theirs in linears))


def _sub_config(kind: Any, published: Published, name: str) -> Any:
    """The dataclass of one of both towers, whose projections are described beside them."""
    expect(published.config, {"model_type": MODEL_TYPE})
    refuse_broken(published.name, published.source, str(published.config.get("_name_or_path")))
    raw = published.config.get(name)
    if not isinstance(raw, Mapping):
        raise ValueError(f"config.json has no {name}")
    shared = {
        key: published.config[key] for key in ("projection_dim", "projection_hidden_act") if key in published.config
    }
    expect(raw, {**_WRITTEN_FOR, "patch_stride": [raw.get("patch_size", 4)] * 2})
    return settings(kind, {**raw, **shared})


def _filled(network: Any, names: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> Any:
    fill(network, names, tensors)
    return network


def load_audio_tower(published: Published) -> AudioTower:
    """The audio tower with the published weights; raises ValueError for another config or weights that do not fit."""
    config = _sub_config(AudioConfig, published, "audio_config")
    network = nnx.eval_shape(lambda: AudioTower(config, rngs=InitialKeys(0)))
    return _filled(network, htsat.weight_table(config), published.tensors)


def load_audio_projection(published: Published) -> AudioProjection:
    """The audio tower's projection; raises ValueError as :func:`load_audio_tower` does."""
    config = _sub_config(AudioConfig, published, "audio_config")
    network = nnx.eval_shape(lambda: AudioProjection(config, rngs=InitialKeys(0)))
    _filled(network, _projection_table("audio") | {"log_scale": "logit_scale_a"}, published.tensors)
    if not np.isfinite(network.scale):
        raise ValueError(f"logit_scale_a is {float(network.log_scale[...]):g}, whose exponential is no number")
    return network


def load_text_tower(published: Published) -> TextTower:
    """The text tower and its projection; raises ValueError as :func:`load_audio_tower` does."""
    config = _sub_config(TextConfig, published, "text_config")
    network = nnx.eval_shape(lambda: TextTower(config, rngs=InitialKeys(0)))
    return _filled(network, text_table(config), published.tensors)


def encoder(published: Published, bank: MelBank) -> AudioEncoder:
    """The frozen audio tower: 8 tokens a window of 10 s; raises ValueError as :func:`load_audio_tower` does."""
    tower = load_audio_tower(published)
    filters = htsat.mel_filters(tower.config, published.preprocessor, bank)
    weights, network = as_function(tower)
    return AudioEncoder(
        name=published.name,
        rate=htsat.RATE,
        window=htsat.WINDOW,
        hop=htsat.WINDOW,
        lead=0,
        tokens=htsat.TOKENS,
        width=tower.config.hidden_size,
        licence=published.licence or LICENCE,
        source=published.source,
        digest=published.digest,
        weights=weights,
        apply=lambda weights, windows: network(weights, htsat.log_mel(filters, windows)),
    )
