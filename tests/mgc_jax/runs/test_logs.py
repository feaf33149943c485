"""``metrics.jsonl`` holds JSON and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mgc_jax.runs import logs
from mgc_jax.runs.logs import Ending, JsonLines


def test_a_figure_that_is_not_defined_is_null_and_no_number_when_it_is_read(tmp_path: Path):
    """The mean average precision of a validation split without positives, for example."""
    scalars = {"validation/map_macro": float("nan"), "validation/bce": 2.5, "train/loss": float("inf")}
    written = JsonLines(tmp_path, 0)
    written.write(3, scalars)
    written.close(Ending("finished", 0.5, 3))
    (line,) = (tmp_path / logs.NAME).read_text("utf-8").splitlines()
    known = {"step": 3, "validation/map_macro": None, "validation/bce": 2.5, "train/loss": None}
    assert json.loads(line, parse_constant=pytest.fail) == known
    assert logs.read(tmp_path) == ([{"step": 3.0, "validation/bce": 2.5}], 0)
    resumed = JsonLines(tmp_path, 3)
    resumed.close(Ending("finished", 0.5, 3))
    assert resumed.kept == [(3, {"validation/bce": 2.5})]


TENSORBOARD = """
import sys
from pathlib import Path
from mgc_jax.runs.logs import Ending, TensorBoard
log = TensorBoard(Path(sys.argv[1]), 0)
log.write(1, {"train/loss": 0.5})
log.close(Ending("finished", 0.5, 1))
assert "tensorboardX" in sys.modules
assert "torch" not in sys.modules
"""


def test_tensorboards_events_are_written_without_importing_pytorch(tmp_path: Path):
    subprocess.run([sys.executable, "-c", TENSORBOARD, tmp_path], check=True)
    (events,) = tmp_path.glob("events.*")
    assert b"train/loss" in events.read_bytes()
