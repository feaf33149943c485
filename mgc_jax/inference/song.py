"""A song that a model is asked about."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from data_pipeline.errors import InputError
from data_pipeline.lyrics import reading
from data_pipeline.lyrics.reading import LyricsError
from data_pipeline.tags import words
from data_pipeline.tags.words import Words
from mgc_jax.inference import recording
from mgc_jax.inference.recording import Audio


@dataclasses.dataclass(frozen=True)
class Song:
    """A song, and its words as text or in a file, or where they may be.

    ``audio`` is a path, the bytes of a file, or samples with their ``rate`` in Hz. Of ``lyrics`` and ``lyrics_file``
    one at most is given; ``language``, a code, helps to find the encoding of the file. With ``look_in``, of a song in a
    file, nobody has named its words: they are those embedded in its ``tags``, or else those of ``lyrics_file`` if there
    is one; or the latter alone, which lies ``beside`` it. ``found`` is what was found there.
    """

    audio: Audio
    lyrics: str | None = None
    rate: int | None = None
    lyrics_file: Path | None = None
    language: str | None = None
    look_in: Literal["tags", "beside"] | None = None
    found: Words | None = None

    @property
    def name(self) -> str:
        """What messages and results call it."""
        return recording.name(self.audio)

    def words(self) -> str | None:
        """Its lyrics as a model is given them; None for no words.

        Raises:
            InputError: they cannot be read, are no text, or larger than 1 MiB; not of words that were looked for.
        """
        if (found := self.found or self.look()) is not None:
            return found.text
        if self.lyrics is not None and not isinstance(self.lyrics, str):
            raise InputError(f"Lyrics are text, not {type(self.lyrics).__name__}: read the file first.")
        try:
            if self.lyrics_file is not None:
                return reading.read_lyrics_file(self.lyrics_file, self.language)
            return reading.read_lyrics_text(self.lyrics) if self.lyrics else None
        except LyricsError as error:
            where = f"{recording.name(self.lyrics_file)}: " if self.lyrics_file else "These lyrics cannot be used: "
            raise InputError(f"{where}{error}.") from None

    def check_wordless(self, model: str) -> None:
        """Raise InputError where its words were named, for a ``model`` that reads none."""
        if self.lyrics or (self.lyrics_file and not self.look_in):
            raise InputError(f"{model} hears a song and reads no lyrics: leave them out.")

    def look(self) -> Words | None:
        """What is found where words are to be looked for; None where they were named, or it was said that there are
        none."""
        if self.look_in is None or not isinstance(self.audio, str | Path):
            return None
        return words.find(Path(self.audio), self.lyrics_file, in_tags=self.look_in == "tags")

    @property
    def lyrics_problem(self) -> str:
        """Why words that were found cannot be used; empty where they can, or there are none."""
        return self.found.problem if self.found else ""


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why one of many songs has no result."""

    file: str
    reason: str


def failure(song: Song, error: InputError) -> Failure:
    """The failure of a song, whose name a ``reason`` does not repeat."""
    return Failure(song.name, str(error).removeprefix(f"{song.name}: ").removesuffix("."))


def as_song(given: Audio | tuple[Audio, str | None] | Song) -> Song:
    """A song, its audio, or a pair of audio and lyrics."""
    if isinstance(given, Song):
        return given
    return Song(*given) if isinstance(given, tuple) else Song(given)
