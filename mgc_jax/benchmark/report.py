"""A benchmark as a table."""

from __future__ import annotations

import os
import platform
from typing import Any

import jax

HEAD = (
    *("lyrics", "", "tracks/s", "ms a step", "times as long as the first", "start, s"),
    *("GFLOP a track", "MFU", "MB moved a track", "of the memory's bandwidth"),
)


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
        f"median of {report['rounds']} rounds of {report['steps']} steps, lowest and highest in brackets.",
        "",
        f"| {' | '.join(HEAD)} |",
        "|" + "---|" * len(HEAD),
    ]
    for row in report["rows"]:
        step, ratio = row["step_seconds"], row["ratio"]
        cells = [
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
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
