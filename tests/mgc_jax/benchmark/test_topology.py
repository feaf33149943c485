"""Compiling for TPUs that are not there, with their real compiler; the exchanges are held by a golden file."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from mgc_jax.benchmark import chips, collectives, program_text, topology, workload
from mgc_jax.benchmark.collectives import Collective
from mgc_jax.cli import main
from mgc_jax.network import state
from mgc_jax.runtime import sharding
from mgc_jax.training import state as train_state
from mgc_jax.training.objective import make_optimiser

pytestmark = pytest.mark.eight_devices
GOLDEN = Path(__file__).with_name("collectives_v5e_2x2.json")
SMALL = (
    "audio.seconds=1.5 lyrics.max_tokens=8 model.width=16 model.heads=2 model.gcn_hidden=16 train.batch_size=32"
).split()
COMPILE = ["compile", "--size", "demo", *(f"--config.{item}" for item in SMALL), "--topology"]

EXCHANGES = {
    "all-reduce": (lambda x: lax.psum(x, "data"), P(), 4 * 100),
    "all-gather": (lambda x: lax.all_gather(x, "data"), P(None, "data"), 4 * 800),
    "reduce-scatter": (lambda x: lax.psum_scatter(x, "data", tiled=True), P("data"), 4 * 25),
    "collective-permute": (
        lambda x: lax.ppermute(x, "data", [(i, (i + 1) % 8) for i in range(8)]),
        P("data"),
        4 * 100,
    ),
}


@pytest.mark.parametrize("kind", EXCHANGES)
def test_what_a_program_exchanges_is_counted(kind):
    exchange, out, size = EXCHANGES[kind]
    per_device = 200 if kind == "reduce-scatter" else 100
    mesh = sharding.make_mesh()
    program = jax.jit(jax.shard_map(exchange, mesh=mesh, in_specs=P("data"), out_specs=out, check_vma=False))
    text = program.lower(jax.ShapeDtypeStruct((8 * per_device,), jnp.float32)).compile().as_text()
    assert collectives.of(text) == [Collective(kind, size, 1)]


def test_what_the_chips_start_and_wait_for_is_counted_once():
    text = """
  %permute.1 = (f32[8,4]{0,1:T(4,128)S(1)}, f32[8,4]{0,1}, u32[]{:S(2)}, u32[]) collective-permute-start(%x), id=1
  %done.1 = f32[8,4]{0,1:T(4,128)S(1)} collective-permute-done(%permute.1)
  %sum = (bf16[3,3,1,8]{3,2,1,0:T(2,128)(2,1)S(1)}, /*index=1*/pred[5]{0}, f32[]{:T(128)}) all-reduce(%a, %b, %c)
  %joined = ((f32[4,2]{1,0}, pred[4]{0}), (f32[8,2]{1,0}, /*index=1*/pred[8]{0})) all-gather-start(%z, %m)
  %scatter = ((f32[8]{0}), f32[4]{0}) reduce-scatter-start(%v), dimensions={0}
  ROOT %gather.2 = (s32[4]{0}, s32[16]{0}) all-gather-start(%y), dimensions={0}
"""
    assert collectives.of(text) == [
        Collective("all-reduce", 2 * 72 + 5 + 4, 1),
        Collective("collective-permute", 4 * 32, 1),
        Collective("all-gather", 4 * 16 + 8, 1),
        Collective("all-gather", 4 * 16, 1),
        Collective("reduce-scatter", 4 * 4, 1),
    ]


def test_what_a_program_only_copies_is_counted():
    text = """
%fused (p: f32[64]) -> f32[64] {
  %inside = f32[64]{0} copy(%p)
}

ENTRY %main (x: bf16[4,8]) -> bf16[8,4] {
  %ahead = (f32[9]{0:S(1)}, f32[9]{0}, u32[]) copy-start(%y)
  %part = bf16[2,8]{1,0:T(8,128)(2,1)} slice(%x), slice={[0:2], [0:8]}
  %turned = f32[8,4]{1,0} transpose(%x), dimensions={1,0}
  ROOT %again = bf16[8,4]{0,1} copy(%turned)
}
"""
    assert program_text.copied(text) == 2 * 16 + 4 * 32 + 2 * 32


def test_what_a_program_hands_to_kernels_is_counted():
    text = """
%fused (p: f32[64]) -> f32[64] {
  ROOT %twice = f32[64]{0} add(%p, %p)
}

