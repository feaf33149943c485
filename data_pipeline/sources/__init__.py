"""One file per corpus; each turns what lies on disk into a :class:`~data_pipeline.schema.Corpus`."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.schema import Corpus
from data_pipeline.sources import manifest, music4all


def read_corpus(source: Path) -> Corpus:
    """Read ``source``: a folder in Music4All's layout, or a manifest file (.csv, .tsv, .jsonl).

    Raises :class:`InputError` for anything else, and for a corpus that cannot be read at all; a single bad row
    becomes a :class:`~data_pipeline.schema.Rejected` line instead.
    """
    source = Path(source)
    if source.is_dir():
        return music4all.read(source)
    if not source.exists():
        raise InputError(f"{source} does not exist; give a folder in Music4All's layout or a manifest file.")
    if source.is_file() and source.suffix.lower() in manifest.SUFFIXES:
        return manifest.read(source)
    kinds = ", ".join(manifest.SUFFIXES)
    raise InputError(f"{source} is neither a folder in Music4All's layout nor a manifest ({kinds}).")
