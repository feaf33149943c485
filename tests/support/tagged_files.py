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
_BY_FFMPEG = {  # container, codec, samples
    "m4a": ("mp4", "aac", "fltp"),
    "wma": ("asf", "wmav2", "fltp"),
    "wv": ("wv", "wavpack", "s16p"),
    "tta": ("tta", "tta", "s16"),
}
FORMATS = ("mp3", "flac", "ogg", "opus", "wav", "aiff", *_BY_FFMPEG)
_CODERS = {"mp3": ("MP3", None), "opus": ("OGG", "OPUS"), "wav": ("WAV", "PCM_16"), "aiff": ("AIFF", "PCM_16")}


def samples(seconds: float = 2.0, pitch: float = 220.0) -> np.ndarray:
    """A tone and a little noise, (n,) float32 at ``RATE``."""
    time = np.arange(int(RATE * seconds)) / RATE
    noise = np.random.default_rng(round(pitch)).standard_normal(len(time))
    return (0.2 * np.sin(2 * np.pi * pitch * time) + 0.02 * noise).astype(np.float32)


@functools.lru_cache(maxsize=64)
def encoded(kind: str, seconds: float = 2.0, pitch: float = 220.0) -> bytes:
    """The bytes of a song without tags, but for what a coder writes by itself."""
    wave = samples(seconds, pitch)
    if kind not in _BY_FFMPEG:
        return coded(wave, RATE, kind)
    import av

    container_name, codec, layout_of_samples = _BY_FFMPEG[kind]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_name) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.layout, stream.bit_rate = "mono", 64_000
        values = wave if layout_of_samples.startswith("flt") else (wave * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(values[None], format=layout_of_samples, layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(
            stream.codec_context.format, "mono", RATE, stream.codec_context.frame_size or None
        )
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            for packet in stream.encode(part):
                container.mux(packet)
    return buffer.getvalue()


def coded(wave: np.ndarray, rate: int, kind: str) -> bytes:
    """The bytes of a file of this kind that holds samples (n,) or (n, channels)."""
    buffer = io.BytesIO()
    name, subtype = _CODERS.get(kind, (kind.upper(), None))
    soundfile.write(buffer, wave, rate, format=name, subtype=subtype)
    return buffer.getvalue()


_TEXTS = {
    "artist": {".m4a": "\xa9ART", ".wma": "Author"},
    "album": {".m4a": "\xa9alb", ".wma": "WM/AlbumTitle"},
    "title": {".m4a": "\xa9nam", ".wma": "Title"},
    "lyrics": {".m4a": "\xa9lyr", ".wma": "WM/Lyrics"},
    "language": {".m4a": "----:com.apple.iTunes:LANGUAGE", ".wma": "WM/Language"},
    "genre": {".m4a": "\xa9gen", ".wma": "WM/Genre"},
}


def song(
    path: Path,
    genres: Sequence[str] = (),
    *,
    seconds: float = 2.0,
    pitch: float = 220.0,
    content: bytes | None = None,
    **texts: str,
) -> Path:
    """Write a song, a tone or the ``content`` of a file, with these genres and ``texts``: artist, album, title, lyrics,
    language."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content or encoded(path.suffix[1:], seconds, pitch))
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
        for name, text in texts.items():
            key = tag_name(path, name)
            audio.tags[key] = [text.encode()] if key.startswith("----") else [text]
        if genres:
            audio.tags[tag_name(path, "genre")] = list(genres)
    audio.save()
    return path


def tag_name(path: Path, name: str) -> str:
    """What a tag is called in a file of this kind, other than with ID3."""
    return _TEXTS[name].get(path.suffix, name)


def decoded(path: Path) -> np.ndarray:
    """All samples that a file holds, (n, channels), by libsndfile, or FFmpeg where that cannot."""
    if path.suffix[1:] not in _BY_FFMPEG:
        return soundfile.read(path, dtype="float32", always_2d=True)[0]
    import av

    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1).T
