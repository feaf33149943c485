"""Songs in a table, sentences, and bars where a notebook can redraw them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mgc_jax import notebook
from mgc_jax.runtime import progress


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.mp3"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(32000), 16000)
    return path


def test_songs_are_played_and_texts_are_no_html(song):
    table = notebook.songs([{"audio": song, "<b>": "<script>alert(1)</script>\nr&b"}]).data
    assert table.count("<audio") == 1
    assert "data:audio/mpeg;base64," in table
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\nr&amp;b" in table
    assert "<script" not in table
    assert "<b>" not in table


def test_a_song_that_is_not_here_or_too_large_is_named_and_not_played(song, tmp_path, monkeypatch):
    assert "its file is not here" in notebook.songs([{"audio": str(tmp_path / "gone.mp3"), "song": "x"}]).data
    monkeypatch.setattr(notebook, "LARGEST", song.stat().st_size - 1)
    table = notebook.songs([{"audio": song, "song": "x"}]).data
    assert "too large" in table
    assert "base64" not in table


def test_no_songs_make_an_empty_table():
    assert "<td" not in notebook.songs([]).data


def test_outside_of_a_notebook_there_are_no_sentences():
    with pytest.raises(RuntimeError, match="for notebooks"):
        notebook.sentences()


def test_a_kernel_gets_a_bar_and_a_file_gets_lines(monkeypatch):
    kernels = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    for stream, bar in ((kernels(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        counted = progress.Progress("count", 2, "songs")
        counted.update(2)
        counted.close()
        assert ("\r" in stream.getvalue()) == bar
        assert "2/2" in stream.getvalue()


def test_each_count_of_one_label_begins_anew(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    with progress.Counter("songs") as counter:
        for total in (5, 2):
            for done in range(total + 1):
                counter("lyrics", done, total)
    counts = [line.split()[1] for line in stream.getvalue().splitlines()]
    assert [count for count in counts if not count.startswith("0/")] == [
        "1/5",
        "2/5",
        "3/5",
        "4/5",
        "5/5",
        "1/2",
        "2/2",
    ]
    assert "-" not in stream.getvalue()
