"""What a page can be made from: the files of a run, and of its data set where that is still there.

What is missing or broken costs its part of the page, which says so.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.input import PreparedData
from data_pipeline.json_file import read_json
from mgc_jax import logs
from mgc_jax.config import Config
from mgc_jax.report.tables import genre_rows, metric_rows
from mgc_jax.scored import Kept
from mgc_jax.workdir import Workdir


@dataclasses.dataclass
class Gaps:
    """Sentences about what the page cannot show, by the part that lacks it."""

    of: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def add(self, part: str, sentence: str) -> None:
        """Say it once in this part."""
        said = self.of.setdefault(part, [])
        if sentence not in said:
            said.append(sentence)

    def sentences(self) -> list[str]:
        """All of them, once each."""
        return list(dict.fromkeys(sentence for said in self.of.values() for sentence in said))


@dataclasses.dataclass(frozen=True)
class Run:
    """What is there of a run and its data; None stands for what is missing."""

    folder: Workdir
    split: str
    config: Config
    vocabulary: GenreVocabulary
    log: list[dict[str, float]]
    evaluation: dict[str, Any] | None
    kept: Kept | None
    data: PreparedData | None


def gather(folder: Workdir, split: str, data: Path | str | None, gaps: Gaps) -> Run:
    """Read what there is; raises InputError where there is no run."""
    config, vocabulary = folder.config(), folder.vocabulary()
    try:
        log, broken = logs.read(folder.path)
    except OSError as error:
        log, broken = [], 0
        gaps.add("training", f"metrics.jsonl cannot be read ({error.strerror or error}).")
    if broken:
        gaps.add("training", f"{broken} line{'s' * (broken != 1)} of metrics.jsonl cannot be read and are left out.")
    if not log:
        gaps.add("training", "There are no training curves: metrics.jsonl has no lines yet.")
    evaluation = _evaluation(folder, split, vocabulary, gaps)
    kept = _kept(folder, split, vocabulary, evaluation, gaps)
    place = data or (Path(evaluation["data"]) if evaluation and isinstance(evaluation.get("data"), str) else None)
    return Run(folder, split, config, vocabulary, log, evaluation, kept, _data(place, split, vocabulary, kept, gaps))


def _evaluation(folder: Workdir, split: str, vocabulary: GenreVocabulary, gaps: Gaps) -> dict[str, Any] | None:
    path = folder.evaluation(split)
    if not path.exists():
        gaps.add("results", f"The run was not evaluated on {split} yet: run mgc-jax evaluate --split {split} first.")
        return None
    try:
        evaluation = read_json(path)
        if [genre["name"] for genre in evaluation["genres"]] != list(vocabulary.names):
            raise ValueError("it is about another genre vocabulary")
        metric_rows(evaluation), genre_rows(evaluation), int(evaluation["num_tracks"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)[:200]
        gaps.add("results", f"{path.name} cannot be used ({reason}); run mgc-jax evaluate again.")
        return None
    return evaluation


def _kept(
    folder: Workdir, split: str, vocabulary: GenreVocabulary, evaluation: dict[str, Any] | None, gaps: Gaps
) -> Kept | None:
    path = folder.evaluation(split).with_suffix(".npz")
    if not path.exists():
        if evaluation is not None:
            gaps.add("scores", f"{path.name} is missing; run mgc-jax evaluate again for what is drawn from it.")
        return None
    try:
        kept = Kept.load(path)
    except InputError as error:
        gaps.add("scores", str(error))
        return None
    if kept.genres != vocabulary.names:
        gaps.add("scores", f"{path.name} is about another genre vocabulary; run mgc-jax evaluate again.")
        return None
    if evaluation is not None:
        same = (evaluation.get("num_tracks"), evaluation.get("checkpoint_step")) == (len(kept.scored.bce), kept.step)
        if not same:
            gaps.add(
                "scores", f"{path.name} belongs to another evaluation than the figures; run mgc-jax evaluate again."
            )
            return None
    return kept


def _data(
    place: Path | str | None, split: str, vocabulary: GenreVocabulary, kept: Kept | None, gaps: Gaps
) -> PreparedData | None:
    """The data set, if it is there and is the one that was evaluated."""
    if place is None:
        gaps.add("data", "The data set is not known; --data says where it is.")
        return None
    try:
        data = PreparedData(place)
    except InputError as error:
        gaps.add("data", f"The data set is not there any more ({str(error).rstrip('.')}); --data says where it is.")
        return None
    except (OSError, ValueError) as error:  # a path that no file can have
        gaps.add("data", f"The data set is not there any more ({error}); --data says where it is.")
        return None
    size = data.split_sizes.get(split)
    if data.vocabulary.names != vocabulary.names or (kept is not None and size != len(kept.scored.bce)):
        gaps.add("data", f"{place} is another data set than the one that was evaluated; --data says where that is.")
        return None
    return data
