"""What all tests share: one CPU device, or eight where a module asks for them, and one small prepared corpus."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.support.recipe import CONFIG, TINY
from tests.support.xla import ENVIRONMENT, compiled_anew

os.environ.update(ENVIRONMENT)

import jax
from jax.extend import backend

from mgc_jax.cli import main
from mgc_jax.models import baselines, inception
from tests.support.browser import browser, page  # noqa: F401
from tests.support.training import outputs, spawn

# The same examples each time, however slow the machine; other ones are found with --hypothesis-profile=default.
settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")


@pytest.hookimpl(trylast=True)  # when what is not wanted is gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests come first: the last ones are short, and all workers end together."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this session have in common."""
    worker = tmp_path_factory.getbasetemp()
    folder = (worker.parent if "PYTEST_XDIST_WORKER" in os.environ else worker) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(shared: Path) -> None:
    """Programs for one device are compiled once for all workers and for the processes that tests start."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(shared / "compiled")
    jax.config.update("jax_compilation_cache_dir", str(shared / "compiled"))


@pytest.fixture(scope="module", autouse=True)
def _devices(request: pytest.FixtureRequest) -> Iterator[None]:
    """One device; in a module marked ``eight_devices`` so many virtual ones, without the compilation cache.

    With the cache and jax 0.12, programs for several CPU devices deadlocked, some devices waiting in one collective and
    some in the next.
    """
    if request.node.get_closest_marker("eight_devices") is None:
        yield
        return
    _restart(devices=8)
    with compiled_anew():
        yield
    _restart(devices=1)


def _restart(devices: int) -> None:
    backend.clear_backends()
    jax.config.update("jax_num_cpu_devices", devices)


def _once(folder: Path, make: Callable[[Path], int]) -> Path:
    """The folder, made by the first worker that needs it while the others wait."""
    with FileLock(f"{folder}.lock"):
        made = folder.with_suffix(".made")
        if not made.exists():
            assert make(folder) == 0
            made.touch()
    return folder


@pytest.fixture(scope="session")
def corpus(shared: Path) -> Path:
    """A generated corpus of 64 tracks of 3 s in Music4All's layout; to be read only."""
    arguments = ["--tracks", "64", "--seconds", "3", "--seed", "7"]
    return _once(shared / "corpus", lambda out: main(["corpus", "--out", str(out), *arguments]))


@pytest.fixture(scope="session")
def data(shared: Path, corpus: Path) -> Path:
    """The corpus prepared for the tiny recipe; to be read only."""
    arguments = ["prepare", "--config", CONFIG, *TINY, "--source", str(corpus)]
    return _once(shared / "data", lambda out: main([*arguments, "--out", str(out)]))


@pytest.fixture(scope="session")
def _trained(shared: Path, data: Path) -> Path:
    arguments = ["train", "--config", CONFIG, *TINY, "--config.train.epochs=2", "--data", str(data)]
    return _once(shared / "run", lambda workdir: main([*arguments, "--workdir", str(workdir)]))


@pytest.fixture(scope="session")
def run(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir trained for two epochs on the prepared corpus: a copy of this worker."""
    return Path(shutil.copytree(_trained, tmp_path_factory.mktemp("trained") / "run"))


@pytest.fixture(scope="session")
def run_of_eight(shared: Path, data: Path) -> Path:
    """A workdir trained like ``run``, but on eight devices; to be read only."""

    def train(workdir: Path) -> int:
        arguments = ["train", "--config", CONFIG, *TINY, "--config.train.epochs=2", "--data", str(data)]
        process = spawn([*arguments, "--workdir", str(workdir)], 8)
        print(*outputs([process]))
        return process.returncode

    return _once(shared / "run_of_eight", train)


@pytest.fixture
def one_block_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rivals without the blocks that they repeat as published, which would only cost compile time."""
    repeated = inception.PLAN[len(inception.STEM) :]
    monkeypatch.setattr(inception, "PLAN", (*inception.STEM, *(repeated[i] for i in (0, 3, 4, 8, 9))))
    monkeypatch.setattr(baselines, "CHANNELS", (30, 50))
