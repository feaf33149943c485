"""How fast music is prepared and how fast prepared examples are read, on this machine, in tracks/s.

python scripts/measure_pipeline.py [--tracks 480] [--records 8192]

Preparing: generated 30 s MP3s at 22 050 Hz, decoded to log-mels by one process a core, start-up and writing included.
Reading: full-size examples (uint8 128 x 1292 and 512 tokens) from the page cache, shuffled, in batches of 256.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import builder
from data_pipeline.audio import AudioSpec
from data_pipeline.genres import GenreVocabulary
from data_pipeline.input import PreparedData
from data_pipeline.prepare import PrepareOptions, prepare
from data_pipeline.sources import generated, read_corpus

NUM_TOKENS, NUM_GENRES = 512, 87
BATCH_SIZE = 256
EPOCHS = 7


def prepare_rate(folder: Path, tracks: int) -> float:
    """Tracks/s of a whole ``prepare`` of ``tracks`` generated MP3s; making them is not counted."""
    generated.write_corpus(folder / "corpus", tracks=tracks, seed=0, seconds=30.0)
    start = time.perf_counter()
    prepare(read_corpus(folder / "corpus"), folder / "data", PrepareOptions(min_genre_tracks=1))
    return tracks / (time.perf_counter() - start)


def read_rates(folder: Path, data: Path, records: int) -> list[float]:
    """Tracks/s of each of seven epochs over ``records`` random examples, after one epoch to warm up."""
    spec = AudioSpec()
    rng = np.random.default_rng(0)

    def examples(count: int) -> Iterator[dict[str, Any]]:
        for index in range(count):
            yield {
                "spectrogram": rng.integers(0, 256, (spec.num_frames, spec.n_mels), np.uint8),
                "tokens": rng.integers(0, 30_000, NUM_TOKENS, np.uint16),
                "num_tokens": NUM_TOKENS,
                "labels": rng.integers(0, 2, NUM_GENRES, np.uint8),
                "index": index,
                "id": str(index),
            }

    sizes = {"train": records, "validation": 1, "test": 1}
    shape = builder.Shape(spec.num_frames, spec.n_mels, NUM_TOKENS, NUM_GENRES, width=0)
    shards = builder.write(folder, shape=shape, splits={name: (n, examples(n)) for name, n in sizes.items()})
    meta = json.loads((data / "dataset.json").read_text("utf-8"))
    meta |= {"shards": shards, "splits": sizes, "num_genres": NUM_GENRES}
    (folder / "dataset.json").write_text(json.dumps(meta), "utf-8")
    names = tuple(f"genre {i}" for i in range(NUM_GENRES))
    none = np.zeros(NUM_GENRES, np.int64)
    GenreVocabulary(names, {}, none, np.diag(none), records).save(folder / "genres.json")

    os.sync()  # the writing of the records to disk is not part of reading them
    batch_size = min(BATCH_SIZE, records)
    steps = records // batch_size
    reader = PreparedData(folder).train_batches(
        batch_size=batch_size, seed=0, start_step=0, num_steps=(1 + EPOCHS) * steps
    )
    rates = []
    for _ in range(1 + EPOCHS):
        start = time.perf_counter()
        read = sum(len(batch["index"]) for batch in itertools.islice(reader, steps))
        rates.append(read / (time.perf_counter() - start))
    return sorted(rates[1:])


def main() -> None:
    """Measure both and print two lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=480)
    parser.add_argument("--records", type=int, default=8192)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"on {len(os.sched_getaffinity(0))} cores", flush=True)
        print(f"prepare {prepare_rate(folder, options.tracks):.0f} tracks/s", flush=True)
        rates = read_rates(folder, folder / "data", options.records)
        print(f"read {rates[EPOCHS // 2]:.0f} tracks/s (median of {EPOCHS}; {rates[0]:.0f} to {rates[-1]:.0f})")


if __name__ == "__main__":
    main()
