"""The page itself: facts, tables and pictures put into ``templates/report.html``."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.audio import AudioError
from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.storage.files import written_whole
from mgc_jax.config import Config
from mgc_jax.evaluation import diagnostics, metrics, retrieval
from mgc_jax.evaluation.scored import Scored
from mgc_jax.evaluation.text import verdict
from mgc_jax.plots import charts
from mgc_jax.plots.data_uri import data_uri
from mgc_jax.report import explained, mistakes
from mgc_jax.report.data_losses import EXAMPLES, losses
from mgc_jax.report.inputs import Gaps, Inputs, gather
from mgc_jax.report.tables import genre_rows, headline, metric_rows
from mgc_jax.runs.workdir import Workdir
from mgc_jax.version import __version__

KNOWN_FILES = {
    "config.json": "the settings of the run",
    "genres.json": "the genres in order, with training counts and co-occurrence",
    "metrics.jsonl": "losses and validation scores by step",
    "thresholds.json": "the thresholds calibrated on validation",
    "linear.npz": "the linear rival's scores on the data set",
    "checkpoints": "weights: the latest step, and the best on validation",
    ".json": "all figures of an evaluation",
    ".npz": "what an evaluation's figures come from: scores, labels, vectors of tracks and genres",
    "events.out": "the same scalars for TensorBoard",
}


def write(
    folder: Path, split: str, out: Path, *, data: PreparedData | None = None, players: bool = True
) -> tuple[int, list[str]]:
    """Write the page about a workdir's evaluation on ``split``.

    Args:
        data: the prepared data set, if it is not where it was when the run was evaluated.
        players: whether the page contains music and lyrics: players for the worst mistakes, and a few tracks
            explained by the run's checkpoint.

    Returns:
        The page's size in bytes, and a sentence for each thing that it lacks.

    Raises:
        InputError: the folder holds no run, or the page cannot be written.
    """
    gaps = Gaps()
    with written_whole(out) as file:  # opened before the work, for a place that cannot be written
        inputs = gather(Workdir(folder), split, data, gaps)
        page = render(inputs, gaps, players=players).encode(errors="backslashreplace")  # a file name
        file.write(page)
    return len(page), gaps.sentences()


def render(inputs: Inputs, gaps: Gaps, *, players: bool) -> str:
    """The page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("mgc_jax.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ranked = _retrieval(inputs)
    parts = _charts(inputs, ranked, gaps)
    wrong = _mistakes(inputs, gaps, players)
    left_out = losses(inputs, gaps)
    return pages.get_template("report.html").render(
        title=inputs.folder.path.absolute().name,
        inputs=inputs,
        facts=_facts(inputs),
        gaps=gaps.of,
        charts=parts,
        headline=headline(inputs.evaluation) if inputs.evaluation else [],
        verdict=verdict(inputs.evaluation) if inputs.evaluation else "",
        metrics=metric_rows(inputs.evaluation) if inputs.evaluation else [],
        genres=genre_rows(inputs.evaluation) if inputs.evaluation else [],
        retrieval=ranked,
        calibration=_calibration(inputs),
        mistakes=wrong,
        explained=explained.explained(inputs, gaps) if players else [],
        players=any(m["player"] for m in wrong),
        wanted_players=players,
        losses=left_out,
        settings=_settings(inputs.config),
        files=_files(inputs.folder.path),
        version=__version__,
        written=_day(datetime.datetime.now().timestamp()),
    )


def _facts(inputs: Inputs) -> list[tuple[str, str]]:
    c, evaluation = inputs.config, inputs.evaluation
    m = c.model
    sound = f"CNN {m.audio_preset}" if c.audio.input == "spectrogram" else c.audio.encoder
    wide = f", wide path {m.wide:g}" if m.wide else ""
    model = f"ru: audio {sound}, fusion {m.fusion}, head {m.head}{wide}" if m.architecture == "ru" else ""
    windows = f" in windows of {c.lyrics.window}" if c.lyrics.window else ""
    facts = [
        ("Model", model or m.architecture),
        ("Lyrics encoder", f"{c.lyrics.encoder}, {c.lyrics.max_tokens} tokens{windows}"),
    ]
    if evaluation:
        sizes = evaluation.parameters
        facts.append(("Parameters", f"{sizes['trainable']:,} trained, {sizes['frozen']:,} frozen"))
    other_data = evaluation is not None and evaluation.other_data
    own = inputs.data is not None and inputs.data.vocabulary == inputs.vocabulary and not other_data  # with its counts
    sizes_of = inputs.data.split_sizes if inputs.data and own else {"training": inputs.vocabulary.num_tracks}
    tracks = ", ".join(f"{n:,} {name}" for name, n in sizes_of.items())
    facts.append(("Tracks", f"{tracks}; {inputs.vocabulary.size} genres"))
    if inputs.data:
        corpus = f"{inputs.data.source}, " if inputs.data.source else ""
        other = "" if own else ", another one than the run was trained on"
        facts.append(("Data set", f"{inputs.data.path} ({corpus}{inputs.data.split_kind} split){other}"))
    if inputs.log:
        last = int(inputs.log[-1]["step"])
        epoch = inputs.vocabulary.num_tracks // c.train.batch_size
        epochs = f" ({last / epoch:.3g} of {c.train.epochs} epochs)" if epoch else ""
        facts.append(("Trained", f"{last:,} steps of {c.train.batch_size} tracks{epochs}"))
        speed = [row["train/tracks_per_second"] for row in inputs.log if "train/tracks_per_second" in row]
        if speed:
            facts.append(("Speed", f"{np.median(speed):,.0f} tracks/s (median)"))
    if evaluation:
        done = _day(inputs.folder.evaluation(inputs.split).stat().st_mtime)
        facts.append(
            ("Evaluated", f"{evaluation.tracks} {inputs.split} tracks, checkpoint of step {evaluation.step}, {done}")
        )
    return facts


def _charts(inputs: Inputs, ranked: Mapping[str, retrieval.Retrieval] | None, gaps: Gaps) -> dict[str, str]:
    """``data:`` addresses of SVG pictures, by part of the page."""
    made: dict[str, str] = {}

    def add(name: str, figure: Any) -> None:
        made[name] = data_uri("image/svg+xml", charts.as_svg(figure))

    names, stored = inputs.vocabulary.names, inputs.stored
    if inputs.log:
        add("training", charts.training_curves(inputs.log, inputs.evaluation.step if inputs.evaluation else None))
    if inputs.evaluation:
        rows = inputs.evaluation.genres.values()
        ap, f1 = (np.array([row[key] for row in rows], float) for key in ("average_precision", "f1"))
        support = np.array(list(inputs.evaluation.support.values()), float)
        add("genres", charts.genre_bars(names, ap, f1, support, inputs.evaluation.tracks))
    if stored is None:
        for part in ("precision", "calibration", "confusions", "retrieval", "songs", "mistakes"):
            gaps.pass_on(part, "scores", "results")
        add("maps", charts.genre_maps(names, inputs.vocabulary.cooccurrence))
        return made
    scored, predicted = stored.scored, metrics.predict(stored.scored.scores, stored.thresholds)
    add("precision", charts.precision_recall(names, scored.scores, scored.labels))
    add("calibration", charts.reliability(scored.scores, scored.labels))
    together = diagnostics.cooccurrence(predicted)
    add("maps", charts.genre_maps(names, inputs.vocabulary.cooccurrence, stored.genre_vectors, together))
    if stored.genre_vectors is None:
        gaps.add("maps", "This model has no genre vectors, so there is no map of what it has learned.")
    add("confusions", charts.confusions(names, predicted, scored.labels))
    if ranked:
        add("retrieval", charts.retrieval_bars(ranked))
    elif scored.audio is None:
        gaps.add("retrieval", "This model has no A-L embeddings.")
    else:
        gaps.add("retrieval", f"The {inputs.split} split has no two tracks with different lyrics.")
    if scored.fused is None:
        gaps.add("songs", "This model has no fused vectors, so there is no map of songs.")
    elif len(scored.fused) < charts.MAP_SONGS:
        gaps.add("songs", f"The {inputs.split} split has {len(scored.fused)} tracks, too few for a map of songs.")
    else:
        add("songs", charts.song_map(scored.fused, _main_genres(scored, names)))
    return made


def _retrieval(inputs: Inputs) -> Mapping[str, retrieval.Retrieval] | None:
    if inputs.stored is None or inputs.stored.scored.audio is None or inputs.stored.scored.lyrics is None:
        return None
    if inputs.evaluation:
        return inputs.evaluation.retrieval
    return retrieval.retrieval(inputs.stored.scored.audio, inputs.stored.scored.lyrics, inputs.stored.scored.words)


def _main_genres(scored: Scored, names: Sequence[str]) -> list[str]:
    """Of each track's genres the one with the highest score; empty for a track that has none."""
    best = np.where(scored.labels > 0, scored.scores, -1.0)
    return [names[row.argmax()] if row.max() >= 0 else "" for row in best]


def _calibration(inputs: Inputs) -> dict[str, float] | None:
    if inputs.stored is None:
        return None
    scores, labels = inputs.stored.scored.scores, inputs.stored.scored.labels
    return {
        "all": diagnostics.calibration(scores, labels).error,
        "by_genre": diagnostics.classwise_calibration_error(scores, labels),
    }


def _mistakes(inputs: Inputs, gaps: Gaps, players: bool) -> list[dict[str, Any]]:
    """The worst tracks with who they are and how they sound, as far as the data set is there."""
    if inputs.stored is None:
        return []
    rows: list[dict[str, str]] = []
    if inputs.data is None:
        gaps.pass_on("mistakes", "data", because="Names and players are missing: ")
    else:
        try:
            rows = inputs.data.tracks(inputs.split)
        except InputError as error:
            gaps.add("mistakes", f"Names and players are missing: {error}")
    entries, silent = [], []
    for mistake in mistakes.worst(inputs.stored.scored, inputs.stored.thresholds, inputs.vocabulary.names):
        unknown = {"id": f"track {mistake.index} of {inputs.split}", "title": "", "artist": ""}
        track = unknown | (rows[mistake.index] if rows else {})
        player = None
        if players and rows and inputs.data:
            try:
                player = mistakes.clip(mistakes.locate(track, inputs.data.path))
            except AudioError as error:
                silent.append(f"{track['id']} ({error})")
        entries.append({"track": track, "player": player, "judged": mistake})
    if silent:
        gaps.add("mistakes", f"{len(silent)} of these tracks cannot be played: {', '.join(silent[:EXAMPLES])}.")
    return entries


def _settings(config: Config) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Sections of (setting, value, whether it is not the default)."""
    usual, chosen = dataclasses.asdict(Config()), dataclasses.asdict(config)
    return [
        (section, [(name, _shown(value), value != usual[section][name]) for name, value in values.items()])
        for section, values in chosen.items()
    ]


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return ("yes" if value else "no") if isinstance(value, bool) else "none" if value in ({}, "") else str(value)


def _files(folder: Path) -> list[tuple[str, str, str]]:
    """Name, size and meaning of what lies in the workdir."""
    files = []
    for path in sorted(folder.iterdir()):
        known = path.suffix if path.name.startswith("evaluation_") else path.name.partition(".tfevents")[0]
        if what := KNOWN_FILES.get(known):
            size = _size(path)
            files.append((path.name, f"{size / 1e6:.1f} MB" if size > 1e5 else f"{size / 1e3:.1f} kB", what))
    return files


def _size(path: Path) -> int:
    """Of a file or of a folder's; what a training run deletes meanwhile counts nothing."""
    size = 0
    for part in path.rglob("*") if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            size += part.stat().st_size if part.is_file() else 0
    return size


def _day(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
