"""W&B and MLflow beside metrics.jsonl: the same values, once each; and neither can hold a training up."""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import psutil
import pytest

from data_pipeline.errors import InputError
from data_pipeline.storage.json_file import write_json
from mgc_jax import trackers
from mgc_jax.cli import main
from mgc_jax.config import Config, recipes
from mgc_jax.runs import logs
from mgc_jax.runs.logs import Ending, JsonLines
from mgc_jax.runs.workdir import Workdir
from mgc_jax.trackers import delivery
from mgc_jax.training.step_by_length import StepByLength
from tests.support.optional import Lazy
from tests.support.tracker_servers import WandbServer, mlflow_answers, serving
from tests.support.training import command, lines, outputs, spawn_all

wandb, mlflow = Lazy("wandb"), Lazy("mlflow")
ROOT = Path(__file__).resolve().parents[3]
EVERY_STEP = ["--config.train.log_every_steps=1"]
FINISHED = Ending("finished", 0.5, 4)


@pytest.fixture(autouse=True)
def _nobodys_account(tmp_path, monkeypatch):
    """No login, no server and no file of the person who runs the tests."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_BASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "NETRC"):
        monkeypatch.setenv(name, str(home / ".netrc" if name == "NETRC" else home))
    wandb.teardown()
    yield
    _end_service()


def _end_service() -> None:
    """``wandb.teardown``, which may wait for its service for ever: it was seen to, while one could not upload."""
    ending = threading.Thread(target=wandb.teardown, daemon=True)
    ending.start()
    ending.join(60)
    if ending.is_alive():
        for process in psutil.Process().children():
            if process.name() == "wandb-core":
                process.kill()
        ending.join(60)


@pytest.fixture(params=["file", "sqlite"])
def store(request, tmp_path, monkeypatch):
    """A client of an empty store on disk, which MLflow takes for its own."""
    if request.param == "sqlite":
        pytest.importorskip("sqlalchemy")
    return _store(tmp_path, monkeypatch, request.param)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The same, of files."""
    return _store(tmp_path, monkeypatch, "file")


