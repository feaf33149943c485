"""One run on several processes: how they find each other, agree, wait, and end together.

JAX's coordination service does the work. Without a coordinator there is one process, and nothing here does anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import jax
from jax._src import distributed as runtime  # its client is the one way to barriers with time limits

from data_pipeline.errors import InputError
from mgc_jax.runtime import fatal_errors
from mgc_jax.runtime.progress import Progress

AUTO = "auto"
_calls = itertools.count()  # every process counts the same
_TOGETHER = 15  # seconds between processes that fail for the same reason
_limit = 300  # seconds that one waits for another


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Where the processes of a run meet.

    Args:
        coordinator: HOST:PORT of process 0, or ``auto``: JAX asks the TPU pod, SLURM or Kubernetes.
        processes: how many there are, and ``process``: which one this is; None with ``auto``.
        timeout: seconds that one may stay away from the start or from a barrier; after a third of it without a sign
            of life a process counts as dead.
    """

    coordinator: str
    processes: int | None
    process: int | None
    timeout: int

    def __post_init__(self) -> None:
        numbers = (self.processes, self.process)
        if self.coordinator == AUTO:
            if numbers != (None, None):
                raise InputError("--coordinator auto finds the processes by itself; leave --processes and --process.")
            return
        host, _, port = self.coordinator.rpartition(":")
        if not (host and port.isdecimal()):
            raise InputError(f"--coordinator is {self.coordinator!r}, but must be auto or HOST:PORT of process 0.")
        if self.processes is None or self.process is None:
            raise InputError("--coordinator HOST:PORT needs --processes N and --process I.")
        if not 0 <= self.process < self.processes:
            raise InputError(f"--process must lie between 0 and {self.processes - 1}, but is {self.process}.")


def run(hosts: Hosts, work: Callable[[], int]) -> int:
    """``work`` as one of the processes of a run, of which only process 0 prints; to be called before any device is
    touched.

    A process that dies ends the others within the time limit, each with a sentence.

    Returns:
        The exit code that ``work`` returned.

    Raises:
        InputError: ``auto``, and no cluster is found.
    """
    with fatal_errors.spoken(hosts.coordinator):
        _initialise(hosts)
        names = _gather(socket.gethostname(), "its start")
        with contextlib.ExitStack() as quiet:
            if not is_first():
                Progress.shown = False
                quiet.enter_context(contextlib.redirect_stdout(quiet.enter_context(open(os.devnull, "w"))))
            print("processes: " + ", ".join(f"{i} on {name}" for i, name in enumerate(names)), flush=True)
            try:
                code = work()
            except Exception:
                # Most likely another process died in the middle of an exchange. If so, JAX finds that out meanwhile
                # and ends this process too, naming the other one.
                time.sleep(1.2 * _heartbeat(hosts.timeout))
                traceback.print_exc()
                code = 1
        _leave(code)
    return code


def _leave(code: int) -> None:
    """End together: at once where all processes have done their work, were stopped by a signal, or have failed."""
    if code:
        try:
            _client().wait_at_barrier("mgc_jax/failed", (_limit if code > 128 else _TOGETHER) * 1000)
        except jax.errors.JaxRuntimeError:  # the others are in the midst of it, and end when they miss this one
            sys.stderr.flush()
            os._exit(code)
    jax.distributed.shutdown()


def _heartbeat(timeout: int) -> int:
    return max(timeout // 3, 1)


def _initialise(hosts: Hosts) -> None:
    global _limit
    _limit = hosts.timeout
    # JAX lets the service wait an hour for processes that do not come, and would never say which.
    service = runtime._jax.get_distributed_runtime_service
    runtime._jax.get_distributed_runtime_service = functools.partial(service, cluster_register_timeout=hosts.timeout)
    try:
        jax.distributed.initialize(
            None if hosts.coordinator == AUTO else hosts.coordinator,
            hosts.processes,
            hosts.process,
            cluster_detection_method=None if hosts.coordinator == AUTO else "deactivate",
            # The service is to give up first, for it knows who is missing.
            initialization_timeout=hosts.timeout + 5,
            heartbeat_timeout_seconds=_heartbeat(hosts.timeout),
            shutdown_timeout_seconds=hosts.timeout,
        )
    except (ValueError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        advice = (
            "this is no TPU pod, SLURM step or Kubernetes job: give HOST:PORT, --processes and --process"
            if hosts.coordinator == AUTO
            else "see that it is an address of process 0, and the port free"
        )
        raise InputError(f"--coordinator {hosts.coordinator} does not work ({reason}); {advice}.") from None
    finally:
        runtime._jax.get_distributed_runtime_service = service


def _client() -> Any:
    return runtime.global_state.client


def is_first() -> bool:
    """Whether this is process 0, which alone writes logs."""
    return jax.process_index() == 0


def check_model_parallel(size: int) -> None:
    """Raise InputError where a host's devices do not hold whole copies of the model: its rows are its own."""
    if jax.local_device_count() % size:
        raise InputError(
            f"compute.model_parallel is {size}, which does not divide the {jax.local_device_count()} devices of a host."
        )


def barrier(what: str) -> None:
    """Wait until every process is here.

    Raises:
        InputError: one does not come in time; names it.
    """
    if client := _client():
        try:
            client.wait_at_barrier(f"mgc_jax/{next(_calls)}", _limit * 1000)
        except jax.errors.JaxRuntimeError as error:
            missing = fatal_errors.tasks(str(error), "timed out task names")
            missing_name = fatal_errors.named(missing) if missing else "Another process"
            raise InputError(f"{missing_name} did not reach {what} within {_limit} s; see its log.") from None


def from_first(what: str, make: Callable[[], Any]) -> Any:
    """What ``make`` gives on process 0, on every process; None on the others where JSON cannot tell it.

    Raises:
        InputError: ``make`` raised it, or process 0 tells nothing in time.
    """
    client = _client()
    if client is None:
        return make()
    key = f"mgc_jax/{next(_calls)}"
    if is_first():
        try:
            value = make()
        except InputError as error:
            client.key_value_set(key, json.dumps({"error": str(error)}))
            raise
        client.key_value_set(key, json.dumps({"value": value}, default=lambda _: None))
        return value
    message = json.loads(_message_of(key, 0, what))
    if "error" in message:
        raise InputError(message["error"])
    return message["value"]


def any_of(text: str, what: str) -> str:
    """The first of the processes' texts that is not empty, on every process."""
    return next(filter(None, _gather(text, what)), "")


def _gather(own: str, what: str) -> list[str]:
    """Every process's text, by process."""
    client, folder = _client(), f"mgc_jax/{next(_calls)}"
    if client is None:
        return [own]
    client.key_value_set(f"{folder}/{jax.process_index()}", own)
    return [_message_of(f"{folder}/{i}", i, what) for i in range(jax.process_count())]


def _message_of(key: str, process: int, what: str) -> str:
    try:
        message: str = _client().blocking_key_value_get(key, _limit * 1000)
    except jax.errors.JaxRuntimeError:
        raise InputError(f"Process {process} did not finish {what} within {_limit} s; see its log.") from None
    return message
