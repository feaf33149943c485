"""Wherever the weights live, training is the same: data parallel, FSDP, tensor parallel, and both at once."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from mgc_jax.benchmark import workload
from mgc_jax.models.bert import BertConfig
from mgc_jax.network import state
from mgc_jax.runtime import sharding
from mgc_jax.training import state as train_state
from mgc_jax.training import steps
from mgc_jax.training.batches import StreamedBatch
from mgc_jax.training.objective import make_objective, make_optimiser

pytestmark = pytest.mark.eight_devices
ENCODER = BertConfig(101, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
SETTINGS = (
    "audio.seconds=1.5 lyrics.max_tokens=8 model.width=16 model.heads=2 model.gcn_hidden=16 train.batch_size=8 "
    "train.learning_rate=1e-4 train.warmup_steps=20"
).split()
STEPS = 6
FROZEN, TRAINED = "train.encoder_rate=0.0", "train.encoder_rate=0.5"
MESHES = {
    "data parallel": "compute.fsdp=False compute.model_parallel=1",
    "fsdp": "compute.fsdp=True compute.model_parallel=1",
    "tensor parallel": "compute.fsdp=False compute.model_parallel=2",
    "fsdp and tensor parallel": "compute.fsdp=True compute.model_parallel=4",
}


@functools.cache
def examples() -> workload.Workload:
    load = workload.make("demo", "tokens", None, SETTINGS, batches=2)
    load.examples["tokens"] %= ENCODER.vocab_size
    return load


def curve(load, overrides: list[str], devices: int) -> tuple[list[float], state.Network, state.ModelState]:
    settings = workload.make("demo", "tokens", None, [*SETTINGS, *overrides], batches=0).config
    mesh = sharding.make_mesh(settings.compute.model_parallel, jax.devices()[:devices])
    optimiser = make_optimiser(settings, steps_per_epoch=10)
    network, model = state.untrained(settings, load.num_genres, ENCODER, mesh)
    current = train_state.begin(network, model, optimiser)
    step = steps.make_train_step(network, current, optimiser, make_objective(settings))
    losses = []
    for number in range(STEPS):
        current, metrics = step(current, network.frozen, StreamedBatch(sharding.place_batch(load.batch(number), mesh)))
        losses.append(float(metrics["loss"]))
    return losses, network, current.model


@functools.cache
def on_one_device(encoder_rate: str) -> list[float]:
    return curve(examples(), [encoder_rate], devices=1)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder_rate", "mesh"),
    [
        (TRAINED, "fsdp and tensor parallel"),
        pytest.param(FROZEN, "fsdp and tensor parallel", marks=pytest.mark.rare),
        *(pytest.param(TRAINED, mesh, marks=pytest.mark.rare) for mesh in MESHES if "and" not in mesh),
    ],
)
def test_losses_do_not_depend_on_where_weights_live(encoder_rate, mesh):
    losses, network, last = curve(examples(), [encoder_rate, *MESHES[mesh].split()], devices=8)
    np.testing.assert_allclose(losses, on_one_device(encoder_rate), rtol=1e-5)
    assert len(set(losses)) == STEPS

    encoder = (last.params if encoder_rate == TRAINED else network.frozen)["bert"]
    first = encoder["layers"][0]["query"]["kernel"]
    cut = network.mesh.shape["model"]
    if "fsdp" in mesh and encoder_rate == TRAINED:
        cut *= network.mesh.shape["data"]
    assert first.addressable_shards[0].data.size == first.size // cut
    kernel = last.params["genre_graph"]["layers"][0]["kernel"]
    kept = kernel.size // (network.mesh.shape["data"] if "fsdp" in mesh else 1)
    assert kernel.addressable_shards[0].data.size == kept


def test_the_first_rule_that_matches_decides():
    mesh = sharding.make_mesh(2)
    tree = {"bert": {"layers": {"0": {"down": {"kernel": np.zeros((8, 6))}}}}, "bias": np.zeros(4)}
    placed = sharding.tree_shardings(tree, mesh, sharding.rules(fsdp=True))
    assert placed["bert"]["layers"]["0"]["down"]["kernel"].spec == P("model", None)  # 6 is no multiple of 4
    assert placed["bias"].spec == P()
    with pytest.raises(ValueError, match="no sharding rule matches bias"):
        sharding.tree_shardings(tree, mesh, ((r"kernel", P()),))
