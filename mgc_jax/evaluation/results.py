"""What a run measured of itself: its ``evaluation_<split>.json`` files, checked before anybody repeats them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.schema import SPLITS
from data_pipeline.storage.json_file import number, read_json, whole

RANKING = {
    "mAP, macro": "map_macro",
    "mAP, micro": "map_micro",
    "ROC-AUC, macro": "roc_auc_macro",
    "label ranking average precision": "lrap",
    "coverage error (smaller is better)": "coverage_error",
}
"""A reader's name of each metric of the scores -> its key."""
DECIDING = {
    "Jaccard index": "jaccard",
    "F1, by track": "f1_example",
    "F1, micro": "f1_micro",
    "F1, macro": "f1_macro",
    "exact match": "exact_match",
    "Hamming loss (smaller is better)": "hamming_loss",
}
"""The same of the metrics of the sets of genres that thresholds make."""
METRICS = RANKING | DECIDING
PER_GENRE = ("average_precision", "f1", "precision", "recall", "roc_auc", "threshold")
GENERATED = "a generated corpus"
NEVER_LOOKS = {
    "map_macro": ("prevalence", "map_macro"),
    "map_micro": ("prevalence", "map_micro"),
    "f1_example": ("best_constant", "f1_example"),
    "jaccard": ("best_constant", "jaccard"),
}
"""Where the figure of a predictor that never looks stands, for those metrics that have one."""
ROC_AUC_OF_CHANCE = 0.5


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A run's figures on one split; None for a figure that is not defined there."""

    split: str
    source: str
    """The kind of corpus; empty where the data set does not say."""
    data: str
    """The folder of the data set; empty where it is not known."""
    other_data: bool
    """Whether the data set is another one than the model was trained on."""
    step: int
    """Of the checkpoint that was evaluated."""
    parameters: Mapping[str, int]
    """How many are ``trainable`` and how many ``frozen``."""
    tracks: int
    metrics: Mapping[str, float | None]
    """By key, with the calibrated thresholds."""
    argmax_fallback: Mapping[str, float | None]
    """Those of :data:`DECIDING`, where a track with no genre over its threshold gets its highest one."""
    at_half: Mapping[str, float | None]
    """The same at a threshold of 0.5."""
    never_looks: Mapping[str, float | None]
    support: Mapping[str, int]
    """By genre: tracks that have it."""
    genres: Mapping[str, Mapping[str, float | None]]
    """By genre: the figures of :data:`PER_GENRE`."""


def evaluations(folder: Path, genres: Sequence[str]) -> dict[str, Evaluation]:
    """The figures of a run by split, as far as they were taken.

    Raises:
        InputError: a file of them is broken or knows other genres.
    """
    files = {split: folder / f"evaluation_{split}.json" for split in SPLITS}
    return {split: read(file, split, genres) for split, file in files.items() if file.exists()}


def of_step(found: Mapping[str, Evaluation], step: int) -> dict[str, Evaluation]:
    """Those of the weights of this ``step``."""
    return {split: evaluation for split, evaluation in found.items() if evaluation.step == step}


def generated(found: Mapping[str, Evaluation]) -> bool:
    """Whether the model learned from music that this program made, so that the figures say nothing of other music."""
    return source(found) == GENERATED


def source(found: Mapping[str, Evaluation]) -> str:
    """The kind of corpus that the model was trained on; empty where no evaluation on it says."""
    return next((e.source for e in found.values() if e.source and not e.other_data), "")


def read(file: Path, split: str, genres: Sequence[str]) -> Evaluation:
    """The figures in one file; raises InputError where it is broken, or of another split or other genres."""
    try:
        report = read_json(file)
        rows = {row["name"]: row for row in report["genres"]}
        if report["split"] != split or list(rows) != list(genres):
            raise ValueError("it is of another split or of another genre vocabulary")
        trivial, sizes = report["trivial"], report["parameters"]
        return Evaluation(
            split=split,
            source=_text(report.get("source", "")),
            data=place if isinstance(place := report.get("data"), str) else "",
            other_data=report["other_data"] is not False,
            step=whole(report["checkpoint_step"]),
            parameters={kind: whole(sizes[kind], 2**63) for kind in ("trainable", "frozen")},
            tracks=whole(report["num_tracks"]),
            metrics=_figures(report, METRICS.values()),
            argmax_fallback=_figures(report["argmax_fallback"], DECIDING.values()),
            at_half=_figures(report["at_half"], DECIDING.values()),
            never_looks={key: number(trivial[way][name]) for key, (way, name) in NEVER_LOOKS.items()}
            | {"roc_auc_macro": ROC_AUC_OF_CHANCE},
            support={name: whole(row["support"]) for name, row in rows.items()},
            genres={name: _figures(row, PER_GENRE) for name, row in rows.items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        problem = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{file} cannot be used ({problem[:200]}); remove it or run mgc-jax evaluate again.") from None


def _figures(report: Mapping[str, Any], keys: Iterable[str]) -> dict[str, float | None]:
    return {key: number(report[key]) for key in keys}


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise ValueError(f"{value!r:.40} is no text")
    return value
