"""Exported models."""

import shutil
from pathlib import Path

import pytest

from mgc_jax.cli import main
from mgc_jax.export.folder import export
from tests.support import tiny_model


@pytest.fixture(scope="session")
def workdir(run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated run; to be read only."""
    folder = tmp_path_factory.mktemp("exporting") / "run"
    shutil.copytree(run, folder)
    assert main(["evaluate", "--workdir", str(folder), "--data", str(data)]) == 0
    return folder


@pytest.fixture(scope="session")
def exported(workdir: Path) -> Path:
    """The folder that it is exported to; to be read only."""
    out = workdir.parent / "model"
    assert main(["export", "--workdir", str(workdir), "--out", str(out), "--license", "CC-BY-4.0"]) == 0
    return out


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model that is quickly loaded; to be left as it is."""
    folder = tmp_path_factory.mktemp("small")
    export(tiny_model.model(folder / "run"), folder / "model")
    return folder / "model"
