"""Checkpoints of the training state: the only file that imports orbax.

``<workdir>/checkpoints/latest`` holds the two newest states to resume from, ``<workdir>/checkpoints/best`` the state
with the best validation score. Both hold plain nested dicts of arrays beside a small JSON record and checksums, which
the library lacks: it reads an array with a flipped byte without a word.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from flax import nnx

from data_pipeline.errors import InputError
from mgc_jax.network.state import ModelState, TrainState
from mgc_jax.runs import orbax_noise
from mgc_jax.runtime import processes

Record = dict[str, Any]
PARTS = ("params", "batch_stats", "constants")
State = TypeVar("State", ModelState, TrainState)
RECORD: Record = {"best_score": -1.0, "best_step": 0, "stale": 0, "stopped": False, "evaluated": 0}
"""What a training that begins knows of itself: the best validation score so far and its step, the evaluations since,
whether it stopped early, and the step of the last evaluation."""


class Checkpoints(Generic[State]):
    """Saves asynchronously and restores into the shardings of an abstract state, be it a model's or a training's.

    Args:
        folder: made when missing.
        keep: how many newest steps stay.
        read_only: change nothing in the folder, which need not be there.
    """

    def __init__(self, folder: Path, *, keep: int, read_only: bool = False):
        self._folder = folder
        with contextlib.ExitStack() as quiet:
            quiet.enter_context(orbax_noise.while_reading)
            if read_only:
                options = ocp.CheckpointManagerOptions(read_only=True)
            else:
                quiet.enter_context(orbax_noise.while_writing)
                options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
            self._manager = _Manager(folder.absolute(), options=options)
            self._quiet = quiet.pop_all()

    def steps(self) -> list[int]:
        """Of the checkpoints that are there or are being written, in their order."""
        return list(self._manager.all_steps())

    def save(self, state: State, step: int, record: Record) -> None:
        """Start writing ``state``; returns as soon as its arrays are copied off the devices, or on several hosts when
        it is written.

        Raises:
            InputError: this checkpoint or the one before it cannot be written.
        """
        if step in self.steps():  # a resumed run that arrives here again writes the same arrays
            return
        processes.barrier(f"the checkpoint of step {step}")
        plain = _plain(state)
        processes.from_first("the search for room on the disk", functools.partial(self._check_room, plain))
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(plain),  # type: ignore[call-arg]
            record=ocp.args.JsonSave(_sealed(record, int(_checksum(plain)))),  # type: ignore[call-arg]
        )
        self._writing(functools.partial(self._manager.save, step, args=args))
        if jax.process_count() > 1:
            # Orbax counts its barriers: two stores that write in the background meet them in another order on another
            # host, and wait for each other for ever.
            self.wait()

    def wait(self) -> None:
        """Wait until everything is on disk; raises InputError as :meth:`save` does."""
        self._writing(self._manager.wait_until_finished)

    def wait_for_one(self) -> None:
        """Wait until a checkpoint is on disk: the one before the newest is, when the newest is begun."""
        if len(self.steps()) < 2:
            self.wait()

    def restore(self, target: State, step: int | None = None) -> tuple[State, Record, list[str]] | None:
        """The newest readable state (or that of ``step``) in ``target``'s shardings; None where there is none.

        Where the newest checkpoint cannot be read, the one before it is taken.

        Returns:
            The state, its JSON record, and a sentence for each checkpoint that had to be passed over.

        Raises:
            InputError: there are checkpoints, but none can be read.
        """
        steps = sorted(self.steps() if step is None else [step], reverse=True)
        warnings: list[str] = []
        for candidate in steps:
            try:
                plain, sealed = self._read(candidate, target)
                problem = ""
            except Exception as error:  # whatever a damaged file makes the library raise
                problem = _first_line(error)
            problem = processes.any_of(problem, "reading a checkpoint")  # all processes take the same checkpoint
            if not problem and sealed != _sealed(sealed["record"], int(_checksum(plain))):
                problem = "its contents do not match their checksums"
            if not problem:
                return _rebuild(plain, target), sealed["record"], warnings
            warnings.append(
                f"The checkpoint of step {candidate} in {self._folder} cannot be read and is left out: {problem}"
            )
        if steps:
            raise InputError(f"No checkpoint in {self._folder} can be read. {warnings[-1]}")
        return None

    def set_aside_after(self, step: int) -> list[str]:
        """Move checkpoints newer than ``step`` out of the way of the run, which comes there again.

        They are not deleted: what could not be read may be read when the disk answers, or memory is not short.

        Returns:
            Where they are, in ``<workdir>/checkpoints/set-aside``.

        Raises:
            InputError: they cannot be moved.
        """
        newer = [s for s in self.steps() if s > step]
        if not newer:
            return []
        moved: list[str] = processes.from_first("the search for checkpoints", functools.partial(self._move, newer))
        self._manager.reload()
        return moved

    def _move(self, steps: Sequence[int]) -> list[str]:
        moved = []
        for step in steps:
            target = self._folder.parent / "set-aside" / f"{self._folder.name}-{step}"
            while target.exists():  # since an earlier time
                target = target.with_name(f"{target.name}-again")
            try:
                target.parent.mkdir(exist_ok=True)
                (self._folder / str(step)).rename(target)
            except OSError as error:
                raise InputError(
                    f"The checkpoint {self._folder / str(step)} is in the way and cannot be moved "
                    f"({error.strerror or error}); move it to another folder and run the same command again."
                ) from None
            moved.append(str(target))
        return moved

    def close(self) -> None:
        """Wait until everything is on disk; raises InputError as :meth:`save` does."""
        with self._quiet:
            try:
                self.wait()
            finally:
                self._manager.close()

    def _check_room(self, plain: dict[str, Any]) -> None:
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(plain))
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise InputError(
                f"A checkpoint of {needed / 2**20:.1f} MiB finds no room in {self._folder} ({free / 2**20:.1f} MiB "
                "free); make room and run the same command again: it goes on from the last checkpoint."
            )

    def _writing(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except jax.errors.JaxRuntimeError:  # an exchange between processes failed, not the writing
            raise
        except (OSError, ValueError, RuntimeError) as error:
            reason = _first_line(error)
        else:
            return
        # Behind the block, so that what Orbax left undone ends here, with the error that holds it.
        raise InputError(
            f"A checkpoint cannot be written to {self._folder} ({reason}); see that there is room and run the same "
            "command again: it goes on from the last checkpoint."
        )

    def _read(self, step: int, target: State) -> tuple[dict[str, Any], dict[str, Any]]:
        """The stored arrays and the sealed record."""
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(_plain(target)),  # type: ignore[call-arg]
            record=ocp.args.JsonRestore(),
        )
        restored = self._manager.restore(step, args=args)
        sealed = restored["record"]
        _check(sealed.get("record") if isinstance(sealed, dict) else None)
        return restored["state"], sealed


def _plain(state: ModelState | TrainState) -> dict[str, Any]:
    """Nested dicts of arrays, as they are stored."""
    if isinstance(state, TrainState):
        return _plain(state.model) | {"opt_state": jax.tree.leaves(state.opt_state)}
    return {name: nnx.to_pure_dict(getattr(state, name)) for name in PARTS} | {"step": state.step}


def _rebuild(plain: dict[str, Any], target: Any) -> Any:
    """The stored arrays in the form of ``target``."""
    if isinstance(target, TrainState):
        opt_state = jax.tree.unflatten(jax.tree.structure(target.opt_state), plain["opt_state"])
        return TrainState(_rebuild(plain, target.model), opt_state)
    parts = {
        name: jax.tree.unflatten(jax.tree.structure(getattr(target, name)), jax.tree.leaves(plain[name]))
        for name in PARTS
    }
    return ModelState(step=plain["step"], **parts)


def _check(record: Any) -> None:
    """Raise ValueError for what no training has written."""
    if not isinstance(record, dict) or any(type(record.get(name)) is not type(v) for name, v in RECORD.items()):
        raise ValueError("its record is broken")


class _Manager(ocp.CheckpointManager):
    def reached_preemption(self, step: int) -> bool:
        """Leave this to ``stopping.py``: who asks with other numbers between its calls makes it miss the moment."""
        return False


def _sealed(record: Record, arrays: int) -> dict[str, Any]:
    """The record with the checksums of itself and of the arrays that it belongs to."""
    return {"record": record, "crc32": zlib.crc32(json.dumps(record, sort_keys=True).encode()), "arrays": arrays}


@jax.jit
def _checksum(tree: Any) -> jax.Array:
    """A number that any changed bit changes: every word times an odd number of its own, added up modulo 2 ** 32.

    It is computed where the arrays are and does not depend on how they are cut.
    """
    total = jnp.uint32(0)
    for leaf in jax.tree.leaves(tree):
        words = leaf.view(f"uint{8 * leaf.dtype.itemsize}").astype(jnp.uint32)
        position = jnp.uint32(0)
        for axis, size in enumerate(words.shape):
            position = position * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        total = total * jnp.uint32(31) + jnp.sum(words * (2 * position + 1), dtype=jnp.uint32)
    return total


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def latest(workdir: Path) -> Checkpoints[TrainState]:
    """The states to resume from."""
    return Checkpoints(workdir / "checkpoints" / "latest", keep=2)


def best(workdir: Path, *, read_only: bool = False) -> Checkpoints[ModelState]:
    """The state to evaluate and to predict with."""
    return Checkpoints(workdir / "checkpoints" / "best", keep=1, read_only=read_only)
