"""The JAX model against its PyTorch twin: same weights, same batch, float32."""

import copy
import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mgc_jax
from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.config import Config, recipes
from mgc_jax.evaluation.steps import make_evaluation_step
from mgc_jax.network import build
from mgc_jax.network.state import ModelState, Network, initialise
from mgc_jax.runtime import sharding
from mgc_jax.training import steps
from mgc_jax.training.batches import StreamedBatch
from mgc_jax.training.objective import make_objective, make_optimiser
from mgc_jax.training.state import begin
from tests.support.optional import Lazy
from tests.support.recipe import CONFIG
from tests.support.recipe import TINY as CORPUS
from tests.support.tiny_bert import TINY, save_encoder

torch, _ = Lazy("torch"), Lazy("transformers")
torch_build, weights = Lazy("mgc_jax.torch_reference.build"), Lazy("mgc_jax.torch_reference.weights")

B, G, STEPS = 8, 6, 20
BASE = (
    "audio.seconds=2.3 audio.n_mels=70 lyrics.max_tokens=13 model.audio_preset=narrow model.width=24 model.heads=3 "
    "model.gcn_hidden=19 model.dropout=0.0 train.learning_rate=0.003 train.warmup_steps=4 train.halve_every_epochs=3 "
    "train.weight_decay=0.05"
)
VARIANTS = {
    "default": "",
    # Without norms the logits grow, and with them what float32 loses in the first kernel's gradient: rows of sum 1.
    "literal": "model.heads=1 model.residual_norm=False model.pooling=flatten model.genre_bias=False "
    "model.adjacency_normalise=row",
    "patches": "model.audio_preset=narrow_patches",
    "cosine": "model.audio_tokens=all model.contrastive_normalise=True model.gcn_depth=3",
    "concat": "model.fusion=concat loss.reduction=mean",
    "audio": "model.fusion=audio model.head=linear loss.contrastive_weight=0.0",
    "lyrics": "model.fusion=lyrics model.gcn_depth=1",
    "trained encoder": "train.encoder_rate=0.5",
    "windows": "lyrics.window=8",
}
LABELS = np.random.default_rng(5).random((40, G)) < 0.3
LABELS[:, 3] = False  # a genre that never occurs
NAMES = ("rock", "pop", "indie rock", "zouk", "jazz", "hard rock")


@dataclasses.dataclass
class Pair:
    """One model twice."""

    settings: Config
    network: Network
    state: ModelState
    twin: "torch.nn.Module"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request, encoder) -> Pair:
    """For all tests of a variant, which leave it as it is."""
    return make_pair(encoder, VARIANTS[request.param])


def make_pair(encoder: Path, variant: str) -> Pair:
    settings = recipes.load(None, f"{BASE} {variant}".split())
    together = LABELS.T.astype(np.int64) @ LABELS.astype(np.int64)
    vocabulary = GenreVocabulary(NAMES, {}, together.diagonal(), together, len(LABELS))
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    network, state = initialise(settings, vocabulary, encoder, mesh)
    rng = np.random.default_rng(2)

    def disturb(leaf):  # zeros and ones would hide what is not read
        return leaf + jnp.asarray(0.1 * rng.random(leaf.shape), leaf.dtype)

    state = dataclasses.replace(
        state, params=jax.tree.map(disturb, state.params), batch_stats=jax.tree.map(disturb, state.batch_stats)
    )
    constants = {jax.tree_util.keystr(p[-1:], simple=True): np.asarray(v) for p, v in leaves(state.constants)}
    twin = torch_build.classifier(
        settings,
        bert=torch_build.pretrained(encoder),
        adjacency=constants.get("adjacency", np.eye(G)),
        name_features=constants.get("node_features", np.ones((G, TINY.hidden_size))),
        prior_logits=np.zeros(G),
    )
    weights.to_torch(state, twin)
    return Pair(settings, network, state, twin)


def leaves(tree):
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def batch(settings, seed=0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "spectrogram": rng.integers(0, 256, (B, settings.audio.num_frames, 70), dtype=np.uint8),
        "tokens": rng.integers(5, TINY.vocab_size, (B, 13)).astype(np.int32),
        "num_tokens": np.array([13, 0, 4, 1, 9, 0, 13, 2], np.int32),
        "labels": (rng.random((B, G)) < 0.4).astype(np.uint8),
        "index": np.arange(B, dtype=np.int32),
        "weight": np.array([1, 1, 1, 1, 1, 1, 1, 0], np.float32),
    }


