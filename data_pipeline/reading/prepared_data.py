"""A prepared data set -> numpy batches by step: for training through tf.data, for evaluation without TensorFlow.

Axis letters: B batch, T frames, M mel bands, S audio tokens, L lyric tokens, H an encoder's width, G genres.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.reading import order
from data_pipeline.reading.records import Records
from data_pipeline.schema import AUDIO, BATCH_KEYS, LYRICS, SPLITS, Batch
from data_pipeline.storage.bucket import Bucket, is_address
from data_pipeline.storage.files import read_tsv, sha256, stays_inside
from data_pipeline.storage.json_file import read_json

FORMAT = 2
"""The version of ``dataset.json`` and of the records."""


class PreparedData:
    """A folder that ``prepare`` completed, or an address like ``gs://bucket/folder``, which is copied to the disk.

    Opening it reads JSON only; TensorFlow is imported with the first training batch. ``progress(done, total)`` counts
    the files that are copied. Raises InputError when the folder is missing, incomplete or broken.
    """

    def __init__(self, path: str | Path, progress: Callable[[int, int], None] | None = None) -> None:
        if not str(path).strip():
            raise InputError("The data set's address is empty: give a folder or an address such as gs://bucket/folder.")
        self.path = Bucket(str(path)).download(progress) if is_address(path) else Path(path)
        self.meta = _read_meta(self.path)
        self.vocabulary = GenreVocabulary.load(self.path / "genres.json")
        self.settings: dict[str, Any]
        """Which tracks and genres were kept and how the tracks were split: the fields of ``DataConfig`` as JSON."""
        try:
            self.audio = AudioSpec(**self.meta["audio"])
            encoder = self.meta["audio_encoder"] if self.audio.input != "spectrogram" else {}
            self.audio_encoder_sha256 = str(encoder.get("sha256", ""))
            """Empty for spectrograms, which no encoder has heard."""
            self.audio_licence = str(encoder.get("licence", ""))
            """Of the audio encoder's weights."""
            self.audio_shape = (self.audio.num_frames, self.audio.n_mels)
            """(T, M) of a spectrogram, (S, H) of features, or (W T, M) of a filterbank."""
            if encoder:
                self.audio_shape = (_count(encoder["tokens"]), _count(encoder["width"]))
            self.encoder = str(self.meta["lyrics"]["encoder"])
            self.encoder_sha256 = str(self.meta["lyrics"]["sha256"])
            self.max_tokens = _count(self.meta["lyrics"]["max_tokens"])
            self.lyrics_window = _count(self.meta["lyrics"].get("window", 0))
            self._token_dtype = _token_dtype(self.meta["lyrics"].get("dtype", "uint16"))
            self.lyrics_input = str(self.meta["lyrics"]["input"])
            self.lyrics_width = _count(self.meta["lyrics"]["width"])
            self.settings = dict(self.meta["options"]["data"])
            self.split_kind = str(self.settings["split"])
            self.source = str(self.meta.get("source", ""))
            self.split_sizes = {name: _count(self.meta["splits"][name]) for name in SPLITS}
            if self.vocabulary.size != self.meta["num_genres"]:
                raise ValueError("genres.json belongs to another data set")
            for split in SPLITS:
                shards = [_shard(entry) for entry in self.meta["shards"][split]]
                if sum(shard.records for shard in shards) != self.split_sizes[split]:
                    raise ValueError(f"the shards of {split} do not add up")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.path / 'dataset.json'} is broken ({error}); prepare it again.") from error

    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int,
        num_steps: int,
        host: int = 0,
        num_hosts: int = 1,
        split: str = "train",
        bucket: int = 0,
    ) -> Iterator[Batch]:
        """This host's rows of the global batches of steps ``start_step`` .. ``start_step + num_steps - 1``.

        A batch is a function of (seed, step) alone; the hosts' rows concatenated are the global batch. For ``bucket``
        see :class:`order.TrainingOrder`: L is then the batch's own.
        """
        steps = self.training_order(batch_size=batch_size, seed=seed, split=split, bucket=bucket)
        rows = order.host_slice(batch_size, host, num_hosts)
        return self._batches(split, lambda step: steps.indices(step)[rows], start_step, num_steps, steps.length)

    def training_order(
        self, *, batch_size: int, seed: int, split: str = "train", bucket: int = 0
    ) -> order.TrainingOrder:
        """Which tracks make up which batch."""
        num_examples = self._num_examples(split)
        lengths = self._lengths(split) if bucket else None
        return order.TrainingOrder(num_examples, batch_size, seed, lengths, bucket)

    def _lengths(self, split: str) -> np.ndarray:
        """The tracks' numbers of lyric tokens (N,), by example index."""
        try:
            lengths = [int(row["tokens"]) for row in self.tracks(split)]
            if not 0 <= min(lengths) <= max(lengths) <= self.max_tokens:
                raise ValueError
            return np.array(lengths)
        except (KeyError, ValueError):
            raise InputError(
                f"{self.path / 'tracks.tsv'} does not say how long lyrics are; prepare it again."
            ) from None

    def evaluation_batches(self, split: str, *, batch_size: int, host: int = 0, num_hosts: int = 1) -> Iterator[Batch]:
        """Every track of the split once and in order; the rows that fill the last batch have weight 0, index -1."""
        batches = order.evaluation_indices(self._num_examples(split), batch_size)
        rows = order.host_slice(batch_size, host, num_hosts)
        return self._evaluation_batches(split, [batch[rows] for batch in batches])

    def _evaluation_batches(self, split: str, wanted: list[np.ndarray]) -> Iterator[Batch]:
        """The batches of these examples, read a few ahead."""
        source = self._source(split)
        with ThreadPoolExecutor(_PARALLEL_BATCHES) as threads:
            ahead: deque[Future[Batch]] = deque()
            try:
                for index in wanted:
                    ahead.append(threads.submit(self._read, source, index))
                    if len(ahead) > _PARALLEL_BATCHES:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            except _BROKEN_RECORD as error:
                raise self._broken_record(split, str(error)) from error
            finally:
                threads.shutdown(cancel_futures=True)

    def some(self, split: str, index: np.ndarray, *, batch_size: int) -> Iterator[Batch]:
        """The tracks ``index`` (K,) of the split in that order, without TensorFlow; the last batch has what is left."""
        return self._evaluation_batches(split, [index[i : i + batch_size] for i in range(0, len(index), batch_size)])

    def whole(self, split: str, *, multiple: int, host: int = 0, num_hosts: int = 1) -> Batch:
        """This host's share of all tracks of the split, in order, as one batch.

        Rows of weight 0 fill the split up to a ``multiple``; the hosts' shares concatenated are the split.
        """
        index = np.concatenate(order.evaluation_indices(self._num_examples(split), multiple))
        try:
            return self._read(self._source(split), index[order.host_slice(len(index), host, num_hosts)])
        except _BROKEN_RECORD as error:
            raise self._broken_record(split, str(error)) from error

    def digest(self) -> str:
        """Of all files but the shards: the same for copies of what one ``prepare`` wrote, and for nothing else."""
        files = [self.path / name for name in ("dataset.json", "genres.json", "report.json", "tracks.tsv")]
        return sha256([hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "" for file in files])

    def track_ids(self, split: str) -> list[str]:
        """The ids of the split's tracks, by example index."""
        return [row["id"] for row in self.tracks(split)]

    def tracks(self, split: str) -> list[dict[str, str]]:
        """The rows of ``tracks.tsv`` of one split, by example index."""
        num_examples = self._num_examples(split)
        try:
            header, *lines = read_tsv(self.path / "tracks.tsv")
            rows = [row for line in lines if (row := dict(zip(header, line, strict=True)))["split"] == split]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{self.path / 'tracks.tsv'} cannot be read: {error}; prepare it again.") from error
        if [row.get("index") for row in rows] != [str(i) for i in range(num_examples)] or not {"id"} <= set(header):
            raise InputError(f"{self.path / 'tracks.tsv'} does not list the {split} split; prepare it again.")
        return rows

    def _num_examples(self, split: str) -> int:
        if split not in self.split_sizes:
            raise InputError(f"There is no split {split!r}; choose one of {', '.join(self.split_sizes)}.")
        return self.split_sizes[split]

    def _batches(
        self,
        split: str,
        indices: Callable[[int], np.ndarray],
        start: int,
        count: int,
        length: Callable[[int], int | None] = lambda step: None,
    ) -> Iterator[Batch]:
        """Batches of the steps ``start`` .. ``start + count - 1``, whose rows ``indices(step)`` names.

        Lyrics are cut to ``length(step)`` tokens.
        """
        from data_pipeline.host_tensorflow import tf

        source = self._source(split)
        names = self._batch_keys()

        wanted = tf.Variable(True)

        def read(step: np.ndarray) -> tuple[np.ndarray, ...]:
            batch = self._read(source, indices(int(step)), length(int(step)))
            return tuple(batch[name] for name in names)

        def load(step: Any) -> dict[str, Any]:
            types = [tf.as_dtype(_TYPES[name]) for name in names]
            return dict(zip(names, tf.numpy_function(read, [step], types, stateful=False), strict=True))

        dataset = tf.data.Dataset.range(start, start + count).take_while(lambda step: wanted)
        dataset = dataset.map(load, num_parallel_calls=_PARALLEL_BATCHES, deterministic=True).prefetch(2)

        def run() -> Iterator[Batch]:
            batches = dataset.as_numpy_iterator()
            try:
                yield from batches
            except tf.errors.OpError as error:
                raise self._broken_record(split, str(error.message)) from error
            except GeneratorExit:
                # An iterator that goes waits for reads under way, and holds Python's lock, which they need.
                wanted.assign(False)
                with contextlib.suppress(tf.errors.OpError):
                    deque(batches, maxlen=0)
                raise

        return run()

    def _broken_record(self, split: str, reason: str) -> InputError:
        files = [str(shard["file"]) for shard in self.meta["shards"][split]]
        broken = ", ".join([file for file in files if Path(file).name in reason] or files)
        # TensorFlow puts the exception's name and its own words before what was said.
        reason = re.sub(r"^.*?Error: ", "", reason.strip()).split("\n")[0].removeprefix(f"{Path(broken).name}: ")[:200]
        return InputError(f"{self.path / broken} is broken ({reason}); copy or prepare the data set again.")

    def _read(self, source: Records, index: np.ndarray, length: int | None = None) -> Batch:
        """The batch of the examples ``index`` (B,), lyrics cut to ``length`` tokens.

        An index of -1 becomes a row that repeats the first track, with weight 0.
        """
        shapes = {
            AUDIO[self.audio.input]: self.audio_shape,
            "tokens": (self.max_tokens,),
            "labels": (self.vocabulary.size,),
        }
        stored_as = _STORED | {"tokens": self._token_dtype}
        cut = {name: min(length or self.max_tokens, self.max_tokens) for name in LYRICS}
        batch = {}
        whole = shapes | {"lyrics_features": (self.max_tokens, self.lyrics_width)}
        for name in self._batch_keys():
            shape = whole.get(name, ())
            batch[name] = _aligned((len(index), *(cut.get(name, n) for n in shape[:1]), *shape[1:]), _TYPES[name])
        batch["index"][:] = index
        batch["weight"][:] = index >= 0
        wanted = np.maximum(index, 0)
        for first in range(0, len(wanted), _RECORDS_AT_ONCE):
            part = wanted[first : first + _RECORDS_AT_ONCE]
            for row, record in enumerate(source.read(part), start=first):
                try:
                    fields = example_fields(record)
                    if _integer(fields["index"]) != wanted[row]:
                        raise ValueError("it is another example")
                    for name, shape in shapes.items():
                        stored = np.frombuffer(fields[name], stored_as[name])
                        batch[name][row] = stored.reshape(shape)[: batch[name].shape[1]]
                    batch["num_tokens"][row] = num_tokens = _integer(fields["num_tokens"])
                    if num_tokens > self.max_tokens:
                        raise ValueError(f"it has {num_tokens} tokens")
                    if self.lyrics_width:  # stored as long as the lyrics are
                        states = np.frombuffer(fields["lyrics_features"], stored_as["lyrics_features"])
                        own = batch["lyrics_features"][row]
                        own[:num_tokens] = states.reshape(num_tokens, self.lyrics_width)[: len(own)]
                        own[num_tokens:] = 0
                except (ValueError, IndexError, KeyError) as error:
                    file = source.file_of(wanted[row])
                    raise ValueError(f"{file}: record {wanted[row]} of the split: {error}") from error
        return batch

    def _batch_keys(self) -> tuple[str, ...]:
        lyrics = ("lyrics_features",) if self.lyrics_width else ()
        return (AUDIO[self.audio.input], *BATCH_KEYS, *lyrics)

    def check_shards(self) -> None:
        """Raises InputError naming a shard that is missing or cut short, before a model is built for nothing."""
        for split in SPLITS:
            self._shards(split)

    def _source(self, split: str) -> Records:
        """Random access to the split's records; raises InputError naming a shard that is missing or cut short."""
        shards = self._shards(split)
        try:
            return Records(shards)
        except (ValueError, RuntimeError) as error:
            raise self._broken_record(split, str(error)) from error

    def _shards(self, split: str) -> list[tuple[Path, int]]:
        if _read_meta(self.path) != self.meta:
            raise InputError(f"The data set in {self.path} was prepared anew while it was in use; start again.")
        shards = []
        for shard in map(_shard, self.meta["shards"][split]):
            path = self.path / shard.file
            size = path.stat().st_size if path.is_file() else None
            if size != shard.bytes:
                what = "is missing" if size is None else f"has {size} of {shard.bytes} bytes"
                raise InputError(f"The shard {path} {what}; copy or prepare the data set again.")
            shards.append((path, shard.records))
        return shards


