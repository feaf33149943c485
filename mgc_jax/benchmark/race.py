"""Contenders timed side by side: a round lets each do a block of steps, so that they share the machine's moods.

A rival that fails, whatever it was, is a row that says so; what the others do is measured all the same.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mgc_jax.benchmark import chips
from mgc_jax.benchmark.contenders import Contender
from mgc_jax.benchmark.workload import Workload
from mgc_jax.runtime.progress import Progress

WARM_UP = 3
"""Steps that each contender does before the first round."""
LONGEST_REASON = 300
"""Characters of why a rival failed, of which compilers write pages."""
MUSIC4ALL_TRACKS, MUSIC4ALL_EPOCHS = 30_555, 100
"""The paper's training: 70 % of 43 650 tracks; ours has as many epochs. Evaluations are not counted."""


class Rival(NamedTuple):
    """A contender that need not come about."""

    name: str
    make: Callable[[], Contender]


@dataclasses.dataclass
class _Lane:
    """A contender in the race, the seconds of a step in each round so far, and why it is out of it."""

    name: str
    contender: Contender | None = None
    seconds: list[float] = dataclasses.field(default_factory=list)
    error: str | None = None

    def run(self, count: int) -> float:
        """Do ``count`` steps; the seconds of one."""
        assert self.contender is not None
        start = time.perf_counter()
        self.contender.run(count)
        return (time.perf_counter() - start) / count

    def leave(self, error: Exception) -> None:
        """It has failed; what it held is let go."""
        reason = " ".join(str(error).split())
        self.error = f"{type(error).__name__}: {reason}"[:LONGEST_REASON] if reason else type(error).__name__
        self.contender = None


def race(
    workload: Workload,
    contenders: Sequence[Contender],
    rivals: Sequence[Rival] = (),
    *,
    rounds: int,
    steps: int,
    had: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> list[dict[str, Any]]:
    """One row for each contender: seconds a step over the rounds, tracks a second, and what of the machine that uses.

    ``ratio`` is the first contender's rate over this one's, round by round: over 1 the first is faster. A rival that
    fails has ``error`` instead.

    Args:
        contenders: what they raise is raised.
        rivals: made once the contenders are warm; what they raise is their row.
        had: is given the rows after every round.
    """
    lanes = [_Lane(contender.name, contender) for contender in contenders]
    bar = Progress("benchmark", (rounds + 1) * (len(contenders) + len(rivals)), "blocks")
    for lane in lanes:
        lane.run(WARM_UP)
        bar.update(1, lane.name)
    for rival in rivals:
        lanes.append(lane := _Lane(rival.name))
        try:
            lane.contender = rival.make()
            lane.name = lane.contender.name
            lane.run(WARM_UP)
        except Exception as error:  # of another framework, a compiler, a device, workers: whatever it is
            lane.leave(error)
        bar.update(1, lane.name)
    rows: list[dict[str, Any]] = []
    for _ in range(rounds):
        for index, lane in enumerate(lanes):
            try:
                if lane.contender:
                    lane.seconds.append(lane.run(steps))
            except Exception as error:  # as above
                if index < len(contenders):
                    raise
                lane.leave(error)
            bar.update(1, lane.name)
        rows = [_row(workload, lane, lanes[0]) for lane in lanes]
        had(rows)
    bar.close()
    return rows


def _row(workload: Workload, lane: _Lane, first: _Lane) -> dict[str, Any]:
    batch = workload.config.train.batch_size
    entered = {
        "name": lane.name,
        "audio": workload.config.audio.input,
        "lyrics": workload.config.lyrics.input,
        "batch_size": batch,
    }
    if lane.contender is None:
        return {**entered, "error": lane.error}
    devices, contender, seconds = jax.device_count(), lane.contender, np.array(lane.seconds)
    ratio, step = seconds / np.array(first.seconds), float(np.median(seconds))
    facts = {"model_flops_per_track": workload.flops_per_track, **contender.facts()}
    chip = chips.of(jax.devices()[0])
    share: dict[str, float | None] = {"mfu": None, "bandwidth_share": None}
    if chip:
        share["mfu"] = facts["model_flops_per_track"] * batch / step / (chip.flops * devices)
        if "compiler_bytes" in facts:
            share["bandwidth_share"] = facts["compiler_bytes"] / step / chip.bandwidth
    return {
        **entered,
        "rounds": len(seconds),
        "tracks_per_second": batch / step,
        "music4all_minutes": MUSIC4ALL_TRACKS * MUSIC4ALL_EPOCHS * step / batch / 60,
        "step_seconds": {"median": step, "low": float(seconds.min()), "high": float(seconds.max())},
        "ratio": {"median": float(np.median(ratio)), "low": float(ratio.min()), "high": float(ratio.max())},
        "start_seconds": contender.start_seconds,
        **share,
        **facts,
    }
