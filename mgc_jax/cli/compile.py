"""``mgc-jax compile``."""

from __future__ import annotations

import argparse
import itertools

from mgc_jax.cli.arguments import add_config, add_json, add_workload
from mgc_jax.cli.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, required=False)
    topologies = "one or more, e.g. v5e:16x16, v5p:4x4x4, v6e:2x2, h100:8, a100:1"
    parser.add_argument("--topology", required=True, nargs="+", metavar="T", help=topologies)
    add_workload(parser, size="pod")
    add_json(parser)


def _run(options: argparse.Namespace) -> None:
    import jax

    jax.config.update("jax_platforms", "cpu")  # no chip is asked for

    from data_pipeline.storage.json_file import write_json
    from mgc_jax.benchmark import table, topology, workload
    from mgc_jax.runtime.progress import Progress

    inputs = list(itertools.product(options.audio, options.lyrics))
    for audio, lyrics in inputs:  # settings that no program can have are refused before the first is compiled
        workload.make(options.size, lyrics, options.config, options.overrides, batches=0, audio_input=audio)
    wanted = [(name, *given) for name in options.topology for given in inputs]
    progress = Progress("compile", len(wanted), "programs")
    rows = []
    for name, audio, lyrics in wanted:
        rows.append(topology.compile_for(name, options.size, lyrics, options.config, options.overrides, audio))
        progress.update(1, f"{name}, {rows[-1]['audio']}, {lyrics}")
        if options.json:
            write_json(options.json, {"size": options.size, "rows": rows})
    progress.close()
    print(table.compiled_markdown(options.size, rows))


COMMAND = Command(
    "compile",
    help="compile the training step for TPUs and GPUs that are not there: arithmetic, memory traffic, memory",
    example="mgc-jax compile --topology v5e:2x2 v5e:16x16 h100:8 --size pod --lyrics features",
    add_arguments=_add_arguments,
    run=_run,
)
