"""``mgc-jax evaluate``."""

from __future__ import annotations

import argparse

from data_pipeline.errors import InputError
from mgc_jax.cli.arguments import add_hosts, add_json, add_model, place
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import load_model, open_data


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--data", type=place, required=True, metavar="DIR")
    parser.add_argument("--split", default="test", metavar="SPLIT", help="train, validation or test")
    add_json(parser)
    add_hosts(parser)


def _run(options: argparse.Namespace) -> None:
    from mgc_jax.evaluation.text import summary
    from mgc_jax.runtime import processes

    data = open_data(options.data)
    if options.split not in data.split_sizes:
        raise InputError(f"There is no split {options.split}; {options.data} has {', '.join(data.split_sizes)}.")
    model = load_model(options.workdir)
    if not model.keeps_evaluations:
        print(f"{options.workdir} is no workdir that can be written: figures and thresholds are not kept in it")
    evaluation = model.evaluate(data, options.split)
    if not processes.is_first():
        return
    if options.json:
        evaluation.save(options.json)
    print(summary(evaluation))
    if evaluation.other_data:
        print(
            f"\n{options.workdir} was trained on another data set: tracks that it has learned from may be among these"
        )


COMMAND = Command(
    "evaluate",
    help="all metrics of a run on a split, overall and per genre",
    example="mgc-jax evaluate --workdir run --data data --split test --json result.json",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
