"""Every source keeps one contract; the quirks of each are tested beside it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from data_pipeline.errors import InputError
from data_pipeline.schema import Corpus, safe_id
from data_pipeline.sources import generated, manifest, music4all, read_corpus

ID_A, ID_B, ID_C = "0009fFIM1eYThaPg", "0010BnyFuw94XFau", "002Jyd0vN4HyCpqL"


def write_music4all(root: Path, *, encoding: str = "utf-8") -> Path:
    """Three whole tracks under ``root``; ID_C is an instrumental."""
    (root / "audios").mkdir(parents=True)
    (root / "lyrics").mkdir()
    tables = {
        "id_information.csv": (
            "id\tartist\tsong\talbum_name",
            f'{ID_C}\tAC/DC\tWho "Made\tX',
            f"{ID_A}\tSimon &amp; Garfunkel\tI &lt;3 You\tX",
            f"{ID_B}\tSigur Rós\tSvefn\tX",
        ),
        "id_genres.csv": ("id\tgenres", f"{ID_A}\tfolk, rock", f"{ID_B}\tpost-rock", f"{ID_C}\thard rock,rock"),
        "id_lang.csv": ("id\tlang", f"{ID_A}\ten", f"{ID_B}\tis", f"{ID_C}\tINTRUMENTAL"),
    }
    for name, lines in tables.items():
        (root / name).write_text("\n".join(lines) + "\n", encoding=encoding)
    for id_ in (ID_A, ID_B, ID_C):
        (root / "audios" / f"{id_}.mp3").write_bytes(b"x")
        (root / "lyrics" / f"{id_}.txt").write_text("la la")
    return root


def append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def write_manifest(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    for name in ("a.mp3", "b.flac", "disc 1/c.wav"):
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).write_bytes(b"x")
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture(scope="module")
def generated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "generated"
    generated.write_corpus(folder, tracks=20, seconds=3.0, workers=1)
    return folder


@pytest.fixture(params=["music4all", "manifest", "semicolons", "array", "generated"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "generated":
        return request.getfixturevalue("generated_folder")
    if request.param == "music4all":
        root = write_music4all(tmp_path / "corpus")
        append(root / "id_genres.csv", "nobody\trock")
        return root
    if request.param == "semicolons":
        text = "Audio ;GENRES;lyrics\r\nb.flac;['rock', nan];la\r\n a.mp3;R&amp;B, pop;\r\nmissing.mp3;pop;\r\n"
        return write_manifest(tmp_path / "m.csv", text, encoding="utf-16")
    if request.param == "array":
        rows = [{"audio": "b.flac", "genres": ["rock", None]}, {"audio": "./a.mp3", "genres": "R & B|pop"}, 5]
        return write_manifest(tmp_path / "m.json", json.dumps(rows))
    text = 'audio,genres,lyrics\nb.flac,rock,la la\na.mp3,"pop,rock",\nmissing.mp3,pop,\n'
    return write_manifest(tmp_path / "m.csv", text)


def test_contract(source: Path) -> None:
    corpus = read_corpus(source)
    ids = [track.id for track in corpus.tracks]
    assert ids
    assert ids == sorted(set(ids))
    assert corpus == read_corpus(source)
    for track in corpus.tracks:
        assert safe_id(track.id)
        assert track.audio.is_file()
        assert isinstance(track.genres, tuple)
        assert track.genres
        assert len(set(track.genres)) == len(track.genres)
        assert all(genre == genre.strip() != "" for genre in track.genres)
        assert track.lyrics_file is None or track.lyrics_text is None
        assert track.lyrics_file is None or track.lyrics_file.is_file()
    assert all(row.id and row.file and row.reason for row in corpus.rejected)


@pytest.mark.parametrize("name", ["nothing", "song.mp3"])
def test_other_sources_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "song.mp3").write_bytes(b"x")
    with pytest.raises(InputError, match=name):
        read_corpus(tmp_path / name)


@pytest.mark.parametrize("nested", ["", "music4all", "music4all/music4all"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_music4all(tmp_path: Path, nested: str, encoding: str) -> None:
    write_music4all(tmp_path / nested / ".", encoding=encoding)
    first, second, third = music4all.read(tmp_path).tracks
    assert (first.id, first.artist, first.title) == (ID_A, "Simon & Garfunkel", "I <3 You")
    assert first.genres == ("folk", "rock")
    assert first.lyrics_file is not None
    assert (second.artist, second.language) == ("Sigur Rós", "is")
    assert third.title == 'Who "Made'
    assert third.lyrics_file is None, "an instrumental has no lyrics"


def test_music4all_without_languages(tmp_path: Path) -> None:
    root = write_music4all(tmp_path / "m")
    (root / "id_lang.csv").unlink()
    assert {track.language for track in music4all.read(root).tracks} == {None}


def test_music4all_with_another_separator_is_told(tmp_path: Path) -> None:
    root = write_music4all(tmp_path / "m")
    (root / "id_genres.csv").write_text(f"id\tgenres\n{ID_A}\tR&amp;B;['folk']\n{ID_B}\tpop;nan\n{ID_C}\t['rock']\n")
    corpus = music4all.read(root)
    assert [track.genres for track in corpus.tracks] == [("R&B;['folk']",), ("pop;nan",), ("rock",)]
    assert "this column's is ','; data.genre_separator says otherwise" in corpus.notes[0]
    corpus = music4all.read(root, ";")
    assert [track.genres for track in corpus.tracks] == [("R&B", "['folk']"), ("pop",), ("rock",)]
    assert (corpus.notes, corpus.changed) == ((), {"genres that only say that there is none": 1})


@pytest.mark.parametrize(("on_disk", "in_tables"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_music4all_in_another_unicode_form(tmp_path: Path, on_disk: str, in_tables: str) -> None:
    root = write_music4all(tmp_path / "m")
    for folder, name in (("audios", "canção.mp3"), ("lyrics", "canção.txt")):
        (root / folder / unicodedata.normalize(on_disk, name)).write_text("x")
    id_ = unicodedata.normalize(in_tables, "canção")
    append(root / "id_information.csv", f"{id_}\tSomebody\tSong\tX")
    append(root / "id_genres.csv", f"{id_}\trock")
    track = music4all.read(root).tracks[-1]
    assert track.id == id_
    assert track.audio.is_file()
    assert track.lyrics_file is not None
    assert track.lyrics_file.is_file()


def test_music4all_rejects_rows(tmp_path: Path) -> None:
    root = write_music4all(tmp_path / "m")
    for id_, genres in (("../../etc", "rock"), ("noaudio", "rock"), ("nogenres", " ,"), ("notable", None)):
        append(root / "id_information.csv", f"{id_}\tSomebody\tSong\tX")
        if genres is not None:
            append(root / "id_genres.csv", f"{id_}\t{genres}")
    append(root / "id_information.csv", f"{ID_A}\tImpostor\tSong\tX")
    append(root / "id_information.csv", "short\tSomebody")
    append(root / "id_genres.csv", "short\trock")
    append(root / "id_genres.csv", "unlisted\trock")
    corpus = music4all.read(root)
    assert [track.id for track in corpus.tracks] == [ID_A, ID_B, ID_C]
    assert corpus.tracks[0].artist == "Simon & Garfunkel"
    reasons = {row.id: row.reason for row in corpus.rejected}
    assert len(reasons) == len(corpus.rejected) == 7
    for id_, words in {
        "../../etc": "file name",
        "noaudio": "no audio",
        "nogenres": "no genres",
        "notable": "no genres",
        ID_A: "duplicate",
        "short": "2 columns instead of 4",
        "unlisted": "not listed",
    }.items():
        assert words in reasons[id_]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("id_genres.csv", None, "missing"),
        ("id_genres.csv", b"id,genres\nx,rock\n", "no column"),
        ("id_information.csv", "id\tartist\tsong\n".encode("utf-16"), "UTF-8"),
        ("id_information.csv", b"", "no column"),
        ("id_genres.csv", b"id\tgenres\tgenres\nx\trock\tpop\n", "has 2 columns 'genres'"),
        ("id_genres.csv", b"id\tgenres\nx\t" + b"r" * 200_000, "not a TAB-separated table"),
    ],
)
def test_music4all_broken_tables(tmp_path: Path, name: str, data: bytes | None, words: str) -> None:
    root = write_music4all(tmp_path / "m")
    (root / name).unlink()
    if data is not None:
        (root / name).write_bytes(data)
    with pytest.raises(InputError, match=words):
        music4all.read(root)


def test_music4all_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        music4all.read(tmp_path / "empty")
    with pytest.raises(InputError, match="not a folder"):
        music4all.read(tmp_path / "nowhere")
    root = write_music4all(tmp_path / "m")
    (root / "audios").rename(root / "audio")
    with pytest.raises(InputError, match="audios is missing"):
        music4all.read(root)


CSV = (
    "Audio,genres,title,lyrics,stray\n"
    'a.mp3,"rock, pop","Hello, ""world""","line one\nline two",1\n'
    'disc 1/c.wav,"jazz,bebop, cool",,,2\n'
)
TSV = (
    "audio\tgenres\ttitle\tlyrics\n"
    'a.mp3\trock,pop\t"Hello, ""world"""\t"line one\nline two"\n'
    "disc 1/c.wav\tjazz,bebop,cool\t\t\n"
)
JSONL = "\n".join(
    json.dumps(row)
    for row in (
        {"audio": "a.mp3", "genres": ["rock", "pop"], "title": 'Hello, "world"', "lyrics": "line one\nline two"},
        {"audio": "disc 1/c.wav", "genres": "jazz,bebop,cool", "extra": {"a": 1}},
    )
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("suffix", "text"), [(".csv", CSV), (".tsv", TSV), (".jsonl", JSONL)])
def test_manifest_formats(tmp_path: Path, suffix: str, text: str, encoding: str) -> None:
    corpus = manifest.read(write_manifest(tmp_path / f"m{suffix}", text, encoding=encoding))
    assert not corpus.rejected
    first, second = corpus.tracks
    assert (first.id, first.genres, first.title) == ("a.mp3", ("rock", "pop"), 'Hello, "world"')
    assert first.lyrics_text == "line one\nline two"
    assert (second.id, second.genres) == ("disc 1__c.wav", ("jazz", "bebop", "cool"))
    assert second.audio == tmp_path / "disc 1" / "c.wav"
    assert (second.lyrics_text, second.lyrics_file, second.title) == (None, None, None)


