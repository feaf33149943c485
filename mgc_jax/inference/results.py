"""Results that are written song by song: a table of predictions, a folder of embeddings, a file of failures."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.storage.alone import alone
from data_pipeline.storage.growing import GrowingArray, GrowingFile, finish_replacing, replace_together
from data_pipeline.storage.json_file import json_text, read_json, write_json
from mgc_jax.inference.prediction import Prediction
from mgc_jax.inference.predictor import Embedding
from mgc_jax.inference.song import Failure, Song

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class Results(Protocol[R_contra]):
    """Results of songs, each by the key of its song."""

    def keys(self) -> list[str]:
        """Of all that are there, in their order."""
        ...

    def add(self, key: str, song: Song, result: R_contra) -> None:
        """Write a result; raises InputError where it cannot be written."""
        ...

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Remove the others."""
        ...

    def close(self) -> None:
        """Leave the files."""
        ...


class Lines:
    """One JSON object a line, with its ``key`` as the last entry."""

    def __init__(self, path: Path) -> None:
        self._file = GrowingFile(path)

    def keys(self) -> list[str]:
        """Of all lines."""
        return [self._key(line) for line in self._file.records()]

    def _key(self, line: bytes) -> str:
        try:  # the key comes last: scores of a thousand genres need not be read
            return str(json.loads(b"{" + line[line.rindex(b'"key": ') :])["key"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{self._file.path} has lines that mgc-jax did not write; give another --out.") from None

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Write a line; raises InputError where it cannot be written."""
        self._file.append(_line({**entry, "key": key}))

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Remove the other lines."""
        self._file.replace(line for line in self._file.records() if wanted(self._key(line)))

    def write(self, path: Path, wanted: Callable[[str], bool]) -> None:
        """Write the wanted lines to another file."""
        self._file.write(path, (line for line in self._file.records() if wanted(self._key(line))))

    def close(self) -> None:
        """Leave the file."""
        self._file.close()


class Failures(Lines):
    """Why songs have no result."""

    def add(self, key: str, failure: Failure) -> None:
        """Write a line; raises InputError where it cannot be written."""
        self.put(key, {"file": failure.file, "reason": failure.reason})


class PredictionLines(Lines):
    """Predictions as JSON Lines, each as ``mgc-jax predict --json`` has it."""

    def add(self, key: str, song: Song, result: Prediction) -> None:
        """Write a line; raises InputError where it cannot be written."""
        self.put(key, result.to_json())


class PredictionTable:
    """Predictions as CSV, with one column for the score of each genre, and some for the lyrics where a model reads."""

    SOUND, LYRICS = ("file", "predicted", "windows", "windows_too_quiet", "sound"), ("lyrics_tokens", "lyrics_problem")

    def __init__(self, path: Path, genres: Sequence[str], *, reads_lyrics: bool) -> None:
        self._genres = genres
        self._columns = (*self.SOUND, *(self.LYRICS if reads_lyrics else ()), "key")
        header = _row([*self._columns, *(f"genre:{name}" for name in genres)])
        self._file = GrowingFile(path, header=header, quoted=True)

    def keys(self) -> list[str]:
        """Of all rows."""
        return [self._key(row) for row in self._file.records()]

    def _key(self, row: bytes) -> str:
        cells = next(csv.reader(io.StringIO(row.decode(errors="replace"), newline="")), [])
        if len(cells) != len(self._columns) + len(self._genres):
            raise InputError(f"{self._file.path} has rows that mgc-jax did not write; give another --out.")
        return cells[len(self._columns) - 1]

    def add(self, key: str, song: Song, result: Prediction) -> None:
        """Write a row; raises InputError where it cannot be written."""
        content, scores = {**result.to_json(), "key": key}, dict(result.ranked)
        cells = [content[name] for name in self._columns]
        cells = [json_text(cell) if isinstance(cell, list) else cell for cell in cells]
        self._file.append(_row([*cells, *(scores[name] for name in self._genres)]))

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Remove the other rows."""
        self._file.replace(row for row in self._file.records() if wanted(self._key(row)))

    def close(self) -> None:
        """Leave the file."""
        self._file.close()


class EmbeddingFolder:
    """``fused.npy`` (N, D), ``audio.npy`` (N, C) and ``lyrics.npy`` (N, C) float32, and the N lines of ``ids.jsonl``.

    The lyrics of a song without are NaN. A file is written with its absolute path, so that it is found from anywhere.
    """

    NAMES = ("fused.npy", "audio.npy", "lyrics.npy")
    IDS = "ids.jsonl"
    GENRES = 3
    """The genres with the highest scores that are written for each song."""

    def __init__(self, folder: Path, fused: int, contrastive: int) -> None:
        self.folder = folder
        self._widths = dict(zip(self.NAMES, (fused, contrastive, contrastive), strict=True))
        finish_replacing(folder)
        self._open()

    def _open(self) -> None:
        self._ids = Lines(self.folder / self.IDS)
        self._arrays = {name: GrowingArray(self.folder / name, width) for name, width in self._widths.items()}
        keys = self._ids.keys()
        # A line of the ids is written when its vectors are; a power cut may keep it and lose these.
        rows = min(len(keys), *(array.rows for array in self._arrays.values()))
        if rows < len(keys):
            whole = set(keys[:rows])
            self._ids.keep(whole.__contains__)
        for array in self._arrays.values():
            array.cut(rows)

    def keys(self) -> list[str]:
        """Of all rows."""
        return self._ids.keys()

    def add(self, key: str, song: Song, result: Embedding) -> None:
        """Write a row of each, of a song in a file; raises InputError where it cannot be written."""
        assert isinstance(song.audio, Path)
        lyrics = np.full(self._widths["lyrics.npy"], np.nan) if result.lyrics is None else result.lyrics
        for array, row in zip(self._arrays.values(), (result.fused, result.audio, lyrics), strict=True):
            array.append(row)
        genres = [{"name": name, "score": score} for name, score in result.ranked[: self.GENRES]]
        about = {"file": os.path.abspath(song.audio), "lyrics": result.lyrics is not None}
        about |= {"lyrics_problem": result.lyrics_problem, "genres": genres}
        self._ids.put(key, about)
        for array in self._arrays.values():
            array.commit()

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Remove the other rows."""
        kept = np.array([wanted(key) for key in self.keys()], bool)
        write: dict[str, Callable[[Path], None]] = {
            name: lambda path, array=array: array.write(path, kept)  # type: ignore[misc]
            for name, array in self._arrays.items()
        }
        write[self.IDS] = lambda path: self._ids.write(path, wanted)
        replace_together(self.folder, write)
        self.close()
        self._open()

    def close(self) -> None:
        """Leave the files."""
        for array in self._arrays.values():
            array.close()
        self._ids.close()


@dataclasses.dataclass(frozen=True)
class Output(Generic[R]):
    """Results and failures of one command, which another one of the same model and settings goes on with."""

    results: Results[R]
    failures: Failures


@dataclasses.dataclass(frozen=True)
class Place(Generic[R]):
    """Where an output lies: its ``target`` as a person named it, the ``files`` of its results, what opens these, and
    where a file of a given name lies ``beside`` them."""

    target: Path
    files: Sequence[Path]
    open: Callable[[], Results[R]]
    beside: Callable[[str], Path]

    @property
    def failures(self) -> Path:
        """The file of what failed."""
        return self.beside("failures.jsonl")

    @contextlib.contextmanager
    def opened(self, made_by: Mapping[str, Any]) -> Iterator[Output[R]]:
        """The output, made where it is not there, for this process alone. ``made_by`` says what results depend on: the
        ``command``, its ``workdir`` and a digest of the ``model``, and what else is to be known of them.

        Raises:
            InputError: another process writes it, it was made by something else, or cannot be written.
        """
        lock, command = self.beside("lock"), made_by["command"]
        refusal = f"{self.target} is being written by another mgc-jax {command}; wait for it."
        with alone(lock, refusal), contextlib.ExitStack() as stack:
            self._check(made_by)
            stack.callback(self._tidy)
            failures = stack.enter_context(contextlib.closing(Failures(self.failures)))
            yield Output(stack.enter_context(contextlib.closing(self.open())), failures)

    def _tidy(self) -> None:
        """Remove what says nothing."""
        with contextlib.suppress(OSError):
            if not self.failures.stat().st_size:
                self.failures.unlink()
            self.beside("lock").unlink()

    def _check(self, made_by: Mapping[str, Any]) -> None:
        """Raise InputError where what is there was made by something else; where nothing is, write what makes it."""
        settings, there = self.beside("settings.json"), [file for file in self.files if file.exists()]
        if any(not file.is_file() for file in there):
            raise InputError(f"{self.target} is no file that can be gone on with; give another --out.")
        if not there:
            self.failures.unlink(missing_ok=True)
        elif settings.exists():
            self._compare(settings, made_by)
            return
        elif any(file.stat().st_size for file in there):
            command = made_by["command"]
            raise InputError(f"{self.target} is there, and mgc-jax {command} did not write it; give another --out.")
        write_json(settings, made_by)

    def _compare(self, settings: Path, made_by: Mapping[str, Any]) -> None:
        try:
            before = {name: str(value) for name, value in read_json(settings).items()}
            command, workdir, model = (before[name] for name in ("command", "workdir", "model"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{settings} cannot be read; give another --out.") from None
        if (command, model) != (made_by["command"], made_by["model"]):
            raise InputError(
                f"{self.target} was written with another model or other thresholds (mgc-jax {command} --workdir "
                f"{workdir}, as it was then); give another --out."
            )


def predictions(path: Path, genres: Sequence[str], *, reads_lyrics: bool) -> Place[Prediction]:
    """A table of predictions of a model with these genres: CSV where its name says so, else JSON Lines."""

    def table() -> Results[Prediction]:
        if path.suffix.lower() == ".csv":
            return PredictionTable(path, genres, reads_lyrics=reads_lyrics)
        return PredictionLines(path)

    return Place(path, [path], table, lambda name: path.with_name(f"{path.name}.{name}"))


def embeddings(folder: Path, fused: int, contrastive: int) -> Place[Embedding]:
    """A folder of vectors of these widths, made where it is not there; raises InputError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error}).") from None
    files = [folder / name for name in (EmbeddingFolder.IDS, *EmbeddingFolder.NAMES)]
    return Place(folder, files, lambda: EmbeddingFolder(folder, fused, contrastive), folder.__truediv__)


def _line(entry: dict[str, Any]) -> bytes:
    """In one line for every reader: what only some of them take for a line end is escaped."""
    text = json_text(entry)
    for sign in "\x85\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return (text + "\n").encode(errors="backslashreplace")


def _row(cells: Sequence[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerow(cells)
    return text.getvalue().encode(errors="backslashreplace")
