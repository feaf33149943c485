"""What the chips of a compiled step send each other."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from mgc_jax.benchmark import program_text

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
INSTRUCTION = re.compile(rf"^\s*(?:ROOT )?%\S+ = (.+?) ({'|'.join(KINDS)})(-start)?\(", re.MULTILINE)


class Collective(NamedTuple):
    """A kind of exchange, the bytes of its results on one chip, and how many such a program has."""

    kind: str
    bytes: int
    times: int


def of(program: str) -> list[Collective]:
    """Those of a program in XLA's text form, the largest first. One in a loop's body counts once."""
    counts: Counter[tuple[str, int]] = Counter()
    for result, kind, started in INSTRUCTION.findall(program):
        if started and kind != "all-reduce":
            _, result, *_ = program_text.elements(result)  # of (operands, results, their contexts)
        counts[kind, sum(program_text.sizes(result))] += 1
    return sorted((Collective(*key, times) for key, times in counts.items()), key=lambda c: (-c.bytes, c.kind))


def sent(collective: Collective, chips: int) -> float:
    """The bytes that each of ``chips`` sends, at the least, for all ``times`` of them: by rings, all chips in one."""
    share = (chips - 1) / chips
    shares = {"all-reduce": 2 * share, "reduce-scatter": chips - 1, "collective-permute": 1.0}
    return shares.get(collective.kind, share) * collective.bytes * collective.times
