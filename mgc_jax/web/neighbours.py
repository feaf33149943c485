"""Songs of a collection that are like the one on the page, with a player for each that is still there."""

from __future__ import annotations

import html
import mimetypes
from pathlib import Path, PurePath

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse

from data_pipeline.errors import InputError
from data_pipeline.sources.walk import SUFFIXES
from mgc_jax.api import Embeddings, Model, Tagger
from mgc_jax.inference.embeddings import Entry, Neighbour
from mgc_jax.inference.predictor import Embedding

COUNT = 5
ROUTE = "collection"
"""Where the page plays songs of the collection, each by its row: no address names a file."""


class SimilarSongs:
    """The neighbours of any song in a collection.

    Raises:
        InputError: the collection was not made by this model.
    """

    def __init__(self, model: Model | Tagger, collection: Embeddings) -> None:
        if isinstance(model, Tagger):
            raise InputError(f"{model.name} names genres and cannot compare songs: leave --similar out.")
        collection.check_made_by(model)
        self._collection = collection

    def found(self, embedding: Embedding) -> str:
        """The nearest songs to one that the model embedded, as HTML."""
        near = self._collection.nearest(embedding, COUNT)
        entries = "".join(map(_entry, near.nearest))
        how = f"The nearest of {near.compared} songs, by the cosine of the vectors that the genres are told from."
        return f'<h3>Songs like it</h3><ol class="similar">{entries}</ol><p>{how}</p>'

    def serve(self, app: FastAPI) -> None:
        """Let ``app`` play what is a song by its name and in the collection, and no other file of this machine."""

        @app.get(f"/{ROUTE}/{{row}}")
        def play(row: int) -> FileResponse:
            file = _playable(self._collection[row]) if 0 <= row < len(self._collection) else None
            if file is None:
                raise HTTPException(404)
            kind = mimetypes.guess_type(file.name)[0] or ""
            kind = kind if kind.startswith("audio/") else "application/octet-stream"
            return FileResponse(file, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})


def _playable(song: Entry) -> Path | None:
    """The file of a song where it is still there."""
    file = Path(song.file)
    return file if file.suffix.lower() in SUFFIXES and file.is_file() else None


def _entry(near: Neighbour) -> str:
    name = "/".join(PurePath(near.song.file).parts[-2:]).encode(errors="backslashreplace").decode()
    genres = ", ".join(genre for genre, _ in near.song.genres)
    player = f'<audio controls preload="none" src="{ROUTE}/{near.row}"></audio>'
    if not _playable(near.song):
        player = " <small>(the file is gone)</small>"
    return f"<li><b>{near.similarity:.2f}</b> {html.escape(name)} <small>{html.escape(genres)}</small>{player}</li>"
