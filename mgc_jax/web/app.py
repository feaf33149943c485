"""The API and the page as one web application."""

from __future__ import annotations

from starlette.types import ASGIApp

from mgc_jax.web.gate import Gate
from mgc_jax.web.http_api import http_api
from mgc_jax.web.page import page
from mgc_jax.web.queue import SongQueue


def application(songs: SongQueue, *, megabytes: int, token: str | None) -> ASGIApp:
    """What answers HTTP.

    Args:
        megabytes: the largest song that is taken, in MiB.
        token: what everybody has to know; None where all may ask.
    """
    return Gate(
        http_api(songs, token=token is not None), page(songs, megabytes), songs, token=token, megabytes=megabytes
    )
