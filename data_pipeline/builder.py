"""The TFDS builder: decoded examples -> ArrayRecord shards in the order in which they are given.

TFDS cannot read ArrayRecord through ``as_dataset``; ``input.py`` reads the shards by record instead.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline import host_tensorflow  # noqa: F401

# isort: split
import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath
from tensorflow_datasets.core.utils import gcs_utils
from tensorflow_datasets.core.writer import ExampleWriter

gcs_utils._is_gcs_disabled = True  # the data set is nobody's but the user's: never ask the network for it

NAME = "mgc_dataset"
VERSION = "1.0.0"


class Shape(NamedTuple):
    """The axes of an example; ``width`` H of the frozen encoder's outputs is 0 where they are not stored."""

    num_frames: int
    num_mels: int
    max_tokens: int
    num_genres: int
    width: int


def features(shape: Shape) -> tfds.features.FeaturesDict:
    """The stored example as raw little-endian bytes: spectrogram (T, M), tokens (L,), labels (G,), and where the
    encoder has run already lyrics_features (L, H)."""

    def raw(shape: tuple[int, ...], dtype: Any) -> tfds.features.Tensor:
        # The default would store every uint8 as an int64 varint.
        return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)

    encoded = {"lyrics_features": raw((shape.max_tokens, shape.width), np.float16)} if shape.width else {}
    return tfds.features.FeaturesDict(
        {
            "spectrogram": raw((shape.num_frames, shape.num_mels), np.uint8),
            "tokens": raw((shape.max_tokens,), np.uint16),
            **encoded,
            "num_tokens": tfds.features.Scalar(np.int32),
            "labels": raw((shape.num_genres,), np.uint8),
            "index": tfds.features.Scalar(np.int32),
            "id": tfds.features.Text(),
        }
    )


class _UncompressedWriter(ExampleWriter):
    """ArrayRecord without compression: spectrograms shrink by a few per cent only, and are read twice as fast."""

    def write(self, path: os.PathLike, examples: Iterable[tuple[int, bytes]]) -> None:
        writer = ArrayRecordWriter(os.fspath(path), "group_size:1,uncompressed")
        for _, record in examples:
            writer.write(record)
        writer.close()


class MgcDataset(tfds.core.GeneratorBasedBuilder):
    """Examples of the splits as given; record i of a split is the i-th example handed in."""

    VERSION = tfds.core.Version(VERSION)
    name = NAME
    # TFDS's own look-up needs importlib_resources, which it does not install.
    code_path = epath.Path(__file__)

    def __init__(
        self,
        *,
        shape: Shape,
        splits: Mapping[str, tuple[int, Iterable[dict[str, Any]]]],
        data_dir: str,
    ) -> None:
        self._features = features(shape)
        self._examples = splits
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Log-mel spectrograms, lyric tokens and genres of one music corpus.",
            features=self._features,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {name: self._generate_examples(*given) for name, given in self._examples.items()}

    def _example_writer(self) -> ExampleWriter:
        return _UncompressedWriter(file_format=self.info.file_format)

    def _generate_examples(self, num_examples: int, examples: Iterable[dict[str, Any]]) -> Any:
        for i, example in enumerate(examples):
            # Unshuffled keys are sorted in 1000 on-disk buckets over 128 bits: spread, or bucket 0 gets all of them
            # and has to fit into memory.
            yield (i << 128) // max(num_examples, 1), example


def write(
    folder: Path,
    *,
    shape: Shape,
    splits: Mapping[str, tuple[int, Iterable[dict[str, Any]]]],
    num_shards: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Writes the shards of all splits under ``folder``.

    ``splits`` maps a name to (number of examples, their iterator), each example a dict
    as ``features`` names it. Returns, per split and in record order, each shard's file (relative to ``folder``),
    number of records and size in bytes.
    """
    tfds.disable_progress_bar()
    quiet = logging.getLogger("absl")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        dataset = MgcDataset(shape=shape, splits=splits, data_dir=str(folder))
        config = tfds.download.DownloadConfig(try_download_gcs=False, num_shards=num_shards)
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloads, and there are none
            dataset.download_and_prepare(download_dir=str(folder / "downloads"), download_config=config)
    finally:
        quiet.setLevel(level)
    shutil.rmtree(folder / "downloads", ignore_errors=True)
    shards: dict[str, list[dict[str, Any]]] = {}
    for name, info in dataset.info.splits.items():
        lengths = zip(info.filepaths, info.shard_lengths, strict=True)
        shards[name] = [
            {
                "file": Path(path).relative_to(folder).as_posix(),
                "records": int(length),
                "bytes": Path(path).stat().st_size,
            }
            for path, length in lengths
        ]
    return shards
