"""An evaluation is the same measured and read, and a file that is none is named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.evaluation.evaluate import measure
from mgc_jax.evaluation.results import DECIDING, METRICS, Evaluation, evaluations, generated, of_step
from mgc_jax.evaluation.scored import Scored
from mgc_jax.evaluation.text import headline, summary

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
    return measure(scored, thresholds, prepared, "test", step=7, parameters=sizes, other_data=False)


def test_what_was_measured_is_what_is_read(evaluation: Evaluation, tmp_path: Path):
    file, genres = tmp_path / "evaluation_test.json", list(evaluation.genres)
    for written in (evaluation, dataclasses.replace(evaluation, data="", retrieval=None, step=None)):
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
    assert content["num_tracks"] == N
    assert content["num_genres_evaluated"] == len(evaluation.genres) - 1
    assert [row["genre"] for row in content["genres"]] == list(range(len(evaluation.genres)))


def test_a_genre_without_test_tracks_has_no_score(evaluation: Evaluation):
    name = list(evaluation.genres)[RARE]
    assert evaluation.support[name] == 0
    assert evaluation.genres[name]["f1"] is evaluation.genres[name]["average_precision"] is None
    row = next(line for line in summary(evaluation).splitlines() if line.startswith(name[:23]))
    assert row.split()[-4:-1] == ["0", "-", "-"]


def test_the_text_has_the_model_beside_the_trivial_baseline(evaluation: Evaluation):
    rows = {line[:16].strip(): line[16:].split() for line in summary(evaluation).splitlines()}
    ours, trivial = evaluation.metrics, evaluation.trivial
    assert rows["mAP macro"] == [f"{figures['map_macro']:.3f}" for figures in (ours, trivial)]
    ways = (ours, evaluation.argmax_fallback, evaluation.at_half, trivial)
    assert rows["F1 example"] == [f"{figures['f1_example']:.3f}" for figures in ways]
    assert f"macro-mAP {ours['map_macro']:.3f} (prevalence {trivial['map_macro']:.3f})" in headline(evaluation)
    assert "lyrics to audio" in summary(evaluation)
    assert "lyrics to audio" not in summary(dataclasses.replace(evaluation, retrieval=None))


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
    ],
)
def test_a_file_that_is_no_evaluation_is_named(evaluation: Evaluation, tmp_path: Path, change, problem):
    file = tmp_path / "evaluation_test.json"
    file.write_text(json.dumps(evaluation.to_json() | change, default=dict))
    with pytest.raises(InputError, match=problem):
        Evaluation.read(file, "test", list(evaluation.genres))
