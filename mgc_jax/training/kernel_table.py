"""The kernels of a trace by time and by part of the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from mgc_jax.runtime.device_trace import Kernel
from mgc_jax.training import step_parts
from mgc_jax.training.step_parts import Program

SHOWN = 25
"""Kernels that the printed table has."""


def summary(kernels: Sequence[Kernel], programs: Sequence[str], steps: int, seconds: float) -> dict[str, Any]:
    """What a trace of ``steps`` steps says, in milliseconds of one device in one step.

    ``programs`` are the texts of the compiled steps. ``step_ms`` is the time by the clock, tracing included;
    ``kernel_ms`` the sum of ``parts``, which is also the sum of ``kernels``: a list by time with each one's ``name``,
    ``op``, ``part``, ``what`` it does, ``times`` in a step, and ``ms``.
    """
    devices = max(len({kernel.device for kernel in kernels}), 1)
    known = [Program(text) for text in programs]
    by_program: dict[Any, dict[str, str]] = defaultdict(dict)
    for kernel in kernels:
        by_program[kernel.program][kernel.op] = kernel.name
    operations = {program: step_parts.of(known, ops) for program, ops in by_program.items()}
    rows: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for kernel in kernels:
        rows[kernel.name, kernel.op, *operations[kernel.program][kernel.op]].append(kernel.seconds)
    each = 1e3 / steps / devices
    table = [
        {
            "name": name,
            "op": op,
            "part": part,
            "what": what,
            "times": len(times) / steps / devices,
            "ms": sum(times) * each,
        }
        for (name, op, part, what), times in rows.items()
    ]
    parts = {part: sum(row["ms"] for row in table if row["part"] == part) for part in step_parts.EVERY}
    return {
        "steps": steps,
        "devices": devices,
        "step_ms": 1e3 * seconds / steps,
        "kernel_ms": sum(parts.values()),
        "parts": {part: ms for part, ms in parts.items() if ms},
        "kernels": sorted(table, key=lambda row: -row["ms"]),
    }


def markdown(result: dict[str, Any]) -> str:
    """A :func:`summary` as two tables: by part, and the longest kernels."""
    total = result["kernel_ms"] or 1.0
    lines = [
        f"{result['steps']} steps of {result['step_ms']:.2f} ms, tracing included; kernels of a step on a device: "
        f"{result['kernel_ms']:.2f} ms",
        "",
        *_table(("part", "ms a step", "share"), _parts(result["parts"], total)),
        "",
        *_table(("kernel", "part", "operation", "times a step", "ms a step", "share"), _kernels(result, total)),
    ]
    return "\n".join(lines)


def _parts(parts: dict[str, float], total: float) -> list[list[str]]:
    longest_first = sorted(parts.items(), key=lambda item: -item[1])
    return [[part, f"{ms:.3f}", f"{100 * ms / total:.1f} %"] for part, ms in longest_first]


def _kernels(result: dict[str, Any], total: float) -> list[list[str]]:
    shown, rest = result["kernels"][:SHOWN], result["kernels"][SHOWN:]
    rows = [_cells(_short(row["name"]), row["part"], row["what"], row["times"], row["ms"], total) for row in shown]
    if rest:
        ms, times = sum(row["ms"] for row in rest), sum(row["times"] for row in rest)
        rows.append(_cells(f"{len(rest)} others", "", "", times, ms, total))
    return rows


def _cells(name: str, part: str, what: str, times: float, ms: float, total: float) -> list[str]:
    return [
        name,
        part,
        what,
        f"{times:.3g}" if times < 100 else f"{times:.0f}",
        f"{ms:.3f}",
        f"{100 * ms / total:.1f} %",
    ]


def _short(name: str, most: int = 60) -> str:
    return name if len(name) <= most else f"{name[: most - 3]}..."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |" for cells in (head, ["---"] * len(head), *rows)
    ]