def _store(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = {"file": f"file://{tmp_path}/mlruns", "sqlite": f"sqlite:///{tmp_path}/mlflow.db"}[kind]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    return mlflow.MlflowClient(place)


def settings(tracker: str, **more: str):
    return recipes.load(None, [f"log.tracker={tracker}", *(f"log.{k}={v}" for k, v in more.items())])


def opened(workdir: Path, tracker: str, start: int = 0) -> logs.Log:
    """The log of a training in this workdir, resumed after step ``start``."""
    from mgc_jax.training import loop

    workdir.mkdir(exist_ok=True)
    return loop._open_log(settings(tracker), workdir, start)


def from_lines(workdir: Path) -> dict[str, list[tuple[int, float]]]:
    """The points of each scalar in metrics.jsonl."""
    points = defaultdict(list)
    for line in lines(workdir):
        for name, value in line.items():
            if name != "step":
                points[name].append((line["step"], value))
    return dict(points)


def run_of(workdir: Path) -> str:
    return json.loads((workdir / "tracker.json").read_text())["run"]


def from_mlflow(client, run: str) -> dict[str, list[tuple[int, float]]]:
    """The points of each metric in the order in which they came, but for the best score."""
    names = [name for name in client.get_run(run).data.metrics if not name.startswith("best/")]
    return {name: [(m.step, m.value) for m in client.get_metric_history(run, name)] for name in names}


def from_rows(rows: list[dict]) -> dict[str, list[tuple[int, float]]]:
    """The points of each scalar in W&B's rows, over its group's axis."""
    points = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if "/" in name and not name.endswith("/step"):  # 1.0 is stored as 1, infinity as a text
                points[name].append((row[name.partition("/")[0] + "/step"], float(value)))
    return dict(points)


def from_folder(folder: Path) -> tuple[dict, list[dict], dict, int | None]:
    """Config, rows, summary and exit code in the file that wandb leaves offline: LevelDB's log of protobufs."""
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # its process writes the end of the file when it ends, which the command waits for
    (path,) = folder.glob("*.wandb")
    data, at, whole = path.read_bytes(), 7, b""
    settings_, rows, summary, code = {}, [], {}, None

    def pairs(items) -> dict:
        return {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}

    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of a record, or its last part
            record, whole = wandb_internal_pb2.Record.FromString(whole), b""
            match record.WhichOneof("record_type"):
                case "run":
                    settings_ |= pairs(record.run.config.update)
                case "config":
                    settings_ |= pairs(record.config.update)
                case "history":
                    rows.append(pairs(record.history.item))
                case "summary":
                    summary |= pairs(record.summary.update)
                case "exit":
                    code = record.exit.exit_code
    return settings_, rows, summary, code


TIMINGS = ("train/tracks_per_second", "train/data_wait")
"""Of a step that is trained again these are others than the tracker got first."""


def learned(points: dict) -> dict:
    """The points of what depends on the training alone."""
    return {name: values for name, values in points.items() if name not in TIMINGS}


def same(a: dict, b: dict) -> bool:
    """Equal, and NaN equals NaN."""
    return repr(dict(sorted(a.items()))) == repr(dict(sorted(b.items())))


@pytest.mark.slow
def test_mlflow_holds_what_metrics_jsonl_holds_from_before_it_was_named_too(data, tmp_path, files, capfd):
    workdir, told = tmp_path / "run", ["--config.log.tracker=mlflow", "--config.log.project=genres"]
    assert main(command(data, workdir, "--config.train.epochs=1", *EVERY_STEP)) == 0
    assert main(command(data, workdir, "--config.train.epochs=2", *EVERY_STEP, *told)) == 0
    run = files.get_run(run_of(workdir))
    assert files.get_experiment(run.info.experiment_id).name == "genres"
    assert run.data.params == {k: str(v) for k, v in recipes.flat(Workdir(workdir).config()).items()}
    assert run.info.status == "FINISHED"
    points = from_mlflow(files, run.info.run_id)
    assert same(points, from_lines(workdir))
    assert [step for step, _ in points["train/loss"]] == [1, 2, 3, 5, 6, 7, 8, 10]  # an epoch's last two share a line
    assert (run.data.metrics["best/step"], run.data.metrics["best/map_macro"]) == best_of(workdir)
    (noise,) = noise_of(capfd, "mlflow.", "to MLflow", "alembic", "INFO", "WARN", "http")
    assert noise.startswith(f"logging to MLflow: experiment genres, run {run.info.run_id}, ")


def best_of(workdir: Path) -> tuple[int, float]:
    return max(from_lines(workdir)["validation/map_macro"], key=lambda point: (point[1], -point[0]))


def noise_of(capfd, *words: str) -> list[str]:
    """The lines that a tracker may have printed."""
    said = capfd.readouterr()
    return [line for line in (said.out + said.err).splitlines() if any(word in line for word in words)]


@pytest.mark.slow
def test_wandb_offline_holds_what_metrics_jsonl_holds_in_its_latest_folder(data, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    workdir, told = tmp_path / "run", ["--config.log.tracker=wandb"]
    assert main(command(data, workdir, "--config.train.epochs=1", *EVERY_STEP, *told)) == 0
    first = (workdir / "wandb/latest-run").resolve()
    assert main(command(data, workdir, "--config.train.epochs=1", *EVERY_STEP, *told)) == 0
    latest = (workdir / "wandb/latest-run").resolve()
    assert latest != first
    assert latest.name.endswith(run_of(workdir))
    assert first.name.endswith(run_of(workdir))
    stored, rows, summary, code = from_folder(latest)
    assert same(from_rows(rows), from_lines(workdir))
    assert [row["_step"] for row in rows] == sorted({row["_step"] for row in rows})
    assert {k: v for k, v in stored.items() if k != "_wandb"} == json.loads(
        json.dumps(recipes.as_json(Workdir(workdir).config()))
    )
    assert (summary["best/step"], summary["best/map_macro"]) == best_of(workdir)
    assert code == 0
    noise = noise_of(capfd, "wandb:", "W&B", "WARN", "ERROR")
    assert len(noise) == 2, noise
    assert all(line.startswith("logging to W&B: project mgc-jax, run ") for line in noise)


@pytest.fixture
def wandb_server(monkeypatch):
    server = WandbServer()
    with serving(server.answer) as listening:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listening.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        yield server


def test_wandb_online_continues_a_killed_run_with_nothing_doubled_or_out_of_order(wandb_server, tmp_path):
    workdir = tmp_path / "run"
    log = opened(workdir, "wandb")
    for step in range(1, 7):
        log.write(step, {"train/loss": 1 / step})
    log.write(6, {"validation/map_macro": 0.25})
    log.close(Ending("stopped", 0.25, 6))
    wandb.teardown()
    log = opened(workdir, "wandb", start=4)  # the checkpoint was that of step 4
    for step in range(5, 9):
        log.write(step, {"train/loss": 1 / step})
        if step in (6, 8):
            log.write(step, {"validation/map_macro": step / 24})
    log.close(Ending("finished", 8 / 24, 8))
    assert same(from_rows(wandb_server.rows), from_lines(workdir))
    assert [row["_step"] for row in wandb_server.rows] == list(range(1, 9))
    assert wandb_server.summary["best/step"] == 8
    assert wandb_server.preempted
    assert wandb_server.exit_codes == [143, 0]


def test_mlflow_continues_a_killed_run_with_nothing_doubled_or_out_of_order(store, tmp_path):
    workdir = tmp_path / "run"
    log = opened(workdir, "mlflow")
    for step in range(1, 7):
        log.write(step, {"train/loss": 1 / step})
    log.close(Ending("stopped", -1.0, 0))
    assert store.get_run(run_of(workdir)).info.status == "KILLED"
    log = opened(workdir, "mlflow", start=4)
    assert store.get_run(run_of(workdir)).info.status == "RUNNING"
    for step in range(5, 9):
        log.write(step, {"train/loss": 1 / step})
    log.write(6, {"validation/map_macro": 0.25})  # which it does not have, although it has that step
    log.close(Ending("failed", 0.25, 6))
    assert same(from_mlflow(store, run_of(workdir)), from_lines(workdir))
    assert store.get_run(run_of(workdir)).info.status == "FAILED"


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_numbers_that_are_not_finite_break_nothing(tracker, files, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    workdir = tmp_path / "run"
    log = opened(workdir, tracker)
    log.write(1, {"train/loss": math.nan, "train/scale": math.inf, "train/bce": 0.5})
    log.write(2, {"train/loss": 0.25, "train/scale": -math.inf, "train/bce": 0.5})
    log.close(FINISHED)
    if tracker == "mlflow":
        points = from_mlflow(files, run_of(workdir))
    else:
        _, rows, _, code = from_folder((workdir / "wandb/latest-run").resolve())
        points = from_rows(rows)
        assert code == 0
    written = {
        "train/bce": [(1, 0.5), (2, 0.5)],
        "train/loss": [(1, math.nan), (2, 0.25)],
        "train/scale": [(1, math.inf), (2, -math.inf)],
    }
    assert same(points, written)
    in_json = {name: [(s, v if math.isfinite(v) else None) for s, v in rows] for name, rows in written.items()}
    assert same(from_lines(workdir), in_json)
    assert "does not take" not in capfd.readouterr().err


def test_what_fits_the_interface_gets_the_ending_whatever_it_is(tmp_path):
    class Kept:
        def __init__(self):
            self.endings = []

        def write(self, step, scalars):
            raise AssertionError

        def close(self, ending):
            self.endings.append(ending)

    from mgc_jax.runtime.signals import Stopped

    kept, progress = Kept(), {"best_score": -1.0, "best_step": 0}
    with logs.closed_at_the_end(logs.Together([kept]), progress):
        progress |= {"best_score": 0.5, "best_step": 3}
    for error in (Stopped(15, "stopped"), KeyboardInterrupt(), InputError("not finite"), RuntimeError("broken")):
        with pytest.raises(type(error)), logs.closed_at_the_end(logs.Together([kept]), progress):
            raise error
    assert [e.status for e in kept.endings] == ["finished", "stopped", "stopped", "failed", "failed"]
    assert {(e.best_score, e.best_step) for e in kept.endings} == {(0.5, 3)}

    class Full(Kept):
        def close(self, ending):
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"), logs.closed_at_the_end(logs.Together([Full(), kept]), progress):
        raise RuntimeError("broken")
    assert kept.endings[-1].status == "failed"


def test_the_lines_of_a_run_are_never_half_there(tmp_path, monkeypatch):
    """A run that begins again rewrites them only where there is something to drop, and then whole."""
    file = tmp_path / logs.NAME
    file.write_text("".join(f'{{"step": {step}}}\n' for step in (1, 2, 3)))
    before = file.stat().st_ino
    JsonLines(tmp_path, 3).close(FINISHED)
    assert file.stat().st_ino == before

    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(InputError, match="no space"):
            JsonLines(tmp_path, 2)
    assert len(file.read_text().splitlines()) == 3
    JsonLines(tmp_path, 2).close(FINISHED)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 2]


@pytest.mark.slow
def test_mlflows_server_dies_in_mid_training_and_comes_back(data, tmp_path, files, monkeypatch, capfd):
    answer, left = mlflow_answers(files), [2]

    def dying(path, given):
        left[0] -= path.endswith("log-batch") and "metrics" in given
        return (200, None) if left[0] < 0 else answer(path, given)

    workdir = tmp_path / "run"
    arguments = command(data, workdir, "--config.train.epochs=1", *EVERY_STEP, "--config.log.tracker=mlflow")
    with serving(dying) as server:
        port = server.server_port
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        assert main(arguments) == 0
    said = capfd.readouterr()
    assert said.err.count("MLflow does not take the scalars (") == 1
    assert said.err.count("MLflow did not take all of the run; metrics.jsonl has everything") == 1
    assert "Traceback" not in said.err
    assert "trained" in said.out
    run, everything = run_of(workdir), from_lines(workdir)
    steps = [step for step, _ in everything["train/loss"]]
    assert steps == [1, 2, 3, 5]
    assert len(from_mlflow(files, run)["train/loss"]) < len(steps)
    with serving(answer, port):
        assert main(arguments) == 0
    assert same(from_mlflow(files, run), everything)
    assert from_lines(workdir) == everything
    assert files.get_run(run).info.status == "FINISHED"
    assert "did not take" not in capfd.readouterr().err


def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path, files, monkeypatch, capfd):
    answer, silent = mlflow_answers(files), threading.Event()

    def falling_silent(path, given):
        if "metrics" in given:
            silent.wait(30)
            return 200, None
        return answer(path, given)

    monkeypatch.setattr(delivery, "PATIENCE", 0.2)
    with serving(falling_silent) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        log = opened(tmp_path / "run", "mlflow")
        before = time.monotonic()
        for step in range(1, 101):
            log.write(step, {"train/loss": 0.5})
        log.close(FINISHED)
        assert time.monotonic() - before < 5
        silent.set()
    assert len(lines(tmp_path / "run")) == 100
    assert "MLflow did not take all of the run" in capfd.readouterr().err


def test_wandbs_server_dies_in_mid_training(tmp_path, monkeypatch, capfd):
    server = WandbServer()
    monkeypatch.setattr(delivery, "PATIENCE", 3.0)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with serving(server.answer) as listening:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listening.server_port}")
        log = opened(tmp_path / "run", "wandb")
        log.write(1, {"train/loss": 0.5})
    before = time.monotonic()
    for step in range(2, 101):
        log.write(step, {"train/loss": 0.5})
    assert time.monotonic() - before < 1
    log.close(FINISHED)
    assert time.monotonic() - before < 10
    assert len(lines(tmp_path / "run")) == 100
    assert "W&B did not take all of the run" in capfd.readouterr().err


