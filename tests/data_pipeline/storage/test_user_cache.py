from pathlib import Path

import pytest

from data_pipeline.errors import InputError
from data_pipeline.storage import user_cache
from data_pipeline.storage.bucket import Bucket


def test_the_folder_is_there_when_it_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache.folder() == tmp_path / ".cache" / "mgc-jax"
    assert user_cache.folder().is_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert user_cache.folder() == tmp_path / "elsewhere" / "mgc-jax"


def test_a_home_that_cannot_be_written_is_said_with_what_to_do(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null/home")
    with pytest.raises(InputError, match=r"\(/dev/null/home.*: Not a directory\); set XDG_CACHE_HOME to a folder"):
        Bucket("memory://bucket/music").staging()


def test_a_user_without_a_home_is_told_the_same(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    with pytest.raises(InputError, match="this user has no home folder"):
        user_cache.folder()
