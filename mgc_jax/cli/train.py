"""``mgc-jax train``."""

from __future__ import annotations

import argparse
import re
from typing import Any

from mgc_jax.cli.arguments import add_config, add_hosts, add_prepared_data, local
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import open_data


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_prepared_data(parser)
    parser.add_argument("--workdir", type=local, required=True, metavar="W")
    text = "trace steps FIRST to LAST, or the first N after a warm-up, into W/profile, and print their kernels by time"
    parser.add_argument("--profile", type=_steps, metavar="FIRST:LAST|N", help=text)
    add_hosts(parser)


def _steps(text: str) -> Any:
    if not (found := re.fullmatch(r"(?:([0-9]{1,9}):)?([0-9]{1,9})", text)) or int(found[2]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither FIRST:LAST, such as 20:25, nor a number of steps")
    from mgc_jax.training.profile import Steps

    return Steps(None if found[1] is None else int(found[1]), int(found[2]))


def _run(options: argparse.Namespace) -> None:
    from mgc_jax.config import recipes
    from mgc_jax.runs.data_set import check_overrides
    from mgc_jax.runtime import compilation_cache
    from mgc_jax.training.loop import train

    settings, data = recipes.load(options.config, options.overrides), open_data(options.data)
    check_overrides(settings, options.overrides, data)
    if options.profile:
        compilation_cache.tell_names_apart()
    train(settings, data, options.workdir, options.profile)


COMMAND = Command(
    "train",
    help="train a model; resumes by itself when the workdir holds a checkpoint",
    example="mgc-jax train --config demo --data data --workdir run --config.train.epochs=5",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
