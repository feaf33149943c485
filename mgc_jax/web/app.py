"""The API and the page as one web application."""

from __future__ import annotations

from starlette.types import ASGIApp

from mgc_jax.web.gate import Gate
from mgc_jax.web.http_api import http_api
from mgc_jax.web.neighbours import SimilarSongs
from mgc_jax.web.page import page
from mgc_jax.web.queue import SongQueue


def application(songs: SongQueue, *, megabytes: int, token: str | None, similar: SimilarSongs | None = None) -> ASGIApp:
    """What answers HTTP.

    Args:
        megabytes: the largest song that is taken, in MiB.
        token: what everybody has to know; None where all may ask.
        similar: what finds songs of a collection that are like the one on the page.
    """
    api = http_api(songs, token=token is not None)
    return Gate(api, page(songs, megabytes, similar), songs, token=token, megabytes=megabytes)
