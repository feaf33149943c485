"""A generated corpus in Music4All's layout, with real MP3 files: the ground on which everything can be tested.

What the genres are and what tells them apart is in the table of :mod:`data_pipeline.sources.world`; sound comes from
:mod:`data_pipeline.sources.synth`, lyrics from :mod:`data_pipeline.sources.words`. The corpus knows nothing of any
model. About 3 % of the tracks are broken in one of the ways of ``world.DIRT``; some 8 % are instrumentals and 10 % are
sung in Portuguese or Spanish.

Each track depends on (seed, index) alone, so the bytes do not depend on the number of workers, and a killed run goes
on where it stopped.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soundfile

from data_pipeline.errors import InputError
from data_pipeline.sources import synth, words, world
from data_pipeline.sources.music4all import GENERATED
from data_pipeline.storage.files import replacing

MARKER = GENERATED
"""Lies in the corpus from the first second on; holds the arguments, and whether all is written."""

_FORMAT = 1  # raise it when the same arguments give other bytes
_CHUNK = 4  # tracks a worker takes at once
_MOODS = ("chill", "favourite", "&lt;3", "female vocals", "live", "summer", "rock &amp; roll", "awesome", "sad")

_README = """A generated corpus in the layout of Music4All ({tracks} tracks of {seconds} s, seed {seed}).

Nobody made this music: audio, lyrics, artists and listeners are synthetic. Tables are TAB-separated UTF-8.
Some files are broken on purpose.
"""


def write_corpus(
    out: Path,
    *,
    tracks: int = 800,
    seed: int = 0,
    seconds: float = 30.0,
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> None:
    """Write a corpus of ``tracks`` tracks of ``seconds`` s each into the folder ``out``.

    ``workers`` processes share the work (default: one for each CPU); ``progress(done, total)`` is called as tracks
    are done. A completed corpus of the same arguments is left as it is, an interrupted one is continued. Raises
    :class:`InputError` for arguments out of range and for a folder that holds anything else.
    """
    if tracks < 20 or not 3 <= seconds <= 600:
        raise InputError(f"A corpus needs 20 tracks or more of 3 to 600 s, not {tracks} tracks of {seconds} s.")
    if seed < 0 or (workers is not None and workers < 1):
        raise InputError("The seed must not be negative, and there must be at least one worker.")
    out = Path(out)
    arguments = {"format": _FORMAT, "tracks": tracks, "seed": seed, "seconds": float(seconds)}
    if _begin(out, arguments):
        return
    plans = world.make_plans(tracks, seed)
    if workers is None:
        # Starting processes takes longer than a few tracks do.
        workers = 1 if tracks * seconds < 600 else os.cpu_count() or 1
    chunks = [plans[start : start + _CHUNK] for start in range(0, tracks, _CHUNK)]
    done = 0
    for count in _write_chunks(chunks, out, seed, seconds, workers):
        done += count
        if progress is not None:
            progress(done, tracks)
    _write_tables(out, plans, seed)
    _replace(out / "readme.txt", _README.format(**arguments).encode())
    _replace(out / MARKER, json.dumps(arguments | {"complete": True}).encode())


def _begin(out: Path, arguments: dict[str, float]) -> bool:
    """Make or claim the folder; whether the corpus is already complete."""
    marker = out / MARKER
    try:
        if marker.is_file():
            found = json.loads(marker.read_text())
            complete = found.pop("complete", False)
            if found != arguments:
                raise InputError(f"{out} holds a corpus generated with other arguments; choose another folder.")
            return bool(complete)
        if out.exists() and (not out.is_dir() or any(entry.suffix != ".partial" for entry in out.iterdir())):
            raise InputError(f"{out} exists and is not empty; nothing is overwritten, choose another folder.")
        out.mkdir(parents=True, exist_ok=True)
        _replace(marker, json.dumps(arguments).encode())
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{out} cannot be used for a corpus ({error}).") from None
    return False


def _write_chunks(chunks: list[list[world.Plan]], out: Path, seed: int, seconds: float, workers: int) -> Iterable[int]:
    """Write all tracks; yields the number of tracks of each chunk that is done."""
    if workers == 1:
        for chunk in chunks:
            yield _write_tracks(chunk, out, seed, seconds)
        return
    # Spawned, because a fork after TensorFlow or JAX has started threads can hang. The synthesis has no linear
    # algebra and its FFTs run in one thread each, so the processes do not fight over cores.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context)
    try:
        futures = [pool.submit(_write_tracks, chunk, out, seed, seconds) for chunk in chunks]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _write_tracks(plans: list[world.Plan], out: Path, seed: int, seconds: float) -> int:
    for folder in (out / "audios", out / "lyrics"):
        folder.mkdir(exist_ok=True)
    for plan in plans:
        audio, lyrics = out / "audios" / f"{plan.id}.mp3", out / "lyrics" / f"{plan.id}.txt"
        if plan.dirt != "missing lyrics" and not lyrics.exists():
            _replace(lyrics, lyrics_bytes(plan, seed))
        if plan.dirt != "missing audio" and not audio.exists():
            _write_audio(audio, plan, seed, seconds)
    return len(plans)


def lyrics_bytes(plan: world.Plan, seed: int) -> bytes:
    """What the track's lyrics file holds."""
    if plan.dirt == "empty lyrics":
        return b""
    if plan.language == "INTRUMENTAL":
        return b"INSTRUMENTAL"
    quirk = np.random.default_rng([*plan.artist.seed, 1])
    rng = np.random.default_rng([seed, plan.index, 1])
    text = words.write_lyrics(plan.topics, plan.language, quirk, rng)
    return text.encode("latin-1" if plan.dirt == "latin-1 lyrics" else "utf-8")


