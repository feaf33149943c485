"""All metrics of a run on a split, overall and per genre."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from math import isnan
from typing import Any

import jax
import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.config import Config
from mgc_jax.evaluation import metrics, steps
from mgc_jax.evaluation.retrieval import AT, retrieval
from mgc_jax.evaluation.scored import Scored, StoredScores
from mgc_jax.network import build
from mgc_jax.network.audio_features import audio_features
from mgc_jax.network.state import ModelState, Network
from mgc_jax.runtime import sharding
from mgc_jax.runtime.progress import Progress
from mgc_jax.runtime.signals import StopRequest


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
    if build.hears_features(config) and data.audio_encoder_sha256 != audio_features(config.audio).encoder.digest:
        raise InputError(f"{data.path} was prepared with another audio encoder than {config.audio.encoder}.")
    if data.max_tokens != config.lyrics.max_tokens:
        raise InputError(
            f"{data.path} was prepared with {data.max_tokens} tokens, but the settings want {config.lyrics.max_tokens}."
        )
    if data.lyrics_input != config.lyrics.input:
        raise InputError(
            f"{data.path} was prepared with lyrics.input={data.lyrics_input}, but the settings want "
            f"{config.lyrics.input}."
        )


def evaluate(
    step: steps.EvaluationStep, network: Network, state: ModelState, config: Config, data: PreparedData, split: str
) -> tuple[dict[str, Any], StoredScores]:
    """All metrics on a split, with thresholds calibrated on validation (see :func:`report`), and what they come from.

    Raises:
        InputError: an unknown split, or settings that do not fit the data.
    """
    scored = score(step, network, state, config, data, ("validation", split))
    result, thresholds = report(scored["validation"], scored[split], data, split)
    names = data.vocabulary.names
    kept = StoredScores(scored[split], thresholds, names, int(state.step), **steps.genre_graph(network, state))
    sizes = {"trainable": state.params, "frozen": network.frozen}
    parameters = {kind: sum(x.size for x in jax.tree.leaves(tree)) for kind, tree in sizes.items()}
    return result | {"checkpoint_step": kept.step, "parameters": parameters}, kept


def score(
    step: steps.EvaluationStep,
    network: Network,
    state: ModelState,
    config: Config,
    data: PreparedData,
    splits: Iterable[str],
) -> dict[str, Scored]:
    """The scores of several splits by name; raises InputError as :func:`evaluate` does, and Stopped on request."""
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


def report(validation: Scored, result: Scored, data: PreparedData, split: str) -> tuple[dict[str, Any], np.ndarray]:
    """The metrics of ``result``, and the thresholds (G,) that ``validation`` calibrates.

    The headline figures use the calibrated thresholds; ``at_half`` holds those at 0.5, ``argmax_fallback`` those
    where a track with no genre over its threshold gets its highest one, ``trivial`` the predictors that never look,
    ``retrieval`` how well the A-L embeddings find a song's lyrics and back, None for a model without them.
    """
    thresholds = metrics.calibrate_thresholds(validation.scores, validation.labels)
    predictions = metrics.argmax_fallback(result.scores >= thresholds, result.scores)
    names = data.vocabulary.names
    return {
        **metrics.evaluate_scores(result.scores, result.labels, thresholds),
        "bce": float(result.bce.mean()),
        "split": split,
        "split_kind": data.split_kind,
        "source": data.source,
        "data": str(data.path.absolute()),
        "threshold": "calibrated per genre on validation",
        "at_half": metrics.evaluate_scores(result.scores, result.labels, 0.5),
        "argmax_fallback": metrics.evaluate_sets(predictions, result.labels),
        "trivial": metrics.trivial_predictors(data.vocabulary.counts, data.vocabulary.num_tracks, result.labels),
        "retrieval": _retrieval(result),
        "genres": [
            {"name": names[row["genre"]], "threshold": float(thresholds[row["genre"]])} | row
            for row in metrics.per_genre(result.scores, result.labels, thresholds)
        ],
    }, thresholds


def _retrieval(result: Scored) -> dict[str, Any] | None:
    if result.audio is None or result.lyrics is None:
        return None
    found = retrieval(result.audio, result.lyrics, result.words)
    return found and {direction: one.to_json() for direction, one in found.items()}


def summary(report: dict[str, Any]) -> str:
    """The report as a person reads it: the model beside the predictors that never look, then the genres."""
    constant, prevalence = report["trivial"]["best_constant"], report["trivial"]["prevalence"]
    ranking = {
        "mAP macro": ("map_macro", prevalence["map_macro"]),
        "mAP micro": ("map_micro", prevalence["map_micro"]),
        "ROC-AUC macro": ("roc_auc_macro", 0.5),
        "LRAP": ("lrap", None),
    }
    deciding = {
        "Jaccard": ("jaccard", constant["jaccard"]),
        "F1 example": ("f1_example", constant["f1_example"]),
        "F1 micro": ("f1_micro", None),
        "F1 macro": ("f1_macro", None),
        "exact match": ("exact_match", None),
        "Hamming loss": ("hamming_loss", None),
    }
    rows: list[tuple[Any, ...]] = [("", "calibrated", "+ arg-max", "at 0.5", "trivial")]
    rows += [(name, report[key], None, None, floor) for name, (key, floor) in ranking.items()]
    ways = (report, report["argmax_fallback"], report["at_half"])
    rows += [(name, *(way[key] for way in ways), floor) for name, (key, floor) in deciding.items()]

    def show(value: float | str | None) -> str:
        return value if isinstance(value, str) else "" if value is None else "-" if isnan(value) else f"{value:.3f}"

    lines = [f"{name:<16}" + "".join(f"{show(v):>11}" for v in values) for name, *values in rows]
    if found := report["retrieval"]:
        lines += ["", f"{'by A-L embeddings (at random)':<32}" + "".join(f"{f'recall at {k}':>16}" for k in AT)]
        for direction, one in found.items():
            pairs = (f"{way[key]:.3f} ({way['chance'][key]:.3f})" for way, key in ((one, f"recall_at_{k}") for k in AT))
            lines.append(f"{direction.replace('_', ' '):<32}" + "".join(f"{pair:>16}" for pair in pairs))
    lines += ["", f"{'genre':<24}{'tracks':>7}{'AP':>8}{'F1':>8}{'threshold':>11}"]
    for genre in report["genres"]:
        ap, f1, threshold = (show(genre[key]) for key in ("average_precision", "f1", "threshold"))
        lines.append(f"{genre['name'][:23]:<24}{genre['support']:>7}{ap:>8}{f1:>8}{threshold:>11}")
    heading = f"{report['num_tracks']} {report['split']} tracks ({report['split_kind']} split), "
    explanation = (
        "thresholds calibrated on validation\n(+ arg-max: a track with no genre over its threshold gets its best one; "
        "trivial: predictors that never look)"
    )
    return "\n".join([heading + explanation, "", *lines])


def headline(report: dict[str, Any]) -> str:
    """One line: the metrics beside those of the predictors that never look."""
    trivial = report["trivial"]
    constant = trivial["best_constant"]
    return (
        f"{report['split']} macro-mAP {report['map_macro']:.3f} (prevalence {trivial['prevalence']['map_macro']:.3f}), "
        f"example F1 {report['f1_example']:.3f} (best constant {constant['f1_example']:.3f}), "
        f"Jaccard {report['jaccard']:.3f} (best constant {constant['jaccard']:.3f})"
    )
