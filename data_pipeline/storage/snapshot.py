"""Folders of published encoders, downloaded from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_pipeline.errors import InputError


def download(what: str, name: str, files: Sequence[str], otherwise: str) -> Path:
    """The local copy of those ``files`` of the hub's model ``name`` that are there.

    Raises:
        InputError: it is not to be had; the sentence says ``what`` was wanted, and ends with what to do ``otherwise``.
    """
    try:
        import huggingface_hub

        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(files)))
    except Exception as error:  # the hub raises a dozen kinds: offline, no such model, gated, disk full
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(
            f"The {what} {name!r} cannot be downloaded ({type(error).__name__}: {reason}); go online, or {otherwise}."
        ) from error
