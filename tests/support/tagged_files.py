"""Songs of every format, with tags as other programs write them."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import mutagen
import numpy as np
import soundfile
from mutagen.id3 import ID3, TALB, TCON, TIT2, TLAN, TPE1, USLT

RATE = 24_000  # which Opus takes, too
FORMATS = ("mp3", "flac", "ogg", "opus", "wav", "aiff", "m4a")
_CODERS = {"mp3": ("MP3", None), "opus": ("OGG", "OPUS"), "wav": ("WAV", "PCM_16"), "aiff": ("AIFF", "PCM_16")}


def samples(seconds: float = 2.0, pitch: float = 220.0) -> np.ndarray:
    """A tone and a little noise, (n,) float32 at ``RATE``."""
    time = np.arange(int(RATE * seconds)) / RATE
    noise = np.random.default_rng(round(pitch)).standard_normal(len(time))
    return (0.2 * np.sin(2 * np.pi * pitch * time) + 0.02 * noise).astype(np.float32)


@functools.lru_cache(maxsize=64)
def encoded(kind: str, seconds: float = 2.0, pitch: float = 220.0) -> bytes:
    """The bytes of a song without tags, but for what a coder writes by itself."""
    buffer = io.BytesIO()
    wave = samples(seconds, pitch)
    if kind != "m4a":
        name, subtype = _CODERS.get(kind, (kind.upper(), None))
        soundfile.write(buffer, wave, RATE, format=name, subtype=subtype)
        return buffer.getvalue()
    import av

    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        for part in (frame, None):
            for packet in stream.encode(part):
                container.mux(packet)
    return buffer.getvalue()


_TEXTS = {
    "artist": ("\xa9ART", "artist"),
    "album": ("\xa9alb", "album"),
    "title": ("\xa9nam", "title"),
    "lyrics": ("\xa9lyr", "lyrics"),
    "language": ("----:com.apple.iTunes:LANGUAGE", "language"),
}


def song(path: Path, genres: Sequence[str] = (), *, seconds: float = 2.0, pitch: float = 220.0, **texts: str) -> Path:
    """Write a song with these genres and ``texts``: artist, album, title, lyrics, language."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(path.suffix[1:], seconds, pitch))
    if not genres and not texts:
        return path
    audio = mutagen.File(path)
    if audio.tags is None:
        audio.add_tags()
    if isinstance(audio.tags, ID3):
        frames = {"artist": TPE1, "album": TALB, "title": TIT2, "language": TLAN}
        for name, text in texts.items():
            frame = USLT(3, "eng", "", text) if name == "lyrics" else frames[name](3, [text])
            audio.tags.add(frame)
        if genres:
            audio.tags.add(TCON(3, list(genres)))
    else:
        column = 0 if path.suffix == ".m4a" else 1
        for name, text in texts.items():
            key = _TEXTS[name][column]
            audio.tags[key] = [text.encode()] if key.startswith("----") else [text]
        if genres:
            audio.tags[("\xa9gen", "genre")[column]] = list(genres)
    audio.save()
    return path


def decoded(path: Path) -> np.ndarray:
    """All samples that a file holds, (n, channels), by libsndfile, or FFmpeg where that cannot."""
    if path.suffix != ".m4a":
        return soundfile.read(path, dtype="float32", always_2d=True)[0]
    import av

    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1).T
