"""How clips are cut out of recordings and analysed: the settings ``audio.*``."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from data_pipeline.validation import check

MIN_SECONDS = 1.0
"""What is shorter is no music to be classified."""
AudioInput = Literal["spectrogram", "features", "filterbank"]
"""Whether the model hears spectrograms, what a frozen encoder made of the waveform when the data set was prepared, or
what that encoder's front end made of it."""
_Count = Annotated[int, {"ge": 1, "le": 1 << 20}]  # Hz, samples or bands


@dataclasses.dataclass(frozen=True)
class AudioSpec:
    """How clips are cut and analysed.

    >>> AudioSpec().num_frames  # the paper's 30 s
    1292
    """

    sample_rate: _Count = 22_050
    """Hz, to which every recording is resampled."""
    n_fft: _Count = 2048
    """Samples of the Hann window."""
    hop_length: _Count = 512
    """Samples from one window to the next."""
    n_mels: _Count = 128
    """Mel bands M."""
    seconds: Annotated[float, {"ge": MIN_SECONDS, "le": 3600.0}] = 30.0
    """Length of one clip."""
    excerpt: Literal["start", "middle", "loudest"] = "start"
    """Which `audio.seconds` of a longer recording become its example: `start` begins with the first sound, behind
    silence or hiss; `middle` lies around the middle of the sounding part; `loudest` has the most energy. A recording
    that is less than 1 s longer than a clip is taken from its beginning."""
    input: AudioInput = "spectrogram"
    """`spectrogram` is heard by the model's own CNN; `features` stores a frozen encoder's outputs with the data set;
    `filterbank` stores what an AST's front end makes of the waveform, and the encoder runs in every step."""
    encoder: str = "musicnn"
    """The pretrained audio encoder of `audio.input=features` and `filterbank`: `musicnn`, a folder, or a name on the
    Hugging Face hub. It hears the waveform at `audio.sample_rate`, which must be its own."""

    def __post_init__(self) -> None:
        check(self, "audio.")

    @property
    def num_samples(self) -> int:
        """Samples in one clip."""
        return int(self.sample_rate * self.seconds)

    @property
    def num_frames(self) -> int:
        """Frames T of one clip's spectrogram (centred windows)."""
        return 1 + self.num_samples // self.hop_length
