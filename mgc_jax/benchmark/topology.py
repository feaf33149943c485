"""The training step compiled for TPUs that are not there: what it needs of their arithmetic, memory and links."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterable
from typing import Any

import jax
from jax.experimental import topologies

from data_pipeline import extras
from data_pipeline.errors import InputError
from mgc_jax.benchmark import chips, collectives, flops, program_text, workload
from mgc_jax.network.state import untrained_shapes
from mgc_jax.runtime import sharding
from mgc_jax.training import memory, state, steps
from mgc_jax.training.batches import StreamedBatch
from mgc_jax.training.objective import make_objective, make_optimiser

QUIET = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""The compiler asks nobody for a chip, does not complain that there is none (any type will do), and holds none."""


PODS = {"v5e": (16, 16), "v5p": (16, 20, 28), "v6e": (16, 16)}
"""The largest slice of each generation, in chips along each axis."""


def devices(name: str) -> list[jax.Device]:
    """The chips of a topology such as ``v5e:2x2``.

    Raises:
        InputError: there is no such topology, or no TPU compiler is installed.
    """
    generation, _, shape = name.partition(":")
    pod = PODS.get(generation)
    axes = [int(size) for size in shape.split("x")] if re.fullmatch(r"\d{1,2}(x\d{1,2})*", shape) else []
    if pod is None or len(axes) != len(pod) or not all(1 <= n <= most for n, most in zip(axes, pod, strict=True)):
        raise InputError(
            f"There is no topology {name!r}; they are like v5e:2x2, v5p:2x2x1 or v6e:16x16, up to "
            + ", ".join(f"{key}:{'x'.join(map(str, most))}" for key, most in PODS.items())
            + "."
        )
    extras.check("compile", "tpu")
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    try:
        host = {"chips_per_host_bounds": (1, 1, 1)} if math.prod(axes) == 1 else {}
        return list(topologies.get_topology_desc(name, platform="tpu", **host).devices)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise InputError(f"The TPU's compiler refuses {name}: {str(error).splitlines()[0]}") from None


def compile_for(
    name: str,
    size: str,
    lyrics_input: str,
    spec: str | None = None,
    overrides: Iterable[str] = (),
    audio_input: str | None = None,
) -> dict[str, Any]:
    """What the TPU compiler says of one step of a benchmark's size on the topology ``name``.

    ``roofline_seconds`` are the least that each resource needs, were it used without a pause and the others for
    nothing: the arithmetic at the chip's peak, the memory traffic at its bandwidth, the collectives by rings over
    its links.

    Raises:
        InputError: as :func:`devices`, :func:`workload.make`; or a batch that the chips do not divide; or one that
            does not fit, with the largest that does.
    """
    chip_devices = devices(name)
    load = workload.make(
        size, lyrics_input, spec, overrides, batches=0, devices=len(chip_devices), audio_input=audio_input
    )
    config = load.config
    if config.compute.dtype == "auto":
        config = dataclasses.replace(config, compute=dataclasses.replace(config.compute, dtype="bfloat16"))
    mesh = sharding.make_mesh(config.compute.model_parallel, chip_devices)
    sharding.check_batch_size(config.train.batch_size, mesh, "train.batch_size")
    optimiser = make_optimiser(config, steps_per_epoch=1000)
    network, model = untrained_shapes(config, load.num_genres, load.encoder, mesh, load.audio_shape)
    shapes = state.shapes(network, model, optimiser)
    layout = sharding.batch_sharding(mesh)
    arrays = {
        key: jax.ShapeDtypeStruct((config.train.batch_size, *x.shape[1:]), x.dtype, sharding=layout)
        for key, x in load.examples.items()
    }
    step = steps.make_train_step(network, shapes, optimiser, make_objective(config))
    chip = chips.CHIPS[mesh.devices.flat[0].device_kind]
    batch = StreamedBatch(arrays)
    compiled = memory.compile_step(step, shapes, network.frozen, batch, mesh.shape["data"], limit=chip.memory)
    cost: Any = compiled.cost_analysis()
    text = compiled.as_text() or ""
    exchanged = collectives.of(text)
    sent = sum(collectives.sent(collective, mesh.size) for collective in exchanged)
    return {
        "topology": name,
        "chips": mesh.size,
        "jax": jax.__version__,
        "audio": config.audio.input,
        "lyrics": lyrics_input,
        "batch_size": config.train.batch_size,
        "model_flops_per_track": sum(
            flops.training(config, load.encoder, load.num_genres, config.lyrics.max_tokens, load.audio_shape).values()
        ),
        "compiler_flops": cost["flops"],
        "compiler_bytes": cost["bytes accessed"],
        "copied_bytes": program_text.copied(text),
        "sent_bytes": sent,
        "device_bytes": memory.needed(compiled),
        "chip_bytes": chip.memory,
        "roofline_seconds": {
            "arithmetic": cost["flops"] / chip.flops,
            "memory": cost["bytes accessed"] / chip.bandwidth,
            "links": sent / chip.links,
        },
        "collectives": [collective._asdict() for collective in exchanged],
    }
