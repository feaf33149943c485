"""The twin as a contender: what it is fed, and how its DataLoader does without shared memory."""

from typing import NamedTuple

import jax
import numpy as np
import pytest

from mgc_jax.benchmark import workload

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from mgc_jax.torch_reference import contenders, files  # noqa: E402

SMALL = ["audio.seconds=1.5", "lyrics.max_tokens=16", "model.width=16", "model.heads=2", "model.gcn_hidden=16"]


class Room(NamedTuple):
    free: int


@pytest.fixture(scope="module")
def load():
    return workload.make("demo", "features", None, [f"train.batch_size={8 * jax.device_count()}", *SMALL], batches=2)


@pytest.mark.parametrize("cut", [False, True])
def test_batches_that_lie_on_the_device_are_those_of_the_host(load, cut):
    load = (
        workload.make("demo", "tokens", None, ["train.batch_size=8", *SMALL], batches=3).in_buckets(4) if cut else load
    )
    torch.compiler.set_stance("force_eager")
    streamed, resident = (kind(load)._feed(load) for kind in (contenders.SameWork, contenders.SameWorkOnTheDevice))
    for _ in range(4):
        host, device = next(streamed), next(resident)
        assert host.keys() == device.keys()
        for name in host:
            assert torch.equal(host[name], device[name]), name


def test_without_shared_memory_there_are_no_workers_and_a_line_says_so(load, monkeypatch, capsys):
    one = sum(array[0].nbytes for array in load.examples.values())
    monkeypatch.setattr(files.shutil, "disk_usage", lambda place: Room(6 * 8 * one))
    assert files.workers_that_fit(load.examples, 8) == 2
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(files.shutil, "disk_usage", lambda place: Room(6 * 8 * one - 1))
    contender = contenders.AsAUser(load)
    assert contender.name == "PyTorch, as a user would, without workers"
    assert "PyTorch's DataLoader has no workers: their batches need" in capsys.readouterr().out
    contender.run(2)


def test_where_no_place_is_set_apart_for_shared_memory_it_is_not_asked(load, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "SHARED_MEMORY", tmp_path / "none")
    assert files.workers_that_fit(load.examples, 8, 3) == 3


def test_a_loader_without_workers_gives_every_example_once_a_pass(load, tmp_path):
    batches = files.batches(files.ExampleFiles(load.examples, tmp_path), 8, workers=0)
    count = len(load.examples["index"])
    seen = np.concatenate([next(batches)["index"].numpy() for _ in range(count // 8)])
    assert sorted(seen.tolist()) == list(range(count))
