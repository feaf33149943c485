"""The lyrics encoder runs where something depends on the words, and nowhere else."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mgc_jax.api import Model
from mgc_jax.benchmark import flops
from mgc_jax.evaluation import steps as evaluation
from mgc_jax.export import program
from mgc_jax.training import steps
from mgc_jax.training.batches import StreamedBatch
from mgc_jax.training.objective import make_objective, make_optimiser
from mgc_jax.training.state import begin
from tests.support import tiny_model
from tests.support.tiny_bert import TINY

WORDS = f"f32[{TINY.vocab_size},{TINY.hidden_size}]"
"""The lyrics encoder's table of words among a program's parameters."""
NO_WORDS = "model.fusion=audio loss.contrastive_weight=0.0"
A_L_LOSS_ALONE = "model.fusion=audio loss.contrastive_weight=0.3"


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("reading")
    return {v: tiny_model.model(folder / str(i), v) for i, v in enumerate(("", NO_WORDS, A_L_LOSS_ALONE))}


def of_training(model: Model) -> str:
    optimiser = make_optimiser(model.config, 10)
    state = begin(model.network, jax.tree.map(jax.numpy.copy, model.state), optimiser)
    step = steps.make_train_step(model.network, state, optimiser, make_objective(model.config))
    return step.lower(state, model.network.frozen, StreamedBatch(batch(model))).compile().as_text()


def of_evaluation(model: Model) -> str:
    step = evaluation.make_evaluation_step(model.network)
    return step.lower(model.state, model.network.frozen, batch(model)).compile().as_text()


def of_scores(model: Model) -> str:
    step = evaluation.make_score_step(model.network)
    return step.lower(model.state, model.network.frozen, batch(model)).compile().as_text()


def of_export(model: Model) -> str:
    exported = jax.export.deserialize(bytearray(program.program(model)))
    return exported.mlir_module().replace(f"tensor<{TINY.vocab_size}x{TINY.hidden_size}xf32>", WORDS)


def batch(model: Model) -> dict[str, np.ndarray]:
    rows = 4
    labels = np.zeros((rows, model.vocabulary.size), np.uint8)
    given = tiny_model.batch(model, rows) | {"labels": labels, "index": np.arange(rows, dtype=np.int32)}
    return given | {"weight": np.ones(rows, np.float32)}


@pytest.mark.parametrize(
    ("program_of", "variant", "reads"),
    [
        *((of, variant, variant != NO_WORDS) for of in (of_training, of_evaluation) for variant in ("", NO_WORDS)),
        (of_training, A_L_LOSS_ALONE, True),
        (of_evaluation, A_L_LOSS_ALONE, True),  # how well lyrics are found is measured
        *((of, variant, not variant) for of in (of_scores, of_export) for variant in ("", A_L_LOSS_ALONE)),
    ],
)
def test_a_program_holds_the_lyrics_encoder_where_it_reads(program_of, variant, reads, models):
    assert (WORDS in program_of(models[variant])) is reads


@pytest.mark.parametrize(("variant", "scores", "embeddings"), [("", 1, 2), (NO_WORDS, 0, 0), (A_L_LOSS_ALONE, 0, 1)])
def test_songs_are_read_once_or_not_at_all(variant, scores, embeddings, models, monkeypatch):
    model, songs, read = models[variant], 2, []
    monkeypatch.setitem(model.__dict__, "_lyrics_step", lambda *given: read.append(given) or of_words(*given))
    of_words = evaluation.make_lyrics_step(model.network)
    sound = np.random.default_rng(0).normal(size=(songs, 60_000)).astype(np.float32) / 9
    for samples in sound:
        model.predict(samples, "a b c" if model.reads_lyrics else None, rate=10_000)
    assert len(read) == songs * scores
    words = "a b c" if model.embeds_lyrics else None
    found = [model.embed(samples, words, rate=10_000) for samples in sound]
    assert len(read) == songs * (embeddings if variant else 2)
    assert [one.lyrics is None for one in found] == [variant == NO_WORDS] * songs


def test_the_space_of_the_a_l_loss_is_there_whether_it_was_taught_or_not(models):
    """The same weights embed alike, and neither changes what the other one's steps compute."""
    sound = np.random.default_rng(1).normal(size=60_000).astype(np.float32) / 9
    untaught, taught = (models[variant].embed(sound, rate=10_000) for variant in (NO_WORDS, A_L_LOSS_ALONE))
    np.testing.assert_allclose(untaught.audio, taught.audio, atol=1e-6)
    np.testing.assert_allclose(untaught.fused, taught.fused, atol=1e-6)


def test_the_arithmetic_of_a_benchmark_leaves_out_what_is_not_read(models):
    parts = {variant: flops.training(model.config, TINY, 6, 13) for variant, model in models.items()}
    assert {variant: "lyrics encoder" in part for variant, part in parts.items()} == {
        "": True,
        NO_WORDS: False,
        A_L_LOSS_ALONE: True,
    }
