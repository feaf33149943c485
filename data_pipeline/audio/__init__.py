"""Recordings -> float32 clips and windows -> uint8 log-mel spectrograms; nothing else decodes or resamples.

Axis letters: T frames, M mel bands, C channels. Times in s, rates in Hz.
"""

from data_pipeline.audio.excerpt import load_clip
from data_pipeline.audio.levels import GATE_DB
from data_pipeline.audio.recording import AudioError, Recording, as_file
from data_pipeline.audio.spec import AudioInput, AudioSpec
from data_pipeline.audio.spectrogram import RANGE_DB, log_mel, mel_frequencies
from data_pipeline.audio.windows import Window, Windows

__all__ = [
    "GATE_DB",
    "RANGE_DB",
    "AudioError",
    "AudioInput",
    "AudioSpec",
    "Recording",
    "Window",
    "Windows",
    "as_file",
    "load_clip",
    "log_mel",
    "mel_frequencies",
]
