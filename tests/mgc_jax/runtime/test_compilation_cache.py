"""Where compiled programs are kept, and that a second process takes them from there."""

import os
import subprocess
import sys

import jax
import pytest

from mgc_jax.runtime import compilation_cache

PROGRAM = """
import jax, jax.monitoring
from mgc_jax.runtime import compilation_cache

jax.default_backend = lambda: "gpu"  # what the devices are is all that is not real here
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
compilation_cache.keep()
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("/cache_hits") else None)
jax.jit(lambda x: x @ x + 1.0)(jax.numpy.ones((8, 8)))
print(len(hits))
"""


@pytest.mark.slow
def test_the_second_start_takes_what_the_first_one_compiled(tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "XLA_FLAGS": ""}
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"):
        environment.pop(name, None)
    found = [
        int(subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True).stdout)
        for _ in range(2)
    ]
    assert found[0] == 0
    assert found[1] > 0
    assert any((tmp_path / "mgc-jax" / "compiled").iterdir())


@pytest.fixture
def cache_dir():
    before = jax.config.jax_compilation_cache_dir
    yield lambda: jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", before)


def test_a_cpus_programs_are_not_kept_unless_wanted(cache_dir):
    before = cache_dir()
    compilation_cache.keep()
    assert cache_dir() == before


def test_where_nothing_can_be_written_nothing_is_kept(cache_dir, monkeypatch):
    before = cache_dir()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    compilation_cache.keep()
    assert cache_dir() == before


def test_a_folder_that_a_person_named_stays(cache_dir, monkeypatch, tmp_path):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    compilation_cache.keep()
    assert cache_dir() == str(tmp_path)
