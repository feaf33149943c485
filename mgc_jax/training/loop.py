"""Training, from an empty or an interrupted workdir to the best checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline import extras
from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import locate_encoder
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax import trackers
from mgc_jax.config import Config, recipes
from mgc_jax.evaluation import metrics
from mgc_jax.evaluation.evaluate import check_prepared_for, score_split
from mgc_jax.evaluation.steps import make_evaluation_step
from mgc_jax.network import build
from mgc_jax.network.state import ModelState, Network, TrainState, initialise, parameter_table
from mgc_jax.runs import checkpoint
from mgc_jax.runs.data_set import as_prepared
from mgc_jax.runs.logs import JsonLines, Log, TensorBoard, Together, closed_at_the_end
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime import processes, sharding
from mgc_jax.runtime.progress import Progress, stage
from mgc_jax.runtime.signals import StopRequest
from mgc_jax.training import feed, memory, objective, optimisers, resume, steps
from mgc_jax.training.profile import ProfiledSteps, Steps
from mgc_jax.training.state import begin
from mgc_jax.training.step_by_length import StepByLength
from mgc_jax.training.wide_path import fit_wide_path

AHEAD = 8
"""Steps that wait on the devices at most: enough for them never to wait for the host, and no more, for each holds its
batch there, and a request to stop waits for all of them."""


def train(config: Config, data: PreparedData, workdir: Path, profile: Steps | None = None) -> dict[str, Any]:
    """Train to the last epoch or until validation stops improving; resumes by itself.

    The first process leaves a trace of the steps of ``profile`` in ``profile/`` of the workdir, and prints its table.

    Returns:
        ``steps``, ``best_step`` and ``best_score`` (validation macro-mAP).

    Raises:
        InputError: settings, data and workdir do not fit together, another run is in the workdir, its tracker is not
            installed or does not take it, this run does not do the steps to profile, or the loss is not finite.
        Stopped: somebody asked for it; what was learned is in a checkpoint.
    """
    extras.check("Training", "train")
    recipe, config = recipes.flat(config), as_prepared(config, data)
    if others := [f"{name}={value!r}" for name, value in recipes.flat(config).items() if value != recipe[name]]:
        print(f"{data.path} was prepared with {', '.join(others)}, whatever the recipe says")
    check_fits(config, data)
    trackers.check_installed(config)
    stage("devices")
    mesh = sharding.make_mesh(config.compute.model_parallel)
    processes.check_model_parallel(config.compute.model_parallel)
    sharding.check_batch_size(config.train.batch_size, mesh, "train.batch_size")
    sharding.check_batch_size(config.compute.evaluation_batch_size, mesh, "compute.evaluation_batch_size")
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, computing in {build.compute_dtype(config)}")

    begin = functools.partial(resume.begin, config, data, workdir)
    with processes.from_first("opening the workdir", begin) or contextlib.nullcontext():
        return _train(config, data, workdir, mesh, profile)


def _train(
    config: Config, data: PreparedData, workdir: Path, mesh: jax.sharding.Mesh, profile: Steps | None
) -> dict[str, Any]:
    stage("model")
    steps_per_epoch = data.split_sizes["train"] // config.train.batch_size
    optimiser = objective.make_optimiser(config, steps_per_epoch)
    network, model = initialise(config, data.vocabulary, locate_encoder(data.encoder), mesh)
    print(parameter_table(model, network.frozen))
    state = begin(network, model, optimiser)

    with contextlib.ExitStack() as stores:
        latest = stores.enter_context(contextlib.closing(checkpoint.latest(workdir)))
        best = stores.enter_context(contextlib.closing(checkpoint.best(workdir)))
        state, progress = resume.resume(workdir, state, latest, best)
        start, total = int(state.model.step), config.train.epochs * steps_per_epoch
        profiled = profile.of_run(start, start if progress["stopped"] else total) if profile else range(0)
        if config.model.wide and start == 0:
            stage("fitting the wide path")
            state = dataclasses.replace(state, model=fit_wide_path(config, data, state.model))
        train_step = steps.make_train_step(network, state, optimiser, objective.make_objective(config))
        processes.barrier("the start of the training")
        log = processes.from_first("opening the logs", functools.partial(_open_log, config, workdir, start))
        log = log or Together([])  # on the other processes, which write nothing
        # The log comes last: a checkpoint under way does not wait for a tracker.
        with closed_at_the_end(log, progress), stores.pop_all():
            loop = _Loop(config, data, Workdir(workdir), network, train_step, latest, best, log, progress, profiled)
            if not progress["stopped"]:
                state = loop.run(state, start, total)
    processes.barrier("the end of the training")
    print(
        f"trained {int(state.model.step)} steps; best validation macro-mAP {progress['best_score']:.4f} "
        f"at step {progress['best_step']}; see {workdir}"
    )
    return {"steps": int(state.model.step), "best_step": progress["best_step"], "best_score": progress["best_score"]}


def _open_log(config: Config, workdir: Path, start: int) -> Log:
    lines = JsonLines(workdir, start)
    local: list[Log] = [lines, TensorBoard(workdir, start)]
    tracker = trackers.open_run(config, workdir)  # last: a run that was opened there has to be closed
    if tracker is None:
        return Together(local)
    for step, scalars in lines.kept:  # what it does not hold yet: it was away, or is new to the run
        tracker.write(step, scalars)
    return Together([*local, tracker])


def check_fits(config: Config, data: PreparedData) -> None:
    """Raise InputError where the settings and the prepared data set disagree."""
    check_prepared_for(config, data)
    if data.encoder != config.lyrics.encoder:
        raise InputError(
            f"{data.path} was prepared for the lyrics encoder {data.encoder}, but the settings want "
            f"{config.lyrics.encoder}."
        )
    if config.train.batch_size > data.split_sizes["train"]:
        raise InputError(
            f"train.batch_size is {config.train.batch_size}, but {data.path} has only "
            f"{data.split_sizes['train']} training tracks."
        )


class _Loop:
    """The steps between two interruptions."""

    def __init__(
        self,
        config: Config,
        data: PreparedData,
        folder: Workdir,
        network: Network,
        train_step: steps.TrainStep,
        latest: checkpoint.Checkpoints[TrainState],
        best: checkpoint.Checkpoints[ModelState],
        log: Log,
        progress: dict[str, Any],
        profiled: range,
    ):
        self.config, self.data, self.folder, self.network = config, data, folder, network
        self.latest, self.best, self.log, self.progress, self.profiled = latest, best, log, progress, profiled
        self.train_step, self.evaluation_step = train_step, make_evaluation_step(network)
        self.pending: list[tuple[int, steps.Metrics]] = []
        self.bar: Progress | None = None
        self.finished = 0
        self.since = (time.monotonic(), 0)
        self.batches = feed.Timed(iter(()))
        self.steps_per_epoch = data.split_sizes["train"] // config.train.batch_size
        self.schedule = objective.learning_rate(config, self.steps_per_epoch)
        self.stop = StopRequest()

    def evaluation_due(self, step: int, total: int) -> bool:
        every = self.config.train.evaluate_every_epochs * self.steps_per_epoch
        return self.progress["evaluated"] < step and (step % every == 0 or step == total)

    def run(self, state: TrainState, start: int, total: int) -> TrainState:
        """The state after step ``total``, or where validation stopped improving; raises Stopped as :func:`train`."""
        with self.stop:
            if self.evaluation_due(start, total):
                stage(f"evaluating step {start}, which the run before this one did not finish")
                if not self.evaluate(state, start):
                    raise self.stop.obeyed(f"evaluation of step {start} stopped")
        if 0 < start == self.progress["best_step"]:
            self.keep_best(state, start)  # where the run before this one did not come to it
        if start >= total or self.progress["stopped"]:
            return state
        stage(f"training: steps {start + 1} to {total}, {self.steps_per_epoch} an epoch")
        train_step, batches = self.compile(state, start, total)
        self.batches = feed.Timed(batches)
        profiled = self.profiled if processes.is_first() else range(0)
        with self.stop, ProfiledSteps(self.folder.path / "profile", profiled, train_step.texts) as profile:
            return self.steps(train_step, state, start, total, profile)

    def steps(
        self, train_step: StepByLength, state: TrainState, start: int, total: int, profile: ProfiledSteps
    ) -> TrainState:
        t = self.config.train
        self.bar = Progress("train", total * t.batch_size, "tracks", initial=start * t.batch_size)
        self.since, self.finished = (time.monotonic(), start), start
        stop = False
        for step, batch in enumerate(self.batches, start + 1):
            profile.before(step, state)
            state, step_metrics = train_step(state, self.network.frozen, batch)
            profile.after(step, state)
            self.pending.append((step, step_metrics))
            self.wait_for_older()
            self.count_finished()
            stop, evaluate = self.stop.due(), self.evaluation_due(step, total)
            if step % t.log_every_steps == 0 or evaluate:
                # All but the step just dispatched: the host never waits for the device here.
                self.flush(keep=0 if evaluate else 1)
            if evaluate and not stop:
                stop = not self.evaluate(state, step)
            if evaluate or stop or step % t.checkpoint_every_steps == 0:
                self.flush(keep=0)  # nothing that is not finite is ever saved
                self.best.wait()  # what a record speaks of is there
                self.latest.save(state, step, dict(self.progress))
            if step == self.progress["best_step"]:
                self.keep_best(state, step)
            if stop or self.progress["stopped"]:
                break
        self.bar.close()
        profile.end(step, state)
        if stop:
            raise self.stop.obeyed(f"training stopped after step {step}, which is in a checkpoint")
        if self.progress["stopped"]:
            print(f"stopped early: no better validation score for {t.patience} evaluations")
        return state

    def compile(self, state: TrainState, start: int, total: int) -> tuple[StepByLength, Iterator[Any]]:
        """The step, compiled for the longest lyrics, and the batches after step ``start`` up to ``total``.

        The batches are the same whether they are streamed or on the devices; a split that does not fit there is
        streamed.

        Raises:
            InputError: a batch does not fit into the devices' memory.
        """
        mesh, frozen, longest = self.network.mesh, self.network.frozen, self.config.lyrics.max_tokens
        stage("compiling the training step")
        if self.config.compute.placement == "device":
            split = self.data.whole("train", multiple=mesh.shape["data"], **feed.hosts())
            shapes = sharding.batch_shapes(split, mesh)
            first = next(feed.resident(self.config, self.data, shapes, mesh, start, total))
            if program := memory.compile_if_it_fits(self.train_step, state, frozen, first.with_length(longest)):
                stage("sending the training split to the devices")
                placed = sharding.place_batch(split, mesh)
                batches = feed.resident(self.config, self.data, placed, mesh, start, total)
                return StepByLength(self.train_step, longest, program), batches
            share = sum(x.size * x.dtype.itemsize for x in shapes.values()) / mesh.shape["data"]
            print(
                f"the training split ({share / memory.GIB:.2f} GiB a device) does not fit into the devices' memory "
                f"({memory.capacity() / memory.GIB:.2f} GiB) beside the step; its batches are streamed"
            )
        first, batches = feed.peek(feed.streamed(self.config, self.data, mesh, start, total))
        program = memory.compile_step(self.train_step, state, frozen, first.with_length(longest), mesh.shape["data"])
        return StepByLength(self.train_step, longest, program), batches

    def wait_for_older(self) -> None:
        """Until the devices have done the step :data:`AHEAD` steps before the one just dispatched."""
        if len(self.pending) > AHEAD:
            _, older = self.pending[-1 - AHEAD]
            jax.block_until_ready(older["loss"])

    def count_finished(self) -> None:
        """Move the bar to the last step that the devices have done: they are dispatched long before."""
        losses: list[tuple[int, Any]] = [(step, step_metrics["loss"]) for step, step_metrics in self.pending[:-1]]
        self.count(max((step for step, loss in losses if loss.is_ready()), default=self.finished))

    def count(self, step: int, note: str | None = None) -> None:
        """Move the bar to this step, which is finished."""
        assert self.bar is not None
        self.bar.update(max(step - self.finished, 0) * self.config.train.batch_size, note)
        self.finished = max(step, self.finished)

    def flush(self, keep: int) -> None:
        """Log the steps whose metrics are due, and wait for them.

        Raises:
            InputError: a loss is not finite; names the step and its batch.
        """
        due = self.pending[: len(self.pending) - keep]
        if not due:
            return
        self.pending = self.pending[len(due) :]
        values = []
        for step, step_metrics in due:
            values.append(jax.device_get(step_metrics))
            if step < due[-1][0]:
                self.count(step)
        for (step, _), value in zip(due, values, strict=True):
            if not (math.isfinite(value["loss"]) and math.isfinite(value["gradient_norm"])):
                raise InputError(self._not_finite(step))
        last = due[-1][0]
        mean = {name: float(np.mean([v[name] for v in values])) for name in values[0]}
        now, (before, first) = time.monotonic(), self.since
        self.since = (now, last)
        seconds, waited = max(now - before, 1e-9), self.batches.seconds
        self.batches.seconds = 0.0
        self.log.write(
            last,
            {f"train/{name}": v for name, v in mean.items()}
            | {
                "train/learning_rate": float(self.schedule(last - 1)),
                "train/tracks_per_second": (last - first) * self.config.train.batch_size / seconds,
                "train/data_wait": waited / seconds,
            },
        )
        self.count(last, f"loss {mean['loss']:.4f}")

    def _not_finite(self, step: int) -> str:
        rows = self.data.training_order(**feed.batches_of(self.config)).indices(step - 1)
        ids = self.data.track_ids("train")
        return (
            f"The loss of step {step} is not finite; training stopped and the last good checkpoint is kept. "
            f"The batch: {', '.join(ids[row] for row in rows)}."
        )

    def evaluate(self, state: TrainState, step: int) -> bool:
        """Score the validation split, count towards early stopping; False when told to stop."""
        scored = score_split(
            self.evaluation_step, self.network, _scored(state), self.data, "validation", self.config, stop=self.stop
        )
        if scored is None:
            return False
        result = metrics.evaluate_scores(scored.scores, scored.labels, 0.5)
        self.log.write(
            step,
            {f"validation/{k}": float(v) for k, v in result.items()} | {"validation/bce": float(scored.bce.mean())},
        )
        # One host's arithmetic decides for all.
        score = processes.from_first("the evaluation", lambda: float(result["map_macro"]))
        better = score > self.progress["best_score"]
        self.progress["evaluated"] = step
        if better:
            self.progress |= {"best_score": score, "best_step": step, "stale": 0}
        else:
            self.progress["stale"] += 1
            self.progress["stopped"] = 0 < self.config.train.patience <= self.progress["stale"]
        Progress.say(
            f"epoch {step // self.steps_per_epoch} (step {step}): validation macro-mAP {score:.4f}, "
            f"example F1 {result['f1_example']:.4f}" + (", best so far" if better else "")
        )
        self.since = (time.monotonic(), step)
        return True

    def keep_best(self, state: TrainState, step: int) -> None:
        """Save what was scored at this step, the best so far, unless it is there.

        A checkpoint to resume from is on the disk before: a killed run leaves none to evaluate alone, and saves it
        when it resumes at this step.
        """
        if step in self.best.steps():
            return
        self.latest.wait_for_one()
        if processes.is_first():
            self.folder.forget_thresholds()  # they were calibrated for the weights that were best
        self.best.save(_scored(state), step, dict(self.progress))


def _scored(state: TrainState) -> ModelState:
    """What is scored and kept: the average of the weights, where there is one."""
    return dataclasses.replace(state.model, params=optimisers.average(state.opt_state, state.model.params))
