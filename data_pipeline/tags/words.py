"""Where a song's words are: embedded in its tags, or in a file beside it."""

from __future__ import annotations

import os
from pathlib import Path

from data_pipeline.sources.walk import is_hidden

SUFFIXES = (".lrc", ".txt")
"""What the names of side files end in, the first one first."""


class SideFiles:
    """The files of lyrics beside songs, by one look into each folder."""

    def __init__(self) -> None:
        self._folder = ""
        self._names: dict[str, str] = {}

    def of(self, song: Path) -> Path | None:
        """The file beside ``song`` that has its name and ends in .lrc or .txt, in whatever case."""
        folder = os.path.dirname(str(song))
        if folder != self._folder:
            self._folder, self._names = folder, {}
            try:
                for name in sorted(os.listdir(folder), reverse=True):
                    stem, suffix = os.path.splitext(name)
                    if suffix.lower() in SUFFIXES and not is_hidden(name):
                        self._names[stem + suffix.lower()] = name
            except OSError:  # the song itself will say so
                pass
        stem = os.path.splitext(os.path.basename(song))[0]
        names = [self._names[stem + suffix] for suffix in SUFFIXES if stem + suffix in self._names]
        return Path(folder, names[0]) if names else None
