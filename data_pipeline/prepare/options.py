"""What a preparation is asked for: the settings that decide what is in a data set."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from data_pipeline.schema import MANY, SMALLEST_WINDOW, Duplicates, LyricsInput, SplitKind
from data_pipeline.validation import check

_Share = Annotated[float, {"gt": 0}]

Progress = Callable[[str, int, int], None]
"""Called with a stage, how much of it is done, and how much there is."""


@contextlib.contextmanager
def as_a_whole(progress: Progress, stage: str, total: int) -> Iterator[None]:
    """A stage of which nobody knows how far it is, until it is done; it is told where it takes more than a moment."""
    if total >= MANY:
        progress(stage, 0, total)
    yield
    if total >= MANY:
        progress(stage, total, total)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which tracks and genres are kept, and how the tracks are split."""

    languages: tuple[str, ...] = ()
    """Keep only tracks in these languages, by code: `["en"]`; an empty list keeps all."""
    require_lyrics: bool = False
    """Drop tracks without lyrics, as the paper does; otherwise they are masked."""
    min_genre_tracks: Annotated[int, {"gt": 0}] = 100
    """Genres with fewer tracks leave the vocabulary."""
    max_genres: Annotated[int, {"ge": 0}] = 0
    """Keep at most so many genres, the most frequent ones; 0 is no limit."""
    genre_separator: str = ""
    """What stands between the genres of a cell, such as `;`; empty finds it out over the whole column."""
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Other spellings of genres: `{"hiphop": "hip hop"}`; `{"other": "other"}` keeps a name that is taken for none."""
    split: SplitKind = "random"
    """`artist` keeps all tracks of an artist on one side."""
    fractions: tuple[_Share, _Share, _Share] = (0.7, 0.1, 0.2)
    """Shares of train, validation and test, which add up to 1."""
    split_seed: int = 0
    """Seed of the split."""
    duplicates: Duplicates = "group"
    """Of tracks that are one recording, by their bytes or by their sound: `group` keeps all of them on one side of the
    split, `drop` keeps the first alone, `ignore` treats them as different songs."""

    def __post_init__(self) -> None:
        check(self, "data.")
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise InputError(f"data.fractions is {list(self.fractions)}, but must be three shares that add up to 1.")


@dataclasses.dataclass(frozen=True)
class LyricsConfig:
    """How lyrics become numbers."""

    encoder: str = "google-bert/bert-base-uncased"
    """The pretrained lyrics encoder: `minilm`, a folder, or a name on the Hugging Face hub."""
    max_tokens: Annotated[int, {"ge": 3}] = 512
    """Word pieces L that are read of a track's lyrics, [CLS] and [SEP] among them; what stands behind is cut."""
    window: Annotated[int, {"ge": 0}] = 0
    """Lyrics of more word pieces are read in overlapping windows of so many, up to `lyrics.max_tokens`; 0 reads them
    all at once, as the paper does, and `lyrics.max_tokens` is then what the encoder reads at most."""
    input: LyricsInput = "tokens"
    """`tokens` runs the encoder in every step; `features` stores a frozen encoder's outputs with the data set."""

    def __post_init__(self) -> None:
        check(self, "lyrics.")
        if 0 < self.window < SMALLEST_WINDOW:
            raise InputError(
                f"lyrics.window is {self.window}, but must be 0 or at least {SMALLEST_WINDOW} word pieces."
            )


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """What to keep, how to split it and how to analyse it; ``workers`` 0 means one per core."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    audio: AudioSpec = dataclasses.field(default_factory=AudioSpec)
    lyrics: LyricsConfig = dataclasses.field(default_factory=LyricsConfig)
    workers: int = 0

    def content(self) -> dict[str, Any]:
        """Everything that the data set depends on, as JSON."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "workers"}
