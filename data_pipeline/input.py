"""A prepared data set -> numpy batches, by step, through tf.data.

Axis letters: B batch, T frames, M mel bands, L lyric tokens, G genres.
"""

from __future__ import annotations

import csv
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import order
from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.schema import SPLITS, Batch

FORMAT = 1
"""The version of ``dataset.json`` and of the records."""


class PreparedData:
    """A folder that ``prepare`` completed.

    Opening it reads JSON only; TensorFlow is imported with the first batch. Raises InputError when the folder is
    missing, incomplete or broken.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.meta = _read_meta(self.path)
        self.vocabulary = GenreVocabulary.load(self.path / "genres.json")
        try:
            self.audio = AudioSpec(**self.meta["audio"])
            self.encoder = str(self.meta["lyrics"]["encoder"])
            self.max_tokens = int(self.meta["lyrics"]["max_tokens"])
            self.split_kind = str(self.meta["split_kind"])
            self.split_sizes = {name: int(self.meta["splits"][name]) for name in SPLITS}
            if self.vocabulary.size != self.meta["num_genres"]:
                raise ValueError("genres.json belongs to another data set")
            for split in SPLITS:
                if sum(shard["records"] for shard in self.meta["shards"][split]) != self.split_sizes[split]:
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
    ) -> Iterator[Batch]:
        """This host's rows of the global batches of steps ``start_step`` .. ``start_step + num_steps - 1``.

        A batch is a function of (seed, step) alone; the hosts' rows concatenated are the global batch.
        """
        num_examples = self._num_examples(split)
        order.steps_per_epoch(num_examples, batch_size)
        rows = order.host_slice(batch_size, host, num_hosts)

        def indices(step: int) -> np.ndarray:
            return order.batch_indices(num_examples, batch_size, seed, step)[rows]

        return self._batches(split, indices, start_step, num_steps)

    def evaluation_batches(self, split: str, *, batch_size: int, host: int = 0, num_hosts: int = 1) -> Iterator[Batch]:
        """Every track of the split once and in order; the rows that fill the last batch have weight 0, index -1."""
        batches = order.evaluation_indices(self._num_examples(split), batch_size)
        rows = order.host_slice(batch_size, host, num_hosts)
        return self._batches(split, lambda step: batches[step][rows], 0, len(batches))

    def num_evaluation_batches(self, split: str, batch_size: int) -> int:
        """How many batches ``evaluation_batches`` gives, on every host."""
        return -(-self._num_examples(split) // batch_size)

    def track_ids(self, split: str) -> list[str]:
        """The ids of the split's tracks, by example index."""
        return [row["id"] for row in self.tracks(split)]

    def tracks(self, split: str) -> list[dict[str, str]]:
        """The rows of ``tracks.tsv`` of one split, by example index."""
        num_examples = self._num_examples(split)
        try:
            with (self.path / "tracks.tsv").open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                rows = [row for row in reader if row["split"] == split]
        except (OSError, ValueError, KeyError, csv.Error) as error:
            raise InputError(f"{self.path / 'tracks.tsv'} cannot be read: {error}; prepare it again.") from error
        if [row["index"] for row in rows] != [str(i) for i in range(num_examples)]:
            raise InputError(f"{self.path / 'tracks.tsv'} does not list the {split} split; prepare it again.")
        return rows

    def _num_examples(self, split: str) -> int:
        if split not in self.split_sizes:
            raise InputError(f"There is no split {split!r}; choose one of {', '.join(self.split_sizes)}.")
        return self.split_sizes[split]

    def _batches(self, split: str, indices: Any, start: int, count: int) -> Iterator[Batch]:
        """Batches of the steps ``start`` .. ``start + count - 1``, whose rows ``indices(step)`` names."""
        source = self._source(split)
        tf = _tensorflow()
        parse = functools.partial(self._parse, tf)

        def read(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            index = indices(int(step))
            # A padding row is read as the first track, so that shapes stay equal, and masked by its weight.
            records = source.__getitems__(np.maximum(index, 0).tolist())
            return np.array(records, object), index

        def load(step: Any) -> dict[str, Any]:
            records, index = tf.numpy_function(read, [step], (tf.string, tf.int32), stateful=False)
            return parse(records, tf.ensure_shape(index, [None]))

        dataset = tf.data.Dataset.range(start, start + count)
        dataset = dataset.map(load, num_parallel_calls=_PARALLEL_BATCHES, deterministic=True).prefetch(2)

        def run() -> Iterator[Batch]:
            try:
                yield from dataset.as_numpy_iterator()
            except tf.errors.OpError as error:
                shards = ", ".join(shard["file"] for shard in self.meta["shards"][split])
                reason = str(error.message).strip().split("\n")[0]
                raise InputError(
                    f"A record of {shards} in {self.path} is broken ({reason}); prepare it again."
                ) from error

        return run()

    def _parse(self, tf: Any, records: Any, index: Any) -> dict[str, Any]:
        """Serialised examples (B,) and their indices (B,) -> a batch of tensors."""
        stored = tf.io.parse_example(
            records,
            {name: tf.io.FixedLenFeature([], tf.string) for name in ("spectrogram", "tokens", "labels")}
            | {name: tf.io.FixedLenFeature([], tf.int64) for name in ("num_tokens", "index")},
        )
        real = index >= 0
        with tf.control_dependencies(
            [tf.debugging.assert_equal(stored["index"], tf.cast(tf.maximum(index, 0), tf.int64))]
        ):
            weight = tf.cast(real, tf.float32)
        shape = (-1, self.audio.num_frames, self.audio.n_mels)
        tokens = tf.reshape(tf.io.decode_raw(stored["tokens"], tf.uint16), (-1, self.max_tokens))
        labels = tf.reshape(tf.io.decode_raw(stored["labels"], tf.uint8), (-1, self.vocabulary.size))
        return {
            "spectrogram": tf.reshape(tf.io.decode_raw(stored["spectrogram"], tf.uint8), shape),
            "tokens": tf.cast(tokens, tf.int32),
            "num_tokens": tf.cast(stored["num_tokens"], tf.int32),
            "labels": labels,
            "index": index,
            "weight": weight,
        }

    def _source(self, split: str) -> Any:
        """Random access to the split's records; raises InputError naming a shard that is missing or cut short."""
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        paths = []
        for shard in self.meta["shards"][split]:
            path = self.path / shard["file"]
            size = path.stat().st_size if path.is_file() else None
            if size != shard["bytes"]:
                what = "is missing" if size is None else f"has {size} of {shard['bytes']} bytes"
                raise InputError(f"The shard {path} {what}; copy or prepare the data set again.")
            paths.append(f"{path}[0:{shard['records']}]")
        return ArrayRecordDataSource(paths)


_PARALLEL_BATCHES = 2


def _tensorflow() -> Any:
    """TensorFlow, kept away from the accelerators, which belong to JAX."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    for kind in ("GPU", "TPU"):
        tf.config.set_visible_devices([], kind)
    return tf


def _read_meta(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"There is no prepared data set in {folder}; make one with mgc-jax prepare.")
    if not (folder / "dataset.json").is_file():
        raise InputError(f"The data set in {folder} is incomplete (no dataset.json); run mgc-jax prepare to its end.")
    try:
        meta = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'dataset.json'} cannot be read: {error}; prepare it again.") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise InputError(f"{folder / 'dataset.json'} is not of format {FORMAT}; prepare it again.")
    return meta
