"""A container's memory is all there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mgc_jax.runtime import host_memory

MIB = 2**20
NO_LIMIT = "9223372036854771712"  # what version 1 says


def machine(folder: Path, groups: str, limits: dict[str, str]) -> Path:
    """The files of a machine: the groups that this process is in, and what they may have."""
    files = {"proc/self/cgroup": groups} | {f"sys/fs/cgroup/{name}": text for name, text in limits.items()}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("groups", "limits", "known"),
    [
        ("0::/", {"memory.max": str(512 * MIB)}, 512),
        ("0::/jobs/mine", {"jobs/mine/memory.max": "max", "jobs/memory.max": str(300 * MIB)}, 300),
        ("0::/jobs/mine", {"jobs/mine/memory.max": str(200 * MIB), "jobs/memory.max": str(300 * MIB)}, 200),
        ("0::/docker/ab:cd", {"memory.max": str(64 * MIB)}, 64),  # the container sees itself as the top
        ("2:cpu:/a\n4:memory:/b", {"memory/b/memory.limit_in_bytes": str(9 * MIB)}, 9),
        ("4:hugetlb,memory:/docker/b", {"memory/memory.limit_in_bytes": str(8 * MIB)}, 8),
        ("0::/\n4:memory:/", {"memory/memory.limit_in_bytes": NO_LIMIT, "memory.max": "max"}, None),
        ("0::/", {}, None),
        ("", {}, None),
    ],
)
def test_the_smallest_limit_counts(tmp_path: Path, groups: str, limits: dict[str, str], known: int | None):
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert host_memory.limit(machine(tmp_path, groups, limits)) == (whole if known is None else known * MIB)


def test_without_these_files_it_is_the_machines(tmp_path: Path):
    assert host_memory.limit(tmp_path) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < host_memory.limit() <= host_memory.limit(tmp_path)
