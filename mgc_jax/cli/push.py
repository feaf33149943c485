"""``mgc-jax push``."""

from __future__ import annotations

import argparse

from mgc_jax.cli.arguments import local
from mgc_jax.cli.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=local, required=True, metavar="DIR", help="what mgc-jax export wrote")
    parser.add_argument("--repo", required=True, metavar="USER/NAME", help="made where it is not there")
    parser.add_argument("--private", action="store_true", help="make it one that others cannot see")


def _run(options: argparse.Namespace) -> None:
    from mgc_jax.runs import hub

    print(f"{options.folder} is now {hub.push(options.folder, options.repo, private=options.private)}")


COMMAND = Command(
    "push",
    help="upload an exported model to the Hugging Face hub",
    example="mgc-jax push --folder model --repo user/name --private",
    add_arguments=_add_arguments,
    run=_run,
)
