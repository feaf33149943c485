"""The classifier of Fig. 1: audio and lyrics -> shared embeddings -> fusion -> genre graph -> logits.

Axis letters: B batch, W windows, T frames, M mel bands, L lyric tokens, S audio tokens, H encoder width, D width,
G genres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jax.typing import DTypeLike

from mgc_jax.models.audio_cnn import PRESETS, AudioCNN, dequantise
from mgc_jax.models.bert import Bert, mean_pool
from mgc_jax.models.config import ModelConfig
from mgc_jax.models.cross_attention import CrossAttention, dropout
from mgc_jax.models.genre_graph import GenreGraph
from mgc_jax.models.wide_path import WidePath

MAX_LOG_SCALE = math.log(100.0)


class Outputs(NamedTuple):
    """What the losses need, and the fused vectors, all in float32; ``log_scale`` = -log tau of the A-L loss, at most
    log 100.

    All but the logits are None for the paper's rivals.
    """

    logits: jax.Array  # (B, G)
    audio_embedding: jax.Array | None  # (B, contrastive_width)
    lyrics_embedding: jax.Array | None  # (B, contrastive_width)
    log_scale: jax.Array | None  # ()
    fused: jax.Array | None = None  # (B, D)


class GenreClassifier(nnx.Module):
    """Ru et al. (ICASSP 2023), Fig. 1. A batch (see ``__call__``) -> :class:`Outputs`.

    :class:`ModelConfig` says what each part is. With ``audio_features`` (S, H) batches carry the outputs of a frozen
    audio encoder, computed earlier, which stand in the CNN's place, each brought to mean 0 and variance 1; with an
    ``audio_encoder`` too, which hears ``audio_windows`` of a clip, they carry what it hears. With
    ``bert=None`` batches carry ``lyrics_features``, those of the lyrics encoder. ``adjacency`` (G, G) and
    ``node_features`` (G, F) make the genre graph of ``head="graph"``. Without ``contrasts`` there is no A-L loss, and a
    model of the sound alone does not read. ``kernel``, ``rematerialise``, ``first_block``
    and ``mesh`` change speed and memory alone, see :func:`attention` and :class:`AudioCNN`.

    Departures, each to be switched off: attention has ``heads`` and ``residual_norm`` and pools its tokens
    (``heads=1, residual_norm=False, pooling="flatten"`` is literal); every genre has a bias, starting at
    ``prior_logits`` (G,) or 0 (``genre_bias=False`` is literal). Not switchable: logits are divided by sqrt(D), so
    that they start at a moderate size; both encoders' tokens go through one linear layer to D, which the A-L loss
    and the fusion share, so that the loss reaches the fusion although BERT is frozen; a track without lyrics reads
    one learned null token. s(A, L) is the paper's plain dot product with tau starting at 1;
    ``contrastive_normalise=True`` makes it a cosine with tau starting at 0.07. With ``wide`` the network learns as
    without, and what it says afterwards is joined by the wide path, see :mod:`mgc_jax.models.wide_path`.

    Raises ValueError for arguments that do not fit each other.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_mels: int,
        num_frames: int,
        audio_features: tuple[int, int] | None = None,
        audio_encoder: nnx.Module | None = None,
        audio_windows: int = 1,
        max_tokens: int,
        bert: Bert | None,
        lyrics_features: int,
        num_genres: int,
        adjacency: jax.Array | np.ndarray | None = None,
        node_features: jax.Array | np.ndarray | None = None,
        prior_logits: jax.Array | np.ndarray | None = None,
        contrasts: bool = True,
        kernel: str = "xla",
        rematerialise: bool = False,
        first_block: str = "convolution",
        mesh: Mesh | None = None,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        hears_features = audio_features is not None and audio_encoder is None
        _check(config, hears_features, bert, lyrics_features, num_genres, adjacency, node_features, prior_logits)
        self.config, self.contrasts, self.dtype = config, contrasts, dtype
        width = config.width
        self.scale = 1.0 / math.sqrt(width)
        # Music representation.
        self.hears_features = audio_features is not None
        if audio_features is not None:
            num_audio_tokens, audio_width = audio_features
            self.audio_norm = nnx.BatchNorm(audio_width, momentum=0.9, use_bias=False, use_scale=False, rngs=rngs)
            self.audio_encoder, self.audio_windows = audio_encoder, audio_windows
        else:
            self.audio_cnn = AudioCNN(
                num_mels=num_mels,
                **PRESETS[config.audio_preset],
                tokens=config.audio_tokens,
                rematerialise=rematerialise,
                first_block=first_block,
                mesh=mesh,
                dtype=dtype,
                rngs=rngs,
            )
            num_audio_tokens, audio_width = self.audio_cnn.num_tokens(num_frames), self.audio_cnn.out_features
        self.bert = bert
        self.audio_projection = nnx.Linear(audio_width, width, dtype=dtype, rngs=rngs)
        self.lyrics_projection = nnx.Linear(lyrics_features, width, dtype=dtype, rngs=rngs)
        self.null_token = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (width,), jnp.float32))
        # A-L loss.
        self.audio_contrastive = nnx.Linear(width, config.contrastive_width, rngs=rngs)
        self.lyrics_contrastive = nnx.Linear(width, config.contrastive_width, rngs=rngs)
        self.log_scale = nnx.Param(jnp.float32(math.log(1.0 / 0.07) if config.contrastive_normalise else 0.0))
        # Fusion.
        if config.fusion == "scma":
            self.cross_attention = CrossAttention(
                width,
                heads=config.heads,
                residual_norm=config.residual_norm,
                pooling=config.pooling,
                dropout=config.dropout,
                num_audio_tokens=num_audio_tokens,
                max_tokens=max_tokens,
                kernel=kernel,
                dtype=dtype,
                rngs=rngs,
            )
        else:
            self.join = nnx.Linear(width * (2 if config.fusion == "concat" else 1), width, dtype=dtype, rngs=rngs)
        # Genre correlations.
        if config.head == "graph":
            assert adjacency is not None  # held by _check
            assert node_features is not None
            self.genre_graph: GenreGraph | None = GenreGraph(
                adjacency,
                node_features,
                hidden=config.gcn_hidden,
                out=width,
                depth=config.gcn_depth,
                dtype=dtype,
                rngs=rngs,
            )
        else:
            self.genre_graph = None
            self.genre_vectors = nnx.Linear(width, num_genres, use_bias=False, dtype=dtype, rngs=rngs)
        prior = jnp.zeros(num_genres) if prior_logits is None else jnp.asarray(prior_logits, jnp.float32)
        self.genre_bias = nnx.Param(prior) if config.genre_bias else None
        # Beside all that.
        self.wide = WidePath(audio_width, lyrics_features, num_genres) if config.wide else None

    def __call__(self, batch: Mapping[str, jax.Array], *, train: bool, dropout_key: jax.Array | None = None) -> Outputs:
        """Classify a batch: ``spectrogram`` (B, T, M) uint8, ``audio_features`` (B, S, H) or ``filterbank``
        (B, W T, M), ``num_tokens`` (B,), and ``tokens`` (B, L) int32 or ``lyrics_features`` (B, L, H). ``num_tokens`` 0
        means no lyrics. Dropout needs its key when training."""
        if train and self.config.dropout > 0.0 and dropout_key is None:
            raise ValueError("training with dropout needs a dropout_key")
        audio, lyrics, mask = self.represent(batch, train=train)
        contrast = self.contrast(audio, lyrics, mask) if self.contrasts else (None, None, None)
        fused = self.fuse(audio, lyrics, mask, train=train, key=dropout_key)
        logits = self.classify(fused)
        if self.wide is not None and not train:
            logits = self.widen(logits, self.wide_of_sound(batch), self.wide_of_words(batch))
        audio_embedding, lyrics_embedding, log_scale = contrast
        return Outputs(logits, audio_embedding, lyrics_embedding, log_scale, fused.astype(jnp.float32))

    @jax.named_scope("projections")
    def represent(self, batch: Mapping[str, jax.Array], *, train: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Audio tokens (B, S, D), lyric tokens (B, L, D), and which of the latter are real (B, L) bool."""
        audio = self.audio_projection(self.hear(batch, train=train))
        hidden, mask = self.read(batch)
        null = self.null_token[...].astype(self.dtype)
        lyrics = jnp.where((batch["num_tokens"] == 0)[:, None, None], null, self.lyrics_projection(hidden))
        return audio, lyrics, mask

    @jax.named_scope("audio_encoder")
    def hear(self, batch: Mapping[str, jax.Array], *, train: bool) -> jax.Array:
        """What the audio encoder makes of the sound (B, S, H), whether it is in this model or has heard it before."""
        if self.hears_features:
            features = batch["audio_features"] if self.audio_encoder is None else self.encode(batch["filterbank"])
            features = features.astype(jnp.float32)
            return self.audio_norm(features, use_running_average=not train).astype(self.dtype)
        return self.audio_cnn(dequantise(batch["spectrogram"], self.dtype), train=train)

    @jax.named_scope("lyrics_encoder")
    def read(self, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """The lyrics encoder's outputs (B, L, H), and which of them are real (B, L) bool: one at least."""
        given = batch["lyrics_features"] if "lyrics_features" in batch else batch["tokens"]
        mask = jnp.arange(given.shape[1])[None] < jnp.maximum(batch["num_tokens"], 1)[:, None]
        if "lyrics_features" in batch:
            return given.astype(self.dtype), mask
        if self.bert is None:
            raise ValueError("this model has no lyrics encoder: the batch must carry lyrics_features")
        return self.bert(given, mask), mask

    def encode(self, filterbank: jax.Array) -> jax.Array:
        """What the pretrained audio encoder makes of the windows of each clip, (B, W T, M) -> (B, S, H)."""
        assert self.audio_encoder is not None
        batch, bands = filterbank.shape[0], filterbank.shape[-1]
        tokens = self.audio_encoder(filterbank.reshape(batch * self.audio_windows, -1, bands))
        return tokens.reshape(batch, -1, tokens.shape[-1])

    @jax.named_scope("losses")
    def contrast(self, audio: jax.Array, lyrics: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """g_a(E_a), g_l(E_l) (B, contrastive_width) and log(1 / tau), for equations (5) and (6)."""
        of_audio = self.audio_contrastive(jnp.mean(audio.astype(jnp.float32), axis=1))
        of_lyrics = self.lyrics_contrastive(mean_pool(lyrics.astype(jnp.float32), mask))
        if self.config.contrastive_normalise:
            of_audio, of_lyrics = _unit(of_audio), _unit(of_lyrics)
        return of_audio, of_lyrics, jnp.minimum(self.log_scale[...], MAX_LOG_SCALE)

    @jax.named_scope("fusion")
    def fuse(
        self, audio: jax.Array, lyrics: jax.Array, mask: jax.Array, *, train: bool, key: jax.Array | None
    ) -> jax.Array:
        """The fused vector (B, D) of both modalities."""
        inner, outer = jax.random.split(key) if train and key is not None else (None, None)
        if self.config.fusion == "scma":
            fused = self.cross_attention(audio, lyrics, mask, train=train, dropout_key=inner)
        else:
            every = jnp.ones(audio.shape[:2], bool)
            pooled = {"audio": mean_pool(audio, every), "lyrics": mean_pool(lyrics, mask)}
            used = ("audio", "lyrics") if self.config.fusion == "concat" else (self.config.fusion,)
            fused = self.join(jnp.concatenate([pooled[name] for name in used], axis=-1))
        return dropout(fused, self.config.dropout, outer)

    @jax.named_scope("genre_graph")
    def classify(self, fused: jax.Array) -> jax.Array:
        """Logits (B, G) in float32: fused vector . genre vector / sqrt(D), plus the genre's bias."""
        if self.genre_graph is not None:
            vectors = self.genre_graph()
            logits = jnp.einsum("bd,gd->bg", fused, vectors, preferred_element_type=jnp.float32) * self.scale
        else:
            logits = self.genre_vectors(fused).astype(jnp.float32)
        return logits if self.genre_bias is None else logits + self.genre_bias[...]

    def wide_of_sound(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        """The share (B, G) of the sound in the wide path's logits."""
        assert self.wide is not None
        return self.wide.of_sound(batch["audio_features"])

    def wide_of_words(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        """The share (B, G) of the words in the wide path's logits."""
        assert self.wide is not None
        return self.wide.of_words(self.read(batch)[0], batch["num_tokens"])

    def widen(self, deep: jax.Array, of_sound: jax.Array, of_words: jax.Array) -> jax.Array:
        """The network's logits (B, G) and the wide path's, each with its share."""
        assert self.wide is not None
        share = self.config.wide
        return (1 - share) * deep + share * (of_sound + of_words + self.wide.bias[...])


def _unit(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-12)


def _check(
    config: ModelConfig,
    hears_features: bool,
    bert: Bert | None,
    lyrics_features: int,
    num_genres: int,
    adjacency,
    nodes,
    prior,
) -> None:
    """Raise ValueError for arguments that do not fit each other."""
    if bert is not None and bert.config.hidden_size != lyrics_features:
        raise ValueError(f"the encoder is {bert.config.hidden_size} wide, lyrics_features says {lyrics_features}")
    if config.wide and not hears_features:
        raise ValueError("model.wide needs audio.input=features")
    if config.wide and config.fusion not in ("scma", "concat"):
        raise ValueError(f"model.wide takes sound and words, but model.fusion is {config.fusion}")
    if config.head == "graph":
        if adjacency is None or nodes is None:
            raise ValueError("head='graph' needs adjacency and node_features")
        if len(nodes) != num_genres:
            raise ValueError(f"{num_genres} genres, but {len(nodes)} rows of node_features")
    if prior is not None and np.shape(prior) != (num_genres,):
        raise ValueError(f"prior_logits must be ({num_genres},), not {np.shape(prior)}")
