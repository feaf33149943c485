"""An evaluation is the same measured and read, and a file that is none is named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.evaluation.difference import Difference
from mgc_jax.evaluation.evaluate import measure
from mgc_jax.evaluation.results import DECIDING, METRICS, Evaluation, evaluations, generated, of_step
from mgc_jax.evaluation.rival import Rival
from mgc_jax.evaluation.scored import Scored
from mgc_jax.evaluation.text import headline, summary, verdict

N = 31
RARE = 2
"""The genre that no track of :func:`evaluation` has."""


@pytest.fixture
def evaluation(data: Path) -> Evaluation:
    prepared, rng = PreparedData(data), np.random.default_rng(0)
    labels = rng.random((N, prepared.vocabulary.size)) < 0.3
    labels[:, RARE] = False
    embeddings = rng.normal(size=(2, N, 5))
    scored = Scored(rng.random(labels.shape), labels, rng.random(N), np.arange(N) - 1, *embeddings)
    thresholds = rng.random(labels.shape[1])
    sizes = {"trainable": 3, "frozen": 2**40}
    rival = Rival({"test": rng.random(labels.shape).astype(np.float32)}, thresholds[::-1], 10.0, 20)
    return measure(scored, thresholds, prepared, "test", step=7, parameters=sizes, other_data=False, rival=rival)


def test_what_was_measured_is_what_is_read(evaluation: Evaluation, tmp_path: Path):
    file, genres = tmp_path / "evaluation_test.json", list(evaluation.genres)
    without = {"data": "", "retrieval": None, "step": None, "linear": None, "no_linear": "The shard is missing."}
    for written in (evaluation, dataclasses.replace(evaluation, **without)):
        written.save(file)
        assert Evaluation.read(file, "test", genres) == written
    assert "data" not in json.loads(file.read_text(), parse_constant=pytest.fail)  # JSON has no NaN
    assert evaluations(tmp_path, genres) == {"test": written}
    assert of_step({"test": evaluation}, 7) == {"test": evaluation}
    assert not of_step({"test": written}, 7)
    assert generated({"test": evaluation})


def test_figures_are_by_key_and_each_row_is_a_genre(evaluation: Evaluation):
    content = evaluation.to_json()
    assert evaluation.metrics.keys() == set(METRICS.values()) <= content.keys()
    assert evaluation.at_half.keys() == evaluation.argmax_fallback.keys() == set(DECIDING.values())
    assert evaluation.trivial["map_macro"] == content["trivial"]["prevalence"]["map_macro"]
    assert content["linear"].keys() >= set(METRICS.values()) | {"C", "fitted_on", "train_tracks", "gain_map_macro"}
    assert content["num_tracks"] == N
    assert content["num_genres_evaluated"] == len(evaluation.genres) - 1
    assert [row["genre"] for row in content["genres"]] == list(range(len(evaluation.genres)))


def test_a_genre_without_test_tracks_has_no_score(evaluation: Evaluation):
    name = list(evaluation.genres)[RARE]
    assert evaluation.support[name] == 0
    assert evaluation.genres[name]["f1"] is evaluation.genres[name]["average_precision"] is None
    row = next(line for line in summary(evaluation).splitlines() if line.startswith(name[:23]))
    assert row.split()[-5:-2] == ["0", "-", "-"]
    assert row.split()[-1] == "-"


def test_the_text_has_the_model_beside_the_linear_rival_and_the_trivial_baseline(evaluation: Evaluation):
    rows = {line[:16].strip(): line[16:].split() for line in summary(evaluation).splitlines()}
    assert evaluation.linear is not None
    ours, linear, trivial = evaluation.metrics, evaluation.linear.metrics, evaluation.trivial
    assert rows["mAP macro"] == [f"{figures['map_macro']:.3f}" for figures in (ours, linear, trivial)]
    ways = (ours, evaluation.argmax_fallback, evaluation.at_half, linear, trivial)
    assert rows["F1 example"] == [f"{figures['f1_example']:.3f}" for figures in ways]
    beside = (
        f"macro-mAP {ours['map_macro']:.3f} (prevalence {trivial['map_macro']:.3f}, linear {linear['map_macro']:.3f})"
    )
    assert beside in headline(evaluation)
    alone = dataclasses.replace(evaluation, linear=None, no_linear="The train split is empty.")
    assert f"macro-mAP {ours['map_macro']:.3f} (prevalence {trivial['map_macro']:.3f})" in headline(alone)
    assert "No linear model to compare with: The train split is empty." in summary(alone).splitlines()
    assert verdict(evaluation) in summary(evaluation).splitlines()
    assert "lyrics to audio" in summary(evaluation)
    assert "lyrics to audio" not in summary(dataclasses.replace(evaluation, retrieval=None))


@pytest.mark.parametrize(
    ("gain", "sentence"),
    [
        (
            Difference(0.05, 0.02, 0.08),
            "does worse than this model (macro-mAP {theirs} against {ours}; difference -0.050",
        ),
        (
            Difference(-0.05, -0.08, -0.02),
            "does better than this model (macro-mAP {theirs} against {ours}; difference +0.050",
        ),
        (Difference(-0.05, -0.11, 0.01), "No clear difference between"),
        (None, "no track of the split has a genre"),
    ],
)
def test_the_sentence_says_whether_the_deep_model_pays(evaluation: Evaluation, gain, sentence):
    assert evaluation.linear is not None
    said = verdict(dataclasses.replace(evaluation, linear=dataclasses.replace(evaluation.linear, gain=gain)))
    theirs, ours = (f"{figures['map_macro']:.3f}" for figures in (evaluation.linear.metrics, evaluation.metrics))
    assert sentence.format(theirs=theirs, ours=ours) in said
    assert ("the deep model pays." in said) == (gain is not None and gain.low > 0)
    assert ("does not pay" in said) == (gain is not None and gain.high < 0)
    assert (f"fitted on 20 of the {evaluation.linear.of} training tracks" in said) == (gain is not None)
    other = dataclasses.replace(evaluation, other_data=True)
    assert "those of another" in verdict(other)
    assert "those of another" not in verdict(evaluation)


def test_the_gain_is_that_of_the_printed_figures(evaluation: Evaluation):
    assert evaluation.linear is not None
    assert evaluation.linear.gain is not None
    ours, theirs = evaluation.metrics["map_macro"], evaluation.linear.metrics["map_macro"]
    assert ours is not None
    assert theirs is not None
    assert evaluation.linear.gain.value == pytest.approx(ours - theirs, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"split": "validation"}, "of another split"),
        ({"genres": []}, "another genre vocabulary"),
        ({"lrap": float("inf")}, "no figure"),
        ({"split_kind": "a\0b"}, "no text"),
        ({"retrieval": {"lyrics_to_audio": {}}}, "chance is missing"),
        ({"trivial": {"prevalence": {}}}, "map_macro is missing"),
        ({"num_tracks": -1}, "no number of anything"),
        ({"linear": {"map_macro": 0.5}}, "gain_map_macro is missing"),
        ({"linear": None, "no_linear": 5}, "no text"),
    ],
)
def test_a_file_that_is_no_evaluation_is_named(evaluation: Evaluation, tmp_path: Path, change, problem):
    file = tmp_path / "evaluation_test.json"
    file.write_text(json.dumps(evaluation.to_json() | change, default=dict))
    with pytest.raises(InputError, match=problem):
        Evaluation.read(file, "test", list(evaluation.genres))
