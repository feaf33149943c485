"""Every setting with its default, and how recipes and overrides change it.

A recipe (``configs/*.py``) returns only what differs from :func:`defaults`; ``--config.key=value`` comes last.
Whatever the source, an unknown key or a value of another type is an :class:`InputError`.
"""

from __future__ import annotations

import ast
import difflib
import math
import os
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.json_file import read_json
from data_pipeline.schema import LYRICS_INPUTS


class Config(dict):
    """A nested dict whose keys also read as attributes: ``config.train.seed``. It is JSON all the way down."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Config:
        """Copy a nested mapping, tuples becoming lists as JSON would have them.

        Raises:
            ValueError, TypeError: a value that cannot be written as JSON.
            RecursionError: a tree that is too deep.
        """
        return cls({_as_json(k): _as_json(v) for k, v in tree.items()})


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Config.of(value)
    if isinstance(value, list | tuple):
        return [_as_json(v) for v in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a number is too large")
    if isinstance(value, str):
        value.encode()  # an argument that is not UTF-8, half of a surrogate pair
    return value


def defaults() -> Config:
    """The paper's recipe, with our defaults where it is silent (the open points of the method)."""
    return Config.of(
        {
            "data": {
                "languages": [],  # keep only these language codes, e.g. ["en"]; empty keeps all
                "require_lyrics": False,  # the paper drops tracks without lyrics; we mask them
                "min_genre_tracks": 100,  # genres with fewer tracks leave the vocabulary
                "max_genres": 0,  # at most so many genres; 0 = no limit
                "aliases": {},  # spelling -> genre, e.g. {"hiphop": "hip hop"}
                "split": "random",  # random | artist (no artist on two sides)
                "fractions": [0.7, 0.1, 0.2],  # train, validation, test
                "split_seed": 0,
            },
            "audio": {
                "sample_rate": 22_050,  # Hz
                "n_fft": 2048,
                "hop_length": 512,
                "n_mels": 128,
                "seconds": 30.0,  # one clip
            },
            "lyrics": {
                "encoder": "google-bert/bert-base-uncased",  # minilm | a folder | a Hugging Face name
                "max_tokens": 512,
                "input": "tokens",  # tokens | features: the frozen encoder's outputs, computed once by prepare
            },
            "model": {
                "architecture": "ru",  # ru (all settings below) | santana | pandeya (the paper's rivals)
                "baseline_width": 1.0,  # multiplies the published channels and units of santana and pandeya
                "audio_preset": "paper",  # paper | narrow | fcn5; paper_patches | narrow_patches: a faster first block
                "audio_tokens": "time",  # time: frequency folded into channels | all: every position
                "width": 512,  # D, of the fused vector and of the genre vectors
                "fusion": "scma",  # scma | concat (no cross-attention) | audio | lyrics (one modality)
                "heads": 8,
                "residual_norm": True,  # False with heads=1: the literal reading of equation (1)
                "pooling": "mean",  # mean over real tokens | flatten (literal, fixed lengths)
                "head": "graph",  # graph | linear (no genre graph)
                "adjacency": "both",  # both | cooccurrence | similarity | identity (the control)
                "cooccurrence_direction": "given_column",  # given_column | given_row | symmetric
                "similarity": "centred",  # raw (literal) | centred | topk
                "adjacency_normalise": "reweight",  # reweight (.2 to neighbours) | row | symmetric | none (literal)
                "gcn_hidden": 1024,
                "gcn_depth": 2,
                "contrastive_width": 4,  # of g_a and g_l
                "contrastive_normalise": False,  # cosine instead of the paper's dot product
                "genre_bias": True,  # start each logit at the genre's training log-odds
                "dropout": 0.1,
            },
            "loss": {
                "contrastive_weight": 0.3,  # lambda of equation (7)
                "kind": "bce",  # bce | focal | asymmetric
                "reduction": "sum",  # over genres: sum | mean
                "same_lyrics": False,  # True: tracks with the same words are no negatives in the A-L loss
            },
            "augment": {  # of the training batches, on the device; all off, as in the paper
                "time_masks": 0,  # SpecAugment: masks a clip ...
                "time_share": 0.15,  # ... and the widest one, as a share of the frames
                "mel_masks": 0,
                "mel_share": 0.15,
                "mixup": 0.0,  # alpha of the Beta distribution; needs lyrics.input=features
            },
            "train": {
                "batch_size": 16,  # global
                "lyrics_bucket": 0,  # tokens: lyrics of like length share a batch, cut to a multiple of it; 0 = off
                "epochs": 100,
                "optimiser": "adamw",  # adamw | lamb: steps as long as each weight, for batches of thousands
                "learning_rate": 1e-4,
                "encoder_rate": 0.0,  # the lyrics encoder's, as a share of learning_rate; 0 = frozen, as in the paper
                "warmup_steps": 200,
                "halve_every_epochs": 50,
                "weight_decay": 1e-4,
                "clip_norm": 1.0,  # 0 = no clipping
                "average_decay": 0.0,  # of the moving average of the weights, e.g. 0.999; 0 = none
                "patience": 15,  # evaluations without a better validation score; 0 = never stop early
                "evaluate_every_epochs": 1,
                "checkpoint_every_steps": 1000,  # besides one at every evaluation
                "log_every_steps": 20,
                "seed": 0,
            },
            "compute": {
                "dtype": "auto",  # float32 | bfloat16 | auto (bfloat16 on TPU and GPU)
                "attention": "auto",  # xla | cudnn | auto (cudnn for bfloat16 on NVIDIA GPUs, where it works)
                "first_block": "auto",  # convolution | windows | triton | auto (triton on NVIDIA GPUs, where it works)
                "rematerialise": False,  # compute the audio CNN's blocks again in the backward pass: larger batches fit
                "fsdp": False,  # shard parameters and optimiser over "data"
                "model_parallel": 1,  # size of the mesh axis "model"
                "evaluation_batch_size": 64,  # global
                "placement": "stream",  # of the training split: stream | device (sent to the devices' memory once)
                "prefetch": 2,  # batches placed on the devices ahead of the step
            },
            "log": {  # beside metrics.jsonl and TensorBoard
                "tracker": "none",  # none | wandb (Weights & Biases) | mlflow
                "project": "mgc-jax",  # of W&B, the experiment in MLflow
            },
        }
    )


