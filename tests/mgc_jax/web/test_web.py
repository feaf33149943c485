"""The page as a person uses it: the real command, a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("playwright")

from playwright.sync_api import APIResponse, Page, Response, expect

import mgc_jax
from data_pipeline.errors import InputError
from mgc_jax import api
from mgc_jax.cli import main
from mgc_jax.web import result
from mgc_jax.web.queue import SongQueue
from tests.support.browser import browser, page  # noqa: F401
from tests.support.optional import Lazy

ROOT = Path(__file__).resolve().parents[3]
WORDS = "dancing all night <3\n5 < 6 & under the lights"
Lazy("gradio")
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
    answer = opened.request.get(f"{served.address}/config", headers=there)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--port", "70000"), "Nobody can listen on 127.0.0.1, port 70000"),
        (("--port", "-1"), "-1 is less than 0"),
        (("--host", "no.such.host.invalid"), "Nobody can listen on no.such.host.invalid"),
        (("--host", ""), "give another --host or --port"),
        (("--max-megabytes", "0"), "0 is less than 1"),
    ],
)
def test_where_nobody_can_listen(run: Path, more, said, capsys):
    try:
        code = main(["serve", "--workdir", str(run), *more])
    except SystemExit as end:
        code = end.code
    told = capsys.readouterr().err
    assert code == 2
    assert said in told
    assert told.count("\n") == 1


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

explain = api.Model.explain

def slow(model, song, lyrics="", **options):
    if isinstance(song, str):  # no noise of the warm-up
        Path(sys.argv[1]).read_bytes()  # ends when somebody has opened and closed the other side
    return explain(model, song, lyrics, **options)

api.Model.explain = slow
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("impatient", [False, True])
def test_the_song_that_is_worked_on_is_waited_for_unless_somebody_insists(
    run: Path,
    song: Path,
    page: Page,  # noqa: F811
    tmp_path: Path,
    impatient: bool,
):
    """However long it takes: it is worked on until this test opens a gate."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    served = Served(run, program=("-c", SLOW_PAGE, str(gate)))
    page.set_default_timeout(120_000)
    page.goto(served.address)
    give(page, song)
    ask(page)
    with gate.open("w"):  # waits until the song is worked on
        served.process.send_signal(signal.SIGINT)
        assert "waiting for the song" in served.process.stdout.readline()
        if impatient:
            ended, told = served.end(signal.SIGINT)
            assert (ended, told.count("not waited for")) == (130, 1), told
    if not impatient:
        expect(page.locator("#genres td.name").first).to_be_visible()
        _, told = served.process.communicate(timeout=60)
        ended = served.process.returncode
    assert (ended, told.strip().count("\n")) == (130, 0), told


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
    assert page.locator("#why img").count() == 0
    assert served.ends_with_one_line_and_leaves_no_song(page, signal.SIGINT) == 130


def test_a_closed_queue_refuses_those_who_wait(run: Path, song: Path, monkeypatch):
    songs = SongQueue(mgc_jax.load(run))
    begun, go_on = threading.Event(), threading.Event()
    explain = api.Model.explain

    def slow(*arguments, **options):
        begun.set()
        go_on.wait(60)
        return explain(*arguments, **options)

    monkeypatch.setattr(api.Model, "explain", slow)
    with ThreadPoolExecutor() as threads:
        worked_on = threads.submit(songs.answer, str(song), WORDS)
        assert begun.wait(60)
        waiting = threads.submit(songs.answer, str(song), WORDS)
        closed = threads.submit(songs.close)
        assert songs.busy
        assert not closed.done()
        while not songs.closed:
            threading.Event().wait(0.01)
        go_on.set()
        assert "<table" in worked_on.result(60)[0]
        assert "closed before" in waiting.result(60)[0]
        closed.result(60)
    assert "closed before" in songs.answer(str(song), "")[0]
    assert not songs.busy


@pytest.mark.rare
@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_ipv6(run: Path, page: Page):  # noqa: F811
    served = Served(run, "--host", "::1")
    assert re.fullmatch(r"http://\[::1\]:\d+", served.address)
    page.goto(served.address)
    expect(page.get_by_role("heading", name="What genres is this song?")).to_be_visible()
    assert served.end(signal.SIGTERM)[0] == 143


def test_all_addresses_are_told_by_names_that_can_be_opened_until_sigterm(run: Path, page: Page):  # noqa: F811
    served = Served(run, "--host", "0.0.0.0")
    assert served.address.startswith("http://localhost:")
    assert "it asks for no password" in served.process.stdout.readline()
    page.goto(served.address)
    expect(page.get_by_role("heading", name="What genres is this song?")).to_be_visible()
    assert served.ends_with_one_line_and_leaves_no_song(page, signal.SIGTERM) == 143


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
