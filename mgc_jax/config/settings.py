"""Every setting of a run with its default, what it may be, and what it means: the reference in the docs is read off.

The settings of a group stand in one class: ``config.train.seed``. A :class:`Config` holds what its annotations say and
its parts fit each other; whoever makes another by ``dataclasses.replace`` is told otherwise by an :class:`InputError`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from data_pipeline.prepare.options import DataConfig, LyricsConfig
from data_pipeline.validation import check
from mgc_jax.models.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What is minimised."""

    contrastive_weight: Annotated[float, {"ge": 0, "lt": 1}] = 0.3
    """Lambda of equation (7), the weight of the A-L loss; at 1 the classifier would not be trained."""
    kind: Literal["bce", "focal", "asymmetric"] = "bce"
    """The loss of the genres: cross-entropy, focal, or asymmetric."""
    reduction: Literal["sum", "mean"] = "sum"
    """How the losses of a track's genres become one."""
    same_lyrics: bool = False
    """Tracks with the same words are no negatives of each other in the A-L loss."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """What is done to training batches, on the device; all off, as in the paper."""

    time_masks: Annotated[int, {"ge": 0}] = 0
    """SpecAugment: masks in time of each clip."""
    time_share: Annotated[float, {"ge": 0, "le": 1}] = 0.15
    """The widest of them, as a share of the frames."""
    mel_masks: Annotated[int, {"ge": 0}] = 0
    """SpecAugment: masks in frequency of each clip."""
    mel_share: Annotated[float, {"ge": 0, "le": 1}] = 0.15
    """The widest of them, as a share of the mel bands."""
    mixup: Annotated[float, {"ge": 0}] = 0.0
    """Alpha of mixup's Beta distribution; needs `lyrics.input=features`; 0 is off."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long, how fast and by what the model is trained."""

    batch_size: Annotated[int, {"gt": 0}] = 16
    """Tracks of a step, over all devices."""
    lyrics_bucket: Annotated[int, {"ge": 0}] = 0
    """Lyrics of like length share a batch, cut to a multiple of so many tokens; 0 is off."""
    epochs: Annotated[int, {"gt": 0}] = 100
    """Passes over the training tracks."""
    optimiser: Literal["adamw", "lamb"] = "adamw"
    """`lamb` makes steps as long as each weight, for batches of thousands."""
    learning_rate: Annotated[float, {"gt": 0}] = 1e-4
    """The highest, after the warm-up."""
    encoder_rate: Annotated[float, {"ge": 0}] = 0.0
    """The lyrics encoder's learning rate as a share of the others'; 0 keeps it frozen, as in the paper."""
    audio_encoder_rate: Annotated[float, {"ge": 0}] = 0.0
    """The same of the pretrained audio encoder, where `audio.input=filterbank` has it in the training step."""
    warmup_steps: Annotated[int, {"ge": 0}] = 200
    """Steps in which the learning rate rises from 0."""
    halve_every_epochs: Annotated[int, {"gt": 0}] = 50
    """After so many epochs the learning rate is halved, again and again."""
    weight_decay: Annotated[float, {"ge": 0}] = 1e-4
    """Decoupled weight decay."""
    clip_norm: Annotated[float, {"ge": 0}] = 1.0
    """The gradient's largest norm; 0 does not clip."""
    average_decay: Annotated[float, {"ge": 0, "lt": 1}] = 0.0
    """Decay of the moving average of the weights that is evaluated, such as 0.999; 0 takes none."""
    patience: Annotated[int, {"ge": 0}] = 15
    """Stop after so many evaluations without a better validation score; 0 never stops early."""
    evaluate_every_epochs: Annotated[int, {"gt": 0}] = 1
    """Epochs from one evaluation on the validation tracks to the next."""
    checkpoint_every_steps: Annotated[int, {"gt": 0}] = 1000
    """Steps from one checkpoint to the next, besides one at every evaluation."""
    log_every_steps: Annotated[int, {"gt": 0}] = 20
    """Steps from one line of the log to the next."""
    seed: Annotated[int, {"ge": 0}] = 0
    """Seed of the weights, the order of the tracks, dropout and augmentation."""


