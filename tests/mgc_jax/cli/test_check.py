"""``mgc-jax check`` says in seconds what prepare would do, by the same rules."""

import json
import shutil

import pytest

from data_pipeline.prepare import check as check_module
from data_pipeline.prepare.check import same_bytes
from data_pipeline.prepare.options import PrepareOptions
from data_pipeline.sources import read_corpus
from data_pipeline.storage.json_file import read_json
from mgc_jax.cli import main
from mgc_jax.config import recipes
from tests.support import bad_files
from tests.support.recipe import CONFIG, TINY

SMALL = ["--config", CONFIG, *bad_files.SETTINGS]


def settings() -> PrepareOptions:
    config = recipes.load(CONFIG, [text.removeprefix("--config.") for text in TINY])
    return PrepareOptions(config.data, config.audio, config.lyrics)


def test_with_all_files_tried_it_says_what_prepare_did(corpus, data):
    report = read_json(data / "report.json")
    findings = check_module.check(read_corpus(corpus), settings(), sample=1000)
    assert findings["failure"] is None
    assert findings["tracks_read"] == report["tracks_read"]
    assert findings["splits"] == report["splits"]
    assert findings["genres_kept"] == len(report["genres"])
    for name in ("vocabulary", "near_duplicates", "suggested_aliases", "changed", "notes"):
        assert findings[name] == report[name]
    left_out = findings["rejected"] + findings["filtered"] + findings["tried"]["left_out"]
    assert {entry["reason"]: entry["tracks"] for entry in left_out} == report["rejected"] | report["filtered"]
    assert check_module.exit_code(findings) == 1


@pytest.fixture
def songs(tmp_path):
    """A folder with twelve different sounds."""
    for i in range(12):
        (tmp_path / f"{i}.wav").write_bytes(bad_files.encoded(bad_files.tone() * (0.5 + i / 30)))
    return tmp_path


def write(folder, rows):
    lines = [json.dumps({"audio": f"{i}.wav", "artist": f"artist {i}"} | row) for i, row in enumerate(rows)]
    (folder / "songs.jsonl").write_text("\n".join(lines))
    return ["check", *SMALL, "--source", str(folder / "songs.jsonl"), "--json", str(folder / "check.json")]


def test_nothing_to_say(songs, capsys):
    command = write(songs, [{"genres": ["rock", "pop"][i % 2 :], "language": "en"} for i in range(12)])
    assert main(command) == 0
    findings = read_json(songs / "check.json")
    assert findings["failure"] is None
    assert findings["tried"] == {"files": 12, "left_out": []}
    assert findings["languages"] == {"en": 12}
    assert (findings["artists"], findings["tracks_without_artist"]) == (12, 0)
    assert "12 tracks in a manifest: 12 would be decoded, 0 left out" in capsys.readouterr().out


def test_a_catalogue_of_faults(songs, capsys):
    shutil.copy(songs / "0.wav", songs / "copy.wav")
    (songs / "page.mp3").write_bytes(b"<html>404")
    rows = [{"genres": ["R&B", "R & B", "hip hop", "hiphop"][i % 4]} for i in range(12)]
    rows += [
        {"audio": "copy.wav", "genres": "rnb; nan"},
        {"audio": "page.mp3", "genres": "hip hop"},
        {"audio": "nowhere.mp3", "genres": "hip hop"},
        {"audio": "./0.wav", "genres": "hip hop"},
        {"audio": "1.wav", "genres": []},
    ]
    assert main([*write(songs, rows), "--config.data.min_genre_tracks=2"]) == 1
    findings = read_json(songs / "check.json")
    assert {entry["reason"]: entry["tracks"] for entry in findings["rejected"]} == {
        "an earlier row has the same audio file": 1,
        "no audio file": 1,
        "no genres": 1,
    }
    assert findings["filtered"] == [
        {"reason": "no genre with at least 2 tracks", "tracks": 1, "files": [str(songs / "copy.wav")]}
    ]
    assert findings["tried"]["left_out"] == [{"reason": "not audio", "tracks": 1, "files": [str(songs / "page.mp3")]}]
    assert findings["formats"] == {".wav": 13, ".mp3": 1}
    assert sorted(findings["copies"][0]) == [str(songs / "0.wav"), str(songs / "copy.wav")]
    assert findings["changed"] == {"genres that only say that there is none": 1}
    assert [(pair["genres"], pair["why"]) for pair in findings["near_duplicates"]] == [
        (["r&b", "rnb"], "the same letters"),
        (["hip hop", "hiphop"], "the same letters"),
    ]
    printed = capsys.readouterr().out
    assert """--config.data.aliases='{"rnb": "r&b", "hiphop": "hip hop"}'""" in printed
    assert "1: no audio file (songs.jsonl:15)" in printed


def test_what_it_suggests_settles_the_matter(songs):
    command = write(songs, [{"genres": ["hip hop", "hiphop"][i % 4 == 0]} for i in range(12)])
    assert main([*command, "--config.data.min_genre_tracks=2"]) == 1
    aliases = read_json(songs / "check.json")["suggested_aliases"]
    assert main([*command, f"--config.data.aliases={json.dumps(aliases)}"]) == 0
    assert read_json(songs / "check.json")["vocabulary"] == [
        {"genre": "hip hop", "tracks": 12, "spellings": {"hip hop": 9, "hiphop": 3}}
    ]


FAILING = {
    "rare": (["--config.data.min_genre_tracks=50"], "No genre has at least 50 tracks"),
    "languages": (["--config.data.languages=['xx']"], "No track is left: 12 of 12"),
    "artists": (["--config.data.split=artist"], "1 artists cannot be split"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_what_would_fail_is_said_with_all_else(songs, capsys, kind):
    more, sentence = FAILING[kind]
    command = write(songs, [{"genres": "rock", "artist": "the same"} for i in range(12)])
    assert main([*command, *more]) == 2
    printed = capsys.readouterr()
    assert f"prepare would fail: {sentence}" in printed.err
    assert "genres, by tracks: rock (12)" in printed.out
    assert sentence in read_json(songs / "check.json")["failure"]


def test_a_table_that_cannot_be_read_is_refused_as_ever(songs, capsys):
    (songs / "songs.csv").write_text("path,genres\n1.wav,rock\n")
    assert main(["check", "--source", str(songs / "songs.csv")]) == 2
    assert "has no column 'audio'; the nearest column found is 'path'" in capsys.readouterr().err


def test_same_bytes(tmp_path):
    for name, content in {"a": b"xx", "b": b"xy", "c": b"xx", "d": b"x", "e": bytes(1 << 17)}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "f").write_bytes(bytes((1 << 17) - 1) + b"x")
    groups = same_bytes([tmp_path / name for name in ("a", "b", "c", "d", "e", "f", "gone")])
    assert groups == [[str(tmp_path / "a"), str(tmp_path / "c")]]
    assert same_bytes([]) == []
