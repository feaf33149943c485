"""How fast music is prepared and how fast prepared examples are read, on this machine, in tracks/s.

python scripts/measure_pipeline.py [--tracks 480] [--records 8192] [--against torch]

Preparing: generated 30 s MP3s at 22 050 Hz, decoded to log-mels by one process a core, start-up and writing included.
Reading: full-size examples (uint8 128 x 1292 and 512 tokens) from the page cache, shuffled, in batches of 256;
the median of 7 rounds, in brackets the slowest and the fastest; in turn with reading the same records by ArrayRecord's
library and doing nothing with them, the most that any reader of these files reaches, and with PyTorch's DataLoader, if
wanted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.audio import AudioSpec
from data_pipeline.genres import GenreVocabulary
from data_pipeline.prepare.options import DataConfig, LyricsConfig, PrepareOptions
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.prepare.shards import Shape
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.reading.records import Records
from data_pipeline.sources import generated, read_corpus

NUM_TOKENS, NUM_GENRES = 512, 87
BATCH_SIZE = 256
OPTIONS = PrepareOptions(DataConfig(min_genre_tracks=1), lyrics=LyricsConfig(encoder="minilm"))
ROUNDS = 7
READY = 8  # batches; more than any reader keeps
PART = 8  # records read at once, as PreparedData does
CORES = len(os.sched_getaffinity(0))


def prepare_rate(folder: Path, tracks: int) -> float:
    """Tracks/s of a whole ``prepare`` of ``tracks`` generated MP3s; making them is not counted."""
    generated.write_corpus(folder / "corpus", tracks=tracks, seed=0, seconds=30.0)
    start = time.perf_counter()
    prepare(read_corpus(folder / "corpus"), folder / "data", OPTIONS)
    return tracks / (time.perf_counter() - start)


def make_examples(count: int) -> dict[str, np.ndarray]:
    """``count`` random examples of the paper's shapes, as a batch holds them."""
    spec = AudioSpec()
    rng = np.random.default_rng(0)
    return {
        "spectrogram": rng.integers(0, 256, (count, spec.num_frames, spec.n_mels), np.uint8),
        "tokens": rng.integers(0, 30_000, (count, NUM_TOKENS), np.int32),
        "num_tokens": np.full(count, NUM_TOKENS, np.int32),
        "labels": rng.integers(0, 2, (count, NUM_GENRES), np.uint8),
        "index": np.arange(count, dtype=np.int32),
    }


def write(folder: Path, data: Path, examples: dict[str, np.ndarray]) -> PreparedData:
    """A prepared data set of the examples; what else it needs comes from ``data``, another one."""
    from data_pipeline.prepare import builder  # TensorFlow, which the DataLoader's processes can do without

    count = len(examples["index"])

    def records(first: int, last: int) -> Iterator[dict[str, Any]]:
        for index in range(first, last):
            example = {name: array[index] for name, array in examples.items()}
            yield example | {"tokens": example["tokens"].astype(np.uint16), "id": str(index)}

    sizes = {"train": count, "validation": 1, "test": 1}
    num_frames, n_mels = examples["spectrogram"].shape[1:]
    shape = Shape("spectrogram", (num_frames, n_mels), NUM_TOKENS, NUM_GENRES, width=0)
    shards = builder.write(folder, shape=shape, splits={name: (n, records) for name, n in sizes.items()})
    meta = json.loads((data / "dataset.json").read_text("utf-8"))
    meta |= {"shards": shards, "splits": sizes, "num_genres": NUM_GENRES}
    (folder / "dataset.json").write_text(json.dumps(meta), "utf-8")
    names = tuple(f"genre {i}" for i in range(NUM_GENRES))
    none = np.zeros(NUM_GENRES, np.int64)
    GenreVocabulary(names, {}, none, np.diag(none), count).save(folder / "genres.json")
    return PreparedData(folder)


def records_alone(data: PreparedData, batch_size: int) -> Iterator[dict[str, Any]]:
    """Batches of records as ArrayRecord's library gives them, shuffled, two read ahead."""
    shards = [(data.path / shard["file"], shard["records"]) for shard in data.meta["shards"]["train"]]
    records = Records(shards)
    steps = data.training_order(batch_size=batch_size, seed=0)

    def read(step: int) -> dict[str, Any]:
        index = steps.indices(step)
        for part in np.split(index, range(PART, len(index), PART)):
            records.read(part)
        return {"index": index}

    with ThreadPoolExecutor(CORES) as threads:
        ahead = deque(threads.submit(read, step) for step in range(CORES))
        for step in itertools.count(CORES):
            ahead.append(threads.submit(read, step))
            yield ahead.popleft().result()


def torch_readers(folder: Path, examples: dict[str, np.ndarray], batch_size: int) -> dict[str, Iterator[Any]]:
    """PyTorch's DataLoader over the same examples with a process a core, on files of two kinds."""
    from mgc_jax.torch_reference import files

    readers = {}
    for name, kind in (("files of one array", files.ExampleFiles), ("memory-mapped files", files.MappedArrays)):
        place = folder / kind.__name__
        place.mkdir()
        readers[f"DataLoader, {name}"] = files.batches(kind(examples, place), batch_size, CORES)
    return readers


def race(readers: dict[str, Iterator[Any]], steps: int) -> dict[str, list[float]]:
    """Tracks/s of each reader in each round of ``steps`` batches, in turn; the first round warms up.

    What a reader had ready when its turn came is not timed.
    """
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(1 + ROUNDS):
        for name, reader in readers.items():
            for _ in itertools.islice(reader, READY):
                pass
            start = time.perf_counter()
            read = sum(len(batch["index"]) for batch in itertools.islice(reader, steps))
            rates[name].append(read / (time.perf_counter() - start))
    return {name: of[1:] for name, of in rates.items()}


def main() -> None:
    """Measure both and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=480)
    parser.add_argument("--records", type=int, default=8192)
    parser.add_argument("--against", choices=["torch"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"on {CORES} cores", flush=True)
        print(f"prepare {prepare_rate(folder, options.tracks):.0f} tracks/s", flush=True)
        examples = make_examples(options.records)
        data = write(folder, folder / "data", examples)
        batch_size = min(BATCH_SIZE, options.records)
        steps = options.records // batch_size
        total = (1 + ROUNDS) * (steps + READY)
        readers: dict[str, Iterator[Any]] = {
            "mgc-jax": data.train_batches(batch_size=batch_size, seed=0, start_step=0, num_steps=total)
        }
        readers["ArrayRecord's library alone"] = records_alone(data, batch_size)
        if options.against:
            readers |= torch_readers(folder, examples, batch_size)
        os.sync()  # the writing of the records to disk is not part of reading them
        rates = race(readers, steps)
        for reader, of in rates.items():
            slower = sorted(ours / other for ours, other in zip(rates["mgc-jax"], of, strict=True))
            print(
                f"read {statistics.median(of):.0f} tracks/s ({min(of):.0f} to {max(of):.0f}): {reader}; "
                f"mgc-jax is {slower[ROUNDS // 2]:.2f} times as fast ({slower[0]:.2f} to {slower[-1]:.2f})"
            )


if __name__ == "__main__":
    main()
