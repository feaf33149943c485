"""What tests of exported models do with them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from mgc_jax.cli import main

ROOT = Path(__file__).parents[2]


def python(code: str, *arguments: str, folder: Path) -> str:
    """What another Python says, on one device and off line."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sentence(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def metadata_of(file: Path) -> dict[str, str]:
    with safe_open(file, framework="numpy") as stored:
        return stored.metadata()
