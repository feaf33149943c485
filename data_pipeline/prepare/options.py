"""What a preparation is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from data_pipeline.audio import AudioSpec

Progress = Callable[[str, int, int], None]
"""Called with a stage, how much of it is done, and how much there is."""


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """What to keep, how to split it and how to analyse it.

    ``languages``: empty keeps all. ``max_genres``: 0 keeps all genres with ``min_genre_tracks`` tracks.
    ``lyrics_input``: ``tokens``, or ``features`` to store the frozen encoder's outputs with them.
    ``workers``: 0 means one per core.
    """

    languages: tuple[str, ...] = ()
    require_lyrics: bool = False
    min_genre_tracks: int = 100
    max_genres: int = 0
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    split: str = "random"
    fractions: tuple[float, ...] = (0.7, 0.1, 0.2)
    seed: int = 0
    audio: AudioSpec = dataclasses.field(default_factory=AudioSpec)
    encoder: str = "minilm"
    max_tokens: int = 512
    lyrics_input: str = "tokens"
    workers: int = 0

    def content(self) -> dict[str, Any]:
        """Everything that the data set depends on, as JSON."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "workers"}
