"""A little corpus of real files, with dirt, for the tests of prepare and input."""

import dataclasses
import multiprocessing
import os
from pathlib import Path

import numpy as np
import soundfile

from data_pipeline.audio import AudioSpec
from data_pipeline.prepare.options import DataConfig, LyricsConfig, PrepareOptions
from data_pipeline.schema import Corpus, Rejected, Track

SPEC = AudioSpec(sample_rate=8000, n_fft=256, hop_length=128, n_mels=13, seconds=1.5)
OPTIONS = PrepareOptions(
    DataConfig(min_genre_tracks=4, split_seed=5), SPEC, LyricsConfig(encoder="minilm", max_tokens=19), workers=1
)
GENRES = ("rock", "pop", "jazz", "r&b")


def explode(path):
    """Ends a worker process, as a decoder's segmentation fault would."""
    if multiprocessing.parent_process() is not None:
        os._exit(1)
    return Path(path)


class Bomb(type(Path())):
    """A path that ends the worker process it is sent to."""

    def __reduce__(self):
        return explode, (str(self),)


def options(*, lyrics_input="tokens", workers=1, **data):
    lyrics = dataclasses.replace(OPTIONS.lyrics, input=lyrics_input)
    return PrepareOptions(dataclasses.replace(OPTIONS.data, **data), SPEC, lyrics, workers)


def elsewhere(corpus, folder):
    """The corpus with its files in another folder."""
    return dataclasses.replace(
        corpus,
        tracks=tuple(
            dataclasses.replace(t, audio=folder / t.audio.name, lyrics_file=folder / t.lyrics_file.name)
            for t in corpus.tracks
        ),
    )


def corpus(folder, num_tracks=90, write=True):
    """Tracks t000.. of which every 15th is broken in one of several ways; t001, t011, .. are Portuguese.

    Without ``write`` the files are taken as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    time = np.arange(8000 * 2) / 8000
    tracks = []
    for i in range(num_tracks):
        path = folder / f"t{i:03d}.wav"
        wave = 0.3 * np.sin(2 * np.pi * (100 + 10 * i) * time) + 0.02 * random.standard_normal(len(time))
        if i % 15 == 7:
            wave = wave * 0
        if write:
            soundfile.write(path, wave, 8000)
        if write and i == 14:
            path.write_bytes(b"")
        if write and i == 29:
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
        genres = {GENRES[g] for g in range(4) if random.random() < (0.5, 0.4, 0.3, 0.3)[g]} or {"rock"}
        lyrics = folder / f"t{i:03d}.txt"
        if write:
            words = b"INSTRUMENTAL" if i % 6 == 0 else b"love " * (i % 30 + 1)
            lyrics.write_bytes(b"\x00\x01\x02" if i == 44 else words)
        if i == 20:
            genres = {"polka"}
        tracks.append(
            Track(
                id=f"t{i:03d}",
                audio=path,
                genres=tuple(sorted(genres)),
                lyrics_file=lyrics,
                artist=None if i % 9 == 0 else f"artist {i // 4}",
                title=f"song\t{i}",
                language="pt" if i % 10 == 1 else "en",
            )
        )
    return Corpus(tuple(tracks), (Rejected("gone", "gone.mp3", "audio file missing"),))
