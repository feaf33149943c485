"""``mgc-jax report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from data_pipeline.schema import SPLITS
from mgc_jax.cli.arguments import add_model, place, writable
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import local_run, open_data


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    split = "which evaluation, validation or test as a rule (default %(default)s)"
    parser.add_argument("--split", choices=SPLITS, default="test", metavar="SPLIT", help=split)
    out = "default W/report.html, or ./report.html where W is an address"
    parser.add_argument("--out", type=writable, metavar="FILE", help=out)
    data = "the data set, if it is not where it was when the run was evaluated"
    parser.add_argument("--data", type=place, metavar="DIR", help=data)
    parser.add_argument("--no-audio", action="store_true", help="without players and explanations: no music, no lyrics")


def _run(options: argparse.Namespace) -> None:
    from mgc_jax.report import render

    data = open_data(options.data, shards=False) if options.data else None
    folder = local_run(options.workdir)
    out = options.out or (Path() if isinstance(options.workdir, str) else folder) / "report.html"
    size, gaps = render.write(folder, options.split, out, data=data, players=not options.no_audio)
    for sentence in gaps:
        print(f"the page lacks something: {sentence}")
    print(f"{out} ({size / 1e6:.1f} MB)")


COMMAND = Command(
    "report",
    help="one HTML page about a run: curves, metrics, genres, calibration, worst mistakes with players, explanations",
    example="mgc-jax report --workdir run --out report.html",
    add_arguments=_add_arguments,
    run=_run,
)
