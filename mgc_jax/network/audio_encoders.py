"""The pretrained audio encoders by name, with their weights found and checked."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from data_pipeline import mel
from data_pipeline.errors import InputError
from mgc_jax.models import audio_spectrogram_transformer, clap, mert, musicnn
from mgc_jax.models.audio_encoder import AudioEncoder
from mgc_jax.models.pretrained import Published
from mgc_jax.network import published_folder, tf_checkpoint

MUSICNN_INSTALL = "pip install --no-deps musicnn==0.1.0"
MUSICNN_SHA256 = {
    ".index": "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
    ".data-00000-of-00001": "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
}


def audio_encoder(name: str) -> AudioEncoder:
    """The encoder that settings call ``name``: a built-in one, a folder or a name on the Hugging Face hub.

    A folder is in Hugging Face's layout, and its ``config.json`` says which network it is; or
    :func:`copy_audio_encoder` has filled it.

    Raises:
        InputError: nobody knows it, or its weights are not to be had.
    """
    if name in ENCODERS:
        return ENCODERS[name]()
    folder = Path(name).expanduser()
    if all((folder / file).is_file() for file in MUSICNN_SHA256):
        return _read_musicnn(folder)
    if folder.is_dir() or published_folder.HUB_NAME.fullmatch(name):
        return _published(name)
    raise InputError(
        f"There is no audio encoder {name!r}; there are: {', '.join(ENCODERS)}, folders and names on the hub "
        "(organisation/model)."
    )


def copy_audio_encoder(name: str, target: Path) -> None:
    """Copy the files of the encoder ``name`` into the folder ``target``, by whose path settings call it then."""
    built_in = name in ENCODERS
    if built_in and name != "musicnn":
        raise InputError(f"The audio encoder {name} was added by a program and has no files to be copied.")
    folder = _musicnn_folder() if built_in else Path(name).expanduser()
    is_musicnn = built_in or all((folder / file).is_file() for file in MUSICNN_SHA256)
    if not is_musicnn:
        folder = published_folder.locate(name)
    target.mkdir()
    for file in MUSICNN_SHA256 if is_musicnn else published_folder.files(folder):
        shutil.copyfile(folder / file, target / file)


def _published(name: str) -> AudioEncoder:
    try:
        clap.refuse_broken(name)  # before it is downloaded
    except ValueError as error:
        raise InputError(f"The audio encoder {name} cannot be used: {error}.") from None
    folder = published_folder.locate(name)
    published = published_folder.read(folder, name)
    kind = str(published.config.get("model_type"))
    if kind not in NETWORKS:
        raise InputError(
            f"{folder / 'config.json'} has model_type {kind!r:.40}, which is no audio encoder here; there are: "
            f"{', '.join(NETWORKS)}."
        )
    try:
        return NETWORKS[kind](published)
    except ValueError as error:
        raise InputError(f"The audio encoder in {folder} cannot be used: {error}.") from None


def _musicnn() -> AudioEncoder:
    return _read_musicnn(_musicnn_folder())


def _musicnn_folder() -> Path:
    found = importlib.util.find_spec("musicnn")  # which is not imported: it would want TensorFlow
    if found is None or found.origin is None:
        raise InputError(f"The audio encoder musicnn is not installed; run: {MUSICNN_INSTALL}")
    return Path(found.origin).parent / "MSD_musicnn"


def _read_musicnn(folder: Path) -> AudioEncoder:
    files = [folder / name for name in MUSICNN_SHA256]
    for file, expected in zip(files, MUSICNN_SHA256.values(), strict=True):
        if not file.is_file():
            raise InputError(f"The package musicnn has no {file}; run: {MUSICNN_INSTALL} --force-reinstall")
        if _sha256(file) != expected:
            raise InputError(
                f"{file} is not the expected MSD_musicnn (sha256 differs); run: {MUSICNN_INSTALL} --force-reinstall"
            )
    filters = mel.filters(musicnn.N_MELS, musicnn.RATE, musicnn.N_FFT)
    return musicnn.encoder(tf_checkpoint.read(*files), filters, MUSICNN_SHA256[".data-00000-of-00001"])


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


ENCODERS: dict[str, Callable[[], AudioEncoder]] = {"musicnn": _musicnn}

NETWORKS: dict[str, Callable[[Published], AudioEncoder]] = {
    audio_spectrogram_transformer.MODEL_TYPE: partial(audio_spectrogram_transformer.encoder, bank=mel.filters),
    clap.MODEL_TYPE: partial(clap.encoder, bank=mel.filters),
    mert.MODEL_TYPE: mert.encoder,
}
"""``model_type`` of a ``config.json`` -> the network."""
