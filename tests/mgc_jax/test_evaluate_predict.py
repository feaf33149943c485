"""Evaluate and predict through the real command on a trained run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mgc_jax
from data_pipeline.errors import InputError
from data_pipeline.input import PreparedData
from mgc_jax.cli import main
from mgc_jax.evaluate import summary
from mgc_jax.workdir import write_json
from tests.conftest import CONFIG, TINY

KEYS = {
    *("jaccard", "f1_example", "f1_micro", "f1_macro", "exact_match", "hamming_loss", "map_macro", "map_micro"),
    *("roc_auc_macro", "lrap", "num_tracks", "split", "split_kind", "threshold"),
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
    assert all(0 <= report[key] <= 1 for key in KEYS - {"num_tracks", "split", "split_kind", "threshold"})
    assert set(json.loads((run / "thresholds.json").read_text())) == set(names)


def test_a_genre_without_test_tracks_has_no_score(report: dict, tmp_path: Path):
    write_json(tmp_path / "report.json", report | {"genres": [{"name": "polka", "f1": float("nan"), "support": 0}]})
    stored = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert stored["genres"] == [{"name": "polka", "f1": None, "support": 0}]
    missing = {"average_precision": float("nan"), "f1": float("nan"), "support": 0}
    table = summary(report | {"genres": [report["genres"][0] | missing]})
    assert table.splitlines()[-1].split()[-4:-1] == ["0", "-", "-"]


def test_evaluation_does_not_depend_on_the_batch_size(report: dict, run: Path, data: Path):
    model = mgc_jax.load(str(run))
    model.config["compute"]["evaluation_batch_size"] = 8
    again = model.evaluate(str(data), "test")
    for key in ("map_macro", "jaccard", "bce"):
        assert again[key] == pytest.approx(report[key], rel=1e-5)


def test_stored_features_and_the_encoder_in_the_step_agree(report: dict, run: Path, corpus: Path, tmp_path: Path):
    tokens = [*TINY, "--config.lyrics.input=tokens"]
    assert main(["prepare", "--config", CONFIG, *tokens, "--source", str(corpus), "--out", str(tmp_path / "data")]) == 0
    model = mgc_jax.load(str(run))
    with pytest.raises(InputError, match=r"lyrics\.input=tokens"):
        model.evaluate(str(tmp_path / "data"), "test")
    model.config["lyrics"]["input"] = "tokens"
    data = PreparedData(tmp_path / "data")
    for key in ("bce", "map_macro", "jaccard"):
        assert model.evaluate(data, "test")[key] == pytest.approx(report[key], rel=2e-3)  # float16 against float32


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
    stored = model._scores([batch["spectrogram"][0]], tokens)[0]
    fresh = model.predict(track["audio"])
    if batch["num_tokens"][0] == 0 and fresh.windows == 1:
        by_name = dict(fresh.ranked)
        np.testing.assert_allclose([by_name[n] for n in model.vocabulary.names], stored, atol=1e-6)
    assert stored.shape == (model.vocabulary.size,)


def test_an_unknown_split_is_named(run: Path, data: Path, capsys):
    assert main(["evaluate", "--workdir", str(run), "--data", str(data), "--split", "dev"]) == 2
    assert "no split dev" in capsys.readouterr().err
