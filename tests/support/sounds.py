"""Music and files of it in any container, made where they are wanted."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import soundfile


def music(seconds: float, rate: int = 22_050, channels: int = 1, *, pitch: float = 220.0, seed: int = 0) -> np.ndarray:
    """Chords that change twice a second, with beats and a little noise: (n,) or (n, channels) float32, about .1 RMS."""
    time = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(seed)
    steps = random.choice([1.0, 9 / 8, 5 / 4, 3 / 2], size=int(2 * seconds) + 1)[(2 * time).astype(int)]
    wave = 0.12 * np.sin(2 * np.pi * pitch * steps * time) + 0.08 * np.sin(2 * np.pi * 1.5 * pitch * steps * time)
    wave += 0.1 * np.exp(-20 * (4 * time % 1)) * random.standard_normal(len(time))
    wave = wave.astype(np.float32)
    return wave if channels == 1 else np.stack([wave] * channels, axis=1)


def hiss(seconds: float, rate: int = 22_050, *, dbfs: float = -72.0, seed: int = 1) -> np.ndarray:
    """White noise (n,) float32 of this level."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return (10 ** (dbfs / 20) * noise).astype(np.float32)


def file(samples: np.ndarray, rate: int = 22_050, kind: str = "WAV", subtype: str | None = None, **more: Any) -> bytes:
    """What a file of libsndfile's holds."""
    written = io.BytesIO()
    soundfile.write(written, samples, rate, format=kind, subtype=subtype, **more)
    return written.getvalue()


def by_ffmpeg(samples: np.ndarray, codec: str, container: str, rate: int = 22_050, **options: Any) -> bytes:
    """What a file of FFmpeg's holds; samples (n,) or (n, channels)."""
    written = io.BytesIO()
    channels = samples.shape[1] if samples.ndim == 2 else 1
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[channels]
    with av.open(written, "w", format=container) as target:
        track = target.add_stream(codec, rate=rate, layout=layout, **options)
        context: Any = track.codec_context
        context.open(strict=False)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        converted = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 4096)
        for part in [*converted.resample(frame), *converted.resample(None), None]:
            target.mux(track.encode(part))
    return written.getvalue()
