"""Many songs at once say what each says alone: shared batches, lyrics that are read once, worker processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mgc_jax
from data_pipeline.errors import InputError
from mgc_jax.inference import ahead, batches, listening
from mgc_jax.inference.song import Failure, Song
from tests.support import plain_prediction, tiny_model

RATE = 22_050
LENGTHS = (3.0, 26.0, 1.5, 7.0, 3.0, 9.0)  # s, of windows of 2.3 s
WORDS = (
    "dancing all night",
    None,
    "under the lights and the stars we dance on and on until morning",
    "",
    "la la la",
    "dancing all night",
)


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    files = []
    for number, seconds in enumerate(LENGTHS):
        rng = np.random.default_rng(number)
        tone = np.sin(2 * np.pi * (200 + 90 * number) * np.arange(int(seconds * RATE)) / RATE)
        files.append(folder / f"{number}.wav")
        soundfile.write(files[-1], 0.2 * tone + 0.05 * rng.normal(size=len(tone)), RATE)
    return files


KINDS = {
    "the paper's": "",
    "flattened tokens": "model.pooling=flatten",
    "lyrics in windows": "lyrics.max_tokens=24 lyrics.window=10",
    "sound alone": "model.fusion=audio",
    "a rival": "model.architecture=pandeya loss.contrastive_weight=0.0 audio.hop_length=700",
}


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory) -> mgc_jax.Model:
    return tiny_model.model(tmp_path_factory.mktemp("model") / "run", KINDS[request.param])


def scores(found) -> dict[str, float]:
    return dict(found.ranked)


def test_each_song_of_many_is_predicted_as_window_by_window(model, songs):
    pairs = list(zip(songs, WORDS if model.reads_lyrics else [None] * len(WORDS), strict=True))
    for (song, words), found in zip(pairs, model.predict_many(pairs), strict=True):
        assert found.file == str(song)
        assert scores(found) == pytest.approx(plain_prediction.scores(model, song, words), abs=1e-5)
        alone = model.predict(song, words)
        assert scores(alone) == pytest.approx(scores(found), abs=1e-5)
        assert (alone.windows, alone.lyrics_tokens, alone.notes) == (found.windows, found.lyrics_tokens, found.notes)


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> mgc_jax.Model:
    return tiny_model.model(tmp_path_factory.mktemp("paper") / "run")


def test_one_program_of_one_size_sees_all_windows(paper, songs, monkeypatch):
    sizes = []
    through = batches.through

    def noted(given, compute, size):
        return through(given, lambda rows, n: (sizes.append((len(rows), n)), compute(rows, n))[1], size)

    monkeypatch.setattr(batches, "through", noted)
    found = list(paper.predict_many(songs))
    windows = sum(one.windows for one in found)
    assert [n for _, n in sizes] == [8] * -(-windows // 8)
    assert sum(n for n, _ in sizes) == windows
    sizes.clear()
    paper.predict(songs[0])
    assert sizes == [(1, 1)]


def test_lyrics_are_read_once_a_song_and_not_where_there_are_none(paper, songs, monkeypatch):
    read = []
    step = paper._lyrics_step
    monkeypatch.setitem(
        paper.__dict__, "_lyrics_step", lambda *given: (read.append(given[2]["tokens"].shape), step(*given))[1]
    )
    list(paper.predict_many(zip(songs, WORDS, strict=True)))
    assert len(read) == sum(bool(words) for words in WORDS)
    assert {rows for rows, _ in read} == {1}
    assert len({length for _, length in read}) > 1  # of 13 at most
    read.clear()
    list(paper.predict_many(songs))
    assert not read


def test_a_model_whose_genres_need_no_words_refuses_them_and_names_none(songs, tmp_path, monkeypatch):
    model = tiny_model.model(tmp_path / "run", "model.fusion=audio")
    monkeypatch.setitem(model.__dict__, "_lyrics_step", pytest.fail)
    assert (model.reads_lyrics, model.embeds_lyrics) == (False, True)  # by the A-L loss
    with pytest.raises(InputError, match="hears a song and reads no lyrics: leave them out"):
        model.predict(songs[0], "dancing all night")
    found, refused = model.predict_many([songs[0], (songs[1], "dancing all night")])
    assert found.lyrics_tokens is None
    assert not {"lyrics_tokens", "lyrics_problem"} & found.to_json().keys()
    assert refused.reason.endswith("reads no lyrics: leave them out")


def test_embeddings_of_many_are_those_of_each(paper, songs):
    pairs = list(zip(songs, WORDS, strict=True))
    for (song, words), found in zip(pairs, paper.embed_many(pairs), strict=True):
        alone = paper.embed(song, words)
        np.testing.assert_allclose(found.fused, alone.fused, atol=1e-5)
        np.testing.assert_allclose(found.audio, alone.audio, atol=1e-5)
        assert scores(found) == pytest.approx(scores(paper.predict(song, words)), abs=1e-5)
        assert (found.lyrics is None) == (not words)
        if words:
            np.testing.assert_allclose(found.lyrics, alone.lyrics, atol=1e-5)


def test_words_without_a_song_are_where_they_are_with_any(model, songs):
    if model.config.model.architecture == "pandeya":
        with pytest.raises(InputError, match="has no embeddings"):
            model.embed_words(WORDS[0])
        return
    np.testing.assert_allclose(model.embed_words(WORDS[2]), model.embed(songs[0], WORDS[2]).lyrics, atol=1e-5)
    for words in (None, "", " \n"):
        with pytest.raises(InputError, match="no words to compare"):
            model.embed_words(words)


def test_words_are_compared_by_a_model_that_hears_what_an_encoder_makes(songs, tmp_path):
    pytest.importorskip("musicnn")
    settings = "audio.input=features audio.sample_rate=16000 audio.seconds=3.0"
    model = tiny_model.model(tmp_path / "run", settings)
    np.testing.assert_allclose(model.embed_words(WORDS[0]), model.embed(songs[0], WORDS[0]).lyrics, atol=1e-5)


def test_a_broken_song_costs_itself_alone(paper, songs, tmp_path):
    (tmp_path / "broken.mp3").write_bytes(b"")
    given = [songs[0], tmp_path / "broken.mp3", tmp_path / "gone.mp3", (songs[1], "\0\1" * 100), songs[2].read_bytes()]
    found = list(paper.predict_many(given))
    assert [type(one).__name__ for one in found] == ["Prediction", "Failure", "Failure", "Failure", "Prediction"]
    assert found[1] == Failure(str(tmp_path / "broken.mp3"), "empty file")
    assert found[2].reason == "cannot be opened: No such file or directory"
    assert "lyrics are not text" in found[3].reason
    assert scores(found[0]) == pytest.approx(scores(paper.predict(songs[0])), abs=1e-5)


def test_songs_are_taken_as_results_are(paper, songs):
    taken = []

    def endless():
        while True:
            taken.append(songs[0])
            yield songs[0]

    found = paper.predict_many(endless())
    for _ in range(3):
        next(found)
    found.close()
    assert len(taken) <= 24  # eight windows of 3 s, twice, and what begins a third batch


def test_workers_give_the_same_and_the_longest_is_heard_here(paper, songs, tmp_path, monkeypatch):
    (tmp_path / "broken.mp3").write_bytes(b"no music")
    given = [Song(song, words) for song, words in zip(songs, WORDS, strict=True)]
    given.insert(2, Song(tmp_path / "broken.mp3"))
    assert list(paper.predict_many(given, workers=2)) == list(paper.predict_many(given))


def test_a_song_whose_worker_ends_is_told(paper, songs, monkeypatch):
    def ending(job, items, processes):
        for number, item in enumerate(items):
            yield item, ahead.Ended() if number == 1 else job(item)

    monkeypatch.setattr(ahead, "in_order", ending)
    found = list(paper.predict_many(songs[:3], workers=2))
    assert found[1] == Failure(str(songs[1]), "cannot be decoded: the decoder crashed")
    assert scores(found[2]) == pytest.approx(scores(paper.predict(songs[2])), abs=1e-5)


def test_what_is_too_long_to_be_handed_over_is_heard_here(songs, monkeypatch):
    front_end = listening.FrontEnd(tiny_spec(), spectrograms=True)
    monkeypatch.setattr(listening, "LARGEST", front_end.clip_bytes * 5)
    long, short = (listening.heard(Song(song), front_end) for song in (songs[1], songs[0]))
    assert isinstance(long, listening.Listening)
    assert isinstance(short, listening.Heard)
    assert (long.seconds, short.seconds) == pytest.approx((LENGTHS[1], LENGTHS[0]))


def tiny_spec():
    from data_pipeline.audio import AudioSpec

    return AudioSpec(seconds=2.3, n_mels=70)


def test_workers_import_no_jax():
    code = """
import sys
from mgc_jax.inference import listening, ahead
assert not {"jax", "flax", "tensorflow"} & set(sys.modules), "a worker imports them"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lyrics_files_are_read(paper, songs, tmp_path):
    (tmp_path / "words.txt").write_text("dancing all night", "utf-16")
    (found, lost) = paper.predict_many(
        [Song(songs[0], lyrics_file=tmp_path / "words.txt"), Song(songs[0], lyrics_file=tmp_path / "lost.txt")]
    )
    assert found.ranked == paper.predict(songs[0], "dancing all night").ranked
    assert lost.reason == f"{tmp_path}/lost.txt: lyrics cannot be opened: No such file or directory"


def test_a_single_song_still_raises(paper, tmp_path):
    with pytest.raises(InputError, match="cannot be opened"):
        paper.predict(tmp_path / "gone.mp3")
    with pytest.raises(InputError, match="These lyrics cannot be used: lyrics are not text"):
        paper.predict(tmp_path / "gone.mp3", "\0\1" * 100)
