"""What recipes are worth on a catalogue of some hundred songs: several splits, random and by artist, with intervals.

    python scripts/measure_catalogue.py my_songs.csv --out measured [--config.key=value ...]

For every split the songs are prepared anew and the test tracks' figures of each row are taken; a row that is measured
already is not measured again. ``measured/figures.json`` holds them all, and the table is printed. Rows: the recipe
``manifest``, the same without the wide path, and with the small parts; these two with the narrow CNN, trained from
scratch on spectrograms, in musicnn's place; logistic regression on the same features as the recipe, and on mel
statistics and TF-IDF of the lyrics' word pieces, which needs no pretrained network.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data_pipeline.prepare.options import PrepareOptions
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.sources import read_corpus
from mgc_jax import api
from mgc_jax.config import Config, recipes
from mgc_jax.evaluation import metrics
from mgc_jax.evaluation.rival import Rival, rival
from mgc_jax.network import build
from mgc_jax.training.loop import train

METRICS = ("roc_auc_macro", "map_macro", "f1_example")
NAMES = ("AUC, macro", "mAP, macro", "F1, by track")
SPECTROGRAM = ["audio.input=spectrogram", "audio.sample_rate=22050"]
FROM_SCRATCH = [*SPECTROGRAM, "model.audio_preset=narrow"]
PLAIN = [*SPECTROGRAM, "lyrics.input=tokens"]
MODELS = {
    "manifest:small": ("manifest:small", [], "features"),
    "manifest:paper": ("manifest:paper", [], "features"),
    "manifest": ("manifest", [], "features"),
    "manifest:small, the CNN from scratch": ("manifest:small", FROM_SCRATCH, "spectrograms"),
    "manifest:paper, the CNN from scratch": ("manifest:paper", FROM_SCRATCH, "spectrograms"),
}
"""Of each row the recipe, its settings, and the name of its data set."""
LINEAR = {
    "logistic regression, the same features": ([], "features"),
    "logistic regression, mel statistics and TF-IDF": (PLAIN, "plain"),
}
CHANCE = "best constant, or chance"


def prepared(source: Path, out: Path, config: Config) -> PreparedData:
    """The data set of these settings, made where it is not there."""
    prepare(
        read_corpus(source, config.data.genre_separator),
        out,
        PrepareOptions(config.data, config.audio, config.lyrics),
        encode=build.lyrics_encoder(config) if config.lyrics.input == "features" else None,
        audio_encoding=build.audio_encoding(config) if build.has_audio_encoder(config) else None,
    )
    return PreparedData(out)


def chosen(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Those that the table shows."""
    return {name: float(figures[name] or 0.0) for name in METRICS}


def trained(source: Path, out: Path, row: str, settings: list[str]) -> dict[str, dict[str, float]]:
    """The figures of a model that is trained anew, and of the best constant answer."""
    recipe, own, data_set = MODELS[row]
    config = recipes.load(recipe, [*settings, *own])
    data = prepared(source, out / data_set, config)
    workdir = out / row.replace(" ", "-")
    train(config, data, workdir)
    evaluation = api.load(str(workdir)).evaluate(data, "test")
    chance = chosen({**evaluation.trivial, "roc_auc_macro": 0.5})
    return {row: chosen(dict(evaluation.metrics)), CHANCE: chance}


def linear(source: Path, out: Path, row: str, settings: list[str]) -> dict[str, dict[str, float]]:
    """The figures of a logistic regression."""
    own, data_set = LINEAR[row]
    data = prepared(source, out / data_set, recipes.load("manifest", [*settings, *own]))
    fitted = rival(data, "test")
    if not isinstance(fitted, Rival):
        raise SystemExit(fitted)
    labels = np.concatenate([b["labels"][b["weight"] > 0] for b in data.evaluation_batches("test", batch_size=64)])
    return {row: chosen(metrics.evaluate_scores(fitted.scores["test"], labels, fitted.thresholds))}


def table(figures: dict[str, dict[str, dict[str, float]]], kind: str) -> str:
    """Means over the splits of a kind, with the half width of the 95 % interval of the mean (Student's t)."""
    from scipy import stats

    splits = [rows for name, rows in figures.items() if name.startswith(kind)]
    half = stats.t.ppf(0.975, len(splits) - 1) / np.sqrt(len(splits)) if len(splits) > 1 else np.nan
    lines = [f"| {kind}, {len(splits)} splits | {' | '.join(NAMES)} |", "|---|" + "---|" * len(NAMES)]
    for row in (row for row in [*MODELS, *LINEAR, CHANCE] if all(row in rows for rows in splits)):
        values = np.array([[rows[row][name] for name in METRICS] for rows in splits])
        spread = values.std(0, ddof=1) * half if len(splits) > 1 else values[0] * np.nan
        cells = (f"{mean:.3f} ± {width:.3f}" for mean, width in zip(values.mean(0), spread, strict=True))
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every split, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=3, help="of each kind")
    every = [*MODELS, *LINEAR]
    parser.add_argument("--rows", nargs="+", choices=every, default=every, metavar="ROW", help=f"of {every}")
    options, words = parser.parse_known_args()
    overrides = [word.removeprefix("--config.") for word in words]
    file = options.out / "figures.json"
    options.out.mkdir(parents=True, exist_ok=True)
    figures = json.loads(file.read_text()) if file.exists() else {}
    for kind in ("random", "artist"):
        for seed in range(options.splits):
            name = f"{kind} {seed}"
            folder = options.out / name.replace(" ", "-")
            settings = [*overrides, f"data.split={kind}", f"data.split_seed={seed}"]
            rows = figures.setdefault(name, {})
            for row in options.rows:
                if row not in rows:
                    rows |= (trained if row in MODELS else linear)(options.source, folder, row, settings)
                    file.write_text(json.dumps(figures, indent=2))
            shutil.rmtree(folder, ignore_errors=True)
        print(table(figures, kind), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
