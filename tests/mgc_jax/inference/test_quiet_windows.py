"""What is said of a song is said of its music, whatever silence and noise are recorded with it."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mgc_jax
from mgc_jax.cli import main
from mgc_jax.web import result
from tests.support import sounds

NOISE = {
    "noise at -72 dBFS": lambda rate: sounds.hiss(60.0, rate),
    "dither": lambda rate: (np.random.default_rng(0).integers(-6, 7, 60 * rate) / 2**15).astype(np.float32),
    "silence": lambda rate: np.zeros(60 * rate, np.float32),
}


@pytest.fixture(scope="module")
def model(run: Path) -> mgc_jax.Model:
    return mgc_jax.load(run)


@pytest.fixture(scope="module")
def songs(corpus: Path) -> list[tuple[np.ndarray, int]]:
    """Four songs of 6 s."""
    files = [path for path in sorted((corpus / "audios").glob("*.mp3")) if path.stat().st_size > 9_000][:8]
    read = [soundfile.read(path, dtype="float32") for path in files]
    pairs = zip(read[::2], read[1::2], strict=True)
    return [(np.concatenate([first, second]), rate) for (first, rate), (second, _) in pairs]


@pytest.mark.parametrize("noise", NOISE)
def test_noise_behind_a_song_does_not_change_its_genres(model, songs, noise):
    for song, rate in songs:
        alone, found = model.predict(song, rate=rate), model.predict(np.append(song, NOISE[noise](rate)), rate=rate)
        assert found.predicted == alone.predicted
        assert dict(found.ranked) == pytest.approx(dict(alone.ranked), abs=1e-6)
        assert (found.windows, alone.windows, alone.too_quiet) == (2, 2, 0)
        assert found.too_quiet in (19, 20)


def test_nor_does_a_song_that_breaks_off_anywhere(model, songs):
    song, rate = songs[0]
    for cut in (int(4.7 * rate), int(5.123 * rate)):
        alone = model.predict(song[:cut], rate=rate)
        found = model.predict(np.append(song[:cut], sounds.hiss(60.0, rate)), rate=rate)
        assert found.predicted == alone.predicted
        assert dict(found.ranked) == pytest.approx(dict(alone.ranked), abs=5e-3)


def test_embeddings_and_reasons_are_those_of_the_music(model, songs):
    song, rate = songs[0]
    longer = np.append(song, sounds.hiss(60.0, rate))
    for part in ("audio", "fused"):
        alone, found = (getattr(model.embed(samples, rate=rate), part) for samples in (song, longer))
        np.testing.assert_allclose(found, alone, atol=1e-6)
    alone, found = (model.explain(samples, rate=rate) for samples in (song, longer))
    np.testing.assert_array_equal(found.windows, alone.windows)
    np.testing.assert_allclose(found.logits, alone.logits, atol=1e-5)
    np.testing.assert_allclose(found.segment_effect, alone.segment_effect, atol=1e-5)
    assert found.prediction.too_quiet >= 19


def test_scores_are_weighted_by_level(model, songs):
    (loud, rate), (other, _) = songs[:2]
    parts = loud[: 3 * rate], 0.1 * other[: 3 * rate]
    found = dict(model.predict(np.concatenate(parts), rate=rate).ranked)
    first, second = (dict(model.predict(part, rate=rate).ranked) for part in parts)
    levels = [part.std() for part in parts]
    for name, score in found.items():
        assert score == pytest.approx(np.average([first[name], second[name]], weights=levels), abs=2e-5)


def test_the_command_and_the_page_say_what_was_left_out_and_done(run, model, songs, tmp_path, capsys):
    song, rate = songs[0]
    noisy = np.append(song, sounds.hiss(30.0, rate))
    soundfile.write(tmp_path / "song.wav", np.stack([noisy, -noisy], axis=1), rate, subtype="FLOAT")
    out = tmp_path / "out.json"
    assert main(["predict", "--workdir", str(run), str(tmp_path / "song.wav"), "--json", str(out)]) == 0
    (found,) = json.loads(out.read_text("utf-8"))
    assert found["sound"] == ["one channel taken"]
    assert (found["windows"], found["windows_too_quiet"]) in ((2, 9), (2, 10))
    said = capsys.readouterr().out
    assert f"(2 windows, {found['windows_too_quiet']} too quiet, no lyrics, one channel taken)" in said
    page = result.genres(model.predict(tmp_path / "song.wav"), dict.fromkeys(model.genres, 0.5))
    assert f"2 stretches of sound ({found['windows_too_quiet']} more were too quiet) (one channel taken)" in page


@pytest.mark.parametrize("kind", ["pipe", "m4a", "webm"])
def test_any_format_and_a_pipe(run, model, songs, tmp_path, kind, capsys):
    song, rate = songs[0]
    wanted = model.predict(song, rate=rate)
    if kind == "pipe":
        os.mkfifo(tmp_path / "song.pipe")
        content = sounds.file(song, rate, subtype="FLOAT")
        threading.Thread(target=(tmp_path / "song.pipe").write_bytes, args=(content,)).start()
    elif kind == "m4a":
        (tmp_path / "song.m4a").write_bytes(sounds.by_ffmpeg(song, "alac", "ipod", rate, format="s32p"))
    else:
        samples = sounds.music(6.0, 48_000)
        (tmp_path / "song.webm").write_bytes(sounds.by_ffmpeg(samples, "libopus", "webm", 48_000))
    out = tmp_path / "out.json"
    assert main(["predict", "--workdir", str(run), str(tmp_path / f"song.{kind}"), "--json", str(out)]) == 0
    (found,) = json.loads(out.read_text("utf-8"))
    assert found["windows"] == 2
    if kind != "webm":
        scores = {genre["name"]: genre["score"] for genre in found["genres"]}
        assert scores == pytest.approx(dict(wanted.ranked), abs=1e-4)


def test_a_pipe_is_explained_too(model, songs, tmp_path):
    song, rate = songs[0]
    os.mkfifo(tmp_path / "song.pipe")
    threading.Thread(target=(tmp_path / "song.pipe").write_bytes, args=(sounds.file(song, rate),)).start()
    assert len(model.explain(tmp_path / "song.pipe").windows) == 2
