"""Which part of the training step an instruction of its compiled program belongs to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

PARTS = {
    "batch": "batch",
    "audio_encoder": "audio CNN or encoder",
    "lyrics_encoder": "lyrics encoder",
    "projections": "projections",
    "fusion": "fusion (SCMA)",
    "genre_graph": "genre graph",
    "losses": "losses",
    "optimiser": "optimiser",
}
"""By the named scopes of the step and the model; of two, one in the other, the inner one counts."""
COLLECTIVES, OTHER, ELSEWHERE = "collectives", "other", "other programs"
EVERY = (*PARTS.values(), COLLECTIVES, OTHER, ELSEWHERE)

_SCOPE = re.compile(rf"(?<=[/(])({'|'.join(PARTS)})(?=[/)])")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.*)$")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
_OP_NAME = re.compile(r'op_name="((?:[^"\\]|\\.)*)"')
_REFERENCE = re.compile(r"%([\w.\-]+)")
_EXCHANGE = re.compile(r"all-?_?reduce|all-?_?gather|reduce-?_?scatter|all-?_?to-?_?all|collective|nccl", re.IGNORECASE)


class Operation(NamedTuple):
    """The part that an instruction belongs to, and what it does in JAX's words, such as ``dot_general, backward``."""

    part: str
    what: str


class Program:
    """The instructions of one compiled program, from its text form (:meth:`jax.stages.Compiled.as_text`).

    What the compiler put in without a name, copies mostly, belongs where its operands do, or else its users.
    """

    def __init__(self, text: str):
        names, members, references = _read(text)
        scopes = {op: _scope(name) for op, name in names.items()}
        for op, inside in references.items():  # a fusion without a name, by most of what is in it
            if not names[op]:
                within = Counter(
                    scope for name in inside for member in members.get(name, ()) if (scope := scopes[member])
                )
                scopes[op] = within.most_common(1)[0][0] if within else None
        users: dict[str, list[str]] = {op: [] for op in names}
        for op, known in references.items():
            for operand in known:
                if operand in users:
                    users[operand].append(op)
        unnamed = [op for op, name in names.items() if not name]
        _spread(unnamed, scopes, references)
        _spread(unnamed[::-1], scopes, users)
        self._operations = {
            op: Operation(PARTS[scope] if (scope := scopes[op]) else OTHER, _what(name)) for op, name in names.items()
        }
        # A GPU's kernels bear the instruction's name in letters that C allows.
        self._by_symbol = {re.sub(r"\W", "_", op): op for op in names}

    def __contains__(self, op: str) -> bool:
        return self._found(op) is not None

    def operation(self, op: str) -> Operation | None:
        """Of an instruction, or of the kernel that is named after it; None of one that is not here."""
        found = self._found(op)
        return None if found is None else self._operations[found]

    def _found(self, op: str) -> str | None:
        return op if op in self._operations else self._by_symbol.get(re.sub(r"\W", "_", op))


def of(programs: Iterable[Program], ops: Mapping[str, str]) -> dict[str, Operation]:
    """The operations of kernels by instruction, all of one program that ran: that of ``programs`` which has most of
    them. ``ops`` are the instructions with the kernels' names, which tell where an instruction is not known.

    Where no program has half of them it was another one, such as an evaluation's.
    """
    counted = [(sum(op in program or name in program for op, name in ops.items()), program) for program in programs]
    most, program = max(counted, key=lambda pair: pair[0], default=(0, None))
    elsewhere = 2 * most < len(ops)
    found = {}
    for op, name in ops.items():
        known = None if program is None or elsewhere else program.operation(op) or program.operation(name)
        if _EXCHANGE.search(op) or _EXCHANGE.search(name):
            found[op] = Operation(COLLECTIVES, known.what if known else "")
        else:
            found[op] = known or Operation(ELSEWHERE if elsewhere else OTHER, "")
    return found


def _read(text: str) -> tuple[dict[str, str], dict[str, list[str]], dict[str, list[str]]]:
    """Of each instruction JAX's name of it, or ""; of each computation its instructions; of each instruction what it
    refers to: operands and computations."""
    names: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    references: dict[str, list[str]] = {}
    inside: list[str] = []
    for line in text.splitlines():
        if found := _INSTRUCTION.match(line):
            op, rest = found.groups()
            given = _OP_NAME.search(rest)
            names[op] = given[1] if given else ""
            references[op] = _REFERENCE.findall(rest.partition(", metadata=")[0])
            inside.append(op)
        elif found := _COMPUTATION.match(line):
            inside = members.setdefault(found[1], [])
    return names, members, references


def _spread(unnamed: Iterable[str], scopes: dict[str, str | None], neighbours: Mapping[str, list[str]]) -> None:
    for op in unnamed:
        if scopes[op] is None:
            scopes[op] = next((scopes[other] for other in neighbours[op] if scopes.get(other)), None)


def _scope(name: str) -> str | None:
    found = _SCOPE.findall(name)
    return found[-1] if found else None


def _what(name: str) -> str:
    what = name.rpartition("/")[2].partition(";")[0]
    return f"{what}, backward" if "transpose(" in name else what
