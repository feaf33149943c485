"""How fast ``mgc-jax serve`` answers, and what becomes of those who ask when it is too much.

python scripts/measure_serve.py SOURCE --workdir W [--songs 20] [--clients 8] [--seconds 20]

SOURCE is a manifest or a folder in Music4All's layout. A server is started on this machine and asked over HTTP for the
genres of these songs with their lyrics: *at full load* by so many clients at once, each of which asks again as soon as
it is answered, which gives the capacity; then by as many as half, and as twice that many songs a second ask, whether
others are answered or not. Times are from a client's first byte to its last. *Lost* is what was neither answered nor
refused with 429; the server's own count of songs is compared with that of its clients.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from data_pipeline.sources import read_corpus
from mgc_jax.inference.song import Song

Question = dict[str, Any]
Answer = tuple[int, float]
"""A status, 0 for none at all, and the seconds that it took."""


@contextlib.contextmanager
def served(workdir: str) -> Iterator[str]:
    """The address of a server of its own."""
    command = [sys.executable, "-m", "mgc_jax", "serve", "--workdir", workdir, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        found = (re.search(r"http://\S+:\d+", line) for line in iter(process.stdout.readline, ""))
        address = next((one[0] for one in found if one), None)
        if address is None:
            raise SystemExit("The server did not start.")
        yield address.replace("localhost", "127.0.0.1")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def questions(source: Path, songs: int) -> list[Question]:
    """What is posted for the songs of a collection."""
    found = []
    for track in read_corpus(source).tracks[:songs]:
        words = Song(b"", track.lyrics_text, lyrics_file=track.lyrics_file).words()
        file = (track.audio.name, track.audio.read_bytes(), "application/octet-stream")
        found.append({"files": {"audio": file}, "data": {"lyrics": words or ""}})
    return found


async def ask(client: httpx.AsyncClient, question: Question) -> Answer:
    """Ask once."""
    started = time.perf_counter()
    try:
        status = (await client.post("/v1/predict", **question)).status_code
    except httpx.TransportError:
        status = 0
    return status, time.perf_counter() - started


async def at_full_load(client: httpx.AsyncClient, asked: list[Question], clients: int, seconds: float) -> list[Answer]:
    """So many clients, each of which asks again as soon as it is answered."""
    end = time.perf_counter() + seconds

    async def one(number: int) -> list[Answer]:
        answers = []
        while time.perf_counter() < end:
            answers.append(await ask(client, asked[number % len(asked)]))
            number += clients
        return answers

    return [answer for answers in await asyncio.gather(*map(one, range(clients))) for answer in answers]


async def at_rate(client: httpx.AsyncClient, asked: list[Question], rate: float, seconds: float) -> list[Answer]:
    """So many questions a second, whether others are answered or not."""
    started, tasks = time.perf_counter(), []
    for number in range(max(1, round(rate * seconds))):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(client, asked[number % len(asked)])))
    return list(await asyncio.gather(*tasks))


async def measured(name: str, load: Awaitable[list[Answer]]) -> tuple[float, list[Answer]]:
    """Print a row of the table; songs answered a second, and all answers."""
    started = time.perf_counter()
    answers = await load
    seconds = time.perf_counter() - started
    times = [time_taken for status, time_taken in answers if status == 200]
    rate = len(times) / seconds
    p50, p99 = np.percentile(times, [50, 99]) if times else (np.nan, np.nan)
    refused = sum(status == 429 for status, _ in answers)
    lost = len(answers) - len(times) - refused
    asked = len(answers) / seconds
    print(f"| {name} | {asked:.2f} | {rate:.2f} | {p50:.3f} | {p99:.3f} | {refused} | {lost} |", flush=True)
    return rate, answers


async def measure(address: str, asked: list[Question], clients: int, seconds: float) -> None:
    """Print the table, and whether the server counted what its clients did."""
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=httpx.Limits(max_connections=None)) as client:
        tried = [(await ask(client, question))[0] for question in asked]
        asked = [question for question, status in zip(asked, tried, strict=True) if status == 200]
        if not asked:
            raise SystemExit("None of these songs can be heard.")
        print(f"{len(asked)} songs, {clients} clients, {os.cpu_count()} cores for the server and its clients")
        print("| load | asked/s | answered/s | p50 s | p99 s | refused (429) | lost |\n|---|---|---|---|---|---|---|")
        rate, answers = await measured("full", at_full_load(client, asked, clients, seconds))
        loads: dict[str, Callable[[], float]] = {"half": lambda: rate / 2, "twice": lambda: rate * 2}
        for name, songs in loads.items():
            _, more = await measured(name, at_rate(client, asked, songs(), seconds))
            answers += more
        metrics = (await client.get("/metrics")).text
    counted = re.search(r'mgc_jax_songs_total\{outcome="answered",work="predict"\} (\S+)', metrics)
    named = sum(status == 200 for status, _ in answers) + len(asked)
    print(f"the server counts {float(counted[1]) if counted else 0:.0f} songs that it answered, its clients {named}")
    for work in re.findall(r'mgc_jax_turn_songs_(?:sum|count)\{work="predict"\} \S+', metrics):
        print(work)


def main() -> None:
    """Start a server, measure, and end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--songs", type=int, default=20, help="so many of them (default %(default)s)")
    parser.add_argument("--clients", type=int, default=8, help="at full load (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="for each load (default %(default)s)")
    options = parser.parse_args()
    asked = questions(options.source, options.songs)
    with served(options.workdir) as address:
        asyncio.run(measure(address, asked, options.clients, options.seconds))


if __name__ == "__main__":
    main()
