"""Several processes as one run, over gloo: the same training, one stop for all, and no one waits for the dead."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.runtime import fatal_errors
from mgc_jax.runtime.processes import Hosts
from tests.support.recipe import CONFIG, TINY
from tests.support.training import command, free_port, lines, outputs, spawn, spawn_all
from tests.support.xla import with_devices

pytestmark = pytest.mark.eight_devices


def wait_for(process: subprocess.Popen, text: str) -> None:
    """Read the process's lines up to one with the text."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError("".join(seen))


READ = """
import json, sys
from pathlib import Path
import numpy as np
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.config.recipes import load
from mgc_jax.runtime import processes, sharding
from mgc_jax.training import feed

out, data, config, coordinator, process = sys.argv[1:]

def work():
    batches = feed.streamed(load(config, ["train.batch_size=8"]), PreparedData(data), sharding.make_mesh(), 0, 5)
    rows = [[np.asarray(part.data) for part in batch.arrays["index"].addressable_shards] for batch in batches]
    Path(out).write_text(json.dumps([np.concatenate(parts).tolist() for parts in rows]))
    return 0

sys.exit(processes.run(processes.Hosts(coordinator, 2, int(process), 60), work))
"""


def test_each_process_reads_its_own_share_of_every_batch(data: Path, tmp_path: Path):
    where = f"localhost:{free_port()}"
    given = [[str(tmp_path / i), str(data), CONFIG, where, i] for i in ("0", "1")]
    environment = os.environ | with_devices(4)
    running = [subprocess.Popen([sys.executable, "-c", READ, *words], env=environment) for words in given]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    first, second = (np.array(json.loads((tmp_path / i).read_text())) for i in ("0", "1"))
    steps = PreparedData(data).training_order(batch_size=8, seed=0)
    assert first.shape == second.shape == (5, 4)
    np.testing.assert_array_equal(np.hstack([first, second]), [steps.indices(step) for step in range(5)])
    assert all(not set(a) & set(b) for a, b in zip(first.tolist(), second.tolist(), strict=True))


# The paper's learning rate: at larger ones Adam turns rounding in near-zero gradients into visible steps.
LEARNED = [
    *("--config.train.epochs=3", "--config.train.learning_rate=1e-4", "--config.train.warmup_steps=200"),
    *("--config.train.log_every_steps=1", "--config.compute.dtype=float32"),
]


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of this process on its eight devices."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    assert main(command(data, workdir, *LEARNED)) == 0
    return workdir


def losses_and_scores(workdir: Path) -> tuple[list[float], list[dict]]:
    written = lines(workdir)
    assert written[-1]["step"] == 15
    scores = [line for line in written if "validation/map_macro" in line]
    without_bce = [{name: value for name, value in line.items() if name != "validation/bce"} for line in scores]
    return [line["train/loss"] for line in written if "train/loss" in line], without_bce


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "devices"), [(2, 8), *(pytest.param(*case, marks=pytest.mark.rare) for case in ((1, 1), (4, 8)))]
)
def test_training_does_not_depend_on_the_number_of_devices_and_processes(
    alone: Path, data: Path, tmp_path: Path, processes: int, devices: int
):
    arguments = command(data, tmp_path, *LEARNED)
    running = [spawn(arguments, devices)] if processes == 1 else spawn_all(arguments, processes)
    told = outputs(running)
    assert [p.returncode for p in running] == [0] * processes, told
    assert f"{devices} x cpu" in told[0]
    assert all("training: steps" not in text for text in told[1:])  # process 0 alone speaks
    (wanted, wanted_scores), (losses, scores) = losses_and_scores(alone), losses_and_scores(tmp_path)
    assert len(set(wanted)) > 10  # of 15 steps; the last two of an epoch share a line
    np.testing.assert_allclose(losses, wanted, rtol=1e-5)
    assert scores == wanted_scores


