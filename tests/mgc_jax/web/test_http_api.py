"""The HTTP API in this process: what it answers, what it refuses, and what waits."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mgc_jax
from data_pipeline.lyrics.reading import MAX_BYTES
from mgc_jax import api
from mgc_jax.inference import recording
from mgc_jax.inference.predictor import Predictor
from mgc_jax.version import __version__
from tests.support import tiny_model
from tests.support.optional import Lazy
from tests.support.songs_over_http import form, until, wav

app = Lazy("mgc_jax.web.app")
gate = Lazy("mgc_jax.web.gate")
page = Lazy("mgc_jax.web.page")
schema = Lazy("mgc_jax.web.schema")
songs_queue = Lazy("mgc_jax.web.queue")
testclient = Lazy("starlette.testclient")
pytestmark = pytest.mark.slow
WORDS = "dancing all night <3\nunder the lights"
SONG = wav()


@pytest.fixture(scope="module")
def model(run: Path) -> api.Model:
    return mgc_jax.load(run)


@contextmanager
def asked(model, *, token: str | None = None, megabytes: int = 1, **limits) -> Iterator:
    """A client of an application of its own, which is open."""
    songs = songs_queue.SongQueue(model, **limits)
    songs.open()
    client = testclient.TestClient(app.application(songs, megabytes=megabytes, token=token))
    client.songs = songs
    yield client
    songs.close()


@pytest.fixture(scope="module")
def client(model) -> Iterator:
    with asked(model) as client:
        yield client


@contextmanager
def held(monkeypatch) -> Iterator[None]:
    """The model does not go on with an explanation as long as this lasts, nor with anything behind it."""
    go_on, explain = threading.Event(), api.Model.explain_listening

    def slow(*arguments, **options):
        assert go_on.wait(60)
        return explain(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(api.Model, "explain_listening", slow)
        yield
        go_on.set()
        patch.undo()


def begun(songs) -> None:
    """Wait until a song is worked on and none waits."""
    until(lambda: songs.busy and not songs.waiting)


def told(answer, status: int) -> str:
    """The one sentence of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    (sentence,) = answer.json().values()
    assert "error" in answer.json()
    assert "Traceback" not in sentence
    assert "\n" not in sentence
    return sentence


def test_predict_says_what_the_model_says(client, model):
    answer = client.post("/v1/predict", **form(SONG, "my song <i>.wav", lyrics=WORDS))
    assert answer.status_code == 200, answer.text
    found, wanted = answer.json(), model.predict(SONG, WORDS).to_json()
    thresholds = dict(zip(model.genres, model.thresholds.tolist(), strict=True))
    theirs, scores = found.pop("genres"), {genre["name"]: genre["score"] for genre in wanted.pop("genres")}
    assert found == wanted | {"file": "my song <i>.wav", "thresholds": thresholds, "model": model.digest}
    assert {genre["name"]: genre["score"] for genre in theirs} == pytest.approx(scores, abs=1e-5)
    assert [genre["score"] for genre in theirs] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)
    assert found["seconds"] == pytest.approx(3.0)


def test_fewer_genres_are_predicted_as_asked(client):
    ranked = client.post("/v1/predict", **form(SONG)).json()["genres"]
    third = ranked[2]["score"]
    answer = client.post("/v1/predict", **form(SONG, min_score=third, max_genres=2)).json()
    assert answer["predicted"] == [ranked[0]["name"], ranked[1]["name"]]
    answer = client.post("/v1/predict", **form(SONG, min_score=third)).json()
    assert answer["predicted"] == [genre["name"] for genre in ranked if genre["score"] >= third]
    assert client.post("/v1/predict", **form(SONG, min_score=1)).json()["predicted"] == [ranked[0]["name"]]


