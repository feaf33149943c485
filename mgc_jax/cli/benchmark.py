"""``mgc-jax benchmark``."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from data_pipeline.extras import needed
from mgc_jax.cli.arguments import add_config, add_json, add_workload, at_least, local
from mgc_jax.cli.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, required=False)
    add_workload(parser, size="paper")
    parser.add_argument("--against", choices=("torch",), metavar="torch", help="the twin, on the same device")
    parser.add_argument("--rounds", type=at_least(2), default=7, metavar="N", help="default %(default)s")
    parser.add_argument("--steps", type=at_least(1), default=10, metavar="N", help="a round (default %(default)s)")
    text = "trace a round of ours, split on the device, into DIR, and print its kernels by time and part of the model"
    parser.add_argument("--profile", type=local, metavar="DIR", help=text)
    add_json(parser)


def _run(options: argparse.Namespace) -> None:
    from data_pipeline.storage.json_file import write_json
    from mgc_jax.benchmark import contenders, race, table, workload
    from mgc_jax.network import build
    from mgc_jax.runtime import compilation_cache, device_trace, gpu_memory
    from mgc_jax.training import kernel_table

    if options.against:
        with needed("--against torch", "torch"):
            from mgc_jax.torch_reference import contenders as rivals
        gpu_memory.leave_room()
    compilation_cache.keep()
    if options.profile:
        device_trace.make_folder(options.profile)
        compilation_cache.tell_names_apart()
    rows: list[dict[str, Any]] = []
    profiles: list[dict[str, Any]] = []
    loads = [
        workload.make(options.size, lyrics, options.config, options.overrides, audio_input=audio)
        for audio, lyrics in itertools.product(options.audio, options.lyrics)
    ]
    dtype = build.compute_dtype(loads[0].config)

    def result(now: list[dict[str, Any]]) -> dict[str, Any]:
        every = table.of(options.size, dtype, options.rounds, options.steps, [*rows, *now])
        return {**every, "profiles": profiles} if options.profile else every

    def had(now: list[dict[str, Any]]) -> None:
        if options.json:
            write_json(options.json, result(now))

    for load in loads:
        _, resident, *_ = ours = contenders.ours(load)
        against = rivals.every(load) if options.against else []
        rows += race.race(load, ours, against, rounds=options.rounds, steps=options.steps, had=had)
        if options.profile:
            inputs = {"audio": load.config.audio.input, "lyrics": load.config.lyrics.input}
            folder = options.profile / "_".join(inputs.values())
            profiles.append({**inputs, "name": resident.name, **resident.profile(folder, options.steps)})
        had([])
    print(table.markdown(result([])))
    for profile in profiles:
        print(f"\n{profile['audio']}, {profile['lyrics']}, {profile['name']}: {kernel_table.markdown(profile)}")
    if options.profile:
        print(f"\nthe traces are in {options.profile}: tensorboard --logdir {options.profile}")


COMMAND = Command(
    "benchmark",
    help="time the training step on arrays of the true shapes, alone or side by side with PyTorch",
    example="mgc-jax benchmark --size paper --against torch --json benchmark.json",
    add_arguments=_add_arguments,
    run=_run,  # it keeps programs by itself: how much memory JAX takes is settled before it looks for devices
)
