"""JAX leaves PyTorch some of a GPU's memory, where the user has not decided."""

import os

import pytest

from mgc_jax.runtime import gpu_memory


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for name in gpu_memory.SETTINGS:
        monkeypatch.setenv(name, "")  # so that what is set is taken back


def test_room_is_left():
    gpu_memory.leave_room()
    assert os.environ["XLA_CLIENT_MEM_FRACTION"] == "0.55"


@pytest.mark.parametrize("name", gpu_memory.SETTINGS)
def test_what_a_user_has_set_stays(monkeypatch, name):
    monkeypatch.setenv(name, "0.9")
    gpu_memory.leave_room()
    assert {setting: os.environ[setting] for setting in gpu_memory.SETTINGS if os.environ[setting]} == {name: "0.9"}