def load(spec: str | None = None, overrides: Iterable[str] = (), base: Mapping[str, Any] | None = None) -> Config:
    """Read ``FILE[:ARG]`` and apply ``key=value`` overrides over the defaults (changed by ``base``, if given).

    Raises:
        InputError: the file is missing or broken, a key is unknown or a value has another type.
    """
    config = defaults()
    merge(config, base or {}, origin="the base settings")
    if spec is not None:
        merge(config, _read_recipe(spec), origin=spec)
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"--config.{item} has no value: write --config.{key}=VALUE.")
        tree: Any = _literal(text)
        for part in reversed(key.split(".")):
            tree = {part: tree}
        merge(config, tree, origin=f"--config.{key}")
    return validate(config)


def merge(config: dict[str, Any], changes: Mapping[str, Any], *, origin: str, prefix: str = "") -> None:
    """Write ``changes`` into ``config`` in place, allowing only known keys and the default's type."""
    for key, value in changes.items():
        name = f"{prefix}{key}"
        if key not in config:
            near = difflib.get_close_matches(name, _leaves(defaults()), n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(config)}."
            raise InputError(f"{origin}: there is no setting {name}{hint}")
        old = config[key]
        if isinstance(old, Config) and name != "data.aliases":
            if not isinstance(value, Mapping):
                raise InputError(f"{origin}: {name} is a group of settings ({', '.join(old)}), not a value.")
            merge(old, value, origin=origin, prefix=f"{name}.")
        else:
            config[key] = _checked(old, value, name, origin)


