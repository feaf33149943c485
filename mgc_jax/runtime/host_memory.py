"""How much memory this process may have: the machine's, or its container's where that has less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def limit(root: Path = Path("/")) -> int:
    """Bytes; ``root`` is where ``proc`` and ``sys`` are."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_of_groups(root)])


def _of_groups(root: Path) -> Iterator[int]:
    """The limits of the control groups that this process is in, and of those that they are in (v2, then v1)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        controllers, _, name = line.partition(":")[2].partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, file = ("memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
        top, group = root / "sys/fs/cgroup" / mount, Path(name.lstrip("/"))
        for inside in (group, *group.parents):  # a container may see itself as the top, whatever its name outside
            try:
                text = (top / inside / file).read_text().strip()
            except OSError:
                continue
            if text.isdecimal():  # and not "max"
                yield int(text)
