"""A data set that the disk has no room for is refused before anything is decoded."""

from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.prepare import room
from data_pipeline.prepare.options import DataConfig, LyricsConfig, PrepareOptions
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.sources import read_corpus

Usage = namedtuple("Usage", "total used free")


def free(monkeypatch, count):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(2 * count, count, count))


def test_what_is_in_the_work_folder_already_needs_no_room_again(tmp_path: Path, monkeypatch):
    free(monkeypatch, 1000)
    room.check(tmp_path, tmp_path / "work", 5, 100)
    with pytest.raises(InputError, match=r"6 tracks need 0\.0 GB"):
        room.check(tmp_path, tmp_path / "work", 6, 100)
    (tmp_path / "work").mkdir()
    np.save(tmp_path / "work" / "000000.npy", np.zeros(200, np.uint8))
    room.check(tmp_path, tmp_path / "work", 6, 100)


def test_prepare_ends_with_one_sentence_and_decodes_nothing(corpus: Path, tmp_path: Path, monkeypatch):
    free(monkeypatch, 10_000)
    options = PrepareOptions(DataConfig(min_genre_tracks=5), lyrics=LyricsConfig(encoder="minilm", max_tokens=16))
    stages = []
    with pytest.raises(InputError, match="free some, or choose another --out"):
        prepare(
            read_corpus(corpus), tmp_path / "out", options, progress=lambda stage, done, total: stages.append(stage)
        )
    assert not stages
