"""The model card: what a run says of itself, from its own settings and figures and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import mgc_jax
from data_pipeline.errors import InputError
from mgc_jax import build
from mgc_jax.evaluations import GENERATED, METRICS, Evaluation
from mgc_jax.export.markdown import plain, show, table
from mgc_jax.export.use import use
from mgc_jax.inference import Model

FEW = 20
"""Tracks under which a genre's figures say little."""
ENCODERS = {
    "minilm": ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
    "google-bert/bert-base-uncased": ("google-bert/bert-base-uncased", "apache-2.0"),
    "google-bert/bert-base-cased": ("google-bert/bert-base-cased", "apache-2.0"),
}
"""Lyrics encoders whose name on the hub and licence are known."""
RIVALS = {
    "santana": "the audio model of Santana et al., one of the rivals of the paper's Table 1",
    "pandeya": "the audio and lyrics model of Pandeya et al., one of the rivals of the paper's Table 1",
}
PAPER = """```bibtex
@inproceedings{ru2023improving,
  title     = {Improving Music Genre Classification from Multi-modal Properties of Music and Genre Correlations
               Perspective},
  author    = {Ru, Ganghui and Zhang, Xulong and Wang, Jianzong and Cheng, Ning and Xiao, Jing},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP)},
  year      = {2023},
  doi       = {10.1109/ICASSP49357.2023.10097241},
  note      = {arXiv:2303.07667}
}
```"""


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a card is about.

    ``evaluations`` are by split; ``licence`` is that of the weights, as the hub spells it.
    """

    model: Model
    name: str
    evaluations: Mapping[str, Evaluation]
    licence: str
    onnx: bool

    @property
    def valid(self) -> dict[str, Evaluation]:
        """The evaluations of these very weights."""
        return {split: e for split, e in self.evaluations.items() if e.step == int(self.model.state.step)}

    @property
    def best(self) -> Evaluation | None:
        """The one that counts: of the test tracks, else of the validation tracks."""
        return self.valid.get("test") or self.valid.get("validation")

    @property
    def source(self) -> str:
        """The kind of corpus, or nothing where no evaluation says."""
        return next((e.source for e in self.evaluations.values() if e.source), "")


def card(subject: Subject) -> str:
    """The content of ``README.md``: front matter as the hub reads it, then the card in Markdown."""
    sections = [
        f"# {plain(subject.name)}",
        _introduction(subject),
        "## Figures",
        _figures(subject),
        "## Genres",
        _genres(subject),
        "## Data",
        _data(subject),
        "## Settings",
        _settings(subject),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(subject)),
        "## Use",
        use(subject.model, onnx=subject.onnx),
        "## Licence",
        _licence(subject),
        "## Citation",
        f"The method:\n\n{PAPER}",
    ]
    return f"---\n{_front_matter(subject)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _front_matter(subject: Subject) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    base, _ = _encoder(subject.model)
    results = [
        EvalResult(
            task_type="audio-classification",
            task_name="multi-label music genre classification",
            dataset_type=_slug(subject.source or "own-data"),
            dataset_name=_upper(subject.source or "a prepared data set"),
            dataset_split=evaluation.split,
            metric_type=key,
            metric_name=name,
            metric_value=round(value, 4),
        )
        for evaluation in ([subject.best] if subject.best else [])
        for name, key in METRICS.items()
        if (value := evaluation.metrics[key]) is not None
    ]
    more: dict[str, Any] = {"model_name": subject.name, "eval_results": results} if results else {}
    languages = list(subject.model.config.data.languages)
    return ModelCardData(
        license=subject.licence,
        library_name="mgc-jax",
        pipeline_tag="audio-classification",
        tags=["music", "music-genre-classification", "multi-label", "multimodal", "lyrics", "jax", "flax", "stablehlo"],
        base_model=[base] if build.uses_bert(subject.model.config) and "/" in base else None,
        language=languages or None,
        **more,
    ).to_yaml()


def _introduction(subject: Subject) -> str:
    model = subject.model
    config, genres = model.config, model.vocabulary.size
    rival = RIVALS.get(config.model.architecture)
    what = rival or "a re-implementation of Ru et al. (ICASSP 2023)"
    reads = "audio" if config.model.architecture == "santana" else "audio and lyrics"
    if not rival and config.model.fusion in ("audio", "lyrics"):
        reads = f"{config.model.fusion} alone (the other modality does not reach the genres)"
    generated = "**The music was generated by a program: nobody made it.** " if _generated(subject) else ""
    return (
        f"{generated}Names the genres of a piece of music, any number of {genres}, from its {reads}: {what}, in "
        f"JAX/Flax. Written by mgc-jax {mgc_jax.__version__} from the checkpoint of step {int(model.state.step)}; "
        "every figure below is the run's own."
    )


def _figures(subject: Subject) -> str:
    parts = []
    stale = [split for split in subject.evaluations if split not in subject.valid]
    if stale:
        parts.append(f"The evaluation on {' and '.join(stale)} is of another checkpoint and is left out.")
    if not subject.valid:
        parts.append("**These weights were never evaluated**: nothing is known of how well they do.")
        return "\n\n".join(parts)
    if "test" not in subject.valid:
        parts.append("**These weights were never evaluated on the test tracks.**")
    if set(subject.valid) & {"train", "validation"}:
        parts.append(
            "The checkpoint and the thresholds were chosen on the validation tracks, and the weights on the training "
            "tracks: figures there flatter."
        )
    columns = [f"{e.split} ({e.tracks} tracks)" for e in subject.valid.values()]
    rows = []
    for name, key in METRICS.items():
        figures = [show(e.metrics[key]) for e in subject.valid.values()]
        best = subject.best or next(iter(subject.valid.values()))
        rows.append([name, *figures, show(best.never_looks.get(key)) if key in best.never_looks else ""])
    shown = (subject.best or next(iter(subject.valid.values()))).split
    parts.append(table(["", *columns, f"never looks ({shown})"], rows))
    parts.append(
        "Sets of genres (F1, Jaccard, exact match, Hamming loss) by thresholds calibrated for each genre on the "
        'validation tracks. "Never looks" is what a predictor gets that does not see the track: the genres\' '
        "frequencies for mAP, the best constant set for the others. One run, one seed."
    )
    return "\n\n".join(parts)


def _genres(subject: Subject) -> str:
    vocabulary, best = subject.model.vocabulary, subject.best
    columns = ["genre", "training tracks", "threshold"]
    if best:
        columns[2:2] = [f"{best.split} tracks", "average precision", "F1"]
    rows = []
    for place, name in enumerate(vocabulary.names):
        row = [plain(name), str(int(vocabulary.counts[place])), show(float(subject.model.thresholds[place]))]
        if best:
            own = best.genres.get(name, {})
            support = own.get("support")
            figures = [show(own.get("average_precision")), show(own.get("f1"))]
            row[2:2] = ["0" if support is None else str(int(support)), *figures]
        rows.append(row)
    note = "\n\nNo thresholds were calibrated: 0.5 decides." if subject.model.folder.thresholds() is None else ""
    return table(columns, rows) + note


def _data(subject: Subject) -> str:
    model = subject.model
    data = model.config.data
    kind = "random: an artist may have tracks on both sides" if data.split == "random" else "by artist"
    languages = ", ".join(map(plain, data.languages)) or "all"
    lines = [
        f"Kind of corpus: {plain(subject.source) or 'not known: no evaluation of a data set that names it'}",
        f"Training tracks: {model.vocabulary.num_tracks}",
        f"Split: {kind} (seed {data.split_seed}, shares {', '.join(map(str, data.fractions))})",
        f"Languages of the lyrics: {languages}",
        f"Tracks without lyrics: {'left out' if data.require_lyrics else 'kept'}",
        f"Genres with fewer than {data.min_genre_tracks} tracks: left out",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _settings(subject: Subject) -> str:
    model = subject.model
    config = model.config
    learned = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(model.state.params))
    frozen = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(model.network.frozen))
    name, _ = _encoder(model)
    rows = [
        ["architecture", config.model.architecture],
        ["parameters", f"{learned:,} learned, {frozen:,} frozen"],
        ["clip", f"{config.audio.seconds:g} s at {config.audio.sample_rate} Hz, {config.audio.n_mels} mel bands"],
    ]
    if build.uses_bert(config):
        rows += [
            ["lyrics encoder", f"{plain(name)}, {'trained' if config.train.encoder_rate else 'frozen'}"],
            ["audio encoder, fusion, head", f"{config.model.audio_preset}, {config.model.fusion}, {config.model.head}"],
            ["weight of the A-L loss", f"{config.loss.contrastive_weight:g}"],
        ]
    rows += [
        ["lyric tokens", f"{config.lyrics.max_tokens} at most"],
        [
            "optimiser",
            f"{config.train.optimiser}, rate {config.train.learning_rate:g}, batch {config.train.batch_size}",
        ],
        ["seed", str(config.train.seed)],
    ]
    return table(["setting", "value"], rows) + "\n\nAll of them: `config.json`."


def _limits(subject: Subject) -> Iterable[str]:
    config, best = subject.model.config, subject.best
    if _generated(subject):
        yield (
            "It was trained and measured on a generated corpus: audio, lyrics and artists are synthetic, and genres "
            "are what a program makes of them. The figures say nothing about music that people made; use it to try the "
            "program, not to label songs."
        )
    yield (
        f"It hears {config.audio.seconds:g} s at a time. A longer song is cut into such windows, whose scores are "
        "averaged; each of them is read with the whole lyrics."
    )
    if config.model.architecture != "santana" and config.model.fusion != "audio":
        yield f"It reads the first {config.lyrics.max_tokens} word pieces of the lyrics and no further."
        yield (
            "The lyrics encoder knows the languages that it was pretrained on"
            + (" (all-MiniLM-L6-v2: English)" if config.lyrics.encoder == "minilm" else "")
            + "; lyrics in others are read as word pieces without much meaning."
        )
    if config.data.split == "random":
        yield "Tracks of one artist were on both sides of the split: on artists that it never heard it does worse."
    rare = [name for name, row in best.genres.items() if (row["support"] or 0) < FEW] if best else []
    if best and rare:
        yield f"Fewer than {FEW} {best.split} tracks each, so figures that say little: {', '.join(map(plain, rare))}."
    yield "It knows the genres above and no others, and always names at least one."
    yield "Genres are what the people who labelled the tracks meant by them."


def _licence(subject: Subject) -> str:
    name, licence = _encoder(subject.model)
    own = (
        "Whoever trained these weights has not named a licence for them."
        if subject.licence == "unknown"
        else f"The weights: {subject.licence}."
    )
    encoder = f"The lyrics encoder in `encoder/` is {plain(name)}"
    its = f"its licence is {licence}" if licence else "its licence is not known to mgc-jax: see where it came from"
    return f"{own} {encoder}; {its}. The rights in the music and in the lyrics stay with their owners."


def check_licence(text: str) -> str:
    """A licence as the hub spells it, such as ``apache-2.0`` or ``cc-by-nc-4.0``; InputError for what cannot be one."""
    if not 0 < len(text) <= 60 or set(text) - set("abcdefghijklmnopqrstuvwxyz0123456789.-"):
        raise InputError(
            f"The licence {text!r:.60} is none that the hub spells so, such as apache-2.0, mit or cc-by-4.0."
        )
    return text


def _encoder(model: Model) -> tuple[str, str | None]:
    """The lyrics encoder's name, that of its folder where it came from one, and its licence as far as it is known."""
    name = model.config.lyrics.encoder
    return ENCODERS.get(
        name, (Path(name).name if Path(name).is_absolute() or name.startswith((".", "~")) else name, None)
    )


def _generated(subject: Subject) -> bool:
    return subject.source == GENERATED


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
