"""Checkpoints of the training state: the only file that imports orbax.

``<workdir>/checkpoints/latest`` holds the two newest states to resume from, ``<workdir>/checkpoints/best`` the state
with the best validation score. Both hold plain nested dicts of arrays beside a small JSON record.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from flax import nnx

from data_pipeline.errors import InputError
from mgc_jax.state import TrainState

logging.getLogger("absl").setLevel(logging.ERROR)

Record = dict[str, Any]
RECORD: Record = {"best_score": -1.0, "best_step": 0, "stale": 0, "stopped": False}
"""What a training that begins knows of itself: the best validation score so far and its step, the evaluations since,
and whether it stopped early."""


class Checkpoints:
    """Saves asynchronously and restores into the shardings of an abstract state.

    Args:
        folder: made when missing.
        keep: how many newest steps stay.
        weights_only: leave out the optimiser, for checkpoints that are evaluated but not resumed from.
    """

    def __init__(self, folder: Path, *, keep: int, weights_only: bool = False):
        self._weights_only = weights_only
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self._folder = folder

    def save(self, state: TrainState, step: int, record: Record) -> None:
        """Start writing ``state``; returns as soon as its arrays are copied off the devices."""
        if step in self._manager.all_steps():  # a resumed run that arrives here again writes the same arrays
            return
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(self._plain(state)),  # type: ignore[call-arg]
            record=ocp.args.JsonSave(record),  # type: ignore[call-arg]
        )
        self._manager.save(step, args=args)

    def restore(self, target: TrainState, step: int | None = None) -> tuple[TrainState, Record, list[str]] | None:
        """The newest readable state (or that of ``step``) in ``target``'s shardings; None where there is none.

        A newest checkpoint that cannot be read is deleted and the one before it is taken.

        Returns:
            The state, its JSON record, and a sentence for each checkpoint that had to be passed over.

        Raises:
            InputError: there are checkpoints, but none can be read.
        """
        steps = sorted(self._manager.all_steps() if step is None else [step], reverse=True)
        warnings: list[str] = []
        for candidate in steps:
            try:
                args = ocp.args.Composite(
                    state=ocp.args.StandardRestore(self._plain(target)),  # type: ignore[call-arg]
                    record=ocp.args.JsonRestore(),
                )
                restored = self._manager.restore(candidate, args=args)
                _check(restored["record"])
                return self._rebuild(restored["state"], target), restored["record"], warnings
            except Exception as error:  # whatever a damaged file makes the library raise
                reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
                warnings.append(
                    f"The checkpoint of step {candidate} in {self._folder} cannot be read and is left out: {reason}"
                )
        if steps:
            raise InputError(f"No checkpoint in {self._folder} can be read. {warnings[-1]}")
        return None

    def delete_after(self, step: int) -> None:
        """Remove checkpoints newer than ``step``: the unreadable ones that a restore passed over."""
        for newer in [s for s in self._manager.all_steps() if s > step]:
            self._manager.delete(newer)

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()

    def _plain(self, state: TrainState) -> dict[str, Any]:
        plain: dict[str, Any] = {
            name: nnx.to_pure_dict(getattr(state, name)) for name in ("params", "batch_stats", "constants")
        }
        plain["step"] = state.step
        if not self._weights_only:
            plain["opt_state"] = jax.tree.leaves(state.opt_state)
        return plain

    def _rebuild(self, plain: dict[str, Any], target: TrainState) -> TrainState:
        parts = {
            name: jax.tree.unflatten(jax.tree.structure(getattr(target, name)), jax.tree.leaves(plain[name]))
            for name in ("params", "batch_stats", "constants")
        }
        opt_state = target.opt_state
        if not self._weights_only:
            opt_state = jax.tree.unflatten(jax.tree.structure(target.opt_state), plain["opt_state"])
        return TrainState(step=plain["step"], opt_state=opt_state, **parts)


def _check(record: Any) -> None:
    """Raise ValueError for what no training has written."""
    if not isinstance(record, dict) or any(type(record.get(name)) is not type(v) for name, v in RECORD.items()):
        raise ValueError("its record is broken")


def latest(workdir: Path) -> Checkpoints:
    """The states to resume from."""
    return Checkpoints(workdir / "checkpoints" / "latest", keep=2)


def best(workdir: Path) -> Checkpoints:
    """The state to evaluate and to predict with."""
    return Checkpoints(workdir / "checkpoints" / "best", keep=1, weights_only=True)
