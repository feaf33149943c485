"""The lyrics encoder: a pretrained BERT or RoBERTa, loaded from safetensors and frozen.

RoBERTa's network is BERT's but for where its positions begin, so there is one module for both. Axis letters: B batch,
L lyric tokens, H encoder width.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mgc_jax.models.attention import attention
from mgc_jax.models.gradient_layout import gradient_by_track
from mgc_jax.models.initial_keys import InitialKeys
from mgc_jax.models.layer_norm import LayerNorm
from mgc_jax.models.lyric_windows import read_in_windows
from mgc_jax.models.pretrained import LAYER_NORM, LINEAR, fill


class Frozen(nnx.Variable):
    """A pretrained weight: never differentiated, not in the optimiser, not in checkpoints."""


def gelu(x: jax.Array) -> jax.Array:
    """x Phi(x) = x / 2 (1 + erf(x / sqrt 2)), in float32 whatever the dtype, as PyTorch computes it.

    ``jax.nn.gelu`` has 1 + erf as an erfc, which keeps digits of values below 1e-4 and takes nine times as many
    operations.
    """
    wide = x.astype(jnp.float32)
    return (0.5 * wide * (1.0 + lax.erf(wide * math.sqrt(0.5)))).astype(x.dtype)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": gelu,
    "gelu_new": functools.partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
}


_LIMITS = {
    "vocab_size": 1 << 24,
    "hidden_size": 1 << 16,
    "num_hidden_layers": 256,
    "num_attention_heads": 1 << 10,
    "intermediate_size": 1 << 18,
    "max_position_embeddings": 1 << 20,
    "type_vocab_size": 1 << 10,
}
"""Far over what any BERT has: a mistaken file is refused before it is taken for a building plan."""


_FIRST_POSITION: dict[str, Callable[[int], int]] = {
    "bert": lambda pad: 0,
    "roberta": lambda pad: pad + 1,
    "xlm-roberta": lambda pad: pad + 1,
    "camembert": lambda pad: pad + 1,
}
"""``model_type`` -> where its positions begin, given its ``pad_token_id``: fairseq's lie behind the padding's."""


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The fields of a checkpoint's ``config.json`` that fix the computation.

    ``first_position`` is that of the first token: 0 in BERT, 2 in RoBERTa, whose table begins with rows for padding.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    first_position: int = 0

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= limit:
                raise ValueError(f"{name} must be a whole number from 1 to {limit}, not {value!r:.40}")
        if type(self.layer_norm_eps) is not float or not 0 <= self.layer_norm_eps < 1:
            raise ValueError(f"layer_norm_eps must lie between 0 and 1, not {self.layer_norm_eps!r:.40}")
        if not isinstance(self.hidden_act, str) or self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"hidden_act {self.hidden_act!r:.40} is not supported; known: {', '.join(ACTIVATIONS)}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} does not divide into {self.num_attention_heads} heads")
        if type(self.first_position) is not int or not 0 <= self.first_position < self.max_position_embeddings:
            raise ValueError(
                f"positions cannot begin at {self.first_position!r:.40}: there are {self.max_position_embeddings}"
            )

    @property
    def max_tokens(self) -> int:
        """How many tokens the encoder reads at once."""
        return self.max_position_embeddings - self.first_position

    @classmethod
    def from_json(cls, file: Path) -> BertConfig:
        """Read ``config.json``; ValueError for another model type, relative positions or missing fields."""
        try:
            raw = json.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{file} cannot be read as a BERT config: {error}") from error
        kind = raw.get("model_type", "bert") if isinstance(raw, dict) else None
        if not isinstance(kind, str) or kind not in _FIRST_POSITION:
            raise ValueError(
                f"{file} does not describe a BERT: its model_type is {kind!r:.40}, but must be one of "
                f"{', '.join(_FIRST_POSITION)}"
            )
        if raw.get("position_embedding_type", "absolute") != "absolute":
            positions = f"{raw['position_embedding_type']!s:.40}"
            raise ValueError(f"{file} asks for {positions} positions; only absolute is supported")
        known = {field.name: field for field in dataclasses.fields(cls) if field.name != "first_position"}
        missing = [n for n, f in known.items() if f.default is dataclasses.MISSING and n not in raw]
        if missing:
            raise ValueError(f"{file} lacks {', '.join(missing)}")
        padding = raw.get("pad_token_id", 1)
        if type(padding) is not int and kind != "bert":
            raise ValueError(f"{file} does not describe a BERT: pad_token_id is {padding!r:.40}")
        try:
            first = _FIRST_POSITION[kind](padding)
            return cls(**{name: raw[name] for name in known if name in raw}, first_position=first)
        except ValueError as error:
            raise ValueError(f"{file} does not describe a BERT: {error}") from None


class BertLayer(nnx.Module):
    """One post-norm transformer layer: (B, L, H), mask (B, L) or None -> (B, L, H)."""

    def __init__(
        self, config: BertConfig, dtype: DTypeLike, param_dtype: DTypeLike, rngs: nnx.Rngs, kernel: str = "xla"
    ):
        width = config.hidden_size
        linear = functools.partial(nnx.Linear, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        norm = functools.partial(
            LayerNorm, width, epsilon=config.layer_norm_eps, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.query, self.key, self.value = linear(width, width), linear(width, width), linear(width, width)
        self.attention_out, self.attention_norm = linear(width, width), norm()
        self.up, self.down = linear(width, config.intermediate_size), linear(config.intermediate_size, width)
        self.norm = norm()
        self.heads = config.num_attention_heads
        self.hidden_act = config.hidden_act
        self.kernel = kernel

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        split = (*x.shape[:2], self.heads, -1)
        q, k, v = (part(x).reshape(split) for part in (self.query, self.key, self.value))
        attended = attention(q, k, v, mask, self.kernel)
        x = self.attention_norm(x + self.attention_out(attended.reshape(x.shape)))
        return self.norm(x + self.down(ACTIVATIONS[self.hidden_act](self.up(x))))


class Bert(nnx.Module):
    """BERT without its pooler: tokens (B, L) int32, mask (B, L) bool -> hidden states (B, L, H).

    Token types are 0 and there is no dropout: the paper uses the encoder unmodified. ``frozen`` turns the weights
    into :class:`Frozen` variables and stops the gradient at the output; otherwise they are ``nnx.Param``.
    Without :func:`load_bert` the weights are random. ``kernel`` is :func:`attention`'s. With a ``window`` tokens beyond
    so many are read as :func:`read_in_windows` says; 0 reads all at once. What stands where the mask is false changes
    nothing where it is true: padding may be any token. Unlike RoBERTa's authors we do not stop counting positions at a
    padding token that stands among the words.

    The layers are unrolled. One program for a layer, scanned over their stacked weights, compiles in 6 s instead of 17
    but moves 5 % more (bert-base, 128 x 512 tokens, by the compiler for a TPU v5e: 564 instead of 536 MB a track).
    """

    def __init__(
        self,
        config: BertConfig,
        *,
        frozen: bool = True,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        kernel: str = "xla",
        window: int = 0,
        rngs: nnx.Rngs,
    ):
        # In the weights' dtype, like the gradients: thousands of tokens add to a row, and bfloat16 loses most of them.
        embed = functools.partial(
            nnx.Embed, features=config.hidden_size, dtype=param_dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.config = config
        self.frozen = frozen
        self.window = window
        self.word = embed(config.vocab_size)
        self.position = embed(config.max_position_embeddings)
        self.token_type = embed(config.type_vocab_size)
        self.norm = LayerNorm(
            config.hidden_size, epsilon=config.layer_norm_eps, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.layers = nnx.List(
            BertLayer(config, dtype, param_dtype, rngs, kernel) for _ in range(config.num_hidden_layers)
        )
        if frozen:
            freeze(self)

    def __call__(self, tokens: jax.Array, mask: jax.Array) -> jax.Array:
        if self.window and tokens.shape[1] > self.window:
            x = read_in_windows(self._read, tokens, mask, self.window)
        else:
            x = self._read(tokens, mask)
        return lax.stop_gradient(x) if self.frozen else x

    def _read(self, tokens: jax.Array, mask: jax.Array) -> jax.Array:
        length = tokens.shape[1]
        if length > self.config.max_tokens:
            raise ValueError(f"{length} tokens, but the encoder knows {self.config.max_tokens} positions")
        first = self.config.first_position
        positions, token_type = self.position.embedding[first : first + length], self.token_type.embedding[0]
        x = self.norm(gradient_by_track(self.word(tokens) + positions + token_type))
        for layer in self.layers:
            x = layer(x, mask)
        return x


def freeze(module: nnx.Module) -> None:
    """Turn every ``nnx.Param`` inside ``module`` into a :class:`Frozen` of the same value, in place."""
    for _, inner in list(nnx.iter_modules(module)):
        for name, variable in list(vars(inner).items()):
            if isinstance(variable, nnx.Param):
                setattr(inner, name, Frozen(variable.get_value()))


def mean_pool(hidden: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of hidden (B, L, H) over the true positions of mask (B, L), in float32; 0 where none is true."""
    weight = mask.astype(jnp.float32)[..., None]
    total = jnp.sum(hidden.astype(jnp.float32) * weight, axis=1)
    return (total / jnp.maximum(jnp.sum(weight, axis=1), 1.0)).astype(hidden.dtype)


