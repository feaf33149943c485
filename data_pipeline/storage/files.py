"""The small files beside the shards: written whole, JSON and tables."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from data_pipeline.errors import InputError


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


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its name when the block has ended well, and is on the disk then.

    Raises:
        InputError: the place cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}).") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole, or not at all; raises InputError as :func:`written_whole` does."""
    with written_whole(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def write_tsv(path: Path, header: list[str], rows: Sequence[Sequence[Any]]) -> None:
    """Tab-separated lines; control characters inside a field become spaces."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in (header, *rows):
            cells = ("".join(c if c.isprintable() else " " for c in str(cell)) for cell in row)
            file.write("\t".join(cells) + "\n")
