"""Small models to export: of random weights and a tiny lyrics encoder, without any training."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline.genres import GenreVocabulary
from mgc_jax import recipes
from mgc_jax.api import Model
from mgc_jax.network.state import initialise
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime import sharding
from tests import tiny_bert

NAMES = ("rock", "pop", "r&b", "zouk", "jazz | blues", "hard rock")
SMALL = (
    "audio.seconds=2.3 audio.n_mels=70 lyrics.max_tokens=13 model.audio_preset=narrow model.width=24 model.heads=3 "
    "model.gcn_hidden=19"
)


def model(folder: Path, variant: str = "", encoder: str = "anywhere") -> Model:
    """A model that lives in ``folder``, with an encoder that can be found nowhere else."""
    folder.mkdir()
    place = tiny_bert.save_encoder(folder.parent / f"{folder.name}-encoder")
    settings = recipes.load(None, f"{SMALL} {variant} lyrics.encoder={encoder}".split())
    labels = np.random.default_rng(5).random((40, len(NAMES))) < 0.3
    together = labels.T.astype(np.int64) @ labels.astype(np.int64)
    vocabulary = GenreVocabulary(NAMES, {}, together.diagonal(), together, len(labels))
    network, state = initialise(settings, vocabulary, place, sharding.make_mesh())
    rng = np.random.default_rng(2)

    def disturb(leaf):  # zeros and ones would hide what is not read
        return leaf + jax.device_put(jnp.asarray(0.02 * rng.normal(size=leaf.shape), leaf.dtype), leaf.sharding)

    moved = {part: jax.tree.map(disturb, getattr(state, part)) for part in ("params", "batch_stats", "constants")}
    state = dataclasses.replace(state, step=state.step + 7, **moved)
    vocabulary.save(folder / "genres.json")
    return Model(Workdir(folder), settings, vocabulary, network, state, place)


def batch(of: Model, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs of the program; every third track is without lyrics."""
    rng = np.random.default_rng(seed)
    spec, length = of.config.audio, of.config.lyrics.max_tokens
    return {
        "spectrogram": rng.integers(0, 256, (rows, spec.num_frames, spec.n_mels), np.uint8),
        "tokens": rng.integers(5, 90, (rows, length)).astype(np.int32),
        "num_tokens": (np.arange(rows, dtype=np.int32) * 5 + 5) % (length + 2) * (np.arange(rows) % 3 != 2),
    }


def logits(of: Model, given: dict[str, np.ndarray]) -> np.ndarray:
    """What the live model says."""

    @jax.jit
    def run(state, frozen, arrays):
        return of.network.merge(state, frozen)(arrays, train=False).logits

    return np.asarray(run(of.state, of.network.frozen, given))