# ---- Pretrained weights -------------------------------------------------------------------------------------------

EMBEDDINGS = {
    "word.embedding": "embeddings.word_embeddings.weight",
    "position.embedding": "embeddings.position_embeddings.weight",
    "token_type.embedding": "embeddings.token_type_embeddings.weight",
    **{f"norm.{ours}": f"embeddings.LayerNorm.{theirs}" for ours, theirs in LAYER_NORM.items()},
}
LAYER = {
    f"{ours}.{a}": f"{theirs}.{b}"
    for ours, theirs, leaves in (
        ("query", "attention.self.query", LINEAR),
        ("key", "attention.self.key", LINEAR),
        ("value", "attention.self.value", LINEAR),
        ("attention_out", "attention.output.dense", LINEAR),
        ("attention_norm", "attention.output.LayerNorm", LAYER_NORM),
        ("up", "intermediate.dense", LINEAR),
        ("down", "output.dense", LINEAR),
        ("norm", "output.LayerNorm", LAYER_NORM),
    )
    for a, b in leaves.items()
}


def weight_table(config: BertConfig) -> dict[str, str]:
    """Our dotted parameter names -> the checkpoint's (Hugging Face) names, without a prefix."""
    layers = [f"layers.{i}.{ours}" for i in range(config.num_hidden_layers) for ours in LAYER]
    return {name: pretrained_name(name) for name in [*EMBEDDINGS, *layers]}


