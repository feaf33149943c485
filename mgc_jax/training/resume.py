"""What a training finds in its workdir: nothing, the run that it goes on with, or what it must not touch."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.config import Config
from mgc_jax.network.state import TrainState
from mgc_jax.runs import checkpoint, weights_file
from mgc_jax.runs.checkpoint import Checkpoints
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime.progress import stage


def begin(config: Config, data: PreparedData, workdir: Path) -> IO[str]:
    """Take the folder, see :meth:`Workdir.begin`; raises InputError also where it is an exported model."""
    if (workdir / weights_file.NAME).exists():
        raise InputError(f"{workdir} holds a model without its training ({weights_file.NAME}); give another --workdir.")
    return Workdir(workdir).begin(config, data.vocabulary)


def resume(
    workdir: Path, state: TrainState, latest: Checkpoints, best: Checkpoints
) -> tuple[TrainState, dict[str, Any]]:
    """The state to go on from and what the training knows of itself there; no checkpoint is newer afterwards.

    Raises:
        InputError: there is none, but one to evaluate, which a training would replace.
    """
    stage("looking for a checkpoint to resume from")
    restored = latest.restore(state)
    if restored is None:
        if steps := best.steps():
            raise InputError(
                f"{workdir} holds the best checkpoint of a training (step {steps[-1]}), but none to resume from: it "
                "was pruned or copied without checkpoints/latest; give another --workdir."
            )
        return state, dict(checkpoint.RECORD)
    state, progress, warnings = restored
    start = int(state.model.step)
    for warning in warnings:
        print(warning)
    if aside := [*latest.set_aside_after(start), *best.set_aside_after(start)]:
        print(f"checkpoints newer than step {start} are now {', '.join(aside)}")
    print(f"resuming after step {start}")
    return state, progress
