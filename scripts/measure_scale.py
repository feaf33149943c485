"""How preparing grows with the number of songs: seconds of each stage, and memory, by catalogue size.

python scripts/measure_scale.py FOLDER [--rows 10000 100000 1000000] [--workers N]

FOLDER gets catalogues of made-up songs: a second of noise each, so that decoding them is as little as it can be, 853
genres, artists, and lyrics of twelve words for two thirds of them. A song takes 4 kB there until the end. Each
catalogue is prepared in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from data_pipeline.audio import AudioSpec
from data_pipeline.prepare.options import DataConfig, LyricsConfig, PrepareOptions

GENRES = 853  # as many as Music4All has
RATE = 1000  # Hz
IN_A_FOLDER = 1000
WORDS = "love night road heart fire rain home river dream light".split()
SYLLABLES = "ba ce di fo gu ha je ki lo mu".split()
OPTIONS = PrepareOptions(
    DataConfig(min_genre_tracks=10),
    AudioSpec(sample_rate=RATE, n_fft=256, hop_length=128, n_mels=8, seconds=1.0),
    LyricsConfig(encoder="minilm", max_tokens=16),
)


def make(folder: Path, rows: int) -> Path:
    """A catalogue of so many songs, and its table."""
    random = np.random.default_rng(0)
    names = [f"{SYLLABLES[i % 10]}{SYLLABLES[i // 10 % 10]}r{SYLLABLES[i // 100]}n" for i in range(GENRES)]
    often = 1 / np.arange(1, GENRES + 1)
    often /= often.sum()
    with (folder / "songs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "audio", "genres", "artist", "lyrics"])
        for i in range(rows):
            song = folder / f"{i // IN_A_FOLDER:04d}" / f"{i:07d}.wav"
            song.parent.mkdir(exist_ok=True)
            noise = random.integers(-8000, 8000, RATE, np.int16)
            soundfile.write(song, noise, RATE, subtype="PCM_16")
            own = {names[g] for g in random.choice(GENRES, 1 + random.poisson(1.2), p=often)}
            lyrics = " ".join(random.choice(WORDS, 12)) if i % 3 else ""
            artist = f"artist {random.integers(max(rows // 10, 3))}"
            table.writerow([f"s{i:07d}", song.relative_to(folder), ",".join(sorted(own)), artist, lyrics])
    return folder / "songs.csv"


def prepare(source: Path, out: Path, workers: int) -> dict[str, float]:
    """Prepare it, and return the seconds of each stage, in order, and the GB of memory and of the data set."""
    from data_pipeline.prepare import pipeline
    from data_pipeline.sources import read_corpus

    started = {"read": time.perf_counter()}

    def progress(stage: str, done: int, total: int) -> None:
        started.setdefault(stage, time.perf_counter())

    corpus = read_corpus(source)
    pipeline.prepare(corpus, out, dataclasses.replace(OPTIONS, workers=workers), progress=progress)
    ends = [*started.values(), time.perf_counter()]
    seconds = {stage: end - begin for (stage, begin), end in zip(started.items(), ends[1:], strict=True)}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return seconds | {
        "in all": ends[-1] - ends[0],
        "memory, GB": memory,
        "on disk, GB": sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e9,
    }


def main() -> None:
    """Measure, and print a table: a column for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default %(default)s")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # what a process of its own does
    options = parser.parse_args()
    if options.one:
        print(json.dumps(prepare(options.folder / "songs.csv", options.folder / "data", options.workers)))
        return
    found = []
    for rows in options.rows:
        place = options.folder / str(rows)
        place.mkdir(parents=True)
        make(place, rows)
        command = [sys.executable, __file__, str(place), "--one", "--workers", str(options.workers)]
        found.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        shutil.rmtree(place)
    print(f"{options.workers} workers, {os.cpu_count()} cores; seconds but for the last two rows")
    print("| rows | " + " | ".join(f"{rows:,}" for rows in options.rows) + " |")
    print("|---" * (len(options.rows) + 1) + "|")
    for name in found[-1]:  # of few songs some stages are none of their own
        print(f"| {name} | " + " | ".join(f"{one.get(name, 0.0):.1f}" for one in found) + " |")


if __name__ == "__main__":
    main()
