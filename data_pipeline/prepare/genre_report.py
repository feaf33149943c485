"""What prepare says about all genres of a corpus: how often each is there, how it is spelt, and which may be one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipeline.genres import count_genres
from data_pipeline.prepare.near_duplicates import near_duplicates, suggested_aliases
from data_pipeline.prepare.options import DataConfig
from data_pipeline.schema import Track

_SHOWN = 8
"""Genres of either end of the list, and pairs, that are printed."""


def genre_report(tracks: Sequence[Track], wanted: DataConfig) -> dict[str, Any]:
    """All genres of these tracks, before rare ones are left out, as ``report.json`` has them.

    ``vocabulary``: each genre with its tracks and spellings; ``catch_alls``: names such as "other", which are left out,
    with their tracks; ``near_duplicates``: pairs that may be one genre;
    ``suggested_aliases``: what would merge these, with the aliases that are set already, as ``data.aliases`` has it.
    """
    counts = count_genres([track.genres for track in tracks], wanted.aliases)
    pairs = near_duplicates(counts.tracks)
    suggested = suggested_aliases(pairs)
    return {
        "vocabulary": [
            {"genre": name, "tracks": number, "spellings": dict(counts.spellings[name])}
            for name, number in counts.tracks.items()
        ],
        "catch_alls": dict(counts.catch_alls),
        "near_duplicates": [pair._asdict() for pair in pairs],
        "suggested_aliases": {**wanted.aliases, **suggested} if suggested else {},
    }


def genre_lines(report: Mapping[str, Any]) -> list[str]:
    """The same in a few lines for a terminal."""
    named = [f"{entry['genre']} ({entry['tracks']})" for entry in report["vocabulary"]]
    left = len(named) - 2 * _SHOWN
    shown = named if left <= 1 else [*named[:_SHOWN], f"... {left} more ...", *named[-_SHOWN:]]
    lines = [f"genres, by tracks: {', '.join(shown)}"] if named else []
    if left_out := report["catch_alls"]:
        first = next(iter(left_out))
        listed = ", ".join(f"{name} ({tracks})" for name, tracks in left_out.items())
        keep = shlex.quote(json.dumps({first: first}, ensure_ascii=False))
        lines.append(f"left out, for they name no genre: {listed}; --config.data.aliases={keep} keeps one")
    pairs = report["near_duplicates"]
    if pairs:
        lines.append("these may be one genre:")
    for pair in pairs[:_SHOWN]:
        sides = (f"{name} ({tracks})" for name, tracks in zip(pair["genres"], pair["tracks"], strict=True))
        lines.append(f"  {' and '.join(sides)}: {pair['why']}")
    if len(pairs) > _SHOWN:
        lines.append(f"  ... {len(pairs) - _SHOWN} more pairs; near_duplicates in the JSON has them")
    if aliases := report["suggested_aliases"]:
        lines.append(f"to merge them: --config.data.aliases={shlex.quote(json.dumps(aliases, ensure_ascii=False))}")
    return lines
