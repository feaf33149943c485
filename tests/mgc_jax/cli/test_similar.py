"""``mgc-jax similar``: the songs of an embedded collection that are near to a song or go with words."""

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
from mgc_jax.cli import embed, main, similar
from tests.support import tiny_model

RATE = 22_050
WORDS = {"1.wav": "dancing all night", "2.wav": "rain on the window", "4.wav": "the night is long"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model.model(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(scope="module")
def music(tmp_path_factory, model) -> Path:
    """Six songs, of which three have words and the last is a copy of the first, and their vectors."""
    folder = tmp_path_factory.mktemp("music")
    for number in range(5):
        noise = np.random.default_rng(number).normal(size=3 * RATE)
        soundfile.write(folder / f"{number}.wav", 0.1 * np.convolve(noise, np.ones(1 + 3 * number), "same"), RATE)
    shutil.copy(folder / "0.wav", folder / "copy.wav")
    shutil.copy(folder / "0.wav", folder.parent / "new.wav")
    rows = [f"{number}.wav,{WORDS.get(f'{number}.wav', '')}" for number in range(5)]
    (folder / "songs.csv").write_text("\n".join(["audio,lyrics", *rows, "copy.wav,", ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "load_model", lambda place: model)
        patch.chdir(folder)
        code = main(["embed", "--workdir", "run", "--manifest", "songs.csv", "--out", "vectors"])
    assert code == 0
    return folder


@pytest.fixture
def here(music, model, monkeypatch) -> Path:
    """The folder of the music, in which the command opens the model wherever it is said to be."""
    monkeypatch.chdir(music)
    monkeypatch.setattr(similar, "load_model", lambda place: model)
    return music


@pytest.fixture
def copy(music, tmp_path) -> Path:
    """Vectors to damage."""
    return Path(shutil.copytree(music / "vectors", tmp_path / "vectors"))


def run(*arguments, folder="vectors") -> int:
    return main(["similar", "--in", str(folder), *map(str, arguments)])


def asked(*arguments) -> list[dict]:
    assert run(*arguments, "--json", "found.json") == 0
    return json.loads(Path("found.json").read_text())


def names(found: dict) -> list[str]:
    return [os.path.basename(one["file"]) for one in found["neighbours"]]


def cosines(query, vectors) -> np.ndarray:
    return vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)


def stored(name: str) -> np.ndarray:
    return np.load(f"vectors/{name}.npy")


ALL = ["0.wav", "1.wav", "2.wav", "3.wav", "4.wav", "copy.wav"]


def no_model(place):
    raise AssertionError("the model was opened")


def test_a_song_of_the_collection_is_compared_by_its_stored_vectors(here, monkeypatch, capsys):
    monkeypatch.setattr(similar, "load_model", no_model)
    for by in ("fused", "audio"):
        (found,) = asked("2.wav", "--by", by, "--count", 3)
        wanted = cosines(stored(by)[2], stored(by))
        order = [row for row in np.argsort(-wanted, kind="stable") if row != 2][:3]
        assert names(found) == [ALL[row] for row in order]
        assert [one["similarity"] for one in found["neighbours"]] == pytest.approx(wanted[order], abs=1e-5)
        assert (found["song"], found["by"], found["compared"]) == ("2.wav", by, 5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2.wav, by fused: the 3 nearest of 5"
    assert lines[1].split()[-1] in ALL  # a path from here


def test_identical_songs_are_each_others_neighbours_but_not_their_own(here):
    first, last = asked(here / "0.wav", "copy.wav", "--count", 1)
    assert (names(first), names(last)) == (["copy.wav"], ["0.wav"])
    assert first["neighbours"][0]["similarity"] == pytest.approx(1)


def test_the_genres_of_a_neighbour_are_those_with_the_highest_scores(here, model):
    (found,) = asked("0.wav", "--count", 1)
    wanted = model.predict("0.wav").ranked[:3]
    genres = found["neighbours"][0]["genres"]
    assert [genre["name"] for genre in genres] == [name for name, _ in wanted]
    assert [genre["score"] for genre in genres] == pytest.approx([score for _, score in wanted], abs=1e-5)


def test_a_song_that_has_changed_is_told(here, model, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(embed, "load_model", lambda place: model)
    monkeypatch.chdir(shutil.copytree(here, tmp_path / "music", ignore=shutil.ignore_patterns("vectors")))
    assert main(["embed", "--workdir", "run", "0.wav", "1.wav", "2.wav", "--out", "vectors"]) == 0
    assert run("0.wav") == 0
    shutil.copy("3.wav", "0.wav")
    Path("1.wav").unlink()
    before = capsys.readouterr().out
    assert run("0.wav", "1.wav") == 0
    told = capsys.readouterr().out
    assert "has changed" not in before
    assert told.splitlines()[0].startswith("0.wav has changed since")
    assert "1.wav has changed" not in told


def test_a_song_from_elsewhere_is_decoded_with_its_words(here, tmp_path):
    shutil.copy("1.wav", tmp_path / "new.wav")
    (tmp_path / "new.txt").write_text(WORDS["1.wav"])
    for by in ("fused", "audio", "lyrics"):
        (found,) = asked(tmp_path / "new.wav", "--lyrics", tmp_path / "new.txt", "--by", by, "--count", 1)
        assert names(found) == ["1.wav"]
        assert found["neighbours"][0]["similarity"] == pytest.approx(1, abs=1e-5)


def test_a_new_song_is_compared_with_the_words_beside_it(here, tmp_path, capsys):
    shutil.copy("1.wav", tmp_path / "new.wav")
    (tmp_path / "new.lrc").write_text("[00:01.00]dancing all night")
    (found,) = asked(tmp_path / "new.wav", "--by", "lyrics", "--count", 1)
    assert names(found) == ["1.wav"]
    assert found["neighbours"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert run(tmp_path / "new.wav", "--by", "lyrics", "--lyrics", "-") == 2
    (tmp_path / "new.lrc").write_bytes(bytes(300))
    capsys.readouterr()
    assert run(tmp_path / "new.wav", "--count", 1) == 0
    assert "new.wav is compared without its lyrics: lyrics are not text" in capsys.readouterr().out


def test_by_lyrics_only_songs_with_words_are_compared(here):
    (found,) = asked("1.wav", "--by", "lyrics")
    assert found["compared"] == 2
    assert sorted(names(found)) == ["2.wav", "4.wav"]


def test_words_find_the_sound_that_goes_with_them(here, model):
    (found,) = asked("--words", "love on the radio")
    words = model.embed("0.wav", "love on the radio").lyrics
    wanted = stored("audio") @ words
    assert names(found) == [ALL[row] for row in np.argsort(-wanted, kind="stable")]
    assert [one["similarity"] for one in found["neighbours"]] == pytest.approx(np.sort(wanted)[::-1], abs=1e-5)
    assert (found["words"], found["by"]) == ("love on the radio", "audio")


def test_words_find_songs_with_words_like_them(here, tmp_path):
    (tmp_path / "words.txt").write_text(WORDS["4.wav"])
    (found,) = asked("--words-file", tmp_path / "words.txt", "--by", "lyrics")
    assert names(found)[0] == "4.wav"
    assert found["neighbours"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert found["compared"] == 3


def test_a_broken_song_costs_no_other(here, tmp_path, capsys):
    (tmp_path / "broken.mp3").write_bytes(b"no music")
    assert run(tmp_path / "broken.mp3", "0.wav", "--json", "found.json") == 2
    (found,) = json.loads(Path("found.json").read_text())
    assert found["song"] == "0.wav"
    assert "broken.mp3: not audio" in capsys.readouterr().err


WRONG = {
    "nothing": ([], "give a SONG, --words or --words-file"),
    "count": (["0.wav", "--count", "0"], "0 is less than 1"),
    "way": (["0.wav", "--by", "tempo"], "not by tempo"),
    "bucket": (["0.wav", "--in", "gs://bucket/vectors"], "is not on this machine's disk"),
    "both": (["0.wav", "--words", "rain"], "songs or words to compare with, not both"),
    "words by fused": (["--words", "rain", "--by", "fused"], "Words are compared --by audio"),
    "no words": (["--words", " "], "There are no words to compare"),
    "song without words": (["0.wav", "--by", "lyrics"], "0.wav has no words that it could be compared by"),
    "new song without words": (["../new.wav", "--by", "lyrics"], "../new.wav: this song has no words"),
    "lyrics of a known song": (["0.wav", "--lyrics", "songs.csv"], "0.wav is in vectors with its own words"),
    "too few lyrics": (["0.wav", "1.wav", "--lyrics", "-"], "2 songs but 1 lyrics"),
    "no such file": (["missing.wav"], "missing.wav: "),
    "no folder": (["0.wav", "--in", "nowhere"], "There is no folder nowhere"),
    "another folder": (["0.wav", "--in", "."], ". holds no embeddings"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_compared_is_said_in_one_sentence(here, wrong, capsys):
    arguments, said = WRONG[wrong]
    try:
        code = run(*arguments)
    except SystemExit as end:
        code = end.code
    told = capsys.readouterr().err
    assert code == 2
    assert said in told
    assert told.count("\n") == 1


def test_more_than_there_are(here, capsys):
    (found,) = asked("0.wav", "--count", 99)
    assert len(found["neighbours"]) == 5
    assert "the 5 nearest of 5" in capsys.readouterr().out


def test_another_model_is_refused_wherever_it_is(here, monkeypatch, tmp_path, capsys):
    other = tiny_model.model(tmp_path / "other", "model.width=18")
    monkeypatch.setattr(similar, "load_model", lambda place: other)
    assert run("--words", "rain", "--workdir", tmp_path / "other") == 2
    assert "vectors was made by another model than" in capsys.readouterr().err


def test_other_thresholds_are_no_other_model(here, model, monkeypatch):
    before = model.digest
    for name, value in (("thresholds", np.full(len(model.genres), 0.1)), ("digest", None), ("embedding_digest", None)):
        monkeypatch.delitem(model.__dict__, name, raising=False)
        if value is not None:
            monkeypatch.setitem(model.__dict__, name, value)
    assert model.digest != before
    assert run("--words", "rain") == 0


def test_a_name_that_is_no_text_is_kept(here, model, monkeypatch, tmp_path):
    monkeypatch.setattr(embed, "load_model", lambda place: model)
    odd = tmp_path / os.fsdecode(b"caf\xe9 \xe2\x80\xa8.wav")
    shutil.copy("0.wav", odd)
    assert main(["embed", "--workdir", "run", str(odd), "0.wav", "--out", str(tmp_path / "out")]) == 0
    collection = mgc_jax.embeddings(tmp_path / "out")
    assert [Path(entry.file) for entry in collection] == [odd, here / "0.wav"]
    assert collection.row(odd) == 0
    assert run("0.wav", "--json", tmp_path / "found.json", folder=tmp_path / "out") == 0
    (found,) = json.loads((tmp_path / "found.json").read_text())
    assert Path(found["neighbours"][0]["file"]).samefile(odd)


def test_a_model_that_is_gone_is_missed_only_where_it_is_needed(music, monkeypatch, capsys):
    monkeypatch.chdir(music)
    shutil.rmtree("run", ignore_errors=True)
    assert run("0.wav") == 0
    assert run("--words", "rain") == 2
    assert "which cannot be opened" in (told := capsys.readouterr().err)
    assert "--workdir says where it is now" in told


def change(folder: Path, **settings):
    file = folder / "settings.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def test_a_model_without_the_contrastive_loss_compares_by_fused_alone(here, copy, capsys, model, tmp_path):
    assert model.compares_words
    assert not tiny_model.model(tmp_path / "without", "loss.contrastive_weight=0.0").compares_words
    change(copy, compares_words=False)
    assert run("0.wav", folder=copy) == 0
    for arguments in (["--words", "rain"], ["0.wav", "--by", "audio"], ["1.wav", "--by", "lyrics"]):
        assert run(*arguments, folder=copy) == 2
        assert "trained without the A-L loss" in capsys.readouterr().err


def test_what_a_killed_embed_left_is_not_searched(here, copy, capsys):
    whole = {path.name: path.read_bytes() for path in copy.iterdir()}
    first = whole["ids.jsonl"].index(b"\n") + 1
    damages = {
        "an id is half": ({"ids.jsonl": first + 9}, "is not complete (ids.jsonl has 1 songs and fused.npy 6 vectors)"),
        "an array is cut": ({"audio.npy": len(whole["audio.npy"]) - 3}, "is not complete (audio.npy cannot be read)"),
        "an array is empty": ({"lyrics.npy": 0}, "is not complete (lyrics.npy cannot be read)"),
        "no id": ({"ids.jsonl": 0}, "has no songs"),
        "half an id": ({"ids.jsonl": 5}, "has no songs"),
        "half the settings": ({"settings.json": 9}, "holds no embeddings"),
    }
    for cut, said in damages.values():
        for name, content in whole.items():
            (copy / name).write_bytes(content[: cut.get(name)])
        assert run("0.wav", folder=copy) == 2
        assert said in capsys.readouterr().err
    shutil.rmtree(copy)
    copy.mkdir()
    assert run("0.wav", folder=copy) == 2
    assert "holds no embeddings" in capsys.readouterr().err


def test_predictions_are_no_embeddings(here, copy, capsys):
    change(copy, command="predict")
    assert run("0.wav", folder=copy) == 2
    assert "holds no embeddings" in capsys.readouterr().err


def test_lines_of_somebody_else(here, copy, capsys):
    (copy / "ids.jsonl").write_text("{}\n" * 6)
    assert run("--words", "rain", folder=copy) == 2
    assert "has lines that mgc-jax embed did not write" in capsys.readouterr().err


def test_vectors_that_are_not_finite_are_nobodys_neighbours(here, copy):
    vectors = np.load(copy / "fused.npy")
    vectors[[0, 3]] = [[np.nan], [np.inf]]
    np.save(copy / "fused.npy", vectors)
    collection = mgc_jax.embeddings(copy)
    assert {one.row for one in collection.nearest(1).nearest} == {2, 4, 5}
    with pytest.raises(InputError, match="no direction"):
        collection.nearest(0)


def test_from_python(here, model):
    collection = mgc_jax.embeddings("vectors")
    assert len(collection) == 6
    assert [os.path.basename(entry.file) for entry in collection] == ALL
    assert collection.row("4.wav") == 4
    assert collection.row("elsewhere.wav") is None
    assert collection[-1] == collection[5]
    by_song = collection.nearest("2.wav", 3)
    assert by_song == collection.nearest(2, 3)
    by_vector = collection.nearest(collection.vectors()[2], 3)
    assert by_vector.nearest[0].row == 2
    assert by_vector.nearest[1:] == by_song.nearest[:2]
    assert collection.nearest(model.embed("2.wav", WORDS["2.wav"]), 1).nearest[0].row == 2
    for wrong, said in (
        (lambda: collection.nearest("elsewhere.wav"), "elsewhere.wav is not in vectors"),
        (lambda: collection.nearest(6), "has 6 songs and no row 6"),
        (lambda: collection.nearest(0, 0), "must be 1 or more"),
        (lambda: collection.nearest(0, by="tempo"), "not by tempo"),
        (lambda: collection.nearest(np.ones(3)), "a query has shape"),
        (lambda: collection.nearest(model.embed("0.wav"), by="lyrics"), "this song has no words"),
    ):
        with pytest.raises(InputError, match=said):
            wrong()
