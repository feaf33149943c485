"""300 files of six formats, some of them broken, go through scan, prepare, train, predict, tag --write and --undo: at
each station all are accounted for, and at the end every byte is what it was."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
from pathlib import Path

import av
import pytest

from data_pipeline.sources.manifest import read
from data_pipeline.storage.files import read_tsv
from data_pipeline.tags import tag_file
from mgc_jax.cli import main
from tests.support import sounds
from tests.support.recipe import CONFIG, TINY
from tests.support.tagged_files import RATE, coded, song

KINDS = ("mp3", "flac", "m4a", "ogg", "opus", "wav")
FILES = 300
GENRES = ("Rock", "Hip Hop", "Ambient", "R&B/Soul", "Música Popular")
WORDS = ("love on the radio", "money and the city at night", "the sea, the sea", "hold me closer", "meu amor do mar")
WITHOUT_GENRES, READ_ONLY = range(40, 52), range(60, 64)
NO_MUSIC, EMPTY, SILENT, CUT, TAGS_BROKEN = range(6), range(6, 12), range(12, 18), range(18, 24), range(25, 55, 6)


def name(number: int) -> str:
    return f"{number:03d}.{KINDS[number % len(KINDS)]}"


def sound(number: int) -> bytes:
    """A song of its own, which sounds like its first genre."""
    pitch = 110.0 * 2 ** (number % len(GENRES)) ** 0.5 * (1 + number / 5000)
    wave = sounds.music(3.4, RATE, pitch=pitch, seed=number) * (number not in SILENT)
    kind = KINDS[number % len(KINDS)]
    return sounds.by_ffmpeg(wave, "aac", "mp4", RATE) if kind == "m4a" else coded(wave, RATE, kind)


def genres(number: int) -> tuple[str, ...]:
    """One, or two, of which each format has its own way to hold them."""
    if number in WITHOUT_GENRES:
        return ()
    first = number % len(GENRES)
    return (GENRES[first], GENRES[(first + 1) % len(GENRES)]) if number % 3 == 0 else (GENRES[first],)


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("collection") / "music"
    for number in range(FILES):
        path = folder / f"artist {number // 10}" / name(number)
        texts = {"artist": f"Ärtist {number // 10}", "album": f"album {number // 5}", "title": f"song {number}"}
        if number % 4 == 0:
            texts["lyrics"] = f"[00:01.00]{WORDS[number % len(WORDS)]}\n[00:02.00]verse {number}"
        song(path, genres(number), content=sound(number), **texts)
        if number % 4 == 1:
            path.with_suffix(".lrc").write_text(f"[00:01.00]{WORDS[number % len(WORDS)]}")
        if number % 4 == 2:
            path.with_suffix(".txt").write_text(WORDS[number % len(WORDS)])
        if number in NO_MUSIC:
            path.write_bytes(b"this is no music")
        if number in EMPTY:
            path.write_bytes(b"")
        if number in CUT:
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        if number in TAGS_BROKEN:  # which are all FLAC
            path.write_bytes(without_a_whole_comment(path.read_bytes()))
        if number in READ_ONLY:
            path.chmod(0o444)
        os.utime(path, ns=(10**18 + number, 10**18 + number))
    (folder / ".DS_Store").touch()
    (folder / "artist 0" / "cover.jpg").touch()
    (folder / "@eaDir").mkdir()
    song(folder / "@eaDir" / "preview.mp3")
    (folder / "artist 1" / "up").symlink_to(folder)
    (folder / "artist 1" / "nowhere").symlink_to("nowhere")
    return folder


def without_a_whole_comment(flac: bytes) -> bytes:
    """The file with a number of comments that it has not, which its music does not depend on."""
    content, place = bytearray(flac), 4
    while content[place] & 127 != 4:
        place += 4 + int.from_bytes(content[place + 1 : place + 4], "big")
    vendor = int.from_bytes(content[place + 4 : place + 8], "little")
    content[place + 8 + vendor : place + 12 + vendor] = (10**6).to_bytes(4, "little")
    return bytes(content)


def songs(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.glob("artist */*") if path.name[:3].isdigit() and is_song(path)}


def is_song(path: Path) -> bool:
    return path.suffix[1:] in KINDS


def states(folder: Path) -> dict[Path, tuple[str, int, int]]:
    """The content, the time of change and the permissions of every file."""
    return {
        path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def samples(path: Path) -> str:
    """A digest of all that FFmpeg decodes of a file, until the place where it is cut off."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container, contextlib.suppress(av.FFmpegError):
        for frame in container.decode(audio=0):
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


def lines(file: str) -> list[dict]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def names(*numbers: range) -> set[str]:
    return {name(number) for some in numbers for number in some}


