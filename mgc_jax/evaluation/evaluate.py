"""A run's scores on a split, and all metrics of them, overall and per genre."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from math import isnan

import jax
import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.config import Config
from mgc_jax.evaluation import metrics, steps
from mgc_jax.evaluation.difference import map_difference
from mgc_jax.evaluation.results import METRICS, PER_GENRE, Evaluation, Linear, trivial_baseline
from mgc_jax.evaluation.retrieval import Retrieval, retrieval
from mgc_jax.evaluation.rival import Rival
from mgc_jax.evaluation.scored import Scored
from mgc_jax.network import build
from mgc_jax.network.audio_features import audio_features
from mgc_jax.network.state import ModelState, Network
from mgc_jax.runtime import sharding
from mgc_jax.runtime.progress import Progress
from mgc_jax.runtime.signals import StopRequest

_LONG = 2_000_000
"""Scores of which all metrics take more than some seconds."""


def score_split(
    step: steps.EvaluationStep,
    network: Network,
    state: ModelState,
    data: PreparedData,
    split: str,
    config: Config,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Scored | None:
    """Run the evaluation step over a whole split; every host gets all rows, or None when it is to ``stop``."""
    batches = data.evaluation_batches(
        split,
        batch_size=config.compute.evaluation_batch_size,
        host=jax.process_index(),
        num_hosts=jax.process_count(),
    )
    outputs = []
    for batch in batches:
        if stop and stop.due():
            return None
        out = jax.device_get(step(state, network.frozen, sharding.place_batch(batch, network.mesh)))
        real = out["index"] >= 0
        outputs.append({name: value[real] for name, value in out.items()})
        if progress:
            progress.update(int(real.sum()))
    joined = {name: np.concatenate([o[name] for o in outputs]) for name in outputs[0]}
    in_order = np.argsort(joined["index"])
    ordered = {name: value[in_order] for name, value in joined.items()}
    words = np.where(ordered["num_tokens"] > 0, ordered["words"].astype(np.int64), -1)
    return Scored(**{name: ordered[name] for name in Scored._fields if name in ordered} | {"words": words})


def check_prepared_for(config: Config, data: PreparedData) -> None:
    """Raise InputError where settings and the prepared data set disagree."""
    wanted = dataclasses.replace(config.audio, encoder=data.audio.encoder)  # which may lie elsewhere: see its digest
    if data.audio != wanted:
        raise InputError(f"{data.path} was prepared with {data.audio}, but the settings want {config.audio}.")
    if build.has_audio_encoder(config) and data.audio_encoder_sha256 != audio_features(config.audio).encoder.digest:
        raise InputError(f"{data.path} was prepared with another audio encoder than {config.audio.encoder}.")
    if data.max_tokens != config.lyrics.max_tokens:
        raise InputError(
            f"{data.path} was prepared with {data.max_tokens} tokens, but the settings want {config.lyrics.max_tokens}."
        )
    if data.lyrics_window != config.lyrics.window:
        raise InputError(
            f"{data.path} was prepared with lyrics.window={data.lyrics_window}, but the settings want "
            f"{config.lyrics.window}."
        )
    if data.lyrics_input != config.lyrics.input:
        raise InputError(
            f"{data.path} was prepared with lyrics.input={data.lyrics_input}, but the settings want "
            f"{config.lyrics.input}."
        )


def score(
    step: steps.EvaluationStep,
    network: Network,
    state: ModelState,
    config: Config,
    data: PreparedData,
    splits: Iterable[str],
) -> dict[str, Scored]:
    """The scores of several splits by name.

    Raises:
        InputError: an unknown split, or settings that do not fit the data.
        Stopped: on request.
    """
    if unknown := set(splits) - data.split_sizes.keys():
        raise InputError(f"There is no split {unknown.pop()}; {data.path} has {', '.join(data.split_sizes)}.")
    check_prepared_for(config, data)
    sharding.check_batch_size(config.compute.evaluation_batch_size, network.mesh, "compute.evaluation_batch_size")
    scored = {}
    with StopRequest() as stop:
        for split in dict.fromkeys(splits):
            bar = Progress(f"evaluate {split}", data.split_sizes[split], "tracks")
            try:
                result = score_split(step, network, state, data, split, config, bar, stop)
            finally:
                bar.close()
            if result is None:
                raise stop.obeyed(f"evaluation of the {split} split stopped")
            scored[split] = result
    return scored


def measure(
    scored: Scored,
    thresholds: np.ndarray,
    data: PreparedData,
    split: str,
    *,
    step: int | None,
    parameters: Mapping[str, int],
    other_data: bool,
    rival: Rival | str = "it was not fitted.",
) -> Evaluation:
    """All metrics of ``scored``, which is a ``split`` of ``data``, at the thresholds (G,) that validation calibrates.

    What is known of the model alone is given: see :class:`Evaluation`. So is the data set's linear ``rival``, or a
    sentence that says why there is none.
    """
    scores, labels, vocabulary = scored.scores, scored.labels, data.vocabulary
    if scores.size > _LONG:
        Progress.say(f"measuring {len(scores)} tracks with {scores.shape[1]} genres, which takes a while")
    predicted = metrics.predict(scores, thresholds)
    overall = metrics.evaluate_scores(scores, labels, thresholds)
    rows = metrics.per_genre(scores, labels, thresholds)
    trivial = metrics.trivial_predictors(vocabulary.counts, vocabulary.num_tracks, labels)
    return Evaluation(
        split=split,
        split_kind=data.split_kind,
        source=data.source,
        data=str(data.path.absolute()),
        other_data=other_data,
        step=step,
        parameters=parameters,
        tracks=len(labels),
        bce=float(scored.bce.mean()),
        metrics=_figures(overall, METRICS.values()),
        argmax_fallback=_figures(metrics.evaluate_sets(metrics.argmax_fallback(predicted, scores), labels)),
        at_half=_figures(metrics.evaluate_sets(metrics.predict(scores), labels)),
        trivial=trivial_baseline({name: _figures(figures) for name, figures in trivial.items()}),
        linear=_linear(scored, rival, data, split) if isinstance(rival, Rival) else None,
        no_linear=rival if isinstance(rival, str) else "",
        retrieval=_retrieval(scored),
        support={vocabulary.names[row["genre"]]: row["support"] for row in rows},
        genres={
            vocabulary.names[row["genre"]]: _figures(row | {"threshold": float(threshold)}, PER_GENRE)
            for row, threshold in zip(rows, thresholds, strict=True)
        },
    )


def _figures(measured: Mapping[str, float], keys: Iterable[str] | None = None) -> dict[str, float | None]:
    """Those of the ``keys``, or all; what is defined nowhere is None."""
    return {key: None if isnan(measured[key]) else measured[key] for key in keys or measured}


def _linear(scored: Scored, rival: Rival, data: PreparedData, split: str) -> Linear:
    scores, labels, names = rival.scores[split], scored.labels, data.vocabulary.names
    rows = metrics.per_genre(scores, labels, rival.thresholds)
    precisions = _figures({names[row["genre"]]: row["average_precision"] for row in rows})
    return Linear(
        metrics=_figures(metrics.evaluate_scores(scores, labels, rival.thresholds), METRICS.values()),
        average_precision=precisions,
        strength=rival.strength,
        tracks=rival.tracks,
        of=data.split_sizes["train"],
        gain=map_difference(scored.scores, scores, labels),
    )


def _retrieval(scored: Scored) -> dict[str, Retrieval] | None:
    if scored.audio is None or scored.lyrics is None:
        return None
    return retrieval(scored.audio, scored.lyrics, scored.words)