def as_torch(given) -> dict:
    return {k: torch.tensor(v.astype(np.int64) if v.dtype == np.int32 else v) for k, v in given.items()}


def near(got, want):
    if isinstance(want, torch.Tensor):
        want = want.detach().numpy()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_every_part_gives_the_same(pair: Pair):
    given, twin = batch(pair.settings), pair.twin.eval()

    def parts(state, frozen, given):
        model = pair.network.merge(state, frozen)
        audio, lyrics, mask = model.represent(given, train=False)
        heard, read, log_scale = model.contrast(audio, lyrics, mask)
        fused = model.fuse(audio, lyrics, mask, train=False, key=None)
        vectors = None if model.genre_graph is None else model.genre_graph()
        return audio, lyrics, mask, (heard, read), log_scale, fused, vectors, model.classify(fused)

    parts = jax.jit(parts)
    audio, lyrics, mask, embeddings, log_scale, fused, vectors, logits = parts(pair.state, pair.network.frozen, given)
    want = as_torch(given)
    with torch.no_grad():
        near(audio, twin.audio_tokens(want["spectrogram"]))
        their_lyrics, their_mask = twin.lyrics_tokens(want["tokens"], want["num_tokens"])
        np.testing.assert_array_equal(mask, their_mask)
        near(np.asarray(lyrics)[mask], their_lyrics[their_mask])
        their_audio = torch.tensor(np.asarray(audio))
        their_lyrics = torch.tensor(np.asarray(lyrics))
        for ours, theirs in zip(embeddings, twin.contrast(their_audio, their_lyrics, their_mask), strict=True):
            near(ours, theirs)
        near(log_scale, twin.log_scale)
        near(fused, twin.fuse(their_audio, their_lyrics, their_mask))
        if vectors is not None:
            near(vectors, twin.genre_graph())
        near(logits, twin.classify(torch.tensor(np.asarray(fused))))
        whole = twin(want["spectrogram"], want["tokens"], want["num_tokens"])
    near(logits, whole.logits)


def test_a_roberta_is_the_same_in_both(tmp_path: Path):
    folder = save_encoder(tmp_path)
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | {"model_type": "roberta", "pad_token_id": 1}))
    test_every_part_gives_the_same(make_pair(folder, "lyrics.window=9"))


def recorder() -> optax.GradientTransformation:
    """An optimiser that changes nothing and whose state is the gradient."""
    zeros = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
    return optax.GradientTransformation(zeros, lambda gradients, state, params=None: (zeros(gradients), gradients))


def test_losses_and_every_gradient(pair: Pair):
    given = batch(pair.settings)
    own = jax.tree.map(jnp.copy, pair.state)  # the step takes it; the other tests need theirs
    network, state = pair.network, begin(pair.network, own, recorder())
    step = steps.make_train_step(network, state, recorder(), make_objective(pair.settings))
    state, losses = step(state, network.frozen, StreamedBatch(given))
    twin = copy.deepcopy(pair.twin)
    theirs = torch_build.trainer(pair.settings, twin, steps_per_epoch=1).losses(as_torch(given))
    for name, value in theirs.items():
        np.testing.assert_allclose(losses[name], value.item(), rtol=1e-5, err_msg=name)
    theirs["loss"].backward()
    gradients = {n: p.grad for n, p in twin.named_parameters() if p.requires_grad}
    whole = float(losses["gradient_norm"])
    assert whole > 0
    seen = set()
    for path, ours in leaves(state.opt_state):
        name, their_name, axes = weights.row(jax.tree_util.keystr(path, simple=True, separator="."), ours.ndim)
        want = gradients[their_name]
        want = np.zeros_like(ours) if want is None else np.transpose(want.numpy(), np.argsort(axes))
        # Some gradients are zero but for rounding (the keys' bias shifts a softmax): a floor at the scale of all.
        assert np.linalg.norm(ours - want) <= 1e-4 * np.linalg.norm(want) + 1e-7 * whole, name
        seen.add(their_name)
    assert seen == set(gradients)


