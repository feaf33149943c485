"""``mgc-jax serve``."""

from __future__ import annotations

import argparse

from data_pipeline.extras import needed
from mgc_jax.cli.arguments import add_namer, at_least, local
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import load_namer


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_namer(parser)
    host = "who may reach it (default %(default)s: this machine alone)"
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help=host)
    port = "0 for any that is free (default %(default)s)"
    parser.add_argument("--port", type=at_least(0), default=7860, metavar="N", help=port)
    megabytes = "the largest song that may be uploaded, in MiB (default %(default)s)"
    parser.add_argument("--max-megabytes", type=at_least(1), default=50, metavar="N", help=megabytes)
    waiting = "songs that may wait; who brings another one is asked to come again (default %(default)s)"
    parser.add_argument("--max-waiting", type=at_least(1), default=16, metavar="N", help=waiting)
    timeout = "how long a song may wait and take (default %(default)s)"
    parser.add_argument("--timeout", type=at_least(1), default=120, metavar="SECONDS", help=timeout)
    similar = "show the songs of a collection that are most like the one on the page: what mgc-jax embed --out wrote"
    parser.add_argument("--similar", type=local, metavar="DIR", help=similar)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def _run(options: argparse.Namespace) -> None:
    with needed("serve", "page"):
        from mgc_jax.web import neighbours, server
        from mgc_jax.web.queue import SongQueue
    with server.listen(options.host, options.port) as listener:
        from mgc_jax import api

        token = server.token_for(listener)
        collection = api.Embeddings(options.similar) if options.similar else None
        model = load_namer(options.workdir, options.genres)
        songs = SongQueue(model, most=options.max_waiting, timeout=options.timeout)
        server.serve(
            songs,
            listener,
            megabytes=options.max_megabytes,
            token=token,
            browser=options.open,
            similar=neighbours.SimilarSongs(model, collection) if collection else None,
        )


COMMAND = Command(
    "serve",
    help="a web page where a song is dropped and gets its genres and their reasons, and an HTTP API that does the same",
    example="mgc-jax serve --workdir run --port 7860",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
