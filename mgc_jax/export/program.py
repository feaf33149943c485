"""The trained model as one StableHLO program that needs nothing of this package.

Axis letters: B batch, T frames, M mel bands, L lyric tokens, G genres.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax import export

from mgc_jax.api import Model
from mgc_jax.network.state import abstract
from mgc_jax.runtime import sharding

NAME = "model.stablehlo"
ONNX = "model.onnx"
"""The same model for ONNX runtimes, written by the PyTorch twin."""
PLATFORMS = ("cpu", "cuda", "tpu")
INPUTS = ("spectrogram", "tokens", "num_tokens")
OUTPUTS = ("scores", "logits")


def program(model: Model) -> bytes:
    """``jax.export``'s serialisation of the model with its weights inside, for a batch of any size on any platform.

    Inputs are spectrogram (B, T, M) uint8, tokens (B, L) int32 and num_tokens (B,) int32, outputs are scores (B, G) and
    logits (B, G) in float32. Everything is computed in float32 and by XLA alone, whatever the run was trained with; the
    lyrics encoder is in it, also where the run was trained on its stored outputs.
    """
    compute = dataclasses.replace(
        model.config.compute, dtype="float32", attention="xla", rematerialise=False, model_parallel=1, fsdp=False
    )
    config = dataclasses.replace(model.config, compute=compute)
    one_device = sharding.make_mesh(devices=jax.local_devices()[:1])
    network, _ = abstract(config, model.vocabulary.size, model.encoder, one_device)
    state = model.state
    weights = jax.device_get((state.params, state.batch_stats, state.constants, network.frozen))

    def run(spectrogram: jax.Array, tokens: jax.Array, num_tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        batch = {"spectrogram": spectrogram, "tokens": tokens, "num_tokens": num_tokens}
        logits = nnx.merge(network.graphdef, *weights)(batch, train=False).logits
        return jax.nn.sigmoid(logits), logits

    spec = config.audio
    (rows,) = export.symbolic_shape("b")
    shapes = (
        jax.ShapeDtypeStruct((rows, spec.num_frames, spec.n_mels), jnp.uint8),
        jax.ShapeDtypeStruct((rows, config.lyrics.max_tokens), jnp.int32),
        jax.ShapeDtypeStruct((rows,), jnp.int32),
    )
    return bytes(export.export(jax.jit(run), platforms=PLATFORMS)(*shapes).serialize())