ENTRY %main (x: bf16[4,8], k: f32[3]) -> bf16[8,4] {
  %x = bf16[4,8]{1,0} parameter(0), metadata={op_name="x"}
  %k.1 = f32[3]{0} parameter(1)
  %own = (bf16[4,8]{1,0:T(8,128)}, u8[5]{0}) custom-call(%x, /*index=1*/%k.1), custom_call_target="own", api_version=X
  %first = bf16[4,8]{1,0} get-tuple-element(%own), index=0
  %more = f32[64]{0} fusion(%first), kind=kLoop, calls=%fused
  ROOT %other = bf16[8,4]{1,0} custom-call(%first), custom_call_target="library"
}
"""
    assert program_text.called(text) == (64 + 12 + 64) + (64 + 64)  # without the scratch of five bytes


def test_a_reduction_is_a_scatter_and_a_gather():
    whole = collectives.sent(Collective("all-reduce", 1600, 3), 8)
    scattered = collectives.sent(Collective("reduce-scatter", 1600 // 8, 3), 8)
    assert whole == scattered + collectives.sent(Collective("all-gather", 1600, 3), 8) == 2 * 3 * 1600 * 7 / 8


def test_the_shapes_are_those_of_a_network_that_is_there():
    load = workload.make("demo", "tokens", None, SMALL, batches=1)
    mesh = sharding.make_mesh()
    arguments, optimiser = (load.config, load.num_genres, load.encoder, mesh), make_optimiser(load.config, 10)
    network, shapes = state.untrained_shapes(*arguments)
    real, values = state.untrained(*arguments)
    shapes, values = train_state.shapes(network, shapes, optimiser), train_state.begin(real, values, optimiser)
    told = [
        [(x.shape, x.dtype, x.sharding) for x in jax.tree.leaves(tree)]
        for tree in (shapes, values, network.frozen, real.frozen)
    ]
    assert told[0] == told[1]
    assert told[2] == told[3]


@pytest.mark.slow
@pytest.mark.parametrize("lyrics", ["features", pytest.param("tokens", marks=pytest.mark.rare)])
def test_the_exchanges_are_the_golden_ones(tmp_path: Path, capsys, lyrics: str):
    pytest.importorskip("libtpu")
    file = tmp_path / "compiled.json"
    assert main([*COMPILE, "v5e:2x2", "--lyrics", lyrics, "--json", str(file)]) == 0
    (row,) = json.loads(file.read_text())["rows"]
    found = dict.fromkeys(collectives.KINDS, 0)
    for exchange in row["collectives"]:
        found[exchange["kind"]] += exchange["bytes"] * exchange["times"]
    assert found == json.loads(GOLDEN.read_text())[lyrics], (
        f"The chips exchange other bytes than before. If that is meant, {lyrics} in {GOLDEN.name} becomes "
        f"{json.dumps(found)}"
    )
    assert 0 < row["device_bytes"] < row["chip_bytes"]
    assert row["copied_bytes"] < 0.02 * row["compiler_bytes"], "an activation is copied or transposed"
    assert all(0 < seconds < 1 for seconds in row["roofline_seconds"].values())
    assert row["sent_bytes"] == sum(collectives.sent(Collective(**exchange), 4) for exchange in row["collectives"])
    printed = capsys.readouterr().out
    assert f"| v5e:2x2 | spectrogram | {lyrics} | 8 | " in printed
    assert f"| v5e:2x2 | spectrogram | {lyrics} | all-reduce | " in printed


@pytest.mark.slow
@pytest.mark.rare  # test_memory.py has the search for what fits a CPU
def test_a_batch_that_does_not_fit_is_refused_with_the_largest_that_does(monkeypatch, capsys):
    pytest.importorskip("libtpu")
    v5e = chips.CHIPS["TPU v5 lite"]
    # Mosaic's kernels fill registers of 128 tracks, so that half of so few spares no memory.
    written = "compute.first_block=convolution"
    row = topology.compile_for("v5e:2x2", "demo", "features", None, [*SMALL, "train.batch_size=32", written])
    monkeypatch.setitem(chips.CHIPS, "TPU v5 lite", v5e._replace(memory=row["device_bytes"]))
    too_many = ["--config.train.batch_size=64", f"--config.{written}"]
    assert main([*COMPILE, "v5e:2x2", "--lyrics", "features", *too_many]) == 2
    said = capsys.readouterr()
    assert "A batch of 64 (train.batch_size) does not fit" in said.err
    largest = int(said.err.split("the largest that does is ")[1].split(".")[0])
    assert 32 <= largest < 64
    assert largest % 4 == 0


@pytest.mark.parametrize(
    "name",
    [
        "",
        "v5e",
        "v5e:",
        "v5e:0x2",
        "v5e:2x2x2",
        "v5p:2x2",
        "v5e:100x100",
        "v5e:17x16",
        "v4:2x2x2",
        "v5e:2x-2",
        "v5e:²x2",
    ],
)
def test_a_topology_that_there_is_not_is_refused_in_one_sentence(name, capsys):
    assert main([*COMPILE, name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"There is no topology {name!r}; they are like v5e:2x2" in line


def test_settings_are_refused_before_the_first_program_is_compiled(monkeypatch, capsys):
    monkeypatch.setattr(topology, "compile_for", None)
    assert main([*COMPILE, "v5e:2x2", "--config.train.encoder_rate=0.1"]) == 2
    assert "with lyrics.input=tokens has a lyrics encoder in its training step" in capsys.readouterr().err


def test_slices_that_are_not_sold_are_refused_by_the_compiler(capsys):
    pytest.importorskip("libtpu")
    assert main([*COMPILE, "v5e:3x3"]) == 2
    assert "The TPU's compiler refuses v5e:3x3" in capsys.readouterr().err


def test_without_the_compiler_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "libtpu", None)
    assert main([*COMPILE, "v5e:2x2"]) == 2
    assert "pip install 'mgc-jax[tpu]'" in capsys.readouterr().err


def test_a_batch_that_the_chips_do_not_divide_is_refused(capsys):
    pytest.importorskip("libtpu")
    assert main([*COMPILE, "v5e:2x2", "--config.train.batch_size=30"]) == 2
    assert "train.batch_size is 30, which 4 data-parallel devices cannot share evenly" in capsys.readouterr().err
    assert main([*COMPILE, "v5e:2x2", "--config.compute.model_parallel=3"]) == 2
    assert "4 devices cannot be cut into groups of 3 (model_parallel)." in capsys.readouterr().err


def test_chips_are_told_by_their_published_figures():
    for name, chip in chips.CHIPS.items():
        assert 100 < chip.flops / chip.bandwidth < 600, name  # FLOP a byte, at which memory stops being the limit
        assert 15e9 < chip.memory < 200e9, name
        assert 0.02 < chip.links / chip.bandwidth < 0.5, name
