"""Trains the rows of a sweep with several seeds each and sets what they score beside the paper's figures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import stats

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax import api
from mgc_jax.config import Config, recipes
from mgc_jax.evaluation.evaluate import measure
from mgc_jax.evaluation.results import Evaluation
from mgc_jax.evaluation.rival import rival
from mgc_jax.evaluation.scored import Scored
from mgc_jax.evaluation.thresholds import calibrate_thresholds
from mgc_jax.paper.sweeps import SWEEPS, Row, Sweep
from mgc_jax.runs.data_set import as_prepared
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime.progress import Progress
from mgc_jax.training.loop import check_fits, train

METRICS = ("jaccard", "f1_example", "map_macro", "f1_micro", "f1_macro")
DECISIONS = ("at_half", "argmax_fallback")
"""Other ways to turn scores into genres than calibrated thresholds, as an evaluation has them."""
DECIDED = ("jaccard", "f1_example", "f1_macro")
BESIDE = ("trivial", "linear")
"""What an evaluation sets beside the model: it is of the data set, and the same for every run."""
CONFIDENCE = 0.95


class Run(NamedTuple):
    """One training: a row with a seed, in a workdir of its own; or the mean of ``parts``, the workdirs of others."""

    row: Row
    seed: int
    config: Config
    folder: Path
    parts: tuple[Path, ...] = ()


def plan(sweep: Sweep, base: Config, data: PreparedData, workdir: Path, seeds: int) -> list[Run]:
    """All runs, seed by seed, so that an interrupted sweep is a whole table with fewer seeds.

    A run that several sweeps have is one folder, whatever they call it: in one workdir it is trained once.

    Raises:
        InputError: settings that do not fit the data, or a workdir that holds runs of other settings.
    """
    runs: list[Run] = []
    base = as_prepared(base, data)
    for seed in range(base.train.seed, base.train.seed + seeds):
        for row in sweep.rows:
            config = settings(base, row, seed)
            check_fits(config, data)
            if row.mean_of:
                parts = tuple(run.folder for run in runs if run.seed == seed and run.row.name in row.mean_of)
                runs.append(Run(row, seed, config, workdir / slug(row.name) / f"seed_{seed}", parts))
                continue
            folder = workdir / slug(first_name(base, row)) / f"seed_{seed}"
            # Stricter than resuming: a run that is done stays as it is, so its epochs count too.
            Workdir(folder).check_same(config, data.vocabulary, free=["compute.", "log."])
            runs.append(Run(row, seed, config, folder))
    return runs


def settings(base: Config, row: Row, seed: int) -> Config:
    """The base recipe with what the row changes."""
    return recipes.changed(base, {**row.overrides, "train.seed": seed}, origin=row.name)


def first_name(base: Config, row: Row) -> str:
    """What the first of all sweeps that has the row's settings calls it."""
    rows = (other for sweep in SWEEPS.values() for other in sweep.rows if not other.mean_of)
    return next((other.name for other in rows if _are_same(base, row, other)), row.name)


def _are_same(base: Config, row: Row, other: Row) -> bool:
    try:
        return settings(base, row, 0) == settings(base, other, 0)
    except InputError:  # a rival of the paper that cannot hear what the base hears
        return False


