"""A file is found whatever way its path is written, and no two files have one id."""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.schema import safe_id
from data_pipeline.sources import manifest
from data_pipeline.sources.paths import NO_FILE, Files, PathError, id_of
from data_pipeline.storage.files import read_tsv, write_tsv

PARTS = st.text(st.sampled_from("_%5F.aé\\ \t\udce9"), min_size=1, max_size=6).filter(
    lambda part: part not in (".", "..")
)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@given(st.lists(PATHS, min_size=2, max_size=30, unique=True))
def test_no_two_paths_have_one_id(paths):
    ids = {id_of(Path("/music", path), "/music") for path in paths}
    assert len(ids) == len({str(Path(path)) for path in paths})
    assert all(safe_id(id_) for id_ in ids)


@pytest.mark.parametrize(
    ("path", "id_"),
    [
        ("a.mp3", "a.mp3"),
        ("disc 1/c.wav", "disc 1__c.wav"),
        ("disc/one.flac", "disc__one.flac"),
        ("disc__two.mp3", "disc_%5Ftwo.mp3"),
        ("a_/b", "a%5F__b"),
        ("a/_b", "a__%5Fb"),
        ("100%.mp3", "100%.mp3"),
        ("100%25.mp3", "100%2525.mp3"),
        ("a\nb\\c", "a%0Ab%5Cc"),
        (os.fsdecode(b"\xe9"), "%E9"),
        ("../up.mp3", "..__up.mp3"),
        ("\u3000👨\u200d👩\xad", "\u3000👨\u200d👩\xad"),
    ],
)
def test_ids(path, id_):
    assert id_of(Path("/music", path), "/music") == id_


def test_tracks_of_like_names_are_told_apart(tmp_path):
    names = ["disc/one.mp3", "disc/one.flac", "disc/two.mp3", "disc__two.mp3"]
    (tmp_path / "disc").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "m.csv").write_text("audio,genres\n" + "".join(f"{name},rock\n" for name in names))
    corpus = manifest.read(tmp_path / "m.csv")
    assert not corpus.rejected
    assert sorted(track.audio for track in corpus.tracks) == sorted(tmp_path / name for name in names)


NAMES = [
    "song.mp3",
    "\u3000.mp3",
    "a\u3000b.mp3",
    "a\xa0b.mp3",
    "👨\u200d👩\u200d👧.mp3",
    "so\xadft.mp3",
    "a\tb.mp3",
    "a\nb.mp3",
    "a\rb.mp3",
    "song.mp3 ",
    " song.mp3",
    "zero\u200bwidth.mp3",
    "\ufeffmark.mp3",
    "\u202eltr.mp3",
    "back\\slash.mp3",
    'quo"te.mp3',
    "com,ma;semi|bar.mp3",
    "~tilde.mp3",
    "per%20cent.mp3",
    "\x1b[31mred.mp3",
    "line\u2028sep\x85.mp3",
    "new\U000323af.mp3",  # not assigned in any version yet
    os.fsdecode(b"latin-\xe9.mp3"),
    "e\u0301.mp3",
    "file:",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_any_file_name_is_found_as_it_is_written(tmp_path, name, suffix):
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "other").write_bytes(b"x")
    if suffix == "csv":
        cell = '"' + name.replace('"', '""') + '"'
        text = f"audio,genres\n{cell},rock\nother,pop\n"
    else:
        text = "\n".join(json.dumps({"audio": audio, "genres": ["rock"]}) for audio in (name, "other"))
    (tmp_path / f"m.{suffix}").write_bytes(os.fsencode(text))
    corpus = manifest.read(tmp_path / f"m.{suffix}")
    assert not corpus.rejected
    assert tmp_path / name in [track.audio for track in corpus.tracks]
    assert not corpus.changed


