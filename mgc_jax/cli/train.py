"""``mgc-jax train``."""

from __future__ import annotations

import argparse

from mgc_jax.cli.arguments import add_config, add_hosts, add_prepared_data, local
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import open_data


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_prepared_data(parser)
    parser.add_argument("--workdir", type=local, required=True, metavar="W")
    add_hosts(parser)


def _run(options: argparse.Namespace) -> None:
    from mgc_jax.config import recipes
    from mgc_jax.runs.data_set import check_overrides
    from mgc_jax.training.loop import train

    settings, data = recipes.load(options.config, options.overrides), open_data(options.data)
    check_overrides(settings, options.overrides, data)
    train(settings, data, options.workdir)


COMMAND = Command(
    "train",
    help="train a model; resumes by itself when the workdir holds a checkpoint",
    example="mgc-jax train --config demo --data data --workdir run --config.train.epochs=5",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
