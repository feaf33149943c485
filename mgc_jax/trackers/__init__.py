"""Experiment trackers, which need not be installed: each is known to one file here and imported when a run names it."""

from __future__ import annotations

from pathlib import Path

from data_pipeline import extras
from data_pipeline.errors import InputError
from mgc_jax import recipes
from mgc_jax.config import Config
from mgc_jax.trackers.delivery import Delivery, Tracker, reason_of
from mgc_jax.trackers.run_id import known_run, remember


def check_installed(config: Config) -> None:
    """Raise InputError where the tracker that the settings name is not installed; says how to install it."""
    if config.log.tracker != "none":
        extras.check(f"log.tracker={config.log.tracker}", config.log.tracker)


def open_run(config: Config, workdir: Path) -> Delivery | None:
    """Start the run of ``workdir`` in its tracker, or go on with it; None where the settings name no tracker.

    Raises:
        InputError: the tracker cannot be reached or does not take the run.
    """
    if config.log.tracker == "none":
        return None
    check_installed(config)
    known = known_run(workdir, config.log.tracker, config.log.project)
    try:
        tracker = _start(config, workdir, known)
    except Exception as error:  # of somebody else's client: it has no list of what it raises
        away = {
            "wandb": "log in with wandb login, or set WANDB_MODE=offline to keep the run on this disk",
            "mlflow": "set MLFLOW_TRACKING_URI to a server that answers, or to a file such as sqlite:///mlflow.db",
        }[config.log.tracker]
        raise InputError(
            f"{config.log.tracker} does not take the run ({reason_of(error)}); {away}, or train with "
            "--config.log.tracker=none."
        ) from None
    if tracker is None:
        return None
    remember(workdir, config.log.tracker, config.log.project, tracker.run)
    return Delivery(tracker)


def _start(config: Config, workdir: Path, known: str | None) -> Tracker | None:
    name = "/".join(workdir.absolute().parts[-2:])  # a table's rows are folders in folders
    if config.log.tracker == "wandb":
        from mgc_jax.trackers.wandb_run import start

        return start(config.log.project, name, recipes.as_json(config), workdir, known)
    from mgc_jax.trackers.mlflow_run import MlflowRun

    return MlflowRun(config.log.project, name, recipes.flat(config), known)
