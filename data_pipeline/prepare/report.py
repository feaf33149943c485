"""The counts that ``report.json`` holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipeline.prepare.artists import key
from data_pipeline.prepare.decode import Outcome
from data_pipeline.prepare.genre_report import genre_report
from data_pipeline.prepare.options import PrepareOptions
from data_pipeline.prepare.selection import Selection, kind
from data_pipeline.schema import SPLITS, Corpus


def counts(
    corpus: Corpus, selection: Selection, tokens: Mapping[str, Sequence[np.ndarray]], options: PrepareOptions
) -> dict[str, Any]:
    """What was read, kept and left out; ``tokens`` are the word pieces of every track, by split."""
    members, vocabulary = selection.members, selection.vocabulary
    labels = {name: vocabulary.encode_all([item.track.genres for item in members[name]]) for name in SPLITS}
    per_track = np.concatenate([part.sum(axis=1) for part in labels.values()])
    lengths = np.array([len(ids) for part in tokens.values() for ids in part])
    sung = lengths[lengths > 0]
    lyrics = [item.lyrics for name in SPLITS for item in members[name]]
    stripped = sum((Counter(each.stripped) for each in lyrics), Counter[str]())
    return {
        "tracks_read": len(corpus.tracks) + len(corpus.rejected),
        "tracks_kept": len(per_track),
        "splits": {name: len(members[name]) for name in SPLITS},
        "split_kind": options.data.split,
        "rejected": dict(Counter(kind(r.reason) for r in selection.quarantine).most_common()),
        "filtered": dict(Counter(kind(r.reason) for r in selection.filtered).most_common()),
        "changed": dict(corpus.changed),
        "notes": list(corpus.notes),
        "labels": {
            "genres": vocabulary.size,
            "cardinality": round(float(per_track.mean()), 4),
            "distribution": {str(n): int((per_track == n).sum()) for n in np.unique(per_track)},
        },
        "lyrics": {
            "with": len(sung),
            "without": len(lengths) - len(sung),
            "coverage": round(len(sung) / len(lengths), 4),
            "median_tokens": float(np.median(sung)) if len(sung) else 0.0,
            "at_max_tokens": int((lengths == options.lyrics.max_tokens).sum()),
            "absent": dict(Counter(each.absence for each in lyrics if each.absence).most_common()),
            "encodings": dict(Counter(each.encoding for each in lyrics if each.encoding).most_common()),
            "stripped": dict(stripped.most_common()),
        },
        "artists": {
            name: len({key(item.track.artist) for item in members[name] if item.track.artist}) for name in SPLITS
        },
        "duplicates": {
            "tracks": sum(map(len, selection.copies)),
            "recordings": len(selection.copies),
            "groups": [list(ids) for ids in selection.copies],
        },
        "genres": [
            {"genre": genre} | {name: int(labels[name][:, g].sum()) for name in SPLITS}
            for g, genre in enumerate(vocabulary.names)
        ],
        **genre_report(corpus.tracks, options.data),
    }


def sound(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """What was done with the sound of the tracks that were decoded, and how often."""
    return dict(Counter(note for outcome in outcomes for note in outcome.sound).most_common())
