"""The training command as a user gives it, here and in processes of its own, and what it leaves."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline.lyrics.encoder import locate_encoder
from mgc_jax.network.state import abstract
from mgc_jax.runs import checkpoint
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime import sharding
from mgc_jax.training.objective import make_optimiser
from mgc_jax.training.state import shapes
from tests.support.recipe import CONFIG, TINY
from tests.support.xla import with_devices


def command(data: Path, workdir: Path, *more: str) -> list[str]:
    """``train`` with batches of eight, which eight devices can share."""
    settings = ["--config", CONFIG, *TINY, "--config.train.batch_size=8"]
    return ["train", *settings, "--data", str(data), "--workdir", str(workdir), *more]


def spawn(arguments: list[str], devices: int, **options) -> subprocess.Popen:
    """The command in a process of its own, its two streams as one."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | with_devices(devices)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "-m", "mgc_jax", *arguments], env=environment, **pipes, **options)


def spawn_all(arguments: list[str], processes: int, *, timeout: int = 120) -> list[subprocess.Popen]:
    """The command on so many processes with eight devices together."""
    where = ["--coordinator", f"localhost:{free_port()}", "--processes", str(processes), "--timeout", str(timeout)]
    return [spawn([*arguments, *where, "--process", str(i)], 8 // processes) for i in range(processes)]


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def outputs(processes: list[subprocess.Popen]) -> list[str]:
    """What each process said until its end."""
    return [process.communicate(timeout=300)[0] for process in processes]


def lines(workdir: Path) -> list[dict]:
    """The lines of ``metrics.jsonl``."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def newest(workdir: Path, kind: str) -> Any:
    """The newest state to resume from (``latest``), or the best model's (``best``), on one device."""
    folder = Workdir(workdir)
    config = folder.config()
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    encoder = locate_encoder(config.lyrics.encoder)
    network, target = abstract(config, folder.vocabulary().size, encoder, mesh)
    store: Any = checkpoint.best(workdir)
    if kind == "latest":
        store.close()
        store, target = checkpoint.latest(workdir), shapes(network, target, make_optimiser(config, 1))
    restored = store.restore(target)
    store.close()
    assert restored is not None
    return restored[0]


def parameters(workdir: Path) -> dict[str, np.ndarray]:
    """Every array of the newest checkpoint, by path."""
    leaves = jax.tree_util.tree_flatten_with_path(newest(workdir, "latest"))[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
