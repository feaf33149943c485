"""A compiled program in XLA's text form: the arrays it names, what it copies, and what it hands to kernels."""

from __future__ import annotations

import re

ARRAY = re.compile(r"\b(pred|[a-z]+\d+)\w*\[([\d,]*)\]")
VALUE = re.compile(r"^\s*(?:ROOT )?%(\S+) = (.+?) ([\w\-]+)\(([^)]*)\)", re.MULTILINE)
SCRATCH = re.compile(r"[su]8\[\d*\]\{0\}")
COPY = re.compile(r"^\s*(?:ROOT )?%\S+ = (\S+) (?:copy|transpose|slice)\(", re.MULTILINE)


def sizes(text: str) -> list[int]:
    """The bytes of each array in ``text``, such as ``(f32[8,4]{1,0}, pred[3]{0})``."""
    return [_bytes(*array) for array in ARRAY.findall(text)]


def elements(tuple_: str) -> list[str]:
    """Those of ``(f32[8,4]{1,0}, (pred[3]{0}, u32[]))``; a tuple among them stays whole."""
    parts, depth = [""], 0
    for character in tuple_[1:-1]:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def called(program: str) -> int:
    """The bytes of the operands and results of all custom calls: kernels of libraries, and such as are our own.

    The scratch memory that a library is given, its last result, is not among them.
    """
    types: dict[str, str] = {}
    calls: list[tuple[str, list[str]]] = []
    for name, result, kind, operands in VALUE.findall(program):
        types[name] = result
        if kind == "custom-call":
            calls.append((result, re.findall(r"%([\w.\-]+)", operands)))
    return sum(_results(result) + sum(sum(sizes(types[name])) for name in operands) for result, operands in calls)


def copied(program: str) -> int:
    """The bytes that instructions write which do nothing but copy: ``copy``, ``transpose`` and ``slice`` outside of
    fusions. What is fetched ahead into the chip's own memory (``copy-start``) is not among them."""
    _, entry, main = program.partition("\nENTRY ")
    return sum(sum(sizes(result)) for result in COPY.findall(entry + main))


def _results(type_: str) -> int:
    if not type_.startswith("("):
        return sum(sizes(type_))
    *results, last = elements(type_)
    return sum(map(sum, map(sizes, results))) + (0 if SCRATCH.fullmatch(last) else sum(sizes(last)))


def _bytes(kind: str, shape: str) -> int:
    bits = 8 if kind == "pred" else int(re.sub(r"\D", "", kind))
    elements = 1
    for size in filter(None, shape.split(",")):
        elements *= int(size)
    return elements * bits // 8
