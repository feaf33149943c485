"""What all tests share: eight virtual devices and one small prepared corpus."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mgc_jax.cli import main
from tests.support.browser import browser, page  # noqa: F401

os.environ["JAX_PLATFORMS"] = "cpu"
# What is compiled here runs for a moment only: the compiler's time is what tests take.
QUICK_XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=8 {QUICK_XLA}"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# No compilation cache, although it would save time: with it and jax 0.12, programs for several CPU devices deadlocked,
# some devices waiting in one collective and some in the next.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

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

CONFIG = str(Path(__file__).parent.parent / "configs" / "demo.py")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated corpus of 64 tracks of 3 s in Music4All's layout."""
    out = tmp_path_factory.mktemp("generated") / "corpus"
    assert main(["corpus", "--out", str(out), "--tracks", "64", "--seconds", "3", "--seed", "7"]) == 0
    return out


@pytest.fixture(scope="session")
def data(corpus: Path) -> Path:
    """The corpus prepared for the tiny recipe."""
    out = corpus.parent / "data"
    assert main(["prepare", "--config", CONFIG, *TINY, "--source", str(corpus), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def run(data: Path) -> Path:
    """A workdir trained for two epochs on the prepared corpus."""
    workdir = data.parent / "run"
    arguments = ["train", "--config", CONFIG, *TINY, "--config.train.epochs=2"]
    assert main([*arguments, "--data", str(data), "--workdir", str(workdir)]) == 0
    return workdir
