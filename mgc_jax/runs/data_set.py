"""What a data set says of itself holds for the runs on it: which tracks it keeps, and how they are split."""

from __future__ import annotations

from collections.abc import Iterable

from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.config import Config, recipes


def as_prepared(config: Config, data: PreparedData) -> Config:
    """``config`` with the settings ``data.*`` that ``data`` was prepared with: nothing else reads them after that.

    Raises:
        InputError: the data set's own settings are broken.
    """
    own = {f"data.{name}": value for name, value in data.settings.items()}
    return recipes.changed(config, own, origin=str(data.path / "dataset.json"))


def check_overrides(config: Config, overrides: Iterable[str], data: PreparedData) -> None:
    """Raise InputError for one of the ``overrides`` (see :func:`recipes.load`) that the data set contradicts."""
    own = as_prepared(config, data)
    wanted = recipes.flat(recipes.load(base=own, overrides=overrides))
    for name, value in recipes.flat(own).items():
        if wanted[name] != value:
            raise InputError(
                f"{data.path} was prepared with {name}={value!r}, which --config.{name}={wanted[name]!r} cannot change "
                "any more; leave it out, or prepare the songs again with it."
            )


def trained_on(config: Config, vocabulary: GenreVocabulary, data: PreparedData) -> bool:
    """Whether the run with these settings and genres was trained on ``data``, and not on other tracks."""
    return vocabulary == data.vocabulary and config.data == as_prepared(config, data).data
