"""What ``prepare`` counted and left out, from the data set's ``report.json`` and ``quarantine.tsv``."""

from __future__ import annotations

from typing import Any

from data_pipeline.prepare.selection import kind
from data_pipeline.storage.files import read_tsv
from data_pipeline.storage.json_file import number, read_json, whole
from mgc_jax.report.inputs import Gaps, Inputs

EXAMPLES = 3
"""Files named for each reason."""


def losses(inputs: Inputs, gaps: Gaps) -> dict[str, Any] | None:
    """What ``prepare`` counted and left out."""
    if inputs.data is None:
        return None
    try:
        counted = read_json(inputs.data.path / "report.json")
        reasons: list[dict[str, Any]] = [
            {"reason": str(reason), "count": whole(count), "broken": part == "rejected", "examples": []}
            for part in ("rejected", "filtered")
            for reason, count in counted[part].items()
        ]
        result = {
            "read": whole(counted["tracks_read"]),
            "kept": whole(counted["tracks_kept"]),
            "with_lyrics": whole(counted["lyrics"]["with"]),
            "cut": whole(counted["lyrics"]["at_max_tokens"]),
            "cardinality": number(counted["labels"]["cardinality"]) or 0.0,
            "reasons": reasons,
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)[:200]
        gaps.add("data", f"report.json of the data set cannot be used ({reason}).")
        return None
    try:
        lines = list(read_tsv(inputs.data.path / "quarantine.tsv", errors="replace"))[1:]
    except OSError as error:
        gaps.add("data", f"quarantine.tsv of the data set cannot be read ({error.strerror or error}).")
        lines = []
    examples = {reason["reason"]: reason["examples"] for reason in reasons if reason["broken"]}
    for line in lines:
        if len(line) == 3 and len(named := examples.get(kind(line[2]), [])) < EXAMPLES:
            named.append(line[1])
    return result