@pytest.mark.rare
@pytest.mark.slow
def test_from_a_folder_to_a_model_and_back_into_the_tags(collection, monkeypatch, capsys):
    monkeypatch.chdir(collection.parent)
    before, paths = states(collection), songs(collection)
    assert len(paths) == FILES

    # Scanned: each file is in the manifest, or among those whose tags cannot be read.
    assert main(["scan", "music", "--out", "songs.csv"]) == 0
    told = capsys.readouterr().out
    with open("songs.csv", newline="", encoding="utf-8") as file:
        manifest = {os.path.basename(row["audio"]): row for row in csv.DictReader(file)}
    unreadable = {
        os.path.basename(file): reason for file, reason in list(read_tsv(Path("songs.csv.unreadable.tsv")))[1:]
    }
    assert manifest.keys() | unreadable.keys() == paths.keys()
    assert not manifest.keys() & unreadable.keys()
    lost = names(NO_MUSIC, EMPTY, TAGS_BROKEN)
    assert lost <= unreadable.keys() <= lost | names(CUT)
    assert f"{len(manifest)} songs with {len(GENRES)} genres in songs.csv" in told
    assert f"{len(unreadable)} files could not be read" in told
    for number in range(FILES):
        row = manifest.get(name(number))
        if row is None or number in CUT:  # whose tags may be what is lost
            continue
        assert json.loads(row["genres"]) == list(genres(number))
        assert (row["artist"], row["title"]) == (f"Ärtist {number // 10}", f"song {number}")
        beside = {1: ".lrc", 2: ".txt"}.get(number % 4)
        assert bool(row["lyrics"]) == (number % 4 == 0)
        assert Path(row["lyrics_file"]).suffix == (beside or "")

    # Prepared: each row is in the data set, or in quarantine.
    assert main(["prepare", "--config", CONFIG, *TINY, "--source", "songs.csv", "--out", "data"]) == 0
    quarantined = {os.path.basename(row[1]): row[2] for row in list(read_tsv(Path("data/quarantine.tsv")))[1:]}
    report = json.loads(Path("data/report.json").read_text())
    corpus = read(Path("songs.csv"))
    assert report["tracks_kept"] + len(quarantined) == len(manifest)
    assert len(corpus.tracks) + len(corpus.rejected) == len(manifest)
    assert names(SILENT) <= quarantined.keys()
    good = FILES - len(names(WITHOUT_GENRES, NO_MUSIC, EMPTY, SILENT, CUT, TAGS_BROKEN))
    assert report["tracks_kept"] >= good
    assert states(collection) == before

    # Trained.
    arguments = ["--config", CONFIG, *TINY, "--config.train.epochs=3", "--data", "data", "--workdir", "run"]
    assert main(["train", *arguments]) == 0

    # Predicted: each file has genres, with the words that the manifest has of it, or a reason why not.
    assert main(["predict", "music", "--workdir", "run", "--out", "genres.jsonl", "--workers", "2"]) == 2
    predicted = {os.path.basename(one["file"]): one for one in lines("genres.jsonl")}
    failed = {os.path.basename(one["file"]) for one in lines("genres.jsonl.failures.jsonl")}
    assert predicted.keys() | failed == paths.keys()
    assert names(NO_MUSIC, EMPTY, SILENT) <= failed <= names(NO_MUSIC, EMPTY, SILENT, CUT)
    assert {song for song, one in predicted.items() if one["lyrics_problem"]} <= unreadable.keys()
    for song_name, row in manifest.items():
        if song_name in predicted:
            assert bool(predicted[song_name]["lyrics_tokens"]) == bool(row["lyrics"] or row["lyrics_file"])

    # Tagged: each file has a line in the plan; what changed is what the plan says, and no sound did.
    heard = {file: samples(paths[file]) for file in predicted}
    command = ["tag", "music", "--workdir", "run", "--mode", "append", "--min-score", "0.3", "--workers", "2"]
    assert main([*command, "--json", "dry.json"]) == 1
    assert states(collection) == before
    capsys.readouterr()
    assert main([*command, "--write", "--json", "plan.json"]) == 1
    told = capsys.readouterr().out
    plan = {os.path.basename(row["file"]): row for row in json.loads(Path("plan.json").read_text())}
    assert plan.keys() == paths.keys()
    dry = {os.path.basename(row["file"]): row["new"] for row in json.loads(Path("dry.json").read_text())}
    other = {file for file, row in plan.items() if row["new"] != dry[file]}
    assert other <= names(CUT)  # of which it turns out when they are written that they would not stay whole
    refused = {file for file, row in plan.items() if row["action"] == "failed"}
    unusable = names(NO_MUSIC, EMPTY, SILENT, TAGS_BROKEN)
    assert unusable <= refused <= unusable | names(CUT, READ_ONLY)
    written = {file for file, row in plan.items() if row["action"] == "write"}
    assert f"{len(written)} were written" in told
    assert len(written) > FILES // 2
    for file in written:
        assert tag_file.read(paths[file]).genres == tuple(plan[file]["new"])
        assert plan[file]["new"][: len(plan[file]["old"])] == plan[file]["old"]
    now = states(collection)
    assert now.keys() == before.keys()
    assert {path.name for path in now if now[path][0] != before[path][0]} == written
    assert {file: samples(paths[file]) for file in predicted} == heard

    # Taken back: every byte, time and permission.
    assert main(["tag", "--undo", "genres.undo.jsonl"]) == 0
    assert f"{len(written)} changes were taken back" in capsys.readouterr().out
    assert states(collection) == before
