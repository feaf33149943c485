"""A folder of tagged songs of every format goes all the way: scan, prepare, train, tag, undo."""

import csv
import hashlib
import json
from pathlib import Path

import pytest
import soundfile

from data_pipeline.sources import read_corpus
from data_pipeline.storage.files import read_tsv
from data_pipeline.tags import tag_file
from mgc_jax.cli import main
from tests.support.recipe import CONFIG, TINY
from tests.support.tagged_files import coded, song

KINDS = ("mp3", "flac", "ogg", "wav", "aiff")
NOT_TAGGED = 5  # songs that lost their genres


@pytest.fixture
def collection(corpus, tmp_path):
    """The generated corpus, whose genres, artists and words are in the tags of files of every format; and some dirt."""
    folder = tmp_path / "music"
    for number, track in enumerate(read_corpus(corpus).tracks):
        kind = KINDS[number % len(KINDS)]
        path = folder / f"disc {number // 8}" / f"{number:03d}.{kind}"
        try:
            content = coded(*soundfile.read(track.audio), kind)
        except soundfile.SoundFileError:  # the corpus's own
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"no music")
            continue
        words = track.lyrics_file.read_bytes().decode("utf-8", "replace").replace("\0", "") if track.lyrics_file else ""
        texts = {"artist": track.artist, "album": f"album {number // 8}", "lyrics": words}
        genres = () if number < NOT_TAGGED else track.genres
        song(path, genres, content=content, **{name: text for name, text in texts.items() if text})
    song(folder / "another.m4a", ["rock"])
    (folder / ".DS_Store").touch()
    (folder / "up").symlink_to(folder)
    return folder


def digests(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("[!.]*.*"))}


@pytest.mark.slow
def test_from_a_folder_to_a_model_and_back_into_the_tags(collection, corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = digests(collection)
    assert main(["scan", "music", "--out", "songs.csv"]) == 0
    with open("songs.csv", newline="", encoding="utf-8") as file:
        rows = {row["audio"]: row for row in csv.DictReader(file)}
    unreadable = len(list(read_tsv(tmp_path / "songs.csv.unreadable.tsv"))) - 1
    assert len(rows) + unreadable == len(before)
    tracks = read_corpus(corpus).tracks
    for path, row in rows.items():
        if path.startswith("music/disc"):
            number = int(Path(path).stem)
            assert json.loads(row["genres"]) == ([] if number < NOT_TAGGED else list(tracks[number].genres))
            assert row["artist"] == (tracks[number].artist or "")

    assert main(["prepare", "--config", CONFIG, *TINY, "--source", "songs.csv", "--out", "data"]) == 0
    report = json.loads((tmp_path / "data" / "report.json").read_text())
    assert report["tracks_kept"] >= 40
    arguments = ["--config", CONFIG, *TINY, "--config.train.epochs=1", "--data", "data", "--workdir", "run"]
    assert main(["train", *arguments]) == 0

    capsys.readouterr()
    code = main(["tag", "music", "--workdir", "run", "--mode", "append", "--write", "--json", "plan.json"])
    plan = json.loads((tmp_path / "plan.json").read_text())
    failed = {row["file"] for row in plan if row["action"] == "failed"}
    assert code == int(bool(failed))
    assert len(plan) == len(before)
    written = [row for row in plan if row["action"] == "write"]
    assert len(written) > 20
    for row in written:
        tags = tag_file.read(tmp_path / row["file"])
        assert list(tags.genres) == row["new"]
        assert row["new"][: len(row["old"])] == row["old"]
    changed = {str(path) for path, digest in digests(collection).items() if digest != before[path]}
    assert changed == {row["file"] for row in written}

    assert main(["tag", "--undo", "genres.undo.jsonl"]) == 0
    assert digests(collection) == before
