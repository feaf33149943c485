"""Everything that docs/performance.md wants from a GPU or a TPU, the most important first, in nine minutes of one GPU.

    python scripts/measure_accelerator.py --out measured

Each of RUNS is one ``mgc-jax benchmark``. It leaves its JSON, its table and its traces in the folder, and prints the
table. One that fails (a batch that does not fit, no PyTorch) is said and the others go on; one whose table is there is
not run again. None begins that would not end within ``--minutes``, by its seconds in the plan or, where it was cut off
before, by twice what it had then; none goes on after them. The same command again, on the same machine or another,
measures what is left. ``--plan`` prints the plan; ``--runs`` takes some of it; what follows ``--`` goes to every
benchmark.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Run(NamedTuple):
    """The arguments of a benchmark, and the seconds that it is given in the plan."""

    arguments: str
    seconds: int


RUNS = {
    "pod_features": Run("--size pod --lyrics features --against torch", 85),
    "pod_tokens": Run("--size pod --lyrics tokens --against torch", 110),
    "trained_encoder": Run("--size pod --lyrics tokens --config.train.encoder_rate=0.1 --against torch --rounds 3", 95),
    "paper_features": Run("--size paper --lyrics features --against torch", 60),
    "paper_tokens": Run("--size paper --lyrics tokens --against torch", 70),
    "patches": Run("--size pod --lyrics features --config.model.audio_preset=paper_patches", 35),
    "xla_attention": Run("--size pod --lyrics tokens --config.compute.attention=xla --rounds 3", 45),
    "rematerialised": Run(
        "--size pod --lyrics features --config.compute.rematerialise=True --config.train.batch_size=256 --rounds 3", 40
    ),
}
"""Seconds are assumed from earlier runs on an H100, starting and compiling included."""
MINUTES = 9


def main(argv: list[str] | None = None) -> int:
    """Measure; 0 when all is there, 1 when something is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=MINUTES, metavar="N", help="for all (default %(default)s)")
    parser.add_argument("--plan", action="store_true", help="print what is to be done, and do nothing")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("more", nargs="*", help="for every benchmark, after --")
    options = parser.parse_args(argv)
    runs = [name for name in RUNS if name in options.runs]
    if options.plan:
        print(plan(options.out, runs))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    left = [name for name in runs if not measured(name, options.out, options.more, end)]
    if left:
        print(f"not measured: {', '.join(left)}; the same command again goes on with them")
    return 1 if left else 0


def plan(out: Path, runs: list[str]) -> str:
    """The runs in their order with their seconds, and when each would begin."""
    lines, begins = ["| run | begins, s | seconds | mgc-jax benchmark |", "|---|---|---|---|"], 0
    for name in runs:
        if table(out, name).exists():
            lines.append(f"| {name} | | there already | {RUNS[name].arguments} |")
        else:
            lines.append(f"| {name} | {begins} | {needed(out, name):.0f} | {RUNS[name].arguments} |")
            begins += round(needed(out, name))
    return "\n".join([*lines, f"\n{begins} s of {60 * MINUTES}"])


def table(out: Path, name: str) -> Path:
    """Where a run's table is, when it is done."""
    return out / f"{name}.md"


def needed(out: Path, name: str) -> float:
    """The seconds that a run is thought to take: twice what it had when it was cut off, else the plan's."""
    had = out / f"{name}.cut_off"
    return 2 * float(had.read_text("utf-8")) if had.exists() else RUNS[name].seconds


def measured(name: str, out: Path, more: list[str], end: float) -> bool:
    """Whether a run's figures are in ``out`` now; ``end`` is when time is up, by the monotonic clock."""
    if not table(out, name).exists():
        seconds, start = end - time.monotonic(), time.monotonic()
        if seconds < needed(out, name):
            print(f"{name}: not begun, it takes about {needed(out, name):.0f} s and {max(seconds, 0):.0f} are left")
            return False
        command = [*"-m mgc_jax benchmark".split(), *RUNS[name].arguments.split()]
        command += ["--json", str(out / f"{name}.json"), "--profile", str(out / "profiles" / name), *more]
        print(f"{name}: mgc-jax {' '.join(command[2:])}", flush=True)
        try:
            done = subprocess.run(
                [sys.executable, *command], stdout=subprocess.PIPE, text=True, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            (out / f"{name}.cut_off").write_text(f"{seconds:.0f}", "utf-8")
            print(f"{name}: cut off after {seconds:.0f} s")
            return False
        if done.returncode:
            return False
        took = f"{time.monotonic() - start:.0f} s of {RUNS[name].seconds} planned"
        whole = out / f"{name}.part"
        whole.write_text(f"{done.stdout}\n{took}\n", "utf-8")
        whole.replace(table(out, name))
    print(table(out, name).read_text("utf-8"), flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
