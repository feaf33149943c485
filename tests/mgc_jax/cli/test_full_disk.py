"""A disk that fills while a command writes: one sentence, nothing lost, and the same command goes on later.

The system is told that no file may grow beyond some bytes, and then refuses the rest of a write as a full disk does.
"""

from __future__ import annotations

import contextlib
import hashlib
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mgc_jax.cli import embed, export, main
from mgc_jax.inference import tagger
from tests.support import tiny_model
from tests.support.pitch_tagger import HIGH, LOW, by_pitch
from tests.support.tagged_files import song

SONGS = 4


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def music(tmp_path, monkeypatch) -> Path:
    monkeypatch.setitem(tagger.TAGGERS, "musicnn", by_pitch)
    monkeypatch.chdir(tmp_path)
    for number in range(SONGS):
        song(tmp_path / "music" / f"{number}.flac", ["Rock"], title="la", pitch=(LOW, HIGH)[number % 2])
    return tmp_path / "music"


def refused(capsys) -> str:
    error = capsys.readouterr().err.splitlines()
    assert not any("Traceback" in line for line in error)
    return error[-1]


def test_predict(music, capsys):
    command = ["predict", "music", "--workdir", "musicnn", "--workers", "0", "--out"]
    assert main([*command, "whole.jsonl"]) == 0
    whole = Path("whole.jsonl").read_bytes()
    with files_of_at_most(len(whole) * 2 // 3):
        assert main([*command, "out.jsonl"]) == 2
    assert refused(capsys) == "mgc-jax: out.jsonl cannot be written (File too large)."
    left = Path("out.jsonl").read_bytes()
    assert left.endswith(b"\n")
    assert left == whole[: len(left)]
    assert main([*command, "out.jsonl"]) == 0
    assert Path("out.jsonl").read_bytes() == whole


def test_embed(music, tmp_path, monkeypatch, capsys):
    model = tiny_model.model(tmp_path / "run")
    monkeypatch.setattr(embed, "load_model", lambda place: model)
    command = ["embed", "music", "--workdir", "run", "--workers", "0", "--out"]
    assert main([*command, "whole"]) == 0
    size = Path("whole", "ids.jsonl").stat().st_size
    with files_of_at_most(size * 2 // 3):
        assert main([*command, "out"]) == 2
    assert refused(capsys).endswith("cannot be written (File too large).")
    rows = len(np.load("out/fused.npy"))
    assert 0 < rows < SONGS
    assert Path("out", "ids.jsonl").read_bytes().count(b"\n") == rows
    assert main([*command, "out"]) == 0
    assert Path("out", "ids.jsonl").read_text().count("\n") == SONGS
    for name in ("fused.npy", "audio.npy", "lyrics.npy"):
        np.testing.assert_allclose(np.load(f"out/{name}"), np.load(f"whole/{name}"), atol=1e-5)


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_scan(music, capsys, share):
    assert main(["scan", "music", "--out", "whole.csv"]) == 0
    whole = Path("whole.csv").read_bytes()
    with files_of_at_most(int(len(whole) * share)):
        assert main(["scan", "music", "--out", "songs.csv"]) == 2
    assert refused(capsys) == "mgc-jax: songs.csv.scanned.jsonl cannot be written (File too large)."
    assert not Path("songs.csv").exists()
    assert main(["scan", "music", "--out", "songs.csv"]) == 0
    assert Path("songs.csv").read_bytes() == whole
    assert not Path("songs.csv.scanned.jsonl").exists()


def test_tag(music, capsys):
    command = ["tag", "music", "--workdir", "musicnn", "--mode", "append", "--write", "--workers", "0"]
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in music.iterdir()}
    with files_of_at_most(20_000):
        assert main(command) == 1
    told = capsys.readouterr().out
    assert told.count("failed (cannot be written: File too large)") == SONGS
    with files_of_at_most(max(path.stat().st_size for path in music.iterdir()) + 50_000):
        assert main(command) == 0
    assert main(["tag", "--undo", "genres.undo.jsonl"]) == 0
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in music.iterdir()} == before


def test_export(tmp_path, monkeypatch, capsys):
    """The file that is written is named, not the one that is copied."""
    model = tiny_model.model(tmp_path / "run")
    monkeypatch.setattr(export, "load_model", lambda place: model)
    monkeypatch.chdir(tmp_path)
    with files_of_at_most(10):
        assert main(["export", "--workdir", "run", "--out", "out"]) == 2
    assert refused(capsys) == f"mgc-jax: {tmp_path}/out.partial/genres.json: File too large."
    assert not Path("out.partial").exists()