def test_wandbs_own_process_dies_in_mid_training(tmp_path, monkeypatch):
    """In a process of its own, to see what it says when it ends."""
    program = """
import sys
from pathlib import Path
from mgc_jax.config import recipes
from mgc_jax.runs.logs import Ending
from mgc_jax.training import loop
log = loop._open_log(recipes.load(None, ["log.tracker=wandb"]), Path(sys.argv[1]), 0)
log.write(1, {"train/loss": 0.5})
import psutil
for child in psutil.Process().children(recursive=True):
    if "wandb" in " ".join(child.cmdline()):
        child.kill()
        child.wait()
for step in range(2, 101):
    log.write(step, {"train/loss": 0.5})
log.close(Ending("finished", 0.5, 4))
print("done")
"""
    monkeypatch.setenv("WANDB_MODE", "offline")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith("done\n"), done.stderr
    assert len(lines(tmp_path)) == 100
    assert "W&B did not take all of the run" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.rare
def test_a_training_that_is_killed_then_stopped_then_broken_has_one_run(data, tmp_path, files, monkeypatch):
    workdir = tmp_path / "run"
    more = ["--config.train.checkpoint_every_steps=2", *EVERY_STEP, "--config.log.tracker=mlflow"]
    arguments = command(data, workdir, "--config.train.epochs=1", *more)
    killed = [{"place": "step", "count": 4, "delay": 0, "signal": int(signal.SIGKILL)}]
    program = [sys.executable, "-m", "tests.support.interrupted", json.dumps(killed), *arguments]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert [json.loads(line)["code"] for line in done.stdout.splitlines()] == [-signal.SIGKILL, 0], done.stderr
    run = run_of(workdir)
    assert files.get_run(run).info.status == "FINISHED"
    assert same(learned(from_mlflow(files, run)), learned(from_lines(workdir)))

    step, asked = StepByLength.__call__, []

    def told_to_stop(self, *given):
        asked or os.kill(os.getpid(), signal.SIGTERM)
        asked.append(1)
        return step(self, *given)

    monkeypatch.setattr(StepByLength, "__call__", told_to_stop)
    longer = command(data, workdir, "--config.train.epochs=2", *more)
    assert main(longer) == 143
    assert files.get_run(run).info.status == "KILLED"
    monkeypatch.setattr(StepByLength, "__call__", broken)
    with pytest.raises(RuntimeError, match="of the device"):
        main(longer)
    assert files.get_run(run).info.status == "FAILED"
    assert same(learned(from_mlflow(files, run)), learned(from_lines(workdir)))
    assert len(files.search_runs([files.get_run(run).info.experiment_id])) == 1


