"""Two trackers' servers on loopback, as far as training needs them; they can die, fall silent and come back."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextlib.contextmanager
def serving(answer: Answer, port: int = 0) -> Iterator[_Server]:
    """``answer`` gets each request's path and JSON, and gives status and JSON; None drops the connection."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                given = json.loads(body) if body else {}
            except ValueError:
                given = {}
            status, told = answer(address.path, given | dict(parse_qsl(address.query)))
            if told is None:
                self.connection.close()
                return
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_PATCH = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def mlflow_answers(client: Any) -> Answer:
    """MLflow's REST interface over the store that a client has."""
    from google.protobuf.json_format import MessageToDict, ParseDict
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.protos import service_pb2 as messages
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

    def plain(entity: Any) -> Any:
        return MessageToDict(entity.to_proto(), preserving_proto_field_name=True)

    def call(name: str, given: dict[str, Any]) -> Any:
        if name == "experiments/get-by-name":
            experiment = client.get_experiment_by_name(given["experiment_name"])
            if experiment is None:
                raise MlflowException("no such experiment", error_code=RESOURCE_DOES_NOT_EXIST)
            return {"experiment": plain(experiment)}
        if name == "experiments/create":
            return {"experiment_id": client.create_experiment(given["name"])}
        if name == "runs/create":
            tags = {tag["key"]: tag["value"] for tag in given.get("tags", [])}
            return {"run": plain(client.create_run(given["experiment_id"], tags=tags, run_name=given["run_name"]))}
        if name == "runs/get":
            return {"run": plain(client.get_run(given["run_id"]))}
        if name == "runs/update":
            client.update_run(given["run_id"], status=given.get("status"))
            return {"run_info": plain(client.get_run(given["run_id"]).info)}
        if name == "runs/log-batch":
            batch = ParseDict(given, messages.LogBatch(), ignore_unknown_fields=True)
            client.log_batch(
                batch.run_id,
                [Metric.from_proto(metric) for metric in batch.metrics],
                [Param.from_proto(parameter) for parameter in batch.params],
                [RunTag.from_proto(tag) for tag in batch.tags],
            )
            return {}
        assert name == "metrics/get-history", name
        return {"metrics": [plain(m) for m in client.get_metric_history(given["run_id"], given["metric_key"])]}

    def answer(path: str, given: dict[str, Any]) -> tuple[int, Any]:
        _, _, name = path.partition("/mlflow/")
        try:
            return 200, call(name, given)
        except MlflowException as error:
            return 404, {"error_code": error.error_code, "message": str(error)}

    return answer


class WandbServer:
    """What W&B's server keeps of one run, by what its client sends."""

    def __init__(self) -> None:
        self.run = ""
        self.config: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.exit_codes: list[int] = []
        self.preempted = False

    def answer(self, path: str, given: dict[str, Any]) -> tuple[int, Any]:
        """One request."""
        if path.endswith("/file_stream"):
            return 200, self._stream(given)
        query, values = given.get("query", ""), given.get("variables", {})
        if "query RunResumeStatus" in query:
            return 200, {"data": {"model": self._resume(values["name"])}}
        if "upsertBucket" in query:
            self.run = values["name"] or self.run
            self.config = json.loads(values.get("config") or "null") or self.config
            project = {"id": "p", "name": values["project"], "entity": {"id": "e", "name": "me"}}
            bucket = {"id": "1", "name": self.run, "displayName": values["displayName"] or "", "project": project}
            history = {"historyLineCount": len(self.rows)}
            return 200, {"data": {"upsertBucket": {"bucket": bucket | history, "inserted": True}}}
        if "createRunFiles" in query:
            return 200, {"data": {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": []}}}
        if "viewer" in query:
            viewer = {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
            return 200, {"data": {"viewer": viewer}}
        return 200, {"data": {}}

    def _stream(self, given: dict[str, Any]) -> dict[str, Any]:
        files = given.get("files") or {}
        if history := files.get("wandb-history.jsonl"):
            self.rows[history["offset"] :] = map(json.loads, history["content"])
        if summary := files.get("wandb-summary.json"):
            self.summary = json.loads(summary["content"][-1])
        if "exitcode" in given and given.get("complete"):
            self.exit_codes.append(given["exitcode"])
        self.preempted |= bool(given.get("preempting"))
        return {}

    def _resume(self, name: str) -> dict[str, Any] | None:
        if name != self.run:
            return None
        bucket = {
            "id": "1",
            "name": name,
            "displayName": name,
            "summaryMetrics": json.dumps(self.summary),
            "logLineCount": 0,
            "historyLineCount": len(self.rows),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in self.rows[-1:]]),
            "eventsTail": "[]",
            "config": json.dumps(self.config),
            "tags": [],
            "notes": "",
            "wandbConfig": json.dumps({"t": 1}),
        }
        return {"id": "p", "name": "mgc-jax", "entity": {"id": "e", "name": "me"}, "bucket": bucket}
