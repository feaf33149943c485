"""What a frozen audio encoder makes of clips, compiled and cut over all devices.

Axis letters: N clips, P samples of a window, S audio tokens of a clip, H the encoder's width.
"""

from __future__ import annotations

import functools

import jax
import numpy as np

from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from mgc_jax.models.audio_encoder import AudioEncoder, AudioWindows
from mgc_jax.network.audio_encoders import audio_encoder
from mgc_jax.runtime import sharding

AT_ONCE = 8
"""Windows that a device hears at once."""


def shape(windows: AudioWindows, spec: AudioSpec) -> tuple[int, int]:
    """(S, H) of what an encoder with these ``windows`` makes of a clip.

    Raises:
        InputError: the clips have another rate than the encoder's, or are shorter than what it hears at once.
    """
    if spec.sample_rate != windows.rate:
        raise InputError(
            f"The audio encoder {windows.name} hears {windows.rate} Hz, but audio.sample_rate is {spec.sample_rate}; "
            f"set --config.audio.sample_rate={windows.rate}."
        )
    try:
        return windows.num_tokens(spec.num_samples), windows.width
    except ValueError as error:
        raise InputError(f"audio.seconds does not suit the audio encoder: {error}.") from None


class AudioFeatures:
    """An encoder for the clips of one data set: clips (N, samples) float32 -> features (N, S, H) float32.

    Raises:
        InputError: as :func:`shape` does.
    """

    def __init__(self, encoder: AudioEncoder, spec: AudioSpec) -> None:
        self.shape = shape(encoder, spec)
        """(S, H)."""
        self.encoder, self.spec = encoder, spec
        self._mesh = sharding.make_mesh()
        self._apply = jax.jit(encoder.apply)

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """The features; windows that are the same sample for sample are heard once."""
        windows = self.encoder.windows(np.asarray(clips, np.float32)).reshape(-1, self.encoder.window)
        numbers: dict[bytes, int] = {}
        number = [numbers.setdefault(window.tobytes(), len(numbers)) for window in windows]
        first = np.unique(number, return_index=True)[1]
        return self._tokens(windows[first])[number].reshape(len(clips), *self.shape)

    @functools.cached_property
    def silence(self) -> np.ndarray:
        """Of a clip without a sound (S, H)."""
        return self(np.zeros((1, self.spec.num_samples), np.float32))[0]

    def _tokens(self, windows: np.ndarray) -> np.ndarray:
        """Windows (N, P) -> tokens (N, K, H), so many at once that one program suffices."""
        size = AT_ONCE * self._mesh.size
        parts = []
        for start in range(0, len(windows), size):
            part = windows[start : start + size]
            full = np.pad(part, ((0, size - len(part)), (0, 0)))
            placed = sharding.place_batch({"windows": full}, self._mesh)["windows"]
            parts.append(np.asarray(self._apply(self.encoder.weights, placed))[: len(part)])
        return np.concatenate(parts)


@functools.lru_cache(maxsize=4)
def audio_features(spec: AudioSpec) -> AudioFeatures:
    """The encoder that the settings name, or its front end for ``audio.input=filterbank``, for their clips; kept, with
    its compiled program.

    Raises:
        InputError: it is not to be had, or does not fit the clips.
    """
    encoder = audio_encoder(spec.encoder)
    try:
        return AudioFeatures(encoder.front_end() if spec.input == "filterbank" else encoder, spec)
    except ValueError as error:
        raise InputError(f"audio.input=filterbank does not suit the audio encoder: {error}.") from None
