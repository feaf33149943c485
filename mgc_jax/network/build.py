"""From settings to the model: the one place where configuration becomes constructor arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.lyrics.encoder import encoder_digest, locate_encoder
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from data_pipeline.prepare.audio_features import AudioEncoding
from mgc_jax.config import Config
from mgc_jax.models import genre_graph
from mgc_jax.models.audio_cnn import PRESETS
from mgc_jax.models.audio_encoder import SpectrogramNetwork
from mgc_jax.models.baselines import Pandeya, Santana
from mgc_jax.models.bert import Bert, BertConfig, load_bert, mean_pool
from mgc_jax.models.classifier import GenreClassifier
from mgc_jax.models.initial_keys import InitialKeys
from mgc_jax.network import kernels
from mgc_jax.network.audio_features import audio_features
from mgc_jax.runtime import sharding


def compute_dtype(config: Config) -> jnp.dtype:
    """bfloat16 on TPU and GPU, float32 on CPU, unless ``compute.dtype`` says otherwise."""
    name = config.compute.dtype
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def uses_bert(config: Config) -> bool:
    """Whether the model has a pretrained lyrics encoder and a genre graph: the paper's has, its rivals have not."""
    return config.model.architecture == "ru"


def has_audio_encoder(config: Config) -> bool:
    """Whether the model hears with a pretrained audio encoder, in the step or before, instead of its own CNN."""
    return config.audio.input != "spectrogram"


def audio_shape(config: Config) -> tuple[int, int] | None:
    """(S, H) of the pretrained audio encoder's outputs, where there is one; raises InputError as
    :func:`audio_features` does."""
    if not has_audio_encoder(config):
        return None
    if network := audio_network(config):
        return audio_windows(config) * network.tokens, network.width
    return audio_features(config.audio).shape


def audio_network(config: Config) -> SpectrogramNetwork | None:
    """The audio encoder's network, where it runs in the step."""
    return audio_features(config.audio).encoder.network if config.audio.input == "filterbank" else None


def audio_windows(config: Config) -> int:
    """W of a clip, where there is an audio encoder."""
    return len(audio_features(config.audio).encoder.starts(config.audio.num_samples))


def pretrained_encoders(folder: Path, config: Config) -> dict[str, Any]:
    """The encoders that run in the step by their names in the model, with the weights of the lyrics encoder's
    ``folder`` and of the audio encoder; a rival has none.

    Raises:
        InputError: as :func:`pretrained_bert` and :func:`audio_features` do.
    """
    if not uses_bert(config):
        return {}
    encoders: dict[str, Any] = {"bert": pretrained_bert(folder, config)}
    if network := audio_network(config):
        encoders["audio_encoder"] = network.pretrained(**_audio_encoder_kind(config))
    return encoders


def audio_encoding(config: Config) -> AudioEncoding:
    """What ``prepare`` stores of the sound where there is an audio encoder; raises InputError as
    :func:`audio_features` does."""
    features = audio_features(config.audio)
    return AudioEncoding(features, *features.shape, features.encoder.digest, features.encoder.licence)


def encoders_digest(config: Config, lyrics_encoder: Path) -> str:
    """The sha256 of the lyrics encoder in a folder, and that of the audio encoder behind it where there is one."""
    digests = [encoder_digest(lyrics_encoder)]
    if has_audio_encoder(config):
        digests.append(audio_features(config.audio).encoder.digest)
    return " ".join(digests)


def modalities(config: Config) -> tuple[bool, bool]:
    """Whether the model takes the sound, and whether it takes the words."""
    if not uses_bert(config):
        return True, config.model.architecture != "santana"
    return config.model.fusion != "lyrics", config.model.fusion != "audio"


def reads_words(config: Config) -> bool:
    """Whether anything depends on the words: what the model says, or what it learns by the A-L loss."""
    return modalities(config)[1] or (uses_bert(config) and config.loss.contrastive_weight > 0)


