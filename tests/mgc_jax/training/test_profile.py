"""Traces of training steps: which kernels they hold, and which part of the model each belongs to."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.profiler import ProfileData

from data_pipeline.errors import InputError
from mgc_jax.cli import main
from mgc_jax.runtime import device_trace
from mgc_jax.runtime.device_trace import Kernel
from mgc_jax.training import kernel_table
from mgc_jax.training.profile import Steps
from mgc_jax.training.step_parts import Program
from tests.support.recipe import CONFIG, TINY

PROGRAM = """HloModule jit_step, is_scheduled=true

%fused_computation.1 (p.1: f32[]) -> f32[] {
  %p.1 = f32[] parameter(0)
  ROOT %multiply.1 = f32[] multiply(%p.1, %p.1), metadata={op_name="jit(step)/optimiser/mul"}
}

ENTRY %main.9 (x.1: f32[]) -> f32[] {
  %x.1 = f32[] parameter(0), metadata={op_name="state.params['audio_encoder']"}
  %copy.2 = f32[] copy(%x.1)
  %cudnn-conv.3 = f32[] custom-call(%copy.2), metadata={op_name="jit(step)/jvp(projections)/audio_encoder/conv"}
  %copy.4 = f32[] copy(%cudnn-conv.3)
  %dot.5 = f32[] dot(%copy.4, %x.1), metadata={op_name="jit(step)/transpose(jvp(fusion))/dot_general"}
  %all-reduce-start.6 = f32[] all-reduce-start(%dot.5), metadata={op_name="jit(step)/transpose(jvp(fusion))/sum"}
  %loop_multiply_fusion.7 = f32[] fusion(%dot.5), kind=kLoop, calls=%fused_computation.1
  ROOT %add.8 = f32[] add(%x.1, %x.1), metadata={op_name="jit(step)/add"}
}
"""


def a_gpus(events: list[tuple[str, int, int, str, int]]) -> ProfileData:
    """A trace in a GPU's form of (kernel's name, start, nanoseconds, instruction or "", number of the program)."""
    shown = ""
    for number, (_, start, length, op, program) in enumerate(events, 1):
        said = f'stats {{ metadata_id: 1 str_value: "{op}" }} stats {{ metadata_id: 2 int64_value: {program} }}'
        times = f"offset_ps: {1000 * start} duration_ps: {1000 * length}"
        shown += f"events {{ metadata_id: {number} {times} {said if op else ''} }}"
    names = "".join(
        f'event_metadata {{ key: {number} value {{ id: {number} name: "{event[0]}" }} }}'
        for number, event in enumerate(events, 1)
    )
    stats = "".join(
        f'stat_metadata {{ key: {i} value {{ id: {i} name: "{name}" }} }}'
        for i, name in enumerate(("hlo_op", "program_id"), 1)
    )
    modules = 'lines { id: 9 name: "XLA Modules" events { metadata_id: 1 duration_ps: 99000000 } }'
    host = """planes { name: "/host:CPU" lines { name: "python" events { metadata_id: 1 duration_ps: 7000
        stats { metadata_id: 1 str_value: "cudnn-conv.3" } } } event_metadata { key: 1 value { id: 1 name: "launch" } }
        stat_metadata { key: 1 value { id: 1 name: "hlo_op" } } }"""
    device = f"""planes {{ name: "/device:GPU:0" lines {{ id: 7 name: "Stream #7(Compute)" {shown} }} {modules}
        {names} {stats} }}"""
    return ProfileData.from_text_proto(device + host)


def test_a_gpus_kernels_are_counted_once_and_each_in_its_part():
    trace = a_gpus(
        [
            ("sm90_xmma_fprop_implicit_gemm", 0, 4000, "cudnn-conv.3", 5),
            ("gemm_bf16", 5000, 3000, "dot.5", 5),
            ("ncclDevKernel_AllReduce", 9000, 2000, "all-reduce-start.6", 5),
            ("loop_multiply_fusion_7", 12000, 1000, "", 0),  # of a CUDA graph, which says no instruction
            ("MemcpyD2H", 14000, 500, "", 0),
            ("loop_add_fusion", 15000, 250, "add.99", 6),  # of an evaluation
        ]
    )
    result = kernel_table.summary(device_trace.kernels(trace), [PROGRAM], steps=2, seconds=1e-4)
    assert result["parts"] == pytest.approx(
        {
            "audio CNN or encoder": 0.002,
            "fusion (SCMA)": 0.0015,
            "collectives": 0.001,
            "optimiser": 0.0005,
            "other": 0.00025,
            "other programs": 0.000125,
        }
    )
    assert result["kernel_ms"] == pytest.approx(sum(row["ms"] for row in result["kernels"]))
    assert result["step_ms"] == pytest.approx(0.05)
    first, second, third = result["kernels"][:3]
    assert (first["name"], first["what"]) == ("sm90_xmma_fprop_implicit_gemm", "conv")
    assert (second["what"], third["what"]) == ("dot_general, backward", "sum, backward")
    assert "| gemm_bf16 | fusion (SCMA) | dot_general, backward | 0.5 | 0.002 |" in kernel_table.markdown(result)


def test_what_the_compiler_put_in_belongs_where_it_comes_from():
    program = Program(PROGRAM)
    parts = {op: program.operation(op).part for op in ("copy.2", "copy.4", "loop_multiply_fusion.7", "add.8", "x.1")}
    assert parts == {
        "copy.2": "audio CNN or encoder",  # whose only known neighbour is its user
        "copy.4": "audio CNN or encoder",
        "loop_multiply_fusion.7": "optimiser",
        "add.8": "other",
        "x.1": "other",
    }
    assert "copy.2" in program
    assert "copy.99" not in program


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=12), st.integers(1, 3))
def test_parts_sum_to_the_total_and_no_time_counts_twice(spans, steps):
    """Whatever lies inside, beside or across what."""
    trace = a_gpus([(f"kernel_{i}", start, length, "dot.5", 5) for i, (start, length) in enumerate(spans)])
    kernels = device_trace.kernels(trace)
    result = kernel_table.summary(kernels, [PROGRAM], steps, 1.0)
    assert sum(result["parts"].values()) == pytest.approx(result["kernel_ms"])
    assert sum(row["ms"] for row in result["kernels"]) == pytest.approx(result["kernel_ms"])
    assert all(kernel.seconds >= 0 for kernel in kernels)
    ends = [(start, start + length) for start, length in spans]
    if all(b[0] >= a[1] or b[1] <= a[1] for a in ends for b in ends if b[0] >= a[0]):  # nested at most
        covered = len({moment for start, end in ends for moment in range(start, end)})
        assert sum(kernel.seconds for kernel in kernels) == pytest.approx(covered * 1e-9)


def test_a_trace_without_kernels_is_a_table_without_rows():
    result = kernel_table.summary([], [PROGRAM], steps=1, seconds=1.0)
    assert result["parts"] == {}
    assert kernel_table.markdown(result).startswith("1 steps of 1000.00 ms")


def test_several_devices_share_a_step():
    kernels = [Kernel("dot", "dot.5", 5, f"/device:GPU:{number}", 0.002) for number in range(4)]
    result = kernel_table.summary(kernels, [PROGRAM], steps=1, seconds=1.0)
    assert (result["devices"], result["kernel_ms"], result["kernels"][0]["times"]) == (4, pytest.approx(2.0), 1)


@pytest.mark.parametrize(
    ("steps", "start", "total", "done"),
    [
        (Steps(20, 25), 0, 25, range(20, 26)),
        (Steps(None, 5), 0, 7, range(3, 8)),
        (Steps(None, 5), 30, 40, range(33, 38)),
        (Steps(20, 26), 0, 25, None),
        (Steps(20, 25), 20, 40, None),
        (Steps(25, 20), 0, 40, None),
        (Steps(0, 3), 0, 40, None),
        (Steps(None, 5), 40, 40, None),
    ],
)
def test_the_steps_of_a_run(steps, start, total, done):
    if done is not None:
        assert steps.of_run(start, total) == done
        return
    with pytest.raises(InputError, match=r"nothing to profile in steps \d+ to \d+: this run"):
        steps.of_run(start, total)


@pytest.mark.slow
def test_a_run_leaves_a_trace_and_a_table_and_a_resumed_one_says_what_it_has_not(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    command = ["train", "--config", CONFIG, *TINY, "--config.train.epochs=1", "--data", str(data)]
    command += ["--config.train.batch_size=8", "--workdir", str(tmp_path / "run"), "--profile"]
    assert main([*command, "2:99"]) == 2
    assert "There is nothing to profile in steps 2 to 99: this run does steps 1 to " in capsys.readouterr().err
    assert main([*command, "2:3"]) == 0
    said = capsys.readouterr().out
    assert f"the trace of steps 2 to 3 is in {tmp_path / 'run' / 'profile'}" in said
    assert "| audio CNN or encoder | " in said
    assert "| optimiser | " in said
    trace = ProfileData.from_file(str(device_trace.newest(tmp_path / "run" / "profile")))
    assert len(device_trace.kernels(trace)) > 100
    assert main([*command, "2:3"]) == 2
    assert "steps 2 to 3: this run has done all of its" in capsys.readouterr().err


@pytest.mark.parametrize("steps", ["20-25", "0", "5:0", "-3", "2:x", ""])
def test_what_is_no_range_of_steps_is_refused(steps, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["train", "--config", CONFIG, "--data", "d", "--workdir", str(tmp_path), f"--profile={steps}"])
    assert exit_.value.code == 2
    assert "is neither FIRST:LAST, such as 20:25, nor a number of steps" in capsys.readouterr().err