def reasons(corpus: Corpus) -> list[str]:
    return [f"{row.file} {row.reason}" for row in corpus.rejected]


def test_manifest_rejects_rows(tmp_path: Path) -> None:
    lines = (
        "audio,genres,id,lyrics_file",
        "a.mp3,rock,one,",
        "b.flac,rock,one,",
        "a.mp3,rock,two,",
        "b.flac,rock,../up,",
        "b.flac,,three,",
        "b.flac,rock,pop,four,",
        "b.flac,rock,five,none.txt",
        ",rock,six,",
        "nowhere.mp3,rock,seven,",
    )
    corpus = manifest.read(write_manifest(tmp_path / "m.csv", "\n".join(lines)))
    assert [track.id for track in corpus.tracks] == ["one"]
    words = (
        "taken",
        "same audio",
        "file name",
        "no genres",
        "5 columns",
        "no lyrics file",
        "no audio",
        "no audio file",
    )
    found = reasons(corpus)
    assert len(found) == len(words)
    for place, (reason, word) in enumerate(zip(found, words, strict=True)):
        assert reason.startswith(f"m.csv:{place + 3} ")
        assert word in reason


def test_manifest_bad_json_lines(tmp_path: Path) -> None:
    lines = (
        '{"audio": "a.mp3", "genres": ["rock"]}',
        "{oops",
        "[1]",
        '{"audio": "b.flac", "genres": [1]}',
        '{"audio": 5}',
    )
    corpus = manifest.read(write_manifest(tmp_path / "m.jsonl", "\n".join(lines)))
    assert [track.id for track in corpus.tracks] == ["a.mp3"]
    assert [row.split()[0] for row in reasons(corpus)] == [f"m.jsonl:{line}" for line in (2, 3, 4, 5)]
    assert "not valid JSON" in corpus.rejected[0].reason


