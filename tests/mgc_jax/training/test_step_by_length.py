"""Lyrics of like length in a batch that is cut to what they need: the same outputs, wherever the tracks are kept."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.config import recipes
from mgc_jax.evaluation.steps import make_evaluation_step
from mgc_jax.network import build, state
from mgc_jax.runtime import sharding
from tests.support.recipe import CONFIG, TINY

LONG = [*TINY, "--config.lyrics.max_tokens=200", "--config.data.max_genres=6"]
BUCKETS = ["--config.train.lyrics_bucket=32", "--config.train.batch_size=8", "--config.train.log_every_steps=1"]


@pytest.fixture(scope="module", params=["tokens", "features"])
def long(corpus: Path, tmp_path_factory, request) -> tuple[list[str], Path]:
    """Settings, and the corpus prepared with lyrics that are not all cut to the same length."""
    settings = [*LONG, f"--config.lyrics.input={request.param}"]
    out = tmp_path_factory.mktemp(request.param) / "data"
    assert main(["prepare", "--config", CONFIG, *settings, "--source", str(corpus), "--out", str(out)]) == 0
    return settings, out


def losses(workdir: Path) -> list[float]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines for name in ("train/loss", "validation/bce") if name in line]


@pytest.mark.slow
@pytest.mark.parametrize("long", ["features"], indirect=True)
def test_training_is_the_same_streamed_and_from_the_devices_memory(long, tmp_path, capsys):
    settings, data = long
    arguments = ["train", "--config", CONFIG, *settings, "--config.train.epochs=1", *BUCKETS]
    for placement in ("stream", "device"):
        place = [f"--config.compute.placement={placement}", "--data", str(data)]
        assert main([*arguments, *place, "--workdir", str(tmp_path / placement)]) == 0
        assert "compiling the training step for lyrics of 1" in capsys.readouterr().out
    assert len(losses(tmp_path / "stream")) == 3 + 1  # four steps, the last two in one line, and an evaluation
    np.testing.assert_allclose(losses(tmp_path / "device"), losses(tmp_path / "stream"), rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", pytest.param("flatten", marks=pytest.mark.rare)])
def test_cutting_changes_no_score(long, pooling):
    settings, folder = long
    overrides = [item.removeprefix("--config.") for item in settings]
    chosen = recipes.load(CONFIG, [*overrides, f"model.pooling={pooling}"])
    data = PreparedData(folder)
    mesh = sharding.make_mesh()
    encoder = build.locate_encoder(data.encoder)
    network, start = state.initialise(chosen, data.vocabulary, encoder, mesh)
    step = make_evaluation_step(network)
    cut = list(data.train_batches(batch_size=8, seed=1, start_step=0, num_steps=4, bucket=32))
    assert len({batch["tokens"].shape[1] for batch in cut}) > 1
    for batch in cut:
        length = batch["tokens"].shape[1]
        assert batch["num_tokens"].max() <= length
        whole = data._read(data._source("train"), batch["index"])
        for name in ("tokens", "lyrics_features"):
            if name in batch:
                np.testing.assert_array_equal(batch[name], whole[name][:, :length])
        one, two = (jax.device_get(step(start, network.frozen, sharding.place_batch(b, mesh))) for b in (batch, whole))
        np.testing.assert_allclose(one["scores"], two["scores"], atol=1e-6, rtol=1e-5)


def test_a_data_set_that_does_not_say_how_long_lyrics_are(data: Path, tmp_path, capsys):
    copy = shutil.copytree(data, tmp_path / "copy")
    table = copy / "tracks.tsv"
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    column = rows[0].index("tokens")
    table.write_text("".join("\t".join(row[:column] + row[column + 1 :]) + "\n" for row in rows))
    arguments = ["train", "--config", CONFIG, *TINY, "--data", str(copy), "--workdir", str(tmp_path / "run")]
    assert main([*arguments, "--config.train.lyrics_bucket=64"]) == 2
    assert "does not say how long lyrics are; prepare it again." in capsys.readouterr().err
    assert main([*arguments, "--config.train.lyrics_bucket=-1"]) == 2
    assert "train.lyrics_bucket is -1" in capsys.readouterr().err
