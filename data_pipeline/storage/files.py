"""Files that are written whole or not at all, whoever else writes the same one at the same time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from data_pipeline.errors import InputError


def sha256(content: Any) -> str:
    """A digest of what is JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sha256_of_rows(rows: Iterable[Any]) -> str:
    """A digest of what is JSON row by row, of which one at a time is held."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def stays_inside(name: Any) -> bool:
    """Whether ``name``, which comes from outside, is that of a file within the folder that it is looked for in."""
    return (
        isinstance(name, str)
        and not re.search(r"[\x00-\x1f\x7f]", name)
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
    """Tab-separated lines that :func:`read_tsv` reads, whatever the cells hold; raises InputError as
    :func:`written_whole` does.

    As PostgreSQL's COPY has it, ``\\t``, ``\\n``, ``\\r`` and ``\\\\`` stand for a tab, line ends and a backslash, and
    ``\\xHH`` for a byte: of other control characters and line ends, and of a file's name that is not UTF-8.
    """
    with written_whole(path) as file:
        for row in (header, *rows):
            file.write(("\t".join(escaped(str(cell)) for cell in row) + "\n").encode())


def escaped(text: str) -> str:
    """A name in one line of printable text, as :func:`write_tsv` writes it."""
    return _SPECIAL.sub(_escape, text)


def read_tsv(path: Path, errors: str = "strict") -> Iterator[list[str]]:
    """The cells of each line that :func:`write_tsv` wrote, the header's first.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not UTF-8, and ``errors``, as for ``open``, does not say what to do then.
    """
    with path.open(encoding="utf-8", errors=errors, newline="\n") as file:
        for line in file:
            yield [_ESCAPES.sub(_unescape, cell) for cell in line.removesuffix("\n").split("\t")]


_SPECIAL = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ESCAPES = re.compile(r"((?:\\x[0-9a-f]{2})+)|\\([tnr\\])")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}
_LONG = {short[1]: sign for sign, short in _SHORT.items()}


def _escape(match: re.Match[str]) -> str:
    sign = match[0]
    if sign in _SHORT:
        return _SHORT[sign]
    half_a_pair = "\ud800" <= sign <= "\udc7f" or sign > "\udcff"  # is no byte of a name, and no text
    return "?" if half_a_pair else "".join(f"\\x{byte:02x}" for byte in sign.encode("utf-8", "surrogateescape"))


def _unescape(match: re.Match[str]) -> str:
    if match[2]:
        return _LONG[match[2]]
    return bytes.fromhex(match[1].replace("\\x", "")).decode("utf-8", "surrogateescape")
