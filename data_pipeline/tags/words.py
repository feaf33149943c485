"""Where a song's words are: embedded in its tags, or in a file beside it."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import NamedTuple

from data_pipeline.lyrics.reading import LyricsError, read_lyrics_file, read_lyrics_text
from data_pipeline.sources.walk import is_hidden

SUFFIXES = (".lrc", ".txt")
"""What the names of side files end in, the first one first."""
_FOLDERS = 64
"""Whose side files are known at a time."""


class Words(NamedTuple):
    """A song's words; ``text`` is None for none, and ``problem`` says why some that are there cannot be used."""

    text: str | None = None
    problem: str = ""


class SideFiles:
    """The files of lyrics beside songs, by one look into each folder."""

    def __init__(self) -> None:
        self._names = functools.lru_cache(_FOLDERS)(_names)

    def of(self, song: Path) -> Path | None:
        """The file beside ``song`` that has its name and ends in .lrc or .txt, in whatever case."""
        folder, name = os.path.split(song)
        stem, there = os.path.splitext(name)[0], self._names(folder)
        names = [there[stem + suffix] for suffix in SUFFIXES if stem + suffix in there]
        return Path(folder, names[0]) if names else None


def _names(folder: str) -> dict[str, str]:
    """The side files in a folder, by their names with the suffix in lower case."""
    names = {}
    try:
        for name in sorted(os.listdir(folder or "."), reverse=True):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SUFFIXES and not is_hidden(name):
                names[stem + suffix.lower()] = name
    except OSError:  # the song itself will say so
        pass
    return names


def find(song: Path, beside: Path | None, *, in_tags: bool = True) -> Words:
    """The words in the tags of ``song``, or those in the file ``beside`` it, as :func:`chosen` takes them.

    Tags that cannot be read are a problem where there are no words beside.
    """
    lyrics = language = problem = ""
    if in_tags and song.is_file():  # what a pipe has can be read once
        from data_pipeline.tags import tag_file  # which needs an extra

        try:
            tags = tag_file.read(song)
            lyrics, language = tags.lyrics, tags.language
        except tag_file.TagError as error:
            problem = str(error)
    words = chosen(lyrics, beside, language)
    return words._replace(problem=words.problem or problem) if words.text is None else words


def chosen(embedded: str, beside: Path | None, language: str = "") -> Words:
    """The ``embedded`` words, or where there are none those in the file ``beside`` the song, read as prepare reads
    them; ``language``, a code, helps to find the encoding of the file."""
    try:
        if embedded:
            return Words(read_lyrics_text(embedded))
        return Words(read_lyrics_file(beside, language or None) if beside else None)
    except LyricsError as error:
        where = "in its tags" if embedded or not beside else f"in {os.fsencode(beside.name).decode(errors='replace')}"
        return Words(None, f"{error} ({where})")
