"""Genres of a song without training: the built-in model by its name, from the command and from Python."""

import importlib.util
import json

import numpy as np
import pytest
import soundfile

import mgc_jax
from data_pipeline.errors import InputError
from mgc_jax.cli import main
from mgc_jax.inference import tagger
from mgc_jax.models import musicnn
from mgc_jax.network.audio_encoders import audio_encoder
from mgc_jax.runs import addresses
from scripts import golden_musicnn

pytestmark = pytest.mark.skipif(importlib.util.find_spec("musicnn") is None, reason="musicnn is not installed")
SOUND = golden_musicnn.waveform()[: 5 * golden_musicnn.RATE]


@pytest.fixture(scope="module")
def model():
    return mgc_jax.load("musicnn")


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    file = tmp_path_factory.mktemp("songs") / "song.wav"
    soundfile.write(file, SOUND, golden_musicnn.RATE, subtype="FLOAT")
    return file


def test_every_tag_is_a_genre_or_something_else():
    others = [tag for tags in musicnn.NO_GENRES.values() for tag in tags]
    assert len(musicnn.TAGS) == len(set(musicnn.TAGS)) == 50
    assert sorted([*musicnn.GENRES, *others]) == sorted(musicnn.TAGS)
    assert len(musicnn.GENRES) == 30


def test_a_song_is_heard_in_windows_whose_mean_ranks_its_genres(model, song):
    found = model.predict(song)
    encoder = audio_encoder("musicnn")
    windows = np.stack([SOUND[: encoder.window], SOUND[-encoder.window :]])  # the last one ends with the song
    tokens = encoder.apply(encoder.weights, windows)
    each = np.asarray(musicnn.tag_probabilities(encoder.weights, tokens[:, 0, : musicnn.POOLED]))
    chances = np.average(each, axis=0, weights=windows.std(axis=1))  # the louder one counts more
    scores = dict(found.ranked)
    assert found.windows == 2
    assert scores.keys() == set(musicnn.GENRES) == set(model.genres)
    for name, score in scores.items():
        assert score == pytest.approx(chances[musicnn.TAGS.index(name)], abs=1e-5)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_genres_over_the_threshold_are_named_and_one_at_least(model, song):
    found = model.predict(song)
    over = [name for name, score in found.ranked if score >= tagger.THRESHOLD]
    assert list(found.predicted) == over or (not over and found.predicted == (found.ranked[0][0],))
    assert model.thresholds.tolist() == [tagger.THRESHOLD] * 30
    quiet = model.predict(np.random.default_rng(0).uniform(-0.01, 0.01, 32_000).astype(np.float32), rate=16_000)
    assert len(quiet.predicted) >= 1


def test_files_bytes_and_samples_give_the_same(model, song):
    wanted = model.predict(song).ranked
    assert model.predict(song.read_bytes()).ranked == wanted
    assert model.predict(SOUND, rate=golden_musicnn.RATE).ranked == wanted


@pytest.mark.parametrize(("seconds", "windows"), [(1.0, 1), (3.0, 1), (3.9, 1), (4.1, 2), (30.0, 10)])
def test_songs_of_any_length(model, seconds, windows):
    time = np.arange(int(seconds * 22_050)) / 22_050
    assert model.predict(0.3 * np.sin(2 * np.pi * 220 * time), rate=22_050).windows == windows


def test_lyrics_are_refused_and_what_is_no_song_too(model, song, tmp_path):
    with pytest.raises(InputError, match=r"^musicnn hears a song and reads no lyrics: leave them out\.$"):
        model.predict(song, "la la la")
    with pytest.raises(InputError, match="silent"):
        model.predict(np.zeros(48_000), rate=16_000)
    with pytest.raises(InputError, match="cannot be opened"):
        model.predict(tmp_path / "gone.mp3")


def test_the_command_prints_and_writes_what_a_run_does(model, song, tmp_path, capsys):
    file = tmp_path / "genres.json"
    assert main(["predict", "--workdir", "musicnn", str(song), "--top", "3", "--json", str(file)]) == 0
    found = model.predict(song)
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == f"{song} (2 windows): {', '.join(found.predicted)}"
    assert [row[4:28].strip() for row in rows] == [name for name, _ in found.ranked[:3]]
    assert json.loads(file.read_text("utf-8")) == [found.to_json()]


def test_a_sentence_about_lyrics_is_said_once(song, tmp_path, capsys):
    (tmp_path / "words.txt").write_text("la la la")
    lyrics = ["--lyrics", str(tmp_path / "words.txt")]
    assert main(["predict", "--workdir", "musicnn", str(song), str(song), *lyrics, *lyrics]) == 2
    assert capsys.readouterr().err == "mgc-jax: musicnn hears a song and reads no lyrics: leave them out.\n"


@pytest.mark.parametrize(
    "command",
    [
        "embed song.mp3 --out vectors --workdir musicnn",
        "export --out model --workdir musicnn",
        "report --workdir musicnn",
    ],
)
def test_other_commands_say_what_it_cannot_do(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("mgc-jax: musicnn is a built-in model, which names genres and says why")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_it_is_not_evaluated(data, capsys):
    assert main(["evaluate", "--workdir", "musicnn", "--data", str(data)]) == 2
    assert "mgc-jax: musicnn is a built-in model" in capsys.readouterr().err


def test_a_folder_of_this_name_is_meant_where_it_holds_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tuple(tagger.TAGGERS) == addresses.BUILT_IN
    assert tagger.built_in(tmp_path / "musicnn") is None
    (tmp_path / "musicnn").mkdir()
    assert tagger.built_in("musicnn").genres == musicnn.GENRES
    (tmp_path / "musicnn" / "config.json").write_text("{}")
    assert tagger.built_in("musicnn") is None
    assert addresses.local("musicnn").samefile(tmp_path / "musicnn")


def test_what_is_not_installed_is_told_with_what_to_run(song, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["predict", "--workdir", "musicnn", str(song)]) == 2
    assert capsys.readouterr().err == (
        "mgc-jax: The audio encoder musicnn is not installed; run: pip install --no-deps musicnn==0.1.0\n"
    )


def test_it_computes_in_one_precision():
    with pytest.raises(InputError, match="musicnn is a built-in model"):
        mgc_jax.load("musicnn", dtype="bfloat16")


def test_noise_behind_a_song_changes_nothing(model):
    rate = golden_musicnn.RATE
    noise = (10 ** (-72 / 20) * np.random.default_rng(0).standard_normal(60 * rate)).astype(np.float32)
    alone, found = model.predict(SOUND, rate=rate), model.predict(np.append(SOUND, noise), rate=rate)
    assert found.predicted == alone.predicted
    assert dict(found.ranked) == pytest.approx(dict(alone.ranked), abs=1e-6)
    assert (found.windows, found.too_quiet) == (2, int(60 * rate) // model.spec.num_samples)
