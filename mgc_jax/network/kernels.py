"""Which kernels the devices here can run, tried before the model is built."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgc_jax.models.attention import attention
from mgc_jax.models.first_block import first_block, written
from mgc_jax.models.norm_relu_pool import Pool

CLOSE = 0.03
"""How far results in bfloat16 may lie apart; they are of the order of 1."""


def attention_kernel(wanted: str, channels: Iterable[int], dtype: jnp.dtype, platform: str | None = None) -> str:
    """``cudnn`` or ``xla``: what :func:`attention` is to use for heads of ``channels``.

    ``auto`` is cuDNN for bfloat16 on a GPU. Where cuDNN cannot, or does not agree with XLA on a small example, forward
    and backward, a line says so and XLA it is.

    Args:
        platform: of devices that a program is only compiled for: there the example is not run, but has to be one that
            cuDNN takes. Else those here.
    """
    fits = (platform or jax.default_backend()) == "gpu" and dtype == jnp.bfloat16
    if wanted == "xla" or (wanted == "auto" and not fits):
        return "xla"
    absent = platform == "gpu" != jax.default_backend()
    for number in sorted(set(channels)):
        if reason := _why_not_cudnn(number, dtype, absent):
            print(f"attention runs by XLA: cuDNN's, for heads of {number} channels in {dtype}, {reason}", flush=True)
            return "xla"
    return "cudnn"


@functools.cache
def _why_not_cudnn(channels: int, dtype: jnp.dtype, absent: bool = False) -> str | None:
    """None, or what is wrong with it; of an ``absent`` GPU's what cuDNN's library here refuses."""
    rng = np.random.default_rng(0)
    q, *kv, pull = (rng.standard_normal((4, length, 2, channels)).astype(dtype) for length in (40, 192, 192, 40))
    mask = np.arange(192) < np.array([[192], [1], [77], [128]])

    @functools.partial(jax.jit, static_argnums=0)
    def run(kernel: str) -> list[jax.Array]:
        out, back = jax.vjp(lambda q, k, v: attention(q, k, v, jnp.asarray(mask), kernel), *map(jnp.asarray, (q, *kv)))
        return [x.astype(jnp.float32) for x in (out, *back(jnp.asarray(pull)))]

    try:
        if absent:
            run.trace("cudnn").lower(lowering_platforms=("cuda",))
            return None
        with jax.ensure_compile_time_eval():  # a model may be built while a program is traced
            pairs = list(zip(*(jax.device_get(run(kernel)) for kernel in ("cudnn", "xla")), strict=True))
    except Exception as error:  # of the version, the device, the shapes or the compiler: whatever it is, there is XLA
        return _cannot(error)
    return None if all(np.allclose(a, b, rtol=CLOSE, atol=CLOSE) for a, b in pairs) else "gives other values"


PALLAS = {"gpu": "triton", "tpu": "mosaic"}
"""In which form of the first block a platform has kernels."""
FIRST_BLOCK = {**PALLAS, "cpu": "windows"}
"""The form of the first block on a platform: the fastest by measurement, on a TPU the least moved by its compiler."""


def first_block_form(wanted: str, channels: int, pool: Pool, dtype: jnp.dtype, platform: str | None = None) -> str:
    """The form in which the audio encoder's first block, of ``channels`` and ``pool``, is computed.

    ``auto`` is the one in ``FIRST_BLOCK``, and ``convolution`` on other platforms. Where kernels cannot be used, or do
    not agree with the plain formulation on a small example, forward and backward, a line says so and it is
    ``convolution``.

    Args:
        platform: of devices that a program is only compiled for: their kernels are not tried. Else those here.
    """
    if wanted == "auto":
        wanted = FIRST_BLOCK.get(platform or jax.default_backend(), "convolution")
    absent = platform not in (None, jax.default_backend()) and PALLAS.get(platform or "") == wanted
    if wanted in PALLAS.values() and not absent and (reason := _why_not_pallas(wanted, channels, pool, dtype)):
        print(
            f"the first block's convolution is written out: {wanted.capitalize()}'s kernels, for {channels} channels "
            f"in {dtype}, {reason}",
            flush=True,
        )
        return "convolution"
    return wanted


@functools.cache
def _why_not_pallas(form: str, channels: int, pool: Pool, dtype: jnp.dtype) -> str | None:
    """None, or what is wrong with them."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4, 5 * pool[0] + 1, 9 * pool[1] + 1)).astype(dtype)
    kernel = (rng.standard_normal((3, 3, 1, channels)) / 2).astype(dtype)
    scale, bias = rng.standard_normal((2, channels), np.float32)
    pull = rng.standard_normal((4, 5, 9, channels)).astype(dtype)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def run(block: Callable[..., Any], dtype: jnp.dtype) -> list[jax.Array]:
        x_, kernel_, pull_ = (jnp.asarray(a, dtype) for a in (x, kernel, pull))
        out, back, moments = jax.vjp(lambda *w: _pooled_first(block(x_, *w)), kernel_, scale, bias, has_aux=True)
        return [a.astype(jnp.float32) for a in (out, *moments, *back(pull_))]

    try:
        # Not by ensure_compile_time_eval, which would run what a kernel is traced of.
        with jax.core.eval_context(), jax.default_matmul_precision("highest"):
            fused = run(lambda *given: first_block(*given, pool, 1e-5, form), dtype)
            plain = run(functools.partial(written, pool=pool, epsilon=1e-5), jnp.dtype("float32"))
            pairs = list(zip(jax.device_get(fused), jax.device_get(plain), strict=True))
    except Exception as error:  # as above
        return _cannot(error)
    apart = max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)
    return None if apart < CLOSE else "give other values"


def _pooled_first(results: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    pooled, mean, variance = results
    return pooled, (mean, variance)


def _cannot(error: Exception) -> str:
    return f"cannot be used here ({str(error).strip().splitlines()[0]})"
