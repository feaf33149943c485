"""The settings of a run, and where they come from."""

from mgc_jax.config.settings import (
    AugmentConfig,
    ComputeConfig,
    Config,
    LogConfig,
    LossConfig,
    TrainConfig,
)

__all__ = ["AugmentConfig", "ComputeConfig", "Config", "LogConfig", "LossConfig", "TrainConfig"]
