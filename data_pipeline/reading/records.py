"""Random access to the records of several ArrayRecord files, as if they were one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


class Records:
    """The records of ``shards``, pairs of a file and the number of its records, one file behind the other.

    ArrayRecord's own data source starts a pool of threads for every call, which takes longer than the reading itself
    when a batch is large.

    Raises:
        ValueError: a file that is no ArrayRecord file, or has another number of records.
    """

    def __init__(self, shards: Sequence[tuple[Path, int]]):
        from array_record.python.array_record_module import ArrayRecordReader

        self._names = [path.name for path, _ in shards]
        self._readers = [ArrayRecordReader(str(path), "readahead_buffer_size:0") for path, _ in shards]
        for (path, count), reader in zip(shards, self._readers, strict=True):
            if not reader.ok() or reader.num_records() != count:
                raise ValueError(f"{path.name} does not hold {count} records")
        self._firsts = np.cumsum([0, *(count for _, count in shards)])

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def file_of(self, record: int) -> str:
        """The name of the file that holds a record."""
        return self._names[int(np.searchsorted(self._firsts, record, side="right")) - 1]

    def read(self, index: np.ndarray) -> list[bytes]:
        """The records ``index`` (B,), each in [0, N), in that order; several threads may read at once.

        Raises:
            IndexError: a number out of range.
            ValueError: a record that cannot be read, among others because its checksum is another; names the file.
        """
        if len(index) and not 0 <= index.min() <= index.max() < len(self):
            raise IndexError(f"there are {len(self)} records")
        ordered: list[bytes] = [b""] * len(index)
        shards = np.searchsorted(self._firsts, index, side="right") - 1
        for shard in np.unique(shards):
            positions = np.flatnonzero(shards == shard)
            try:
                records = self._readers[shard].read((index[positions] - self._firsts[shard]).tolist())
            except (ValueError, RuntimeError) as error:
                raise ValueError(f"{self._names[shard]}: {error}") from error
            for position, record in zip(positions.tolist(), records, strict=True):
                ordered[position] = record
        return ordered