def pretrained_bert(folder: Path, config: Config) -> Bert:
    """The lyrics encoder, with the weights of ``folder``.

    Raises:
        InputError: the folder holds no encoder of the shapes that its ``config.json`` names, or one for fewer tokens
            or words.
    """
    shapes, lyrics = bert_config(folder), config.lyrics
    if lyrics.window > shapes.max_tokens:
        raise InputError(
            f"lyrics.window is {lyrics.window}, but the lyrics encoder in {folder} reads {shapes.max_tokens} at most."
        )
    if lyrics.max_tokens > shapes.max_tokens and not lyrics.window:
        raise InputError(
            f"lyrics.max_tokens is {lyrics.max_tokens}, but the lyrics encoder in {folder} reads {shapes.max_tokens} "
            "at most; lyrics.window lets it read longer lyrics in windows."
        )
    tokenizer = LyricsTokenizer(folder, lyrics.max_tokens)
    if lyrics.window and len(tokenizer.encode("")) != 2:
        raise InputError(
            f"The tokenizer in {folder} puts no token before and behind the words, which lyrics.window needs."
        )
    if tokenizer.largest >= shapes.vocab_size:
        raise InputError(
            f"The tokenizer in {folder} knows more words than the encoder beside it ({shapes.vocab_size})."
        )
    kernel = attention_kernel(config, shapes)
    try:
        return load_bert(folder, kernel=kernel, window=lyrics.window, **_encoder_kind(config))
    except ValueError as error:
        raise InputError(f"The lyrics encoder cannot be used: {error}.") from None


def bert_config(folder: Path) -> BertConfig:
    """The shapes of the lyrics encoder in a folder; raises InputError where they cannot be read."""
    try:
        return BertConfig.from_json(folder / "config.json")
    except ValueError as error:
        raise InputError(f"The lyrics encoder cannot be used: {error}.") from None


def random_bert(shapes: BertConfig, config: Config, *, kernel: str = "xla", rngs: nnx.Rngs) -> Bert:
    """The lyrics encoder, with random weights."""
    return Bert(shapes, kernel=kernel, window=config.lyrics.window, rngs=rngs, **_encoder_kind(config))


def _encoder_kind(config: Config) -> dict[str, Any]:
    return _kind(config, config.train.encoder_rate)


def _audio_encoder_kind(config: Config) -> dict[str, Any]:
    return {**_kind(config, config.train.audio_encoder_rate), "rematerialise": config.compute.rematerialise}


def _kind(config: Config, rate: float) -> dict[str, Any]:
    """Frozen weights are kept in the dtype of the computation, trained ones in float32."""
    dtype, frozen = compute_dtype(config), rate == 0
    return {"frozen": frozen, "dtype": dtype, "param_dtype": dtype if frozen else jnp.float32}