def example_fields(record: bytes) -> dict[str, memoryview]:
    """The features of a serialised tf.train.Example: bytes as they are, an int64 as its varint; nothing is copied.

    Parsing in the TensorFlow graph copies a spectrogram three times more, and costs half of the throughput.
    Raises ValueError or IndexError for anything else than an Example with one value per feature.
    """
    view = memoryview(record)
    fields = {}
    for start, end in _messages(view, 0, len(view)):  # Features
        for first, last in _messages(view, start, end):  # entries of the map
            (key, key_end), (value, value_end) = _messages(view, first, last)
            for kind, kind_end in _messages(view, value, value_end):  # a Feature's list
                for content, content_end in _messages(view, kind, kind_end):
                    fields[str(view[key:key_end], "utf-8")] = view[content:content_end]
    return fields


def _messages(view: memoryview, position: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each length-delimited field of a protocol buffer that lies from ``position`` to ``end`` begins and ends."""
    while position < end:
        tag, length, position = view[position], view[position + 1], position + 2
        if length > 127:
            length, position = _varint(view, position - 1)
        if tag & 7 != 2 or tag > 127 or position + length > end:
            raise ValueError("a record is not a tf.train.Example")
        yield position, position + length
        position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    """A base-128 number and the position behind it."""
    number = shift = 0
    while True:
        byte = view[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7


def _integer(value: memoryview) -> int:
    return _varint(value, 0)[0]


def _aligned(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An array that starts at a multiple of 64 bytes, which TensorFlow passes on without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + 64, np.uint8)
    first = -buffer.ctypes.data % 64
    return buffer[first : first + size].view(dtype).reshape(shape)


_TYPES = {
    "spectrogram": "uint8",
    "audio_features": "float16",
    "filterbank": "float16",
    "tokens": "int32",
    "lyrics_features": "float16",
    "num_tokens": "int32",
    "labels": "uint8",
    "index": "int32",
    "weight": "float32",
}
_STORED: dict[str, np.dtype] = {
    "spectrogram": np.dtype("u1"),
    "audio_features": np.dtype("<f2"),
    "filterbank": np.dtype("<f2"),
    "lyrics_features": np.dtype("<f2"),
    "labels": np.dtype("u1"),
}
_RECORDS_AT_ONCE = 8  # few: their memory is reused from part to part, and they are still in the cache when copied
_BROKEN_RECORD = (ValueError, LookupError, OverflowError, RuntimeError)
_PARALLEL_BATCHES = max(2, min(8, (os.cpu_count() or 1) // 2))


class _Shard(NamedTuple):
    """A file of records, relative to the data set's folder, with its size."""

    file: str
    bytes: int
    records: int


def _shard(entry: dict[str, Any]) -> _Shard:
    """One of ``dataset.json``'s shards; raises ValueError, KeyError or TypeError."""
    file = entry["file"]
    if not stays_inside(file):
        raise ValueError(f"a shard cannot be the file {file!r}")
    return _Shard(file, _count(entry["bytes"]), _count(entry["records"]))


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError(f"{value!r:.40} is not a count")
    return value


def _token_dtype(name: Any) -> np.dtype:
    if name not in ("uint16", "uint32"):
        raise ValueError(f"tokens cannot be {name!r:.40}")
    return np.dtype(name).newbyteorder("<")


def _read_meta(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"There is no prepared data set in {folder}; make one with mgc-jax prepare.")
    if not (folder / "dataset.json").is_file():
        raise InputError(f"The data set in {folder} is incomplete (no dataset.json); run mgc-jax prepare to its end.")
    try:
        meta = read_json(folder / "dataset.json")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'dataset.json'} cannot be read: {error}; prepare it again.") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise InputError(f"{folder / 'dataset.json'} is not of format {FORMAT}; prepare it again.")
    return meta
