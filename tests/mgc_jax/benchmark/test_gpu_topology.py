"""Compiling for GPUs that are not there, by XLA's compiler in JAX's CUDA plugin: ``make cuda-compile``."""

import importlib.util
import json
import os
import re
import sys

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from mgc_jax.benchmark import chips, collectives, cost, gpu_topology, program_text, topology, workload
from mgc_jax.benchmark.collectives import Collective
from mgc_jax.cli import main
from mgc_jax.models import bert, first_block_triton
from mgc_jax.models.first_block import first_block
from mgc_jax.network import kernels, state
from mgc_jax.runtime import sharding

PLUGINS = "jax_cuda12_plugin", "jax_cuda13_plugin"
# Told to, these tests fail where the plugin is not installed, instead of being skipped.
with_compiler = pytest.mark.skipif(
    not any(map(importlib.util.find_spec, PLUGINS)) and "CUDA_COMPILER_EXPECTED" not in os.environ,
    reason="no CUDA plugin is installed",
)
SMALL = "audio.seconds=3.0 lyrics.max_tokens=8 model.width=16 model.heads=2 model.gcn_hidden=16".split()
COMPILE = ["compile", "--size", "demo", *(f"--config.{item}" for item in SMALL), "--topology"]
FULLY = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
"""Not as programs of other tests are compiled, which run for a moment only."""
NO_SPILLS = {**FULLY, "xla_gpu_fail_ptx_compilation_on_register_spilling": True}
TRITON = "__gpu$xla.gpu.triton"


@pytest.fixture
def texts(monkeypatch):
    """Of the programs whose cost is asked for."""
    seen, real = [], cost.of

    def noted(compiled, platform):
        seen.append(compiled.as_text())
        return real(compiled, platform)

    monkeypatch.setattr(cost, "of", noted)
    return seen


