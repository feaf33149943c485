"""Names the genres of songs by a model and, where there is a log, writes them into their tags."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.lyrics.reading import read_lyrics_file
from data_pipeline.tags import tag_file
from data_pipeline.tags.tag_file import TagError, Tags
from data_pipeline.tags.words import SideFiles
from mgc_jax.inference.predictor import Predictor
from mgc_jax.inference.recording import name
from mgc_jax.inference.song import Failure, Song
from mgc_jax.inference.tagger import Tagger
from mgc_jax.tagging import rewrite
from mgc_jax.tagging.policy import Policy, has_genre
from mgc_jax.tagging.undo_log import UndoLog

Action = Literal["write", "keep", "unchanged", "unsure", "done", "failed"]
"""What becomes of a song's tags: they are written; kept for a genre that they have; would be the same; stay, for the
model is not sure; were written by an earlier run; or cannot be read or written."""
_Identity = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Row:
    """One song of a plan. ``scores`` are those of the genres that the model names, ``note`` a reason or a remark."""

    file: str
    action: Action
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form of ``mgc-jax tag --json``."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class _Song:
    file: Path
    identity: _Identity
    tags: Tags


@dataclasses.dataclass(frozen=True)
class Tagging:
    """How songs get their genres.

    ``log`` is None for a dry run. ``settings`` is a digest of all that genres depend on: a song that a change in the
    log with the same settings left as it is was done. ``per_album``: the songs of an album, as their tags name it, get
    one set, by the mean of their scores.
    """

    model: Predictor | Tagger
    policy: Policy
    log: UndoLog | None = None
    settings: str = ""
    per_album: bool = False

    def rows(self, files: Sequence[Path]) -> Iterator[Row]:
        """What becomes of each file, done before the row is given.

        Raises:
            InputError: the log cannot be written.
        """
        if not self.per_album:
            for file in files:
                song = self._opened(file)
                yield from [song] if isinstance(song, Row) else self._album([song])
            return
        albums: dict[tuple[str, ...], list[Path]] = {}
        for file in files:
            song = self._opened(file)
            if isinstance(song, Row):
                yield song
            else:
                albums.setdefault(_album(song), []).append(file)
        for album in albums.values():
            opened = [self._opened(file) for file in album]
            yield from (song for song in opened if isinstance(song, Row))
            yield from self._album([song for song in opened if isinstance(song, _Song)])

    def _opened(self, file: Path) -> _Song | Row:
        try:
            identity = rewrite.identity(file)
            return _Song(file, identity, tag_file.read(file))
        except TagError as error:
            return _failed(file, error)

    def _album(self, songs: Sequence[_Song]) -> Iterator[Row]:
        """The songs that get one set of genres."""
        rows = {song.file: self._without_a_model(song) for song in songs}
        if all(rows.values()):
            yield from (row for row in rows.values() if row)
            return
        heard: dict[Path, np.ndarray] = {}
        asked, notes = [self._asked(song) for song in songs], dict[Path, str]()
        for song, (_, note), found in zip(songs, asked, self.model.predict_many(one for one, _ in asked), strict=True):
            if isinstance(found, Failure):
                rows[song.file] = rows[song.file] or _failed(song.file, found.reason, song.tags.genres)
                continue
            scores = dict(found.ranked)
            heard[song.file] = np.array([scores[genre] for genre in self.model.genres])
            notes[song.file] = note
        if not heard:
            yield from (row for row in rows.values() if row)
            return
        mean = np.mean(list(heard.values()), axis=0)
        scores = dict(zip(self.model.genres, mean.tolist(), strict=True))
        named = self.policy.genres(scores, dict(zip(self.model.genres, self.model.thresholds.tolist(), strict=True)))
        for song in songs:
            yield rows[song.file] or self._written(song, named, notes[song.file])

    def _without_a_model(self, song: _Song) -> Row | None:
        """The row of a song that needs none."""
        file, old = song.file, song.tags.genres
        if self.log is not None and self.log.has(file, *song.identity[1:], self.settings):
            change = self.log.last(file)
            return Row(name(file), "done", change.genres_before, change.genres_after)
        if self.policy.mode == "keep" and has_genre(old):
            return Row(name(file), "keep", old, old)
        return None

    def _written(self, song: _Song, named: Mapping[str, float], note: str) -> Row:
        file, old = song.file, song.tags.genres
        if not named:
            return Row(name(file), "unsure", old, old, note=note)
        new = self.policy.merged(old, named)
        if new == old:
            return Row(name(file), "unchanged", old, old, named, note)
        try:
            rewrite.check_writable(file)
            if self.log is not None:
                rewrite.write_genres(file, old, new, song.identity, self.log, self.settings)
        except TagError as error:
            return _failed(file, error, old)
        return Row(name(file), "write", old, new, named, note)

    def _asked(self, song: _Song) -> tuple[Song, str]:
        """What the model is asked, and what is to be said of the lyrics."""
        if not self.model.reads_lyrics:
            return Song(song.file), ""
        try:
            words = Song(song.file, song.tags.lyrics or self._words_beside(song.file))
            words.words()
            return words, ""
        except InputError as error:
            return Song(song.file), f"heard only: {error}"

    def _words_beside(self, file: Path) -> str | None:
        beside = self._side_files.of(file)
        return read_lyrics_file(beside) if beside else None

    @functools.cached_property
    def _side_files(self) -> SideFiles:
        return SideFiles()


def _album(song: _Song) -> tuple[str, ...]:
    """What the songs of one album have in common: who it is by, or where it lies, and its name."""
    tags = song.tags
    if not tags.album:
        return (str(song.file),)
    return ("by", tags.album_artist, tags.album) if tags.album_artist else (os.path.dirname(song.file), tags.album)


def _failed(file: Path, reason: InputError | str, old: tuple[str, ...] = ()) -> Row:
    note = str(reason).removeprefix(f"{name(file)}: ").removesuffix(".")
    return Row(name(file), "failed", old, old, note=note)
