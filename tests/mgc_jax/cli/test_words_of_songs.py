"""Songs of files and folders get their words from tags and side files, as a scanned manifest has them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import extras
from data_pipeline.tags import words
from data_pipeline.tags.words import SideFiles, Words
from mgc_jax.cli import main, opening, predict
from mgc_jax.inference import found_songs
from mgc_jax.inference.found_songs import find, key, with_words
from mgc_jax.inference.song import Song
from tests.support import tiny_model
from tests.support.foreign_lines import LINES
from tests.support.pitch_tagger import by_pitch
from tests.support.tagged_files import song

RUSSIAN = "\n".join(LINES["ru"])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model.model(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture
def music(tmp_path, monkeypatch, model) -> Path:
    """Songs with words everywhere, and some that cannot be used."""
    monkeypatch.setattr(predict, "load_namer", lambda place, genres: model)
    monkeypatch.setattr("mgc_jax.cli.embed.load_model", lambda place: model)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "music"
    song(folder / "tagged.mp3", lyrics="[00:01.00]Dancing (x2)\n[Chorus] all night", seconds=3)
    song(folder / "both.flac", lyrics="these words", seconds=3)
    (folder / "both.txt").write_text("not these words at all")
    song(folder / "beside.ogg", seconds=3)
    (folder / "beside.LRC").write_text("[00:01.00]la la\n[00:02.00]lo lo")
    (folder / "beside.txt").write_text("an older copy")
    song(folder / "russian.m4a", language="rus", seconds=3)
    (folder / "russian.txt").write_bytes(RUSSIAN.encode("koi8_r"))
    song(folder / "none.wav", seconds=3)
    song(folder / "instrumental.mp3", lyrics="[Instrumental]", seconds=3)
    song(folder / "sub" / "deeper.mp3", seconds=3)
    (folder / "sub" / "deeper.txt").write_text("down below")
    return folder


def bad(folder: Path) -> Path:
    """Words that cannot be used: a binary file beside, no text in tags, and tags that are broken."""
    song(folder / "binary.wav", seconds=3)
    (folder / "binary.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300))
    song(folder / "noise.flac", lyrics="la \x01\x02\x03" * 9, seconds=3)
    broken = song(folder / "broken.flac", ["Rock"], lyrics="la la", seconds=3)
    content = bytearray(broken.read_bytes())
    place = content.index(b"fLaC") + 4
    while content[place] & 127 != 4:  # to the comments, whose number of entries then is more than there are
        place += 4 + int.from_bytes(content[place + 1 : place + 4], "big")
    vendor = int.from_bytes(content[place + 4 : place + 8], "little")
    content[place + 8 + vendor : place + 12 + vendor] = (10**6).to_bytes(4, "little")
    broken.write_bytes(content)
    return folder


def run(command: str, *arguments, workers: int = 0) -> int:
    return main([command, *map(str, arguments), "--workdir", "run", "--workers", str(workers)])


def lines(file: str) -> dict[str, dict]:
    """By the songs' names, without their keys; scores to rounding."""

    def content(line: dict) -> dict:
        scores = {genre["name"]: pytest.approx(genre["score"], abs=1e-5) for genre in line.get("genres", ())}
        return {name: value for name, value in line.items() if name not in ("key", "file")} | {"genres": scores}

    found = [json.loads(line) for line in Path(file).read_text().splitlines()]
    return {os.path.basename(one["file"]): content(one) for one in found}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_says_what_its_scanned_manifest_says(music, capsys, workers):
    assert run("predict", music, "--out", "folder.jsonl", workers=workers) == 0
    assert main(["scan", "music", "--out", "songs.csv"]) == 0
    assert run("predict", "--manifest", "songs.csv", "--out", "manifest.jsonl") == 0
    found = lines("folder.jsonl")
    assert found == lines("manifest.jsonl")
    silent = {name for name, line in found.items() if not line["lyrics_tokens"]}
    assert silent == {"none.wav", "instrumental.mp3"}
    assert found["russian.m4a"]["lyrics_tokens"] == 13  # as many as this model reads
    assert "cannot be used" not in capsys.readouterr().out
    assert run("predict", "music/tagged.mp3", music / "beside.ogg", "--json", "one.json") == 0
    for line in json.loads(Path("one.json").read_text()):
        assert line["lyrics_tokens"] == found[os.path.basename(line["file"])]["lyrics_tokens"]
        assert line["predicted"] == found[os.path.basename(line["file"])]["predicted"]


