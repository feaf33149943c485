"""A collection of songs by their vectors, as ``mgc-jax embed`` left them, and which of them are near to something.

Axis letters: N songs, D width of the fused vectors, C width of the space of the A-L loss.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.storage.json_file import read_json
from mgc_jax.inference import neighbours
from mgc_jax.inference.found_songs import path_key, state_key
from mgc_jax.inference.predictor import Embedding, Predictor
from mgc_jax.inference.results import EmbeddingFolder

WAYS = ("fused", "audio", "lyrics")
"""What songs are compared by: what the genres are told from, the sound, or the words."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A song of a collection: its absolute path, whether it had words, the genres with the highest scores, and a digest
    of the size and time of change that its file had."""

    file: str
    lyrics: bool
    genres: tuple[tuple[str, float], ...]
    state: str


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A song near to another one or to words: its ``row`` in the collection, and how near it is."""

    row: int
    similarity: float
    song: Entry

    def to_json(self) -> dict[str, Any]:
        """The form of ``mgc-jax similar --json``."""
        genres = [{"name": name, "score": score} for name, score in self.song.genres]
        return {"file": self.song.file, "similarity": self.similarity, "genres": genres}


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The ``nearest`` songs, nearest first, of those that could be ``compared``."""

    nearest: tuple[Neighbour, ...]
    compared: int


Query = np.ndarray | Embedding | str | Path | int
"""A vector, a song that a model embedded, the path of a song of the collection, or its row."""


class Embeddings:
    """N songs and their vectors, which stay on the disk: memory does not grow with their width.

    Raises:
        InputError: the folder holds no embeddings, none of any song, or such that do not belong together.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        made_by = _made_by(self.folder)
        self.workdir, self.step = str(made_by["workdir"]), int(made_by["step"])
        """The folder or address of the model that made them, and of which training step it was."""
        self.model = str(made_by["model"])
        """The digest of this model."""
        self.compares_words = bool(made_by["compares_words"])
        """Whether the model has learned a space in which sound and words can be compared."""
        self._lines = _lines(self.folder / EmbeddingFolder.IDS)
        self._vectors = {way: self._open(way) for way in WAYS}

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, row: int) -> Entry:
        return self._lines.entry(range(len(self))[row])

    def row(self, song: str | Path) -> int | None:
        """Where the song at this path is in the collection; None where it is not."""
        return self._lines.find(path_key(song))

    def has_changed(self, row: int) -> bool:
        """Whether the song's file is another one than it was when it was embedded; a file that is gone has not."""
        song = self[row]
        return os.path.exists(song.file) and state_key(song.file) != song.state

    def vectors(self, by: str = "fused") -> np.ndarray:
        """The vectors (N, D) or (N, C) of all songs, memory-mapped; those of the lyrics of a song without are NaN.

        Raises:
            InputError: songs cannot be compared by that.
        """
        if by not in WAYS:
            raise InputError(f"Songs are compared by {', '.join(WAYS[:-1])} or {WAYS[-1]}, not by {by}.")
        if by != "fused" and not self.compares_words:
            raise InputError(
                f"{self.folder} was made by a model that was trained without the A-L loss (loss.contrastive_weight=0), "
                f"so its songs can be compared by fused alone, and not by {by}."
            )
        return self._vectors[by]

    def check_made_by(self, model: Predictor) -> None:
        """Raise InputError where another ``model`` made them: vectors of two models cannot be compared."""
        if model.embedding_digest != self.model:
            raise InputError(
                f"{self.folder} was made by another model than {model.folder.path} is now, by {self.workdir} at step "
                f"{self.step}: name that one, or embed the songs again."
            )

    def nearest(self, query: Query, count: int = 10, by: str = "fused") -> Neighbours:
        """The ``count`` songs most like a song, by the cosine of their vectors; fewer where there are no more.

        A song of the collection is not its own neighbour. Of two that are equally near the earlier one comes first.

        Args:
            query: see :data:`Query`; a vector is of the space that ``by`` names.

        Raises:
            InputError: the song is not in the collection or has no words to be compared ``by``, the vector does not
                fit, or the model has no such space.
        """
        row = self._own_row(query)
        return self._search(self._vector(query, row, by), count, by, cosine=True, without=row)

    def sounding_like(self, words: np.ndarray, count: int = 10) -> Neighbours:
        """The ``count`` songs whose sound goes best with words, whose vector (C,) is of
        :meth:`mgc_jax.Model.embed_words`: by s(A, L), the dot product that the A-L loss makes large for the two sides
        of one song, as :func:`mgc_jax.evaluation.retrieval.retrieval` ranks them.

        Raises:
            InputError: the vector does not fit, or the model has no such space.
        """
        return self._search(self._fitting(words, "audio"), count, "audio", cosine=False)

    def _search(self, query: np.ndarray, count: int, by: str, **how: Any) -> Neighbours:
        if count < 1:
            raise InputError(f"The number of neighbours is {count}, but must be 1 or more.")
        found = neighbours.nearest(self.vectors(by), query, count, **how)
        pairs = zip(found.rows.tolist(), found.similarity.tolist(), strict=True)
        return Neighbours(tuple(Neighbour(row, near, self[row]) for row, near in pairs), found.compared)

    def _own_row(self, query: Query) -> int | None:
        if isinstance(query, str | Path):
            row = self.row(query)
            if row is None:
                raise InputError(f"{query} is not in {self.folder}; embed it first: nearest(model.embed(path)).")
            return row
        if isinstance(query, int | np.integer):
            if not 0 <= query < len(self):
                raise InputError(f"{self.folder} has {len(self)} songs and no row {query}.")
            return int(query)
        return None

    def _vector(self, query: Query, row: int | None, by: str) -> np.ndarray:
        if row is not None:
            vector, name = np.array(self.vectors(by)[row]), self[row].file
        elif isinstance(query, Embedding):
            vector, name = getattr(query, by if by in WAYS else "fused"), "this song"
        else:
            vector, name = np.asarray(query), "this vector"
        if by == "lyrics" and (vector is None or (row is not None and not self[row].lyrics)):
            raise InputError(f"{name} has no words that it could be compared by; compare it by fused or audio.")
        return self._fitting(vector, by)

    def _fitting(self, vector: np.ndarray, by: str) -> np.ndarray:
        """The query (D,) or (C,) in float32."""
        width = self.vectors(by).shape[1]
        vector = np.asarray(vector, np.float32)
        if vector.shape != (width,):
            raise InputError(f"{self.folder} has {by} vectors of {width} numbers; a query has shape {vector.shape}.")
        length = np.linalg.norm(vector)
        if not (np.isfinite(length) and length > 0):
            raise InputError(f"A query by {by} has no direction: its numbers are not finite, or all 0.")
        return vector

    def _open(self, way: str) -> np.ndarray:
        file = self.folder / f"{way}.npy"
        try:
            vectors = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, TypeError):
            raise _incomplete(self.folder, f"{file.name} cannot be read") from None
        if (
            not isinstance(vectors, np.ndarray)
            or vectors.ndim != 2
            or vectors.dtype != np.float32
            or not vectors.shape[1]
        ):
            raise InputError(f"{file} holds no vectors that mgc-jax embed wrote.")
        if len(vectors) != len(self):
            sizes = f"{EmbeddingFolder.IDS} has {len(self)} songs and {file.name} {len(vectors)} vectors"
            raise _incomplete(self.folder, sizes)
        return vectors


