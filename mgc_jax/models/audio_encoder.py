"""What a pretrained audio encoder offers: windows of a waveform in, tokens out.

An encoder is one file beside this one: its front end, its network, the table of its weights, their licence and source.
Axis letters: N clips, W windows of a clip, P samples of a window, K tokens of a window, S = W K, H the encoder's width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclasses.dataclass(frozen=True)
class AudioWindows:
    """Into which windows an encoder cuts a clip, and how many tokens of what width come out."""

    name: str
    """By which settings call it."""
    rate: int
    """Hz of the waveform that it hears."""
    window: int
    """P, samples that it hears at once."""
    hop: int
    """Samples from one window's start to the next one's."""
    lead: int
    """Samples of silence before the clip, which its first window hears."""
    tokens: int
    """K, what comes out of one window, in the order of time."""
    width: int
    """H."""

    def starts(self, num_samples: int) -> np.ndarray:
        """Where the windows (W,) of a clip begin, in samples of the clip with its ``lead``.

        They follow each other by ``hop``; where more than a quarter of a window would stay unheard behind the last
        one, another one ends with the clip.

        Raises:
            ValueError: the clip is shorter than a window.
        """
        length = self.lead + num_samples
        if length < self.window:
            raise ValueError(
                f"clips of {num_samples / self.rate:g} s are shorter than the {self.window / self.rate:.3g} s that "
                f"{self.name} hears at once"
            )
        starts = np.arange(0, length - self.window + 1, self.hop)
        unheard = length - (starts[-1] + self.window)
        return np.append(starts, length - self.window) if 4 * unheard > self.window else starts

    def num_tokens(self, num_samples: int) -> int:
        """S, the tokens of a clip; raises ValueError as :meth:`starts` does."""
        return len(self.starts(num_samples)) * self.tokens

    def windows(self, clips: Any, numpy: Any = np) -> Any:
        """The windows (N, W, P) of clips (N, num_samples), by ``numpy`` or ``jax.numpy``."""
        led = numpy.pad(clips, ((0, 0), (self.lead, 0)))
        return numpy.stack([led[:, start : start + self.window] for start in self.starts(clips.shape[1])], axis=1)

    def token_times(self, num_samples: int) -> np.ndarray:
        """From when to when in the clip, in s, each token (S, 2) was heard.

        A window's last token ends where the next window begins, where that is within it. Where windows overlap by more,
        the same time is heard twice.
        """
        edges = np.linspace(0, self.window, self.tokens + 1)
        first = self.starts(num_samples)[:, None] - self.lead + edges[:-1]
        behind = self.starts(num_samples)[:, None] - self.lead + edges[1:]
        times = np.stack([first.ravel(), behind.ravel()], axis=1) / self.rate
        follows = times[1:, 0] > times[:-1, 0]
        times[:-1, 1] = np.where(follows, np.minimum(times[:-1, 1], times[1:, 0]), times[:-1, 1])
        return np.clip(times, 0.0, num_samples / self.rate)


@dataclasses.dataclass(frozen=True)
class SpectrogramNetwork:
    """An encoder's network as a module (N, T, M) -> (N, K, H), and the front end before it."""

    front_end: Callable[[Array], Array]
    """(N, P) -> (N, T, M) float32, as the network hears it; traced by JAX."""
    frames: int
    """T."""
    bands: int
    """M."""
    tokens: int
    """K."""
    width: int
    """H."""
    pretrained: Callable[..., Any]
    """The module with the published weights, by ``frozen``, ``dtype``, ``param_dtype`` and ``rematerialise``."""
    random: Callable[..., Any]
    """The same with random weights, by ``rngs`` too."""


class Tags(NamedTuple):
    """What an encoder's authors taught it to tell from its tokens: logits = tokens (H,) . kernel + a constant."""

    names: tuple[str, ...]
    kernel: np.ndarray  # (H, len(names))


@dataclasses.dataclass(frozen=True)
class AudioEncoder(AudioWindows):
    """A frozen network that hears windows of a fixed length by themselves."""

    licence: str
    """Of the weights, by its SPDX name."""
    source: str
    """Where the weights come from."""
    digest: str
    """The sha256 of the weights."""
    weights: Any
    """What ``apply`` takes them as."""
    apply: Callable[[Any, Array], Array]
    """(weights, windows (N, P) float32 with full scale at 1) -> tokens (N, K, H) float32; traced by JAX."""
    network: SpectrogramNetwork | None = None
    """Its network apart from its front end, where the training step can hold it."""
    tags: Tags | None = None
    """What it names by itself, where that is linear in its tokens."""

    @property
    def licence_warning(self) -> str:
        """A sentence where the licence forbids commercial use; nothing where it does not."""
        if "-NC" not in self.licence.upper():
            return ""
        return f"The weights of {self.name} are {self.licence}: not for commercial use, nor is what they taught."

    def front_end(self) -> AudioEncoder:
        """What hears for a :attr:`network` that runs in the training step: its T frames for tokens, M bands wide.

        Raises:
            ValueError: there is no such network.
        """
        network = self.network
        if network is None:
            raise ValueError(f"{self.name} has no network that hears a filterbank; an AST or a MAEST has")
        front_end = network.front_end
        return dataclasses.replace(
            self,
            tokens=network.frames,
            width=network.bands,
            weights=(),
            apply=lambda weights, windows: front_end(windows),
        )

    def hear(self, weights: Any, clips: Array) -> Array:
        """The tokens (N, S, H) of clips (N, num_samples) float32; traced by JAX."""
        tokens = self.apply(weights, self.windows(clips, jnp).reshape(-1, self.window))
        return tokens.reshape(clips.shape[0], -1, self.width)
