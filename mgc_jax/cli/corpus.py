"""``mgc-jax corpus``."""

from __future__ import annotations

import argparse

from mgc_jax.cli.arguments import local
from mgc_jax.cli.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=local, required=True, metavar="DIR")
    parser.add_argument("--tracks", type=int, default=800, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="T", help="length of each track in s")


def _run(options: argparse.Namespace) -> None:
    from data_pipeline.sources import generated
    from mgc_jax.runtime.progress import Counter

    with Counter("tracks") as counter:
        generated.write_corpus(
            options.out,
            tracks=options.tracks,
            seed=options.seed,
            seconds=options.seconds,
            progress=lambda done, total: counter("corpus", done, total),
        )
    print(f"{options.tracks} tracks in {options.out}")


COMMAND = Command(
    "corpus",
    help="write a generated corpus in Music4All's layout: MP3 files, lyrics and tables",
    example="mgc-jax corpus --out corpus --tracks 400 --seed 1",
    add_arguments=_add_arguments,
    run=_run,
)
