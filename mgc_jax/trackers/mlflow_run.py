"""A run in MLflow; the server is the one that ``MLFLOW_TRACKING_URI`` names, or MLflow's own default."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from mgc_jax.runs.logs import Ending
from mgc_jax.trackers.delivery import group

# MLflow's own defaults wait for minutes; what a person sets counts. The address of the run is printed here, once.
for _name, _value in {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # s
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}.items():
    os.environ.setdefault(_name, _value)
for _name in ("mlflow", "alembic", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.ERROR)

PARAMETERS = 100  # that one request may carry
LONGEST = 6000  # characters of a parameter's value


class MlflowRun:
    """A :class:`~mgc_jax.trackers.delivery.Tracker`: metrics by step, the settings as parameters.

    Args:
        project: the experiment's name.
        known: the id of the run to go on with; where MLflow has it no more, a new one is started.
    """

    name = "MLflow"

    def __init__(self, project: str, name: str, settings: Mapping[str, Any], known: str | None):
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient()
        run = self._find(known) if known else None
        if run is None:
            run = self._create(project, name)
        else:
            self._client.update_run(run.info.run_id, status="RUNNING")
        self.run: str = run.info.run_id
        self.written = self._steps(run.data.metrics)
        self._send_parameters({k: v for k, v in settings.items() if k not in run.data.params})
        print(f"logging to MLflow: experiment {project}, run {self.run}, {self._client.tracking_uri}")

    def _find(self, run: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            stored = self._client.get_run(run)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return stored if stored.info.lifecycle_stage == "active" else None

    def _create(self, project: str, name: str) -> Any:
        from mlflow.tracking.context.registry import resolve_tags

        experiment = self._client.get_experiment_by_name(project)
        number = experiment.experiment_id if experiment else self._client.create_experiment(project)
        return self._client.create_run(number, run_name=name, tags=resolve_tags())  # user, program, commit

    def _steps(self, names: Mapping[str, float]) -> dict[str, int]:
        """The last step of each group. Of one metric's history only the whole can be had."""
        last: dict[str, int] = {}
        for name in names:
            steps = [metric.step for metric in self._client.get_metric_history(self.run, name)]
            last[group(name)] = max([*steps, last.get(group(name), -1)])
        return last

    def _send_parameters(self, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        parameters = [Param(name, str(value)[:LONGEST]) for name, value in settings.items()]
        for i in range(0, len(parameters), PARAMETERS):
            self._client.log_batch(self.run, params=parameters[i : i + PARAMETERS])

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Send the scalars in one request."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self.run, metrics=[Metric(k, float(v), now, step) for k, v in scalars.items()])

    def close(self, ending: Ending) -> None:
        """Send the best score, as metrics of its step, and the state: FINISHED, KILLED (by a signal) or FAILED."""
        if ending.best_step > self.written.get("best", 0):
            self.write(ending.best_step, {"best/map_macro": ending.best_score, "best/step": ending.best_step})
        status = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}[ending.status]
        self._client.set_terminated(self.run, status)
