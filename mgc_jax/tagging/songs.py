"""Names the genres of songs by a model and, where there is a log, writes them into their tags."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.tags import tag_file, words
from data_pipeline.tags.tag_file import TagError, Tags
from data_pipeline.tags.words import SideFiles
from mgc_jax.inference.prediction import Prediction
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


@dataclasses.dataclass
class _Album:
    """Songs that get one set of genres, and what the model says of them, as far as it has."""

    songs: list[_Song]
    found: list[Prediction | Failure] = dataclasses.field(default_factory=list)

    @property
    def heard(self) -> list[Prediction]:
        return [found for found in self.found if isinstance(found, Prediction)]


@dataclasses.dataclass(frozen=True)
class Tagging:
    """How songs get their genres.

    ``log`` is None for a dry run. ``settings`` is a digest of all that genres depend on: a song that a change in the
    log with the same settings left as it is was done. ``per_album``: the songs of an album, as their tags name it, get
    one set, by the mean of their scores. ``with_words``: a model that reads is given those in the tags of a song or
    beside it.
    """

    model: Predictor | Tagger
    policy: Policy
    log: UndoLog | None = None
    settings: str = ""
    per_album: bool = False
    with_words: bool = True

    def unheard(self, files: Iterable[Path], rest: list[list[Path]]) -> Iterator[Row]:
        """What becomes of the files that no model needs to hear; the others go into ``rest``, by albums where these get
        one set."""
        albums: dict[tuple[str, ...], list[tuple[Path, Row | None]]] = {}
        for file in files:
            song = self._opened(file)
            row = song if isinstance(song, Row) else self._without_a_model(song)
            if self.per_album and isinstance(song, _Song):
                albums.setdefault(_album(song), []).append((file, row))
            elif row:
                yield row
            else:
                rest.append([file])
        for album in albums.values():
            if all(row for _, row in album):
                yield from (row for _, row in album if row)
            else:
                rest.append([file for file, _ in album])

    def heard(self, albums: Iterable[Sequence[Path]], *, workers: int = 0) -> Generator[Row, None, None]:
        """What becomes of the songs of albums that are heard, done before the row is given; ``workers`` as
        :meth:`mgc_jax.Model.predict_many` has them.

        Raises:
            InputError: the log cannot be written, or processes cannot be started.
        """
        waiting, failed = deque[_Album](), list[Row]()

        def songs() -> Iterator[Song]:
            for files in albums:
                opened = [self._opened(file) for file in files]
                failed.extend(song for song in opened if isinstance(song, Row))
                album = _Album([song for song in opened if isinstance(song, _Song)])
                if album.songs:
                    waiting.append(album)
                yield from map(self._asked, album.songs)

        with closing(self.model.predict_many(songs(), workers=workers)) as results:
            for found in results:
                waiting[0].found.append(found)
                if len(waiting[0].found) == len(waiting[0].songs):
                    yield from self._album(waiting.popleft())
                yield from failed
                failed.clear()
        yield from failed

    def _opened(self, file: Path) -> _Song | Row:
        try:
            identity = rewrite.identity(file)
            return _Song(file, identity, tag_file.read(file))
        except TagError as error:
            return _failed(file, error)

    def _album(self, album: _Album) -> Iterator[Row]:
        """The songs that get one set of genres."""
        scores = [np.array([dict(found.ranked)[genre] for genre in self.model.genres]) for found in album.heard]
        named: Mapping[str, float] = {}
        if scores:
            mean = dict(zip(self.model.genres, np.mean(scores, axis=0).tolist(), strict=True))
            named = self.policy.genres(mean, dict(zip(self.model.genres, self.model.thresholds.tolist(), strict=True)))
        for song, found in zip(album.songs, album.found, strict=True):
            if row := self._without_a_model(song):
                yield row
            elif isinstance(found, Failure):
                yield _failed(song.file, found.reason, song.tags.genres)
            else:
                note = f"heard only: {found.lyrics_problem}" if found.lyrics_problem else ""
                yield self._written(song, named, note)

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

    def _asked(self, song: _Song) -> Song:
        """What the model is asked."""
        if not (self.with_words and self.model.reads_lyrics):
            return Song(song.file)
        found = words.chosen(song.tags.lyrics, self._side_files.of(song.file), song.tags.language)
        return Song(song.file, found=found)

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
