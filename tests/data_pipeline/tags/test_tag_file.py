"""Tags of every format: read as they are, written so that nothing else changes."""

import shutil

import mutagen
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.id3 import APIC, ID3, SYLT, TCON, TDRC, TPE1, TXXX, USLT, Encoding

from data_pipeline.tags import tag_file
from data_pipeline.tags.tag_file import TagError, Tags
from tests.support.tagged_files import FORMATS, decoded, encoded, song, tag_name

GENRES = ("Hip Hop", "R&B/Soul", "Música")


def numbered_v1(genre: int) -> bytes:
    """An ID3v1 tag."""
    fields = (b"Title".ljust(30, b"\0"), b"Artist".ljust(30, b"\0"), b"Album".ljust(30, b"\0"), b"1999", bytes(30))
    return b"TAG" + b"".join(fields) + bytes([genre])


def v22(**frames: bytes) -> bytes:
    """An ID3v2.2 tag of these texts."""
    body = b"".join(name.encode() + (len(text) + 1).to_bytes(3, "big") + b"\0" + text for name, text in frames.items())
    return b"ID3\2\0\0\0\0" + bytes([len(body) >> 7, len(body) & 127]) + body


@pytest.mark.parametrize("kind", FORMATS)
def test_tags_of_every_format_are_read(kind, tmp_path):
    texts = {"artist": "Motörhead", "album": "Live", "title": "One", "lyrics": "la la\nlo"}
    path = song(tmp_path / f"a.{kind}", GENRES, language="ger", **texts)
    assert tag_file.read(path) == Tags(genres=GENRES, language="de", **texts)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("tagged", [False, True])
def test_genres_are_written_as_several_values_and_nothing_else_changes(kind, tagged, tmp_path):
    texts = {"artist": "Motörhead", "lyrics": "la la\nlo"} if tagged else {}
    path = song(tmp_path / f"a.{kind}", ["Old", "Older"] if tagged else [], **texts)
    heard = decoded(path)
    tag_file.write_genres(path, GENRES)
    assert tag_file.read(path) == Tags(genres=GENRES, **texts)
    np.testing.assert_array_equal(decoded(path), heard)
    tags = mutagen.File(path).tags
    found = tags["TCON"].text if isinstance(tags, ID3) else tags[tag_name(path, "genre")]
    assert [str(name) for name in found] == list(GENRES)


@pytest.mark.parametrize(
    ("text", "genres"),
    [
        (["17"], ("Rock",)),
        (["(17)"], ("Rock",)),
        (["(17)(20)"], ("Rock", "Alternative")),
        (["(4)Eurodisco"], ("Disco", "Eurodisco")),
        (["(RX)"], ("Remix",)),
        (["Rock", "Pop"], ("Rock", "Pop")),
        (["Rock; Pop"], ("Rock; Pop",)),
        ([" Rock ", ""], ("Rock",)),
    ],
)
@pytest.mark.parametrize("version", [3, 4])
def test_id3_writes_genres_in_many_ways(text, genres, version, tmp_path):
    path = song(tmp_path / "a.mp3")
    tags = ID3()
    tags.add(TCON(encoding=Encoding.LATIN1, text=text))
    tags.save(path, v2_version=version, v23_sep=None)
    assert tag_file.read(path).genres == genres


@pytest.mark.parametrize("version", [3, 4])
def test_the_version_of_id3_and_its_other_frames_stay(version, tmp_path):
    path = song(tmp_path / "a.mp3")
    tags = ID3()
    tags.add(TPE1(encoding=Encoding.UTF16, text=["A", "B"]))
    tags.add(TDRC(encoding=Encoding.LATIN1, text=["1999-03-04"]))
    tags.add(APIC(Encoding.LATIN1, "image/png", 3, "front", b"\x89PNG" + bytes(3000)))
    tags.add(TXXX(encoding=Encoding.UTF16, desc="mood", text=["calm"]))
    if version == 3:
        tags.update_to_v23()
    tags.save(path, v2_version=version, v23_sep=None)
    before = ID3(path, translate=False)
    tag_file.write_genres(path, ["Ä", "B"])
    after = ID3(path, translate=False)
    assert after.version == before.version == (2, version, 0)
    assert after.pop("TCON").text == ["Ä", "B"]
    assert {name: repr(frame) for name, frame in after.items()} == {n: repr(frame) for n, frame in before.items()}


