"""Types of arguments, whose mistakes are found before the work begins, and the options that commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from data_pipeline.schema import LYRICS_INPUTS
from mgc_jax.benchmark.sizes import SIZES

PICTURES = (".png", ".pdf", ".svg")
TABLES = (".jsonl", ".csv")


def at_least(lowest: int) -> Callable[[str], int]:
    """The type of an integer that is not smaller."""

    def number(text: str) -> int:
        if int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text} is less than {lowest}")
        return int(text)

    number.__name__ = "int"
    return number


def writable(text: str) -> Path:
    """A file that can be written, found out before the work and not after it."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder" if path.is_dir() else f"no folder {path.parent}")
    return path


def picture(text: str) -> Path:
    """A picture that can be written."""
    if Path(text).suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text!r} must end in {', '.join(PICTURES[:-1])} or {PICTURES[-1]}")
    return writable(text)


def table(text: str) -> Path:
    """A table of results that can be written."""
    if Path(text).suffix.lower() not in TABLES:
        raise argparse.ArgumentTypeError(f"{text!r} must end in {' or '.join(TABLES)}")
    return writable(text)


def local(text: str) -> Path:
    """A place on this machine's disk."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text} is not on this machine's disk: give a local folder and copy it, e.g. with gcloud storage cp -r or "
            "aws s3 sync"
        )
    return Path(_named(text))


def place(text: str) -> str | Path:
    """A folder, or the address of one in a bucket."""
    return text if "://" in text else Path(_named(text))


def _named(text: str) -> str:
    if not text.strip():  # of which Path would make the folder that somebody is in
        raise argparse.ArgumentTypeError("the address is empty")
    return text


def add_config(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--config``, with which a command takes ``--config.key=value`` too."""
    text = "a recipe by name or file, e.g. demo; change a setting with --config.train.epochs=5"
    parser.add_argument("--config", required=required, metavar="RECIPE[:ARG]", help=text)


_BUILT_IN = "; or musicnn, which is built in and has heard real music"


def add_model(parser: argparse.ArgumentParser) -> None:
    """``--workdir``, from which a trained model is read."""
    _add_workdir(parser, "")


def add_explained(parser: argparse.ArgumentParser) -> None:
    """``--workdir``, from which a trained model is read, or a built-in one."""
    _add_workdir(parser, _BUILT_IN)


def add_namer(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--workdir`` and ``--genres`` for all that names genres: a trained model, a built-in one, or a CLAP."""
    _add_workdir(parser, f"{_BUILT_IN}; or a CLAP, with --genres", required=required)
    text = "for a CLAP: two or more that it scores a song for, with commas between them"
    parser.add_argument("--genres", action="append", metavar="NAMES", help=text)


def _add_workdir(parser: argparse.ArgumentParser, more: str, *, required: bool = True) -> None:
    text = f"a run's folder, or an address like gs://bucket/run{more}"
    parser.add_argument("--workdir", type=place, required=required, metavar="W", help=text)


def number_between(lowest: float, highest: float) -> Callable[[str], float]:
    """The type of a number in a range."""

    def number(text: str) -> float:
        if not lowest <= float(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text} is not from {lowest:g} to {highest:g}")
        return float(text)

    number.__name__ = "number"
    return number


def add_prepared_data(parser: argparse.ArgumentParser) -> None:
    """``--data``, a data set that is there."""
    parser.add_argument("--data", type=place, required=True, metavar="DIR", help="what mgc-jax prepare wrote")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``, a file for what is printed."""
    parser.add_argument("--json", type=writable, metavar="FILE")


def add_songs(parser: argparse.ArgumentParser) -> None:
    """``AUDIO``, ``--files-from`` and ``--manifest``, which name songs, ``--no-lyrics``, ``--workers``."""
    text = "a file, or a folder with all that is in it"
    parser.add_argument("audio", type=Path, nargs="*", metavar="AUDIO", help=text)
    text = "a list of files and folders, one a line or with NUL between them; - for standard input"
    parser.add_argument("--files-from", metavar="FILE", help=text)
    text = "a table of songs and their lyrics, as prepare and scan have it"
    parser.add_argument("--manifest", type=Path, metavar="FILE", help=text)
    text = "leave out the words in tags, beside songs and in a manifest"
    parser.add_argument("--no-lyrics", action="store_true", help=text)
    add_workers(parser)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """``--workers``, for all that decodes many songs."""
    text = "processes that decode ahead of the model, 0 for none (default: one for each core; none for a few songs)"
    parser.add_argument("--workers", type=at_least(0), metavar="N", help=text)


def add_workload(parser: argparse.ArgumentParser, size: str) -> None:
    """``--size`` (by default ``size``), ``--audio`` and ``--lyrics``, which say what training steps are looked at."""
    parser.add_argument("--size", choices=SIZES, default=size, metavar="SIZE", help=", ".join(SIZES))
    text = "which rows: the CNN on spectrograms, or stored outputs of an audio encoder (default: as the settings say)"
    parser.add_argument("--audio", choices=("spectrogram", "features"), nargs="+", default=(None,), help=text)
    text = "which rows (default: both)"
    parser.add_argument("--lyrics", choices=LYRICS_INPUTS, nargs="+", default=LYRICS_INPUTS, help=text)


def add_hosts(parser: argparse.ArgumentParser) -> None:
    """The options with which a command runs on several hosts as one."""
    hosts = parser.add_argument_group("several hosts", "the same command on each of them")
    text = "auto on a TPU pod, in a SLURM step and in a Kubernetes job; HOST:PORT of process 0 elsewhere"
    hosts.add_argument("--coordinator", metavar="WHERE", help=text)
    hosts.add_argument("--processes", type=at_least(1), metavar="N", help="how many there are")
    hosts.add_argument("--process", type=at_least(0), metavar="I", help="which one this is, from 0 on")
    text = "how long a process may stay away (default %(default)s)"
    hosts.add_argument("--timeout", type=at_least(1), default=300, metavar="SECONDS", help=text)
