"""From settings to what a training step does besides the model: losses, augmentation, optimiser and its schedule."""

from __future__ import annotations

import functools
from typing import Any

from mgc_jax.config import Config
from mgc_jax.models import losses
from mgc_jax.training import optimisers, steps
from mgc_jax.training.augment import augment


def make_optimiser(config: Config, steps_per_epoch: int) -> Any:
    """A run's optimiser with its schedule, and the average of the weights if it wants one."""
    t = config.train
    make = {"adamw": optimisers.adamw, "lamb": optimisers.lamb}[t.optimiser]
    optimiser = make(learning_rate(config, steps_per_epoch), weight_decay=t.weight_decay, clip_norm=t.clip_norm)
    if t.encoder_rate:
        optimiser = optimisers.at_rate(optimiser, "bert", t.encoder_rate)
    if t.audio_encoder_rate:
        optimiser = optimisers.at_rate(optimiser, "audio_encoder", t.audio_encoder_rate)
    return optimisers.with_average(optimiser, t.average_decay) if t.average_decay else optimiser


def make_objective(config: Config) -> steps.Objective:
    """What a training step does besides the model: losses and augmentation."""
    a = config.augment
    return steps.Objective(
        seed=config.train.seed,
        contrastive_weight=config.loss.contrastive_weight,
        genre_loss=functools.partial(losses.genre_loss, kind=config.loss.kind, reduction=config.loss.reduction),
        same_lyrics=config.loss.same_lyrics,
        augment=functools.partial(augment, config=a) if a.time_masks or a.mel_masks or a.mixup else None,
    )


def learning_rate(config: Config, steps_per_epoch: int) -> Any:
    """A run's learning rate, in steps."""
    t = config.train
    return optimisers.halving_schedule(
        t.learning_rate, warmup_steps=t.warmup_steps, halve_every_steps=t.halve_every_epochs * steps_per_epoch
    )
