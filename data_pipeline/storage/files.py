"""Files that are written whole or not at all, whoever else writes the same one at the same time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import tempfile
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


def final_name(partial: str) -> str:
    """The name of the file that :func:`replacing` puts together under the name ``partial``; any other name itself."""
    return re.sub(r"\.[0-9a-f]{8}\.partial$", "", partial)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside ``path``, of this call alone, for a file that takes its name when the block has ended well."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its name when the block has ended well, and is on the disk then.

    A pipe or a terminal, such as ``/dev/stdout``, is written as it is.

    Raises:
        InputError: the place cannot be written.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            with path.open("wb") as file:
                yield file
            return
        with replacing(path) as partial, partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}).") from None


def can_write(folder: Path) -> bool:
    """Whether a file can be made in the folder, by trying it."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def write_tsv(path: Path, header: list[str], rows: Sequence[Sequence[Any]]) -> None:
    """Tab-separated lines; control characters inside a field become spaces. Raises InputError as
    :func:`written_whole` does."""
    with written_whole(path) as file:
        for row in (header, *rows):
            cells = ("".join(c if c.isprintable() else " " for c in str(cell)) for cell in row)
            file.write(("\t".join(cells) + "\n").encode())