def test_embed_gives_the_vectors_of_the_model(client, model):
    for words in (WORDS, ""):
        found, wanted = client.post("/v1/embed", **form(SONG, lyrics=words)).json(), model.embed(SONG, words)
        np.testing.assert_allclose(found["fused"], wanted.fused, atol=1e-5)
        np.testing.assert_allclose(found["audio"], wanted.audio, atol=1e-5)
        if words:
            np.testing.assert_allclose(found["lyrics"], wanted.lyrics, atol=1e-5)
        else:
            assert found["lyrics"] is None
        assert (found["file"], found["model"]) == ("song.wav", model.digest)


def test_explain_gives_the_reasons_of_the_model(client, model):
    genres = [model.genres[3], model.genres[1]]
    spelled = [genres[0].upper(), genres[1]]
    answer = client.post("/v1/explain", **form(SONG, lyrics=WORDS, genres=spelled))
    assert answer.status_code == 200, answer.text
    found, wanted = answer.json(), model.explain(SONG, WORDS, genres=genres).to_json()
    assert {genre["name"] for genre in found["genres"]} == set(genres)
    assert found.keys() == wanted.keys() | {"model"}
    assert [word["word"] for word in found["words"]] == [word["word"] for word in wanted["words"]]
    for mine, its in zip(found["genres"], wanted["genres"], strict=True):
        assert [mine[part] for part in ("sound", "words", "graph")] == pytest.approx(
            [its[part] for part in ("sound", "words", "graph")], abs=1e-4
        )


def test_the_model_is_described(client, model, run):
    found = client.get("/v1/model").json()
    assert found["genres"] == list(model.genres)
    assert found["step"] == int(model.state.step)
    assert (found["version"], found["name"], found["licence"]) == (__version__, run.name, None)
    assert found["answers"] == ["predict", "embed", "explain"]
    assert found["lyrics_encoder"]["sha256"]
    assert str(run) not in str(found)


