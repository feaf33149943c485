"""The page as a person uses it: the real command, a real browser."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("playwright")

from playwright.sync_api import APIResponse, Browser, Page, Response, expect

import mgc_jax
from data_pipeline.errors import InputError
from mgc_jax.cli import main
from mgc_jax.web import result
from tests.support.browser import browser, page  # noqa: F401
from tests.support.optional import Lazy
from tests.support.songs_over_http import form, until

ROOT = Path(__file__).resolve().parents[3]
WORDS = "dancing all night <3\n5 < 6 & under the lights"
TOKEN = "an open secret"
Lazy("gradio")
httpx = Lazy("httpx")
server = Lazy("mgc_jax.web.server")
pytestmark = pytest.mark.slow
expect.set_options(timeout=60_000)


class Served:
    """The command in a process of its own."""

    def __init__(self, workdir: Path | str, *more: str, program: Sequence[str] = ("-m", "mgc_jax")):
        command = [sys.executable, *program, "serve", "--workdir", str(workdir), "--port", "0", *more]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        lines = iter(self.process.stdout.readline, "")
        self.address = next(re.search(r"http://\S+", line)[0] for line in lines if "http://" in line)

    def end(self, by: int) -> tuple[int, str]:
        self.process.send_signal(by)
        _, told = self.process.communicate(timeout=60)
        return self.process.returncode, told

    def ends_with_one_line_and_leaves_no_song(self, page: Page, by: int) -> int:  # noqa: F811
        """The exit code after the signal."""
        file = {"name": "song.wav", "mimeType": "audio/wav", "buffer": b"anything"}
        answer = page.request.post(f"{self.address}/gradio_api/upload", multipart={"files": file})
        uploaded_to = Path(answer.json()[0])
        assert uploaded_to.read_bytes() == b"anything"
        code, told = self.end(by)
        assert told.strip().count("\n") == 0, told
        assert "the page is closed" in told
        assert not uploaded_to.parent.parent.exists()
        return code


@pytest.fixture(scope="module")
def served(run: Path, tmp_path_factory) -> Iterator[Served]:
    served = Served(run, "--max-megabytes", "1")
    yield served
    if served.process.poll() is None:
        served.end(signal.SIGKILL)


@pytest.fixture
def opened(served: Served, page: Page) -> Page:  # noqa: F811
    page.set_default_timeout(120_000)  # of a machine that has other work
    page.goto(served.address)
    expect(page.get_by_role("heading", name="What genres is this song?")).to_be_visible()
    return page


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    time = np.arange(5 * 22_050) / 22_050
    file = tmp_path_factory.mktemp("songs") / "my song <i>.wav"
    soundfile.write(file, 0.4 * np.sin(2 * np.pi * 220 * time) * (time % 0.5 < 0.2), 22_050)
    return file


def give(page: Page, file: Path) -> None:  # noqa: F811
    page.locator("#song input[type=file]").set_input_files(file)
    expect(page.locator("#song").get_by_text(re.compile(r"\d:\d\d")).first).to_be_visible()


def uploaded(answer: Response) -> bool:
    return "/upload?" in answer.url and answer.request.method == "POST"


def ask(page: Page) -> None:  # noqa: F811
    page.get_by_role("button", name="Name its genres").click()


def test_a_song_gets_its_genres_their_reasons_and_a_player(opened: Page, served: Served, run: Path, song: Path):
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    found: list[str] = []  # Gradio warns by itself, and cuts its own line when a page is left
    opened.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: found.append(str(error)))
    opened.reload()
    give(opened, song)
    opened.get_by_label("Lyrics").fill(WORDS)
    ask(opened)
    image = opened.locator("#why img")
    expect(image).to_be_visible()
    assert image.evaluate("i => i.complete && i.naturalWidth") > 500
    model = mgc_jax.load(run)
    wanted = model.predict(song, WORDS)
    names = opened.locator("#genres td.name").all_inner_texts()
    assert names == [name for name, _ in wanted.ranked[: result.TOP]]
    scores = opened.locator("#genres td.score").all_inner_texts()
    assert [float(s) for s in scores] == pytest.approx([s for _, s in wanted.ranked[: result.TOP]], abs=0.006)
    assert opened.locator("#genres tr.predicted td.name").all_inner_texts() == list(wanted.predicted)
    assert opened.locator("#why .lyrics").first.inner_text() == WORDS  # not taken for HTML
    assert opened.locator("#why .lyrics span[title]").count() > 3
    expect(opened.locator("#song").get_by_text("0:05").first).to_be_visible()  # the player knows how long it is
    opened.locator("#song").get_by_role("button", name=re.compile("^play", re.IGNORECASE)).click()
    assert not [url for url in asked if not url.startswith((served.address, "data:", "blob:"))]
    assert not found, found


def test_what_is_no_song_is_told_politely_and_the_next_one_is_heard(opened: Page, song: Path, tmp_path: Path):
    bad = {
        "words.mp3": (b"this is no music\n" * 99, "words.mp3: not audio"),
        "picture.mp3": (b"\x89PNG\r\n\x1a\n" + bytes(999), "picture.mp3: not audio: a PNG image"),
        "cut.mp3": (b"ID3" + bytes(700), "cut.mp3: "),
    }
    short, silent = tmp_path / "short.wav", tmp_path / "silent.wav"
    soundfile.write(short, np.ones(5_000) * 0.3, 22_050)
    soundfile.write(silent, np.zeros(44_100), 22_050)
    files = [(short, "short.wav: shorter than 1 s"), (silent, "silent.wav: silent")]
    for name, (content, said) in bad.items():
        (tmp_path / name).write_bytes(content)
        files.append((tmp_path / name, said))
    shown = opened.locator("#genres .problem")
    ask(opened)
    expect(shown).to_contain_text("There is no song yet")
    for file, said in files:
        opened.reload()
        with opened.expect_response(uploaded) as answer:
            opened.locator("#song input[type=file]").set_input_files(file)
        assert answer.value.ok
        expect(opened.locator("#song input[type=file]")).to_have_count(0)  # the player has taken its place
        ask(opened)
        expect(shown).to_contain_text(said)
        assert str(tmp_path) not in shown.inner_text()
        assert "gradio" not in shown.inner_text()
    opened.reload()
    give(opened, song)
    ask(opened)
    expect(opened.locator("#why img")).to_be_visible()


def test_the_keyboard_is_enough(opened: Page, song: Path):
    with opened.expect_file_chooser() as chooser:
        opened.get_by_role("button", name="Drop an audio file here to upload").focus()
        opened.keyboard.press("Enter")
    chooser.value.set_files(song)
    expect(opened.locator("#song").get_by_text("0:05").first).to_be_visible()
    opened.get_by_label("Lyrics").focus()
    opened.keyboard.type("night")
    opened.keyboard.press("Tab")
    expect(opened.get_by_role("button", name="Name its genres")).to_be_focused()
    opened.keyboard.press("Enter")
    expect(opened.locator("#why img")).to_be_visible()


def test_a_song_that_was_deleted_meanwhile(opened: Page, song: Path):
    with opened.expect_response(uploaded) as answer:
        give(opened, song)
    Path(answer.value.json()[0]).unlink()
    ask(opened)
    expect(opened.locator("#genres .problem")).to_contain_text("deleted meanwhile")


def test_megabytes_of_lyrics(opened: Page, song: Path):
    give(opened, song)
    opened.get_by_label("Lyrics").evaluate(
        "(box) => { box.value = 'la la '.repeat(3 * 2 ** 20 / 6); box.dispatchEvent(new Event('input')) }"
    )
    ask(opened)
    expect(opened.locator("#genres .problem")).to_contain_text("larger than 1 MiB")


def test_a_song_that_is_too_large_is_refused(opened: Page, served: Served, tmp_path: Path):
    file = tmp_path / "long.wav"
    soundfile.write(file, np.random.default_rng(0).uniform(-0.5, 0.5, 22_050 * 40), 22_050)
    opened.locator("#song input[type=file]").set_input_files(file)
    expect(opened.get_by_text(re.compile("exceed the maximum allowed size")).first).to_be_visible()
    past_the_page = {"name": "long.wav", "mimeType": "audio/wav", "buffer": file.read_bytes()}
    answer = opened.request.post(f"{served.address}/gradio_api/upload", multipart={"files": past_the_page})
    assert answer.status == 413


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{run}/config.json", "{run}/../run/genres.json", "..%2f..%2fetc/passwd"]
)
def test_no_other_file_is_given_away(opened: Page, served: Served, run: Path, path: str):
    for route in ("gradio_api/file=", "file=", "gradio_api/file/"):
        answer = opened.request.get(f"{served.address}/{route}{path.format(run=run)}")
        assert answer.status in (403, 404, 405), route


def asked_by_hand(page: Page, address: str, song: str, **headers: str) -> APIResponse:  # noqa: F811
    """The answer to a question that the page would not ask."""
    file = {"path": song, "meta": {"_type": "gradio.FileData"}}
    question = {"data": [file, ""], "fn_index": 0, "session_hash": "by-hand"}
    return page.request.post(f"{address}/gradio_api/queue/join", data=json.dumps(question), headers=headers)


def test_a_file_that_was_not_uploaded_is_not_heard(opened: Page, served: Served, song: Path):
    file = {"name": "song.wav", "mimeType": "audio/wav", "buffer": song.read_bytes()}
    upload = opened.request.post(f"{served.address}/gradio_api/upload", multipart={"files": file})
    for place, heard in ((upload.json()[0], True), (str(song), False), ("/etc/passwd", False)):
        joined = asked_by_hand(opened, served.address, place, **{"Content-Type": "application/json"})
        assert joined.ok  # what is refused is refused when its turn comes
        told = opened.request.get(f"{served.address}/gradio_api/queue/data?session_hash=by-hand").text()
        assert ('"success":true' in told, "<table" in told) == (heard, heard)


def test_another_site_cannot_use_the_page(opened: Page, served: Served, song: Path):
    """What a browser sends for another site without asking first: no JSON."""
    there = {"Origin": "http://elsewhere.example", "Content-Type": "text/plain"}
    assert asked_by_hand(opened, served.address, str(song), **there).status == 422
    answer = opened.request.get(served.address, headers=there)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--port", "70000"), "Nobody can listen on 127.0.0.1, port 70000"),
        (("--port", "-1"), "-1 is less than 0"),
        (("--host", "no.such.host.invalid"), "Nobody can listen on no.such.host.invalid"),
        (("--host", ""), "give another --host or --port"),
        (("--max-megabytes", "0"), "0 is less than 1"),
        (("--max-waiting", "0"), "0 is less than 1"),
        (("--timeout", "0"), "0 is less than 1"),
        (("--host", "0.0.0.0", "--port", "0"), "set MGC_JAX_TOKEN"),
        (("--host", "::", "--port", "0"), "set MGC_JAX_TOKEN"),
    ],
)
def test_where_nobody_can_listen(run: Path, more, said, capsys, monkeypatch):
    monkeypatch.delenv("MGC_JAX_TOKEN", raising=False)
    try:
        code = main(["serve", "--workdir", str(run), *more])
    except SystemExit as end:
        code = end.code
    told = capsys.readouterr().err
    assert code == 2
    assert said in told
    assert told.count("\n") == 1


def test_a_token_that_would_be_guessed(run: Path, capsys, monkeypatch):
    monkeypatch.setenv("MGC_JAX_TOKEN", "secret")
    assert main(["serve", "--workdir", str(run), "--port", "0"]) == 2
    assert "MGC_JAX_TOKEN is shorter than 8 characters" in capsys.readouterr().err


def test_a_port_in_use(run: Path, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["serve", "--workdir", str(run), "--port", str(other.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err


SLOW_PAGE = """
import sys
from pathlib import Path
from mgc_jax import api
from mgc_jax.cli import main

