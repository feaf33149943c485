"""What is written is what is read: a flipped byte in any file, no room on the disk, other devices."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from data_pipeline.errors import InputError
from mgc_jax.network.state import ModelState, TrainState
from mgc_jax.runs import checkpoint
from mgc_jax.runs.checkpoint import RECORD
from mgc_jax.runtime import sharding

pytestmark = pytest.mark.eight_devices


def state(step: int, devices: int = 8) -> TrainState:
    """Arrays of every kind, one of them cut over the devices."""
    rng = np.random.default_rng(step)
    mesh = sharding.make_mesh(devices=jax.devices()[:devices])
    model = ModelState(
        step=jnp.int32(step),
        params=nnx.State({"kernel": rng.normal(size=(64, 240)).astype(np.float32), "bias": jnp.ones(7, jnp.bfloat16)}),
        batch_stats=nnx.State({"mean": rng.normal(size=5).astype(np.float32)}),
        constants=nnx.State({"kept": np.array([True, False])}),
    )
    values = TrainState(model, (jnp.zeros((64, 240)), jnp.int32(step)))
    return jax.tree.map(
        lambda x: jax.device_put(x, NamedSharding(mesh, P("data") if x.shape == (64, 240) else P())), values
    )


def shapes(step: int, devices: int = 8) -> TrainState:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state(step, devices))


def restore(workdir: Path, devices: int = 8) -> tuple[TrainState, dict, list[str]]:
    store = checkpoint.latest(workdir)
    try:
        restored = store.restore(shapes(0, devices))
    finally:
        store.close()
    assert restored is not None
    return restored


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("written")
    store = checkpoint.latest(workdir)
    for step in (3, 6):
        store.save(state(step), step, RECORD | {"best_score": 0.25, "best_step": step})
    store.close()
    return workdir


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_other_devices_read_the_same(written: Path, devices: int):
    values, record, warnings = restore(written, devices)
    assert warnings == []
    assert record == RECORD | {"best_score": 0.25, "best_step": 6}
    jax.tree.map(np.testing.assert_array_equal, values, state(6))


def test_a_flipped_byte_in_the_newest_is_harmless_or_found(written: Path, tmp_path: Path):
    newest = Path("checkpoints/latest/6")
    files = [path.relative_to(written) for path in (written / newest).rglob("*") if path.is_file()]
    rng = np.random.default_rng(0)
    found = set()
    for number, file in enumerate(files):
        workdir = tmp_path / str(number)
        shutil.copytree(written, workdir)
        content = bytearray((workdir / file).read_bytes())
        content[len(content) // 2] ^= 1 << rng.integers(8)
        (workdir / file).write_bytes(content)
        values, record, warnings = restore(workdir)
        step = int(values.model.step)
        jax.tree.map(np.testing.assert_array_equal, values, state(step))
        assert record == RECORD | {"best_score": 0.25, "best_step": step}, file
        assert (step == 3) == bool(warnings), file
        if warnings:
            assert warnings[0].startswith(f"The checkpoint of step 6 in {workdir}")
            found.add(file)
    # The library alone reads wrong numbers from the largest file, and wrong records.
    assert max(files, key=lambda file: (written / file).stat().st_size) in found
    assert newest / "record" / "metadata" in found


def test_the_newest_emptied_the_one_before_it_is_taken(written: Path, tmp_path: Path):
    shutil.copytree(written, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints/latest/6").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    values, _, (warning,) = restore(tmp_path / "run")
    assert int(values.model.step) == 3
    assert warning.startswith("The checkpoint of step 6")


@pytest.mark.parametrize("flipped", [(0, 0, 0), (63, 23, 31), (17, 5, 9)])
def test_the_checksum_is_the_same_however_arrays_are_cut_and_another_for_any_bit(flipped):
    tree = {"a": state(1).model.params["kernel"], "b": jnp.arange(5)}
    whole = {"a": np.asarray(tree["a"]), "b": np.arange(5, dtype=np.int32)}
    assert int(checkpoint._checksum(tree)) == int(checkpoint._checksum(whole))
    row, column, bit = flipped
    words = whole["a"].copy()
    words.view(np.uint32)[row, column] ^= np.uint32(1 << bit)
    assert int(checkpoint._checksum(whole | {"a": words})) != int(checkpoint._checksum(whole))


def test_no_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 5000, 5000))
    store = checkpoint.latest(tmp_path)
    with pytest.raises(InputError, match=r"of 0\.1 MiB finds no room in .*make room and run the same command again"):
        store.save(state(3), 3, RECORD)
    store.close()
    assert list((tmp_path / "checkpoints/latest").iterdir()) == []


def test_what_orbax_left_undone_is_not_told_once_more(tmp_path, caplog):
    """Its tasks that nobody waits for, also when they are collected later; everybody else's are told."""
    with contextlib.closing(checkpoint.latest(tmp_path)):
        assert forgotten("orbax.checkpoint.x", caplog) == 0
    assert forgotten("orbax.checkpoint.x", caplog) == 0
    assert forgotten("somebody.else", caplog) == 1


def forgotten(module: str, caplog) -> int:
    """How often it is told that a task of this module failed, for which nobody waited."""
    places = {"__name__": module}
    exec("async def fail():\n    raise ValueError('no room')\n", places)

    async def forget():
        await asyncio.wait([asyncio.ensure_future(places["fail"]())])

    caplog.clear()
    asyncio.run(forget())
    gc.collect()
    return len([r for r in caplog.records if "never retrieved" in r.message])


def test_a_process_may_end_while_it_writes():
    code = (
        "import sys; from mgc_jax.runs import orbax_noise as noise; noise.while_writing.__enter__(); sys.last = noise"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def hooks() -> tuple:
    return threading.excepthook, sys.unraisablehook, logging.getLogger("absl").level


def test_the_hooks_of_the_host_are_its_own_again(tmp_path: Path):
    before = hooks()
    latest, best = checkpoint.latest(tmp_path), checkpoint.best(tmp_path)
    assert hooks()[:2] != before[:2]
    latest.close()
    assert hooks()[:2] != before[:2]  # the other one still writes
    best.close()
    assert hooks() == before


def test_a_hook_that_the_host_has_set_meanwhile_stays(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # back to what it is, at the end
    own = lambda args: None  # noqa: E731
    with contextlib.closing(checkpoint.latest(tmp_path)):
        sys.unraisablehook = own
    assert sys.unraisablehook is own


def test_who_reads_changes_nothing(written: Path, tmp_path: Path):
    before = hooks()
    with contextlib.closing(checkpoint.best(tmp_path, read_only=True)) as store:
        assert hooks()[:2] == before[:2]
        assert store.restore(shapes(0)) is None
    assert hooks() == before
    assert list(tmp_path.iterdir()) == []


def test_what_is_newer_is_moved_and_not_deleted(written: Path, tmp_path: Path):
    shutil.copytree(written, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    with contextlib.closing(checkpoint.latest(tmp_path / "run")) as store:
        assert store.set_aside_after(6) == []
    for name in ("latest-6", "latest-6-again"):
        with contextlib.closing(checkpoint.latest(tmp_path / "run")) as store:
            assert store.set_aside_after(3) == [str(folder / "set-aside" / name)]
            assert store.steps() == [3]
            store.save(state(7), 6, RECORD)  # the run comes there again
    shutil.rmtree(folder / "latest" / "6")
    shutil.move(folder / "set-aside" / "latest-6", folder / "latest" / "6")
    values, _, warnings = restore(tmp_path / "run")
    assert warnings == []
    jax.tree.map(np.testing.assert_array_equal, values, state(6))
