"""Kills, full disks, damaged files and two runs in one folder, with the real command."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.runs.workdir import Workdir
from tests.support.recipe import CONFIG, TINY
from tests.support.training import command, lines, parameters

ROOT = Path(__file__).parents[3]


LONGEST = {"data": 0.05, "step": 0.05, "evaluation": 0.1, "checkpoint": 0.2}  # s from a place until the signal


def moments(seed: int, kills: int) -> list[dict[str, Any]]:
    """Kills, spread over the places, and then SIGTERM in training and in evaluation."""
    rng = np.random.default_rng(seed)
    places = [*LONGEST, *LONGEST, "evaluation", "checkpoint"][:kills]
    found = []
    for place in rng.permutation(places).tolist():
        count = 1 if place == "evaluation" else int(rng.integers(1, 5 if place in ("data", "step") else 3))
        delay = float(rng.uniform(0, LONGEST[place]))
        found.append({"place": place, "count": count, "delay": delay, "signal": int(signal.SIGKILL)})
    terminate = {"count": 1, "delay": 0, "signal": int(signal.SIGTERM)}
    return [*found, {"place": "step"} | terminate, {"place": "evaluation"} | terminate]


def interrupt(at: list[dict[str, Any]], arguments: list[str], cache: Path) -> list[dict[str, Any]]:
    """The command's runs, which share what is compiled, and with nobody else: a kill may leave half a program."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    program = [sys.executable, "-m", "tests.support.interrupted", json.dumps(at), *arguments]
    done = subprocess.run(program, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=800)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) == len(at) + 1
    return runs


LEARNED = [
    *("--config.train.epochs=8", "--config.train.checkpoint_every_steps=3", "--config.train.log_every_steps=2"),
    *("--config.augment.mixup=0.3", "--config.augment.time_masks=1", "--config.train.average_decay=0.9"),
    "--config.train.patience=0",
]


@pytest.fixture(scope="module")
def in_one_go(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupts, and beside it what was compiled."""
    workdir = tmp_path_factory.mktemp("interrupted") / "in_one_go"
    (whole,) = interrupt([], command(data, workdir, *LEARNED), workdir.parent / "cache")
    assert whole["code"] == 0
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 2), *(pytest.param(seed, 10, marks=pytest.mark.rare) for seed in (1, 2))]
)
def test_an_interrupted_run_ends_with_the_same_parameters(in_one_go: Path, data: Path, seed: int, kills: int):
    workdir = in_one_go.with_name(str(seed))
    arguments = command(data, workdir, *LEARNED)
    *killed, in_training, in_evaluation, last = interrupt(moments(seed, kills), arguments, workdir.parent / "cache")
    assert [run["code"] for run in killed] == [-signal.SIGKILL] * kills
    assert in_training["code"] == in_evaluation["code"] == 143
    assert re.search(r"training stopped after step \d+, which is in a checkpoint", in_training["said"])
    assert re.search(r"(evaluation of|after) step \d+.*run the same command again", in_evaluation["said"])
    assert last["code"] == 0
    assert "which the run before this one did not finish" in last["said"]

    expected, actual = parameters(in_one_go), parameters(workdir)
    assert expected.keys() == actual.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(actual[path], value, err_msg=path)
    scores = [[line for line in lines(w) if "validation/map_macro" in line] for w in (in_one_go, workdir)]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_evaluation_ends_by_sigterm_and_a_full_disk_by_a_sentence(run: Path, data: Path, tmp_path: Path):
    arguments = ["evaluate", "--workdir", str(run), "--data", str(data), "--split", "test"]
    terminate = {"place": "evaluation", "count": 1, "delay": 0, "signal": int(signal.SIGTERM)}
    stopped, whole = interrupt([terminate], arguments, tmp_path / "cache")
    assert (stopped["code"], whole["code"]) == (143, 0)
    assert stopped["said"].splitlines()[-1].startswith("mgc-jax: evaluation of the validation split stopped")

    limited = ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", sys.executable, "-m", "mgc_jax"]  # no file over 100 KB
    arguments = command(data, tmp_path / "full", "--config.train.epochs=1")
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}  # whose files would be cut too
    done = subprocess.run([*limited, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr[-3000:]
    assert done.stderr.splitlines()[-1].startswith("mgc-jax: A checkpoint cannot be written to ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "full" / "checkpoints" / "latest" / "5").exists()


HOLD = """
import sys
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.runs.workdir import Workdir
folder = Workdir(__import__("pathlib").Path(sys.argv[1]))
held = folder.begin(folder.config(), folder.vocabulary())
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_run_in_a_workdir_is_refused_until_the_first_is_dead(run: Path, data: Path, capsys):
    arguments = ["train", "--config", CONFIG, *TINY, "--config.train.epochs=2"]
    arguments += ["--data", str(data), "--workdir", str(run)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run)], **pipes) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        assert main(arguments) == 2
        assert f"is in use: process {first.pid} on " in capsys.readouterr().err
        first.kill()
        first.wait()
        assert main(arguments) == 0
    with Workdir(run).begin(Workdir(run).config(), Workdir(run).vocabulary()):
        pass  # and a run that ended left nothing behind


def test_a_workdir_that_cannot_be_written_is_told(data: Path, capsys):
    assert main(command(data, Path("/sys/run"))) == 2  # where not even root can write
    assert "The workdir /sys/run cannot be written (" in capsys.readouterr().err


def test_a_shard_with_a_flipped_byte_is_named(data: Path, tmp_path: Path, capsys):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    shard = copy / PreparedData(copy).meta["shards"]["train"][0]["file"]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    assert main(command(copy, tmp_path / "run")) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"{shard} is broken (" in message
    assert "hash mismatch" in message