def broken(*_):
    raise RuntimeError("an error of the device")


@pytest.mark.slow
@pytest.mark.rare
def test_only_the_first_of_two_processes_has_a_run(data, tmp_path, files):
    running = spawn_all(
        command(data, tmp_path / "run", *EVERY_STEP, "--config.train.epochs=1", "--config.log.tracker=mlflow"), 2
    )
    told = outputs(running)
    assert [process.returncode for process in running] == [0, 0], told
    run = files.get_run(run_of(tmp_path / "run"))
    assert len(files.search_runs([run.info.experiment_id])) == 1
    assert same(from_mlflow(files, run.info.run_id), from_lines(tmp_path / "run"))
    assert [text.count("logging to MLflow") for text in told] == [1, 0]


def refused(capsys, arguments: list[str]) -> str:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert said.err.splitlines()[-1].startswith("mgc-jax: ")
    return said.err.splitlines()[-1]


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named_before_any_training(tracker, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, tracker, None)
    message = refused(capsys, command(data, tmp_path / "run", f"--config.log.tracker={tracker}"))
    assert f"pip install 'mgc-jax[{tracker}]'" in message
    assert not (tmp_path / "run").exists()


def test_a_folder_of_wandbs_runs_is_not_the_library(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.delitem(sys.modules, "wandb")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(InputError, match="no wandb"):
        trackers.check_installed(settings("wandb"))


def test_who_is_not_logged_in_is_told_so(tmp_path):
    with pytest.raises(InputError, match=r"nobody is logged in.*WANDB_MODE=offline"):
        trackers.open_run(settings("wandb"), tmp_path)
    assert not (tmp_path / "tracker.json").exists()


@pytest.mark.slow
def test_a_wandb_server_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9.*WANDB_MODE=offline"):
        trackers.open_run(settings("wandb"), tmp_path)


@pytest.mark.parametrize("place", ["http://127.0.0.1:9", "nonsense://x", "file:///dev/null/mlruns"])
def test_an_mlflow_server_that_is_not_there(place, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match="set MLFLOW_TRACKING_URI") as told:
        trackers.open_run(settings("mlflow"), tmp_path)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "tracker.json").exists()


