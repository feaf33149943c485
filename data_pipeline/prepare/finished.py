"""What is in the folder that a data set is to be written to: nothing, the data set, one to be renewed, or another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from data_pipeline.errors import InputError
from data_pipeline.prepare import source_files
from data_pipeline.prepare.options import PrepareOptions
from data_pipeline.prepare.source_files import Changes, Source
from data_pipeline.schema import Corpus
from data_pipeline.storage.files import sha256_of_rows
from data_pipeline.storage.json_file import json_text, parse_json

_MOST_GONE = 0.5
"""Of the tracks of a data set: where more are gone, the corpus is another one."""


class Finished(NamedTuple):
    """A complete data set: its report, its sources, and how the corpus differs from them; None where it does not."""

    report: dict[str, Any]
    sources: dict[str, Source]
    changes: Changes | None

    def news(self, where: str) -> str:
        """How the corpus differs, in a sentence."""
        assert self.changes is not None
        new, changed, gone, first = self.changes
        which = f" (first: {first})" if first else ""
        return (
            f"Since the data set in {where} was prepared, {new} tracks are new, {changed} changed{which}, {gone} gone"
        )


def look(
    where: str, names: Sequence[str], read_text: Callable[[str], str], corpus: Corpus, options: PrepareOptions
) -> Finished | None:
    """The complete data set of this corpus in the folder ``where``, which holds ``names``; None for no data set.

    Raises:
        InputError: it is broken, of other options, or of another corpus: most of its tracks are gone, or all differ.
    """
    if "dataset.json" not in names:
        return None
    try:
        meta, report = parse_json(read_text("dataset.json")), parse_json(read_text("report.json"))
        same, same_options = meta["digest"] == digest(corpus, options), _same(meta["options"], options.content())
        sources = source_files.parse(parse_json(read_text(source_files.NAME)))
        changes = source_files.changes(corpus.tracks, sources) if same_options else None
    except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as error:
        raise InputError(f"The data set in {where} is broken; delete it or choose another --out.") from error
    if changes is None:
        raise InputError(f"{where} holds a data set with other options; delete it or choose another --out.")
    left = len(sources) - changes.gone
    if changes.gone > _MOST_GONE * len(sources) or (changes.changed == left and not same):
        raise InputError(
            f"{where} holds a data set of another corpus: {changes.gone} of its {len(sources)} tracks are gone and "
            f"{changes.changed} changed; delete it or choose another --out."
        )
    return Finished(report, sources, None if same and not any(changes[:3]) else changes)


def digest(corpus: Corpus, options: PrepareOptions) -> str:
    """A sha256 over the corpus's tables and the options (files are named, not read)."""
    tracks, rejected = (track.row() for track in corpus.tracks), (each.id for each in corpus.rejected)
    return sha256_of_rows(itertools.chain([options.content()], tracks, rejected))


def _same(one: Any, two: Any) -> bool:
    return json_text(one) == json_text(two)