def validate(config: Config) -> Config:
    """Check the values that would otherwise fail late, inside the model.

    Raises:
        InputError: naming the setting and what it may be.
    """
    choices = {
        "data.split": ("random", "artist"),
        "lyrics.input": LYRICS_INPUTS,
        "model.architecture": ("ru", "santana", "pandeya"),
        "model.audio_preset": ("paper", "narrow", "fcn5", "paper_patches", "narrow_patches"),
        "model.audio_tokens": ("time", "all"),
        "model.fusion": ("scma", "concat", "audio", "lyrics"),
        "model.pooling": ("mean", "flatten"),
        "model.head": ("graph", "linear"),
        "model.adjacency": ("both", "cooccurrence", "similarity", "identity"),
        "model.cooccurrence_direction": ("given_column", "given_row", "symmetric"),
        "model.similarity": ("raw", "centred", "topk"),
        "model.adjacency_normalise": ("reweight", "row", "symmetric", "none"),
        "loss.kind": ("bce", "focal", "asymmetric"),
        "train.optimiser": ("adamw", "lamb"),
        "loss.reduction": ("sum", "mean"),
        "compute.placement": ("stream", "device"),
        "compute.attention": ("auto", "xla", "cudnn"),
        "compute.first_block": ("auto", "convolution", "windows", "triton"),
        "compute.dtype": ("auto", "float32", "bfloat16"),
        "log.tracker": ("none", "wandb", "mlflow"),
    }
    positive = (
        "audio.sample_rate audio.n_fft audio.hop_length audio.n_mels audio.seconds lyrics.max_tokens model.width "
        "model.baseline_width model.heads model.gcn_hidden model.gcn_depth model.contrastive_width train.batch_size "
        "train.epochs train.learning_rate train.halve_every_epochs train.evaluate_every_epochs "
        "train.checkpoint_every_steps train.log_every_steps compute.model_parallel compute.evaluation_batch_size "
        "compute.prefetch data.min_genre_tracks"
    ).split()
    not_negative = (
        "train.lyrics_bucket train.encoder_rate train.warmup_steps train.weight_decay train.clip_norm train.patience "
        "train.seed data.max_genres augment.time_masks augment.mel_masks augment.mixup"
    )
    for name, allowed in choices.items():
        if _get(config, name) not in allowed:
            raise InputError(f"{name} is {_get(config, name)!r}, but must be one of {', '.join(allowed)}.")
    for name in positive:
        if not 0 < _get(config, name) < math.inf:
            raise InputError(f"{name} is {_get(config, name)}, but must be greater than 0.")
    for name in not_negative.split():
        if not 0 <= _get(config, name) < math.inf:
            raise InputError(f"{name} is {_get(config, name)}, but must not be negative.")
    if config.model.width % config.model.heads:
        raise InputError(f"model.width {config.model.width} is not a multiple of model.heads {config.model.heads}.")
    if not 0 <= config.loss.contrastive_weight < 1:
        raise InputError(
            f"loss.contrastive_weight is {config.loss.contrastive_weight}, but must lie in [0, 1): at 1 the "
            "classifier would not be trained."
        )
    if config.model.architecture != "ru" and config.loss.contrastive_weight != 0:
        raise InputError(
            f"loss.contrastive_weight is {config.loss.contrastive_weight}, but model.architecture "
            f"{config.model.architecture} has no A-L loss; set --config.loss.contrastive_weight=0.0."
        )
    if config.train.encoder_rate and (config.lyrics.input != "tokens" or config.model.architecture != "ru"):
        raise InputError(
            f"train.encoder_rate is {config.train.encoder_rate}, but only the paper's own model with "
            "lyrics.input=tokens has a lyrics encoder in its training step."
        )
    if config.augment.mixup and (config.lyrics.input != "features" or config.model.architecture == "pandeya"):
        raise InputError(
            "augment.mixup blends the lyrics encoder's outputs: it needs lyrics.input=features and a model that reads "
            "them, which pandeya does not."
        )
    for name in ("augment.time_share", "augment.mel_share"):
        if not 0 <= _get(config, name) <= 1:
            raise InputError(f"{name} is {_get(config, name)}, but must lie in [0, 1].")
    if not 0 <= config.train.average_decay < 1:
        raise InputError(f"train.average_decay is {config.train.average_decay}, but must lie in [0, 1).")
    if not 0 <= config.model.dropout < 1:
        raise InputError(f"model.dropout is {config.model.dropout}, but must lie in [0, 1).")
    if not all(isinstance(language, str) for language in config.data.languages):
        raise InputError(f"data.languages is {config.data.languages}, but must be a list of texts such as ['en'].")
    if not all(isinstance(text, str) for pair in config.data.aliases.items() for text in pair):
        raise InputError(f"data.aliases is {dict(config.data.aliases)}, but must lead from texts to texts.")
    fractions = config.data.fractions
    numbers = all(isinstance(f, int | float) and f > 0 for f in fractions)
    if len(fractions) != 3 or not numbers or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"data.fractions is {fractions}, but must be three shares over 0 that add up to 1.")
    if not config.log.project.strip():
        raise InputError("log.project is empty, but must be the name of a project.")
    if config.lyrics.max_tokens < 3:
        raise InputError("lyrics.max_tokens must be at least 3: [CLS], one word and [SEP].")
    return config


