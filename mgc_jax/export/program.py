"""The trained model as one StableHLO program that needs nothing of this package.

Axis letters: B batch, T frames, M mel bands, L lyric tokens, G genres.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax import export

from data_pipeline.audio import AudioSpec
from data_pipeline.schema import AUDIO
from mgc_jax.api import Model
from mgc_jax.network import build
from mgc_jax.network.state import abstract
from mgc_jax.runtime import sharding

NAME = "model.stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")
OUTPUTS = ("scores", "logits")


def inputs(spec: AudioSpec, max_tokens: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """The inputs in their order: name -> shape behind the batch, and type.

    The sound is a log-mel ``spectrogram`` (T, M), or the ``waveform`` (samples,) with full scale at 1 for a model with
    a pretrained audio encoder.
    """
    if spec.input != "spectrogram":
        sound: dict[str, tuple[tuple[int, ...], str]] = {"waveform": ((spec.num_samples,), "float32")}
    else:
        sound = {"spectrogram": ((spec.num_frames, spec.n_mels), "uint8")}
    return sound | {"tokens": ((max_tokens,), "int32"), "num_tokens": ((), "int32")}


def program(model: Model) -> bytes:
    """``jax.export``'s serialisation of the model with its weights inside, for a batch of any size on any platform.

    Inputs are those of :func:`inputs`, outputs are scores (B, G) and logits (B, G) in float32. Everything is computed
    in float32 and by XLA alone, whatever the run was trained with; the encoders are in it, also where the run was
    trained on their stored outputs.
    """
    compute = dataclasses.replace(
        model.config.compute,
        dtype="float32",
        attention="xla",
        first_block="convolution",  # for any machine
        rematerialise=False,
        model_parallel=1,
        fsdp=False,
    )
    config = dataclasses.replace(model.config, compute=compute)
    one_device = sharding.make_mesh(devices=jax.local_devices()[:1])
    network, _ = abstract(config, model.vocabulary.size, model.encoder, one_device)
    state = model.state
    weights = jax.device_get((state.params, state.batch_stats, state.constants, network.frozen))

    encoder = model.features.encoder if model.features else None
    # A lyrics encoder that is traced is in the file, whether its outputs are wanted or not.
    reads = build.modalities(config)[1] or not build.uses_bert(config)
    width = build.bert_config(model.encoder).hidden_size

    def run(sound: jax.Array, tokens: jax.Array, num_tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        heard = encoder.hear(encoder.weights, sound) if encoder else sound
        words = {"tokens": tokens} if reads else {"lyrics_features": jnp.zeros((*num_tokens.shape, 1, width))}
        batch = {AUDIO[config.audio.input]: heard, "num_tokens": num_tokens, **words}
        logits = nnx.merge(network.graphdef, *weights)(batch, train=False).logits
        return jax.nn.sigmoid(logits), logits

    (rows,) = export.symbolic_shape("b")
    given = inputs(config.audio, config.lyrics.max_tokens)
    shapes = [jax.ShapeDtypeStruct((rows, *shape), jnp.dtype(dtype)) for shape, dtype in given.values()]
    return bytes(export.export(jax.jit(run), platforms=PLATFORMS)(*shapes).serialize())
