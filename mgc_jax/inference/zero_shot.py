"""Genres that a user names, without training: CLAP compares a song with a sentence about each of them.

Axis letters: N windows, P samples of a window, G genres, L text tokens, E CLAP's width in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from data_pipeline import mel
from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from mgc_jax.inference.tagger import Tagger
from mgc_jax.models import clap
from mgc_jax.models.pretrained import Published, as_function
from mgc_jax.network import published_folder
from mgc_jax.runs import addresses

EXAMPLE = "laion/larger_clap_general"


def zero_shot(place: str | Path, genres: str | Sequence[str]) -> Tagger:
    """The CLAP at ``place``, a folder or a name on the Hugging Face hub, as a model that knows these ``genres``.

    Each one's score is its share among them, and they add up to 1; it is named from an equal share, 1 / G, on.

    Args:
        genres: their names, or one text in which commas separate them.

    Raises:
        InputError: fewer than two genres, one that is empty, too long or named twice; ``place`` holds no CLAP, or one
            that cannot be used.
    """
    names = genre_names(genres)
    folder = _locate(place)
    published = published_folder.read(folder, _name(place))
    try:
        encoder = clap.encoder(published, mel.filters)
        projection = clap.load_audio_projection(published)
        texts = _embedded(published, folder, names)
    except ValueError as error:
        raise InputError(f"The CLAP in {folder} cannot be used: {error}.") from None
    scale = projection.scale
    projection_weights, project = as_function(projection)

    @jax.jit
    def scores(weights: Any, windows: jax.Array) -> jax.Array:
        heard, projected = weights
        clips = project(projected, encoder.apply(heard, windows))
        return jax.nn.softmax(clap.scores(clips, texts, scale), axis=-1)

    return Tagger(
        name=encoder.name,
        genres=names,
        spec=AudioSpec(encoder.rate, seconds=encoder.window / encoder.rate),
        scores=partial(scores, jax.device_put((encoder.weights, projection_weights))),
        threshold=1 / len(names),
        repeats=True,  # as the clips that it learned from
        about=f"It compares how a song sounds with a sentence about each of these genres, such as "
        f"{clap.PROMPT.format(names[0])!r}. Scores are shares among them: where no genre fits, the best of them still "
        "gets the largest.",
        licence=encoder.licence,
        licence_warning=encoder.licence_warning,
    )


def genre_names(genres: str | Sequence[str]) -> tuple[str, ...]:
    """The names of genres, which commas separate in a text, without surrounding white space.

    Raises:
        InputError: fewer than two, or one that is empty, no text or named twice.
    """
    given = genres.split(",") if isinstance(genres, str) else list(genres)
    if wrong := next((name for name in given if not isinstance(name, str)), None):
        raise InputError(f"The name of a genre is text, not {type(wrong).__name__}.")
    names = tuple(" ".join(name.split()) for name in given)
    if not any(names):
        raise InputError('No genre is named: give two or more, such as "salsa, bachata, merengue".')
    if not all(names):
        raise InputError("The name of a genre is empty: look for a comma too many.")
    if wrong := next((name for name in names if not name.isprintable()), None):
        raise InputError(f"No genre is called {wrong!r:.60}: it holds characters that are no text.")
    folded = [name.casefold() for name in names]
    if wrong := next((name for name in names if folded.count(name.casefold()) > 1), None):
        raise InputError(f"The genre {wrong!r:.60} is named twice.")
    if len(names) == 1:
        raise InputError(
            f"Scores are shares among the genres that are named, and {names[0]!r:.60} alone would always get 1: "
            "name two or more."
        )
    return names


def _name(place: str | Path) -> str:
    return str(place).removeprefix("hf://")


def _locate(place: str | Path) -> Path:
    """The folder of the CLAP, downloaded where it is a name on the hub."""
    name, other = _name(place), f"leave the genres out, or give a CLAP such as {EXAMPLE}"
    folder = Path(name).expanduser()
    if addresses.is_built_in(place):
        raise InputError(f"{place} has genres of its own: {other}.")
    if folder.is_dir():
        if (folder / "config.json").is_file() and published_folder.model_type(folder) != clap.MODEL_TYPE:
            raise InputError(f"{place} holds no CLAP, and no other model is asked about genres that you name: {other}.")
    elif not published_folder.HUB_NAME.fullmatch(name):
        raise InputError(f"There is no CLAP {place}: give a folder, or a name on the hub such as {EXAMPLE}.")
    try:
        clap.refuse_broken(name)  # before it is downloaded
    except ValueError as error:
        raise InputError(f"The CLAP {place} cannot be used: {error}.") from None
    return published_folder.locate(name)


def _embedded(published: Published, folder: Path, genres: Sequence[str]) -> jax.Array:
    """The places (G, E) of the genres among sounds; raises ValueError where the text tower cannot read them."""
    tower = clap.load_text_tower(published)
    shapes = tower.bert.config
    longest = min(clap.TEXT_TOKENS, shapes.max_tokens)
    if not (folder / published_folder.TOKENIZER).is_file():
        raise ValueError(f"it has no {published_folder.TOKENIZER}, by which the genres' names are read")
    tokenizer = LyricsTokenizer(folder, longest + 1)
    if tokenizer.largest >= shapes.vocab_size:
        raise ValueError(f"its tokenizer knows more words than its text tower ({shapes.vocab_size})")
    if len(tokenizer.encode("")) != 2:
        raise ValueError("its tokenizer puts no token before and behind a text")
    texts = tokenizer.encode_batch([clap.PROMPT.format(genre) for genre in genres])
    lengths = np.array([len(text) for text in texts])
    if (lengths > longest).any():
        raise InputError(f"The genre {genres[int(lengths.argmax())]!r:.60} is longer than CLAP reads.")
    tokens = np.stack([np.pad(text.astype(np.int32), (0, lengths.max() - len(text))) for text in texts])
    graph, weights = nnx.split(tower)
    run = jax.jit(lambda weights, *text: nnx.merge(graph, weights)(*text))
    return run(weights, tokens, np.arange(lengths.max()) < lengths[:, None])
