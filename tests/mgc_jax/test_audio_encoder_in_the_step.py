"""A pretrained audio encoder inside the training step, frozen or trained, from prepare to export with the commands."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import mgc_jax
from data_pipeline.audio import AudioSpec, load_clip
from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.config import AugmentConfig, recipes
from mgc_jax.network import build
from mgc_jax.network.audio_encoders import audio_encoder
from mgc_jax.network.audio_features import audio_features
from mgc_jax.network.state import initialise
from mgc_jax.runtime import sharding
from mgc_jax.training.augment import augment
from tests.support import tiny_ast
from tests.support.recipe import CONFIG, TINY

LYRICS = "dancing all night under neon light"
TRAINED = "train.audio_encoder_rate=0.5"
WINDOWS, FRAMES, BANDS = 3, 119, 47  # of a clip of 3.1 s


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ast.save(tmp_path_factory.mktemp("encoders") / "tiny_ast")


@pytest.fixture(scope="module")
def settings(encoder: Path) -> list[str]:
    sound = ["audio.input=filterbank", "audio.sample_rate=16000", "audio.seconds=3.1", f"audio.encoder={encoder}"]
    return [*TINY, *(f"--config.{setting}" for setting in sound)]


def config(settings: list[str], *more: str):
    return recipes.load(CONFIG, [setting.removeprefix("--config.") for setting in settings] + list(more))


@pytest.fixture(scope="module")
def prepared(corpus: Path, settings: list[str], encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("filterbank") / "data"
    (encoder / "README.md").write_text("---\nlicense: cc-by-nc-sa-4.0\n---\n")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["prepare", "--config", CONFIG, *settings, "--source", str(corpus), "--out", str(out)]) == 0
    assert "are CC-BY-NC-SA-4.0: not for commercial use, nor is what they taught." in printed.getvalue()
    return out


@pytest.fixture(scope="module")
def workdir(prepared: Path, settings: list[str]) -> Path:
    """A run that trained the encoder along."""
    folder = prepared.with_name("run")
    arguments = ["--config", CONFIG, *settings, "--config.train.epochs=2", f"--config.{TRAINED}"]
    assert main(["train", *arguments, "--data", str(prepared), "--workdir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def song(corpus: Path) -> Path:
    return sorted((corpus / "audios").glob("*.mp3"))[3]


@pytest.fixture(scope="module")
def batch(prepared: Path) -> dict[str, np.ndarray]:
    return next(iter(PreparedData(prepared).evaluation_batches("test", batch_size=4)))


def encoders_weights(state) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_flatten_with_path(state.params["audio_encoder"])[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def test_what_is_stored_is_what_the_front_end_makes_of_the_waveform(prepared, batch, corpus, encoder, capsys):
    data = PreparedData(prepared)
    assert data.audio_shape == (WINDOWS * FRAMES, BANDS)
    assert data.audio_encoder_sha256 == audio_encoder(str(encoder)).digest
    assert data.audio_licence == "CC-BY-NC-SA-4.0"
    assert batch["filterbank"].shape == (4, WINDOWS * FRAMES, BANDS)
    network = audio_encoder(str(encoder)).network
    for row, track in zip(batch["filterbank"], data.tracks("test")[:4], strict=True):
        clip = load_clip(corpus / "audios" / f"{track['id']}.mp3", data.audio)[None]
        alone = network.front_end(audio_encoder(str(encoder)).windows(clip)[0])
        np.testing.assert_allclose(row, np.concatenate(alone), rtol=2e-3, atol=2e-3)


def test_a_frozen_encoder_in_the_step_gives_what_stored_features_give(prepared, batch, settings, encoder):
    """In float32, tight; what is stored is the same but for float16."""
    data = PreparedData(prepared)
    in_step = config(settings, "compute.dtype=float32")
    stored = config(settings, "compute.dtype=float32", "audio.input=features")
    mesh, folder = sharding.make_mesh(), Path(build.locate_encoder(in_step.lyrics.encoder))
    (network, state), (other, same) = (initialise(c, data.vocabulary, folder, mesh) for c in (in_step, stored))
    assert jax.tree.structure(state.params) == jax.tree.structure(same.params)
    assert "audio_encoder" in network.frozen
    assert "audio_encoder" not in state.params
    clips = np.random.default_rng(0).normal(size=(4, in_step.audio.num_samples)).astype(np.float32) / 9
    filterbank, features = (np.asarray(audio_features(c.audio)(clips)) for c in (in_step, stored))
    rest = {name: batch[name] for name in ("lyrics_features", "tokens", "num_tokens") if name in batch}
    ours = network.merge(state, network.frozen)({**rest, "filterbank": filterbank}, train=False)
    theirs = other.merge(same, other.frozen)({**rest, "audio_features": features}, train=False)
    np.testing.assert_allclose(ours.logits, theirs.logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.audio_embedding, theirs.audio_embedding, rtol=1e-5, atol=1e-5)
    rounded = {**rest, "filterbank": filterbank.astype(np.float16)}
    near = network.merge(state, network.frozen)(rounded, train=False)
    np.testing.assert_allclose(near.logits, theirs.logits, atol=2e-2)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_the_gradient_reaches_a_trained_encoder_and_no_frozen_one(rate, prepared, batch, settings):
    chosen = config(settings, f"train.audio_encoder_rate={rate}")
    folder = Path(build.locate_encoder(chosen.lyrics.encoder))
    network, state = initialise(chosen, PreparedData(prepared).vocabulary, folder, sharding.make_mesh())
    given = {name: batch[name] for name in ("filterbank", "lyrics_features", "tokens", "num_tokens") if name in batch}

    def loss(params, frozen):
        model = network.merge(dataclasses.replace(state, params=params), frozen)
        return jnp.square(model(given, train=True, dropout_key=jax.random.key(0)).logits).sum()

    gradients = jax.grad(loss)(state.params, network.frozen)
    assert ("audio_encoder" in gradients) == (rate > 0)
    if rate:
        size = {name: float(np.abs(g).max()) for name, g in _named(gradients["audio_encoder"]).items()}
        silent = {name for name, largest in size.items() if not largest > 0}
        assert silent == {"['layers'][0]['key']['bias']"} or not silent  # a softmax does not hear a constant


def _named(tree) -> dict[str, np.ndarray]:
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]}


def test_the_run_has_trained_it(workdir: Path, encoder: Path):
    model = mgc_jax.load(workdir)
    learned = encoders_weights(model.state)
    published = _named(audio_encoder(str(encoder)).weights)
    assert len(learned) == len(published) > 20
    moved = [np.abs(a - b).max() for a, b in zip(learned.values(), published.values(), strict=True)]
    assert sum(x > 0 for x in moved) >= len(moved) - 1
    assert max(moved) < 0.1


@pytest.mark.slow
def test_it_evaluates_predicts_embeds_and_explains(workdir: Path, prepared: Path, song: Path, capsys):
    model = mgc_jax.load(workdir)
    evaluation = model.evaluate(prepared, "test")
    assert 0 <= evaluation.metrics["map_macro"] <= 1
    assert evaluation.linear
    found = model.predict(song, LYRICS)
    assert found.ranked == mgc_jax.load(workdir).predict(song.read_bytes(), LYRICS).ranked
    assert np.isfinite(model.embed(song, LYRICS).audio).all()
    genre = found.ranked[0][0]
    why = model.explain(song, LYRICS, genres=[genre])
    segments = why.segments
    assert segments[0][0] == 0
    assert np.all(segments[:, 1] > segments[:, 0])
    assert np.isfinite(why.segment_effect).all()
    assert why.attention.seconds.shape[0] == WINDOWS * len(why.windows)
    assert main(["predict", "--workdir", str(workdir), str(song)]) == 0


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(workdir: Path, prepared: Path, settings: list[str], tmp_path: Path):
    arguments = ["--config", CONFIG, *settings, f"--config.{TRAINED}", "--data", str(prepared)]
    folder = tmp_path / "run"
    assert main(["train", *arguments, "--config.train.epochs=1", "--workdir", str(folder)]) == 0
    assert main(["train", *arguments, "--config.train.epochs=2", "--workdir", str(folder)]) == 0
    best, other = mgc_jax.load(folder).state, mgc_jax.load(workdir).state
    assert int(best.step) == int(other.step)
    jax.tree.map(np.testing.assert_array_equal, best.params, other.params)


@pytest.mark.slow
def test_the_exported_folder_has_what_was_learned(workdir: Path, song: Path, tmp_path: Path):
    out = tmp_path / "model"
    assert main(["export", "--workdir", str(workdir), "--out", str(out)]) == 0
    model, run = mgc_jax.load(out), mgc_jax.load(workdir)
    expected = run.predict(song, LYRICS)
    assert model.predict(song, LYRICS) == expected
    card = (out / "README.md").read_text().replace("\\", "")
    assert "tiny_ast, trained" in card
    assert "forbids commercial use" in card
    assert "torch_reference" not in card
    inputs = json.loads((out / "preprocessing.json").read_text())["program"]["inputs"]
    assert inputs[0] == {"name": "waveform", "type": f"float32 (b, {model.spec.num_samples})"}
    program = export.deserialize(bytearray((out / "model.stablehlo").read_bytes()))
    tokens, ids = np.zeros((1, model.config.lyrics.max_tokens), np.int32), model.tokens(LYRICS)
    tokens[0, : len(ids)] = ids
    scores, _ = program.call(load_clip(song, model.spec)[None], tokens, np.array([len(ids)], np.int32))
    by_name = dict(zip(model.vocabulary.names, np.asarray(scores)[0].tolist(), strict=True))
    assert by_name == pytest.approx(dict(expected.ranked), abs=5e-3)  # what is stored is float16


def test_masks_and_mixup_act_on_what_is_stored(batch):
    given = {name: jnp.asarray(value) for name, value in batch.items()}
    masked = augment(given, jax.random.key(0), AugmentConfig(time_masks=1, time_share=0.5, mel_masks=1, mel_share=0.5))
    before, after = np.asarray(given["filterbank"], np.float32), np.asarray(masked["filterbank"])
    changed = after != before
    assert 0 < changed.mean() < 0.9
    means = np.broadcast_to(before.mean(axis=(1, 2), keepdims=True), before.shape)
    np.testing.assert_allclose(after[changed], means[changed], atol=0.05)
    if "lyrics_features" in given:
        mixed = augment(given, jax.random.key(0), AugmentConfig(mixup=0.5))["filterbank"]
        low, high = np.minimum(before, before[::-1]), np.maximum(before, before[::-1])
        assert np.all((np.asarray(mixed) >= low - 1e-3) & (np.asarray(mixed) <= high + 1e-3))


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (["train.audio_encoder_rate=0.1"], "only audio.input=filterbank has a pretrained audio encoder in the"),
        (["audio.input=features", "train.audio_encoder_rate=0.1"], "only audio.input=filterbank has a pretrained"),
        (
            ["audio.input=filterbank", "model.architecture=santana", "loss.contrastive_weight=0"],
            "hears spectrograms, not audio.input=filterbank",
        ),
    ],
)
def test_settings_that_do_not_fit_each_other(wanted, sentence):
    with pytest.raises(InputError, match=sentence):
        recipes.load("demo", wanted)


def test_encoders_whose_front_end_cannot_be_stored_apart():
    pytest.importorskip("musicnn")
    spec = AudioSpec(sample_rate=16_000, seconds=6.1, input="filterbank")
    with pytest.raises(
        InputError, match=r"^audio\.input=filterbank does not suit the audio encoder: musicnn has no netw"
    ):
        audio_features(spec)


@pytest.mark.slow
def test_what_it_has_no_part_in_says_so(workdir: Path, tmp_path: Path, capsys):
    twins = pytest.importorskip("mgc_jax.torch_reference.build")
    with pytest.raises(InputError, match=r"^audio\.input=filterbank has no PyTorch twin; spectrograms and stored feat"):
        twins.of_run(workdir)
    assert main(["export", "--workdir", str(workdir), "--out", str(tmp_path / "out"), "--onnx"]) == 2
    assert "--onnx goes by way of the PyTorch twin" in capsys.readouterr().err
    assert main(["benchmark", "--lyrics", "features", "--config.audio.input=filterbank"]) == 2
    assert "for spectrograms and stored features, not audio.input=filterbank" in capsys.readouterr().err


@pytest.mark.slow
def test_another_encoder_than_the_data_sets_is_refused(prepared: Path, workdir: Path, tmp_path: Path):
    other = Path(shutil.copytree(prepared, tmp_path / "data"))
    meta = json.loads((other / "dataset.json").read_text())
    meta["audio_encoder"]["sha256"] = "0" * 64
    (other / "dataset.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match=r"was prepared with another audio encoder than .*tiny_ast"):
        mgc_jax.load(workdir).evaluate(other)
