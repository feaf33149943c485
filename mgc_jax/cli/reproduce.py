"""``mgc-jax reproduce``."""

from __future__ import annotations

import argparse
from typing import Any

from mgc_jax.cli.arguments import add_config, add_prepared_data, at_least, local
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import open_data
from mgc_jax.paper.sweeps import SWEEPS


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sweep", required=True, choices=SWEEPS, metavar="SWEEP", help=", ".join(SWEEPS))
    add_config(parser, required=False)
    add_prepared_data(parser)
    workdir = "one folder for each row and seed"
    parser.add_argument("--workdir", type=local, required=True, metavar="W", help=workdir)
    parser.add_argument("--seeds", type=at_least(1), default=1, metavar="K", help="runs of each row")
    split = "what is reported: validation or test (default %(default)s)"
    parser.add_argument("--split", choices=("validation", "test"), default="test", metavar="SPLIT", help=split)
    rows = "train only these rows, e.g. none a-l_scma; the others are reported as far as they are done"
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help=rows)


def _run(options: argparse.Namespace) -> None:
    from data_pipeline.storage.files import written_whole
    from data_pipeline.storage.json_file import write_json
    from mgc_jax.config import recipes
    from mgc_jax.paper import tables
    from mgc_jax.paper.reproduce import reproduce, select
    from mgc_jax.runs.data_set import check_overrides

    sweep = SWEEPS[options.sweep]
    only = select(sweep, options.rows) if options.rows else None
    settings, data = recipes.load(options.config, options.overrides), open_data(options.data)
    check_overrides(settings, options.overrides, data)
    options.workdir.mkdir(parents=True, exist_ok=True)

    name = options.sweep if options.split == "test" else f"{options.sweep}_{options.split}"

    def save(comparison: dict[str, Any]) -> None:
        write_json(options.workdir / f"{name}.json", comparison)
        with written_whole(options.workdir / f"{name}.md") as file:
            file.write(tables.markdown(comparison).encode())
        tables.draw(comparison, options.workdir / f"{name}.png")

    comparison = reproduce(
        sweep, settings, data, options.workdir, options.seeds, only=only, split=options.split, save=save
    )
    print(tables.markdown(comparison))
    print(f"{options.workdir / name}.json, .md and .png")


COMMAND = Command(
    "reproduce",
    help="train the rows of a table of the paper and set the results beside the paper's",
    example="mgc-jax reproduce --sweep table2 --config demo --data data --workdir runs/table2 --seeds 3",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
