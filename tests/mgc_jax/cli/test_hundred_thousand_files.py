"""A folder of 10^5 files: found, scanned and gone through, each of them accounted for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from data_pipeline.tags import words
from mgc_jax.cli import main
from mgc_jax.inference import tagger
from mgc_jax.inference.found_songs import find, key, with_words
from tests.support.pitch_tagger import by_pitch
from tests.support.tagged_files import song

FILES = 100_000


@pytest.mark.rare
@pytest.mark.slow
def test_a_folder_of_a_hundred_thousand_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(tagger.TAGGERS, "musicnn", by_pitch)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(FILES - 1):
        (folder / f"{number:06d}.wav").touch()
        if number % 1000 == 0:
            (folder / f"{number:06d}.txt").write_text("la la")
    song(folder / "song.wav", ["Rock"])

    looks, listdir = [], os.listdir
    monkeypatch.setattr(words.os, "listdir", lambda path: looks.append(path) or listdir(path))
    songs = with_words(find([folder]).songs, in_tags=True)
    assert len({key(one) for one in songs}) == FILES
    assert sum(one.lyrics_file is not None for one in songs) == FILES // 1000
    assert looks == [str(folder)]

    assert main(["scan", "music", "--out", "songs.csv"]) == 0
    assert (
        f"1 songs with 1 genres in songs.csv; 0 have no genres, 1 no lyrics\n{FILES - 1} files could not be read"
        in (capsys.readouterr().out)
    )
    assert main(["predict", "music", "--workdir", "musicnn", "--workers", "0", "--out", "out.jsonl"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"mgc-jax: {FILES - 1} of {FILES} songs failed")
    assert json.loads(Path("out.jsonl").read_text())["file"] == str(folder / "song.wav")
    assert main(["tag", "music", "--workdir", "musicnn", "--mode", "append", "--write", "--workers", "0"]) == 1
    assert f"{FILES} songs: 1 were written, {FILES - 1} failed" in capsys.readouterr().out
    assert main(["tag", "--undo", "genres.undo.jsonl"]) == 0