def from_json(path: Path) -> Config:
    """Read a run's ``config.json``; it is data, nothing in it is executed."""
    try:
        return Config.of(read_json(path))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a run's configuration ({error}).") from None


def flat(config: Config) -> dict[str, Any]:
    """Every setting by its full name, such as ``train.seed``."""
    return {name: _get(config, name) for name in _leaves(config)}


def first_difference(a: Mapping[str, Any], b: Mapping[str, Any], ignore: Iterable[str] = ()) -> str | None:
    """The first ``section.key`` whose values differ, as a phrase, or None."""
    for name in sorted(set(_leaves(a)) | set(_leaves(b))):
        if not name.startswith(tuple(ignore)) and _get(a, name) != _get(b, name):
            return f"{name} is {_get(b, name)!r} and was {_get(a, name)!r}"
    return None


def _read_recipe(spec: str) -> Mapping[str, Any]:
    path, _, argument = spec.partition(":")
    if not os.path.isfile(path):
        raise InputError(f"There is no recipe {path}; those that come with the project are in configs/.")
    try:
        get_config = runpy.run_path(path).get("get_config")
        if get_config is None:
            raise InputError(f"{path} defines no get_config(); see configs/music4all.py for the form.")
        recipe = get_config(argument) if argument else get_config()
        return recipe.to_dict() if hasattr(recipe, "to_dict") else dict(recipe)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{path} is not a usable recipe ({type(error).__name__}: {error}).") from None


def _literal(text: str) -> Any:
    try:
        return _as_json(ast.literal_eval({"true": "True", "false": "False"}.get(text, text)))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _checked(old: Any, value: Any, name: str, origin: str) -> Any:
    try:
        value = _as_json(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{origin}: {name} cannot be read as a setting ({error}).") from None
    if isinstance(old, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(old):
        expected = {"str": "text", "list": "a list such as [1, 2]", "Config": "a dict"}
        kind = type(old).__name__
        raise InputError(f"{origin}: {name} must be {expected.get(kind, kind)} like {old!r}, not {value!r}.")
    return value


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for key, value in tree.items():
        group = isinstance(value, Mapping) and f"{prefix}{key}" != "data.aliases"
        names += _leaves(value, f"{prefix}{key}.") if group else [f"{prefix}{key}"]
    return names


def _get(tree: Mapping[str, Any], name: str) -> Any:
    value: Any = tree
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