def _made_by(folder: Path) -> dict[str, Any]:
    settings = folder / "settings.json"
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give what mgc-jax embed --out wrote.")
    try:
        made_by = read_json(settings)
        if made_by["command"] != "embed":
            raise ValueError
        types = {"workdir": str, "step": int, "model": str, "compares_words": bool}
        if any(type(made_by[name]) is not kind for name, kind in types.items()) or not made_by["workdir"].strip():
            raise ValueError
    except (OSError, ValueError, LookupError, TypeError):
        raise InputError(f"{folder} holds no embeddings; give a folder that mgc-jax embed --out wrote.") from None
    return made_by


def _lines(path: Path) -> _Lines:
    lines = _Lines(path) if path.is_file() and path.stat().st_size else None  # an empty file cannot be mapped
    if not lines:
        raise InputError(f"{path.parent} has no songs: run mgc-jax embed --out {path.parent} with some.")
    return lines


def _incomplete(folder: Path, what: str) -> InputError:
    return InputError(
        f"{folder} is not complete ({what}): wait for the mgc-jax embed that writes it, or run it again, which puts "
        "that right."
    )


class _Lines:
    """``ids.jsonl``, of which the lines are read that are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            ends = array("q")
            end = 0
            for line in file:
                end += len(line)
                if line.endswith(b"\n"):
                    ends.append(end)
        self._ends = np.frombuffer(ends, np.int64) if ends else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def find(self, key: str) -> int | None:
        """The row of the song whose key begins so."""
        place = self._text.find(b'"key": "' + key.encode() + b"-")
        row = int(np.searchsorted(self._ends, place, side="right"))
        return row if place >= 0 and row < len(self) else None

    def entry(self, row: int) -> Entry:
        """The song of a row."""
        line = self._text[int(self._ends[row - 1]) if row else 0 : int(self._ends[row])]
        try:
            entry = json.loads(line)
            genres = tuple((str(genre["name"]), float(genre["score"])) for genre in entry["genres"])
            return Entry(str(entry["file"]), bool(entry["lyrics"]), genres, str(entry["key"]).split("-")[1])
        except (ValueError, LookupError, TypeError, RecursionError):
            raise InputError(
                f"{self.path} has lines that mgc-jax embed did not write; embed the songs again."
            ) from None
