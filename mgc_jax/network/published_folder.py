"""A published encoder in Hugging Face's layout, a folder or a name on the hub: found and read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file

from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import encoder_digest
from data_pipeline.storage import snapshot
from data_pipeline.storage.json_file import read_json
from mgc_jax.models.pretrained import Published

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
NEEDED = ("config.json", "preprocessor_config.json", WEIGHTS)
FILES = (*NEEDED, "README.md", TOKENIZER, "tokenizer_config.json")
"""What is downloaded and copied; nothing of it is a program."""
CONVERSION = "docs/audio-encoders.md says how they are converted once, elsewhere"
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_LICENCE = re.compile(r"\A---\n(?:(?!---).*\n)*?license: *[\"']?([\w.-]+)[\"']? *\n")
_SPDX = ("Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-SA-4.0", "ISC", "MIT")


def locate(name: str) -> Path:
    """The folder ``name``, or that of a copy of the hub's ``name``, downloaded where it is missing.

    Raises:
        InputError: it is neither, the hub does not answer, or a file is missing.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = snapshot.download("audio encoder", name, FILES, "give the folder of a copy")
    if not (folder / WEIGHTS).is_file() and any(file for kind in _PICKLES for file in folder.glob(kind)):
        raise InputError(
            f"The audio encoder in {folder} has its weights as a pickle, which is never read; {CONVERSION}."
        )
    if missing := [file for file in NEEDED if not (folder / file).is_file()]:
        hint = f"; where they are a pickle, {CONVERSION}" if WEIGHTS in missing else ""
        raise InputError(f"The audio encoder in {folder} lacks {', '.join(missing)}{hint}.")
    return folder


def read(folder: Path, name: str) -> Published:
    """What ``folder`` holds of the encoder that settings call ``name``.

    Raises:
        InputError: a file cannot be read.
    """
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / WEIGHTS} cannot be read as safetensors: {error}.") from None
    return Published(
        name=name,
        config=_object(folder / "config.json"),
        preprocessor=_object(folder / "preprocessor_config.json"),
        tensors=tensors,
        digest=encoder_digest(folder),
        source=f"https://huggingface.co/{name}" if not Path(name).expanduser().is_dir() else folder.absolute().name,
        licence=licence(folder / "README.md"),
    )


def model_type(folder: Path) -> str | None:
    """Which network ``config.json`` says that ``folder`` holds; None for a run's, which says nothing of the kind.

    Raises:
        InputError: it cannot be read.
    """
    kind = _object(folder / "config.json").get("model_type")
    return None if kind is None else str(kind)


def files(folder: Path) -> list[str]:
    """The names of those files of ``folder`` that make the encoder."""
    return [name for name in FILES if (folder / name).is_file()]


def licence(card: Path) -> str:
    """What a model card names, by its SPDX name; nothing where there is no card or it does not say."""
    text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
    found = _LICENCE.match(text.replace("\r\n", "\n"))
    return {name.lower(): name for name in _SPDX}.get(found[1].lower(), found[1]) if found else ""


def _object(file: Path) -> dict[str, Any]:
    try:
        value = read_json(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}.") from None
    if not isinstance(value, dict):
        raise InputError(f"{file} holds no JSON object.")
    return value
