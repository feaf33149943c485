"""The Bayes ceiling of a generated corpus: what one scores who knows its rules and hears and reads without error.

    python scripts/measure_ceiling.py --corpus demo/corpus --data demo/artist

The observer's chances (data_pipeline/sources/oracle.py) are scored as ``mgc-jax evaluate`` scores a model: thresholds
calibrated on the validation tracks, metrics on the test tracks.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.sources import oracle, world
from data_pipeline.sources.generated import MARKER
from mgc_jax.evaluation import metrics
from mgc_jax.evaluation.thresholds import calibrate_thresholds

OBSERVERS = {
    "hears and reads": {"hears": True, "reads": True},
    "hears only": {"hears": True, "reads": False},
    "reads only": {"hears": False, "reads": True},
}
COLUMNS = {"jaccard": "accuracy", "f1_example": "F-measure", "map_macro": "macro-mAP"}


def main() -> None:
    """Print one line for each observer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="what mgc-jax corpus wrote")
    parser.add_argument("--data", type=Path, required=True, help="what mgc-jax prepare made of it")
    options = parser.parse_args()
    try:
        rows = ceiling(options.corpus, PreparedData(options.data))
    except InputError as error:
        print(f"measure_ceiling: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"| {'observer':<16} | " + " | ".join(COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, scores in rows.items():
        cells = (f"{scores[key]:.3f}".lstrip("0").center(len(title)) for key, title in COLUMNS.items())
        print(f"| {name:<16} | {' | '.join(cells)} |")


def ceiling(corpus: Path, data: PreparedData) -> dict[str, dict[str, float]]:
    """The metrics of every observer on the test split.

    Raises:
        InputError: ``corpus`` was not generated, or ``data`` is of another one.
    """
    try:
        made = json.loads((corpus / MARKER).read_text("utf-8"))
        plans = {plan.id: plan for plan in world.make_plans(made["tracks"], made["seed"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{corpus} is not a generated corpus ({error}).") from None
    genres = [world.ALL_GENRES.index(name) for name in data.vocabulary.names if name in world.ALL_GENRES]
    ids = {split: data.track_ids(split) for split in ("validation", "test")}
    if len(genres) < data.vocabulary.size or not plans.keys() >= {*ids["validation"], *ids["test"]}:
        raise InputError(f"{data.path} was not prepared from {corpus}.")
    labels = {
        split: np.array([[name in plans[i].genres for name in data.vocabulary.names] for i in ids[split]], np.uint8)
        for split in ids
    }
    rows = {}
    for name, senses in OBSERVERS.items():
        scores = {s: np.stack([oracle.chances(plans[i], **senses)[genres] for i in ids[s]]) for s in ids}
        thresholds = calibrate_thresholds(
            scores["validation"], labels["validation"], prevalence=data.vocabulary.prevalence
        )
        rows[name] = metrics.evaluate_scores(scores["test"], labels["test"], thresholds)
    return rows


if __name__ == "__main__":
    main()
