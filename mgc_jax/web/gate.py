"""Who may ask, and how much at once; what is refused here is refused before it is read."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import re
import time

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data_pipeline.lyrics.reading import MAX_BYTES
from mgc_jax.web.form_text import CHARSET
from mgc_jax.web.neighbours import ROUTE
from mgc_jax.web.queue import SongQueue

PAGE = re.compile(
    r"/|/(theme\.css|favicon\.ico|robots\.txt|manifest\.json)|/(assets|static|svelte)/.*"
    r"|/gradio_api/(queue/(join|data)|upload|upload_progress|file=.*|heartbeat/\w+|reset|cancel|startup-events|theme\.css)"
    rf"|/{ROUTE}/\d+"
)
"""What the page itself asks for: of Gradio, and songs of a collection. All else that Gradio offers is not there."""
ALWAYS = {"/health", "/metrics"}
"""What is answered whether songs are taken or not."""
OPEN = {"/health"}
"""What needs no token: it tells whether the server is ready, and nothing else."""
WITH_A_SONG = {"/v1/predict", "/v1/embed", "/v1/explain"}
COUNTED = {*ALWAYS, *WITH_A_SONG, "/v1/model", "/docs", "/openapi.json"}
"""The addresses that metrics tell apart."""
MORE_WORDS = 16 << 20
"""Bytes of lyrics that the page may send, where it says by itself that they are too many."""
DRAIN_SECONDS = 3.0
"""How long a body that is too large is read on, so that its sender comes to read why it is refused."""
CHALLENGES = {"www-authenticate": 'Basic realm="mgc-jax: any name, and the token as the password", charset="UTF-8"'}


def problem(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer that says what went wrong, in one sentence."""
    return JSONResponse({"error": sentence}, status, headers)


class Gate:
    """The application in front of the API and the page.

    Args:
        token: what everybody has to know; None where all may ask.
        megabytes: the largest song, in MiB.
    """

    def __init__(self, api: ASGIApp, page: ASGIApp, songs: SongQueue, *, token: str | None, megabytes: int):
        self._api, self._page, self._songs, self._token = api, page, songs, token
        self._megabytes, self._most = megabytes, (megabytes << 20) + MAX_BYTES + (1 << 16)  # the song, words and form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            await self._page(scope, receive, send)
        elif scope["type"] == "http":
            await self._counted(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, metrics, answered = time.monotonic(), self._songs.metrics, 499

        async def noted(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, noted)
        finally:
            metrics.request(_route(scope["path"]), answered, time.monotonic() - start)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        refused = self._refusal(path, scope["method"], headers)
        if refused is not None:
            await _drain(receive, scope["method"] == "POST")
            await refused(scope, receive, send)
        else:
            if path in WITH_A_SONG and "charset=" not in headers.get("content-type", ""):
                scope = _with_charset(scope)
            page = PAGE.fullmatch(path)
            answers, more = (self._page, MORE_WORDS) if page else (self._api, 0)
            await answers(scope, self._limited(receive, self._most + more), send)

    def _refusal(self, path: str, method: str, headers: dict[str, str]) -> JSONResponse | None:
        if path not in OPEN and not self._knows_the_token(headers.get("authorization", "")):
            return problem(401, "This server asks for its token: Authorization: Bearer TOKEN.", CHALLENGES)
        if method == "POST" and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return problem(403, "A page of another site may not ask here.")
        if path not in ALWAYS and self._songs.state != "ready":
            return problem(503, f"The server is {self._songs.state}.", {"retry-after": "5"})
        if method != "POST" or path not in WITH_A_SONG:
            return None
        if not headers.get("content-type", "").lower().startswith("multipart/form-data"):
            return problem(415, "Send multipart/form-data, with the song's file in the field audio.")
        if int(headers.get("content-length") or 0) > self._most:
            return problem(413, self._too_large)
        return None

    def _knows_the_token(self, authorization: str) -> bool:
        if self._token is None:
            return True
        scheme, _, rest = authorization.partition(" ")
        given = rest.strip().encode("latin-1")  # as the bytes came
        if scheme.lower() == "basic":  # as browsers have it
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given, self._token.encode())

    def _limited(self, receive: Receive, most: int) -> Receive:
        """The same, until a body has more than so many bytes."""
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                await _drain(receive, message.get("more_body", False))
                raise HTTPException(413, self._too_large)
            return message

        return counted

    @property
    def _too_large(self) -> str:
        return f"A song may have {self._megabytes} MiB, and this one has more."


def _with_charset(scope: Scope) -> Scope:
    """The request of a form whose text is given as it came."""
    charset = f"; charset={CHARSET}".encode()
    headers = [(name, value + charset * (name == b"content-type")) for name, value in scope["headers"]]
    return {**scope, "headers": headers}


async def _drain(receive: Receive, more: bool) -> None:
    """Read what is still to come of a body, if there is ``more``."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while more:
                message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)


def _route(path: str) -> str:
    """Of few kinds, whatever people ask for."""
    if path in COUNTED:
        return path
    return "page" if PAGE.fullmatch(path) else "other"