@pytest.mark.parametrize(
    ("on_disk", "written"),
    [
        ("Café/é.mp3", unicodedata.normalize("NFD", "Café/é.mp3")),
        (unicodedata.normalize("NFD", "Café/é.mp3"), "Café/é.mp3"),
        ("한국/노래.mp3", unicodedata.normalize("NFD", "한국/노래.mp3")),
        ("disc/one.mp3", " disc/one.mp3\u3000"),
        ("disc/one.mp3", "disc\\one.mp3"),
        ("disc/one.mp3", ".\\disc\\one.mp3 "),
        ("Café/é.mp3", unicodedata.normalize("NFD", "Café\\é.mp3")),
        (os.fsdecode(b"caf\xe9.mp3"), "café.mp3"),
        ("a b#é.mp3", "FILE"),
        (os.fsdecode(b"\xe9.mp3"), "FILE"),
        ("disc/one.mp3", "HOME"),
    ],
    ids=ascii,
)
def test_other_spellings_of_a_path(tmp_path, monkeypatch, on_disk, written):
    (tmp_path / on_disk).parent.mkdir(exist_ok=True)
    (tmp_path / on_disk).write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    written = {
        "FILE": "file://" + urllib.parse.quote(os.fsencode(tmp_path / on_disk)),
        "HOME": f"~/{on_disk}",
    }.get(written, written)
    found = Files(tmp_path).find(written)
    assert found.path == tmp_path / on_disk
    assert not found.as_written
    (tmp_path / "m.jsonl").write_text(json.dumps({"audio": written, "genres": "rock"}))
    corpus = manifest.read(tmp_path / "m.jsonl")
    assert [track.audio for track in corpus.tracks] == [tmp_path / on_disk]
    assert corpus.changed == {"paths of audio that the disk spells otherwise": 1}


def test_the_exact_name_comes_first(tmp_path):
    for name in ("a.mp3", "a.mp3 ", "é.mp3", "e\u0301.mp3", "a\\b", "a"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("a.mp3", "a.mp3 ", "é.mp3", "e\u0301.mp3", "a\\b"):
        assert Files(tmp_path).find(name).path == tmp_path / name


def test_several_files_of_one_look_are_not_guessed_at(tmp_path):
    for name in ("\u212b.mp3", "A\u030a.mp3"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(PathError, match="2 files could be meant"):
        Files(tmp_path).find("\xc5.mp3")


@pytest.mark.parametrize(
    "written", ["nowhere", "a\0b", "~nobody/x", "file://elsewhere/a.mp3", "", " ", "folder", "C:\\a"]
)
def test_what_leads_to_no_file(tmp_path, written):
    (tmp_path / "folder").mkdir()
    assert Files(tmp_path).find(written) is None


def test_a_path_that_no_file_can_have(tmp_path):
    with pytest.raises(PathError, match=NO_FILE):
        Files(tmp_path).find("x" * 5000)


def test_one_file_under_two_paths(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"x")
    (tmp_path / "link.mp3").symlink_to("a.mp3")
    os.link(tmp_path / "a.mp3", tmp_path / "hard.mp3")
    (tmp_path / "m.csv").write_text("audio,genres\na.mp3,rock\n./a.mp3,rock\nlink.mp3,pop\nhard.mp3,pop\n")
    corpus = manifest.read(tmp_path / "m.csv")
    assert [track.id for track in corpus.tracks] == ["a.mp3"]
    assert [row.reason for row in corpus.rejected] == ["an earlier row has the same audio file"] * 3


NAMES_OF_BYTES = st.binary(min_size=1, max_size=30) | st.sampled_from(
    [b" ", b"nan", b"\xe3\x80\x80", b"file://a", b"None"]
)


def as_json(name: str) -> bytes:
    return json.dumps({"audio": name, "genres": ["rock"]}).encode()


def as_csv(name: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("audio", "genres"), (name, "rock")])
    return os.fsencode(text.getvalue())


@pytest.mark.parametrize(
    ("manifest_name", "written"), [("songs.of.mine.jsonl", as_json), ("songs.of.mine.csv", as_csv)]
)
@given(name=NAMES_OF_BYTES)
def test_any_name_that_the_file_system_takes_survives_the_tables(tmp_path_factory, manifest_name, written, name):
    folder = tmp_path_factory.mktemp("any")
    path = os.path.join(os.fsencode(folder), name)
    try:
        with open(path, "xb"):
            pass
    except (OSError, ValueError):  # a slash, a NUL, a folder
        return
    (folder / manifest_name).write_bytes(written(os.fsdecode(name)))
    (track,) = manifest.read(folder / manifest_name).tracks
    assert os.fsencode(track.audio) == path
    write_tsv(folder / "tracks.tsv", ["id", "audio"], [[track.id, track.audio]])
    ((id_, audio),) = list(read_tsv(folder / "tracks.tsv"))[1:]
    assert (id_, os.fsencode(audio)) == (track.id, path)
    assert os.path.isfile(audio)
