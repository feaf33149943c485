"""``mgc-jax benchmark``."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from data_pipeline.extras import needed
from mgc_jax.cli.arguments import add_config, add_json, add_workload, at_least
from mgc_jax.cli.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, required=False)
    add_workload(parser, size="paper")
    parser.add_argument("--against", choices=("torch",), metavar="torch", help="the twin, on the same device")
    parser.add_argument("--rounds", type=at_least(2), default=7, metavar="N", help="default %(default)s")
    parser.add_argument("--steps", type=at_least(1), default=10, metavar="N", help="a round (default %(default)s)")
    add_json(parser)


def _run(options: argparse.Namespace) -> None:
    from data_pipeline.storage.json_file import write_json
    from mgc_jax.benchmark import contenders, race, table, workload
    from mgc_jax.network import build

    if options.against:
        with needed("--against torch", "torch"):
            from mgc_jax.torch_reference import contenders as rivals
    rows: list[dict[str, Any]] = []
    loads = [
        workload.make(options.size, lyrics, options.config, options.overrides, audio_input=audio)
        for audio, lyrics in itertools.product(options.audio, options.lyrics)
    ]
    for load in loads:
        racers = contenders.ours(load)
        if options.against:
            racers += [rivals.SameWork(load), rivals.AsAUser(load)]
        rows += race.race(load, racers, rounds=options.rounds, steps=options.steps)
    result = table.of(options.size, build.compute_dtype(loads[0].config), options.rounds, options.steps, rows)
    if options.json:
        write_json(options.json, result)
    print(table.markdown(result))


COMMAND = Command(
    "benchmark",
    help="time the training step on arrays of the true shapes, alone or side by side with PyTorch",
    example="mgc-jax benchmark --size paper --against torch --json benchmark.json",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
