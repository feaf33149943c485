"""The exported folder: everything that a model needs, put together beside its place and moved there when complete."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import copy_encoder, public_name
from data_pipeline.storage.json_file import write_json
from mgc_jax.api import Model
from mgc_jax.config.recipes import as_json
from mgc_jax.evaluation import results
from mgc_jax.evaluation.results import Evaluation
from mgc_jax.export import program
from mgc_jax.export.card import card
from mgc_jax.export.preprocessing import preprocessing
from mgc_jax.export.subject import Subject
from mgc_jax.network import build
from mgc_jax.network.audio_encoders import copy_audio_encoder
from mgc_jax.runs import weights_file


def check_free(out: Path) -> None:
    """Raise InputError where no exported folder can be put, before the work and not after it."""
    for place in (out, *out.absolute().parents):
        if place.is_file():
            raise InputError(f"{place} is a file; choose another --out.")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} is not empty; choose another --out, or remove it.")


def export(
    model: Model, out: Path, *, licence: str = "unknown", write_onnx: Callable[[Path], dict[str, Any]] | None = None
) -> list[str]:
    """Write a loaded model to the folder ``out``.

    Args:
        licence: of the weights, as the hub spells it, for the model card.
        write_onnx: writes the ONNX files into a folder, where they are wanted, and says what they are.

    Returns:
        A sentence for whatever the reader should know.

    Raises:
        InputError: the folder is taken, or a file of the run is broken.
        OSError: it cannot be written.
    """
    check_free(out)
    names = model.vocabulary.names
    evaluations = results.evaluations(model.folder.path, names)
    subject = Subject(model, out.absolute().name, evaluations, licence)
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    try:
        partial.mkdir()
        for name in ("genres.json", "thresholds.json"):
            if (model.folder.path / name).is_file():
                shutil.copyfile(model.folder.path / name, partial / name)
        _write_without_paths(model, evaluations, partial)
        copy_encoder(model.encoder, partial / "encoder", model.config.lyrics.max_tokens)
        if model.features:
            copy_audio_encoder(model.config.audio.encoder, partial / "audio_encoder")
        digest = build.encoders_digest(model.config, model.encoder)
        weights_file.save(partial / weights_file.NAME, model.state, names, digest)
        (partial / program.NAME).write_bytes(program.program(model))
        onnx = write_onnx(partial) if write_onnx else None
        write_json(partial / "preprocessing.json", preprocessing(model.spec, model.tokenizer, len(names), onnx))
        subject = dataclasses.replace(subject, onnx=onnx)
        (partial / "README.md").write_text(card(subject), encoding="utf-8")
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _remarks(subject)


def _write_without_paths(model: Model, evaluations: Mapping[str, Evaluation], target: Path) -> None:
    """The settings and the evaluations without what they tell of this machine, its folders and devices."""
    config = model.config
    config = dataclasses.replace(
        config,
        audio=dataclasses.replace(config.audio, encoder=public_name(config.audio.encoder)),
        lyrics=dataclasses.replace(config.lyrics, encoder=public_name(config.lyrics.encoder)),
        compute=dataclasses.replace(config.compute, model_parallel=1, fsdp=False),
    )
    write_json(target / "config.json", as_json(config))
    for split, evaluation in evaluations.items():
        dataclasses.replace(evaluation, data="").save(target / f"evaluation_{split}.json")


def _remarks(subject: Subject) -> list[str]:
    remarks = []
    if subject.model.folder.thresholds() is None:
        remarks.append("No thresholds were calibrated: every genre is decided at 0.5 (mgc-jax evaluate calibrates).")
    if "test" not in subject.valid:
        remarks.append("The model card has no figures for the test tracks: run mgc-jax evaluate, then export again.")
    if subject.licence == "unknown":
        remarks.append("The model card names no licence for the weights: --license names one.")
    return remarks