def test_every_answer_is_documented_with_examples_and_without_another_server(client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    content = client.get("/openapi.json").json()
    assert set(content["paths"]) == {"/v1/predict", "/v1/embed", "/v1/explain", "/v1/model", "/health", "/metrics"}
    for name in ("PredictAnswer", "EmbedAnswer", "Record"):
        example = content["components"]["schemas"][name]["example"]
        getattr(schema, name)(**example)
    posted = content["paths"]["/v1/predict"]["post"]
    assert {"200", "401", "413", "415", "422", "429", "503"} <= set(posted["responses"])
    for script in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert client.get(f"/static-offline-docs/{script}").status_code == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "song.mp3: empty file."),
        (b"this is no music\n" * 99, "song.mp3: not audio"),
        (b"\x89PNG\r\n\x1a\n" + bytes(999), "song.mp3: not audio: a PNG image."),
        (b"ID3" + bytes(700), "song.mp3: "),
        (SONG[:44], "song.mp3: "),
        (wav(0.5), "song.mp3: shorter than 1 s."),
    ],
)
@pytest.mark.parametrize("route", ["predict", "embed", "explain"])
def test_what_is_no_song_is_told_in_a_sentence(client, route: str, content: bytes, said: str):
    sentence = told(client.post(f"/v1/{route}", **form(content, "song.mp3")), 422)
    assert sentence.startswith(said)
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"min_score": "2"}, 422, "The field min_score cannot be used"),
        ({"min_score": "nan"}, 422, "The field min_score cannot be used"),
        ({"max_genres": "-1"}, 422, "The field max_genres cannot be used"),
        ({"max_genres": "many"}, 422, "The field max_genres cannot be used"),
        ({"lyrics": "la " * (MAX_BYTES // 3 + 1)}, 413, "1 MiB"),
        ({"lyrics": "é" * (MAX_BYTES // 2 - 9)}, 200, ""),
        ({"lyrics": "\0\x01" * 50}, 422, "These lyrics cannot be used"),
    ],
)
def test_fields_that_cannot_be_used(client, fields, status: int, said: str):
    answer = client.post("/v1/predict", **form(SONG, **fields))
    if status == 200:
        assert answer.status_code == 200
    else:
        assert said in told(answer, status)


@pytest.mark.parametrize(
    ("route", "files", "fields", "said"),
    [
        ("predict", {"audio": ("a.wav", SONG)}, {"lyric": WORDS}, "There is no field 'lyric'; did you mean lyrics?"),
        ("predict", {"audio": ("a.wav", SONG)}, {"threshold": "0.3"}, "There is no field 'threshold'; known: audio"),
        ("embed", {"audio": ("a.wav", SONG)}, {"min_score": "0.3"}, "There is no field 'min_score'"),
        ("explain", {"audio": ("a.wav", SONG)}, {"genre": "rock"}, "did you mean genres?"),
        ("predict", {"audio": ("a.wav", SONG)}, {"lyrics": ["la", "lo"]}, "The field lyrics is there 2 times"),
        ("predict", [("audio", ("a.wav", SONG)), ("audio", ("b.wav", SONG))], {}, "The field audio is there 2 times"),
        ("predict", {"audio": ("a.wav", SONG), "lyrics": ("w.txt", b"la")}, {}, "The field lyrics is a file, and is"),
        ("predict", {"audio": (None, "song.mp3")}, {}, "The field audio is text, and is to be a file"),
        ("explain", {"audio": ("a.wav", SONG)}, {"genres": ""}, "The model knows no genre ''"),
    ],
)
def test_a_field_that_would_be_passed_by_is_refused(client, route: str, files, fields, said: str):
    assert said in told(client.post(f"/v1/{route}", files=files, data=fields), 422)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251", "utf-16", "koi8-r"])
def test_words_in_any_encoding_are_read_as_from_a_file(client, model, encoding: str):
    text = "Я помню чудное мгновенье, передо мной явилась ты,\nкак мимолётное виденье, как гений чистой красоты\n" * 3
    request = client.build_request("POST", "/v1/predict", **form(SONG, lyrics="WORDS"))
    body = request.read().replace(b"WORDS", text.encode(encoding))
    kind = {"content-type": request.headers["content-type"]}
    answer = client.post("/v1/predict", content=body, headers=kind)
    assert answer.status_code == 200, answer.text
    wanted = dict(model.predict(SONG, text).ranked)
    found = {genre["name"]: genre["score"] for genre in answer.json()["genres"]}
    assert found == pytest.approx(wanted, abs=1e-5)
    unclear = client.post(
        "/v1/predict", content=body.replace(text.encode(encoding), bytes(range(128, 256))), headers=kind
    )
    assert "These lyrics cannot be used" in told(unclear, 422)


def test_a_name_in_another_encoding_is_told_by_its_bytes(client):
    request = client.build_request("POST", "/v1/predict", **form(SONG, "caf.wav"))
    body = request.read().replace(b"caf.wav", b"caf\xe9.wav")
    answer = client.post("/v1/predict", content=body, headers={"content-type": request.headers["content-type"]})
    assert answer.json()["file"] == "caf\\xe9.wav"


def test_what_stands_in_the_address_is_no_field(client):
    assert "question mark" in told(client.post("/v1/predict?min_score=0.3", **form(SONG)), 422)


def test_the_kind_of_a_body_may_be_written_in_capitals(client):
    request = client.build_request("POST", "/v1/predict", **form(SONG))
    kind = request.headers["content-type"].replace("multipart/form-data", "Multipart/Form-Data")
    answer = client.post("/v1/predict", content=request.read(), headers={"content-type": kind})
    assert answer.status_code == 200, answer.text


@given(
    name=st.text(min_size=1, max_size=300), lyrics=st.text(max_size=200), content=st.sampled_from([SONG, b"no song"])
)
@settings(max_examples=25)
def test_any_name_and_any_words_get_an_answer_or_a_sentence(client, name: str, lyrics: str, content: bytes):
    answer = client.post("/v1/predict", **form(content, name, lyrics=lyrics))
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert content == SONG
        assert answer.json()["predicted"]
    else:
        assert answer.json()["error"].endswith(".")


def test_what_is_no_question_is_told_in_a_sentence(client):
    assert "field audio is missing" in told(client.post("/v1/predict", files={"lyrics": (None, "la")}), 422)
    text_for_a_file = client.post("/v1/predict", files={"audio": (None, "no file")})
    assert "field audio" in told(text_for_a_file, 422)
    assert "multipart/form-data" in told(client.post("/v1/predict", json={"audio": "song.mp3"}), 415)
    assert "multipart/form-data" in told(client.post("/v1/predict"), 415)
    broken = {"content-type": "multipart/form-data; boundary=x"}
    told(client.post("/v1/predict", content=b"--y\r\nnonsense", headers=broken), 400)
    told(client.post("/v1/predict", content=b"nonsense", headers={"content-type": "multipart/form-data"}), 400)
    assert "/docs" in told(client.get("/v1/nothing"), 404)
    assert "/docs" in told(client.get("/v1/predict"), 405)
    for answer in (client.post("/nowhere"), client.post("/v1/nothing", json={})):
        assert "/docs" in told(answer, 404)
    for answer in (client.post("/v1/model"), client.delete("/v1/predict"), client.options("/v1/predict")):
        assert "/docs" in told(answer, 405)
    unknown = client.post("/v1/explain", **form(SONG, genres=["no such genre"]))
    assert "knows no genre 'no such genre'" in told(unknown, 422)


def test_a_song_that_is_too_large_is_refused_however_its_size_is_told(client):
    large = wav(40)
    assert "may have 1 MiB" in told(client.post("/v1/predict", **form(large + large)), 413)
    request = client.build_request("POST", "/v1/predict", **form(large + large))

    def in_parts():
        body = request.read()
        yield from (body[i : i + 65_536] for i in range(0, len(body), 65_536))

    sent = client.post("/v1/predict", content=in_parts(), headers={"content-type": request.headers["content-type"]})
    assert "may have 1 MiB" in told(sent, 413)


def test_songs_that_wait_share_batches(client, model, monkeypatch):
    computed, outputs = [], Predictor._outputs

    def seen(self, step, rows, size):
        computed.append([row.song for row in rows])
        return outputs(self, step, rows, size)

    monkeypatch.setattr(Predictor, "_outputs", seen)
    tones = (wav(hz=150), wav(hz=350), wav(hz=700))
    with ThreadPoolExecutor() as threads:
        with held(monkeypatch):
            first = threads.submit(client.post, "/v1/explain", **form(SONG))
            begun(client.songs)
            answers = [threads.submit(client.post, "/v1/predict", **form(tone)) for tone in tones]
            until(lambda: len(client.songs._ready) == len(tones))
            computed.clear()
        first.result(60)
        found = [answer.result(60).json() for answer in answers]
    assert [len(set(songs)) for songs in computed if len(set(songs)) > 1] == [len(tones)]
    for tone, answer in zip(tones, found, strict=True):
        wanted = dict(model.predict(tone).ranked)
        assert {genre["name"]: genre["score"] for genre in answer["genres"]} == pytest.approx(wanted, abs=1e-5)


def test_a_song_that_is_decoded_for_its_reasons_keeps_no_other_waiting(client, monkeypatch):
    go_on, long, windows = threading.Event(), wav(hz=900), recording.windows

    def slow(audio, *given, **more):
        assert audio != long or go_on.wait(60)
        return windows(audio, *given, **more)

    monkeypatch.setattr(recording, "windows", slow)
    with ThreadPoolExecutor() as threads:
        explained = threads.submit(client.post, "/v1/explain", **form(long))
        try:
            assert client.post("/v1/predict", **form(SONG)).status_code == 200
            assert not explained.done()
        finally:
            go_on.set()
        assert explained.result(60).status_code == 200


def test_what_a_model_does_not_read_is_not_named(tmp_path):
    model = tiny_model.model(tmp_path / "run", "model.fusion=audio")
    (tmp_path / "song.wav").write_bytes(SONG)
    with asked(model) as client:
        found = client.post("/v1/predict", **form(SONG)).json()
        assert found["predicted"]
        assert not {"lyrics_tokens", "lyrics_problem"} & found.keys()
        why = client.post("/v1/explain", **form(SONG)).json()
        assert why["segments"]
        assert not {"words", "words_not_read"} & (why.keys() | why["genres"][0].keys())
        for route in ("predict", "explain"):
            assert "reads no lyrics" in told(client.post(f"/v1/{route}", **form(SONG, lyrics=WORDS)), 422)
        assert client.post("/v1/embed", **form(SONG, lyrics=WORDS)).json()["lyrics"]  # by the A-L loss
        shown = " ".join(page.answer(client.songs, str(tmp_path / "song.wav"), ""))
        assert "stretches of sound." in shown or "stretch of sound." in shown
        assert not re.search(r"lyrics|words?\b", re.sub(r'src="[^"]*"', "", shown))
        assert "Named from how it sounds, with the seconds" in client.get("/").text


def test_who_comes_when_all_places_are_taken_is_asked_to_come_again(model, monkeypatch):
    with asked(model, most=2) as client, ThreadPoolExecutor() as threads:
        with held(monkeypatch):
            taken = [threads.submit(client.post, "/v1/explain", **form(SONG))]
            begun(client.songs)
            taken += [threads.submit(client.post, "/v1/predict", **form(SONG)) for _ in range(2)]
            until(lambda: client.songs.waiting == 2)
            refused = client.post("/v1/predict", **form(SONG))
            assert "2 songs are waiting" in told(refused, 429)
            assert int(refused.headers["retry-after"]) >= 1
            assert "mgc_jax_queue_length 2.0" in client.get("/metrics").text
        assert [answer.result(60).status_code for answer in taken] == [200, 200, 200]  # nothing is lost
        assert client.post("/v1/predict", **form(SONG)).status_code == 200


def test_what_nobody_waits_for_any_more_is_dropped_before_it_is_begun(model, monkeypatch):
    with asked(model, timeout=0.2) as client, ThreadPoolExecutor() as threads:
        with held(monkeypatch):
            first = threads.submit(client.post, "/v1/explain", **form(SONG))
            begun(client.songs)
            late = client.post("/v1/predict", **form(SONG))
            assert "no answer within 0.2 s" in told(late, 503)
            assert late.headers["retry-after"]
            told(first.result(60), 503)
            assert client.songs.waiting == 0
        until(lambda: not client.songs.busy)
        lines = client.get("/metrics").text
        assert 'mgc_jax_songs_total{outcome="dropped",work="predict"} 1.0' in lines
        assert 'mgc_jax_songs_total{outcome="answered",work="predict"}' not in lines


def test_a_closed_queue_answers_what_is_worked_on_and_refuses_what_waits(model, monkeypatch):
    with asked(model) as client, ThreadPoolExecutor() as threads:
        with held(monkeypatch):
            first = threads.submit(client.post, "/v1/explain", **form(SONG))
            begun(client.songs)
            second = threads.submit(client.post, "/v1/predict", **form(SONG))
            until(lambda: client.songs.waiting == 1)
            closed = threads.submit(client.songs.close)
            assert "before this song's turn" in told(second.result(60), 503)
            assert "stopping" in told(client.post("/v1/predict", **form(SONG)), 503)
            assert "stopping" in told(client.get("/health"), 503)
            assert not closed.done()
        assert first.result(60).status_code == 200
        closed.result(60)


def test_nothing_is_taken_before_the_model_is_warm(model):
    songs = songs_queue.SongQueue(model)
    client = testclient.TestClient(app.application(songs, megabytes=1, token=None))
    for answer in (
        client.get("/health"),
        client.post("/v1/predict", **form(SONG)),
        client.get("/"),
        client.get("/v1/model"),
    ):
        assert "warming up" in told(answer, 503)
    songs.open()
    assert client.get("/health").json() == {"state": "ready"}
    songs.close()


def test_a_failure_of_ours_is_told_and_costs_no_other_song(client, monkeypatch, capfd):
    def broken(*_):
        raise ZeroDivisionError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "_outputs", broken)
        quiet = testclient.TestClient(client.app, raise_server_exceptions=False)
        assert "ZeroDivisionError" in told(quiet.post("/v1/predict", **form(SONG)), 500)
        patch.setattr(Predictor, "_outputs", lambda *_: (_ for _ in ()).throw(RuntimeError("RESOURCE_EXHAUSTED: ...")))
        assert "not enough memory" in told(client.post("/v1/predict", **form(SONG)), 503)
    assert "a mistake" in capfd.readouterr().err
    assert client.post("/v1/predict", **form(SONG)).status_code == 200


def test_metrics_count_requests_songs_and_seconds(model):
    with asked(model) as client:
        client.post("/v1/predict", **form(SONG))
        client.post("/v1/predict", **form(b"no music"))
        client.post("/v1/predict", json={})
        client.get("/v1/nothing")
        client.get("/theme.css")
        lines = client.get("/metrics").text.splitlines()
    for line in (
        'mgc_jax_requests_total{route="/v1/predict",status="200"} 1.0',
        'mgc_jax_requests_total{route="/v1/predict",status="422"} 1.0',
        'mgc_jax_requests_total{route="/v1/predict",status="415"} 1.0',
        'mgc_jax_requests_total{route="other",status="404"} 1.0',
        'mgc_jax_requests_total{route="page",status="200"} 1.0',
        'mgc_jax_songs_total{outcome="answered",work="predict"} 1.0',
        'mgc_jax_songs_total{outcome="failed",work="predict"} 1.0',
        "mgc_jax_audio_seconds_total 3.0",
        'mgc_jax_turn_songs_count{work="predict"} 1.0',
        'mgc_jax_request_seconds_count{route="/v1/predict"} 3.0',
    ):
        assert line in lines, line


TOKEN = "opening words é"


@pytest.fixture(scope="module")
def guarded(model) -> Iterator:
    with asked(model, token=TOKEN) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/v1/model", "/docs", "/openapi.json", "/metrics", "/nowhere", "/gradio_api/upload"]
)
def test_a_token_is_asked_for_everywhere_but_for_health(guarded, path: str):
    wrong = [None, "Bearer", "Bearer wrong", "Basic !!", "Digest x", f"bearer {TOKEN}x".encode()]
    for header in wrong:
        answer = guarded.get(path, headers={} if header is None else {"authorization": header})
        assert "token" in told(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert guarded.get(path, auth=("anybody", "wrong")).status_code == 401
    assert guarded.get("/health").status_code == 200


def test_who_knows_the_token_is_let_in(guarded):
    bearer = {"authorization": f"Bearer {TOKEN}".encode()}
    for known in ({"headers": bearer}, {"auth": ("anybody", TOKEN)}):
        assert guarded.get("/v1/model", **known).status_code == 200
        assert "What genres is this song?" in guarded.get("/", **known).text
        assert guarded.post("/v1/predict", **form(SONG), **known).status_code == 200
    assert "HTTPBearer" in guarded.get("/openapi.json", headers=bearer).json()["components"]["securitySchemes"]


def test_a_page_of_another_site_cannot_ask(client):
    there = {"sec-fetch-site": "cross-site"}
    for path in ("/v1/predict", "/gradio_api/queue/join", "/gradio_api/upload"):
        assert "another site" in told(client.post(path, **form(SONG), headers=there), 403)
    assert client.post("/v1/predict", **form(SONG), headers={"sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/config",
            "/gradio_api/info",
            "/gradio_api/openapi.json",
            "/gradio_api/call/answer",
            "/gradio_api/run/predict",
        ),
        *("/gradio_api/api/predict", "/gradio_api/call/v2/answer", "/monitoring", "/monitoring/summary", "/login"),
        *(
            "/gradio_api/runs",
            "/gradio_api/vibe-edit",
            "/gradio_api/token",
            "/gradio_api/user",
            "/dev/reload",
            "/redoc",
        ),
        *("/gradio_api/proxy=https://elsewhere.example", "/gradio_api/process_recording", "/gradio_api/mcp/"),
    ],
)
def test_what_gradio_offers_besides_the_page_is_not_there(client, path: str):
    for method in ("GET", "POST"):
        told(client.request(method, path), 404)
