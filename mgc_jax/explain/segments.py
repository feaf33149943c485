"""Which seconds of a song the frames of a clip and the audio tokens of the model are.

Axis letters: T frames, S audio tokens, N segments.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from data_pipeline.audio import AudioSpec

PER_CLIP, SHORTEST = 12, 0.7
"""About how many segments a clip is cut into, and about how long each is at least in s."""


@dataclasses.dataclass(frozen=True)
class Clock:
    """The time of a clip's frames; ``stride`` frames make one audio token (1 where a model has no such tokens)."""

    spec: AudioSpec
    stride: int = 1

    def seconds(self, frames: np.ndarray) -> np.ndarray:
        """From where to where in the clip, in s, stretches of frames [first, behind) are heard: (N, 2) -> (N, 2).

        A frame is heard half a hop before and behind its centre.
        """
        times = (np.asarray(frames, np.float64) - 0.5) * self.spec.hop_length / self.spec.sample_rate
        return np.clip(times, 0.0, self.spec.seconds)

    def segments(self) -> np.ndarray:
        """(N, 2) stretches of frames [first, behind) that cut a clip into about a dozen pieces.

        They are multiples or halves, quarters and so on of ``stride``, so that no more audio tokens than needed share
        two of them; what is left at the end is part of the last one unless it is at least half as wide.
        """
        frames = self.spec.num_frames
        target = max(frames / PER_CLIP, SHORTEST * self.spec.sample_rate / self.spec.hop_length)
        unit = self.stride
        while unit > target and unit % 2 == 0:
            unit //= 2
        width = unit * max(1, round(target / unit))
        edges = np.arange(0, frames, width)
        if len(edges) > 1 and 2 * (frames - edges[-1]) < width:
            edges = edges[:-1]
        return np.stack([edges, np.append(edges[1:], frames)], axis=1)

    def tokens(self) -> np.ndarray:
        """(S, 2) stretches of frames [first, behind) that the poolings fold into one audio token each.

        The convolutions see some frames more to both sides; frames at the end that fill no token are in none.
        """
        first = np.arange(self.spec.num_frames // self.stride) * self.stride
        return np.stack([first, first + self.stride], axis=1)


@dataclasses.dataclass(frozen=True)
class EncoderClock:
    """The same of a model that hears with a pretrained encoder: when in s each of its frames is ``heard`` (F, 2), and
    the ``stretches`` (S, 2) of frames that are an audio token each. Stored tokens are frames themselves."""

    heard: np.ndarray
    stretches: np.ndarray

    def seconds(self, frames: np.ndarray) -> np.ndarray:
        """From where to where in the clip, in s, stretches of frames [first, behind) are heard: (N, 2) -> (N, 2).

        Windows may overlap: what is heard last need not end last.
        """
        spans = [self.heard[first:behind] for first, behind in np.asarray(frames)]
        return np.array([[span[:, 0].min(), span[:, 1].max()] for span in spans]).reshape(-1, 2)

    def segments(self) -> np.ndarray:
        """(N, 2) stretches of frames [first, behind), about a dozen of equal numbers of frames."""
        width = max(1, round(len(self.heard) / PER_CLIP))
        edges = np.arange(0, len(self.heard), width)
        return np.stack([edges, np.append(edges[1:], len(self.heard))], axis=1)

    def tokens(self) -> np.ndarray:
        """(S, 2)"""
        return self.stretches


def stretches(windows: int, frames: int, tokens: int) -> np.ndarray:
    """The frames (S, 2) of each token, [first, behind), where each of some windows' frames become so many tokens."""
    edges = np.linspace(0, frames, tokens + 1).round().astype(int)
    within = np.stack([edges[:-1], edges[1:]], axis=1)
    return (frames * np.arange(windows)[:, None, None] + within).reshape(-1, 2)


def stride(pools: tuple[tuple[int, int], ...], patch: tuple[int, int]) -> int:
    """How many frames make one audio token, from the (time, mel) poolings and patches of the audio encoder."""
    return patch[0] * math.prod(time for time, _ in pools)