def attention_kernel(config: Config, encoder: BertConfig, mesh: Mesh | None = None) -> str:
    """XLA's or cuDNN's attention, for the lyrics encoder and for the fusion, on the mesh's devices or those here."""
    channels = (encoder.hidden_size // encoder.num_attention_heads, config.model.width // config.model.heads)
    return kernels.attention_kernel(config.compute.attention, channels, compute_dtype(config), _platform(mesh))


def first_block_form(config: Config, mesh: Mesh | None = None) -> str:
    """How the audio encoder's first block is computed, on the mesh's devices or those here."""
    preset = PRESETS[config.model.audio_preset]
    if "patch" in preset:
        return "convolution"
    channels, pool = preset["widths"][0], preset["pools"][0]
    return kernels.first_block_form(config.compute.first_block, channels, pool, compute_dtype(config), _platform(mesh))


def _platform(mesh: Mesh | None) -> str | None:
    return None if mesh is None else mesh.devices.flat[0].platform


def lyrics_encoder(config: Config) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What ``prepare`` stores of the lyrics: tokens (B, L), num_tokens (B,) -> the encoder's outputs (B, L, H).

    The batch is cut over all devices.
    """
    mesh = sharding.make_mesh()
    graphdef, weights = nnx.split(pretrained_bert(locate_encoder(config.lyrics.encoder), config))

    @jax.jit
    def run(weights: nnx.State, tokens: jax.Array, num_tokens: jax.Array) -> jax.Array:
        mask = jnp.arange(tokens.shape[1])[None] < jnp.maximum(num_tokens, 1)[:, None]
        return nnx.merge(graphdef, weights)(tokens, mask).astype(jnp.float32)

    def encode(tokens: np.ndarray, num_tokens: np.ndarray) -> np.ndarray:
        short = -len(tokens) % mesh.size
        batch = {
            "tokens": np.pad(tokens.astype(np.int32), ((0, short), (0, 0))),
            "num_tokens": np.pad(num_tokens, (0, short)),
        }
        return np.asarray(run(weights, **sharding.place_batch(batch, mesh)))[: len(tokens)]

    return encode


def classifier(
    config: Config,
    *,
    bert_config: BertConfig,
    prior_logits: jax.Array,
    audio_shape: tuple[int, int] | None,
    adjacency: jax.Array | None = None,
    node_features: jax.Array | None = None,
    mesh: Mesh | None = None,
    rngs: nnx.Rngs,
) -> GenreClassifier | Santana | Pandeya:
    """The model that ``config`` describes, with a randomly initialised lyrics encoder in BERT's place.

    Args:
        bert_config: of the frozen lyrics encoder; a rival takes no more from it than the size of its vocabulary.
        prior_logits: (G,), the training log-odds of each genre.
        audio_shape: as :func:`audio_shape` has it.
        adjacency: (G, G), as propagated by the genre graph; a rival has none.
        node_features: (G, H), the encoder's embedding of each genre's name; a rival has none.
        mesh: of the devices that it will run on, over whose axis ``data`` batches are cut.

    Raises:
        InputError: settings that do not fit each other.
    """
    if config.model.wide and not uses_bert(config):
        raise InputError(f"model.architecture {config.model.architecture} has no wide path: set model.wide=0.")
    kernel = attention_kernel(config, bert_config, mesh) if uses_bert(config) else "xla"
    common: dict[str, Any] = {
        "num_mels": config.audio.n_mels,
        "num_frames": config.audio.num_frames,
        "num_genres": len(prior_logits),
        "prior_logits": prior_logits if config.model.genre_bias else None,
        "dtype": compute_dtype(config),
        "rngs": rngs,
    }
    try:
        if config.model.architecture == "santana":
            return Santana(config.model, **common)
        if config.model.architecture == "pandeya":
            return Pandeya(config.model, vocab_size=bert_config.vocab_size, **common)
        return GenreClassifier(
            config.model,
            audio_features=audio_shape,
            **_audio_encoder(config),
            max_tokens=config.lyrics.max_tokens,
            bert=random_bert(bert_config, config, kernel=kernel, rngs=rngs),
            lyrics_features=bert_config.hidden_size,
            adjacency=adjacency,
            node_features=node_features,
            contrasts=reads_words(config),
            kernel=kernel,
            rematerialise=config.compute.rematerialise,
            first_block=first_block_form(config, mesh),
            mesh=mesh,
            **common,
        )
    except ValueError as error:
        raise InputError(f"These settings make no model: {error}.") from None


def _audio_encoder(config: Config) -> dict[str, Any]:
    """The audio encoder in the step, with random weights in the place of the published ones."""
    network = audio_network(config)
    if network is None:
        return {}
    own = InitialKeys(0)  # so that all else begins as it does without
    return {
        "audio_encoder": network.random(rngs=own, **_audio_encoder_kind(config)),
        "audio_windows": audio_windows(config),
    }


def graph_constants(
    config: Config, vocabulary: GenreVocabulary, bert: Bert, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """The genre graph's inputs, from the training labels and the genres' names.

    Returns:
        A (G, G), the adjacency after equations (2) and (3), and F (G, H), the encoder's mean-pooled embeddings of
        the names.
    """
    names = LyricsTokenizer(folder, max_tokens=32).encode_batch(list(vocabulary.names))
    length = max(len(tokens) for tokens in names)
    tokens = np.stack([np.pad(t.astype(np.int32), (0, length - len(t))) for t in names])
    mask = np.arange(length) < np.array([len(t) for t in names])[:, None]
    features = np.asarray(mean_pool(bert(jnp.asarray(tokens), jnp.asarray(mask)), jnp.asarray(mask)), np.float32)
    m = config.model
    adjacency = genre_graph.combine(
        genre_graph.cooccurrence_adjacency(vocabulary.cooccurrence, direction=m.cooccurrence_direction),
        genre_graph.similarity_adjacency(features, kind=m.similarity),
        kind=m.adjacency,
        normalise=m.adjacency_normalise,
    )
    return np.asarray(adjacency, np.float32), features


def prior_logits(vocabulary: GenreVocabulary) -> np.ndarray:
    """(G,) log-odds of each genre among the training tracks, with one imaginary track on either side."""
    positive = np.asarray(vocabulary.counts, np.float32) + 1.0
    return np.log(positive / (vocabulary.num_tracks + 2.0 - positive)).astype(np.float32)
