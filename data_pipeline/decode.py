"""Tracks -> cleaned lyrics and spectrograms on disk, in chunks, by worker processes; a killed run goes on where it was.

Axis letters: T frames, M mel bands.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path

import numpy as np

from data_pipeline import lyrics, workers
from data_pipeline.audio import AudioError, load_clip, log_mel
from data_pipeline.files import sha256
from data_pipeline.options import PrepareOptions, Progress
from data_pipeline.schema import Track

NO_LYRICS = "no lyrics"
_CRASHED = "cannot be decoded: the decoder crashed"
_CHUNK = 32


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one track: ``reason`` is None for a decoded one, which is row ``row`` of its chunk."""

    id: str
    file: str
    row: int
    reason: str | None
    broken: bool
    text: str | None


class Decoded:
    """What became of the tracks, and their spectrograms.

    ``outcomes`` are in the tracks' order; ``fresh`` of them are of this call, the others of a killed one before it.
    """

    def __init__(self, work: Path, outcomes: list[Outcome], fresh: int) -> None:
        self.outcomes, self.fresh = outcomes, fresh
        self._load = lru_cache(maxsize=256)(lambda chunk: np.load(_spectrogram_file(work, chunk), mmap_mode="r"))

    def spectrogram(self, place: int) -> np.ndarray:
        """The spectrogram (T, M) uint8 of the track at ``place``."""
        return np.array(self._load(place // _CHUNK)[self.outcomes[place].row])


def decode(tracks: Sequence[Track], work: Path, options: PrepareOptions, progress: Progress) -> Decoded:
    """Decode what ``work`` does not hold yet; the folder is emptied where it is of other tracks or options.

    ``progress`` is called with the stage "decode".
    """
    plan = sha256([[t.row() for t in tracks], dataclasses.asdict(options.audio), options.require_lyrics, _CHUNK])
    plan_file = work / "plan"
    if not plan_file.is_file() or plan_file.read_text(encoding="ascii") != plan:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        plan_file.write_text(plan, encoding="ascii")
    chunks = [tracks[first : first + _CHUNK] for first in range(0, len(tracks), _CHUNK)]
    open_chunks = [i for i in range(len(chunks)) if not _outcome_file(work, i).is_file()]
    remaining = sum(len(chunks[i]) for i in open_chunks)
    done = len(tracks) - remaining
    progress("decode", done, len(tracks))
    for i in _run(chunks, open_chunks, work, options):
        done += len(chunks[i])
        progress("decode", done, len(tracks))
    outcomes = []
    for i in range(len(chunks)):
        with _outcome_file(work, i).open(encoding="utf-8") as file:
            outcomes += [Outcome(**json.loads(line)) for line in file]
    return Decoded(work, outcomes, remaining)


def _run(chunks: Sequence[Sequence[Track]], todo: list[int], work: Path, options: PrepareOptions) -> Iterator[int]:
    """Decodes the chunks ``todo`` and yields each one's number as soon as its files are in place."""
    processes = min(options.workers or os.cpu_count() or 1, len(todo))
    if processes <= 1:
        for i in todo:
            _decode_chunk(i, chunks[i], work, options)
            yield i
        return
    crashed: list[int] = []
    with workers.pool(processes) as pool:
        futures = {}
        try:
            for i in todo:
                try:
                    futures[pool.submit(_decode_chunk, i, chunks[i], work, options)] = i
                except BrokenProcessPool:
                    crashed.append(i)
            for future in concurrent.futures.as_completed(futures):
                try:
                    future.result()
                except BrokenProcessPool:
                    crashed.append(futures[future])
                else:
                    yield futures[future]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if crashed:
        workers.check()
    # A decoder that takes its process down is found by giving it the tracks of the chunks it hit one by one.
    for i in sorted(crashed):
        if not _outcome_file(work, i).is_file():
            _decode_chunk(i, chunks[i], work, options, apart=True)
        yield i


def _decode_chunk(
    number: int, tracks: Sequence[Track], work: Path, options: PrepareOptions, apart: bool = False
) -> None:
    """Decodes one chunk to ``<number>.npy`` (n, T, M) and ``<number>.jsonl``; the latter marks it as done."""
    spectrograms: list[np.ndarray] = []
    outcomes = []
    decoded = _decode_apart(tracks, options) if apart else (decode_track(track, options) for track in tracks)
    for outcome, spectrogram in decoded:
        if spectrogram is not None:
            outcome = dataclasses.replace(outcome, row=len(spectrograms))
            spectrograms.append(spectrogram)
        outcomes.append(outcome)
    shape = (0, options.audio.num_frames, options.audio.n_mels)
    partial = work / f"{number:06d}.partial"
    with partial.open("wb") as file:
        np.save(file, np.stack(spectrograms) if spectrograms else np.zeros(shape, np.uint8), allow_pickle=False)
    partial.replace(_spectrogram_file(work, number))
    with partial.open("w", encoding="utf-8") as text:
        text.writelines(json.dumps(dataclasses.asdict(outcome)) + "\n" for outcome in outcomes)
    partial.replace(_outcome_file(work, number))


def _decode_apart(tracks: Sequence[Track], options: PrepareOptions) -> Iterator[tuple[Outcome, np.ndarray | None]]:
    """Decodes one track at a time in another process, so that a process that ends names its track."""
    rest = list(tracks)
    while rest:
        with workers.pool(1) as pool:
            while rest:
                track = rest.pop(0)
                try:
                    yield pool.submit(decode_track, track, options).result()
                except BrokenProcessPool:
                    yield Outcome(track.id, str(track.audio), -1, _CRASHED, True, None), None
                    break


def decode_track(track: Track, options: PrepareOptions) -> tuple[Outcome, np.ndarray | None]:
    """One track's lyrics and spectrogram (T, M), or why it is left out."""
    try:
        if track.lyrics_file is not None:
            text = lyrics.read_lyrics_file(track.lyrics_file)
        else:
            text = lyrics.read_lyrics_text(track.lyrics_text or "")
    except lyrics.LyricsError as error:
        return Outcome(track.id, str(track.lyrics_file or track.audio), -1, str(error), True, None), None
    audio = str(track.audio)
    if options.require_lyrics and text is None:
        return Outcome(track.id, audio, -1, NO_LYRICS, False, None), None
    try:
        spectrogram = log_mel(load_clip(track.audio, options.audio), options.audio)
    except AudioError as error:
        return Outcome(track.id, audio, -1, str(error), True, None), None
    return Outcome(track.id, audio, 0, None, False, text), spectrogram


def _spectrogram_file(work: Path, number: int) -> Path:
    return work / f"{number:06d}.npy"


def _outcome_file(work: Path, number: int) -> Path:
    return work / f"{number:06d}.jsonl"
