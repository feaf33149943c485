"""One file per corpus; each turns what lies on disk into a :class:`~data_pipeline.schema.Corpus`."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.schema import Corpus
from data_pipeline.sources import manifest, music4all, tables
from data_pipeline.sources.rows import Rows


def read_corpus(source: Path, genre_separator: str = "", progress: Rows | None = None) -> Corpus:
    """Read ``source``: a folder in Music4All's layout, or a manifest file (.csv, .tsv, .txt, .json, .jsonl).

    ``genre_separator`` stands between the genres of a cell; where it is empty, it is a comma in Music4All's layout, and
    found out in a manifest. ``progress(done, total)`` counts rows. Raises :class:`InputError` for anything else, and
    for a corpus that cannot be read at all; a single bad row becomes a :class:`~data_pipeline.schema.Rejected` line
    instead.
    """
    source = Path(source)
    if source.is_dir():
        return music4all.read(source, genre_separator, progress)
    if not source.exists():
        raise InputError(f"{source} does not exist; give a folder in Music4All's layout or a manifest file.")
    if source.is_file() and source.suffix.lower() in tables.SUFFIXES:
        return manifest.read(source, genre_separator, progress=progress)
    raise InputError(f"{source} is neither a folder in Music4All's layout nor a manifest; {tables.not_read(source)}.")
