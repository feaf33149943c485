"""Which kernels the devices here can run, tried before the model is built."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from mgc_jax.models.attention import attention

CLOSE = 0.03
"""How far results in bfloat16 may lie apart; they are of the order of 1."""


def attention_kernel(wanted: str, channels: Iterable[int], dtype: jnp.dtype) -> str:
    """``cudnn`` or ``xla``: what :func:`attention` is to use for heads of ``channels``.

    ``auto`` is cuDNN for bfloat16 on a GPU. Where cuDNN cannot, or does not agree with XLA on a small example, forward
    and backward, a line says so and XLA it is.
    """
    fits = jax.default_backend() == "gpu" and dtype == jnp.bfloat16
    if wanted == "xla" or (wanted == "auto" and not fits):
        return "xla"
    for number in sorted(set(channels)):
        if reason := _why_not_cudnn(number, dtype):
            print(f"attention runs by XLA: cuDNN's, for heads of {number} channels in {dtype}, {reason}", flush=True)
            return "xla"
    return "cudnn"


@functools.cache
def _why_not_cudnn(channels: int, dtype: jnp.dtype) -> str | None:
    """None, or what is wrong with it."""
    rng = np.random.default_rng(0)
    q, *kv, pull = (rng.standard_normal((4, length, 2, channels)).astype(dtype) for length in (40, 192, 192, 40))
    mask = np.arange(192) < np.array([[192], [1], [77], [128]])

    @functools.partial(jax.jit, static_argnums=0)
    def run(kernel: str) -> list[jax.Array]:
        out, back = jax.vjp(lambda q, k, v: attention(q, k, v, jnp.asarray(mask), kernel), *map(jnp.asarray, (q, *kv)))
        return [x.astype(jnp.float32) for x in (out, *back(jnp.asarray(pull)))]

    try:
        with jax.ensure_compile_time_eval():  # a model may be built while a program is traced
            pairs = list(zip(*(jax.device_get(run(kernel)) for kernel in ("cudnn", "xla")), strict=True))
    except Exception as error:  # of the version, the device, the shapes or the compiler: whatever it is, there is XLA
        return f"cannot be used here ({str(error).strip().splitlines()[0]})"
    return None if all(np.allclose(a, b, rtol=CLOSE, atol=CLOSE) for a, b in pairs) else "gives other values"
