"""``mgc-jax scan``."""

from __future__ import annotations

import argparse
from pathlib import Path

from data_pipeline import extras
from mgc_jax.cli.arguments import writable
from mgc_jax.cli.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="with all that is in it")
    out = "the manifest, .csv or .jsonl"
    parser.add_argument("--out", type=writable, required=True, metavar="FILE", help=out)


def _run(options: argparse.Namespace) -> None:
    extras.check("Reading tags", "tags")
    from data_pipeline.tags.scan import scan
    from mgc_jax.runtime.progress import Counter

    with Counter("songs") as counter:
        found = scan(options.folders, options.out, counter)
    print(
        f"{found.songs} songs with {found.genres} genres in {options.out}; {found.without_genres} have no genres, "
        f"{found.without_lyrics} no lyrics"
    )
    if found.failures_file:
        print(f"{found.unreadable} files could not be read; {found.failures_file} says why")
    if passed := found.hidden + found.others + found.repeated:
        print(
            f"{passed} entries were passed by: {found.hidden} hidden or of a system, {found.others} no songs by their "
            f"names, {found.repeated} links to what was there already"
        )


COMMAND = Command(
    "scan",
    help="write a manifest of a folder of songs from their tags: genres, artists, lyrics",
    example="mgc-jax scan my_music --out songs.csv",
    add_arguments=_add_arguments,
    run=_run,
)
