"""What a run measured of itself: its ``evaluation_<split>.json`` files, checked before a card repeats them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.json_file import read_json
from data_pipeline.schema import SPLITS

METRICS = {
    "mAP, macro": "map_macro",
    "mAP, micro": "map_micro",
    "ROC-AUC, macro": "roc_auc_macro",
    "label ranking average precision": "lrap",
    "F1, by track": "f1_example",
    "F1, micro": "f1_micro",
    "F1, macro": "f1_macro",
    "Jaccard index": "jaccard",
    "exact match": "exact_match",
    "Hamming loss (smaller is better)": "hamming_loss",
}
"""A reader's name of each metric -> its key."""
GENERATED = "a generated corpus"
NEVER_LOOKS = {
    "map_macro": ("prevalence", "map_macro"),
    "map_micro": ("prevalence", "map_micro"),
    "f1_example": ("best_constant", "f1_example"),
    "jaccard": ("best_constant", "jaccard"),
}
"""Where the figure of a predictor that never looks stands, for those metrics that have one."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A run's figures on one split; None for a figure that is not defined there."""

    split: str
    split_kind: str
    source: str
    """The kind of corpus; empty where the data set does not say."""
    step: int
    """Of the checkpoint that was evaluated."""
    tracks: int
    metrics: Mapping[str, float | None]
    never_looks: Mapping[str, float | None]
    genres: Mapping[str, Mapping[str, float | None]]
    """By name: support, average_precision and f1."""

    @property
    def generated(self) -> bool:
        """Whether the music was made by this program, so that its figures say nothing of other music."""
        return self.source == GENERATED


def evaluations(folder: Path, genres: tuple[str, ...]) -> dict[str, Evaluation]:
    """The figures of a run by split, as far as they were taken.

    Raises:
        InputError: a file of them is broken or knows other genres.
    """
    files = {split: folder / f"evaluation_{split}.json" for split in SPLITS}
    return {split: _read(file, split, genres) for split, file in files.items() if file.exists()}


def _read(file: Path, split: str, genres: tuple[str, ...]) -> Evaluation:
    try:
        report = read_json(file)
        rows = {row["name"]: row for row in report["genres"]}
        if report["split"] != split or not set(rows) <= set(genres):
            raise ValueError("it is of another split or of other genres")
        numbers = ("support", "average_precision", "f1")
        return Evaluation(
            split=split,
            split_kind=_text(report["split_kind"]),
            source=_text(report.get("source", "")),
            step=_whole(report["checkpoint_step"]),
            tracks=_whole(report["num_tracks"]),
            metrics={key: _number(report[key]) for key in METRICS.values()},
            never_looks={key: _number(report["trivial"][way][name]) for key, (way, name) in NEVER_LOOKS.items()},
            genres={name: {key: _number(row[key]) for key in numbers} for name, row in rows.items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{file} cannot be used ({problem[:200]}); remove it or run mgc-jax evaluate again.") from None


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} is no figure")
    return float(value)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"{value!r:.40} is no number of anything")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise ValueError(f"{value!r:.40} is no text")
    return value
