"""The page and its server: the only file that knows Gradio."""

from __future__ import annotations

import contextlib
import html
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported

import gradio as gr
import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.lyrics import MAX_BYTES
from mgc_jax.evaluations import evaluations
from mgc_jax.inference import Model
from mgc_jax.page import result
from mgc_jax.progress import stage
from mgc_jax.stopping import Stopped, StopRequest

WAITING = 16
"""How many songs may wait; one is worked on at a time."""
KEPT_SECONDS = 900
"""How long an uploaded song stays on the disk: its page plays it meanwhile."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(model: Model, *, host: str, port: int, megabytes: int, browser: bool) -> None:
    """Serve the page until somebody ends it.

    Args:
        port: see :func:`free_port`.
        megabytes: the largest file that may be uploaded, in MiB.
        browser: whether to open the page in the user's browser.

    Raises:
        Stopped: by SIGINT or SIGTERM, as it always ends.
    """
    stage("compiling, so that the first song need not wait for it")
    _warm_up(model)
    with tempfile.TemporaryDirectory(prefix="mgc_jax_page_") as uploads, _environment(GRADIO_TEMP_DIR=uploads):
        page = _page(model, megabytes).queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
        with StopRequest() as stop:
            page.launch(
                server_name=host,
                server_port=port,
                inbrowser=browser,
                max_file_size=f"{megabytes}mb",
                css=result.STYLE,
                footer_links=[],
                share=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                run_history=False,
                enable_monitoring=False,
                quiet=True,
                prevent_thread_lock=True,
            )
            shown = f"[{host}]" if ":" in host else host
            print(f"open http://{shown}:{port} in a browser; Ctrl-C ends it", flush=True)
            if host not in LOOPBACK:
                print("everybody who reaches this machine can use the page: it asks for no password", flush=True)
            while not stop.due():
                time.sleep(0.2)
        page.close(verbose=False)
    raise Stopped(stop.signal_number, "the page is closed, and the songs that were uploaded are deleted")


def free_port(host: str, port: int) -> int:
    """The port, or a free one for 0; raises InputError where nobody can listen there."""
    try:
        if port > 65535:  # which getaddrinfo takes modulo 65536
            raise OverflowError("ports end at 65535")
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            return int(trial.getsockname()[1])
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"Nobody can listen on {host}, port {port} ({reason}); give another --host or --port."
        ) from None


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _warm_up(model: Model) -> None:
    seconds, rate = 2, model.spec.sample_rate
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, seconds * rate).astype(np.float32)
    result.reasons(model.explain(noise, "a word and another one", rate=rate))


def _page(model: Model, megabytes: int) -> gr.Blocks:
    thresholds = dict(zip(model.vocabulary.names, model.thresholds.tolist(), strict=True))

    def work(song: str | None, lyrics: str) -> tuple[str, str]:
        """The genres and their reasons; a mistake is told in place of the genres."""
        if not song:
            return result.problem("There is no song yet: drop one, or choose a file."), ""
        if not Path(song).exists():
            return result.problem("This song was deleted meanwhile, as all are after a while: drop it again."), ""
        try:
            explanation = model.explain(song, lyrics)
        except InputError as error:
            return result.problem(str(error).replace(song, Path(song).name)), ""
        return result.genres(explanation.prediction, thresholds), result.reasons(explanation)

    with gr.Blocks(title="mgc-jax", analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)) as page:
        gr.HTML(_introduction(model))
        with gr.Row():
            with gr.Column(min_width=300):
                song = gr.Audio(
                    label=f"Song (any length, up to {megabytes} MiB)",
                    sources=["upload", "microphone"],
                    type="filepath",
                    editable=False,
                    buttons=["download"],  # another one would share the song with the world
                    elem_id="song",
                )
                lyrics = gr.Textbox(
                    label="Lyrics, if it has any",
                    placeholder="Paste the words here.",
                    lines=8,
                    max_lines=12,
                    max_length=MAX_BYTES + 1,  # what is longer is refused, not cut
                    elem_id="lyrics",
                )
                ask = gr.Button("Name its genres", variant="primary", elem_id="ask")
            with gr.Column(min_width=300):
                found = gr.HTML(label="Genres", elem_id="genres", min_height=200, padding=True)
        why = gr.HTML(elem_id="why", padding=True)
        gr.on([ask.click], work, inputs=[song, lyrics], outputs=[found, why], api_visibility="private")
    return page


def _introduction(model: Model) -> str:
    names = model.vocabulary.names
    known = f"The model knows {len(names)} genres: {', '.join(names)}."
    try:
        measured: Any = evaluations(model.folder.path, names).get("test")
    except InputError:
        measured = None
    if measured is None:
        how_good = "How good it is was not measured: mgc-jax evaluate does."
    else:
        score = measured.metrics["map_macro"]
        figure = "" if score is None else f", with a macro-mAP of {score:.2f} (1 is perfect)"
        how_good = f"It was tried on {measured.tracks} songs that it had not learned from{figure}."
        if measured.generated:
            how_good += " It learned from generated music alone, so what it says of a real song means little."
    return (
        "<h1>What genres is this song?</h1><p>Named from how it sounds and what it says, with the reasons: the seconds "
        f"and words that speak for each genre. {html.escape(known)} {html.escape(how_good)} Songs stay on the machine "
        "that serves this page and are deleted after a while.</p>"
    )