@pytest.mark.parametrize("variant", [pytest.param("default", marks=pytest.mark.rare), "trained encoder"])
def test_twenty_steps_lose_the_same(encoder: Path, variant: str):
    pair = make_pair(encoder, VARIANTS[variant])
    optimiser = make_optimiser(pair.settings, steps_per_epoch=3)
    network, state = pair.network, begin(pair.network, pair.state, optimiser)
    step = steps.make_train_step(network, state, optimiser, make_objective(pair.settings))
    trainer = torch_build.trainer(pair.settings, pair.twin, steps_per_epoch=3)
    curve = []
    for number in range(STEPS):
        given = batch(pair.settings, seed=number % 3)
        state, ours = step(state, network.frozen, StreamedBatch(given))
        theirs = trainer.step(as_torch(given))
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-4, err_msg=f"{name} of step {number + 1}")
        curve.append(theirs["loss"])
    assert curve[-1] < 0.8 * curve[0]


def test_weights_travel_both_ways(pair: Pair):
    back = weights.from_torch(pair.twin.state_dict(), jax.tree.map(jnp.zeros_like, pair.state))
    for part in ("params", "batch_stats", "constants"):
        jax.tree.map(np.testing.assert_array_equal, getattr(back, part), getattr(pair.state, part))


def test_weights_of_another_model_are_refused_by_name(encoder: Path):
    ours, other = make_pair(encoder, ""), make_pair(encoder, "model.width=48 model.fusion=concat")
    with pytest.raises(InputError) as error:
        weights.to_torch(ours.state, other.twin)
    for problem in ("join.weight is missing", "cross_attention.join.weight is not known", "(24,), not (48,)"):
        assert problem in str(error.value)
    with pytest.raises(InputError, match=r"audio_projection\.bias is \(48,\), not \(24,\)"):
        weights.from_torch(other.twin.state_dict(), ours.state)


def test_the_twin_has_no_lamb():
    with pytest.raises(InputError, match="trains with adamw, not lamb"):
        torch_build.trainer(recipes.load(None, ["train.optimiser=lamb"]), None, steps_per_epoch=1)


def test_a_rival_has_no_twin(encoder: Path):
    settings = recipes.load(None, ["model.architecture=pandeya", "loss.contrastive_weight=0.0"])
    nothing = np.ones((G, G))
    with pytest.raises(InputError, match="pandeya has no PyTorch twin"):
        torch_build.classifier(
            settings,
            bert=torch_build.pretrained(encoder),
            adjacency=nothing,
            name_features=nothing,
            prior_logits=nothing,
        )


def test_a_trained_run_scores_the_same_in_pytorch(run: Path, data: Path):
    prepared = PreparedData(data)
    model = mgc_jax.load(str(run))
    given = next(prepared.evaluation_batches("test", batch_size=16))
    given.pop("lyrics_features", None)  # both encode the tokens themselves, in float32
    ours = make_evaluation_step(model.network)(model.state, model.network.frozen, given)["scores"]
    twin = torch_build.of_run(str(run))
    with torch.no_grad():
        theirs = twin(*(as_torch(given)[name] for name in ("spectrogram", "tokens", "num_tokens"))).logits.sigmoid()
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
    assert np.ptp(np.asarray(ours), axis=0).max() > 0.01


@pytest.mark.slow
def test_a_run_that_trained_its_encoder_keeps_it(corpus: Path, encoder: Path, tmp_path: Path):
    settings = ["--config", CONFIG, *CORPUS, "--config.lyrics.input=tokens", f"--config.lyrics.encoder={encoder}"]
    data, workdir = tmp_path / "data", tmp_path / "run"
    assert main(["prepare", *settings, "--source", str(corpus), "--out", str(data)]) == 0
    settings += ["--config.train.encoder_rate=0.1", "--config.train.epochs=1"]
    assert main(["train", *settings, "--data", str(data), "--workdir", str(workdir)]) == 0
    model = mgc_jax.load(str(workdir))
    before = build.pretrained_bert(encoder, model.config).layers[0].up.kernel[...]
    after = model.state.params["bert"]["layers"][0]["up"]["kernel"]
    assert 0 < np.abs(np.asarray(after) - np.asarray(before)).max() < 0.01
    assert not model.network.frozen
    given = next(PreparedData(data).evaluation_batches("test", batch_size=16))
    ours = make_evaluation_step(model.network)(model.state, model.network.frozen, given)["scores"]
    twin = torch_build.of_run(str(workdir))
    with torch.no_grad():
        theirs = twin(*(as_torch(given)[name] for name in ("spectrogram", "tokens", "num_tokens"))).logits.sigmoid()
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
