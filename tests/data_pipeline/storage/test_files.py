"""Files are there whole or not at all, whoever else writes them, and JSON is JSON."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline import genres
from data_pipeline.errors import InputError
from data_pipeline.storage.files import (
    can_write,
    final_name,
    read_tsv,
    replacing,
    stays_inside,
    write_tsv,
    written_whole,
)
from data_pipeline.storage.json_file import json_text, read_json, write_json


def test_two_that_write_one_file_do_not_disturb_each_other(tmp_path: Path):
    path = tmp_path / "report.json"
    with written_whole(path) as first:
        first.write(b"first")
        with written_whole(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError, OSError])
def test_what_did_not_end_well_leaves_the_old_file_and_nothing_else(tmp_path: Path, raised):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(InputError if raised is OSError else raised), written_whole(path) as file:  # noqa: PT012
        file.write(b"new")
        raise raised
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_is_not_cut_by_a_row_that_cannot_be_written(tmp_path: Path):
    path = tmp_path / "tracks.tsv"
    write_tsv(path, ["id"], [["a\tb"]])
    assert path.read_text() == "id\na\\tb\n"

    class Unwritable:
        def __str__(self) -> str:
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        write_tsv(path, ["id"], [["c"], [Unwritable()]])
    assert path.read_text() == "id\na\\tb\n"


NAMES = st.binary(min_size=1, max_size=20).map(os.fsdecode) | st.text(st.characters(exclude_categories=["Cs"]))


@given(rows=st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=4))
def test_a_table_holds_any_name(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]):
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    write_tsv(path, ["é\n"], rows)
    assert list(read_tsv(path)) == [["é\n"], *rows]
    assert len(path.read_text("utf-8").splitlines()) == 1 + len(rows)


def test_a_table_escapes_as_copy_does(tmp_path: Path):
    path = tmp_path / "a.tsv"
    write_tsv(path, ["a"], [["tab\tline\nreturn\rback\\slash", "nul\0", os.fsdecode(b"\xe9.mp3"), "\u2028", "\ud800"]])
    cells = path.read_text("utf-8").splitlines()[1].split("\t")
    assert cells == [r"tab\tline\nreturn\rback\\slash", r"nul\x00", r"\xe9.mp3", r"\xe2\x80\xa8", "?"]


def test_a_name_that_is_no_text_is_kept_in_json(tmp_path: Path):
    write_json(tmp_path / "a.json", {"audio": os.fsdecode(b"\xe9.mp3")})
    assert os.fsencode(json.loads((tmp_path / "a.json").read_text("utf-8"))["audio"]) == b"\xe9.mp3"


@pytest.mark.parametrize("name", ["a/b", "\u3000\xa0\xad.mp3", "👨\u200d👩.mp3", "é", os.fsdecode(b"\xe9")])
def test_any_name_within_a_folder_stays_inside(name: str):
    assert stays_inside(name)


@pytest.mark.parametrize("name", ["/a", "..", "a/../../b", "a\\b", "a\0", "a\n", None])
def test_other_names_do_not(name: str | None):
    assert not stays_inside(name)


def test_a_vocabulary_is_written_whole(tmp_path: Path, monkeypatch):
    path = tmp_path / "genres.json"
    vocabulary = genres.make_vocabulary([["rock", "pop"], ["rock"]])
    vocabulary.save(path)
    os.link(path, tmp_path / "same")
    genres.make_vocabulary([["jazz"]]).save(path)
    assert genres.GenreVocabulary.load(tmp_path / "same") == vocabulary  # the file was replaced, not overwritten


def test_a_partial_file_tells_its_name(tmp_path: Path):
    with replacing(tmp_path / "tracks.tsv") as partial:
        partial.touch()
        assert partial.name != "tracks.tsv"
        assert final_name(partial.name) == "tracks.tsv"
    assert final_name("a.partial") == "a.partial"


def test_a_pipe_is_written_and_stays_one(tmp_path: Path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    write_json(path, {"a": 1}, indent=None)
    reader.join()
    assert read == ['{"a": 1}\n']
    assert path.is_fifo()


def test_a_number_that_is_not_finite_is_null(tmp_path: Path):
    value = {"a": [1.0, float("nan"), (float("inf"), "é")], "b": {"c": -float("inf"), "d": True}}
    known = {"a": [1.0, None, [None, "é"]], "b": {"c": None, "d": True}}
    assert json.loads(json_text(value), parse_constant=pytest.fail) == known
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == known


def test_whether_a_folder_can_be_written_is_tried(tmp_path: Path):
    assert can_write(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not can_write(tmp_path / "nothing")
    assert not can_write(Path("/sys"))  # where not even root can write
