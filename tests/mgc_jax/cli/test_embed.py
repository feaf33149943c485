"""``mgc-jax embed``: rows and ids that belong together, however often the command was ended and given again."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import filelock
import numpy as np
import pytest
import soundfile

from data_pipeline.storage import growing
from mgc_jax.cli import embed, main
from tests.support import tiny_model

RATE = 22_050
NAMES = ("fused.npy", "audio.npy", "lyrics.npy")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model.model(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture
def music(tmp_path, monkeypatch, model) -> Path:
    """Three songs in a manifest, of which one has words, and one that is broken."""
    monkeypatch.setattr(embed, "load_model", lambda place: model)
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        noise = np.random.default_rng(number).normal(size=3 * RATE)
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * noise, RATE)
    (tmp_path / "broken.mp3").write_bytes(b"no music")
    Path("songs.csv").write_text("audio,lyrics\n0.wav,\n1.wav,dancing all night\nbroken.mp3,\n2.wav,\n")
    return tmp_path


def run(*arguments) -> int:
    return main(["embed", "--workdir", "run", "--out", "vectors", *map(str, arguments)])


def rows() -> dict[str, list[np.ndarray]]:
    """The vectors of each song by its name."""
    ids = [json.loads(line) for line in Path("vectors/ids.jsonl").read_text().splitlines()]
    arrays = [np.load(f"vectors/{name}") for name in NAMES]
    assert {len(array) for array in arrays} == {len(ids)}
    return {os.path.basename(one["file"]): [array[i] for array in arrays] for i, one in enumerate(ids)}


def expected(model, music) -> dict[str, list[np.ndarray]]:
    words = {"1.wav": "dancing all night"}
    found = {name: model.embed(music / name, words.get(name)) for name in ("0.wav", "1.wav", "2.wav")}
    nothing = np.full(model.embedding_widths[1], np.nan, np.float32)
    return {name: [e.fused, e.audio, nothing if e.lyrics is None else e.lyrics] for name, e in found.items()}


def check(model, music):
    found, wanted = rows(), expected(model, music)
    assert found.keys() == wanted.keys()
    for name, vectors in wanted.items():
        for one, other in zip(found[name], vectors, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_vectors_and_ids(music, model, capsys):
    assert run("--manifest", "songs.csv") == 2
    check(model, music)
    assert "1 of 4 songs failed; vectors/failures.jsonl says why" in capsys.readouterr().err
    assert sorted(path.name for path in Path("vectors").iterdir()) == sorted(
        [*NAMES, "ids.jsonl", "failures.jsonl", "settings.json"]
    )
    ids = [json.loads(line) for line in Path("vectors/ids.jsonl").read_text().splitlines()]
    assert [one["lyrics"] for one in ids] == [False, True, False]


def test_what_a_killed_run_left_is_completed(music, model):
    run("--manifest", "songs.csv")
    whole = {path.name: path.read_bytes() for path in Path("vectors").iterdir()}
    first = whole["ids.jsonl"].index(b"\n") + 1
    ends = {  # a row of some arrays without its id; half an id; an id whose vectors did not reach the disk
        "an id is half": {"ids.jsonl": first + 9},
        "rows without ids": {"ids.jsonl": first, "lyrics.npy": len(whole["lyrics.npy"]) - 3},
        "ids without rows": {"audio.npy": 128 + 5},
        "no rows": {"fused.npy": 7},
    }
    for cut in ends.values():
        for name, content in whole.items():
            (Path("vectors") / name).write_bytes(content[: cut.get(name)])
        assert run("--manifest", "songs.csv") == 2
        check(model, music)


def test_two_commands_do_not_write_one_folder(music, capsys):
    Path("vectors").mkdir()
    with filelock.FileLock("vectors/lock"):
        assert run("--manifest", "songs.csv") == 2
    assert "vectors is being written by another mgc-jax embed; wait for it." in capsys.readouterr().err
    assert not Path("vectors/ids.jsonl").exists()


def test_links_that_go_in_circles_hidden_files_and_those_of_systems_are_passed_by(music, capsys):
    folder = music / "folder"
    (folder / "@eaDir").mkdir(parents=True)
    (music / "0.wav").rename(folder / "0.wav")
    for name in (".hidden.wav", "@eaDir/1.wav", "cover.jpg"):
        (folder / name).touch()
    (folder / "up").symlink_to(folder)
    (folder / "self.wav").symlink_to(folder / "self.wav")
    assert run("folder") == 2
    assert list(rows()) == ["0.wav"]
    told = capsys.readouterr()
    assert "4 entries were passed by: 2 hidden or of a system, 1 no songs by their names, 1 links" in told.out
    assert "1 of 2 songs failed" in told.err
    assert "cannot be opened" in Path("vectors/failures.jsonl").read_text()


def test_a_changed_song_is_done_anew_in_the_place_of_its_old_row(music, model, monkeypatch):
    run("--manifest", "songs.csv")
    soundfile.write("0.wav", 0.1 * np.random.default_rng(9).normal(size=4 * RATE), RATE)
    assert run("--manifest", "songs.csv") == 2
    check(model, music)
    assert not list(Path("vectors").glob("*.new"))


@pytest.mark.parametrize("step", range(6))
def test_files_are_replaced_together_or_not_at_all(tmp_path, monkeypatch, step):
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    left = [step]

    def killed_at(original):
        def call(*arguments, **keywords):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return original(*arguments, **keywords)

        return call

    write = {name: lambda path: path.write_text("new") for name in ("a", "b")}
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        for method in ("write_text", "touch", "replace", "unlink"):
            patch.setattr(Path, method, killed_at(getattr(Path, method)))
        growing.replace_together(tmp_path, write)
    growing.finish_replacing(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} in (
        {"a": "old", "b": "old"},
        {"a": "new", "b": "new"},
    )


def test_a_model_without_such_a_space_is_refused(music, monkeypatch, capsys, tmp_path):
    rival = tiny_model.model(
        tmp_path / "rival", "model.architecture=pandeya loss.contrastive_weight=0.0 audio.hop_length=700"
    )
    monkeypatch.setattr(embed, "load_model", lambda place: rival)
    assert run("0.wav") == 2
    assert "model.architecture pandeya has no embeddings" in capsys.readouterr().err
