"""MSD_musicnn in PyTorch's own layers, for ONNX: the same numbers as :mod:`mgc_jax.models.musicnn`, which says what the
network is and where its weights come from.

Axis letters: B clips, N windows, P samples of a window, T = 187 frames, M = 96 mel bands, C channels, H = 1706 features
of a window.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgc_jax.models.audio_encoder import AudioEncoder
from mgc_jax.models.musicnn import FRAMES, HOP, N_FFT

_SEVEN_FRAMES = (0, 0, 3, 3)
"""Zeros around time alone, as :func:`torch.nn.functional.pad` takes them."""


class Musicnn(nn.Module):
    """Clips (B, samples) with full scale at 1 -> what is stored of them (B, S, H), rounded to float16 as it is there.

    The Fourier transform is two matrices: not every runtime has another one.
    """

    cosine: Tensor
    sine: Tensor
    filters: Tensor

    def __init__(self, encoder: AudioEncoder, num_samples: int):
        super().__init__()
        self.starts = encoder.starts(num_samples).tolist()
        self.lead, self.window = encoder.lead, encoder.window
        weights = {name: value for name, value in encoder.weights.items() if name != "filters"}
        self.layers = nn.ModuleDict({name: _Layer(arrays) for name, arrays in weights.items()})
        hann = np.hanning(N_FFT + 1)[:-1]
        phase = 2 * np.pi / N_FFT * np.outer(np.arange(N_FFT), np.arange(N_FFT // 2 + 1))
        self.register_buffer("cosine", _tensor(hann[:, None] * np.cos(phase)))
        self.register_buffer("sine", _tensor(hann[:, None] * np.sin(phase)))
        self.register_buffer("filters", _tensor(encoder.weights["filters"]))

    def forward(self, clips: Tensor) -> Tensor:
        """As above."""
        led = F.pad(clips, (self.lead, 0))
        windows = torch.stack([led[:, start : start + self.window] for start in self.starts], 1)
        tokens = self.tokens(windows.flatten(0, 1))
        return tokens.unflatten(0, (-1, len(self.starts))).half().float()

    def log_mel(self, windows: Tensor) -> Tensor:
        """(N, P) -> (N, T, M)."""
        blocks = windows.unflatten(1, (FRAMES + 1, HOP))
        frames = torch.cat([blocks[:, :-1], blocks[:, 1:]], -1)
        power = (frames @ self.cosine).square() + (frames @ self.sine).square()
        return torch.log1p(10_000 * (power @ self.filters.T)) / float(np.log(10))

    def layer(self, name: str) -> _Layer:
        """By its name in :data:`mgc_jax.models.musicnn.WEIGHTS`."""
        layer = self.layers[name]
        assert isinstance(layer, _Layer)
        return layer

    def tokens(self, windows: Tensor) -> Tensor:
        """(N, P) -> (N, H)."""
        x = self.layer("input").norm(self.log_mel(windows)[:, None])
        front = torch.cat([self.layer(f"front_{i}").front(x) for i in range(5)], 1)
        first = self.layer("middle_0").middle(front)
        second = self.layer("middle_1").middle(first) + first
        third = self.layer("middle_2").middle(second) + second
        channels = torch.cat([front, first, second, third], 1)
        pooled = torch.stack([channels.amax(2), channels.mean(2)], -1).flatten(1)
        dense = self.layer("dense")
        last = dense.norm(torch.relu(self.layer("pooled").norm(pooled) @ dense.kernel + dense.bias))
        return torch.cat([pooled, last], 1)


class _Layer(nn.Module):
    """A layer's arrays; its convolution comes first, then ReLU, then the batch norm by what training saw."""

    kernel: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        super().__init__()
        for name, array in arrays.items():
            self.register_buffer(name, _tensor(array))

    def norm(self, x: Tensor, after: int = 0) -> Tensor:
        """Of channels that ``after`` axes follow."""
        shape = (-1, *[1] * after)
        return x * self.scale.reshape(shape) + self.shift.reshape(shape)

    def front(self, x: Tensor) -> Tensor:
        """With the maximum over all bands: (N, 1, T, M) -> (N, C, T), see :mod:`mgc_jax.models.musicnn`."""
        length, bands = self.kernel.shape[:2]
        padding = _SEVEN_FRAMES if bands > 1 else (0, 0, (length - 1) // 2, length // 2)
        sign = self.scale.sign()
        y = F.conv2d(F.pad(x, padding), (self.kernel * sign).permute(3, 2, 0, 1)).amax(3)
        return self.norm(torch.relu(y * sign[:, None] + self.bias[:, None]), after=1)

    def middle(self, x: Tensor) -> Tensor:
        """Seven frames with all their channels: (N, C, T) -> (N, 64, T)."""
        y = F.conv1d(x, self.kernel[:, :, 0].permute(2, 1, 0), self.bias, padding=3)
        return self.norm(torch.relu(y), after=1)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=torch.float32)