explain = api.Model.explain_listening

def slow(*given):
    Path(sys.argv[1]).read_bytes()  # ends when somebody has opened and closed the other side
    return explain(*given)

api.Model.explain_listening = slow
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def gated(run: Path, tmp_path: Path) -> Iterator[tuple[Served, Path]]:
    """A server that explains no song before this test has opened and closed the gate, and lets two wait."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    served = Served(run, "--max-waiting", "2", program=("-c", SLOW_PAGE, str(gate)))
    yield served, gate
    served.process.kill()
    served.process.communicate(timeout=60)


def metrics(served: Served) -> str:
    return httpx.get(f"{served.address}/metrics").text


def queue_length(served: Served) -> int:
    return int(float(re.search(r"^mgc_jax_queue_length (.*)$", metrics(served), re.MULTILINE)[1]))


def test_songs_that_wait_share_a_turn_none_is_lost_and_what_is_worked_on_is_waited_for(
    gated: tuple[Served, Path],
    song: Path,
    page: Page,  # noqa: F811
):
    served, gate = gated

    def asked(what: str) -> Any:
        return httpx.post(f"{served.address}/v1/{what}", **form(song.read_bytes()), timeout=120)

    page.set_default_timeout(120_000)
    page.goto(served.address)
    with ThreadPoolExecutor() as threads:
        explained = threads.submit(asked, "explain")
        with gate.open("w"):  # waits until the song is worked on
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    f"{served.address}/v1/predict", **form(song.read_bytes()), timeout=httpx.Timeout(60, read=0.5)
                )
            until(lambda: 'outcome="dropped",work="predict"} 1.0' in metrics(served))  # who hangs up waits no more
            named = [threads.submit(asked, "predict") for _ in range(2)]
            until(lambda: queue_length(served) == 2)
            refused = asked("predict")
            assert (refused.status_code, "2 songs are waiting" in refused.json()["error"]) == (429, True)
        assert [answer.result().status_code for answer in (explained, *named)] == [200] * 3
        counted = metrics(served)
        assert 'mgc_jax_turn_songs_sum{work="predict"} 2.0' in counted
        assert 'mgc_jax_turn_songs_count{work="predict"} 1.0' in counted
        give(page, song)
        ask(page)
        with gate.open("w"):
            waiting = threads.submit(asked, "predict")
            until(lambda: queue_length(served) == 1)
            served.process.send_signal(signal.SIGTERM)
            assert "waiting for the song" in served.process.stdout.readline()
            assert "before this song's turn" in waiting.result().json()["error"]
            assert httpx.get(f"{served.address}/health").status_code == 503
            assert asked("predict").json() == {"error": "The server is stopping."}
        expect(page.locator("#genres td.name").first).to_be_visible()
    _, told = served.process.communicate(timeout=60)
    assert (served.process.returncode, told.strip().count("\n")) == (143, 0), told


def test_who_insists_does_not_wait(gated: tuple[Served, Path], song: Path):
    served, gate = gated
    with ThreadPoolExecutor() as threads:
        lost = threads.submit(httpx.post, f"{served.address}/v1/explain", **form(song.read_bytes()), timeout=120)
        with gate.open("w"):
            served.process.send_signal(signal.SIGINT)
            assert "waiting for the song" in served.process.stdout.readline()
            ended, told = served.end(signal.SIGINT)
        assert (ended, told.count("not waited for")) == (130, 1), told
        assert isinstance(lost.exception(), httpx.TransportError)


def test_the_api_answers_beside_the_page(served: Served, run: Path, song: Path):
    model = mgc_jax.load(run)
    with httpx.Client(base_url=served.address, timeout=120) as client:
        answer = client.post("/v1/predict", **form(song.read_bytes(), lyrics=WORDS))
        scores = {genre["name"]: genre["score"] for genre in answer.json()["genres"]}
        assert scores == pytest.approx(dict(model.predict(song, WORDS).ranked), abs=1e-5)
        assert client.get("/v1/model").json()["id"] == answer.json()["model"] == model.digest
        too_large = client.post("/v1/predict", **form(bytes(5 << 20)))
        assert (too_large.status_code, too_large.json()) == (413, {"error": too_large.json()["error"]})
        with client.stream("GET", "/docs") as docs:
            assert docs.status_code == 200
        assert client.get("/health").json() == {"state": "ready"}


GUIDE = (ROOT / "docs" / "guides" / "serving.md").read_text("utf-8")
ADDRESS = "http://localhost:7860"


@pytest.fixture
def my_music(song: Path, tmp_path: Path, monkeypatch) -> None:
    """The current folder has what the guide names."""
    for name, content in (("audio/new_song.mp3", song.read_bytes()), ("lyrics/new_song.txt", WORDS.encode())):
        (tmp_path / "my_music" / name).parent.mkdir(parents=True)
        (tmp_path / "my_music" / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("my_music")
@pytest.mark.parametrize("line", re.findall(r"^curl .*$", GUIDE, re.MULTILINE))
def test_the_guides_commands_are_answered(served: Served, line: str):
    if not shutil.which("curl"):
        pytest.skip("no curl")
    words = shlex.split(line.replace(ADDRESS, served.address))
    done = subprocess.run([*words, "--silent", "--fail-with-body"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout).keys() & {"genres", "fused"}


@pytest.mark.usefixtures("my_music")
@pytest.mark.parametrize("block", re.findall(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE))
def test_the_guides_program_is_answered(served: Served, block: str):
    program = block.replace(ADDRESS, served.address)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'score'" in done.stdout


def test_the_image_finds_out_whether_the_server_is_well(served: Served):
    image = (ROOT / "launch" / "Dockerfile").read_text("utf-8")
    words = json.loads(re.search(r"HEALTHCHECK [^[]*(\[.*\])", image)[1])
    _, _, program = words
    for address, code in ((served.address, 0), ("http://127.0.0.1:9", 1)):
        asked = program.replace("http://127.0.0.1:7860", address)
        assert asked != program
        assert subprocess.run([sys.executable, "-c", asked], stderr=subprocess.DEVNULL, check=False).returncode == code


def test_the_documentation_is_drawn_without_another_server(served: Served, page: Page):  # noqa: F811
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{served.address}/docs")
    expect(page.get_by_text("/v1/predict")).to_be_visible()
    assert not [url for url in asked if not url.startswith((served.address, "data:", "blob:"))]


def test_a_built_in_model_names_a_song_tells_its_limits_and_ends_by_sigint(song: Path, page: Page):  # noqa: F811
    pytest.importorskip("musicnn")
    served = Served("musicnn")
    page.set_default_timeout(120_000)
    page.goto(served.address)
    expect(page.get_by_text(re.compile("knows 30 genres: rock, .* on Last.fm until 2011"))).to_be_visible()
    expect(page.locator("#lyrics")).to_have_count(0)  # which it does not read
    give(page, song)
    ask(page)
    wanted = mgc_jax.load("musicnn").predict(song)
    expect(page.locator("#genres td.name").first).to_have_text(wanted.ranked[0][0])
    assert page.locator("#genres tr.predicted td.name").all_inner_texts() == list(wanted.predicted)
    expect(page.locator("#why img")).to_have_count(1)  # the seconds
    content = song.read_bytes()
    answer = httpx.post(f"{served.address}/v1/predict", **form(content), timeout=120).json()
    assert {one["name"]: one["score"] for one in answer["genres"]} == pytest.approx(dict(wanted.ranked), abs=1e-5)
    about = httpx.get(f"{served.address}/v1/model").json()
    assert (about["licence"], about["step"], about["answers"]) == ("ISC", None, ["predict", "explain"])
    for what, fields, said in (("embed", {}, "does not embed"), ("predict", {"lyrics": WORDS}, "reads no lyrics")):
        refused = httpx.post(f"{served.address}/v1/{what}", **form(content, **fields))
        assert (refused.status_code, said in refused.json()["error"]) == (422, True)
    assert served.ends_with_one_line_and_leaves_no_song(page, signal.SIGINT) == 130


@pytest.mark.rare
@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_ipv6(run: Path, page: Page):  # noqa: F811
    served = Served(run, "--host", "::1")
    assert re.fullmatch(r"http://\[::1\]:\d+", served.address)
    page.goto(served.address)
    expect(page.get_by_role("heading", name="What genres is this song?")).to_be_visible()
    assert served.end(signal.SIGTERM)[0] == 143


def test_who_knows_the_token_reaches_all_addresses_until_sigterm(run: Path, browser: Browser, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MGC_JAX_TOKEN", TOKEN)
    served = Served(run, "--host", "0.0.0.0")
    assert served.address.startswith("http://localhost:")
    assert "asks for the token in MGC_JAX_TOKEN" in served.process.stdout.readline()
    assert httpx.get(served.address).status_code == 401
    context = browser.new_context(http_credentials={"username": "anybody", "password": TOKEN})
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    opened.goto(served.address)
    expect(opened.get_by_role("heading", name="What genres is this song?")).to_be_visible()
    assert served.ends_with_one_line_and_leaves_no_song(opened, signal.SIGTERM) == 143
    context.close()


@pytest.mark.rare
def test_a_proxy_is_not_asked_for_the_own_page(run: Path, page: Page, monkeypatch):  # noqa: F811
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    served = Served(run)
    page.goto(served.address)
    expect(page.get_by_role("heading", name="What genres is this song?")).to_be_visible()
    assert served.end(signal.SIGTERM)[0] == 143


def test_a_port_is_taken_from_the_beginning_on():
    with server.listen("127.0.0.1", 0) as first, pytest.raises(InputError, match="in use"):
        server.listen("127.0.0.1", first.getsockname()[1])
