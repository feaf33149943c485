"""Multi-label music genre classification from audio and lyrics, in JAX/Flax.

``import mgc_jax`` touches neither TensorFlow nor a device.

>>> import mgc_jax
>>> from pathlib import Path
>>> model = mgc_jax.load("runs/mine")  # a workdir, an exported folder, gs://bucket/run, hf://user/name
>>> lyrics = Path("song.txt").read_text()

The genres of a song, best first, and those over their thresholds:

>>> song = model.predict("song.mp3", lyrics)
>>> len(song.ranked) == model.vocabulary.size
True
>>> song.predicted[0] == song.ranked[0][0] or song.predicted[0] in dict(song.ranked)
True

Why: what each stretch of sound and each word does for a genre's log-odds, and a picture of it:

>>> why = model.explain("song.mp3", lyrics, genres=[song.ranked[0][0]])
>>> why.segment_effect.shape == (len(why.segments), 1)
True
>>> mgc_jax.draw(why).savefig("why.png")

Where it is in the space in which the A-L loss compares sound and words, and how good the model is:

>>> embedding = model.embed("song.mp3", lyrics)
>>> embedding.audio.shape == embedding.lyrics.shape
True
>>> evaluation = model.evaluate("data/mine", "test")
>>> 0 < evaluation.metrics["map_macro"] <= 1
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from data_pipeline.errors import InputError
from mgc_jax.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from mgc_jax.api import Embeddings, Model, Tagger
    from mgc_jax.explain.explanation import Explanation

__all__ = ["__version__", "draw", "embeddings", "load"]


@overload
def load(place: Literal["musicnn"]) -> Tagger: ...  # type: ignore[overload-overlap]
@overload
def load(place: str | Path, *, genres: str | Sequence[str]) -> Tagger: ...
@overload
def load(place: str | Path, *, dtype: str | None = None) -> Model: ...
def load(place: str | Path, *, dtype: str | None = None, genres: str | Sequence[str] | None = None) -> Model | Tagger:
    """Load a trained run for prediction and evaluation: its workdir, an exported model's folder, or the address of
    either, such as ``gs://bucket/run`` or ``hf://user/name``, of which a copy is kept in the user's cache.

    "musicnn" is a built-in model, which names genres, says which seconds speak for them, and does no more, unless a
    folder of this name holds a run. A CLAP, a folder or a name on the Hugging Face hub such as
    ``laion/larger_clap_general``, does the same with the ``genres`` that it is given.

    Args:
        place: the folder, the address or the name.
        dtype: what to compute in, where it is not what the run's ``compute.dtype`` says; only for a run.
        genres: for a CLAP: two names or more, or one text in which commas separate them.

    Raises:
        InputError: the place holds no run, or its files cannot be read; a built-in model's weights are not installed;
            the ``genres`` are none that a CLAP can be asked about.
    """
    from mgc_jax import api

    if genres is not None:
        if dtype is not None:
            raise InputError("dtype is for runs: a CLAP computes in float32.")
        return api.zero_shot(place, genres)
    if dtype is None and (tagger := api.built_in(place)):
        return tagger
    return api.load(place, dtype=dtype)


def embeddings(folder: str | Path) -> Embeddings:
    """The songs of a collection by their vectors, as ``mgc-jax embed --out`` wrote them, and which of them are near to
    something.

    Raises:
        InputError: the folder holds no embeddings, or such that do not belong together.
    """
    from mgc_jax import api

    return api.Embeddings(folder)


def draw(explanation: Explanation) -> Figure:
    """A picture of an explanation, whose size depends on the song; see :func:`mgc_jax.plots.explanations.draw`."""
    from mgc_jax.plots import explanations

    return explanations.draw(explanation)


def __getattr__(name: str) -> Any:
    if name == "Model":
        from mgc_jax.api import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