def pretrained_name(ours: str) -> str:
    """The checkpoint's name of our parameter."""
    if ours in EMBEDDINGS:
        return EMBEDDINGS[ours]
    _, number, name = ours.split(".", 2)
    return f"encoder.layer.{number}.{LAYER[name]}"


def load_bert(
    folder: Path,
    *,
    frozen: bool = True,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike = jnp.float32,
    kernel: str = "xla",
    window: int = 0,
) -> Bert:
    """Load a BERT-shaped checkpoint from ``folder`` (``config.json`` and ``model.safetensors``).

    ``dtype`` is the compute dtype, ``param_dtype`` that of the weights in memory, ``window`` as :class:`Bert` has it.
    Raises one ValueError naming
    everything that is missing or has another shape.
    """
    folder = Path(folder)
    config = BertConfig.from_json(folder / "config.json")
    tensors = _read_tensors(folder / "model.safetensors")
    kind: dict[str, Any] = {"frozen": frozen, "dtype": dtype, "param_dtype": param_dtype}
    bert = nnx.eval_shape(lambda: Bert(config, **kind, kernel=kernel, window=window, rngs=InitialKeys(0)))
    try:
        fill(bert, weight_table(config), tensors, param_dtype)
    except ValueError as error:
        raise ValueError(f"{folder} does not hold the weights its config.json describes: {error}") from None
    return bert


def _read_tensors(file: Path) -> dict[str, np.ndarray]:
    """The tensors of ``file`` under today's names: no ``bert.`` or ``roberta.`` before them, LayerNorm weight/bias not
    gamma/beta."""
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} cannot be read as safetensors: {error}") from error
    renamed = {}
    for name, value in tensors.items():
        name = name.removeprefix("bert.").removeprefix("roberta.")
        if name.endswith(".gamma"):
            name = name.removesuffix("gamma") + "weight"
        elif name.endswith(".beta"):
            name = name.removesuffix("beta") + "bias"
        renamed[name] = value
    return renamed
