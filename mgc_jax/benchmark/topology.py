"""The training step compiled for chips that are not there: what it needs of their arithmetic, memory and links."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax

from data_pipeline.errors import InputError
from mgc_jax.benchmark import chips, collectives, cost, flops, gpu_topology, program_text, tpu_topology, workload
from mgc_jax.network.state import untrained_shapes
from mgc_jax.runtime import sharding
from mgc_jax.training import memory, state, steps
from mgc_jax.training.batches import StreamedBatch
from mgc_jax.training.objective import make_objective, make_optimiser


def devices(name: str) -> list[jax.Device]:
    """The chips of a topology such as ``v5e:2x2`` or ``h100:8``.

    Raises:
        InputError: there is no such topology, or its compiler is not installed or refuses it.
    """
    for kind in (tpu_topology, gpu_topology):
        if kind.knows(name):
            return kind.devices(name)
    raise InputError(
        f"There is no topology {name!r}; they are like {tpu_topology.NAMES}, and like {gpu_topology.NAMES}."
    )


def compile_for(
    name: str,
    size: str,
    lyrics_input: str,
    spec: str | None = None,
    overrides: Iterable[str] = (),
    audio_input: str | None = None,
) -> dict[str, Any]:
    """What the compiler says of one step of a benchmark's size on the topology ``name``.

    ``compiler_flops`` are None where it does not know them, see :func:`cost.of`. ``roofline_seconds`` are the least
    that each resource needs, were it used without a pause and the others for nothing: the arithmetic (the compiler's,
    or else the model's) at the chip's peak, the memory traffic at its bandwidth, the collectives by rings over its
    links.

    Raises:
        InputError: as :func:`devices`, :func:`workload.make`; or a batch that the chips do not divide; or one that
            does not fit, with the largest that does; or the compiler refuses the step.
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
    device = chip_devices[0]
    chip = chips.CHIPS[device.device_kind]
    batch = StreamedBatch(arrays)
    options = gpu_topology.OPTIONS if device.platform == "gpu" else None
    try:
        compiled = memory.compile_step(
            step, shapes, network.frozen, batch, mesh.shape["data"], limit=chip.memory, options=options
        )
    except jax.errors.JaxRuntimeError as error:
        raise InputError(f"The compiler refuses this step for {name}: {str(error).splitlines()[0]}") from None
    counted = cost.of(compiled, device.platform)
    model_flops = sum(
        flops.training(config, load.encoder, load.num_genres, config.lyrics.max_tokens, load.audio_shape).values()
    )
    step_flops = model_flops * config.train.batch_size / mesh.size if counted.flops is None else counted.flops
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
        "model_flops_per_track": model_flops,
        "compiler_flops": counted.flops,
        "compiler_bytes": counted.bytes,
        "copied_bytes": program_text.copied(text),
        "sent_bytes": sent,
        "device_bytes": memory.needed(compiled),
        "chip_bytes": chip.memory,
        "roofline_seconds": {
            "arithmetic": step_flops / chip.flops,
            "memory": counted.bytes / chip.bandwidth,
            "links": sent / chip.links,
        },
        "collectives": [collective._asdict() for collective in exchanged],
    }