def _write_audio(path: Path, plan: world.Plan, seed: int, seconds: float) -> None:
    if plan.dirt == "empty audio":
        return _replace(path, b"")
    if plan.dirt == "text as audio":
        return _replace(path, b"<html><body><h1>404 Not Found</h1></body></html>\n")
    if plan.dirt == "silent audio":
        samples = np.zeros(round(seconds * synth.SAMPLE_RATE), np.float32)
    else:
        artist = np.random.default_rng([*plan.artist.seed, 2])
        rng = np.random.default_rng([seed, plan.index, 2])
        samples = synth.render(plan.sounds, seconds, artist, rng)
    with replacing(path) as partial:
        soundfile.write(
            partial,
            samples,
            synth.SAMPLE_RATE,
            format="MP3",
            subtype="MPEG_LAYER_III",
            # Variable bit rate is the fastest of LAME's modes here, and .8 gives some 35 kbit/s.
            bitrate_mode="VARIABLE",
            compression_level=0.8,
        )
        if plan.dirt == "truncated audio":
            os.truncate(partial, partial.stat().st_size // 50)


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def _write_tables(out: Path, plans: list[world.Plan], seed: int) -> None:
    rng = np.random.default_rng([seed, len(plans), 3])
    information, genres, tags, languages, metadata = [], [], [], [], []
    for plan in sorted(plans, key=lambda plan: plan.id):
        information.append((plan.id, plan.artist.name.replace("&", "&amp;"), plan.title, plan.album))
        if plan.dirt == "duplicate row":
            information.append((plan.id, plan.artist.name, f"{plan.title} (remastered)", plan.album))
        genres.append((plan.id, ",".join(plan.genres)))
        moods = rng.choice(_MOODS, int(rng.integers(0, 4)), replace=False)
        tags.append((plan.id, ",".join([*plan.genres, *moods])))
        languages.append((plan.id, plan.language))
        metadata.append((plan.id, *_metadata(plan, rng)))
    history = []
    for user in range(len(plans) // 8 + 1):
        listened = rng.choice(len(plans), 30)
        seconds = np.sort(rng.integers(0, 90 * 24 * 3600, listened.size))
        times = np.datetime64("2019-01-01T00:00:00") + seconds
        name = f"user_{user:05d}"
        for index, time in zip(listened, times, strict=True):
            history.append((name, plans[index].id, str(time)[:16].replace("T", " ")))
    _write_table(out / "id_information.csv", ("id", "artist", "song", "album_name"), information)
    _write_table(out / "id_genres.csv", ("id", "genres"), genres)
    _write_table(out / "id_tags.csv", ("id", "tags"), tags)
    _write_table(out / "id_lang.csv", ("id", "lang"), languages)
    columns = ("danceability", "energy", "key", "mode", "valence", "tempo", "duration_ms")
    _write_table(out / "id_metadata.csv", ("id", "spotify_id", "popularity", "release", *columns), metadata)
    _write_table(out / "listening_history.csv", ("user", "song", "timestamp"), history)


def _metadata(plan: world.Plan, rng: np.random.Generator) -> tuple[object, ...]:
    """Plausible figures in the columns' ranges; only the tempo's range is that of the track's sound."""
    low, high = synth.SOUNDS[plan.sounds[0]].tempo
    danceability, energy, valence = rng.beta(3, 3, 3).round(3).tolist()
    return (
        plan.id[::-1] + plan.id[:6],
        float(rng.integers(0, 90)),
        int(rng.integers(1965, 2020)),
        danceability,
        energy,
        float(rng.integers(0, 12)),
        float(rng.integers(0, 2)),
        valence,
        round(float(rng.uniform(low, high)), 3),
        int(rng.integers(120_000, 420_000)),
    )


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    _replace(path, ("\n".join(lines) + "\n").encode())
