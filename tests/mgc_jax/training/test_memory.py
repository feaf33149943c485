"""The largest batch is the one that trying all of them would find; what does not fit is said before it runs."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from data_pipeline.errors import InputError
from mgc_jax.cli import main
from mgc_jax.runtime import sharding
from mgc_jax.training import memory
from mgc_jax.training.batches import StreamedBatch
from tests.support.recipe import CONFIG, TINY

MULTIPLE = 2


@pytest.fixture
def step():
    """One that needs memory by the square of the batch."""
    return jax.jit(lambda state, frozen, batch: state + jnp.sort(batch.arrays["index"] @ batch.arrays["index"].T).sum())


def batch(size: int) -> StreamedBatch:
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    return StreamedBatch({"index": jax.ShapeDtypeStruct((size, 8), jnp.float32, sharding=sharding.replicated(mesh))})


def test_a_cpu_device_has_its_share_of_the_machine(monkeypatch):
    assert 2**26 < memory.capacity() < 2**50
    assert memory.capacity() * jax.local_device_count() > 2**30
    monkeypatch.setattr(memory.host_memory, "limit", lambda: 2**33)
    assert memory.capacity() * jax.local_device_count() == 2**33


@pytest.mark.parametrize("limit", [3_000, 10_000, 60_000])
def test_the_largest_batch_is_named(step, monkeypatch, limit):
    needs = {n: memory.needed(step.lower(0.0, 0.0, batch(n)).compile()) for n in range(MULTIPLE, 129, MULTIPLE)}
    largest = max(n for n, need in needs.items() if need <= limit)
    assert largest < 128
    monkeypatch.setattr(memory, "capacity", lambda: limit)
    with pytest.raises(InputError, match=rf"A batch of 128 .* the largest that does is {largest}\."):
        memory.compile_step(step, 0.0, 0.0, batch(128), MULTIPLE)
    assert memory.compile_step(step, 0.0, 0.0, batch(largest), MULTIPLE)


@pytest.mark.parametrize("placement", ["stream", pytest.param("device", marks=pytest.mark.rare)])
def test_training_that_does_not_fit_is_refused(data: Path, tmp_path: Path, monkeypatch, capsys, placement):
    monkeypatch.setattr(memory, "capacity", lambda: 1000)
    arguments = ["train", "--config", CONFIG, *TINY, "--config.train.batch_size=2"]
    arguments += [f"--config.compute.placement={placement}"]
    assert main([*arguments, "--data", str(data), "--workdir", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "A batch of 2 (train.batch_size) does not fit" in said.err
    assert "not even one of 1 does." in said.err
    assert ("its batches are streamed" in said.out) == (placement == "device")
