"""The tracks that a report explains: which ones, from which lyrics, and what becomes of the page where it fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.lyrics.reading import read_lyrics_file
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax import api
from mgc_jax.cli import main
from mgc_jax.evaluation.scored import Scored, StoredScores
from mgc_jax.explain.text import summary
from mgc_jax.report import explained
from mgc_jax.report.inputs import Gaps, Inputs, gather
from mgc_jax.report.mistakes import Judged, Named
from mgc_jax.runs.workdir import Workdir


@pytest.fixture(scope="module")
def evaluated(run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir with an evaluation of the test split."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("explained") / "run")
    assert main(["evaluate", "--workdir", str(folder), "--data", str(data)]) == 0
    return folder


def gathered(workdir: Path, data: Path | None = None) -> tuple[Inputs, Gaps]:
    gaps = Gaps()
    return gather(Workdir(workdir), "test", data and PreparedData(data), gaps), gaps


def scored(scores: np.ndarray, labels: np.ndarray, bce: np.ndarray) -> Scored:
    return Scored(scores, labels.astype(np.uint8), bce, np.full(len(bce), -1))


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 1000))
def test_the_chosen_tracks_are_those_of_a_sorted_list(tracks, genres, seed):
    random = np.random.default_rng(seed)
    scores, labels = random.random((tracks, genres)), random.random((tracks, genres)) > 0.5
    bce = random.integers(0, 9, tracks).astype(float)  # with ties
    chosen = explained.choose(scored(scores, labels, bce), np.full(genres, 0.5))
    assert list(chosen) == [kind for kind in ("right", "typical", "worst") if kind in chosen]
    assert len(set(chosen.values())) == len(chosen) >= min(tracks, 2)

    def right(track: int) -> bool:
        said = {g for g in range(genres) if scores[track, g] >= 0.5} or {int(scores[track].argmax())}
        return said == set(np.flatnonzero(labels[track]))

    certain = [bce[i] for i in range(tracks) if right(i)]
    assert ("right" in chosen) == bool(certain)
    if certain:
        assert right(chosen["right"])
        assert bce[chosen["right"]] == min(certain)
    if "worst" in chosen:
        assert bce[chosen["worst"]] == max(bce)
    if "typical" in chosen:
        assert bce[chosen["typical"]] == sorted(bce)[(tracks - 1) // 2]


def test_a_mistake_is_explained_with_what_was_missed():
    def named(right: bool, *genres: str) -> tuple[Named, ...]:
        return tuple(Named(genre, 0.5, right) for genre in genres)

    wrong = Judged(0, 1.0, named(False, "folk", "soul"), named(False, "rock", "metal"), False)
    right = Judged(0, 1.0, named(True, "rock", "metal"), named(True, "rock", "metal"), False)
    assert explained.genres_to_explain(wrong) == ["rock", "folk"]
    assert explained.genres_to_explain(right) == ["rock", "metal"]


def test_lyrics_are_looked_for_beside_the_audio_and_nowhere_else():
    audio = Path("/music/audios/a.mp3")
    assert explained.lyrics_files({"id": "a"}, audio) == [Path("/music/lyrics/a.txt"), Path("/music/audios/a.txt")]
    assert Path("/music/lyrics/7.txt") in explained.lyrics_files({"id": "7"}, audio)
    for id_ in ("../../etc/passwd", "/etc/passwd", ".."):
        folders = {file.parent for file in explained.lyrics_files({"id": id_}, audio)}
        assert folders == {Path("/music/lyrics"), Path("/music/audios")}, id_


@pytest.mark.slow
def test_the_page_tells_what_the_model_says_of_sound_and_lyrics(evaluated: Path, corpus: Path):
    run, gaps = gathered(evaluated)
    assert run.stored is not None
    found = explained.explained(run, gaps)
    assert gaps.sentences() == []
    chosen = explained.choose(run.stored.scored, run.stored.thresholds)
    assert [(entry["kind"], entry["judged"].index) for entry in found] == list(chosen.items())
    model, read = api.load(evaluated), 0
    for entry in found:
        id_ = entry["track"]["id"]
        lyrics = read_lyrics_file(corpus / f"lyrics/{id_}.txt") if entry["judged"].with_lyrics else None
        read += lyrics is not None
        again = model.explain(corpus / f"audios/{id_}.mp3", lyrics, genres=explained.genres_to_explain(entry["judged"]))
        assert entry["summary"] == summary(again)
        assert not entry["lyrics_lost"]
    assert read > 0


@pytest.mark.slow
def test_other_lyrics_are_not_taken_for_those_that_were_evaluated(
    evaluated: Path, data: Path, corpus: Path, tmp_path: Path
):
    moved = shutil.copytree(corpus, tmp_path / "corpus")
    for file in (moved / "lyrics").iterdir():
        file.write_text("these are the words of another song altogether")
    copy = shutil.copytree(data, tmp_path / "data")
    rows = (copy / "tracks.tsv").read_text("utf-8").replace(str(corpus), str(moved))
    assert str(moved) in rows
    (copy / "tracks.tsv").write_text(rows, "utf-8")
    assert main(["report", "--workdir", str(evaluated), "--data", str(copy), "--out", str(tmp_path / "page.html")]) == 0
    songs = (tmp_path / "page.html").read_text("utf-8").split('<section id="explained">')[1].split("<article>")[1:]
    lost = ["explained\nfrom its sound alone" in song for song in songs]
    assert lost == ["with lyrics" in song for song in songs]
    assert any(lost)
    assert not any("another song" in song for song in songs)


def test_a_model_that_cannot_be_loaded_costs_the_explanations_alone(evaluated: Path, tmp_path: Path, capsys):
    folder = shutil.copytree(evaluated, tmp_path / "run")
    shutil.rmtree(folder / "checkpoints")
    assert main(["report", "--workdir", str(folder)]) == 0
    assert "No track is explained: " in capsys.readouterr().out
    html = (folder / "report.html").read_text("utf-8")
    note = html.split('<section id="explained">')[1].split("</section>")[0]
    assert "No track is explained: " in note
    assert "<img" not in note
    assert html.count("<audio") > 0  # the mistakes still play


def test_a_checkpoint_that_was_not_evaluated_is_not_explained(evaluated: Path, tmp_path: Path):
    folder = shutil.copytree(evaluated, tmp_path / "run")
    stored = json.loads((folder / "evaluation_test.json").read_text())
    (folder / "evaluation_test.json").write_text(json.dumps(stored | {"checkpoint_step": 1}))
    with np.load(folder / "evaluation_test.npz") as kept:
        arrays = dict(kept)
    np.savez(folder / "evaluation_test.npz", **(arrays | {"step": np.array(1)}))
    assert StoredScores.load(folder / "evaluation_test.npz").step == 1
    run, gaps = gathered(folder)
    assert explained.explained(run, gaps) == []
    (sentence,) = gaps.of["explained"]
    assert "the evaluation is of step 1" in sentence


@pytest.mark.parametrize("error", [RuntimeError("RESOURCE_EXHAUSTED:\n  out of memory"), MemoryError(), KeyError("x")])
def test_whatever_the_device_does_the_page_goes_on(evaluated: Path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(api.Model, "explain", fail)
    run, gaps = gathered(evaluated)
    assert explained.explained(run, gaps) == []
    (sentence,) = gaps.of["explained"]
    assert type(error).__name__ in sentence
    assert "\n" not in sentence


def test_audio_that_is_gone_or_broken_is_named_without_a_model_for_nothing(
    evaluated: Path, data: Path, corpus: Path, tmp_path: Path, monkeypatch
):
    copy = shutil.copytree(data, tmp_path / "data")
    rows = (copy / "tracks.tsv").read_text("utf-8")
    (copy / "tracks.tsv").write_text(rows.replace("/audios/", "/lyrics/").replace(".mp3", ".txt"), "utf-8")
    run, gaps = gathered(evaluated, copy)
    assert explained.explained(run, gaps) == []
    assert all("is not explained: " in sentence for sentence in gaps.of["explained"])
    monkeypatch.setattr(api, "load", lambda *_: pytest.fail("loaded for nothing"))
    (copy / "tracks.tsv").write_text(rows.replace("/audios/", "/gone/"), "utf-8")
    run, gaps = gathered(evaluated, copy)
    assert explained.explained(run, gaps) == []
    assert all("is not there" in sentence for sentence in gaps.of["explained"])
