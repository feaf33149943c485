"""The small files of a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data_pipeline import genres
from data_pipeline.errors import InputError
from mgc_jax.config import Config, recipes
from mgc_jax.runs.workdir import Workdir

VOCABULARY = genres.make_vocabulary([["rock", "pop"], ["rock"]])


def test_a_resumed_run_leaves_its_genres_alone(tmp_path: Path):
    folder = Workdir(tmp_path)
    folder.begin(Config(), VOCABULARY).close()
    os.utime(tmp_path / "genres.json", (0, 0))
    folder.begin(recipes.load(overrides=["train.epochs=7"]), VOCABULARY).close()
    assert (tmp_path / "genres.json").stat().st_mtime == 0
    assert folder.config().train.epochs == 7


def test_genres_without_a_run_are_none(tmp_path: Path):
    """Of a run that was killed before it had settings, or of somebody else."""
    genres.make_vocabulary([["jazz"]]).save(tmp_path / "genres.json")
    folder = Workdir(tmp_path)
    folder.begin(Config(), VOCABULARY).close()
    assert folder.vocabulary() == VOCABULARY
    with pytest.raises(InputError, match="another genre vocabulary"):
        folder.begin(Config(), genres.make_vocabulary([["jazz"]]))
