"""How long exact search among many songs takes, in how much memory, and beside plain NumPy over all vectors at once.

python scripts/measure_similar.py [--songs 10000 100000 1000000] [--width 128] [--searches 5]

For each number of songs a folder as ``mgc-jax embed`` leaves it is made of random vectors, and removed again. Timed:
*opening* it and *one search* of the 10 nearest to a song of it, the median of ``--searches`` with the files in the
operating system's cache, as ``mgc-jax similar`` does both; and *plain NumPy*, the cosines to vectors that lie in
memory, sorted. Memory is what both allocate at most; files that are mapped are the operating system's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_pipeline.storage.json_file import write_json
from mgc_jax.inference.embeddings import Embeddings
from mgc_jax.inference.found_songs import path_key
from mgc_jax.inference.results import EmbeddingFolder

AT_ONCE = 1 << 14


def make(folder: Path, songs: int, width: int) -> None:
    """Random vectors of songs that are not there."""
    random = np.random.default_rng(0)
    for name in EmbeddingFolder.NAMES:
        vectors = np.lib.format.open_memmap(folder / name, "w+", np.float32, (songs, width))
        for first in range(0, songs, AT_ONCE):
            vectors[first : first + AT_ONCE] = random.standard_normal((min(AT_ONCE, songs - first), width), np.float32)
    genres = [{"name": "rock", "score": 0.5}] * EmbeddingFolder.GENRES
    with (folder / EmbeddingFolder.IDS).open("w") as ids:
        for row in range(songs):
            entry = {"file": f"/music/{row}.mp3", "lyrics": True, "genres": genres}
            ids.write(json.dumps(entry | {"key": f"{path_key(f'/music/{row}.mp3')}-0-0"}) + "\n")
    made_by = {"command": "embed", "workdir": "run", "step": 0, "model": "", "compares_words": True}
    write_json(folder / "settings.json", made_by)


def median(work: Callable[[], object], times: int) -> float:
    """Seconds that it takes."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measure(folder: Path, songs: int, searches: int) -> tuple[float, float, float]:
    """Seconds for opening and for a search, and the most MiB that both allocate."""
    opening = median(lambda: Embeddings(folder), searches)
    collection = Embeddings(folder)
    song = f"/music/{songs // 2}.mp3"
    search = median(lambda: collection.nearest(song), searches)
    tracemalloc.start()
    Embeddings(folder).nearest(song)
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return opening, search, allocated / 2**20


def plainly(folder: Path, searches: int) -> float:
    """Seconds for a search in the simplest way."""
    vectors = np.load(folder / "fused.npy")
    query = vectors[len(vectors) // 2]

    def search() -> np.ndarray:
        similarity = vectors @ query / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))
        return np.argsort(-similarity, kind="stable")[:11]

    return median(search, searches)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--width", type=int, default=128, help="of the vectors (default %(default)s)")
    parser.add_argument("--searches", type=int, default=5)
    options = parser.parse_args()
    print(f"{options.width} numbers a song, {os.cpu_count()} cores")
    print("| songs | opening, ms | one search, ms | memory, MiB | plain NumPy, ms |\n|---|---|---|---|---|")
    for songs in options.songs:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), songs, options.width)
            opening, search, memory = measure(Path(folder), songs, options.searches)
            plain = plainly(Path(folder), options.searches)
        print(f"| {songs} | {1e3 * opening:.1f} | {1e3 * search:.1f} | {memory:.1f} | {1e3 * plain:.1f} |", flush=True)


if __name__ == "__main__":
    main()
