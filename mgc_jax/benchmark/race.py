"""Contenders timed side by side: a round lets each do a block of steps, so that they share the machine's moods."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from mgc_jax.benchmark import chips
from mgc_jax.benchmark.contenders import Contender
from mgc_jax.benchmark.workload import Workload
from mgc_jax.runtime.progress import Progress

WARM_UP = 3
"""Steps that each contender does before the first round."""
MUSIC4ALL_TRACKS, MUSIC4ALL_EPOCHS = 30_555, 100
"""The paper's training: 70 % of 43 650 tracks; ours has as many epochs. Evaluations are not counted."""


def race(workload: Workload, contenders: Sequence[Contender], *, rounds: int, steps: int) -> list[dict[str, Any]]:
    """One row for each contender: seconds a step over the rounds, tracks a second, and what of the machine that uses.

    ``ratio`` is the first contender's rate over this one's, round by round: over 1 the first is faster.
    """
    seconds = np.zeros((rounds, len(contenders)))
    bar = Progress("benchmark", (rounds + 1) * len(contenders), "blocks")
    for contender in contenders:
        contender.run(WARM_UP)
        bar.update(1, contender.name)
    for number in range(rounds):
        for index, contender in enumerate(contenders):
            start = time.perf_counter()
            contender.run(steps)
            seconds[number, index] = (time.perf_counter() - start) / steps
            bar.update(1, contender.name)
    bar.close()
    return [
        _row(workload, contender, seconds[:, index], seconds[:, index] / seconds[:, 0])
        for index, contender in enumerate(contenders)
    ]


def _row(workload: Workload, contender: Contender, seconds: np.ndarray, ratio: np.ndarray) -> dict[str, Any]:
    batch, devices = workload.config.train.batch_size, jax.device_count()
    step = float(np.median(seconds))
    facts = {"model_flops_per_track": workload.flops_per_track, **contender.facts()}
    chip = chips.of(jax.devices()[0])
    share: dict[str, float | None] = {"mfu": None, "bandwidth_share": None}
    if chip:
        share["mfu"] = facts["model_flops_per_track"] * batch / step / (chip.flops * devices)
        if "compiler_bytes" in facts:
            share["bandwidth_share"] = facts["compiler_bytes"] / step / chip.bandwidth
    return {
        "name": contender.name,
        "audio": workload.config.audio.input,
        "lyrics": workload.config.lyrics.input,
        "batch_size": batch,
        "tracks_per_second": batch / step,
        "music4all_minutes": MUSIC4ALL_TRACKS * MUSIC4ALL_EPOCHS * step / batch / 60,
        "step_seconds": {"median": step, "low": float(seconds.min()), "high": float(seconds.max())},
        "ratio": {"median": float(np.median(ratio)), "low": float(ratio.min()), "high": float(ratio.max())},
        "start_seconds": contender.start_seconds,
        **share,
        **facts,
    }
