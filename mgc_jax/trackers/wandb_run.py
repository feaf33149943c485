"""A run in Weights & Biases; ``WANDB_MODE=offline`` keeps it on this disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from mgc_jax.runs.logs import Ending
from mgc_jax.trackers import delivery
from mgc_jax.trackers.delivery import group

SIGNALLED = 143  # the exit code that a stopped run is reported with


def start(project: str, name: str, settings: dict[str, Any], workdir: Path, known: str | None) -> WandbRun | None:
    """A new run, or the ``known`` one again; None where ``WANDB_MODE=disabled``. Never asks a person anything.

    Raises:
        Exception: whatever wandb raises where it is not logged in or gets no answer.
    """
    wandb.setup(wandb.Settings(silent=True, console="off"))
    mode = wandb.setup().settings.mode
    if mode == "disabled":
        print("logging to W&B: not at all, as WANDB_MODE is disabled")
        return None
    offline = mode in ("offline", "dryrun")
    if not offline and not wandb.login(prompt=False):
        raise RuntimeError("nobody is logged in")
    run = wandb.init(
        project=project,
        name=name,
        id=known,
        resume=None if offline else "allow",
        reinit="create_new",  # whatever else this process logs is left alone
        dir=os.environ.get("WANDB_DIR") or str(workdir),
        settings=wandb.Settings(
            silent=True, console="off", finish_timeout=delivery.PATIENCE * 0.8, finish_timeout_raises=True
        ),
    )
    run.config.update(settings, allow_val_change=True)  # a longer training, resumed
    return WandbRun(run, offline)


class WandbRun:
    """A :class:`~mgc_jax.trackers.delivery.Tracker`.

    W&B refuses rows that go back, so each group has its own axis (``train/step``, hidden from the charts' list) and its
    charts are drawn over that. Rows are numbered by the training step too, as far as they may.

    Offline nobody can say what a killed run left, as wandb keeps the last rows in memory: there every start writes the
    whole history to a new folder, so that syncing the latest one is enough.
    """

    name = "W&B"

    def __init__(self, run: Any, offline: bool):
        self.run: str = run.id
        self._run = run
        self._axes: set[str] = set()
        self._first_row = 0 if offline else run.step
        self.written: dict[str, int] = {} if offline else _steps(run.summary)
        where = f"in {Path(run.dir).parent}; send it with wandb sync" if offline else run.url
        print(f"logging to W&B: project {run.project}, run {run.id}, {where}")

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Hand the scalars to wandb's own process, which sends them when it can."""
        groups = {group(name) for name in scalars}
        for new in sorted(groups - self._axes):
            self._run.define_metric(f"{new}/step", hidden=True)
            self._run.define_metric(f"{new}/*", step_metric=f"{new}/step")
        self._axes |= groups
        axes = {f"{name}/step": step for name in groups}
        self._run.log({**scalars, **axes}, step=max(step, self._first_row))

    def close(self, ending: Ending) -> None:
        """Keep the best score in the summary; a run that did not finish is shown as failed, or as preempted."""
        try:
            if ending.best_step:
                self._run.summary.update({"best/map_macro": ending.best_score, "best/step": ending.best_step})
            if ending.status == "stopped":
                self._run.mark_preempting()
            self._run.finish(exit_code={"finished": 0, "stopped": SIGNALLED, "failed": 1}[ending.status])
        except Exception:
            with contextlib.suppress(Exception):  # or it tries again, aloud, when Python ends
                wandb.teardown()
            raise


def _steps(summary: Any) -> dict[str, int]:
    """The last step of each group, as the server's summary of a resumed run tells."""
    pairs = dict(summary).items()
    return {
        name.removesuffix("/step"): value
        for name, value in pairs
        if name.count("/") == 1 and name.endswith("/step") and type(value) is int
    }
