"""What a GPU says of the audio encoder's first block: right, how fast, and what the whole step gains.

    python scripts/measure_first_block.py --out measured --seconds 360

and a CPU, of the step of size ``demo``, with the pooling that is its own, as it was, as it is and beside PyTorch:

    python scripts/measure_first_block.py --out measured --parts cpu

Each part runs in a process of its own, which writes what it finds as it goes (``found.jsonl``, ``PART.txt``) and is
stopped when its time or all time is up; ``--parts`` takes some of them.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PARTS = {"correct": 300, "pod": 150, "sweep": 110, "torch": 120, "paper": 120}
"""The most seconds of each on a GPU, the most important first."""
CPU_PARTS = {"cpu": 340}


def main() -> int:
    """Run the parts; 0 when all are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seconds", type=float, default=360.0, help="for everything (default %(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS | CPU_PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--inside", choices=PARTS | CPU_PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.inside:
        globals()[options.inside](Log(options.out / "found.jsonl", options.inside))
        return 0
    end, missing = time.monotonic() + options.seconds, []
    for part in options.parts:
        left = min((PARTS | CPU_PARTS)[part], end - time.monotonic())
        if not (left > 20 and run(part, options.out, left)):
            missing.append(part)
    print(f"missing: {', '.join(missing) or 'nothing'}")
    return 1 if missing else 0


def run(part: str, out: Path, seconds: float) -> bool:
    """Whether a part came to its end."""
    start = time.monotonic()
    command = [sys.executable, __file__, "--out", str(out), "--inside", part]
    environment = {
        "PYTHONPATH": str(ROOT),
        "XLA_PYTHON_CLIENT_MEM_FRACTION": ".55",
        "JAX_COMPILATION_CACHE_DIR": "/tmp/jax_cache",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **({"JAX_PLATFORMS": "cpu"} if part in CPU_PARTS else {}),
        **os.environ,
    }
    with (out / f"{part}.txt").open("a") as text:
        process = subprocess.Popen(command, stdout=text, stderr=subprocess.STDOUT, env=environment)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    print(f"--- {part}: exit {code} after {time.monotonic() - start:.0f} s", flush=True)
    print("\n".join((out / f"{part}.txt").read_text().splitlines()[-60:]), flush=True)
    return code == 0


class Log:
    """Findings, each written as it is had."""

    def __init__(self, path: Path, part: str):
        self._path, self._part = path, part

    def __call__(self, **found: Any) -> None:
        line = json.dumps({"part": self._part, **found})
        print(line, flush=True)
        with self._path.open("a") as file:
            file.write(line + "\n")


def correct(log: Log) -> None:
    """Output, statistics and gradients against the plain formulation in float32 of the highest precision."""
    import jax
    import jax.numpy as jnp

    from mgc_jax.network import kernels

    log(device=jax.devices()[0].device_kind, jax=jax.__version__)
    for channels, pool in ((64, (2, 2)), (8, (2, 2)), (64, (4, 2))):
        form = kernels.first_block_form("auto", channels, pool, jnp.dtype("bfloat16"))
        log(channels=channels, pool=pool, form=form)
    for (shape, channels, pool), dtype in itertools.product(SHAPES, ("bfloat16", "float32")):
        try:
            with jax.default_matmul_precision("highest"):
                found: dict[str, Any] = errors(shape, channels, pool, dtype)
        except Exception as error:  # the others go on
            found = {"error": str(error)[:600]}
        log(shape=shape, channels=channels, pool=pool, dtype=dtype, **found)


def errors(shape: tuple[int, ...], channels: int, pool: tuple[int, int], dtype: str) -> dict[str, list[str]]:
    """Relative, in norm: of pooled, mean, variance, and the gradients of kernel, scale and bias."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from mgc_jax.models.first_block import first_block, first_block_by, written, written_by

    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(-1, 1, shape), dtype)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 1, channels)) / 2, dtype).astype(jnp.float32)
    scale, bias = (jnp.asarray(v) for v in rng.standard_normal((2, channels), np.float32))
    pooled = (shape[0], shape[1] // pool[0], shape[2] // pool[1], channels)
    weights = jnp.asarray(rng.standard_normal(pooled, np.float32), dtype).astype(jnp.float32)

    def new(*given: Any) -> Any:
        return first_block(*given, pool, 1e-5, "triton")

    def new_by(*given: Any) -> Any:
        return first_block_by(*given, pool, 1e-5, "triton")

    def results(block: Callable[..., Any], x: Any) -> list[Any]:
        def loss(*given: Any) -> Any:
            pooled, mean, variance = block(x, *given)
            return jnp.sum(pooled.astype(jnp.float32) * weights), (pooled, mean, variance)

        (_, found), slopes = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(kernel, scale, bias)
        return [*found, *slopes]

    def apart(found: list[Any], exact: list[Any]) -> list[str]:
        pairs = [(np.asarray(a, np.float32), np.asarray(b, np.float32)) for a, b in zip(found, exact, strict=True)]
        return [f"{np.linalg.norm((a - b).ravel()) / np.linalg.norm(b.ravel()):.1e}" for a, b in pairs]

    plain = functools.partial(written, pool=pool, epsilon=1e-5)
    plain_by = functools.partial(written_by, pool=pool, epsilon=1e-5)
    exact = results(plain, x.astype(jnp.float32))
    given = (x, kernel, scale, bias, *exact[1:3])
    return {
        "triton": apart(results(new, x), exact),
        "written": apart(results(plain, x), exact),
        "inference": apart(
            [jax.jit(new_by)(*given)],
            [jax.jit(plain_by)(x.astype(jnp.float32), *given[1:])],
        ),
    }


SHAPES: list[tuple[tuple[int, int, int], int, tuple[int, int]]] = [
    ((64, 1292, 128), 64, (2, 2)),
    ((5, 131, 79), 24, (2, 2)),
    ((3, 130, 80), 8, (2, 2)),
    ((4, 1292, 128), 64, (4, 2)),
    ((2, 37, 21), 5, (1, 1)),
]


def pod(log: Log) -> None:
    """The step with 64 tracks a device as it was and as it is, and its kernels by time."""
    race(log, "pod", before=True)


def paper(log: Log) -> None:
    """The same with the paper's 16."""
    race(log, "paper", before=True)


def torch(log: Log) -> None:
    """The step against PyTorch's with resident batches."""
    from mgc_jax.torch_reference.contenders import SameWorkOnTheDevice

    race(log, "pod", before=False, rivals=[SameWorkOnTheDevice])


def cpu(log: Log) -> None:
    """The demo's step as it was and as it is, and PyTorch's, in many short rounds."""
    from mgc_jax.torch_reference.contenders import SameWork, SameWorkOnTheDevice

    for lyrics in ("features", "tokens"):
        race(log, "demo", lyrics, before=True, rivals=[SameWork, SameWorkOnTheDevice], rounds=15, steps=5)


def race(
    log: Log,
    size: str,
    lyrics: str = "features",
    *,
    before: bool,
    rivals: list[Any] | None = None,
    rounds: int = 5,
    steps: int = 10,
) -> None:
    """Our step, with ``before`` also as it was, and rivals; and our kernels by time."""
    import jax

    from mgc_jax.benchmark import contenders, race, workload

    log(device=jax.devices()[0].device_kind)
    load = workload.make(size, lyrics)
    mesh = contenders.mesh_for(load)
    new = contenders.FusedStep(load, "device", mesh)
    new.name = "now"
    new.run(3)
    log(start_seconds=new.start_seconds)
    log(**alone(new, load))
    log(kernels=by_time(new))
    every: list[Any] = [new]
    if before:
        dependent = jax.lax.platform_dependent
        jax.lax.platform_dependent = lambda *given, default, **others: default(*given)  # type: ignore[assignment]
        every.append(
            contenders.FusedStep(
                workload.make(size, lyrics, overrides=["compute.first_block=convolution"]), "device", mesh
            )
        )
        jax.lax.platform_dependent = dependent
        every[-1].name = "before"
    every += [rival(load) for rival in rivals or []]
    for row in race.race(load, every, rounds=rounds, steps=steps):
        log(**row)


def alone(contender: Any, load: Any, steps: int = 20) -> dict[str, float]:
    """Its rate with nobody beside it."""
    start = time.perf_counter()
    contender.run(steps)
    step = (time.perf_counter() - start) / steps
    return {"ms": 1e3 * step, "tracks_per_second": load.config.train.batch_size / step}


def by_time(contender: Any, steps: int = 5) -> list[tuple[float, int, str]]:
    """(milliseconds a step, times, name) of the kernels that take longest."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            contender.run(steps)
        data = jax.profiler.ProfileData.from_file(str(next(Path(folder).rglob("*.xplane.pb"))))
    took: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for plane in data.planes:
        if not plane.name.startswith("/device:GPU"):
            continue
        for line in plane.lines:
            if line.name.startswith("Stream"):
                for event in line.events:
                    took[event.name] += event.duration_ns
                    times[event.name] += 1
    print(f"all kernels: {sum(took.values()) / steps / 1e6:.3f} ms a step")
    rows = [(time / steps / 1e6, times[name] // steps, name) for name, time in took.most_common(60)]
    for milliseconds, count, name in rows:
        print(f"{milliseconds:8.3f} ms {count:4d} x  {name[:140]}")
    return rows


def sweep(log: Log, tracks: int = 64, frames: int = 1292) -> None:
    """Block 1 alone as it was and is, then each kernel by tiling: (windows, warps, parts, stages)."""
    import jax
    import jax.numpy as jnp

    from mgc_jax.models import first_block_triton as kernels
    from mgc_jax.models.first_block import first_block, written

    keys = jax.random.split(jax.random.key(0), 5)
    x = jax.random.uniform(keys[0], (tracks, frames, 128), jnp.bfloat16, -1, 1)
    kernel = jax.random.normal(keys[1], (3, 3, 1, 64))
    scale, bias = jnp.ones(64), jnp.zeros(64)
    g = jax.random.normal(keys[2], (tracks, frames // 2, 64, 64), jnp.bfloat16)
    w = jax.random.normal(keys[3], (4, 16, 64), jnp.bfloat16)

    def milliseconds(function: Callable[..., Any], *given: Any, times: int = 20) -> float:
        run = jax.jit(function)
        jax.block_until_ready(run(*given))
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            for _ in range(times):
                out = run(*given)
            jax.block_until_ready(out)
            best = min(best, (time.perf_counter() - start) / times)
        return 1e3 * best

    def both_ways(block: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any, kernel: Any, scale: Any, bias: Any, g: Any) -> Any:
            pooled, back = jax.vjp(lambda *given: block(x, *given, (2, 2), 1e-5)[0], kernel, scale, bias)
            return pooled, back(g)

        return run

    for form in ("triton", "windows"):
        ms = milliseconds(both_ways(lambda *given, f=form: first_block(*given, f)), x, kernel, scale, bias, g)
        log(block=form, ms=ms)
    log(block="written", ms=milliseconds(both_ways(written), x, kernel, scale, bias, g))

    runs = {
        "WINNERS": (lambda x, g: kernels.winners(g, None, x, w, scale, bias, (2, 2), None), (x, g)),
        "POOLED": (lambda x: kernels.pooled(x, w, scale, bias, (2, 2), None)[0], (x,)),
        "MOMENTS": (lambda x: kernels.moments(x, (2, 2), None), (x,)),
    }
    log(border=milliseconds(lambda x: kernels._bordered(x), x))
    for tiling, name in TILINGS:
        try:
            setattr(kernels, name, kernels.Tiling(*tiling))
            function, given = runs[name]
            log(kernel=name, tiling=tiling, ms=milliseconds(lambda *a, f=function: f(*a), *given))
        except Exception as error:  # the others go on
            log(kernel=name, tiling=tiling, error=str(error)[:300])


TILINGS: list[tuple[tuple[int, ...], str]] = [
    *[(t, "WINNERS") for t in (
        (32, 4, 16, 2), (32, 4, 6, 2), (32, 4, 8, 2), (32, 4, 32, 2), (64, 4, 8, 2), (64, 8, 8, 2), (32, 2, 16, 2),
        (32, 8, 8, 2), (16, 4, 16, 2), (32, 4, 16, 1), (32, 4, 16, 3), (64, 8, 16, 3), (16, 2, 16, 2), (128, 8, 8, 2),
    )],
    *[(t, "POOLED") for t in (
        (32, 4, 32, 2), (64, 4, 16, 2), (64, 4, 32, 2), (128, 4, 16, 2), (128, 8, 16, 2), (32, 2, 32, 2),
        (64, 8, 16, 2), (64, 4, 8, 2), (64, 4, 16, 3), (32, 4, 16, 1), (64, 2, 32, 2),
    )],
    *[(t, "MOMENTS") for t in (
        (128, 4, 8, 2), (256, 4, 8, 2), (128, 4, 16, 2), (64, 1, 32, 2), (128, 1, 32, 2), (256, 8, 8, 2),
        (128, 2, 16, 2),
    )],
]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
