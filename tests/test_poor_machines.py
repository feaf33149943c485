"""Machines that lack what most have: a home to write to, a terminal for all letters, file locks, a compiler's cache."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline.genres import GenreVocabulary
from mgc_jax.cli import main
from mgc_jax.config import Config
from mgc_jax.export.folder import export
from mgc_jax.runs.workdir import Workdir
from tests.support import tiny_model
from tests.support.recipe import CONFIG, TINY

# What such a machine has not: modules, a home, UTF-8.
PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(("fcntl", "numba", "librosa")))
from mgc_jax.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""
POOR = {"HOME": "/dev/null/home", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    songs = [folder / name for name in ("a.wav", "日本の歌.wav", "b.wav")]
    for seed, song in enumerate(songs):
        soundfile.write(song, np.random.default_rng(seed).normal(0, 0.1, 3 * 22050), 22050)
    return songs


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("poor")
    export(tiny_model.model(folder / "run"), folder / "model")
    return folder / "model"


def on_a_poor_machine(folder: Path, *arguments: str) -> str:
    """What a command says to its standard output there."""
    (folder / "poor.py").write_text(PROGRAM, "ascii")
    environment = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "MPLCONFIGDIR")}
    environment |= {**POOR, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, folder / "poor.py", *arguments], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("ascii")


@pytest.mark.slow
def test_songs_are_classified_on_a_poor_machine(model, songs, tmp_path):
    printed = on_a_poor_machine(tmp_path, "predict", "--workdir", str(model), *map(str, songs))
    names = [line.partition(" (")[0] for line in printed.splitlines() if not line.startswith("  ")]
    assert [ascii(Path(name).name) for name in names[::2]] == ["'a.wav'", "'b.wav'"]
    assert len(names) == 3
    assert names[1].isascii()


@pytest.mark.slow
def test_a_data_set_is_prepared_on_a_poor_machine(corpus, tmp_path):
    arguments = ["--config", CONFIG, *TINY, "--source", str(corpus), "--out", str(tmp_path / "data"), "--workers", "1"]
    assert "tracks with" in on_a_poor_machine(tmp_path, "prepare", *arguments)


def test_letters_that_a_terminal_has_not_cost_no_song(model, songs, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["predict", "--workdir", str(model), "--top", "1", *map(str, songs)]) == 0
    terminal.flush()
    lines = terminal.buffer.getvalue().decode("ascii").splitlines()
    assert len(lines) == 6
    assert r"\u65e5\u672c\u306e\u6b4c.wav (" in lines[2]


def test_where_nothing_can_be_locked_that_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    vocabulary = GenreVocabulary(("rock",), {}, np.array([3]), np.array([[3]]), 3)
    with Workdir(tmp_path).begin(Config(), vocabulary):
        assert "cannot be locked" in capsys.readouterr().out
