"""JSON files of runs, data sets and encoders, which may come from anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipeline.storage.files import written_whole


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


def json_text(value: Any, indent: int | None = None) -> str:
    """The text of a JSON file; a number that is not finite becomes ``null``, as JSON knows no other way."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write :func:`json_text` whole or not at all; raises InputError where the place cannot be written.

    A byte of a file's name that is not UTF-8 becomes ``\\udcHH``, as Python's own JSON has it.
    """
    with written_whole(path) as file:
        file.write((json_text(value, indent) + "\n").encode(errors="backslashreplace"))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