def reproduce(
    sweep: Sweep,
    base: Config,
    data: PreparedData,
    workdir: Path,
    seeds: int,
    *,
    only: Collection[str] | None = None,
    split: str = "test",
    save: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Train and evaluate every run that is not done yet; ``save`` gets the comparison after each.

    With ``only`` no other rows are trained; those that are done already are reported all the same. A run that
    diverges or runs out of memory is reported as failed, and the others go on.

    Raises:
        InputError: see :func:`plan`.
    """
    runs = plan(sweep, base, data, workdir, seeds)
    scores: dict[tuple[str, int], dict[str, Any]] = {}
    finished = [run for run in runs if _file(run, split).exists()]
    todo = [run for run in runs if run not in finished and (only is None or run.row.name in only)]
    for run in finished:
        scores[run.row.name, run.seed] = _scores(run, data, split)
    bar = Progress("runs", len(todo), "runs")
    for number, run in enumerate(todo, 1):
        bar.say(f"\n[{number}/{len(todo)}] {run.row.name}, seed {run.seed}")
        scores[run.row.name, run.seed] = _scores(run, data, split)
        save(compare(sweep, scores, data, split))
        bar.update(1)
    bar.close()
    comparison = compare(sweep, scores, data, split)
    save(comparison)
    return comparison


def _file(run: Run, split: str) -> Path:
    return Workdir(run.folder).evaluation(split)


def _scores(run: Run, data: PreparedData, split: str) -> dict[str, Any]:
    """The run's metrics, or why it has none."""
    if (file := _file(run, split)).exists():
        evaluation = Evaluation.read(file, split, data.vocabulary.names)
    else:
        try:
            evaluation = _mean_of(run, data, split) if run.row.mean_of else _trained(run, data, split)
        except (InputError, MemoryError, jax.errors.JaxRuntimeError) as error:
            return {"seed": run.seed, "failed": " ".join(str(error).split())[:300]}
        finally:
            jax.clear_caches()  # every row is another program
    metrics = {name: evaluation.metrics[name] for name in METRICS}
    decisions = {way: {name: getattr(evaluation, way)[name] for name in DECIDED} for way in DECISIONS}
    if undefined := [name for name, value in metrics.items() if value is None]:
        return {"seed": run.seed, "failed": f"{', '.join(undefined)} cannot be computed on {split}"}
    beside = {name: evaluation.to_json()[name] for name in BESIDE}
    return {"seed": run.seed, **metrics, **decisions, **beside}


def _trained(run: Run, data: PreparedData, split: str) -> Evaluation:
    train(run.config, data, run.folder)
    return api.load(run.folder).evaluate(data, split)


def _mean_of(run: Run, data: PreparedData, split: str) -> Evaluation:
    """Of the mean of several runs' scores."""
    if len(run.parts) < len(run.row.mean_of):
        raise InputError(f"it needs the rows {' and '.join(run.row.mean_of)}")
    models = [api.load(folder) for folder in run.parts]
    validation, scored = (Scored.mean([model.score(data, name) for model in models]) for name in ("validation", split))
    evaluation = measure(
        scored,
        calibrate_thresholds(validation.scores, validation.labels, prevalence=data.vocabulary.prevalence),
        data,
        split,
        step=None,
        parameters=dict(sum((Counter(model.parameters) for model in models), Counter())),
        other_data=False,
        rival=rival(data, split),
    )
    run.folder.mkdir(parents=True, exist_ok=True)
    evaluation.save(_file(run, split))
    return evaluation


def compare(
    sweep: Sweep, scores: Mapping[tuple[str, int], dict[str, Any]], data: PreparedData, split: str
) -> dict[str, Any]:
    """Mean, standard deviation and paired difference to the reference for each row, over the seeds it finished."""
    rows = []
    of_reference = {seed: s for (name, seed), s in scores.items() if name == sweep.reference and "failed" not in s}
    for row in sweep.rows:
        runs = [s for (name, _), s in scores.items() if name == row.name]
        good = [s for s in runs if "failed" not in s]
        pairs = [(s, of_reference[s["seed"]]) for s in good if s["seed"] in of_reference]
        rows.append(
            {
                "name": row.name,
                "overrides": dict(row.overrides),
                "paper": None if row.paper is None else dict(zip(("jaccard", "f1_example"), row.paper, strict=True)),
                "runs": [{k: v for k, v in s.items() if k not in BESIDE} for s in runs],
                "mean": {m: float(np.mean([s[m] for s in good])) for m in METRICS} if good else None,
                "std": {m: float(np.std([s[m] for s in good], ddof=1)) for m in METRICS} if len(good) > 1 else None,
                "difference": (
                    {m: paired_difference([a[m] - b[m] for a, b in pairs]) for m in METRICS}
                    if pairs and row.name != sweep.reference
                    else None
                ),
            }
        )
    finished = {run: s for run, s in scores.items() if "failed" not in s}
    beside = {name: next((s[name] for s in finished.values() if s[name]), None) for name in BESIDE}
    return {
        "title": sweep.title,
        "reference": sweep.reference,
        "axis": sweep.axis,
        "data": str(data.path),
        "split": split,
        "split_kind": data.split_kind,
        "num_tracks": data.split_sizes[split],
        **beside,
        "rows": rows,
        "effects": {name: effect for name, off in sweep.parts.items() if (effect := _effect(sweep, off, finished))},
        "decisions": {
            way: {m: paired_difference([s[way][m] - s[m] for s in of_reference.values()]) for m in DECIDED}
            for way in DECISIONS
            if of_reference
        },
    }


def _effect(
    sweep: Sweep, off: Mapping[str, Any], good: Mapping[tuple[str, int], dict[str, Any]]
) -> dict[str, dict[str, float | None]] | None:
    """What a part changes: the mean over all pairs of rows that differ by it alone, for each seed that has them all."""
    pairs = [
        (with_it.name, without.name)
        for with_it in sweep.rows
        for without in sweep.rows
        if with_it.overrides != without.overrides == {**with_it.overrides, **off}
    ]
    seeds = {seed for _, seed in good}
    whole = [seed for seed in sorted(seeds) if all((name, seed) in good for pair in pairs for name in pair)]
    if not whole:
        return None
    means = {m: [np.mean([good[a, s][m] - good[b, s][m] for a, b in pairs]) for s in whole] for m in METRICS}
    return {metric: paired_difference(values) for metric, values in means.items()}


def paired_difference(differences: Iterable[float]) -> dict[str, float | None]:
    """Mean of the differences over seeds, and Student's 95 % interval (None with fewer than two)."""
    values = np.asarray(list(differences), np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None}
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def select(sweep: Sweep, names: Iterable[str]) -> list[str]:
    """The sweep's rows of these names (as printed, or in the form of :func:`slug`), by their printed names.

    Raises:
        InputError: a name that the sweep does not have.
    """
    wanted = {slug(name) for name in names}
    if unknown := wanted - {slug(row.name) for row in sweep.rows}:
        known = ", ".join(slug(row.name) for row in sweep.rows)
        raise InputError(f"This sweep has no row {', '.join(sorted(unknown))}; it has {known}.")
    return [row.name for row in sweep.rows if slug(row.name) in wanted]


def slug(name: str) -> str:
    """A row's name as a folder: ``A-L + SCMA`` -> ``a-l_scma``."""
    return re.sub(r"[^a-z0-9.-]+", "_", name.lower()).strip("_")
