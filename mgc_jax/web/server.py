"""The page's server, from the port to the last song that is waited for."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from data_pipeline.errors import InputError
from mgc_jax.runtime.progress import stage
from mgc_jax.runtime.signals import Stopped, StopRequest
from mgc_jax.web import app, page
from mgc_jax.web.neighbours import SimilarSongs
from mgc_jax.web.queue import SongQueue

PARTING_SECONDS = 2
"""How long browsers have to take the last answers; an open page never hangs up by itself."""
TOKEN, SHORTEST_TOKEN = "MGC_JAX_TOKEN", 8
CLOSED = "the page is closed, and the songs that were uploaded are deleted"


def serve(
    songs: SongQueue,
    listener: socket.socket,
    *,
    megabytes: int,
    token: str | None,
    browser: bool,
    similar: SimilarSongs | None = None,
) -> None:
    """Serve the page and the API until somebody ends it; the song that is worked on then is waited for.

    Args:
        listener: see :func:`listen`; it is closed in the end.
        megabytes: the largest file that may be uploaded, in MiB.
        token: see :func:`token_for`.
        browser: whether to open the page in the user's browser.
        similar: what finds songs of a collection that are like the one on the page.

    Raises:
        Stopped: by SIGINT or SIGTERM, as it always ends.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="mgc_jax_page_") as uploads, _environment(page.UPLOADS, uploads):
            answers = app.application(songs, megabytes=megabytes, token=token, similar=similar)
            number = _serve(songs, listener, answers, token, browser)
    except KeyboardInterrupt:  # a second one
        print(f"mgc-jax: {CLOSED}; a song was not waited for", file=sys.stderr, flush=True)
        os._exit(130)  # Python cannot end a thread inside XLA, and aborts where it tries to
    raise Stopped(number, CLOSED)


def listen(host: str, port: int) -> socket.socket:
    """A socket at this port, or at a free one for 0; raises InputError where nobody can listen there.

    Who asks for the page from now on waits until it is served.
    """
    try:
        if port > 65535:  # which getaddrinfo takes modulo 65536
            raise OverflowError("ports end at 65535")
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"Nobody can listen on {host}, port {port} ({reason}); give another --host or --port."
        ) from None


def token_for(listener: socket.socket) -> str | None:
    """What everybody has to know who asks: ``MGC_JAX_TOKEN``, which is needed where other machines can ask.

    Raises:
        InputError: it is missing there, or too short to be one.
    """
    token = os.environ.get(TOKEN, "").strip()
    if token and len(token) < SHORTEST_TOKEN:
        raise InputError(f"{TOKEN} is shorter than {SHORTEST_TOKEN} characters, and would be guessed.")
    if not token and not _address(listener).is_loopback:
        raise InputError(
            f"Other machines can ask at --host {listener.getsockname()[0]}: set {TOKEN} to a secret that those who may "
            "ask know, or leave --host out."
        )
    return token or None


def _address(listener: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])


def _serve(songs: SongQueue, listener: socket.socket, application: ASGIApp, token: str | None, browser: bool) -> int:
    """Serve until a signal comes, and return its number."""
    settings = uvicorn.Config(application, log_level="critical", timeout_graceful_shutdown=PARTING_SECONDS)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    with StopRequest() as stop:
        thread.start()
        stage("compiling, so that the first song need not wait for it")
        songs.open()
        _announce(listener, token, browser)
        while not stop.due():
            if not thread.is_alive():
                raise RuntimeError("The page's server ended by itself.")
            time.sleep(0.2)
        if songs.busy:
            stage("waiting for the song that is worked on; another Ctrl-C does not wait")
        songs.close()
        server.should_exit = True
        thread.join()
    return stop.signal_number


def _announce(listener: socket.socket, token: str | None, browser: bool) -> None:
    host, port = listener.getsockname()[:2]
    address = _address(listener)
    everywhere = address.is_unspecified
    name = "localhost" if everywhere else f"[{host}]" if address.version == 6 else host
    print(f"open http://{name}:{port} in a browser, or ask its API (/docs says how); Ctrl-C ends it", flush=True)
    if token:
        elsewhere = f"; other machines reach it at http://{socket.gethostname()}:{port}" if everywhere else ""
        print(f"it asks for the token in {TOKEN}, a browser for it as the password of any name{elsewhere}", flush=True)
    if browser:
        webbrowser.open(f"http://{name}:{port}")


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})
