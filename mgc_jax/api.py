"""The model that people hold: loaded from wherever it is, it names genres, is measured, and says why."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import jax

from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import encoder_digest
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.storage.files import can_write
from mgc_jax.config import ComputeConfig, recipes
from mgc_jax.evaluation.evaluate import measure, score
from mgc_jax.evaluation.results import Evaluation
from mgc_jax.evaluation.rival import rival
from mgc_jax.evaluation.scored import Scored, StoredScores
from mgc_jax.evaluation.steps import genre_graph
from mgc_jax.evaluation.thresholds import calibrate_thresholds
from mgc_jax.explain.by_windows import explain_by_windows
from mgc_jax.explain.explainer import explain, occlusion_of
from mgc_jax.explain.explanation import Explanation
from mgc_jax.explain.occlusion import Occlusion
from mgc_jax.inference import tagger
from mgc_jax.inference import zero_shot as clap
from mgc_jax.inference.embeddings import Embeddings
from mgc_jax.inference.listening import Listening
from mgc_jax.inference.predictor import Predictor
from mgc_jax.inference.recording import Audio
from mgc_jax.inference.song import Song
from mgc_jax.network import build, published_folder
from mgc_jax.network.state import ModelState, abstract
from mgc_jax.runs import addresses, checkpoint, weights_file
from mgc_jax.runs.data_set import trained_on
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime import processes, sharding

__all__ = ["Embeddings", "Model", "Tagger", "built_in", "load", "zero_shot"]


def load(place: str | Path, progress: Callable[[int, int], None] | None = None, *, dtype: str | None = None) -> Model:
    """Load the best checkpoint of a run, or an exported model, from its folder or from an address such as
    ``gs://bucket/run`` or ``hf://user/name``, of which a copy is kept in the user's cache; ``progress(done, total)``
    counts its files. ``dtype`` is what to compute in, where it is not what the run's ``compute.dtype`` says. How many
    devices share the work is this machine's matter, not that of the one that trained.

    Raises:
        InputError: the place holds no run, or its files cannot be read.
    """
    folder = Workdir(addresses.local(place, progress))
    config, vocabulary = folder.config(), folder.vocabulary()
    if dtype is not None:
        config = recipes.load(base=config, overrides=[f"compute.dtype={dtype}"])
    config, encoder = dataclasses.replace(config, audio=folder.audio(config)), folder.encoder(config)
    mesh = sharding.make_mesh(math.gcd(config.compute.model_parallel, jax.local_device_count()))
    config = dataclasses.replace(config, compute=_shared_by(mesh, config.compute))
    network, target = abstract(config, vocabulary.size, encoder, mesh)
    file = folder.path / weights_file.NAME
    exported = file.is_file()
    if exported:
        state = weights_file.load(file, target, vocabulary.names, build.encoders_digest(config, encoder))
    else:
        state = _best_checkpoint(folder.path, target)
    model = Model(folder, config, vocabulary, network, state, encoder)
    model.in_workdir = not exported and addresses.is_own(place, folder.path)
    return model


def _shared_by(mesh: jax.sharding.Mesh, compute: ComputeConfig) -> ComputeConfig:
    """For the devices of the mesh, which share an evaluation batch evenly."""
    shards, per_model = mesh.shape["data"], mesh.shape["model"]
    rounded = -(-compute.evaluation_batch_size // shards) * shards
    return dataclasses.replace(compute, model_parallel=per_model, evaluation_batch_size=rounded)


def _best_checkpoint(workdir: Path, target: ModelState) -> ModelState:
    best = checkpoint.best(workdir, read_only=True)
    try:
        restored = best.restore(target)
    finally:
        best.close()
    if restored is None:
        raise InputError(f"{workdir} holds no evaluated checkpoint yet; let mgc-jax train finish an epoch first.")
    return restored[0]


class Model(Predictor):
    """A loaded run; see :func:`mgc_jax.load`."""

    in_workdir = False
    """Whether its folder is a run's own: no exported model, whose card tells its figures, and no copy in a cache."""

    @cached_property
    def evaluated(self) -> dict[str, StoredScores]:
        """What the figures of :meth:`evaluate` came from, by split."""
        return {}

    @property
    def licence(self) -> str:
        """Of its weights, where the model card of its folder names one."""
        named = published_folder.licence(self.folder.path / "README.md")
        return "" if named == "unknown" else named

    @property
    def keeps_evaluations(self) -> bool:
        """Whether :meth:`evaluate` writes into the folder."""
        return self.in_workdir and can_write(self.folder.path)

    @property
    def parameters(self) -> dict[str, int]:
        """How many are ``trainable`` and how many ``frozen``."""
        sizes = {"trainable": self.state.params, "frozen": self.network.frozen}
        return {kind: sum(x.size for x in jax.tree.leaves(tree)) for kind, tree in sizes.items()}

    @cached_property
    def _occlusion(self) -> Occlusion:
        """Its programs are compiled once, however many songs are explained."""
        return occlusion_of(self)

    def evaluate(self, data: PreparedData | str | Path, split: str = "test") -> Evaluation:
        """All metrics on a split of a prepared data set, with thresholds calibrated on its validation split.

        The figures of a linear model, fitted on the data set's training split, stand beside them. The thresholds are
        the model's from then on. In a workdir that can be written they are kept, with the metrics and what they come
        from, for ``mgc-jax report`` and ``mgc-jax export``.

        Raises:
            InputError: an unknown split, or a data set that does not fit the model.
        """
        keep, data = processes.is_first() and self.keeps_evaluations, self._fitting(data)
        scored = self._score(data, "validation", split)
        validation = scored["validation"]
        thresholds = calibrate_thresholds(validation.scores, validation.labels, prevalence=data.vocabulary.prevalence)
        step = int(self.state.step)
        reason = "the first process alone fits it."  # while the others wait for it
        linear = rival(data, split, self.folder.path if keep else None) if processes.is_first() else reason
        evaluation = measure(
            scored[split],
            thresholds,
            data,
            split,
            step=step,
            parameters=self.parameters,
            other_data=not trained_on(self.config, self.vocabulary, data),
            rival=linear,
        )
        graph = genre_graph(self.network, self.state)
        stored = StoredScores(scored[split], thresholds, self.vocabulary.names, step, **graph)
        self.thresholds, self.evaluated[split] = thresholds, stored
        if keep:
            self.folder.save_thresholds(thresholds, self.vocabulary)
            stored.save(self.folder.evaluation(split).with_suffix(".npz"))
            evaluation.save(self.folder.evaluation(split))
        return evaluation

    def score(self, data: PreparedData | str | Path, split: str = "test") -> Scored:
        """Each track's scores, labels and embeddings of a split of a prepared data set, in its order.

        Raises:
            InputError: an unknown split, or a data set that does not fit the model.
        """
        return self._score(self._fitting(data), split)[split]

    def _score(self, data: PreparedData, *splits: str) -> dict[str, Scored]:
        return score(self.evaluation_step, self.network, self.state, self.config, data, splits)

    def _fitting(self, data: PreparedData | str | Path) -> PreparedData:
        data = data if isinstance(data, PreparedData) else PreparedData(data)
        if data.vocabulary.names != self.vocabulary.names:
            raise InputError(f"{data.path} has another genre vocabulary than the run in {self.folder.path}.")
        if data.encoder_sha256 != encoder_digest(self.encoder):
            raise InputError(f"{data.path} was prepared for another lyrics encoder than that of {self.folder.path}.")
        return data

    def explain(
        self,
        audio: Audio,
        lyrics: str | None = None,
        *,
        rate: int | None = None,
        genres: Sequence[str] | None = None,
    ) -> Explanation:
        """What speaks for the ``genres`` of a song and what against them: seconds, words, modalities, related genres.

        Args:
            audio: as :meth:`predict` has it; so are ``lyrics`` and ``rate``.
            genres: names from the vocabulary; left out, the predicted ones.

        Raises:
            InputError: also for a genre that the model does not know.
        """
        return explain(self, self._occlusion, Song(audio, lyrics, rate), genres=genres)

    def explain_listening(self, song: Song, sound: Listening, genres: Sequence[str] | None = None) -> Explanation:
        """As :meth:`explain` does, of a song that is decoded already."""
        return explain(self, self._occlusion, song, sound, genres)


