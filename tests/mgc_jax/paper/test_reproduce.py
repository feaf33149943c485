"""Sweeps: the paper's rows, the statistics over seeds, and a real sweep in which one row diverges."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax import api
from mgc_jax.cli import main
from mgc_jax.config import Config, recipes
from mgc_jax.evaluation.metrics import evaluate_scores
from mgc_jax.paper import tables
from mgc_jax.paper.reproduce import (
    DECIDED,
    METRICS,
    compare,
    first_name,
    paired_difference,
    plan,
    reproduce,
    select,
    slug,
)
from mgc_jax.paper.sweeps import FULL, SWEEPS, Row, Sweep
from tests.support.recipe import CONFIG, TINY

SETTINGS = [item.removeprefix("--config.") for item in TINY] + ["train.epochs=1", "train.batch_size=8"]


def base() -> Config:
    return recipes.load(CONFIG, SETTINGS)


@pytest.mark.parametrize("name", SWEEPS)
def test_every_row_is_a_valid_recipe_and_no_two_are_the_same(name: str, data: Path, tmp_path: Path):
    runs = plan(SWEEPS[name], base(), PreparedData(data), tmp_path, seeds=2)
    assert len(runs) == 2 * len(SWEEPS[name].rows)
    assert len({run.folder for run in runs}) == len(runs)
    trained = [run for run in runs if not run.parts]
    assert len({json.dumps(recipes.as_json(run.config)) for run in trained}) == len(trained)
    assert {run.config.train.seed for run in runs} == {0, 1}
    if name != "figure2":
        full = next(run for run in runs if run.row.name == SWEEPS[name].reference)
        assert full.config == base()


def test_the_papers_figures_are_possible():
    """Every published pair satisfies J <= F <= 2 J / (1 + J), which is how the metrics were recognised."""
    pairs = [row.paper for sweep in SWEEPS.values() for row in sweep.rows if row.paper]
    assert len(pairs) == 3 + 8 + 10
    assert all(j <= f <= 2 * j / (1 + j) for j, f in pairs)


def test_table_2_switches_three_parts_on_and_off():
    rows = SWEEPS["table2"].rows
    on = [
        (
            "loss.contrastive_weight" not in r.overrides,
            "model.fusion" not in r.overrides,
            "model.head" not in r.overrides,
        )
        for r in rows
    ]
    assert len(set(on)) == 8
    for row, (al, scma, gcem) in zip(rows, on, strict=True):
        parts = [name for name, there in (("A-L", al), ("SCMA", scma), ("GCEM", gcem)) if there]
        assert row.name == {0: "none", 3: FULL}.get(len(parts), " + ".join(parts))


def test_the_paired_interval_is_scipys():
    ours, theirs = np.random.default_rng(0).random((2, 5))
    want = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    got = paired_difference(ours - theirs)
    np.testing.assert_allclose([got["low"], got["mean"], got["high"]], [want.low, (ours - theirs).mean(), want.high])
    assert paired_difference([0.25]) == {"mean": 0.25, "low": None, "high": None}


def scored(seed: int, value: float) -> dict:
    trivial = {"best_constant": {"jaccard": 0.1, "f1_example": 0.2}, "prevalence": {"map_macro": 0.05}}
    linear = {"jaccard": 0.3, "f1_example": 0.4, "map_macro": 0.35}
    half, at_least_one = dict.fromkeys(DECIDED, value - 0.01 * seed), dict.fromkeys(DECIDED, value + 0.25)
    decisions = {"at_half": half, "argmax_fallback": at_least_one}
    return {"seed": seed, **dict.fromkeys(METRICS, value), **decisions, "trivial": trivial, "linear": linear}


def test_a_comparison_pairs_by_seed_and_says_what_failed(data: Path, tmp_path: Path):
    sweep = Sweep("A title", (Row("A-L + SCMA", {"x": 1}, (0.425, 0.513)), Row("other", {}), Row(FULL, {})), FULL)
    runs = {("A-L + SCMA", 0): scored(0, 0.5), ("A-L + SCMA", 1): scored(1, 0.7)}
    runs |= {(FULL, 0): scored(0, 0.6), (FULL, 1): scored(1, 0.9)}
    runs[("other", 0)] = {"seed": 0, "failed": "out of memory"}
    result = compare(sweep, runs, PreparedData(data), "test")
    first, other, full = result["rows"]
    assert first["mean"]["jaccard"] == pytest.approx(0.6)
    assert first["std"]["jaccard"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert first["difference"]["f1_example"]["mean"] == pytest.approx(-0.15)
    assert other["mean"] is other["difference"] is full["difference"] is None
    text = tables.markdown(result)
    assert "| A-L + SCMA | .600 ± .141 |" in text
    assert "| .425 | .513 | 2 |" in text
    assert "| logistic regression on the same features | .300 | .400 | .350 |" in text
    assert "logistic" not in tables.markdown({**result, "linear": None})
    assert "- other, seed 0 failed: out of memory" in text
    assert "0 of 1" in text
    assert "| threshold 0.5 | -0.005 (" in text
    assert "and at least one genre | +0.250 (+0.250 to +0.250) |" in text
    without = tables.markdown({**result, "rows": [other, full], "split": "validation"})
    assert "paper" not in without.lower()
    assert "these very tracks" in without
    for axis in (None, "x"):
        shown = {**result, "axis": axis, "rows": result["rows"][:1]}
        tables.draw(shown, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_a_parts_effect_is_the_mean_over_the_pairs_that_differ_by_it(data: Path):
    sweep = SWEEPS["table2"]
    rng = np.random.default_rng(0)
    runs = {(row.name, seed): scored(seed, rng.random()) for row in sweep.rows for seed in range(3)}
    result = compare(sweep, runs, PreparedData(data), "test")
    pairs = [("A-L", "none"), ("A-L + SCMA", "SCMA"), ("A-L + GCEM", "GCEM"), (FULL, "SCMA + GCEM")]
    by_seed = [np.mean([runs[a, s]["jaccard"] - runs[b, s]["jaccard"] for a, b in pairs]) for s in range(3)]
    assert result["effects"].keys() == {"A-L", "SCMA", "GCEM"}
    assert result["effects"]["A-L"]["jaccard"] == pytest.approx(paired_difference(by_seed))
    assert f"| A-L | {np.mean(by_seed):+.3f} (" in tables.markdown(result)
    runs["GCEM", 1] = {"seed": 1, "failed": "out of memory"}
    effects = compare(sweep, runs, PreparedData(data), "test")["effects"]
    assert effects["SCMA"]["jaccard"] != result["effects"]["SCMA"]["jaccard"]  # the seed is left out whole
    assert effects["SCMA"]["jaccard"]["low"] is not None


def test_rows_are_chosen_by_name():
    sweep = SWEEPS["table2"]
    assert slug("A-L + SCMA") == "a-l_scma"
    assert select(sweep, ["a-l_scma", "none"]) == ["none", "A-L + SCMA"]
    with pytest.raises(InputError, match="no row full; it has none, a-l, scma"):
        select(sweep, ["full"])


@pytest.mark.slow
def test_a_row_that_diverges_does_not_stop_the_others(data: Path, tmp_path: Path, capsys):
    explode = {"train.learning_rate": 1e30, "train.clip_norm": 0.0, "train.warmup_steps": 0, "train.epochs": 2}
    sweep = Sweep("Two", (Row("explodes", explode), Row(FULL, {"model.fusion": "concat"})), FULL)
    saved = []
    result = reproduce(sweep, base(), PreparedData(data), tmp_path, 1, save=saved.append)
    assert len(saved) == 3  # after every run, and at the end
    exploded, full = result["rows"]
    assert "is not finite" in exploded["runs"][0]["failed"]
    assert full["mean"]["map_macro"] > 0
    evaluation = tmp_path / "a-l_gcem" / "seed_0" / "evaluation_test.json"  # what Table 2 calls these settings
    before = evaluation.stat().st_mtime_ns
    capsys.readouterr()
    again = reproduce(sweep, base(), PreparedData(data), tmp_path, 1, only=[FULL], save=saved.append)
    assert again["rows"][0]["mean"] is None
    assert again["rows"][1]["runs"] == full["runs"]
    assert evaluation.stat().st_mtime_ns == before
    assert "training" not in capsys.readouterr().out
    changed = recipes.load(CONFIG, [*SETTINGS, "train.epochs=3"])
    with pytest.raises(InputError, match=r"other settings \(train\.epochs is 3 and was 1\)"):
        reproduce(sweep, changed, PreparedData(data), tmp_path, 1, save=saved.append)
    genres = evaluation.parent / "genres.json"
    genres.write_text(genres.read_text().replace('"rock"', '"polka"'))
    with pytest.raises(InputError, match="another genre vocabulary"):
        reproduce(sweep, base(), PreparedData(data), tmp_path, 1, save=saved.append)


@pytest.mark.slow
def test_late_fusion_is_the_mean_of_two_runs_and_sweeps_share_their_runs(data: Path, tmp_path: Path):
    prepared, saved = PreparedData(data), []
    only = ["audio only", "lyrics only", "late fusion"]
    result = reproduce(SWEEPS["table1"], base(), prepared, tmp_path, 1, only=only, save=saved.append)
    rows = {row["name"]: row for row in result["rows"]}
    assert rows["late fusion"]["mean"]["map_macro"] > 0
    assert rows[FULL]["mean"] is None
    scored = []
    for name in ("audio_only", "lyrics_only"):
        model = api.load(str(tmp_path / name / "seed_0"))
        scored.append(model.score(prepared, "test"))
    want = evaluate_scores((scored[0].scores + scored[1].scores) / 2, scored[0].labels, 0.5)
    assert rows["late fusion"]["mean"]["map_macro"] == pytest.approx(want["map_macro"])
    assert rows["late fusion"]["runs"][0]["at_half"]["f1_example"] == pytest.approx(want["f1_example"])
    assert first_name(base(), SWEEPS["graph_control"].rows[0]) == "A-L + SCMA"
    assert first_name(base(), SWEEPS["figure2"].rows[0]) == "SCMA + GCEM"
    assert first_name(base(), SWEEPS["figure2"].rows[3]) == FULL


@pytest.mark.slow
@pytest.mark.rare
def test_a_sweep_killed_between_two_runs_goes_on(data: Path, tmp_path: Path):
    arguments = [sys.executable, "-m", "mgc_jax", "reproduce", "--sweep", "table2", "--config", CONFIG, *TINY]
    arguments += [*(f"--config.{item}" for item in SETTINGS[len(TINY) :]), "--data", str(data)]
    arguments += ["--workdir", str(tmp_path), "--rows", "none", "gcem"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            if line.startswith("[2/2]"):
                process.kill()
    first = tmp_path / "none" / "seed_0" / "evaluation_test.json"
    before = first.stat().st_mtime_ns
    assert not (tmp_path / "gcem" / "seed_0" / "evaluation_test.json").exists()
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "[1/1] GCEM, seed 0" in done.stdout + done.stderr
    assert first.stat().st_mtime_ns == before
    rows = {row["name"]: row for row in json.loads((tmp_path / "table2.json").read_text())["rows"]}
    assert rows["none"]["mean"]["map_macro"] > 0 < rows["GCEM"]["mean"]["map_macro"]
    assert rows["SCMA"]["mean"] is None


def test_mistakes_are_found_before_the_first_run(data: Path, tmp_path: Path, capsys):
    arguments = ["reproduce", "--sweep", "table2", "--data", str(data), "--workdir", str(tmp_path / "w")]
    assert main(arguments) == 2  # the defaults are the paper's sizes, and the data set is not
    assert "was prepared with" in capsys.readouterr().err
    assert main([*arguments, "--config", CONFIG, *TINY, "--rows", "everything"]) == 2
    assert "no row everything" in capsys.readouterr().err
    assert not list((tmp_path / "w").rglob("config.json")) if (tmp_path / "w").exists() else True


def test_the_second_recipe_for_music4all_is_the_row_that_was_measured():
    beyond = recipes.load(str(Path(CONFIG).with_name("music4all.py")) + ":beyond")
    row = next(row for row in SWEEPS["recipes"].rows if row.name == "mixup + average of the weights")
    assert row.overrides.keys() == {"augment.mixup", "train.average_decay"}
    assert beyond.augment.mixup == row.overrides["augment.mixup"]
    assert beyond.lyrics.input == "features"  # mixup blends them
    # Over as many epochs: Music4All has 30 555 training tracks, the generated corpus 2 746.
    steps = 1 / (1 - beyond.train.average_decay), 1 / (1 - row.overrides["train.average_decay"])
    assert steps[0] / 30_555 == pytest.approx(steps[1] / 2_746, rel=0.15)


def test_a_base_that_a_rival_of_another_table_cannot_hear_has_its_own_table():
    """Santana hears spectrograms alone."""
    features = recipes.load("manifest:paper", [])
    assert [first_name(features, row) for row in SWEEPS["table2"].rows] == [row.name for row in SWEEPS["table2"].rows]
