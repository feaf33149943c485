"""What a page can be made from: the files of a run, and of its data set where that is still there.

What is missing or broken costs its part of the page, which says so.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.config import Config
from mgc_jax.evaluation.results import Evaluation
from mgc_jax.evaluation.scored import StoredScores
from mgc_jax.runs import logs
from mgc_jax.runs.workdir import Workdir


@dataclasses.dataclass
class Gaps:
    """Sentences about what the page cannot show, by the part that lacks it."""

    of: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def add(self, part: str, sentence: str) -> None:
        """Say it once in this part."""
        sentences = self.of.setdefault(part, [])
        if sentence not in sentences:
            sentences.append(sentence)

    def pass_on(self, part: str, *sources: str, because: str = "") -> None:
        """Say in ``part`` what the first of these parts that lacks something has first."""
        sentences = next((self.of[source] for source in sources if source in self.of), [])
        for sentence in sentences[:1]:
            self.add(part, because + sentence)

    def sentences(self) -> list[str]:
        """All of them, once each."""
        return list(dict.fromkeys(sentence for sentences in self.of.values() for sentence in sentences))


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What is there of a run and its data; None stands for what is missing."""

    folder: Workdir
    split: str
    config: Config
    vocabulary: GenreVocabulary
    log: list[dict[str, float]]
    evaluation: Evaluation | None
    stored: StoredScores | None
    data: PreparedData | None


def gather(folder: Workdir, split: str, data: PreparedData | None, gaps: Gaps) -> Inputs:
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
        lacks = "has no lines yet" if (folder.path / logs.NAME).exists() else "is not here"
        gaps.add("training", f"There are no training curves: {logs.NAME} {lacks}.")
    evaluation = _evaluation(folder, split, vocabulary, gaps)
    stored = _stored(folder, split, vocabulary, evaluation, gaps)
    data = data or _data(evaluation.data if evaluation else "", gaps)
    if data and not _is_the_evaluated(data, split, vocabulary, stored):
        gaps.add("data", f"{data.path} is another data set than the one that was evaluated; --data says where that is.")
        data = None
    return Inputs(folder, split, config, vocabulary, log, evaluation, stored, data)


def _evaluation(folder: Workdir, split: str, vocabulary: GenreVocabulary, gaps: Gaps) -> Evaluation | None:
    file = folder.evaluation(split)
    if not file.exists():
        gaps.add("results", f"The run was not evaluated on {split} yet: run mgc-jax evaluate --split {split} first.")
        return None
    try:
        return Evaluation.read(file, split, vocabulary.names)
    except InputError as error:
        gaps.add("results", str(error))
        return None


def _stored(
    folder: Workdir, split: str, vocabulary: GenreVocabulary, evaluation: Evaluation | None, gaps: Gaps
) -> StoredScores | None:
    path = folder.evaluation(split).with_suffix(".npz")
    if not path.exists():
        if evaluation is not None:
            gaps.add("scores", f"{path.name} is missing; run mgc-jax evaluate again for what is drawn from it.")
        return None
    try:
        stored = StoredScores.load(path)
    except InputError as error:
        gaps.add("scores", str(error))
        return None
    if stored.genres != vocabulary.names:
        gaps.add("scores", f"{path.name} is about another genre vocabulary; run mgc-jax evaluate again.")
        return None
    if evaluation is not None and (evaluation.tracks, evaluation.step) != (len(stored.scored.bce), stored.step):
        gaps.add("scores", f"{path.name} belongs to another evaluation than the figures; run mgc-jax evaluate again.")
        return None
    return stored


def _data(place: str, gaps: Gaps) -> PreparedData | None:
    if not place:
        gaps.add("data", "The data set is not known; --data says where it is.")
        return None
    try:
        return PreparedData(Path(place))
    except (InputError, OSError, ValueError) as error:  # the last two for a path that no file can have
        reason = str(error).rstrip(".")
        gaps.add("data", f"The data set is not there any more ({reason}); --data says where it is.")
        return None


def _is_the_evaluated(data: PreparedData, split: str, vocabulary: GenreVocabulary, stored: StoredScores | None) -> bool:
    same_size = stored is None or data.split_sizes.get(split) == len(stored.scored.bce)
    return same_size and data.vocabulary.names == vocabulary.names
