"""The TFDS builder: decoded examples -> ArrayRecord shards in the order in which they are given, by any workers.

TFDS cannot read ArrayRecord through ``as_dataset``; ``reading/`` reads the shards by record instead.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data_pipeline import host_tensorflow  # noqa: F401
from data_pipeline.errors import InputError
from data_pipeline.prepare import write_shard
from data_pipeline.prepare.shards import Part, Shape, Shard
from data_pipeline.prepare.tfds_features import features
from data_pipeline.prepare.workers import Executor, Processes

# isort: split
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder
from tensorflow_datasets.core.utils import gcs_utils, shard_utils

gcs_utils._is_gcs_disabled = True  # the data set is nobody's but the user's: never ask the network for it

NAME = "mgc_dataset"
VERSION = "1.0.0"


HERE = Processes(1)


class MgcDataset(FileReaderBuilder):
    """Examples of the splits as given; record i of a split is its i-th example.

    TFDS's own builders either sort what they write through files of their own, or keep a whole shard in memory.
    """

    VERSION = tfds.core.Version(VERSION)
    name = NAME
    # TFDS's own look-up needs importlib_resources, which it does not install.
    code_path = epath.Path(__file__)

    def __init__(
        self,
        *,
        shape: Shape,
        splits: Mapping[str, tuple[int, Part]],
        executor: Executor,
        progress: Callable[[int, int], None],
        num_shards: int | None,
        data_dir: str,
    ) -> None:
        self._shape, self._given, self._executor, self._progress = shape, splits, executor, progress
        self._config = shard_utils.ShardConfig(num_shards)
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Log-mel spectrograms, lyric tokens and genres of one music corpus.",
            features=features(self._shape),
            disable_shuffling=True,
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        splits = {name: self._shards(name, *given) for name, given in self._given.items()}
        todo = [shard for of_split in splits.values() for shard in of_split]
        total, done = sum(count for count, _ in self._given.values()), 0
        self._progress(0, total)
        for shard in self._executor(
            functools.partial(write_shard.write, shape=self._shape), todo, write_shard.is_written
        ):
            done += shard.last - shard.first
            self._progress(done, total)
        for shard in todo:
            if not write_shard.is_written(shard):
                raise InputError(
                    f"A worker process ended while it wrote {shard.path.name}; run the same command again."
                )
        self.info.set_splits(
            tfds.core.splits.SplitDict(
                tfds.core.SplitInfo(
                    name=name,
                    shard_lengths=[shard.last - shard.first for shard in of_split],
                    num_bytes=sum(shard.path.stat().st_size for shard in of_split),
                    filename_template=self._get_filename_template(name),
                )
                for name, of_split in splits.items()
            )
        )

    def _shards(self, name: str, count: int, part: Part) -> list[Shard]:
        number = self._config.get_number_shards(count * self._shape.bytes, count)
        files = self._get_filename_template(name).sharded_filepaths(number)
        lasts = shard_utils.get_shard_boundaries(count, number)
        firsts = [0, *lasts[:-1]]
        return [Shard(Path(file), part, *ends) for file, *ends in zip(files, firsts, lasts, strict=True)]


def write(
    folder: Path,
    *,
    shape: Shape,
    splits: Mapping[str, tuple[int, Part]],
    executor: Executor = HERE,
    progress: Callable[[int, int], None] = lambda done, total: None,
    num_shards: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Writes the shards of all splits under ``folder``.

    ``splits`` maps a name to (number of examples, what gives them), each example a dict as :mod:`tfds_features` names
    it.
    ``run`` has the workers, ``progress`` counts examples. Returns, per split and in record order, each shard's file
    (relative to ``folder``), number of records and size in bytes.
    """
    tfds.disable_progress_bar()
    quiet = logging.getLogger("absl")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        dataset = MgcDataset(
            shape=shape,
            splits=splits,
            executor=executor,
            progress=progress,
            num_shards=num_shards,
            data_dir=str(folder),
        )
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloads, and there are none
            dataset.download_and_prepare(download_dir=str(folder / "downloads"), download_config=config)
    finally:
        quiet.setLevel(level)
    shutil.rmtree(folder / "downloads", ignore_errors=True)
    written: dict[str, list[dict[str, Any]]] = {}
    for name, info in dataset.info.splits.items():
        lengths = zip(info.filepaths, info.shard_lengths, strict=True)
        written[name] = [
            {
                "file": Path(path).relative_to(folder).as_posix(),
                "records": int(length),
                "bytes": Path(path).stat().st_size,
            }
            for path, length in lengths
        ]
    return written
