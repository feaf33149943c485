"""A benchmark, or what the compiler said, as a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

import jax

from mgc_jax.training.memory import GIB

HEAD = (
    *("audio", "lyrics", "", "tracks/s", "ms a step", "times as long as the first", "start, s"),
    *("GFLOP a track", "MFU", "MB moved a track", "of the memory's bandwidth", "GiB a device", "waits for data"),
    "Music4All, 100 epochs, min",
)
COMPILED_HEAD = (
    *(
        "topology",
        "audio",
        "lyrics",
        "tracks a chip",
        "GiB a chip",
        "GFLOP a track",
        "MB moved a track",
        "of it copies",
    ),
    "MB sent a step",
    *("ms: arithmetic", "memory", "links"),
)
COLLECTIVES_HEAD = ("topology", "audio", "lyrics", "collective", "MB", "times")


def of(size: str, dtype: Any, rounds: int, steps: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything that a reader needs to judge the rows: also on what they ran."""
    return {
        "size": size,
        "dtype": str(dtype),
        "rounds": rounds,
        "steps": steps,
        "machine": {
            "device": jax.devices()[0].device_kind,
            "devices": jax.device_count(),
            "cores": os.cpu_count(),
            "peak_bytes": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"),
            "jax": jax.__version__,
            "python": platform.python_version(),
        },
        "rows": rows,
    }


def markdown(report: dict[str, Any]) -> str:
    """The rows by lyrics input, with what the machine is."""
    m = report["machine"]
    lines = [
        f"Size {report['size']}, batch {report['rows'][0]['batch_size']}, {m['devices']} x {m['device']} "
        f"({m['cores']} cores), {report['dtype']}, jax {m['jax']}, Python {m['python']}; "
        f"median of {report['rounds']} rounds of {report['steps']} steps, lowest and highest in brackets."
        + (f" Most that all of ours held on a device: {m['peak_bytes'] / GIB:.2f} GiB." if m["peak_bytes"] else ""),
        "",
    ]
    rows = []
    for row in report["rows"]:
        if "error" in row:
            why = f"failed: {row['error']}".replace("|", "/")
            rows.append([row["audio"], row["lyrics"], row["name"], why, *[""] * (len(HEAD) - 4)])
            continue
        step, ratio = row["step_seconds"], row["ratio"]
        cells = [
            row["audio"],
            row["lyrics"],
            row["name"],
            f"{row['tracks_per_second']:.0f}",
            f"{1e3 * step['median']:.1f} ({1e3 * step['low']:.1f} to {1e3 * step['high']:.1f})",
            f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})",
            f"{row['start_seconds']:.1f}",
            f"{row['model_flops_per_track'] / 1e9:.2f}",
            _percent(row["mfu"]),
            f"{row['compiler_bytes'] * m['devices'] / row['batch_size'] / 1e6:.0f}" if "compiler_bytes" in row else "",
            _percent(row["bandwidth_share"]),
            f"{row['device_bytes'] / GIB:.2f}" if "device_bytes" in row else "",
            _percent(row.get("data_wait")),
            "" if report["size"] == "demo" else f"{row['music4all_minutes']:.0f}",
        ]
        rows.append(cells)
    return "\n".join([*lines, _table(HEAD, rows)])


def compiled_markdown(size: str, rows: list[dict[str, Any]]) -> str:
    """The rows of :func:`mgc_jax.benchmark.topology.compile_for`, and what the chips exchange.

    Of the exchanges those that make up 99 % of the bytes; the JSON has all.
    """
    steps, exchanges = [], []
    for row in rows:
        tracks = row["batch_size"] / row["chips"]
        counted = row["compiler_flops"]
        flops = row["model_flops_per_track"] if counted is None else counted / tracks
        cells = [
            *(row["topology"], row["audio"], row["lyrics"], f"{tracks:.0f}"),
            f"{row['device_bytes'] / GIB:.2f} of {row['chip_bytes'] / GIB:.1f}",
            *(f"{flops / 1e9:.1f}", f"{row['compiler_bytes'] / tracks / 1e6:.0f}"),
            *(f"{2 * row['copied_bytes'] / tracks / 1e6:.1f}", f"{row['sent_bytes'] / 1e6:.1f}"),
        ]
        times = row["roofline_seconds"]
        steps.append([*cells, *(f"{1e3 * times[name]:.1f}" for name in ("arithmetic", "memory", "links"))])
        left = 0.99 * sum(c["bytes"] * c["times"] for c in row["collectives"])
        for c in row["collectives"]:
            if left > 0:
                exchanged = [c["kind"], f"{c['bytes'] / 1e6:.2f}", str(c["times"])]
                exchanges.append([row["topology"], row["audio"], row["lyrics"], *exchanged])
            left -= c["bytes"] * c["times"]
    by_shapes = any(row["compiler_flops"] is None for row in rows)
    lines = [
        f"Size {size}, jax {rows[0]['jax']}, by the chips' compilers; the last three columns are the least a step "
        f"takes.{' GFLOP for GPUs are counted from the shapes of the model.' if by_shapes else ''}",
        "",
        _table(COMPILED_HEAD, steps),
    ]
    return "\n".join([*lines, "", _table(COLLECTIVES_HEAD, exchanges)] if exchanges else lines)


def _table(head: Sequence[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