@dataclasses.dataclass(frozen=True)
class ComputeConfig:
    """How it is computed, which changes speed and memory alone."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the model computes in; `auto` is bfloat16 on TPU and GPU, float32 on CPU."""
    attention: Literal["auto", "xla", "cudnn"] = "auto"
    """Who computes attention; `auto` is cuDNN for bfloat16 on NVIDIA GPUs where it works, else XLA."""
    first_block: Literal["auto", "convolution", "windows", "triton", "mosaic"] = "auto"
    """How the audio CNN's first block is computed; `auto` is kernels that never write its convolution's output where
    they work, Triton's on NVIDIA GPUs and Mosaic's on TPUs, else the convolution, and on a CPU `windows`."""
    rematerialise: bool = False
    """Compute the audio CNN's blocks, or the layers of an audio encoder that is trained, again in the backward pass:
    larger batches fit, and a step takes longer."""
    fsdp: bool = False
    """Shard parameters and optimiser state over the data-parallel devices too."""
    model_parallel: Annotated[int, {"gt": 0}] = 1
    """Devices that share a model, the mesh's axis "model"."""
    evaluation_batch_size: Annotated[int, {"gt": 0}] = 64
    """Tracks of an evaluation step, over all devices."""
    placement: Literal["stream", "device"] = "stream"
    """Whether training tracks are read for each step, or sent to the devices' memory once."""
    prefetch: Annotated[int, {"gt": 0}] = 2
    """Batches that are placed on the devices ahead of the step."""


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """Where a run is logged, besides `metrics.jsonl` and TensorBoard."""

    tracker: Literal["none", "wandb", "mlflow"] = "none"
    """Weights & Biases or MLflow."""
    project: str = "mgc-jax"
    """Project in W&B, or experiment in MLflow."""


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run. The defaults are the paper's recipe, with our choices where it is silent."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    audio: AudioSpec = dataclasses.field(default_factory=AudioSpec)
    lyrics: LyricsConfig = dataclasses.field(default_factory=LyricsConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    compute: ComputeConfig = dataclasses.field(default_factory=ComputeConfig)
    log: LogConfig = dataclasses.field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        check(self)
        model, loss, train = self.model, self.loss, self.train
        if model.width % model.heads:
            raise InputError(f"model.width {model.width} is not a multiple of model.heads {model.heads}.")
        if model.architecture != "ru" and loss.contrastive_weight != 0:
            raise InputError(
                f"loss.contrastive_weight is {loss.contrastive_weight}, but model.architecture {model.architecture} "
                "has no A-L loss; set --config.loss.contrastive_weight=0.0."
            )
        if train.encoder_rate and (self.lyrics.input != "tokens" or model.architecture != "ru"):
            raise InputError(
                f"train.encoder_rate is {train.encoder_rate}, but only the paper's own model with "
                "lyrics.input=tokens has a lyrics encoder in its training step."
            )
        if train.audio_encoder_rate and self.audio.input != "filterbank":
            raise InputError(
                f"train.audio_encoder_rate is {train.audio_encoder_rate}, but only audio.input=filterbank has a "
                "pretrained audio encoder in the training step."
            )
        if self.augment.mixup and (self.lyrics.input != "features" or model.architecture == "pandeya"):
            raise InputError(
                "augment.mixup blends the lyrics encoder's outputs: it needs lyrics.input=features and a model that "
                "reads them, which pandeya does not."
            )
        if self.audio.input != "spectrogram" and model.architecture != "ru":
            raise InputError(
                f"model.architecture {model.architecture} hears spectrograms, not audio.input={self.audio.input}."
            )
        if self.audio.input == "features" and (self.augment.time_masks or self.augment.mel_masks):
            raise InputError(
                "augment.time_masks and augment.mel_masks cover parts of spectrograms; with audio.input=features "
                "there are none."
            )
        if not self.log.project.strip():
            raise InputError("log.project is empty, but must be the name of a project.")
