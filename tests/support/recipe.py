"""The recipe that tests train with: the demo's, small enough for a test."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "demo.py")

TINY = [
    "--config.audio.seconds=3.0",
    "--config.audio.hop_length=512",  # Santana wants a picture of 75 frames
    "--config.lyrics.max_tokens=16",
    "--config.data.min_genre_tracks=3",
    "--config.model.width=16",
    "--config.model.heads=2",
    "--config.model.gcn_hidden=16",
    "--config.compute.evaluation_batch_size=16",
    "--config.train.warmup_steps=5",
]
"""Overrides that make any recipe small enough for a test."""
