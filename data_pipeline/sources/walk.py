"""Which songs lie in files and folders."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from data_pipeline.errors import InputError

SUFFIXES = frozenset(
    """.mp3 .mp2 .mpga .flac .ogg .oga .opus .spx .m4a .m4b .mp4 .aac .alac .wav .wave .aif .aiff .aifc .ape .wv .mpc
    .tta .tak .ofr .wma .asf .dsf .dff .mka .webm .caf .au""".split()
)
"""What the names of songs end in."""
_SYSTEM = frozenset("@eadir #recycle #snapshot @tmp $recycle.bin __macosx lost+found thumbs.db desktop.ini".split()) | {
    "system volume information"
}


@dataclasses.dataclass
class Walk:
    """Finds songs, each once, and counts what it passes by.

    ``hidden``: files and folders of a system or with a dot before their names; ``others``: files that are no songs by
    their names; ``repeated``: links to what was found before; ``failures``: what cannot be looked into, and why.
    """

    hidden: int = 0
    others: int = 0
    repeated: int = 0
    failures: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    _seen: set[Hashable] = dataclasses.field(default_factory=set)

    def songs(self, places: Sequence[Path]) -> Iterator[Path]:
        """The absolute paths of the songs in ``places``, files and folders with all that is in them, in the order of
        their names. Symbolic links are followed. A file that is named itself may be called anything.

        Raises:
            InputError: one of the places does not exist.
        """
        for place in places:
            if not place.exists():
                raise InputError(f"{os.fsencode(place).decode(errors='backslashreplace')} does not exist.")
            path = os.path.abspath(place)
            yield from self._folder(path) if place.is_dir() else self._file(path)

    def _folder(self, top: str) -> Iterator[Path]:
        waiting = [top]
        while waiting:
            path = waiting.pop()
            try:
                if not self._is_new(os.stat(path)):
                    continue
                with os.scandir(path) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                self.failures.append((path, f"cannot be opened: {error.strerror or error}"))
                continue
            folders = []
            for entry in entries:
                if is_hidden(entry.name):
                    self.hidden += 1
                elif _is_folder(entry):
                    folders.append(entry.path)
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    yield from self._file(entry.path)
                else:
                    self.others += 1
            waiting += reversed(folders)

    def _file(self, path: str) -> Iterator[Path]:
        try:
            info = os.stat(path)
        except OSError as error:
            self.failures.append((path, f"cannot be opened: {error.strerror or error}"))
            return
        if not stat.S_ISREG(info.st_mode):
            self.failures.append((path, "no regular file"))
        elif self._is_new(info):
            yield Path(path)

    def _is_new(self, info: os.stat_result) -> bool:
        identity = (info.st_dev, info.st_ino)
        if info.st_ino and identity in self._seen:
            self.repeated += 1
            return False
        self._seen.add(identity)
        return True


def is_hidden(name: str) -> bool:
    """Whether a file or a folder is hidden, or is a system's own. One dot hides; three begin a band's name."""
    return (name.startswith(".") and not name.startswith("...")) or name.lower() in _SYSTEM


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
