"""``tracker.json`` of a workdir: which run of which tracker is this one, so that a resumed training continues it."""

from __future__ import annotations

import re
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.storage.json_file import read_json
from mgc_jax.runs.workdir import write_json

FILE = "tracker.json"
_RUN = re.compile(r"[A-Za-z0-9_-]{1,128}")


def known_run(workdir: Path, tracker: str, project: str) -> str | None:
    """The run's id in that project of that tracker, or None where it has none yet.

    Raises:
        InputError: the file is not one that :func:`remember` wrote.
    """
    path = workdir / FILE
    if not path.exists():
        return None
    try:
        known = read_json(path)
        if not isinstance(known, dict) or not all(isinstance(v, str) for v in known.values()):
            raise ValueError("it does not hold three texts")
        run = known["run"]
        if not _RUN.fullmatch(run):
            raise ValueError(f"{run[:40]!r} is no run's id")
        return run if (known["tracker"], known["project"]) == (tracker, project) else None
    except KeyError as error:
        reason = f"{error} is missing"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise InputError(f"{path} cannot be read ({reason}); remove it to log to a new run of {tracker}.")


def remember(workdir: Path, tracker: str, project: str, run: str) -> None:
    """Keep the run's id."""
    write_json(workdir / FILE, {"tracker": tracker, "project": project, "run": run})
