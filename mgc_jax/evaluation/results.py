"""An evaluation's figures, and the file ``evaluation_<split>.json`` that keeps them, checked when it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.schema import SPLITS
from data_pipeline.storage.json_file import number, read_json, whole, write_json
from mgc_jax.evaluation.difference import Difference
from mgc_jax.evaluation.retrieval import AT, Retrieval

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
TRIVIAL = {"prevalence": ("map_macro", "map_micro"), "best_constant": ("f1_example", "jaccard")}
"""The trivial predictors, each with the metrics that it is the baseline of."""
ROC_AUC_OF_CHANCE = 0.5
CALIBRATED = "calibrated per genre on validation"

Figures = Mapping[str, float | None]
"""Metrics by key; None for one that is not defined on the split."""


@dataclasses.dataclass(frozen=True)
class Linear:
    """The linear rival's figures on the same split: see :mod:`mgc_jax.evaluation.linear`."""

    metrics: Figures
    """Those of :data:`METRICS`, at thresholds calibrated like the model's."""
    average_precision: Figures
    """By genre."""
    strength: float
    """C, the inverse of the regularisation, that validation chose."""
    tracks: int
    """Training tracks that it was fitted on: all, or a draw from many."""
    of: int
    """Training tracks that there are."""
    gain: Difference | None
    """The model's macro-mAP less the rival's; None where it is not defined."""

    def to_json(self) -> dict[str, Any]:
        """The form of an evaluation's ``linear``."""
        return {
            **self.metrics,
            "C": self.strength,
            "fitted_on": self.tracks,
            "train_tracks": self.of,
            "gain_map_macro": self.gain and self.gain._asdict(),
        }


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A model's figures on one split."""

    split: str
    split_kind: str
    """``random`` or ``artist``."""
    source: str
    """The kind of corpus; empty where the data set does not say."""
    data: str
    """The folder of the data set; empty where it is not known."""
    other_data: bool
    """Whether the data set is another one than the model was trained on."""
    step: int | None
    """Of the checkpoint that was evaluated; None for a mean of several models."""
    parameters: Mapping[str, int]
    """How many are ``trainable`` and how many ``frozen``."""
    tracks: int
    bce: float | None
    """The mean binary cross-entropy of a track."""
    metrics: Figures
    """Those of :data:`METRICS`, at the calibrated thresholds."""
    argmax_fallback: Figures
    """Those of :data:`DECIDING`, where a track with no genre over its threshold gets its highest one."""
    at_half: Figures
    """The same at a threshold of 0.5."""
    trivial: Figures
    """The trivial baseline of each metric that has one: what a predictor scores that never looks at the track."""
    linear: Linear | None
    """The linear rival, fitted on the training split of the same data set."""
    no_linear: str
    """A sentence that says why there is no such rival; empty where there is one."""
    retrieval: Mapping[str, Retrieval] | None
    """By direction, how well the A-L embeddings find a song's lyrics and back; None for a model without them."""
    support: Mapping[str, int]
    """By genre, in the vocabulary's order: tracks that have it."""
    genres: Mapping[str, Figures]
    """By genre: the figures of :data:`PER_GENRE`."""

    def to_json(self) -> dict[str, Any]:
        """The content of ``evaluation_<split>.json``, with the overall metrics at its top."""
        return {
            **self.metrics,
            "num_tracks": self.tracks,
            "num_genres_evaluated": sum(tracks > 0 for tracks in self.support.values()),
            "bce": self.bce,
            "split": self.split,
            "split_kind": self.split_kind,
            "source": self.source,
            **({"data": self.data} if self.data else {}),
            "other_data": self.other_data,
            "checkpoint_step": self.step,
            "parameters": self.parameters,
            "threshold": CALIBRATED,
            "at_half": self.at_half,
            "argmax_fallback": self.argmax_fallback,
            "trivial": {name: {key: self.trivial[key] for key in keys} for name, keys in TRIVIAL.items()},
            "linear": self.linear and self.linear.to_json(),
            **({"no_linear": self.no_linear} if self.no_linear else {}),
            "retrieval": self.retrieval and {way: one.to_json() for way, one in self.retrieval.items()},
            "genres": [
                {"name": name, "genre": index, "support": self.support[name], **figures}
                | ({"linear_average_precision": self.linear.average_precision[name]} if self.linear else {})
                for index, (name, figures) in enumerate(self.genres.items())
            ],
        }

    def save(self, file: Path) -> None:
        """Write the file whole or not at all; raises InputError where the place cannot be written."""
        write_json(file, self.to_json())

    @classmethod
    def read(cls, file: Path, split: str, genres: Sequence[str]) -> Evaluation:
        """What :meth:`save` wrote; raises InputError where it is broken, or of another split or other genres."""
        try:
            content = read_json(file)
            rows = {row["name"]: row for row in content["genres"]}
            if content["split"] != split or list(rows) != list(genres):
                raise ValueError("it is of another split or of another genre vocabulary")
            step, data, retrieval = content["checkpoint_step"], content.get("data"), content["retrieval"]
            linear = content["linear"]
            return cls(
                split=split,
                split_kind=_text(content["split_kind"]),
                source=_text(content.get("source", "")),
                data=data if isinstance(data, str) else "",
                other_data=content["other_data"] is not False,
                step=None if step is None else whole(step),
                parameters={kind: whole(content["parameters"][kind], 2**63) for kind in ("trainable", "frozen")},
                tracks=whole(content["num_tracks"]),
                bce=number(content["bce"]),
                metrics=_figures(content, METRICS.values()),
                argmax_fallback=_figures(content["argmax_fallback"], DECIDING.values()),
                at_half=_figures(content["at_half"], DECIDING.values()),
                trivial=trivial_baseline(
                    {name: _figures(content["trivial"][name], keys) for name, keys in TRIVIAL.items()}
                ),
                linear=None if linear is None else _linear(linear, rows),
                no_linear="" if linear is not None else _text(content["no_linear"], 1000),
                retrieval=retrieval and {_text(way): _retrieval(one) for way, one in retrieval.items()},
                support={name: whole(row["support"]) for name, row in rows.items()},
                genres={name: _figures(row, PER_GENRE) for name, row in rows.items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            problem = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(
                f"{file} cannot be used ({problem[:200]}); remove it or run mgc-jax evaluate again."
            ) from None


def trivial_baseline(predictors: Mapping[str, Figures]) -> dict[str, float | None]:
    """By key, the figures of those :data:`TRIVIAL` predictors that are the baseline; ROC-AUC has that of chance."""
    return {key: predictors[name][key] for name, keys in TRIVIAL.items() for key in keys} | {
        "roc_auc_macro": ROC_AUC_OF_CHANCE
    }


def evaluations(folder: Path, genres: Sequence[str]) -> dict[str, Evaluation]:
    """The figures of a run by split, as far as they were taken.

    Raises:
        InputError: a file of them is broken or knows other genres.
    """
    files = {split: folder / f"evaluation_{split}.json" for split in SPLITS}
    return {split: Evaluation.read(file, split, genres) for split, file in files.items() if file.exists()}


def of_step(evaluations: Mapping[str, Evaluation], step: int) -> dict[str, Evaluation]:
    """Those of the weights of this ``step``."""
    return {split: evaluation for split, evaluation in evaluations.items() if evaluation.step == step}


def generated(evaluations: Mapping[str, Evaluation]) -> bool:
    """Whether the model learned from music that this program made, so that the figures say nothing of other music."""
    return source(evaluations) == GENERATED


def source(evaluations: Mapping[str, Evaluation]) -> str:
    """The kind of corpus that the model was trained on; empty where no evaluation on it says."""
    return next((e.source for e in evaluations.values() if e.source and not e.other_data), "")


def _figures(content: Mapping[str, Any], keys: Iterable[str]) -> dict[str, float | None]:
    return {key: number(content[key]) for key in keys}


def _linear(content: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> Linear:
    gain = content["gain_map_macro"]
    return Linear(
        metrics=_figures(content, METRICS.values()),
        average_precision={name: number(row["linear_average_precision"]) for name, row in rows.items()},
        strength=_defined(content["C"]),
        tracks=whole(content["fitted_on"]),
        of=whole(content["train_tracks"]),
        gain=None if gain is None else Difference(*(_defined(gain[key]) for key in Difference._fields)),
    )


def _retrieval(content: Mapping[str, Any]) -> Retrieval:
    chance = content["chance"]
    keys = {k: f"recall_at_{k}" for k in AT}
    return Retrieval(
        queries=whole(content["queries"]),
        drawn_from=whole(content["drawn_from"]),
        candidates=whole(content["candidates"]),
        recall={k: _defined(content[key]) for k, key in keys.items()},
        error={k: _defined(content[f"error_at_{k}"]) for k in keys},
        median_rank=_defined(content["median_rank"]),
        chance_recall={k: _defined(chance[key]) for k, key in keys.items()},
        chance_median_rank=_defined(chance["median_rank"]),
    )


def _defined(value: Any) -> float:
    if (figure := number(value)) is None:
        raise ValueError("a figure is null that cannot be")
    return figure


def _text(value: Any, longest: int = 200) -> str:
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise ValueError(f"{value!r:.40} is no text")
    return value