def test_id3_of_version_2_2_becomes_2_3(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(v22(TT2=b"Title", TP1=b"Artist", TCO=b"(9)", TYE=b"1999") + encoded("mp3"))
    assert tag_file.read(path) == Tags(genres=("Metal",), title="Title", artist="Artist")
    tag_file.write_genres(path, ["Pop", "Rock"])
    assert tag_file.read(path) == Tags(genres=("Pop", "Rock"), title="Title", artist="Artist")
    assert ID3(path, translate=False).version == (2, 3, 0)
    assert ID3(path, translate=False)["TYER"].text == ["1999"]


def test_id3_of_version_1_is_read_and_kept_true(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(encoded("mp3") + numbered_v1(17))
    assert tag_file.read(path) == Tags(genres=("Rock",), title="Title", artist="Artist", album="Album")
    tag_file.write_genres(path, ["Jazz", "Bop"])
    assert tag_file.read(path).genres == ("Jazz", "Bop")
    assert path.read_bytes()[-128:] == numbered_v1(8)


def test_a_second_tag_of_an_mp3_says_the_same(tmp_path):
    path = song(tmp_path / "a.mp3", ["Rock"])
    second = APEv2()
    second["Genre"], second["Lyrics"], second["Replaygain_Track_Gain"] = ["Ska", "Dub"], "words", "-3 dB"
    second.save(path)
    assert tag_file.read(path) == Tags(genres=("Rock",), lyrics="words")
    tag_file.write_genres(path, ["Pop", "Soul"])
    assert tag_file.read(path) == Tags(genres=("Pop", "Soul"), lyrics="words")
    assert list(APEv2(path)["Genre"]) == ["Pop", "Soul"]
    assert APEv2(path)["Replaygain_Track_Gain"] == "-3 dB"


def test_an_mp4_genre_may_be_a_number(tmp_path):
    path = song(tmp_path / "a.m4a", ["ab"])
    text = b"\xa9gen" + (18).to_bytes(4, "big") + b"data\0\0\0\1" + bytes(4) + b"ab"
    number = b"gnre" + (18).to_bytes(4, "big") + b"data" + bytes(8) + (18).to_bytes(2, "big")
    assert text in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(text, number))
    assert tag_file.read(path).genres == ("Rock",)
    tag_file.write_genres(path, ["Jazz", "Pop"])
    assert tag_file.read(path).genres == ("Jazz", "Pop")
    assert b"gnre" not in path.read_bytes()


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (USLT(3, "eng", "", "la\nlo"), "la\nlo"),
        (SYLT(3, "eng", 2, 1, "", [("la", 0), ("lo", 900)]), "la\nlo"),
        (SYLT(3, "eng", 2, 1, "", [("\nso", 0), ("ng", 300), ("\nlo", 900)]), "song\nlo"),
        (TXXX(3, "UNSYNCEDLYRICS", ["la"]), "la"),
        (TXXX(3, "Unsynced Lyrics", ["la"]), "la"),
        (TXXX(3, "lyricist", ["nobody"]), ""),
        (USLT(3, "eng", "", " \0"), ""),
    ],
)
def test_embedded_words_of_id3(frame, words, tmp_path):
    path = song(tmp_path / "a.mp3")
    tags = ID3()
    tags.add(frame)
    tags.save(path)
    assert tag_file.read(path).lyrics == words


@pytest.mark.parametrize("name", ["LYRICS", "UNSYNCEDLYRICS", "unsynced lyrics", "SYNCEDLYRICS", "unsyncedLyrics"])
def test_embedded_words_of_vorbis_comments(name, tmp_path):
    path = song(tmp_path / "a.flac")
    audio = mutagen.File(path)
    audio.tags[name] = "la"
    audio.save()
    assert tag_file.read(path).lyrics == "la"


def test_asf_and_ape_hold_lists():
    tags = ASFTags()
    tag_file._set(tags, GENRES)
    assert tag_file._tags(tags).genres == GENRES
    ape = APEv2()
    tag_file._set(ape, GENRES)
    assert tag_file._tags(ape).genres == GENRES


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"\x89PNG" * 100, "tags cannot be"),
        (b"words\n" * 99, "tags cannot be"),
        (b"ID3\3\0\0\0\0\1\0" + b"TCON" * 30, "tags cannot be"),
        (b"ID3\4\0\0\0\0\x7f\x7f" + bytes(99), "tags cannot be (read|written): the file is broken"),
        (b"OggS" * 40, "tags cannot be"),
        (b"fLaC" + bytes(90), "tags cannot be"),
        (b"RIFF" * 40, "tags cannot be"),
    ],
)
def test_what_cannot_be_read_says_why(content, reason, tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    for use in (tag_file.read, lambda file: tag_file.write_genres(file, ["Rock"])):
        with pytest.raises(TagError, match=reason):
            use(path)


def test_a_folder_and_a_missing_file_say_why(tmp_path):
    with pytest.raises(TagError, match="No such file"):
        tag_file.read(tmp_path / "a.mp3")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from([kind for kind in FORMATS if kind != "m4a"]))
def test_a_damaged_file_is_read_or_refused(data, kind, tmp_path):
    """Nothing else is raised, whatever bytes are wrong."""
    path = song(tmp_path / f"a.{kind}", GENRES, artist="A", lyrics="la")
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, min(len(content), 4000) - 1), max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    copy = tmp_path / f"b.{kind}"
    shutil.copy(path, copy)
    try:
        assert isinstance(tag_file.read(path), Tags)
        tag_file.write_genres(copy, ["Pop"])
    except TagError:
        return
    assert tag_file.read(copy).genres == ("Pop",)