@pytest.mark.slow
@pytest.mark.rare
def test_a_checkpoint_of_one_process_scores_the_same_on_two(run_of_eight: Path, data: Path, tmp_path: Path):
    evaluate = ["evaluate", "--data", str(data), "--split", "test", "--workdir"]
    one, two = (Path(shutil.copytree(run_of_eight, tmp_path / name)) for name in ("one", "two"))
    assert main([*evaluate, str(one)]) == 0
    running = spawn_all([*evaluate, str(two)], 2)
    told = outputs(running)
    assert [p.returncode for p in running] == [0, 0], told
    expected, actual = (json.loads((workdir / "evaluation_test.json").read_text()) for workdir in (one, two))
    assert actual.pop("bce") == pytest.approx(expected.pop("bce"), rel=1e-6)
    assert actual == expected


@pytest.mark.slow
@pytest.mark.rare
def test_a_run_of_eight_devices_goes_on_and_ends_on_two_processes(run_of_eight: Path, data: Path, tmp_path: Path):
    workdir = Path(shutil.copytree(run_of_eight, tmp_path / "run"))

    # Told to one, obeyed by both, after the same step.
    arguments = ["train", "--config", CONFIG, *TINY, "--data", str(data), "--workdir", str(workdir)]
    arguments += ["--config.train.epochs=500", "--config.train.patience=0", "--config.train.log_every_steps=1"]
    running = spawn_all(arguments, 2)
    wait_for(running[0], "epoch 4")
    running[1].send_signal(signal.SIGTERM)
    told = outputs(running)
    assert [p.returncode for p in running] == [143, 143], told
    (stopped,) = {line for text in told for line in text.splitlines() if "training stopped after step" in line}
    step = int(stopped.split("after step ")[1].split(",")[0])
    assert lines(workdir)[-1]["step"] == step
    assert (workdir / "checkpoints" / "latest" / str(step)).exists()

    # One is killed: the other does not wait for it.
    running = spawn_all(arguments, 2, timeout=30)
    wait_for(running[0], f"resuming after step {step}")
    wait_for(running[0], "epoch ")
    running[1].kill()
    told = outputs(running)
    assert running[0].returncode not in (0, 2), told
    assert told[0].splitlines()[-1].startswith("mgc-jax: Process 1 died or lost the connection"), told[0]


def test_who_does_not_come_is_named(data: Path, tmp_path: Path):
    where = ["--coordinator", f"localhost:{free_port()}", "--processes", "3", "--timeout", "3"]
    running = [spawn([*command(data, tmp_path / "run"), *where, "--process", i], 1) for i in ("0", "2")]
    for process, text in zip(running, outputs(running), strict=True):
        assert process.returncode not in (0, 2)
        assert text.splitlines()[-1].startswith("mgc-jax: Process 1 did not come to the coordinator (localhost:")


def test_what_jax_says_is_put_into_a_sentence():
    dead = (
        "JAX distributed service detected fatal errors. The following tasks are unhealthy (stopped sending):\n1\n3\nx"
    )
    assert fatal_errors.explain(dead, "a:1").startswith("Processes 1 and 3 died or lost the connection")
    assert "Process 0, the coordinator (a:1), could not be reached" in fatal_errors.explain(
        "Deadline\nRPC: X/RegisterTask", "a:1"
    )
    assert "same --process number" in fatal_errors.explain("ALREADY_EXISTS: newer incarnation\nX/RegisterTask", "a:1")
    assert "Process 0, the coordinator (a:1), died" in fatal_errors.explain("UNAVAILABLE: Socket closed", "a:1")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("somewhere", 2, 0), "must be auto or HOST:PORT"),
        (("host:1", None, None), "needs --processes N and --process I"),
        (("host:1", 2, 2), "between 0 and 1, but is 2"),
        (("auto", 2, None), "finds the processes by itself"),
    ],
)
def test_wrong_places_to_meet_are_refused(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Hosts(*given, 300)


def test_no_cluster_is_found_here(data: Path, tmp_path: Path):
    process = spawn([*command(data, tmp_path / "run"), "--coordinator", "auto"], 1)
    (text,) = outputs([process])
    assert process.returncode == 2
    assert "this is no TPU pod" in text.splitlines()[-1]
