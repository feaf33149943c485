"""The small files beside the shards: written whole, JSON and tables."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any


def sha256(content: Any) -> str:
    """A digest of what is JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def stays_inside(name: Any) -> bool:
    """Whether ``name``, which comes from outside, is that of a file within the folder that it is looked for in."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and not (os.path.isabs(name) or "\\" in name or ".." in PurePosixPath(name).parts)
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole, or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_tsv(path: Path, header: list[str], rows: Sequence[Sequence[Any]]) -> None:
    """Tab-separated lines; control characters inside a field become spaces."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in (header, *rows):
            cells = ("".join(c if c.isprintable() else " " for c in str(cell)) for cell in row)
            file.write("\t".join(cells) + "\n")