def test_manifest_instrumental_and_lyrics_file(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("la")
    text = "audio,genres,lyrics_file,language\na.mp3,rock,l.txt,en\nb.flac,rock,l.txt,INSTRUMENTAL\n"
    first, second = manifest.read(write_manifest(tmp_path / "m.csv", text)).tracks
    assert first.lyrics_file == tmp_path / "l.txt"
    assert second.lyrics_file is None


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m.csv", b"audio,genre\na.mp3,rock\n", "nearest column found is 'genre'"),
        ("m.jsonl", b'{"audio": "a.mp3", "genre": "rock"}', "nearest column found is 'genre'"),
        ("m.csv", b"", "is empty"),
        ("m.csv", "audio,genres\na.mp3,forró\n".encode("latin-1"), "UTF-8"),
        ("m.xlsx", b"PK", "no manifest; it is a workbook: save the table as CSV in UTF-8"),
        ("m.md", b"audio,genres\n", "no manifest; its name must end in .csv"),
    ],
)
def test_manifest_input_errors(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        manifest.read(path)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("https://example.org/a.mp3", "no audio file: an address on the network: download the file, and give its path"),
        ("s3://bucket/a.mp3", "no audio file: an address on the network: download the file, and give its path"),
        ("album", "no audio file: a folder"),
        (".", "no audio file: a folder"),
        ("a.mp3", "no audio file"),
    ],
)
def test_what_stands_in_the_place_of_an_audio_file_is_told(tmp_path: Path, written: str, reason: str) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "m.csv").write_text(f"audio,genres\n{written},rock\n")
    assert [rejected.reason for rejected in read_corpus(tmp_path / "m.csv").rejected] == [reason]
