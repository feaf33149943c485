"""``mgc-jax explain``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mgc_jax.cli.arguments import PICTURES, add_explained, add_json, picture
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import load_namer, read_lyrics


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_explained(parser)
    parser.add_argument("audio", type=Path, metavar="AUDIO")
    parser.add_argument("--lyrics", metavar="FILE", help="a text file (- for none)")
    genres = "which genres (default: those that are predicted)"
    parser.add_argument("--genres", nargs="+", metavar="NAME", help=genres)
    parser.add_argument("--out", type=picture, metavar="PICTURE", help=f"a file that ends in {', '.join(PICTURES)}")
    add_json(parser)


def _run(options: argparse.Namespace) -> None:
    from data_pipeline.storage.json_file import write_json
    from mgc_jax.explain.text import summary

    lyrics = read_lyrics(options.lyrics)
    explanation = load_namer(options.workdir).explain(options.audio, lyrics, genres=options.genres)
    print(summary(explanation))
    if options.json:
        write_json(options.json, explanation.to_json())
    if options.out:
        from mgc_jax.plots.explanations import draw  # needs matplotlib
        from mgc_jax.plots.picture_file import save_picture

        save_picture(draw(explanation), options.out, dpi=120)
        print(f"\n{options.out} shows it")


COMMAND = Command(
    "explain",
    help="say which seconds, words and related genres speak for the genres of a song",
    example="mgc-jax explain --workdir run song.mp3 --lyrics song.txt --out explanation.png",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
