"""Evaluate and predict through the real command on a trained run."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile

import mgc_jax
from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax import api
from mgc_jax.cli import main
from mgc_jax.config import recipes
from mgc_jax.evaluation.results import Evaluation
from mgc_jax.evaluation.text import summary
from tests.support import plain_prediction
from tests.support.recipe import CONFIG, TINY

KEYS = {
    *("jaccard", "f1_example", "f1_micro", "f1_macro", "exact_match", "hamming_loss", "map_macro", "map_micro"),
    *("roc_auc_macro", "lrap", "num_tracks", "split", "split_kind", "threshold", "linear"),
}


@pytest.fixture(scope="module")
def report(run: Path, data: Path) -> dict:
    file = run / "result.json"
    assert main(["evaluate", "--workdir", str(run), "--data", str(data), "--json", str(file)]) == 0
    return json.loads(file.read_text(), parse_constant=pytest.fail)  # JSON has no NaN


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """7 s at 44.1 kHz in stereo: three windows of 3 s, the last one ending with the file."""
    time = np.arange(7 * 44_100) / 44_100
    left = 0.3 * np.sin(2 * np.pi * 220 * time) * (time % 0.5 < 0.2)
    file = tmp_path / "song.ogg"
    soundfile.write(file, np.stack([left, 0.5 * left], axis=1), 44_100)
    return file


def test_the_report_has_what_outsiders_rely_on(report: dict, run: Path, data: Path):
    assert report.keys() >= KEYS
    assert report == json.loads((run / "evaluation_test.json").read_text())
    assert report["num_tracks"] == PreparedData(data).split_sizes["test"]
    names = PreparedData(data).vocabulary.names
    assert [genre["name"] for genre in report["genres"]] == list(names)
    assert all(0 <= report[key] <= 1 for key in KEYS - {"num_tracks", "split", "split_kind", "threshold", "linear"})
    assert all(0 <= report["linear"][key] <= 1 for key in ("map_macro", "roc_auc_macro", "f1_example"))
    assert set(json.loads((run / "thresholds.json").read_text())) == set(names)


def test_evaluation_does_not_depend_on_the_batch_size(report: dict, run: Path, data: Path):
    model = mgc_jax.load(str(run))
    model.config = recipes.changed(model.config, {"compute.evaluation_batch_size": 8}, origin="the test")
    again = model.evaluate(str(data), "test").to_json()
    for key in ("map_macro", "jaccard", "bce"):
        assert again[key] == pytest.approx(report[key], rel=1e-5)


def test_stored_features_and_the_encoder_in_the_step_agree(report: dict, run: Path, corpus: Path, tmp_path: Path):
    tokens = [*TINY, "--config.lyrics.input=tokens"]
    assert main(["prepare", "--config", CONFIG, *tokens, "--source", str(corpus), "--out", str(tmp_path / "data")]) == 0
    model = mgc_jax.load(str(run))
    model.in_workdir = False  # the kept evaluation is of the features, which the linear rival reads otherwise
    with pytest.raises(InputError, match=r"lyrics\.input=tokens"):
        model.evaluate(str(tmp_path / "data"), "test")
    model.config = recipes.changed(model.config, {"lyrics.input": "tokens"}, origin="the test")
    data = PreparedData(tmp_path / "data")
    again = model.evaluate(data, "test").to_json()
    for key in ("bce", "map_macro", "jaccard"):
        assert again[key] == pytest.approx(report[key], rel=2e-3)  # float16 against float32


@pytest.mark.usefixtures("report")
def test_predict_ranks_every_genre(run: Path, data: Path, song: Path, tmp_path: Path, capsys):
    lyrics = tmp_path / "song.txt"
    lyrics.write_text("dancing all night\nunder the lights\n")
    out = tmp_path / "genres.json"
    same = shutil.copy(song, tmp_path / os.fsdecode(b"caf\xe9.mp3"))  # Latin-1, from another system
    arguments = ["predict", "--workdir", str(run), str(song), str(same), "--json", str(out)]
    assert main([*arguments, "--lyrics", str(lyrics), "--lyrics", "-"]) == 0
    read, heard = json.loads(out.read_text())
    assert heard["file"] == f"{tmp_path}/caf\\xe9.mp3"
    assert read["windows"] == heard["windows"] == 3
    assert read["lyrics_tokens"] > 0 == heard["lyrics_tokens"]
    assert {g["name"] for g in read["genres"]} == set(PreparedData(data).vocabulary.names)
    scores = [g["score"] for g in read["genres"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < s < 1 for s in scores)
    assert scores != [g["score"] for g in heard["genres"]]
    assert read["predicted"]
    assert "3 windows" in capsys.readouterr().out


@pytest.mark.usefixtures("report")
def test_a_broken_file_does_not_keep_the_others_from_their_genres(run: Path, song: Path, tmp_path: Path, capsys):
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"")
    out = tmp_path / "genres.json"
    assert main(["predict", "--workdir", str(run), str(broken), str(song), "--json", str(out)]) == 2
    captured = capsys.readouterr()
    assert len(json.loads(out.read_text())) == 1
    assert str(broken) in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.usefixtures("report")
def test_the_same_clip_alone_scores_as_in_evaluation(run: Path, data: Path):
    prepared = PreparedData(data)
    track = prepared.tracks("test")[0]
    model = mgc_jax.load(str(run))
    batch = next(iter(prepared.evaluation_batches("test", batch_size=8)))
    tokens = batch["tokens"][0][: batch["num_tokens"][0]]
    placed = plain_prediction.batch(model, [batch["spectrogram"][0]], tokens)
    stored = np.asarray(model.evaluation_step(model.state, model.network.frozen, placed)["scores"])[0]
    fresh = model.predict(track["audio"])
    if batch["num_tokens"][0] == 0 and fresh.windows == 1:
        by_name = dict(fresh.ranked)
        np.testing.assert_allclose([by_name[n] for n in model.vocabulary.names], stored, atol=1e-6)
    assert stored.shape == (model.vocabulary.size,)


def test_an_unknown_split_is_named(run: Path, data: Path, capsys):
    assert main(["evaluate", "--workdir", str(run), "--data", str(data), "--split", "dev"]) == 2
    assert "no split dev" in capsys.readouterr().err


@pytest.fixture(scope="module")
def model(report: dict, run: Path) -> mgc_jax.Model:
    return mgc_jax.load(run)


def test_a_song_is_the_same_as_file_bytes_and_array(model: mgc_jax.Model, song: Path):
    wanted = model.predict(song, "dancing all night")
    samples, rate = soundfile.read(song)
    ways = (
        model.predict(song.read_bytes(), "dancing all night"),
        model.predict(samples, "dancing all night", rate=rate),
        model.predict(samples.T, "dancing all night", rate=rate),
        model.predict((samples * 2**15).astype(np.int16), "dancing all night", rate=rate),
        model.predict(str(song), "dancing all night"),
    )
    for way in ways:
        assert dict(way.ranked) == pytest.approx(dict(wanted.ranked), abs=2e-3)
        assert (way.windows, way.lyrics_tokens) == (wanted.windows, wanted.lyrics_tokens)
    assert ways[0].file == f"{song.stat().st_size} bytes"
    assert ways[0].ranked == wanted.ranked == ways[4].ranked
    assert model.predict(bytearray(song.read_bytes()), "dancing all night").ranked == wanted.ranked


def test_embeddings_are_means_over_windows_and_score_as_the_loss_has_it(model: mgc_jax.Model, song: Path):
    import jax

    tokens = model.tokens("dancing all night")
    clips = [clip for _, clip in model.clips(song)]
    weights = [window.weight for window in model.windows(song)]
    whole = jax.jit(lambda state, frozen, batch: model.network.merge(state, frozen)(batch, train=False))
    out = whole(model.state, model.network.frozen, plain_prediction.batch(model, clips, tokens))
    embedding = model.embed(song, "dancing all night")
    np.testing.assert_allclose(embedding.audio, np.average(out.audio_embedding[: len(clips)], 0, weights), atol=1e-5)
    np.testing.assert_allclose(embedding.lyrics, np.average(out.lyrics_embedding[: len(clips)], 0, weights), atol=1e-5)
    assert embedding.fused.shape == (model.config.model.width,)
    assert model.embed(song).lyrics is None


@pytest.mark.parametrize(
    ("audio", "lyrics", "rate", "said"),
    [
        (b"", None, None, "0 bytes: empty file"),
        (b"\x89PNG and so on", None, None, "not audio: a PNG image"),
        ("", None, None, "cannot be opened"),
        ("no\0body.mp3", None, None, "cannot be opened"),
        (np.zeros(44_100, np.float32), None, 44_100, "silent"),
        (np.zeros(44_100, np.float32), None, None, "need their rate"),
        (np.zeros(0), None, 44_100, "no samples of sound"),
        (np.ones((2, 2, 2)), None, 44_100, "no samples of sound"),
        (np.full(44_100, np.nan), None, 44_100, "NaN"),
        (np.ones(4), None, 7, "sample rate that no music has"),
        (np.array(["la", "la"]), None, 44_100, "no samples of sound"),
        (np.ones(44_100), "la " * (40 << 20), 44_100, "larger than 1 MiB"),
        (np.ones(44_100), "\0\1\2" * 100, 44_100, "not text"),
    ],
)
def test_what_is_no_song_is_told_in_one_sentence(model: mgc_jax.Model, audio, lyrics, rate, said):
    with pytest.raises(InputError, match=said) as error:
        model.predict(audio, lyrics, rate=rate)
    assert len(str(error.value)) < 200


def test_a_run_computes_in_the_dtype_that_is_asked_for(run: Path, model: mgc_jax.Model, song: Path):
    low = mgc_jax.load(run, dtype="bfloat16")
    scores = np.array([[score for _, score in sorted(m.predict(song).ranked)] for m in (model, low)])
    assert 0 < np.abs(scores[0] - scores[1]).max() < 0.05
    assert mgc_jax.load(run, dtype="float32").predict(song) == model.predict(song)
    with pytest.raises(InputError, match=r"compute\.dtype is 'half', but must be one of auto, float32, bfloat16"):
        mgc_jax.load(run, dtype="half")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_workdir_that_cannot_be_written_is_evaluated_all_the_same(
    run: Path, data: Path, report: dict, tmp_path: Path, monkeypatch
):
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    (folder / "thresholds.json").unlink()
    model, before = mgc_jax.load(folder), contents(folder)
    with monkeypatch.context() as read_only:
        read_only.setattr(api, "can_write", lambda place: False)
        again = model.evaluate(data)
    assert contents(folder) == before
    assert again.metrics["map_macro"] == pytest.approx(report["map_macro"])
    assert model.thresholds.tolist() == [genre["threshold"] for genre in again.genres.values()]
    np.testing.assert_array_equal(model.evaluated["test"].thresholds, model.thresholds)
    model.evaluate(data)
    assert (folder / "thresholds.json").exists()


def test_a_model_is_read_from_a_bucket(
    model: mgc_jax.Model, song: Path, data: Path, report: dict, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = fsspec.filesystem("memory")
    files.put(str(model.folder.path), "/bucket/run", recursive=True)
    try:
        there = mgc_jax.load("memory://bucket/run")
        copy = there.folder.path
        assert there.predict(song).ranked == model.predict(song).ranked
        assert copy.is_relative_to(tmp_path)
        assert not (copy / "checkpoints" / "latest").exists()
        before = contents(copy)
        evaluation = Evaluation.read(model.folder.evaluation("test"), "test", model.vocabulary.names)
        for place in ("memory://bucket/run", str(copy)):  # a copy is one, whoever names it
            capsys.readouterr()
            assert main(["evaluate", "--workdir", place, "--data", str(data)]) == 0
            said = capsys.readouterr().out
            assert f"{place} is no workdir that can be written: figures and thresholds are not kept in it" in said
            assert summary(evaluation) in said
        assert contents(copy) == before
        assert main(["predict", "--workdir", "memory://bucket/run/", str(song)]) == 0
        assert str(copy) in capsys.readouterr().out
        files.pipe_file("/bucket/run/thresholds.json", b"{}")  # another state of the same address
        assert mgc_jax.load("memory://bucket/run").folder.path != copy
    finally:
        files.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "address is empty"),
        (" ", "address is empty"),
        ("memory://bucket/nothing", "There is nothing in memory://bucket/nothing"),
        ("nowhere://bucket/run", "nowhere://bucket/run cannot be used"),
        ("no/such/folder", "There is no folder no/such/folder"),
    ],
)
def test_an_address_without_a_model_is_named(place, said, capsys):
    with pytest.raises(InputError, match=said):
        mgc_jax.load(place)
    if place.strip():  # else argparse refuses it
        assert main(["predict", "--workdir", place, "song.mp3"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_run_is_loaded_on_other_devices_than_it_was_trained_on(
    run: Path, model: mgc_jax.Model, song: Path, data: Path, report: dict, tmp_path: Path
):
    """A copy of the model with settings for three devices."""
    folder = shutil.copytree(run, tmp_path / "run")
    settings = json.loads((folder / "config.json").read_text())
    settings["compute"]["model_parallel"] = 3
    (folder / "config.json").write_text(json.dumps(settings))
    other = mgc_jax.load(folder)
    assert other.predict(song, "la la").predicted == model.predict(song, "la la").predicted
    assert other.evaluate(data).metrics["map_macro"] == pytest.approx(report["map_macro"], abs=1e-6)


@pytest.mark.parametrize(
    ("audio", "lyrics", "rate", "said"),
    [
        ("song.mp3", Path("words.txt"), None, "Lyrics are text, not PosixPath"),
        ("song.mp3", b"la la", None, "Lyrics are text, not bytes"),
        ("song.mp3", None, 44_100, "A file tells its rate by itself"),
        ([0.1, 0.2], None, None, "Samples need their rate"),
        ([["a"], ["b"]], None, 44_100, "no samples of sound"),
        (None, None, 44_100, "A song is a path, the bytes of a file, or samples with their rate, not NoneType"),
        (io.BytesIO(b"RIFF"), None, None, "not BytesIO"),
        (bytearray(b"RIFF"), None, 44_100, "A file tells its rate by itself"),
        ([0, 300, -300] * 40_000, None, 44_100, "integers of 64 bits"),
        ([[0.1], [0.1, 0.2]], None, 44_100, "no samples of sound"),
    ],
)
def test_what_is_no_song_or_no_lyrics_is_named(model: mgc_jax.Model, audio, lyrics, rate, said):
    with pytest.raises(InputError, match=said):
        model.predict(audio, lyrics, rate=rate)


def test_samples_may_come_in_any_array(model: mgc_jax.Model, song: Path):
    samples, rate = soundfile.read(song, dtype="float32")
    lists, array = (dict(model.predict(given, rate=rate).ranked) for given in (samples.tolist(), samples))
    assert lists == pytest.approx(array)


@pytest.mark.slow
def test_the_python_api_works_without_tensorflow(model: mgc_jax.Model, report: dict, data: Path, song: Path):
    code = f"""
import sys
sys.modules.update(dict.fromkeys(("tensorflow", "tensorflow_datasets", "ml_collections")))
import mgc_jax
model = mgc_jax.load({str(model.folder.path)!r})
assert model.predict({str(song)!r}).windows == 3
assert model.embed({str(song)!r}, "la la").fused.any()
assert model.explain({str(song)!r}, "la la").word_effect.any()
print(model.evaluate({str(data)!r}).metrics["map_macro"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) == pytest.approx(report["map_macro"], abs=1e-4)
