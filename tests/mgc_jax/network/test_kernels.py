"""Special kernels are taken where they work; a fault of them costs a line of the log, not the run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgc_jax.models import first_block_mosaic, first_block_triton
from mgc_jax.models.attention import attention
from mgc_jax.network import kernels

BF16 = jnp.dtype("bfloat16")
REAL = jax.nn.dot_product_attention


@pytest.fixture(autouse=True)
def forget():
    tried = kernels._why_not_cudnn, kernels._why_not_pallas
    for kernel in tried:
        kernel.cache_clear()
    yield
    for kernel in tried:
        kernel.cache_clear()


def stand_in(q, k, v, *, implementation=None, scale=1.0, **more):
    """XLA under cuDNN's name, given what cuDNN is given."""
    out = REAL(q, k, v, **more)
    return out * jnp.asarray(scale, out.dtype) if implementation == "cudnn" else out


def test_a_device_without_it_falls_back_with_a_line(capsys):
    assert kernels.attention_kernel("auto", [64], BF16) == "xla"  # a CPU: nobody asked
    assert capsys.readouterr().out == ""
    assert kernels.attention_kernel("cudnn", [32, 64], BF16) == "xla"
    line = capsys.readouterr().out
    assert line.startswith(
        "attention runs by XLA: cuDNN's, for heads of 32 channels in bfloat16, cannot be used here ("
    )
    assert line.count("\n") == 1


@pytest.mark.parametrize(("scale", "chosen"), [(1.0, "cudnn"), (1.1, "xla")])
def test_it_must_agree_with_the_plain_one(monkeypatch, capsys, scale, chosen):
    monkeypatch.setattr(jax.nn, "dot_product_attention", functools.partial(stand_in, scale=scale))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert kernels.attention_kernel("auto", [16], BF16) == chosen
    assert ("gives other values" in capsys.readouterr().out) == (chosen == "xla")
    assert kernels.attention_kernel("auto", [16], jnp.dtype("float32")) == "xla"


def test_it_is_tried_for_real_while_a_program_is_traced(monkeypatch):
    monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
    chosen = []
    jax.jit(lambda x: chosen.append(kernels.attention_kernel("cudnn", [8], BF16)) or x)(1.0)
    assert chosen == ["cudnn"]


@pytest.mark.parametrize(("queries", "keys", "kernel"), [(6, 8, "cudnn"), (5, 8, None), (6, 7, None)])
def test_lengths_say_what_the_mask_says(monkeypatch, queries, keys, kernel):
    """And of odd lengths, of which cuDNN has no gradient, XLA computes the attention."""
    asked = []

    def noting(*given, implementation=None, **more):
        asked.append(implementation)
        return stand_in(*given, implementation=implementation, **more)

    monkeypatch.setattr(jax.nn, "dot_product_attention", noting)
    rng = np.random.default_rng(1)
    q, k, v = (jnp.asarray(rng.standard_normal((3, n, 2, 8)), jnp.float32) for n in (queries, keys, keys))
    mask = jnp.arange(keys) < jnp.array([keys, 1, 4])[:, None]
    np.testing.assert_allclose(attention(q, k, v, mask, "cudnn"), attention(q, k, v, mask), rtol=1e-5, atol=1e-6)
    assert asked == [kernel, None]


@pytest.mark.parametrize("form", ["triton", "mosaic"])
def test_a_device_without_its_kernels_writes_the_first_block_out_with_a_line(form, capsys):
    assert kernels.first_block_form("auto", 64, (2, 2), BF16) == "windows"  # a CPU: nobody asked
    assert kernels.first_block_form("convolution", 64, (2, 2), BF16) == "convolution"
    assert capsys.readouterr().out == ""
    assert kernels.first_block_form(form, 64, (2, 2), BF16) == "convolution"
    line = capsys.readouterr().out
    assert line.startswith(
        f"the first block's convolution is written out: {form.capitalize()}'s kernels, for 64 channels in bfloat16, "
        "cannot be used here ("
    )
    assert line.count("\n") == 1


def test_kernels_of_devices_that_are_not_here_are_not_tried(capsys):
    assert kernels.attention_kernel("auto", [64], BF16, "tpu") == "xla"
    assert kernels.attention_kernel("auto", [64], BF16, "cpu") == "xla"
    assert kernels.first_block_form("auto", 64, (2, 2), BF16, "tpu") == "mosaic"
    assert kernels.first_block_form("mosaic", 64, (2, 2), BF16, "tpu") == "mosaic"
    assert kernels.first_block_form("auto", 64, (2, 2), BF16, "cpu") == "windows"
    assert capsys.readouterr().out == ""
    assert kernels.first_block_form("triton", 64, (2, 2), BF16, "tpu") == "convolution"
    assert "Triton's kernels" in capsys.readouterr().out


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize(("platform", "form"), [("gpu", first_block_triton), ("tpu", first_block_mosaic)])
def test_the_first_block_must_agree_with_the_plain_one_also_while_a_program_is_traced(
    monkeypatch, capsys, platform, form, right
):
    monkeypatch.setattr(form, "INTERPRET", True)
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    if not right:
        pooled = form.pooled
        monkeypatch.setattr(form, "pooled", lambda x, w, a, *more: pooled(x, w, 1.1 * a, *more))
    chosen = []
    jax.jit(lambda x: chosen.append(kernels.first_block_form("auto", 8, (2, 2), BF16)) or x)(1.0)
    assert chosen == [kernels.PALLAS[platform] if right else "convolution"]
    assert ("give other values" in capsys.readouterr().out) != right