@pytest.mark.parametrize(
    "name",
    ["h100", "h100:", "h100:0", "h100:9", "h100:16", "h100:1x2", "h100:²", "H100:1", "v100:1", "a100-40gb", ":1"],
)
def test_a_topology_that_there_is_not_is_refused_in_one_sentence(name, capsys):
    assert main([*COMPILE, name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"There is no topology {name!r}; they are like v5e:2x2" in line
    assert "like h100:1 or h100:8, also a100, a100-40gb, h100, h200, l4, up to 8 each." in line


def test_without_the_compiler_the_extra_is_named(monkeypatch, capsys):
    for plugin in PLUGINS:
        monkeypatch.setitem(sys.modules, plugin, None)
    assert main([*COMPILE, "h100:1"]) == 2
    assert "pip install 'mgc-jax[cuda]'" in capsys.readouterr().err


def test_what_the_compiler_is_told_is_what_the_data_sheets_say():
    for gpu in gpu_topology.GPUS.values():
        told, chip = gpu_topology.target_config(gpu), chips.CHIPS[gpu.kind]
        assert f'device_description_str: "{gpu.kind}"' in told
        assert f"memory_bandwidth: {int(chip.bandwidth)}\n" in told
        assert f"device_memory_size: {int(chip.memory)}\n" in told
        peak = 2 * gpu.cores * gpu.lanes * gpu.clock * 1e9  # of float32, without tensor cores
        assert 3 < chip.flops / peak < 20


def test_what_xla_counts_of_a_program_without_devices_is_what_it_counts_of_one_with():
    shapes = jax.ShapeDtypeStruct((16, 32), jnp.float32), jax.ShapeDtypeStruct((32, 8), jnp.float32)
    compiled = jax.jit(lambda a, b: jnp.tanh(a @ b)).lower(*shapes).compile()
    alone, known = cost._of_a_program_without_devices(compiled), compiled.cost_analysis()
    for key in ("flops", "bytes accessed"):
        assert alone[key] == known[key]
    assert alone["flops"] >= 2 * 16 * 32 * 8
    assert cost.of(compiled, "cpu") == (known["flops"], known["bytes accessed"])


@with_compiler
@pytest.mark.parametrize("kind", gpu_topology.GPUS)
def test_every_gpu_has_its_data_sheet_and_a_compiler(kind):
    found = topology.devices(f"{kind}:8")
    assert {device.device_kind for device in found} == {gpu_topology.GPUS[kind].kind}
    assert [device.id for device in found] == list(range(8))
    x = jax.ShapeDtypeStruct((1024,), jnp.float32, sharding=jax.sharding.SingleDeviceSharding(found[0]))
    compiled = jax.jit(lambda x: 2 * x + 1).lower(x).compile()
    assert cost.of(compiled, "gpu") == (None, 2 * 4 * 1024)
    assert jax.default_backend() == "cpu"


@with_compiler
def test_what_libraries_and_kernels_of_our_own_move_is_counted():
    place = jax.sharding.SingleDeviceSharding(topology.devices("h100:1")[0])
    shapes = (4, 64, 64, 32), (3, 3, 32, 32)
    x, kernel = (jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=place) for shape in shapes)

    def convolution(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    compiled = jax.jit(convolution).lower(x, kernel).compile()
    assert "__cudnn$conv" in compiled.as_text()
    moved = 2 * (2 * 4 * 64 * 64 * 32 + 3 * 3 * 32 * 32)
    counted = cost.of(compiled, "gpu")
    assert counted.flops is None
    assert moved <= counted.bytes < 1.1 * moved  # more: the kernel is transposed before


@with_compiler
@pytest.mark.slow
def test_a_step_has_the_kernels_that_a_gpu_would_be_given(texts, tmp_path, capsys):
    file = tmp_path / "compiled.json"
    assert main([*COMPILE, "h100:1", "h100:2", "--lyrics", "features", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "attention runs by XLA" not in printed
    assert "GFLOP for GPUs are counted from the shapes of the model." in printed
    assert len(texts) == 2
    for text in texts:
        assert text.count(f'custom_call_target="{TRITON}"') == 3
        assert "__cublas$" in text
        assert "gemm_fusion" not in text
        assert text.count('custom_call_target="__cudnn$fmhaSoftmax"') == 2
        assert text.count('custom_call_target="__cudnn$fmhaSoftmaxBackward"') == 2
    alone, both = json.loads(file.read_text())["rows"]
    for row in (alone, both):
        assert row["compiler_flops"] is None
        assert 0 < row["device_bytes"] < row["chip_bytes"] == 80e9
        assert 0 < row["compiler_bytes"] < 1e9
        assert row["roofline_seconds"]["arithmetic"] == pytest.approx(16 * row["model_flops_per_track"] / 989e12)
        assert f"| {row['topology']} | spectrogram | features | 16 | " in printed
    assert alone["collectives"] == []
    assert both["sent_bytes"] == sum(collectives.sent(Collective(**exchange), 2) for exchange in both["collectives"])
    load = workload.make("demo", "features", None, SMALL, batches=0)
    _, shapes = state.untrained_shapes(load.config, load.num_genres, load.encoder, sharding.make_mesh())
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes.params))
    summed = sum(c["bytes"] * c["times"] for c in both["collectives"] if c["kind"] == "all-reduce")
    # Gradients in bfloat16; in float32 by the compiler of jax 0.12. What both chips compute alike is not summed.
    assert 0.9 * 2 * parameters < summed < 1.1 * 4 * parameters


def moved_by_each(text):
    """Bytes of the operands and results of all that the main computation runs, one after the other."""
    shapes, total = {}, 0
    for line in text.partition("\nENTRY ")[2].splitlines()[1:]:
        if found := re.match(r"\s*(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w-]+)\((.*)", line):
            name, result, kind, rest = found.groups()
            shapes[name] = sum(program_text.sizes(re.sub(r"s8\[4194304\]", "", result)))  # cuBLAS's scratch
            if kind not in ("parameter", "constant", "get-tuple-element", "tuple", "bitcast"):
                operands = re.findall(r"%([\w.-]+)", rest.partition(")")[0])
                total += shapes[name] + sum(shapes[operand] for operand in operands)
    return total


@with_compiler
@pytest.mark.slow
def test_the_papers_model_moves_what_its_kernels_read_and_write(texts):
    row = topology.compile_for("h100:1", "paper", "features")
    by_hand = moved_by_each(*texts)
    assert 0.95 * by_hand < row["compiler_bytes"] <= by_hand  # less: a kernel may read a part of an array only
    assert 150e6 < row["compiler_bytes"] / 16 < 450e6
    assert 0 < row["device_bytes"] < 2e9


@with_compiler
def test_attention_that_cudnn_does_not_take_is_xlas_with_a_line(capsys):
    bf16 = jnp.dtype("bfloat16")
    assert kernels.attention_kernel("auto", [64, 8], bf16, "gpu") == "cudnn"
    assert capsys.readouterr().out == ""
    assert kernels.attention_kernel("auto", [64, 12], bf16, "gpu") == "xla"
    assert "for heads of 12 channels in bfloat16, cannot be used here (The head dim" in capsys.readouterr().out


def program(name, shape, channels, pool, dtype):
    """The first block by Triton's kernels, forward and backward, for the GPUs ``name``."""
    mesh = sharding.make_mesh(devices=topology.devices(name))
    rows, whole = sharding.batch_sharding(mesh), NamedSharding(mesh, P())
    given = [
        jax.ShapeDtypeStruct(shape, dtype, sharding=rows),
        *(
            jax.ShapeDtypeStruct(s, jnp.float32, sharding=whole)
            for s in ((3, 3, 1, channels), (channels,), (channels,))
        ),
    ]
    block = lambda *g: first_block(*g, pool, 1e-5, "triton", mesh)[0].astype(jnp.float32).sum()  # noqa: E731
    return jax.jit(jax.value_and_grad(block, (1, 2, 3))).lower(*given)


@with_compiler
@pytest.mark.parametrize("name", ["h100:1", "a100:1"])
@pytest.mark.parametrize(
    ("shape", "channels", "pool", "options"),
    [
        pytest.param((2, 1292, 128), 64, (2, 2), NO_SPILLS, id="paper"),
        pytest.param((2, 37, 19), 24, (3, 2), FULLY, id="odd"),
    ],
)
def test_the_first_blocks_kernels_become_programs_and_keep_to_their_registers(name, shape, channels, pool, options):
    compiled = program(name, shape, channels, pool, jnp.bfloat16).compile(compiler_options=options)
    text = compiled.as_text()
    assert text.count(TRITON) == 3
    assert {kernel for kernel in ("moments", "pooled", "winners") if f"_{kernel}_kernel" in text} == {
        "moments",
        "pooled",
        "winners",
    }


@with_compiler
def test_kernels_that_do_not_keep_to_their_registers_are_told(monkeypatch):
    monkeypatch.setattr(first_block_triton, "WINNERS", first_block_triton.Tiling(64, 1, 4))
    monkeypatch.setattr(first_block_triton.Tiling, "holding", lambda tiling, sums: tiling)
    with pytest.raises(jax.errors.JaxRuntimeError, match="spill"):
        program("h100:1", (1, 64, 64), 64, (2, 2), jnp.bfloat16).compile(compiler_options=NO_SPILLS)


def transposed(text):
    """The bytes of activations, 3 axes or more, that a program's own transposing kernels write."""
    results = re.findall(r"^\s*%\S*transpose\S* = (\(.*?\)|\S+) (?:fusion|transpose)\(", text, re.MULTILINE)
    return sum(sum(program_text.sizes(result)) for result in results if re.search(r"\[\d+,\d+,\d+", result))


def trained_encoder():
    """A BERT of two layers, its value and gradients, for one H100: 64 x 128 tokens, 128 channels."""
    place = jax.sharding.SingleDeviceSharding(topology.devices("h100:1")[0])
    config = bert.BertConfig(512, 128, 2, 2, 512)
    network = nnx.eval_shape(
        lambda: bert.Bert(config, frozen=False, dtype=jnp.bfloat16, kernel="cudnn", rngs=nnx.Rngs(0))
    )
    graph, weights = nnx.split(network)
    given = [jax.ShapeDtypeStruct((64, 128), dtype, sharding=place) for dtype in (jnp.int32, jnp.bool_)]
    weights = jax.tree.map(lambda w: jax.ShapeDtypeStruct(w.shape, w.dtype, sharding=place), weights)
    loss = lambda weights, *given: (nnx.merge(graph, weights)(*given) ** 2).sum()  # noqa: E731
    return jax.jit(jax.value_and_grad(loss)).lower(weights, *given).compile()


@with_compiler
def test_a_trained_encoder_leaves_its_tokens_in_their_order(monkeypatch):
    activation = 2 * 64 * 128 * 128
    assert transposed(trained_encoder().as_text()) == 0
    monkeypatch.setattr(bert, "gradient_by_track", lambda x: x)
    assert transposed(trained_encoder().as_text()) > 20 * activation
