"""A compiled program in XLA's text form: the arrays it names, and what it copies."""

from __future__ import annotations

import re

ARRAY = re.compile(r"\b(pred|[a-z]+\d+)\w*\[([\d,]*)\]")
COPY = re.compile(r"^\s*(?:ROOT )?%\S+ = (\S+) (?:copy|transpose|slice)\(", re.MULTILINE)


def sizes(text: str) -> list[int]:
    """The bytes of each array in ``text``, such as ``(f32[8,4]{1,0}, pred[3]{0})``."""
    return [_bytes(*array) for array in ARRAY.findall(text)]


def copied(program: str) -> int:
    """The bytes that instructions write which do nothing but copy: ``copy``, ``transpose`` and ``slice`` outside of
    fusions. What is fetched ahead into the chip's own memory (``copy-start``) is not among them."""
    _, entry, main = program.partition("\nENTRY ")
    return sum(sum(sizes(result)) for result in COPY.findall(entry + main))


def _bytes(kind: str, shape: str) -> int:
    bits = 8 if kind == "pred" else int(re.sub(r"\D", "", kind))
    elements = 1
    for size in filter(None, shape.split(",")):
        elements *= int(size)
    return elements * bits // 8
