"""The paper's tables, and ours, as lists of runs: what each row changes, and what the paper printed for it.

The paper's figures are accuracy (example-based Jaccard) and F-measure (example F1) on Music4All, from single runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One model: ``overrides`` of the base recipe (dotted keys), and the paper's (accuracy, F-measure) if it has it.

    With ``mean_of`` nothing is trained: the scores are the mean of those of other rows before this one.
    """

    name: str
    overrides: Mapping[str, Any]
    paper: tuple[float, float] | None = None
    mean_of: tuple[str, ...] = ()


class Sweep(NamedTuple):
    """Rows to be compared with the row ``reference``; ``axis`` names a numeric setting that orders them, if any.

    ``parts`` are what the rows switch on and off in all combinations: a name, and the overrides that switch it off.
    """

    title: str
    rows: tuple[Row, ...]
    reference: str
    axis: str | None = None
    parts: Mapping[str, Mapping[str, Any]] = {}


NO_AL = {"loss.contrastive_weight": 0.0}
NO_SCMA = {"model.fusion": "concat"}
NO_GCEM = {"model.head": "linear"}
MIXUP = {"augment.mixup": 0.3}
AVERAGE = {"train.average_decay": 0.998}
FULL = "full model"

TABLE1 = Sweep(
    "Table 1: the full model and its rivals",
    (
        Row("Santana (audio)", {"model.architecture": "santana", **NO_AL}, (0.354, 0.419)),
        Row("Pandeya (audio + lyrics)", {"model.architecture": "pandeya", **NO_AL}, (0.387, 0.442)),
        Row("audio only", {"model.fusion": "audio", **NO_GCEM, **NO_AL}),
        Row("lyrics only", {"model.fusion": "lyrics", **NO_GCEM, **NO_AL}),
        Row("late fusion", {}, mean_of=("audio only", "lyrics only")),
        Row(FULL, {}, (0.456, 0.534)),
    ),
    FULL,
)

TABLE2 = Sweep(
    "Table 2: the three parts, one by one",
    (
        Row("none", {**NO_AL, **NO_SCMA, **NO_GCEM}, (0.372, 0.438)),
        Row("A-L", {**NO_SCMA, **NO_GCEM}, (0.396, 0.475)),
        Row("SCMA", {**NO_AL, **NO_GCEM}, (0.408, 0.491)),
        Row("GCEM", {**NO_AL, **NO_SCMA}, (0.403, 0.487)),
        Row("A-L + SCMA", NO_GCEM, (0.425, 0.513)),
        Row("A-L + GCEM", NO_SCMA, (0.419, 0.508)),
        Row("SCMA + GCEM", NO_AL, (0.437, 0.515)),
        Row(FULL, {}, (0.456, 0.534)),
    ),
    FULL,
    parts={"A-L": NO_AL, "SCMA": NO_SCMA, "GCEM": NO_GCEM},
)

_FIGURE2 = {
    0.0: (0.437, 0.515),
    0.1: (0.440, 0.518),
    0.2: (0.443, 0.528),
    0.3: (0.456, 0.534),
    0.4: (0.452, 0.530),
    0.5: (0.423, 0.503),
    0.6: (0.411, 0.489),
    0.7: (0.392, 0.473),
    0.8: (0.383, 0.465),
    0.9: (0.351, 0.452),
}  # read off the plot; at 1 the classifier would not be trained

FIGURE2 = Sweep(
    "Figure 2: the weight lambda of the A-L loss",
    tuple(Row(f"lambda {value:.1f}", {"loss.contrastive_weight": value}, paper) for value, paper in _FIGURE2.items()),
    "lambda 0.3",
    axis="loss.contrastive_weight",
)

GRAPH_CONTROL = Sweep(
    "Graph control: the same network with other edges",
    (
        Row("no graph (linear)", NO_GCEM),
        Row("no edges (identity)", {"model.adjacency": "identity"}),
        Row("co-occurrence only", {"model.adjacency": "cooccurrence"}),
        Row("similarity only", {"model.adjacency": "similarity"}),
        Row("both, raw cosine", {"model.similarity": "raw"}),
        Row("divided by the row's degree", {"model.adjacency_normalise": "row"}),
        Row("literal: raw cosine, no scaling", {"model.similarity": "raw", "model.adjacency_normalise": "none"}),
        Row("A1 given row", {"model.cooccurrence_direction": "given_row"}),
        Row("A1 symmetric", {"model.cooccurrence_direction": "symmetric"}),
        Row(FULL, {}),
    ),
    FULL,
)

RECIPES = Sweep(
    "Beyond the paper: the full model trained otherwise",
    (
        Row(FULL, {}),
        Row("SpecAugment", {"augment.time_masks": 2, "augment.mel_masks": 2}),
        Row("mixup", MIXUP),
        Row("average of the weights", AVERAGE),
        Row("mixup + average of the weights", {**MIXUP, **AVERAGE}),
        Row("focal loss", {"loss.kind": "focal"}),
        Row("asymmetric loss", {"loss.kind": "asymmetric"}),
        Row("same lyrics are no negatives", {"loss.same_lyrics": True}),
        Row("L_BCE as a mean over genres", {"loss.reduction": "mean"}),
    ),
    FULL,
)

SWEEPS = {
    "table1": TABLE1,
    "table2": TABLE2,
    "figure2": FIGURE2,
    "graph_control": GRAPH_CONTROL,
    "recipes": RECIPES,
}
"""The sweeps of ``mgc-jax reproduce`` by name. The full model is the base recipe as it is."""
