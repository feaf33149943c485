"""Training through the real command: devices, kills, resumption, and what it refuses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter

from data_pipeline.reading.prepared_data import PreparedData, example_fields
from data_pipeline.reading.records import Records
from mgc_jax.cli import main
from mgc_jax.config import recipes
from mgc_jax.network.state import ModelState
from mgc_jax.runs import checkpoint
from mgc_jax.training import loop, optimisers
from tests.support.recipe import CONFIG, TINY
from tests.support.training import command, lines, newest, parameters


def test_what_is_scored_and_kept_is_the_average_of_the_weights(data: Path, tmp_path: Path):
    more = ["--config.train.epochs=1", "--config.train.average_decay=0.9", "--config.loss.kind=asymmetric"]
    assert main(command(data, tmp_path, *more, "--config.loss.same_lyrics=True")) == 0
    last, best = newest(tmp_path, "latest"), newest(tmp_path, "best")
    average = optimisers.average(last.opt_state, last.model.params)
    jax.tree.map(np.testing.assert_array_equal, best.params, average)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), best.params, last.model.params)
    assert max(jax.tree.leaves(moved)) > 1e-4
    learned = lines(tmp_path)[0]
    assert learned["train/bce"] > learned["train/genre_loss"]  # the former is cross-entropy, whatever is learned


def test_a_finished_run_leaves_its_files_and_is_not_trained_again(run: Path, data: Path, capsys):
    for name in ("config.json", "genres.json", "metrics.jsonl", "checkpoints/latest", "checkpoints/best"):
        assert (run / name).exists(), name
    assert list(run.glob("events.*"))
    before = lines(run)
    steps = [line["step"] for line in before]
    assert steps == sorted(steps)
    assert {"train/loss", "train/learning_rate", "train/tracks_per_second"} <= before[0].keys()
    assert 0 < before[0]["train/data_wait"] < 1
    arguments = ["train", "--config", CONFIG, *TINY, "--config.train.epochs=2"]
    assert main([*arguments, "--data", str(data), "--workdir", str(run)]) == 0
    assert "resuming after step" in capsys.readouterr().out
    assert lines(run) == before


class Devices:
    """Devices that do a step when somebody waits for it, and none before."""

    def __init__(self):
        self.dispatched, self.done = 0, 0

    def dispatch(self):
        self.dispatched += 1
        return {"loss": Loss(self, self.dispatched)}


class Loss:
    def __init__(self, devices: Devices, step: int):
        self.devices, self.step = devices, step

    def is_ready(self) -> bool:
        return self.step <= self.devices.done

    def block_until_ready(self):
        self.devices.done = max(self.devices.done, self.step)
        return self


class Bar:
    done = 0

    def update(self, count: int, note: str | None = None) -> None:
        self.done += count


def test_the_bar_counts_steps_that_are_finished(data: Path, tmp_path: Path, capsys):
    running, devices = object.__new__(loop._Loop), Devices()
    running.config, running.finished, running.bar = recipes.load(CONFIG, ["train.batch_size=8"]), 0, Bar()
    running.pending = []
    for step in range(1, 4 * loop.AHEAD):
        running.pending.append((step, devices.dispatch()))
        running.wait_for_older()
        running.count_finished()
        running.count_finished()
        assert devices.done == max(
            0, step - loop.AHEAD
        )  # never more than so many ahead, and the newest are not awaited
        assert running.bar.done == 8 * devices.done
    assert main(command(data, tmp_path, "--config.train.epochs=1")) == 0
    (last,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train: 40/40 tracks")]
    assert "loss" in last


def test_the_newest_checkpoint_damaged_the_one_before_it_is_taken(data: Path, tmp_path: Path, capsys):
    workdir = tmp_path / "run"
    assert main(command(data, workdir, "--config.train.epochs=2")) == 0
    steps = sorted(int(p.name) for p in (workdir / "checkpoints/latest").iterdir())
    assert len(steps) == 2
    for file in (workdir / "checkpoints/latest" / str(steps[-1])).rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 2)
    damaged = {path.name: path.read_bytes() for path in files(workdir / "checkpoints/latest" / str(steps[-1]))}
    capsys.readouterr()
    (workdir / "thresholds.json").write_text("{}")
    assert main(command(data, workdir, "--config.train.epochs=2")) == 0
    output = capsys.readouterr().out
    assert f"checkpoint of step {steps[-1]}" in output
    assert (workdir / "thresholds.json").exists() != ("best so far" in output)  # those of other weights are none
    assert f"resuming after step {steps[0]}" in output
    aside = workdir / "checkpoints/set-aside" / f"latest-{steps[-1]}"  # whoever can read it has it still
    assert {path.name: path.read_bytes() for path in files(aside)} == damaged
    assert str(aside) in output


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_run_without_a_checkpoint_to_resume_from_keeps_its_best_one(run: Path, data: Path, tmp_path: Path, capsys):
    """Somebody has pruned it, or has copied what one evaluates with."""
    workdir = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(workdir / "checkpoints/latest")
    before = {path: path.read_bytes() for path in files(workdir / "checkpoints/best")}
    arguments = ["train", "--config", CONFIG, *TINY, "--config.train.epochs=2"]
    assert main([*arguments, "--data", str(data), "--workdir", str(workdir)]) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith(f"mgc-jax: {workdir} holds the best checkpoint of a training (step ")
    assert sentence.endswith("give another --workdir.")
    assert {path: path.read_bytes() for path in files(workdir / "checkpoints/best")} == before


def test_a_best_checkpoint_is_never_there_without_one_to_resume_from(data: Path, tmp_path: Path, monkeypatch):
    """A run that is killed between the two goes on, and has the best one then."""
    save, seen = checkpoint.Checkpoints.save, []

    def look_and_save(self, state, step, record):
        if isinstance(state, ModelState):
            seen.append([int(path.name) for path in (tmp_path / "checkpoints/latest").iterdir() if path.name.isdigit()])
        save(self, state, step, record)

    monkeypatch.setattr(checkpoint.Checkpoints, "save", look_and_save)
    assert main(command(data, tmp_path, "--config.train.epochs=1")) == 0
    (steps,) = seen
    assert steps == [PreparedData(data).split_sizes["train"] // 8]
    best = newest(tmp_path, "best")
    shutil.rmtree(tmp_path / "checkpoints/best")
    assert main(command(data, tmp_path, "--config.train.epochs=1")) == 0
    jax.tree.map(np.testing.assert_array_equal, newest(tmp_path, "best"), best)


def test_a_model_without_its_training_is_not_trained_on(data: Path, tmp_path: Path, capsys):
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(command(data, tmp_path)) == 2
    assert "holds a model without its training (model.safetensors)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_loss_that_is_not_finite_stops_and_names_the_batch(data: Path, tmp_path: Path, capsys):
    workdir = tmp_path / "run"
    more = ["--config.train.epochs=2", "--config.train.learning_rate=1e30", "--config.train.clip_norm=0.0"]
    assert main(command(data, workdir, *more, "--config.train.warmup_steps=0")) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "is not finite" in message
    assert "The batch: " in message
    store = checkpoint.latest(workdir)
    assert store._manager.latest_step() is None or np.isfinite(lines(workdir)[-1]["train/loss"])
    store.close()


def plant_nan(data: Path, step: int) -> tuple[str, list[str]]:
    """Make one track's lyric features in the batch of ``step`` NaN in the shard; its id, and those of the batch."""
    prepared = PreparedData(data)
    batch = prepared.training_order(batch_size=8, seed=0).indices(step - 1)
    tracks = prepared.tracks("train")
    row = next(int(i) for i in batch if int(tracks[i]["tokens"]) > 0)
    ((shard, count),) = prepared._shards("train")
    records = Records([(shard, count)]).read(np.arange(count))
    stored = bytes(example_fields(records[row])["lyrics_features"])
    records[row] = records[row].replace(stored, np.full(len(stored) // 2, np.nan, "<f2").tobytes())
    writer = ArrayRecordWriter(str(shard), "group_size:1,uncompressed")
    for record in records:
        writer.write(record)
    writer.close()
    return tracks[row]["id"], [tracks[i]["id"] for i in batch]


@pytest.mark.slow
def test_a_nan_planted_in_a_batch_stops_at_its_step(data: Path, tmp_path: Path, capsys):
    copy, workdir = shutil.copytree(data, tmp_path / "data"), tmp_path / "run"
    planted, ids = plant_nan(copy, step=3)
    assert main(command(copy, workdir, "--config.train.epochs=1", "--config.train.checkpoint_every_steps=1")) == 2
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mgc-jax: ")]
    assert sentence.startswith("mgc-jax: The loss of step 3 is not finite")
    assert sentence.endswith(f"The batch: {', '.join(ids)}.")
    assert planted in ids
    kept = parameters(workdir)
    assert kept[".model.step"] == 2
    assert all(np.isfinite(value).all() for value in kept.values())


def test_other_settings_or_genres_do_not_touch_a_run(run: Path, data: Path, capsys):
    before = (run / "config.json").read_bytes()
    arguments = ["train", "--config", CONFIG, *TINY, "--data", str(data), "--workdir", str(run)]
    assert main([*arguments, "--config.model.width=32"]) == 2
    assert "model.width" in capsys.readouterr().err
    assert (run / "config.json").read_bytes() == before