def test_vectors_are_of_the_same_words(music):
    assert run("embed", music, "--out", "folder") == 0
    assert main(["scan", "music", "--out", "songs.csv"]) == 0
    assert run("embed", "--manifest", "songs.csv", "--out", "manifest") == 0
    found = lines("folder/ids.jsonl")
    other = lines("manifest/ids.jsonl")
    assert found == other
    rows = [list(other).index(name) for name in found]
    assert {name for name, line in found.items() if not line["lyrics"]} == {"none.wav", "instrumental.mp3"}
    for name in ("fused.npy", "audio.npy", "lyrics.npy"):
        np.testing.assert_allclose(np.load(f"folder/{name}"), np.load(f"manifest/{name}")[rows], atol=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_words_that_cannot_be_used_are_said_and_counted(music, capsys, workers):
    bad(music)
    assert run("predict", music, "--out", "out.jsonl", workers=workers) == 0
    found = lines("out.jsonl")
    problems = {name: line["lyrics_problem"] for name, line in found.items() if line["lyrics_problem"]}
    assert problems.keys() == {"binary.wav", "noise.flac", "broken.flac"}
    assert problems["binary.wav"].endswith("(in binary.txt)")
    assert problems["noise.flac"] == "lyrics are not text (in its tags)"
    assert problems["broken.flac"].startswith("tags cannot be read: ")
    assert all(not found[name]["lyrics_tokens"] for name in problems)
    told = capsys.readouterr().out
    assert "3 of them have lyrics that cannot be used: lyrics_problem in out.jsonl says why" in told
    assert run("predict", music, "--out", "out.csv", workers=workers) == 0
    assert "lyrics_problem" in Path("out.csv").read_text().splitlines()[0]
    assert run("embed", music, "--out", "vectors") == 0
    assert {name for name, line in lines("vectors/ids.jsonl").items() if line["lyrics_problem"]} == problems.keys()
    (music / "broken.txt").write_text("words beside")
    capsys.readouterr()
    assert run("predict", music / "broken.flac", music / "noise.flac") == 0
    told = capsys.readouterr().out
    assert "no lyrics: lyrics are not text (in its tags)" in told
    assert "broken.flac (1 window, 13 lyric tokens)" in told


def test_words_that_were_named_and_cannot_be_used_are_a_failure(music):
    bad(music)
    Path("songs.csv").write_text("audio,lyrics_file\nmusic/binary.wav,music/binary.txt\nmusic/none.wav,\n")
    assert run("predict", "--manifest", "songs.csv", "--out", "out.jsonl") == 2
    assert lines("out.jsonl").keys() == {"none.wav"}
    assert "lyrics are not text" in lines("out.jsonl.failures.jsonl")["binary.wav"]["reason"]


def test_songs_of_a_manifest_without_words_stay_without(music):
    Path("songs.csv").write_text("audio,lyrics\nmusic/tagged.mp3,\nmusic/beside.ogg,\n")
    assert run("predict", "--manifest", "songs.csv", "--out", "out.jsonl") == 0
    assert [line["lyrics_tokens"] for line in lines("out.jsonl").values()] == [0, 0]


@pytest.mark.parametrize("arguments", [["--no-lyrics"], ["--lyrics", "-"]])
def test_words_are_left_out_on_request(music, capsys, arguments):
    assert run("predict", music / "tagged.mp3", *arguments) == 0
    assert "no lyrics)" in capsys.readouterr().out


def test_no_lyrics_is_for_all_songs(music, capsys):
    assert main(["scan", "music", "--out", "songs.csv"]) == 0
    for songs in (["music"], ["--manifest", "songs.csv"]):
        assert run("embed", *songs, "--no-lyrics", "--out", "vectors") == 0
        assert not any(line["lyrics"] for line in lines("vectors/ids.jsonl").values())
    assert run("predict", music / "tagged.mp3", "--no-lyrics", "--lyrics", "-") == 2
    assert "Give --lyrics or --no-lyrics, not both." in capsys.readouterr().err


def test_without_the_extra_side_files_alone_are_read(music, capsys, monkeypatch):
    monkeypatch.setitem(extras.MODULES, "tags", ("not_there",))
    assert run("predict", music, "--out", "out.jsonl") == 0
    found = {name: line["lyrics_tokens"] for name, line in lines("out.jsonl").items()}
    assert found["tagged.mp3"] == 0
    assert found["both.flac"] > 0
    assert found["deeper.mp3"] > 0
    told = capsys.readouterr().out
    assert "Reading the lyrics in tags needs the extra tags" in told
    assert "Only those in .lrc and .txt files beside songs are read." in told


def test_a_model_that_reads_no_words_is_not_told_of_the_extra(music, capsys, monkeypatch):
    monkeypatch.setitem(extras.MODULES, "tags", ("not_there",))
    monkeypatch.setattr(predict, "load_namer", lambda place, genres: by_pitch())
    monkeypatch.setattr(words, "find", pytest.fail)
    assert run("predict", music / "tagged.mp3") == 0
    assert "extra" not in capsys.readouterr().out


def test_a_song_is_done_anew_when_its_words_change(music, capsys):
    songs = [music / name for name in ("tagged.mp3", "beside.ogg", "none.wav")]

    def new() -> int:
        capsys.readouterr()
        assert run("predict", *songs, "--out", "out.jsonl") == 0
        return int(capsys.readouterr().out.split(" songs are new")[0].split()[-1])

    assert (new(), new()) == (3, 0)
    (music / "beside.LRC").write_text("[00:01.00]other words, and more of them")
    assert (new(), new()) == (1, 0)
    (music / "none.txt").write_text("words at last")
    assert (new(), new()) == (1, 0)
    (music / "none.txt").unlink()
    assert (new(), new()) == (1, 0)
    song(songs[0], lyrics="sung anew", seconds=3)
    assert (new(), new()) == (1, 0)
    assert len(lines("out.jsonl")) == 3


def test_where_words_are_looked_for_is_part_of_a_songs_key(tmp_path):
    path = song(tmp_path / "a.wav")
    found = find([path]).songs
    others = [Song(path), with_words(found, in_tags=True)[0], with_words(found, in_tags=False)[0]]
    assert len({key(one) for one in others}) == 3
    assert key(found_songs.without_words(found)[0]) == key(Song(path))


def test_side_files_are_found_from_anywhere_by_one_look_into_a_folder(tmp_path, monkeypatch):
    for name in ("a.LRC", "a.txt", "b.Txt", ".c.txt", "d.e.txt"):
        (tmp_path / name).touch()
    looks, listdir = [], os.listdir
    monkeypatch.setattr(words.os, "listdir", lambda path: looks.append(path) or listdir(path))
    monkeypatch.chdir(tmp_path)
    side_files = SideFiles()
    for folder in (tmp_path, Path()):
        found = [side_files.of(folder / f"{name}.mp3") for name in ("a", "b", ".c", "d.e", "d", "none")]
        assert found == [folder / "a.LRC", folder / "b.Txt", None, folder / "d.e.txt", None, None]
    for number in range(50):
        side_files.of(Path("away", f"{number}.mp3"))
        side_files.of(Path(f"{number}.mp3"))
    assert looks == [str(tmp_path), ".", "away"]


def test_a_pipe_is_not_read_for_its_tags(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")
    assert words.find(tmp_path / "pipe.mp3", None) == Words()


def test_tags_are_not_read_before_a_song_is_due(music, model, monkeypatch):
    read = []
    find_words = words.find
    monkeypatch.setattr(
        words, "find", lambda path, *given, **more: read.append(path) or find_words(path, *given, **more)
    )
    songs = with_words(find([music]).songs * 20, in_tags=True)
    assert not read
    made = model.predict_many(opening.with_words(songs, wanted=True))
    next(made)
    made.close()
    assert len(read) < 30