class Tagger(tagger.Tagger):
    """A model that was trained elsewhere; see :func:`mgc_jax.load`. It hears songs and reads no lyrics."""

    @classmethod
    def of(cls, model: tagger.Tagger) -> Tagger:
        """The same, which gives reasons too."""
        return cls(**{field.name: getattr(model, field.name) for field in dataclasses.fields(model)})

    def explain(
        self,
        audio: Audio,
        lyrics: str | None = None,
        *,
        rate: int | None = None,
        genres: Sequence[str] | None = None,
    ) -> Explanation:
        """Which seconds speak for the ``genres`` of a song and which against them, see
        :func:`mgc_jax.explain.by_windows.explain_by_windows`.

        Args:
            audio: as :meth:`predict` has it; so are ``lyrics`` and ``rate``.
            genres: names that it knows; left out, the predicted ones.

        Raises:
            InputError: also for a genre that the model does not know.
        """
        return explain_by_windows(self, Song(audio, lyrics, rate), genres=genres)

    def explain_listening(self, song: Song, sound: Listening, genres: Sequence[str] | None = None) -> Explanation:
        """As :meth:`explain` does, of a song that is decoded already."""
        return explain_by_windows(self, song, sound, genres)


def built_in(place: str | Path) -> Tagger | None:
    """The built-in model of this name; None where the ``place`` is the folder or the address of something else.

    Raises:
        InputError: its weights are not to be had.
    """
    found = tagger.built_in(place)
    return Tagger.of(found) if found else None


def zero_shot(place: str | Path, genres: str | Sequence[str]) -> Tagger:
    """A CLAP that is asked about ``genres``; see :func:`mgc_jax.inference.zero_shot.zero_shot`."""
    return Tagger.of(clap.zero_shot(place, genres))
