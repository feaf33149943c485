"""Tables as people have them are read, or refused with the true reason."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from data_pipeline.errors import InputError
from data_pipeline.schema import Corpus
from data_pipeline.sources import manifest, read_corpus, tables

ROWS = [
    {"audio": "a.mp3", "genres": "rock, música", "artist": "Zé; Ana", "lyrics": "one\ntwo"},
    {"audio": "b.mp3", "genres": "pop", "artist": "", "lyrics": ""},
]


def read(tmp_path: Path, name: str, content: bytes | str) -> Corpus:
    for audio in ("a.mp3", "b.mp3"):
        (tmp_path / audio).write_bytes(b"x")
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_corpus(tmp_path / name)


def csv_text(delimiter: str, end: str = "\r\n") -> str:
    lines = [list(ROWS[0]), *(list(row.values()) for row in ROWS)]
    return "".join(delimiter.join(f'"{cell}"' for cell in line) + end for line in lines)


TEXT = csv_text(",")
SAME = {
    "commas.csv": TEXT,
    "semicolons.csv": csv_text(";"),
    "tabs.csv": csv_text("\t"),
    "bars.csv": csv_text("|"),
    "commas.tsv": TEXT,
    "tabs.tsv": csv_text("\t"),
    "told.csv": "sep=;\r\n" + csv_text(";"),
    "blank first lines.csv": "\r\n\r\n" + TEXT,
    "blanks after commas.csv": csv_text(", ", "\n"),
    "unix.csv": csv_text(",", "\n"),
    "mark.csv": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16.csv": csv_text("\t").encode("utf-16"),
    "utf-16 without a mark.csv": TEXT.encode("utf-16-le"),
    "utf-16-be.csv": TEXT.encode("utf-16-be"),
    "Header.csv": TEXT.replace('"audio","genres"', '" Audio ","GENRES\u200b"'),
    "lines.jsonl": "\n".join(map(json.dumps, ROWS)),
    "lines.ndjson": "\n".join(map(json.dumps, ROWS)),
    "lines.json": "\n".join(map(json.dumps, ROWS)),
    "array.json": json.dumps(ROWS, indent=2),
    "array.jsonl": json.dumps(ROWS),
    "array of lines.jsonl": " [\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "utf-16.json": json.dumps(ROWS, ensure_ascii=False).encode("utf-16"),
}


@pytest.mark.parametrize("name", SAME)
def test_one_table_in_many_dialects(tmp_path, name):
    corpus = read(tmp_path, name, SAME[name])
    assert corpus.rejected == ()
    first, second = corpus.tracks
    assert (first.audio, first.genres, first.artist) == (tmp_path / "a.mp3", ("rock", "música"), "Zé; Ana")
    assert first.lyrics_text == "one\ntwo"
    assert (second.genres, second.artist, second.lyrics_text) == (("pop",), None, None)


REFUSED = {
    "twice.csv": ("audio,genres, Genres \na.mp3,rock,pop\n", "has 2 columns 'genres'; keep one of them"),
    "optional twice.csv": ("audio,genres,artist,ARTIST\na.mp3,rock,a,b\n", "has 2 columns 'artist'"),
    "genre.csv": ("audio;GENRE\na.mp3;rock\n", "no column 'genres'; the nearest column found is 'GENRE'"),
    "path.csv": ("path,genres\na.mp3,rock\n", "no column 'audio'; the nearest column found is 'path'"),
    "file.csv": ("title,File,genres\nx,a.mp3,rock\n", "no column 'audio'; the nearest column found is 'File'"),
    "file.json": ('[{"file_name": "a.mp3", "genres": "rock"}]', "the nearest column found is 'file_name'"),
    "cp1252.csv": ("audio,genres\na.mp3,música\n".encode("cp1252"), "is not UTF-8 (byte 20) but an older code"),
    "cp1252 path.csv": ("audio,genres\né.mp3,rock\n".encode("cp1252"), "is not UTF-8 (byte 13)"),
    "xlsx.csv": (b"PK\x03\x04rest", "is no text but a ZIP archive, as .xlsx"),
    "utf32.csv": ("audio,genres\n".encode("utf-32"), "is no text but UTF-32"),
    "xls.csv": (b"\xd0\xcf\x11\xe0rest", "a file of Excel"),
    "ragged.json": ('{"audio": ["a.mp3", "b.mp3"],\n "genres": ["rock"]}', "has columns of 1 and of 2 cells"),
    "two.json": ('{"a": [{"audio": "a", "genres": ""}], "b": [{"audio": "a", "genres": ""}]}', "holds 2 tables"),
    "empty.csv": ("\n , ;\n", "is empty."),
    "none.json": ("[]", "holds no rows"),
    "paths.csv": ("audio\na.mp3\n", "has no column 'genres'; it has 'audio'."),
    "headless.csv": ("a.mp3,rock\nb.mp3,pop\n", "its first line is no header, put one above it that says audio,genres"),
    "page.csv": ("<!DOCTYPE html>", "is no text but a web page"),
    "broken.json": ('[{"audio": "a.mp3",\n "genres": ["rock"]},\n{', "is no JSON (line 3, column 2: "),
    "texts.json": ('["a.mp3", "b.mp3"]', "is an array without objects; give an array of objects"),
    "cut.csv": (b"\xff\xfea\x00b", "is not UTF-8, nor whole UTF-16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_why(tmp_path, name):
    content, words = REFUSED[name]
    with pytest.raises(InputError) as caught:
        read(tmp_path, name, content)
    assert words in str(caught.value)


def test_a_name_that_is_not_utf8_is_read_where_all_else_is(tmp_path):
    (tmp_path / "\udce9.mp3").write_bytes(b"x")
    corpus = read(tmp_path, "m.csv", "audio,genres\na.mp3,música\n".encode() + b"\xe9.mp3,rock\n")
    assert [track.audio.name for track in corpus.tracks] == ["\udce9.mp3", "a.mp3"]


ODD = {
    '"artist": NaN': ("artist", None),
    '"artist": null': ("artist", None),
    '"artist": "nan"': ("artist", None),
    '"artist": "N/A"': ("artist", None),
    '"artist": 311': ("artist", "311"),
    '"artist": 311.0': ("artist", "311"),
    '"artist": ["Ana", "Zé "]': ("artist", "Ana; Zé"),
    '"artist": []': ("artist", None),
    '"artist": {"name": "Ana"}': ("artist", None),
    '"title": 1999': ("title", "1999"),
    '"title": "None"': ("title", "None"),
    '"language": ["en"]': ("language", None),
    '"language": NaN': ("language", None),
    '"lyrics": ["one", "two"]': ("lyrics_text", "one\ntwo"),
    '"lyrics": NaN': ("lyrics_text", None),
    '"lyrics_file": "nan"': ("lyrics_file", None),
    '"genres": ["rock", null, NaN]': ("genres", ("rock",)),
    "\"genres\": \"['rock', 'pop']\"": ("genres", ("rock", "pop")),
    '"id": 7': ("id", "7"),
    '"id": NaN': ("id", "a.mp3"),
    '"Artist ": "Ana"': ("artist", "Ana"),
}


@pytest.mark.parametrize("field", ODD)
def test_odd_values_do_not_cost_the_track(tmp_path, field):
    start = '{"audio": "a.mp3"' + ("" if "genres" in field else ', "genres": "rock"')
    corpus = read(tmp_path, "m.jsonl", f"{start}, {field}}}")
    (track,) = corpus.tracks
    name, value = ODD[field]
    assert getattr(track, name) == value


def test_what_could_not_be_read_is_counted(tmp_path):
    corpus = read(tmp_path, "m.jsonl", '{"audio": "a.mp3", "genres": ["rock", null], "artist": {"name": "Ana"}}')
    assert corpus.changed == {
        "genres that only say that there is none": 1,
        "artists that are no text, left out": 1,
    }


REASONS = {
    '{"audio": "a.mp3", "genres": "rock", "genres": "pop"}': "the key 'genres' occurs twice",
    '{"audio": "a.mp3", "Audio": "b.mp3", "genres": "pop"}': "the key 'audio' occurs twice",
    '{"audio": NaN, "genres": "rock"}': "no audio",
    '{"audio": "nan", "genres": "rock"}': "no audio",
    '{"audio": ["a.mp3"], "genres": "rock"}': "audio is not a text",
    '{"audio": "a.mp3", "genres": NaN}': "no genres",
    '{"audio": "a.mp3", "genres": true}': "genres are neither a text nor a list",
    '{"audio": "a.mp3", "genres": "rock", "lyrics": {"en": "la"}}': "lyrics is not a text",
    '{"audio": "\\ud800.mp3", "genres": "rock"}': "half of a surrogate pair",
    '{"audio": "\\udce9.mp3", "genres": "rock"}': "no audio file",
    '{"audio": "a.mp3", "genres": "rock", "lyrics_file": "\\udce9"}': r"no lyrics file \udce9",
}


@pytest.mark.parametrize("line", REASONS)
def test_the_reason_for_a_row_that_is_left_out(tmp_path, line):
    corpus = read(tmp_path, "m.jsonl", line + '\n{"audio": "b.mp3", "genres": "rock"}\n')
    assert [track.audio.name for track in corpus.tracks] == ["b.mp3"]
    assert [row.file for row in corpus.rejected] == ["m.jsonl:1"]
    assert REASONS[line] in corpus.rejected[0].reason


def test_an_item_of_an_array_is_counted_as_one(tmp_path):
    corpus = read(tmp_path, "m.json", json.dumps([ROWS[0], 5, ROWS[1] | {"audio": "c.mp3"}], indent=1))
    assert [(row.id, row.file) for row in corpus.rejected] == [("item 2", "m.json[2]"), ("c.mp3", "m.json[3]")]


def test_columns_that_are_not_read_are_told(tmp_path):
    corpus = read(tmp_path, "m.csv", "audio,genres,Lang,lyric,Artists,bpm\na.mp3,rock,en,la,Ana,120\n")
    assert [note.split(" is not read")[0] for note in corpus.notes] == [
        "The column 'lyric'",
        "The column 'Artists'",
        "The column 'Lang'",
    ]


def test_genres_that_hold_another_separator_are_told(tmp_path):
    corpus = read(tmp_path, "m.csv", 'audio,genres\na.mp3,rock|pop\nb.mp3,"soul, polka"\n')
    (note,) = corpus.notes
    assert "1 genre holds a separator and stays whole, such as 'soul, polka': this column's is '|'" in note
    assert manifest.read(tmp_path / "m.csv", "|").notes == ()


def table_of(tmp_path: Path, name: str, content: bytes | str) -> tables.Table:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return tables.read_table(tmp_path / name, manifest.COLUMNS)


ROWS = [{"audio": "a.mp3", "genres": "rock"}, {"audio": "b.mp3", "genres": "pop"}]
WHOLE = {
    "under a name": {"tracks": ROWS},
    "beside other things": {"version": 1, "info": {"by": "me"}, "tracks": ROWS},
    "deeper": {"version": 1, "data": {"items": ROWS}},
    "columns": {"audio": ["a.mp3", "b.mp3"], "genres": ["rock", "pop"]},
    "columns by number": {"audio": {"0": "a.mp3", "1": "b.mp3"}, "genres": {"0": "rock", "1": "pop"}},
    "split": {"columns": ["audio", "genres"], "index": [0, 1], "data": [["a.mp3", "rock"], ["b.mp3", "pop"]]},
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("indent", [None, 1])
def test_rows_within_one_json_object(tmp_path, kind, indent):
    table = table_of(tmp_path, "m.json", json.dumps(WHOLE[kind], indent=indent))
    assert [(row.cells["audio"], row.cells["genres"]) for row in table.rows] == [("a.mp3", "rock"), ("b.mp3", "pop")]


def test_objects_by_their_ids_keep_them(tmp_path):
    table = table_of(tmp_path, "m.json", json.dumps({"x1": ROWS[0], "x2": ROWS[1]}))
    assert [(row.cells["id"], row.cells["audio"]) for row in table.rows] == [("x1", "a.mp3"), ("x2", "b.mp3")]


def test_one_object_is_one_row(tmp_path):
    for indent in (None, 2):
        rows = table_of(tmp_path, "m.json", json.dumps({"audio": "a.mp3", "genres": ["rock"]}, indent=indent)).rows
        assert [row.cells for row in rows] == [{"audio": "a.mp3", "genres": ["rock"]}]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "above", ["My music\n", "\n\n", "# exported\n\n", "My music{0}{0}\n{0}{0}\n", "a,b,c\n1,2,3\n\n"]
)
def test_lines_above_the_header_are_passed_over_and_told(tmp_path, separator, above):
    body = separator.join(("audio", "genres")) + "\n" + separator.join(("a.mp3", "rock")) + "\n"
    table = table_of(tmp_path, "m.csv", above.format(separator) + body)
    assert [row.cells for row in table.rows] == [{"audio": "a.mp3", "genres": "rock"}]
    assert bool(tables.unread(table, manifest.COLUMNS)) == any(sign.isalnum() for sign in above)


def test_excels_unicode_text(tmp_path):
    for name in ("m.txt", "m.csv"):
        table = table_of(tmp_path, name, "audio\tgenres\na.mp3\tforró\n".encode("utf-16"))
        assert table.rows[0].cells == {"audio": "a.mp3", "genres": "forró"}