def test_wandb_disabled_logs_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert trackers.open_run(settings("wandb"), tmp_path) is None
    assert not list(tmp_path.glob("tracker.json"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"tracker": "mlflow", "project": "mgc-jax", "run": 3}',
        '{"tracker": "mlflow", "project": "mgc-jax", "run": "../../etc"}',
        '{"tracker": "mlflow", "project": "mgc-jax", "run": ""}',
        '{"tracker": "mlflow", "run": "abc"}',
        "[" * 100_000,
    ],
)
def test_a_broken_tracker_json_is_named(text, tmp_path, files):
    (tmp_path / "tracker.json").write_text(text)
    with pytest.raises(InputError, match=r"tracker\.json cannot be read \(.*remove it"):
        trackers.open_run(settings("mlflow"), tmp_path)
    assert (tmp_path / "tracker.json").read_text() == text


def test_another_project_or_a_run_that_was_deleted_is_a_new_run_with_everything(tmp_path, files):
    workdir, runs = tmp_path / "run", []
    log = opened(workdir, "mlflow")
    log.write(1, {"train/loss": 0.5})
    log.close(FINISHED)
    runs.append(run_of(workdir))
    files.delete_run(runs[0])
    log = opened(workdir, "mlflow", start=1)
    log.close(FINISHED)
    runs.append(run_of(workdir))
    write_json(workdir / "tracker.json", {"tracker": "mlflow", "project": "mgc-jax", "run": "0" * 32})
    log = opened(workdir, "mlflow", start=1)
    log.close(FINISHED)
    runs.append(run_of(workdir))
    assert len(set(runs)) == 3
    assert [from_mlflow(files, run) for run in runs[1:]] == [{"train/loss": [(1, 0.5)]}] * 2


