"""JSON files of runs, data sets and encoders, which may come from anywhere."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not JSON in UTF-8, is nested too deeply, or holds text that cannot be written.
    """
    return parse_json(Path(path).read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """What the text of a JSON file holds; raises ValueError as :func:`read_json` does."""
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():  # half of a surrogate pair is valid JSON, but no text
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def number(value: Any) -> float | None:
    """A figure of a JSON file, None for ``null``; raises ValueError for what is no finite number, and OverflowError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} is no figure")
    return float(value)


def whole(value: Any, above: int = 2**31) -> int:
    """A number of things in a JSON file, below ``above``; raises ValueError for anything else."""
    if type(value) is not int or not 0 <= value < above:
        raise ValueError(f"{value!r:.40} is no number of anything")
    return value
