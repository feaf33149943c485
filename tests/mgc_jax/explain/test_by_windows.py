"""The seconds that speak for the genres of a built-in model, whose windows are heard by themselves."""

import importlib.util
import json

import numpy as np
import pytest
import soundfile
from scipy.special import logit

import mgc_jax
from data_pipeline.errors import InputError
from mgc_jax.cli import main
from mgc_jax.inference import recording
from mgc_jax.models import musicnn
from mgc_jax.network.audio_encoders import audio_encoder
from mgc_jax.runtime import sharding
from scripts import golden_musicnn

pytestmark = pytest.mark.skipif(importlib.util.find_spec("musicnn") is None, reason="musicnn is not installed")
RATE = golden_musicnn.RATE
SOUND = golden_musicnn.waveform()[: 5 * RATE]


@pytest.fixture(scope="module")
def model():
    return mgc_jax.load("musicnn")


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    file = tmp_path_factory.mktemp("songs") / "song.wav"
    soundfile.write(file, SOUND, RATE, subtype="FLOAT")
    return file


def test_the_effect_of_a_window_is_what_silence_in_its_place_takes_away(model, song):
    names = ["jazz", "metal"]
    why = model.explain(song, genres=names)
    encoder = audio_encoder("musicnn")
    clips = [SOUND[: encoder.window], SOUND[-encoder.window :], np.zeros(encoder.window, np.float32)]
    tokens = encoder.apply(encoder.weights, np.stack(clips))
    each = logit(np.asarray(musicnn.tag_probabilities(encoder.weights, tokens[:, 0, : musicnn.POOLED]), np.float64))
    columns = [musicnn.TAGS.index(name) for name in why.genres]
    assert set(why.genres) == set(names)
    np.testing.assert_allclose(why.segment_effect, each[:2, columns] - each[2, columns], atol=1e-3)
    np.testing.assert_allclose(why.base, each[2, columns], atol=1e-3)
    np.testing.assert_allclose(why.segments, [[0, 3.008], [1.992, 5]], atol=1e-3)
    loudness = np.array([clip.std() for clip in clips[:2]])
    np.testing.assert_allclose(why.logits, loudness / loudness.sum() @ each[:2, columns], atol=1e-3)
    np.testing.assert_allclose(why.base + why.sound_part + why.words_part, why.logits, atol=1e-12)
    assert not why.words_part.any()


def test_it_explains_what_it_predicts(model, song):
    why, found = model.explain(song), model.predict(song)
    assert why.genres == found.predicted == why.prediction.predicted
    assert why.prediction.ranked == found.ranked


@pytest.mark.parametrize("seconds", [1.0, 3.0, 80.0])
def test_all_windows_of_songs_of_any_length_are_explained(model, seconds):
    sound = np.resize(SOUND, int(seconds * RATE))
    why = model.explain(sound, rate=RATE)
    assert len(why.windows) == len(why.segments) == len(why.segment_effect) == why.prediction.windows
    assert why.segments[0, 0] == 0
    assert why.segments[-1, 1] == pytest.approx(seconds, abs=0.01)
    assert np.isfinite(why.segment_effect).all()


def test_what_it_does_not_know_or_read_is_said(model, song):
    with pytest.raises(InputError, match="knows no genre 'jaz'; did you mean jazz"):
        model.explain(song, genres=["jaz"])
    with pytest.raises(InputError, match="reads no lyrics"):
        model.explain(song, "la la la")
    with pytest.raises(InputError, match="There is no genre to explain"):
        model.explain(song, genres=[])


def test_the_command_prints_writes_and_draws_it(song, tmp_path, capsys):
    picture, file = tmp_path / "why.png", tmp_path / "why.json"
    assert main(["explain", "--workdir", "musicnn", str(song), "--out", str(picture), "--json", str(file)]) == 0
    said = capsys.readouterr().out
    assert "seconds for" in said
    assert "words" not in said
    assert " silence " in said
    assert picture.stat().st_size > 10_000
    content = json.loads(file.read_text())
    assert [genre["name"] for genre in content["genres"]] == content["prediction"]["predicted"]
    assert len(content["segments"]) == 2
    assert not {"words", "words_not_read"} & content.keys()
    assert not {"lyrics_tokens", "lyrics_problem"} & content["prediction"].keys()
    assert all("words" not in genre and genre["sound"] for genre in content["genres"])


def test_a_song_is_decoded_and_its_windows_are_scored_once(model, song, monkeypatch):
    decoded, scored, windows, scores = [], [], recording.windows, model.scores
    monkeypatch.setattr(recording, "windows", lambda *given, **more: decoded.append(given) or windows(*given, **more))
    monkeypatch.setitem(model.__dict__, "scores", lambda clips: scored.append(len(clips)) or scores(clips))
    model.explain(song)
    assert len(decoded) == 1
    assert scored == [model.at_once, model.at_once]  # its windows, and silence


def test_one_mesh_serves_all_batches(song, monkeypatch):
    made, make_mesh = [], sharding.make_mesh
    monkeypatch.setattr(sharding, "make_mesh", lambda *given: made.append(given) or make_mesh(*given))
    anew = mgc_jax.load("musicnn")
    anew.predict(np.resize(SOUND, 80 * RATE), rate=RATE)
    anew.explain(song)
    assert len(made) == 1
