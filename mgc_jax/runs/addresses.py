"""Where a model is: a folder of this machine, or an address, which is copied to the user's cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.storage import user_cache
from data_pipeline.storage.bucket import Bucket, is_address
from mgc_jax.runs import hub

WANTED = (
    *("*.json", "*.npz", "metrics.jsonl", "README.md", "model.safetensors"),
    *("encoder/*", "audio_encoder/*", "checkpoints/best/*"),
)
"""What is copied: not what serves training alone, whose state is three times as large as the weights, nor the programs
for those who do without this one."""
BUILT_IN = ("musicnn",)
"""The names of models that come with a package and are no runs; :mod:`mgc_jax.inference.tagger` has them."""


def is_built_in(place: str | Path) -> bool:
    """Whether a ``place`` is the name of a built-in model, and no folder that holds a run."""
    return str(place) in BUILT_IN and not (Path(place) / "config.json").is_file()


def is_own(place: str | Path, folder: Path) -> bool:
    """Whether the ``folder`` of a ``place`` is the user's own, and not the copy of something that a cache keeps."""
    elsewhere = str(place).startswith("hf:") or is_address(place)
    cached = folder.absolute().is_relative_to(user_cache.folder()) or (folder / "config.json").is_symlink()  # the hub's
    return not (elsewhere or cached)


def local(place: str | Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """The folder of a run or of an exported model; ``progress(done, total)`` counts files that are copied.

    An address is one that fsspec knows, such as ``gs://bucket/run``, or ``hf://user/name`` on the Hugging Face hub.

    Raises:
        InputError: there is nothing at this place, or it cannot be reached.
    """
    if not str(place).strip():
        raise InputError("The model's address is empty: give a folder or an address such as gs://bucket/run.")
    if str(place).startswith("hf:"):
        return hub.fetch(str(place), WANTED)
    if is_address(place):
        return Bucket(str(place)).download_files(lambda name: any(fnmatchcase(name, w) for w in WANTED), progress)
    if is_built_in(place):
        raise InputError(
            f"{place} is a built-in model, which names genres and says why (predict, explain, serve) and does no more; "
            "give a run's workdir."
        )
    folder = Path(os.path.expanduser(place))  # which takes a user whom nobody knows as a name
    if not folder.is_dir():
        raise InputError(f"There is no folder {place}; give a run's workdir, an exported model or an address.")
    return folder
