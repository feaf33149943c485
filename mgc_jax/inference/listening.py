"""Songs -> what a model hears of them, in this process or in others that run ahead of it.

What is here is imported by those processes: it knows nothing of JAX.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np

from data_pipeline.audio import AudioSpec, Windows, log_mel
from data_pipeline.errors import InputError
from data_pipeline.tags.words import Words
from mgc_jax.inference import ahead, recording
from mgc_jax.inference.song import Song

LARGEST = 64 << 20
"""Bytes that another process hands over of a song; a longer one is heard in this process, some windows at a time."""


class Clip(NamedTuple):
    """A window of a song: what is heard of it, and how much it counts."""

    values: np.ndarray
    weight: float


class Sound(Protocol):
    """What is heard of a song, which is ``seconds`` long; ``too_quiet`` and ``notes``, as :class:`Windows` has them,
    when it was gone through."""

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        ...

    @property
    def too_quiet(self) -> int:
        """Windows that were left out."""
        ...

    @property
    def notes(self) -> frozenset[str]:
        """What was done with the recording."""
        ...

    def __iter__(self) -> Iterator[Clip]: ...


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """How windows are cut, and whether they are heard as log-mel ``spectrograms`` (T, M) uint8 or as samples (P,)
    float32. A recording shorter than a window may be repeated in it."""

    spec: AudioSpec
    spectrograms: bool = True
    repeat: bool = False

    def listening(self, song: Song) -> Listening:
        """A song that is decoded and can be gone through; raises InputError where it cannot be heard."""
        return Listening(recording.windows(song.audio, song.rate, self.spec, repeat=self.repeat), self)

    def clip(self, samples: np.ndarray) -> np.ndarray:
        """What is heard of a window's samples (P,)."""
        return log_mel(samples, self.spec) if self.spectrograms else samples

    @property
    def clip_bytes(self) -> int:
        """Of one clip."""
        spec = self.spec
        return spec.num_frames * spec.n_mels if self.spectrograms else 4 * spec.num_samples


@dataclasses.dataclass(frozen=True)
class Listening:
    """A song whose windows are cut and heard as they are gone through, each time anew."""

    windows: Windows
    front_end: FrontEnd

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return self.windows.seconds

    @property
    def too_quiet(self) -> int:
        """Windows that were left out."""
        return self.windows.too_quiet

    @property
    def notes(self) -> frozenset[str]:
        """What was done with the recording."""
        return self.windows.notes

    def __iter__(self) -> Iterator[Clip]:
        for window in self.windows:
            yield Clip(self.front_end.clip(window.samples), window.weight)


@dataclasses.dataclass(frozen=True)
class Heard:
    """A song that was heard to its end."""

    clips: tuple[Clip, ...]
    seconds: float
    too_quiet: int = 0
    notes: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)


def listen(songs: Iterable[Song], front_end: FrontEnd, workers: int) -> Iterator[tuple[Song, Sound | InputError]]:
    """Each song and what is heard of it, or why nothing is, in the order of the songs. Where words are to be looked
    for, the song has what was found.

    ``workers`` processes are at most a few songs ahead of whoever takes them; with none of them, a song is heard when
    it is gone through. A song on which its process ends costs no other song.

    Raises:
        InputError: processes cannot be started.
    """
    if not workers:
        for song in songs:
            begun = _begun(song, front_end)
            yield song if isinstance(begun, InputError) else _knowing(song, song.look()), begun
        return
    for song, done in ahead.in_order(functools.partial(_done, front_end=front_end), songs, workers):
        if isinstance(done, ahead.Ended):
            yield song, InputError(f"{song.name}: cannot be decoded: the decoder crashed.")
        else:
            sound, words = done
            yield _knowing(song, words), _begun(song, front_end) if sound is None else sound


def _knowing(song: Song, words: Words | None) -> Song:
    return song if words is None else dataclasses.replace(song, found=words)


def heard(song: Song, front_end: FrontEnd) -> Sound | InputError:
    """What is heard of a song, all of it at once but for one that takes more than ``LARGEST``; any thread may ask."""
    found, _ = _done(song, front_end)
    return _begun(song, front_end) if found is None else found


def _begun(song: Song, front_end: FrontEnd) -> Listening | InputError:
    try:
        return front_end.listening(song)
    except InputError as error:
        return error


def _done(song: Song, front_end: FrontEnd) -> tuple[Heard | InputError | None, Words | None]:
    """What a worker hears and finds: no sound of a song that is too long to be handed over."""
    try:
        return _whole(song, front_end), song.look()
    except InputError as error:
        return error, None
    except MemoryError:
        return InputError(f"{song.name}: cannot be decoded: not enough memory."), None
    except Exception as error:  # a mistake of ours costs one song of a hundred thousand, and is told
        return InputError(f"{song.name}: cannot be decoded: {type(error).__name__}: {error}."), None


def _whole(song: Song, front_end: FrontEnd) -> Heard | None:
    sound = front_end.listening(song)
    if sound.windows.most * front_end.clip_bytes > LARGEST:
        return None
    return Heard(tuple(sound), sound.seconds, sound.too_quiet, sound.notes)
