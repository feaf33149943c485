"""The files of a run besides its checkpoints: config.json, genres.json, thresholds.json."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.lyrics.encoder import locate_encoder
from data_pipeline.storage.json_file import read_json, write_json
from mgc_jax.config import Config, recipes

# Settings that may change when a run is resumed: they do not touch what was learned so far.
FREE_ON_RESUME = (*("train.epochs", "train.patience", "train.log_every", "train.checkpoint_every", "compute.", "log."),)


@dataclasses.dataclass(frozen=True)
class Workdir:
    """A run's folder."""

    path: Path

    def begin(self, config: Config, vocabulary: GenreVocabulary) -> IO[str]:
        """Make the folder for a new run, or check that the run in it is the one to be resumed.

        Returns:
            An open file: until it is closed, or this process ends in whatever way, the folder is this run's alone.

        Raises:
            InputError: it holds another run, one is training in it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = self._lock()
            self.check_same(config, vocabulary)
            genres, settings = self.path / "genres.json", self.path / "config.json"
            if not (genres.exists() and settings.exists()):
                vocabulary.save(genres)
            write_json(settings, recipes.as_json(config))  # those that are free may be others
        except OSError as error:
            raise InputError(f"The workdir {self.path} cannot be written ({error.strerror or error}).") from None
        return lock

    def _lock(self) -> IO[str]:
        lock = (self.path / "lock").open("a+", encoding="utf-8")
        try:
            import fcntl  # which Windows has not

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(200).strip()
            raise InputError(
                f"{self.path} is in use: {holder} trains in it; wait, or give another --workdir."
            ) from None
        except (ImportError, OSError) as error:
            reason = getattr(error, "strerror", error)
            print(f"{self.path} cannot be locked ({reason}): see to it that nobody else trains in it")
            return lock
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        return lock

    def check_same(self, config: Config, vocabulary: GenreVocabulary, free: Iterable[str] = FREE_ON_RESUME) -> None:
        """Check that a run that is here has these settings, but for those that are ``free``, and these genres.

        Raises:
            InputError: naming the first difference.
        """
        if not (self.path / "config.json").exists():
            return
        if (self.path / "genres.json").exists() and (own := self.vocabulary()) != vocabulary:
            other = "on another data set" if own.names == vocabulary.names else "with another genre vocabulary"
            raise InputError(f"{self.path} holds a run {other}; give another --workdir.")
        if difference := recipes.first_difference(self.config(), config, ignore=free):
            raise InputError(f"{self.path} holds a run with other settings ({difference}); give another --workdir.")

    def config(self) -> Config:
        """The settings that the run was trained with."""
        path = self.path / "config.json"
        if not path.exists():
            raise InputError(f"{self.path} holds no run (config.json is missing); train one with mgc-jax train.")
        return recipes.from_json(path)

    def vocabulary(self) -> GenreVocabulary:
        """The genres that the run knows."""
        return GenreVocabulary.load(self.path / "genres.json")

    def encoder(self, config: Config) -> Path:
        """The folder of the lyrics encoder: the one that an exported model brings with it, else the settings' own.

        Raises:
            InputError: it is not to be had, or not complete.
        """
        own = self.path / "encoder"
        return locate_encoder(str(own.absolute()) if own.is_dir() else config.lyrics.encoder)

    def audio(self, config: Config) -> AudioSpec:
        """The settings of the sound, with the audio encoder that an exported model brings with it."""
        own = self.path / "audio_encoder"
        return dataclasses.replace(config.audio, encoder=str(own.absolute())) if own.is_dir() else config.audio

    def save_thresholds(self, thresholds: np.ndarray, vocabulary: GenreVocabulary) -> None:
        """Keep the per-genre thresholds calibrated on validation."""
        pairs = dict(zip(vocabulary.names, map(float, thresholds), strict=True))
        write_json(self.path / "thresholds.json", pairs)

    def forget_thresholds(self) -> None:
        """Those of other weights are none."""
        (self.path / "thresholds.json").unlink(missing_ok=True)

    def thresholds(self) -> np.ndarray | None:
        """(G,) thresholds in the vocabulary's order, or None where none were calibrated yet."""
        path = self.path / "thresholds.json"
        if not path.exists():
            return None
        try:
            pairs = read_json(path)
            thresholds = np.array([float(pairs[name]) for name in self.vocabulary().names])
            if not np.isfinite(thresholds).all():
                raise ValueError("a threshold is not a number")
            return thresholds
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise InputError(f"{path} does not fit the run ({error}); remove it and run mgc-jax evaluate.") from None

    def evaluation(self, split: str) -> Path:
        """The file with the metrics of a split; what they come from lies beside it as ``.npz``."""
        return self.path / f"evaluation_{split}.json"
