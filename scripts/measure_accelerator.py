"""Everything that docs/performance.md wants from a GPU or a TPU, one benchmark after the other.

    python scripts/measure_accelerator.py --out measured

Each of RUNS leaves its JSON and its table in the folder, and prints the table. One that fails (a batch that does not
fit, no PyTorch) is said and the others go on; one whose table is there already is not run again. ``--runs`` takes some
of them, and what follows ``--`` goes to every ``mgc-jax benchmark``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

RUNS = {
    "paper": "--size paper --against torch",
    "pod": "--size pod --against torch",
    "trained_encoder": "--size pod --lyrics tokens --config.train.encoder_rate=0.1 --against torch",
    "patches": "--size pod --lyrics features --config.model.audio_preset=paper_patches --against torch",
    "xla_attention": "--size pod --lyrics tokens --config.compute.attention=xla",
    "rematerialised": "--size pod --lyrics features --config.compute.rematerialise=True --config.train.batch_size=256",
}


def main() -> int:
    """Run them; 0 when all are done, 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("more", nargs="*", help="for every benchmark, after --")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = [name for name in options.runs if not measured(name, options.out, options.more)]
    if failed:
        print(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


def measured(name: str, out: Path, more: list[str]) -> bool:
    """Whether a run's figures are in ``out`` now."""
    table = out / f"{name}.md"
    if not table.exists():
        command = [*"-m mgc_jax benchmark".split(), *RUNS[name].split(), *more, "--json", str(out / f"{name}.json")]
        print(f"{name}: mgc-jax {' '.join(command[2:])}", flush=True)
        done = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            return False
        table.write_text(done.stdout, "utf-8")
    print(table.read_text("utf-8"), flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