def test_settings_from_before_there_were_trackers_are_still_read(run, data, tmp_path):
    old = json.loads((run / "config.json").read_text())
    new = Workdir(run).config()
    del old["log"]
    write_json(tmp_path / "config.json", old)
    folder = Workdir(tmp_path)
    assert folder.config() == new
    folder.check_same(settings_with(new, "mlflow"), Workdir(run).vocabulary())


def settings_with(old: Config, tracker: str) -> Config:
    return recipes.changed(old, {"log.tracker": tracker, "log.project": "another"}, origin="the test")


def test_settings_of_trackers_that_do_not_exist(capsys, data, tmp_path):
    for setting, word in [
        ("tracker=comet", "must be one of none, wandb, mlflow"),
        ("project=", "log.project is empty"),
    ]:
        assert word in refused(capsys, command(data, tmp_path / "run", f"--config.log.{setting}"))


def test_tensorboard_gets_the_same_scalars(tmp_path):
    from tensorflow.compat.v1.train import summary_iterator

    log = opened(tmp_path, "none")
    log.write(3, {"train/loss": 0.5, "train/scale": 2.0})
    log.close(FINISHED)
    (path,) = tmp_path.glob("events.*")
    found = {(e.step, v.tag, v.simple_value) for e in summary_iterator(str(path)) for v in e.summary.value}
    assert found == {(3, "train/loss", 0.5), (3, "train/scale", 2.0)}
    assert JsonLines(tmp_path, 3).kept == [(3, {"train/loss": 0.5, "train/scale": 2.0})]
