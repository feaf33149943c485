"""From the same settings to the twin and its trainer."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import BertModel, RobertaModel

from data_pipeline.errors import InputError
from mgc_jax import api
from mgc_jax.config import Config
from mgc_jax.models.audio_cnn import PRESETS
from mgc_jax.models.bert import BertConfig
from mgc_jax.network import build
from mgc_jax.torch_reference.model import GenreClassifier
from mgc_jax.torch_reference.training import Trainer
from mgc_jax.torch_reference.weights import to_torch


def classifier(
    config: Config,
    *,
    bert: BertModel | RobertaModel,
    adjacency: np.ndarray,
    name_features: np.ndarray,
    prior_logits: np.ndarray,
    audio_shape: tuple[int, int] | None = None,
) -> GenreClassifier:
    """The twin that ``config`` describes, in float32.

    Args:
        bert: the lyrics encoder; see :func:`pretrained`.
        adjacency: (G, G), as propagated by the genre graph.
        name_features: (G, H), the encoder's embedding of each genre's name.
        prior_logits: (G,), the training log-odds of each genre.
        audio_shape: (S, H) of the frozen audio encoder's outputs, where the model hears these.

    Raises:
        InputError: the settings describe one of the rivals, which have no twin.
    """
    m = config.model
    if m.architecture != "ru":
        raise InputError(f"model.architecture {m.architecture} has no PyTorch twin; only the paper's own model has.")
    if config.audio.input == "filterbank":
        raise InputError("audio.input=filterbank has no PyTorch twin; spectrograms and stored features have.")
    return GenreClassifier(
        m,
        lyrics_encoder=bert,
        lyrics_features=bert.config.hidden_size,
        num_mels=config.audio.n_mels,
        num_frames=config.audio.num_frames,
        max_tokens=config.lyrics.max_tokens,
        **PRESETS[m.audio_preset],
        audio_features=audio_shape,
        adjacency=torch.tensor(adjacency, dtype=torch.float32),
        name_features=torch.tensor(name_features, dtype=torch.float32),
        prior_logits=torch.tensor(prior_logits, dtype=torch.float32) if m.genre_bias else None,
        frozen=config.train.encoder_rate == 0,
        window=config.lyrics.window,
        reads=build.reads_words(config),
    )


def pretrained(encoder: Path) -> BertModel | RobertaModel:
    """The lyrics encoder of a folder."""
    kind = RobertaModel if build.bert_config(encoder).first_position else BertModel
    with _quiet():
        return kind.from_pretrained(encoder, add_pooling_layer=False, use_safetensors=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library reports every weight of the file that is not wanted, and it is meant: there is no pooler here."""
    log = transformers.logging
    verbosity, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bar:
            log.enable_progress_bar()


def untrained(
    config: Config,
    num_genres: int,
    encoder: BertConfig,
    audio_shape: tuple[int, int] | None = None,
    *,
    attention: str,
) -> GenreClassifier:
    """The twin without any file: the lyrics encoder is random, and no two genres are related.

    ``attention`` is what ``transformers`` calls its implementation: ``eager`` or ``sdpa``.
    """
    fields: dict[str, Any] = {**dataclasses.asdict(encoder), "attn_implementation": attention}
    first = fields.pop("first_position")
    bert: BertModel | RobertaModel
    if first:
        bert = RobertaModel(transformers.RobertaConfig(**fields, pad_token_id=first - 1), add_pooling_layer=False)
    else:
        bert = BertModel(transformers.BertConfig(**fields), add_pooling_layer=False)
    return classifier(
        config,
        bert=bert,
        audio_shape=audio_shape,
        adjacency=np.eye(num_genres),
        name_features=np.random.default_rng(0).normal(size=(num_genres, encoder.hidden_size)),
        prior_logits=np.zeros(num_genres),
    )


def trainer(config: Config, model: GenreClassifier, steps_per_epoch: int, **speed: Any) -> Trainer:
    """AdamW with the settings' schedule around ``model``; ``speed`` goes to :class:`Trainer`.

    Raises:
        InputError: the settings want another optimiser.
    """
    t = config.train
    if t.optimiser != "adamw":
        raise InputError(f"The PyTorch twin trains with adamw, not {t.optimiser}; set --config.train.optimiser=adamw.")
    return Trainer(
        model,
        contrastive_weight=config.loss.contrastive_weight,
        learning_rate=t.learning_rate,
        encoder_rate=t.encoder_rate,
        warmup_steps=t.warmup_steps,
        halve_every_steps=t.halve_every_epochs * steps_per_epoch,
        weight_decay=t.weight_decay,
        clip_norm=t.clip_norm,
        reduction=config.loss.reduction,
        **speed,
    )


def of_run(place: str | Path) -> GenreClassifier:
    """The twin of a trained run, with the weights of its best checkpoint, or of an exported model, in evaluation mode.

    Raises:
        InputError: the place holds no run, or its files cannot be read.
    """
    return twin_of(api.load(place))


def twin_of(run: api.Model) -> GenreClassifier:
    """The twin of a loaded model, with its weights, in evaluation mode.

    Raises:
        InputError: as :func:`classifier` does.
    """
    genres = run.vocabulary.size
    twin = classifier(
        run.config,
        bert=pretrained(run.encoder),
        audio_shape=build.audio_shape(run.config),
        # The graph and the biases come with the weights.
        adjacency=np.ones((genres, genres)),
        name_features=np.ones((genres, build.bert_config(run.encoder).hidden_size)),
        prior_logits=np.ones(genres),
    )
    to_torch(run.state, twin)
    return twin.eval()
