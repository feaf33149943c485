"""What eight devices of one process do is what fewer do, and what they cannot share is refused."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from mgc_jax import load
from mgc_jax.cli import main
from mgc_jax.config import recipes
from mgc_jax.models.bert import load_bert
from mgc_jax.network import build
from mgc_jax.runtime import sharding
from tests.support.tiny_bert import TINY, save_encoder
from tests.support.training import command

pytestmark = pytest.mark.eight_devices


@pytest.mark.slow
def test_what_eight_devices_learned_scores_the_same_on_fewer(run_of_eight: Path, data: Path, tmp_path, monkeypatch):
    run = Path(shutil.copytree(run_of_eight, tmp_path / "run"))
    settings = json.loads((run / "config.json").read_text())
    settings["compute"]["evaluation_batch_size"] = 12  # which eight cannot share
    (run / "config.json").write_text(json.dumps(settings))
    reports = []
    for devices in (8, 4, 2, 1):
        mesh = sharding.make_mesh(devices=jax.devices()[:devices])
        with monkeypatch.context() as patch:
            patch.setattr(sharding, "make_mesh", lambda model_parallel, mesh=mesh: mesh)
            report = load(run).evaluate(data, "test").to_json()
        # Scores are the same to rounding; what is made of them is the same.
        rounded = [report.pop("bce"), *(genre.pop("threshold") for genre in report["genres"])]
        reports.append((report, rounded))
    for report, rounded in reports[1:]:
        assert report == reports[0][0]
        assert rounded == pytest.approx(reports[0][1], rel=1e-5)


def test_a_batch_must_divide_over_the_devices(data: Path, tmp_path: Path, capsys):
    assert main(command(data, tmp_path / "run", "--config.train.batch_size=9")) == 2
    assert "use a multiple of 8" in capsys.readouterr().err
    assert main(["benchmark", "--size", "demo", "--config.train.batch_size=12"]) == 2
    assert "which 8 data-parallel devices cannot share evenly" in capsys.readouterr().err


def test_what_prepare_stores_is_each_lyrics_own_output_from_eight_devices(tmp_path):
    folder = save_encoder(tmp_path)
    encode = build.lyrics_encoder(recipes.load(None, [f"lyrics.encoder={folder}", "lyrics.max_tokens=16"]))
    tokens = np.random.default_rng(0).integers(1, TINY.vocab_size, (5, 17)).astype(np.int32)
    mask = np.arange(17) < np.array([17, 1, 11, 2, 13])[:, None]
    stored = encode(tokens.astype(np.uint16), mask.sum(axis=1).astype(np.int32))
    graph, weights = nnx.split(load_bert(folder))
    run = jax.jit(lambda weights, *given: nnx.merge(graph, weights)(*given))
    for row, ids, real in zip(stored, tokens, mask, strict=True):
        alone = run(weights, ids[None, real], np.ones((1, real.sum()), bool))[0]
        np.testing.assert_allclose(row[real], alone, rtol=1e-5, atol=1e-5)
