"""A split in the devices' memory: the same batches in the same order as streaming, and the same training."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from data_pipeline.reading import order
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.runtime import sharding
from mgc_jax.training import memory
from mgc_jax.training.batches import ResidentBatch
from tests.support.recipe import CONFIG, TINY

pytestmark = pytest.mark.eight_devices


@pytest.mark.parametrize("devices", [1, 8])
def test_resident_batches_are_the_streamed_ones_in_the_same_order(data: Path, devices: int):
    prepared = PreparedData(data)
    mesh = sharding.make_mesh(devices=jax.devices()[:devices])
    tracks = prepared.split_sizes["train"]
    split = sharding.place_batch(prepared.whole("train", multiple=devices), mesh)
    assert {x.shape[0] for x in split.values()} == {-(-tracks // devices) * devices}
    assert all(x.addressable_shards[0].data.shape[0] == x.shape[0] // devices for x in split.values())
    steps = order.TrainingOrder(tracks, 16, 5)
    take = jax.jit(lambda batch: batch.gather(mesh), out_shardings=sharding.batch_sharding(mesh))
    streamed = prepared.train_batches(batch_size=16, seed=5, start_step=1, num_steps=6)
    for step, batch in enumerate(streamed, 1):
        rows = sharding.place_batch({"rows": steps.indices(step)}, mesh)["rows"]
        resident = take(ResidentBatch(split, rows, prepared.max_tokens))
        assert resident.keys() == batch.keys()
        for name, values in batch.items():
            np.testing.assert_array_equal(resident[name], values)


def validation_and_losses(workdir: Path) -> list[float]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    names = ("train/loss", "train/gradient_norm", "validation/bce", "validation/map_macro")
    return [line[name] for line in lines for name in names if name in line]


@pytest.mark.slow
def test_training_is_the_same_from_the_devices_memory(
    run_of_eight: Path, data: Path, tmp_path: Path, monkeypatch, capsys
):
    needs: list[float] = []

    def needed(step, real=memory.needed):
        needs.append(real(step))
        return needs[-1]

    monkeypatch.setattr(memory, "needed", needed)
    arguments = ["train", "--config", CONFIG, *TINY, "--config.train.epochs=2", "--config.compute.placement=device"]
    assert main([*arguments, "--data", str(data), "--workdir", str(tmp_path / "resident")]) == 0
    streamed = validation_and_losses(run_of_eight)
    assert len(set(streamed)) == 8
    np.testing.assert_allclose(validation_and_losses(tmp_path / "resident"), streamed, rtol=1e-5)
    assert "its batches are streamed" not in capsys.readouterr().out

    monkeypatch.setattr(memory, "capacity", lambda: needs[0] - 1)
    assert main([*arguments, "--data", str(data), "--workdir", str(tmp_path / "too_small")]) == 0
    assert "its batches are streamed" in capsys.readouterr().out
    np.testing.assert_allclose(validation_and_losses(tmp_path / "too_small"), streamed, rtol=1e-5)
    assert needs[2] < needs[1] == needs[0]
