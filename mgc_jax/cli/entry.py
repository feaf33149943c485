"""Where ``mgc-jax`` begins: a command line in, an exit code out, and one sentence when something is wrong."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from data_pipeline.errors import InputError
from mgc_jax.cli import (
    benchmark,
    check,
    compile,
    corpus,
    embed,
    evaluate,
    explain,
    export,
    predict,
    prepare,
    push,
    report,
    reproduce,
    scan,
    serve,
    similar,
    tag,
    train,
)
from mgc_jax.runtime.signals import Stopped

COMMANDS = (  # in the order of the help
    corpus.COMMAND,
    scan.COMMAND,
    check.COMMAND,
    prepare.COMMAND,
    train.COMMAND,
    evaluate.COMMAND,
    predict.COMMAND,
    embed.COMMAND,
    similar.COMMAND,
    tag.COMMAND,
    explain.COMMAND,
    report.COMMAND,
    reproduce.COMMAND,
    benchmark.COMMAND,
    compile.COMMAND,
    serve.COMMAND,
    export.COMMAND,
    push.COMMAND,
)
OVERRIDE = re.compile(r"--config\.([\w.]+)(?:=(.*))?$", re.DOTALL)


class _Parser(argparse.ArgumentParser):
    """argparse with one sentence instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """What reads a command line, but for ``--config.key=value``."""
    top = _Parser(prog="mgc-jax", description="Multi-label music genre classification from audio and lyrics.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS:
        command.add_to(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 or its own exit code when done, 2 for a person's mistake, 130 when interrupted, 143 when
    terminated."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal has no letters for costs that name only
        sys.stdout.reconfigure(errors="backslashreplace")  # as it is on standard error from the start
    arguments, overrides = _take_overrides(list(sys.argv[1:] if argv is None else argv))
    options = parser().parse_args(arguments)
    if overrides and not hasattr(options, "config"):
        return _refuse(f"{options.command} takes no --config settings.")
    options.overrides = overrides
    if getattr(options, "coordinator", None) is None:
        return _carry_out(options)
    from mgc_jax.runtime import processes

    try:
        hosts = processes.Hosts(options.coordinator, options.processes, options.process, options.timeout)
        return processes.run(hosts, lambda: _carry_out(options))
    except InputError as error:
        return _refuse(str(error))


def _take_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off ``--config.key=value`` and ``--config.key value``."""
    rest: list[str] = []
    overrides: list[str] = []
    waiting = False  # for the value of the last override
    for item in arguments:
        if match := OVERRIDE.match(item):
            key, value = match.groups()
            overrides.append(key if value is None else f"{key}={value}")
            waiting = value is None
        elif waiting and not item.startswith("--"):
            overrides[-1] += f"={item}"
            waiting = False
        else:
            rest.append(item)
            waiting = False
    return rest, overrides


def _carry_out(options: argparse.Namespace) -> int:
    try:
        if options.on_devices:
            from mgc_jax.runtime import compilation_cache

            compilation_cache.keep()
        return options.run(options) or 0
    except InputError as error:
        return _refuse(str(error))
    except Stopped as stopped:
        print(f"mgc-jax: {stopped}", file=sys.stderr)
        return 128 + stopped.signal_number
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a name too long, a folder of somebody else
        file = error.filename if error.filename2 is None else error.filename2  # of two the one that is written
        where = f"{file}: " if file is not None else ""
        return _refuse(f"{where}{error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:  # of the host, of a device
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        hint = "; a smaller train.batch_size needs less" if hasattr(options, "config") else ""
        return _refuse(f"There is not enough memory ({str(error)[:200]}){hint}.")
    except KeyboardInterrupt:
        print("mgc-jax: interrupted; run the same command again to continue.", file=sys.stderr)
        return 130


def _refuse(sentence: str) -> int:
    print(f"mgc-jax: {' '.join(sentence.split())}", file=sys.stderr)
    return 2
