"""Where a model is, and whose it is."""

from __future__ import annotations

from pathlib import Path

from mgc_jax.runs import addresses


def test_a_copy_in_a_cache_is_not_ones_own(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own, ours, hubs = tmp_path / "run", tmp_path / "cache" / "mgc-jax" / "models" / "ab", tmp_path / "snapshot"
    for folder in (own, ours, hubs):
        folder.mkdir(parents=True)
    (own / "config.json").touch()
    (hubs / "config.json").symlink_to(own / "config.json")  # into the client's blobs
    assert addresses.is_own(own, own)
    assert addresses.is_own(str(own), own)
    assert not addresses.is_own(ours, ours)
    assert not addresses.is_own(hubs, hubs)
    for address in ("hf://user/name", "gs://bucket/run"):
        assert not addresses.is_own(address, own)
