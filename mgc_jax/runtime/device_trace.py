"""Traces of what the devices did, as TensorBoard and xprof open them, and the kernels that such a trace holds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.profiler import ProfileData


class Kernel(NamedTuple):
    """One execution on one device.

    ``op`` is the instruction of the compiled program that it carries out, and ``program`` tells programs apart: the
    runtime's number of it, or its name; None where the trace does not say. ``seconds`` leaves out other kernels inside
    it, such as a loop's body.
    """

    name: str
    op: str
    program: int | str | None
    device: str
    seconds: float


def make_folder(folder: Path) -> None:
    """Make the folder of a trace; raises OSError where it cannot be written, before there is anything to lose."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def start(folder: Path) -> None:
    """Trace this process's devices from now on, without Python's own calls."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    jax.profiler.start_trace(folder, profiler_options=options)


def stop() -> None:
    """Write the trace into its folder, where :func:`newest` finds it."""
    jax.profiler.stop_trace()


def newest(folder: Path) -> Path:
    """The file of the trace that was recorded last in a folder; raises FileNotFoundError without any."""
    found = list(folder.glob("plugins/profile/*/*.xplane.pb"))
    if not found:
        raise FileNotFoundError(2, "no trace", str(folder))
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def kernels(trace: ProfileData) -> list[Kernel]:
    """The kernels of a trace: of accelerators where it has any, else of the CPU.

    A GPU has a line for each stream; a TPU one for its instructions, beside others that sum them up; a CPU one for each
    thread, with calls of the runtime among the instructions.
    """
    planes = list(trace.planes)
    devices = [plane for plane in planes if plane.name.startswith(("/device:GPU:", "/device:TPU:"))]
    if devices:
        return [kernel for plane in devices for kernel in _of_device(plane)]
    return [kernel for plane in planes if plane.name == "/host:CPU" for kernel in _of_cpu(plane)]


def _of_device(plane: Any) -> Iterator[Kernel]:
    lines = [line for line in plane.lines if line.name.startswith("Stream") or line.name == "XLA Ops"]
    for line in lines:
        yield from _on_line(plane.name, line.events)


def _of_cpu(plane: Any) -> Iterator[Kernel]:
    for line in plane.lines:
        yield from _on_line("", (event for event in line.events if _stats(event).get("hlo_op")))


def _on_line(device: str, events: Iterable[Any]) -> Iterator[Kernel]:
    """Kernels with their own seconds: those that begin before another has ended lie inside it."""
    open_: list[tuple[Any, float, list[float]]] = []  # event, its end, nanoseconds of those right inside it
    for event in sorted(events, key=lambda e: (e.start_ns, -e.duration_ns)):
        while open_ and event.start_ns >= open_[-1][1]:
            yield _kernel(device, *open_.pop())
        if open_:
            open_[-1][2].append(event.duration_ns)
        open_.append((event, event.start_ns + event.duration_ns, []))
    while open_:
        yield _kernel(device, *open_.pop())


def _kernel(device: str, event: Any, _end: float, inside: list[float]) -> Kernel:
    stats = _stats(event)
    name = event.name.removeprefix("%").partition(" = ")[0]  # a TPU's are whole instructions
    return Kernel(
        name,
        str(stats.get("hlo_op") or name).removeprefix("%"),
        stats.get("program_id", stats.get("hlo_module")),
        device or f"CPU {stats.get('device_ordinal', 0)}",
        max(event.duration_ns - sum(inside), 0.0) / 1e9,
    )


def _stats(event: Any) -> dict[str, Any]:
    return dict(event.stats)
