"""The examples of a split before they are in shards, as files from which any worker can put any of them together.

Axis letters: N examples, L lyric tokens, H the lyrics encoder's width, G genres.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.prepare.arrays import Arrays
from data_pipeline.prepare.lyric_features import hidden


@dataclasses.dataclass(frozen=True)
class Examples:
    """What is small lies in ``folder``; the sounds and the lyrics encoder's outputs stay where they were made.

    Args:
        folder: holds one array for each column, see :func:`save`.
        audio: the name of the sound in an example.
        decoded: of the chunks of sounds (n, ...).
        encoded: of the batches of the encoder's outputs (n, H); None where they are not stored.
        width: H.
    """

    folder: Path
    audio: str
    decoded: Path
    encoded: Path | None
    width: int

    def __call__(self, first: int, last: int) -> Iterator[dict[str, Any]]:
        """The examples ``first`` .. ``last - 1`` as ``tfds_features`` names their parts."""
        column = {file.stem: np.load(file, mmap_mode="r") for file in self.folder.glob("*.npy")}
        sounds, outputs = Arrays(self.decoded), Arrays(self.encoded) if self.encoded else None
        for i in range(first, last):
            chunk, row = column["sound"][i].tolist()
            encoded = {}
            if outputs:
                encoded["lyrics_features"] = hidden(outputs, column["lyrics_features"][i], self.width)
            yield {
                self.audio: np.array(sounds[chunk][row]),
                "tokens": np.array(column["tokens"][i]),
                **encoded,
                "num_tokens": int(column["num_tokens"][i]),
                "labels": np.array(column["labels"][i]),
                "index": i,
                "id": str(column["id"][i]),
            }


def save(folder: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Writes ``sound`` (N, 2), positions as chunk and row, ``tokens`` (N, L), ``num_tokens`` (N,), ``labels``
    (N, G), ``id`` (N,) and, where they are stored, ``lyrics_features`` (N, 3), positions as :class:`LyricFeatures` has
    them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in columns.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
