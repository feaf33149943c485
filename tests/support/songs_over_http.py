"""Songs as HTTP clients send them."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile

RATE = 22_050


def wav(seconds: float = 3.0, hz: float = 220.0) -> bytes:
    """A file with a tone that comes and goes."""
    time = np.arange(int(seconds * RATE)) / RATE
    file = io.BytesIO()
    soundfile.write(file, 0.4 * np.sin(2 * np.pi * hz * time) * (time % 0.5 < 0.2), RATE, format="WAV")
    return file.getvalue()


def form(audio: bytes, name: str = "song.wav", **fields: Any) -> dict[str, Any]:
    """What httpx posts."""
    return {"files": {"audio": (name, audio, "application/octet-stream")}, "data": fields}


def until(true: Callable[[], bool]) -> None:
    """Wait for what is to come to pass, a minute at most."""
    ticks = threading.Event()
    for _ in range(6000):
        if true():
            return
        ticks.wait(0.01)
    raise AssertionError("it never came to pass")
