"""Songs like the one on the page: found, played, and nothing else given away."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline.errors import InputError
from mgc_jax import api
from mgc_jax.cli import embed, main
from mgc_jax.inference import recording
from tests.support import tiny_model
from tests.support.optional import Lazy

Lazy("gradio")
pytest.importorskip("httpx")
app = Lazy("mgc_jax.web.app")
neighbours = Lazy("mgc_jax.web.neighbours")
page = Lazy("mgc_jax.web.page")
queue = Lazy("mgc_jax.web.queue")
testclient = Lazy("fastapi.testclient")
RATE = 22_050


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model.model(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(scope="module")
def music(tmp_path_factory, model) -> Path:
    """Seven songs and their vectors; after that one is gone, and a line was changed to name no song."""
    folder = tmp_path_factory.mktemp("my <b> music")
    for number in range(7):
        noise = np.random.default_rng(number).normal(size=3 * RATE)
        soundfile.write(folder / f"{number}.wav", 0.1 * np.convolve(noise, np.ones(1 + 3 * number), "same"), RATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "load_model", lambda place: model)
        assert main(["embed", "--workdir", "run", str(folder), "--out", str(folder / "vectors")]) == 0
    (folder / "1.wav").unlink()
    ids = folder / "vectors" / "ids.jsonl"
    lines = [json.loads(line) for line in ids.read_text().splitlines()]
    lines[2]["file"] = "/etc/passwd"
    ids.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def similar(model, music):
    return neighbours.SimilarSongs(model, api.Embeddings(music / "vectors"))


def test_the_nearest_songs_stand_under_the_genres_with_players(model, music, similar, monkeypatch):
    decoded, windows = [], recording.windows
    monkeypatch.setattr(recording, "windows", lambda *given, **more: decoded.append(given) or windows(*given, **more))
    songs = queue.SongQueue(model)
    songs.open()
    decoded.clear()
    try:
        found, _ = page.answer(songs, str(music / "0.wav"), "", similar)
    finally:
        songs.close()
    assert len(decoded) == 1  # for the genres, their reasons and the neighbours
    assert found.index("<table class='genres'") < found.index("Songs like it")
    entries = re.findall(r"<li>.*?</li>", found)
    assert len(entries) == neighbours.COUNT
    near = api.Embeddings(music / "vectors").nearest(model.embed(music / "0.wav"), neighbours.COUNT).nearest
    for entry, one in zip(entries, near, strict=True):
        assert f"<b>{one.similarity:.2f}</b>" in entry
        assert (f'src="collection/{one.row}"' in entry) == (one.row not in (1, 2))
        assert ("the file is gone" in entry) == (one.row in (1, 2))
    assert "&lt;b&gt;" in found
    assert "<b> music" not in found


def client_of(model, similar):
    songs = queue.SongQueue(model)
    songs._state = "ready"  # what is played needs no model
    return testclient.TestClient(app.application(songs, megabytes=1, token=None, similar=similar))


def test_only_songs_of_the_collection_are_given_away(model, music, similar):
    client = client_of(model, similar)
    answer = client.get("/collection/0")
    assert answer.content == (music / "0.wav").read_bytes()
    assert answer.headers["content-type"].startswith("audio/")
    assert answer.headers["x-content-type-options"] == "nosniff"
    part = client.get("/collection/0", headers={"Range": "bytes=4-7"})  # a player that seeks
    assert (part.status_code, part.content) == (206, (music / "0.wav").read_bytes()[4:8])
    for other in ("1", "2", "7", "-1", "x", "0.wav", "../0", "%2e%2e%2fetc%2fpasswd", str(music / "0.wav")):
        assert client.get(f"/collection/{other}").status_code in (404, 422), other


def test_without_a_collection_nothing_is_played(model):
    client = client_of(model, None)
    assert client.get("/collection/0").status_code == 404


def test_a_collection_of_another_model_is_refused(model, music, tmp_path):
    vectors = Path(shutil.copytree(music / "vectors", tmp_path / "vectors"))
    settings = json.loads((vectors / "settings.json").read_text())
    (vectors / "settings.json").write_text(json.dumps(settings | {"model": "another"}))
    with pytest.raises(InputError, match="was made by another model"):
        neighbours.SimilarSongs(model, api.Embeddings(vectors))


@pytest.mark.parametrize(
    ("workdir", "vectors", "said"),
    [("musicnn", "vectors", "musicnn names genres and cannot compare songs"), ("musicnn", ".", "holds no embeddings")],
)
def test_the_command_says_what_cannot_be(music, workdir, vectors, said, capsys):
    pytest.importorskip("musicnn")
    assert main(["serve", "--workdir", workdir, "--port", "0", "--similar", str(music / vectors)]) == 2
    assert said in capsys.readouterr().err
