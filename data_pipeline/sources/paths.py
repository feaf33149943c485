"""The files that a table names, whatever way it writes their paths, and the ids that paths make."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import unicodedata
import urllib.parse
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import NamedTuple

from data_pipeline.errors import InputError

NO_FILE = "a path that no file can have"

_ADDRESS = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]{1,15}://|www\.", re.IGNORECASE)
_AMBIGUOUS = re.compile(r"%(?=[0-9A-Fa-f]{2})|(?<=[_/])_|_(?=/)|[\x00-\x1f\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")


class PathError(InputError):
    """Why a path cannot be followed, in a few words fit for ``quarantine.tsv``."""


class Found(NamedTuple):
    """A file: its absolute path, what it is the same by under any other path, and whether it was found as written."""

    path: Path
    identity: Hashable
    as_written: bool


class Files:
    """The files that relative paths lead to from a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.abspath(folder)
        self._names: dict[str, dict[str, list[str]]] = {}

    def find(self, written: str) -> Found | None:
        """The file of that path as it is written; else without blanks around it, as a ``file://`` address, under
        ``~``, or with ``/`` for a backslash; else in another Unicode form (NFC, NFD) or code than on the disk.

        Raises:
            PathError: no file can have the path, it may not be followed, or several files could be meant.
        """
        spellings = dict.fromkeys(_spellings(written))
        paths = dict.fromkeys(os.path.abspath(os.path.join(self.folder, text)) for text in spellings if text)
        for number, path in enumerate(paths):
            if (identity := _identity(path)) is not None:
                return Found(Path(path), identity, number == 0)
        for path in paths:
            if (on_disk := self._on_disk(path)) and (identity := _identity(on_disk)) is not None:
                return Found(Path(on_disk), identity, False)
        return None

    def otherwise(self, written: str) -> str:
        """What a path leads to that :meth:`find` finds no file at: in a few words, empty for nothing."""
        if _ADDRESS.match(written.strip()):
            return "an address on the network: download the file, and give its path"
        for text in _spellings(written):
            with contextlib.suppress(OSError, ValueError):
                if text and os.path.isdir(os.path.join(self.folder, text)):
                    return "a folder"
        return ""

    def _on_disk(self, path: str) -> str | None:
        """The path with each part in the spelling of the disk; None where there is none."""
        found = Path(path).anchor
        for part in Path(path).parts[1:]:
            exact = os.path.join(found, part)
            if not os.path.lexists(exact):
                names = self._listing(found).get(_comparable(part), [])
                if len(names) > 1:
                    raise PathError(f"{len(names)} files could be meant, whose names look the same")
                if not names:
                    return None
                exact = os.path.join(found, names[0])
            found = exact
        return found

    def _listing(self, folder: str) -> dict[str, list[str]]:
        """The names in a folder by what they are compared by."""
        if folder not in self._names:
            names = self._names[folder] = {}
            with contextlib.suppress(OSError):
                for name in sorted(os.listdir(folder)):
                    names.setdefault(_comparable(name), []).append(name)
        return self._names[folder]


def id_of(path: Path, folder: str) -> str:
    """The id of a track without one: the audio's path from ``folder``, with ``__`` for ``/``.

    No two paths have the same: an underscore beside another one or beside a ``/``, and what is no text, become ``%5F``
    and the like.
    """
    relative = Path(os.path.relpath(path, folder)).as_posix()
    return _AMBIGUOUS.sub(_percent, relative).replace("/", "__")


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def _spellings(written: str) -> Iterator[str]:
    yield written
    text = written.strip()
    yield text
    if text[:7].lower() == "file://":
        host, _, path = text[7:].partition("/")
        if host in ("", "localhost"):
            yield os.fsdecode(urllib.parse.unquote_to_bytes(os.fsencode(f"/{path}")))
        return
    if text.startswith("~"):
        yield os.path.expanduser(text)
    if "\\" in text:
        yield text.replace("\\", "/")


def _identity(path: str) -> Hashable | None:
    """What a regular file is the same by under any path to it; None where there is no such file."""
    try:
        info = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: NUL, or half of a surrogate pair
        return None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL):
            raise PathError(NO_FILE) from None
        raise PathError(f"cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(info.st_mode):
        return None
    return (info.st_dev, info.st_ino) if info.st_ino else os.path.realpath(path)


def _comparable(name: str) -> str:
    """A file's name without regard to its Unicode form; bytes that are not UTF-8 are read as cp1252."""
    if any("\udc80" <= sign <= "\udcff" for sign in name):
        name = name.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    return unicodedata.normalize("NFC", name)
