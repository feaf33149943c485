"""A few tracks of a split with what moved their genres: one that is right, a typical one, and the worst.

This part of the page asks the model itself, and so needs JAX, the run's checkpoint and the audio.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.lyrics.reading import LyricsError, read_lyrics_file
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.evaluation.scored import Scored, StoredScores
from mgc_jax.plots.data_uri import png_data_uri
from mgc_jax.report import mistakes
from mgc_jax.report.inputs import Gaps, Inputs
from mgc_jax.report.mistakes import Judged
from mgc_jax.runtime.progress import Progress

if TYPE_CHECKING:
    from mgc_jax.api import Model
    from mgc_jax.explain.explanation import Explanation

GENRES = 2
"""Explained of each track; the letters of a picture of three would be small on a page."""
DPI = 144


class Song(NamedTuple):
    """A chosen track: what it shows, its row of ``tracks.tsv``, its genres, and its file."""

    kind: str
    track: Mapping[str, str]
    judged: Judged
    audio: Path


def explained(inputs: Inputs, gaps: Gaps) -> list[dict[str, Any]]:
    """The chosen tracks, each with its pictures and its summary; none where the model or all audio is out of reach."""
    stored, data = inputs.stored, inputs.data
    if stored is None or data is None:
        gaps.pass_on("explained", "scores" if stored is None else "data", "results", because="No track is explained: ")
        return []
    entries: list[dict[str, Any]] = []
    try:
        songs = _songs(inputs, stored, data, gaps)
        if not songs:
            return []
        model = _load(inputs, stored)
        with contextlib.closing(Progress("explaining", len(songs), "tracks")) as progress:
            for song in songs:
                about = {"kind": song.kind, "track": song.track, "judged": song.judged}
                try:
                    entries.append(about | _entry(model, stored, song))
                except InputError as error:
                    gaps.add("explained", f"{song.track['id']} is not explained: {error}")
                progress.update(1)
    except InputError as error:
        gaps.add("explained", f"No track is explained: {error}")
    except Exception as error:  # no memory, a device that is taken, ...: the page is worth more than this part of it
        reason = " ".join(str(error).split())[:200].rstrip(".")
        gaps.add("explained", f"Explaining tracks ended with {type(error).__name__} ({reason}).")
    return entries


def choose(scored: Scored, thresholds: np.ndarray) -> dict[str, int]:
    """Up to three different tracks of a split, by what they show: ``right``, ``typical`` and ``worst``.

    The right one is the most certain of those whose genres are all right (none, where there is no such track), the
    typical one has the median cross-entropy and the worst one the highest.
    """
    order = np.argsort(scored.bce, kind="stable")
    predicted = mistakes.decided(scored, thresholds)
    right = order[(predicted == (scored.labels > 0)).all(axis=1)[order]]
    wanted = (("right", right[:1]), ("typical", order[(len(order) - 1) // 2 :][:1]), ("worst", order[::-1][:1]))
    chosen: dict[str, int] = {}
    for kind, tracks in wanted:
        for track in map(int, tracks):
            if track not in chosen.values():
                chosen[kind] = track
    return chosen


def genres_to_explain(track: Judged) -> list[str]:
    """The genres to explain: the first predicted, then the first that was missed, then the other predicted ones."""
    predicted = [named.genre for named in track.predicted]
    missed = [named.genre for named in track.true if not named.right]
    return [*predicted[:1], *missed[:1], *predicted[1:]][:GENRES]


def lyrics_files(track: Mapping[str, str], audio: Path) -> list[Path]:
    """Where a track's lyrics may lie: beside its audio, or in a folder ``lyrics`` beside the audio's folder."""
    names = dict.fromkeys(f"{name}.txt" for name in (audio.stem, track["id"]) if Path(name).name == name)
    return [folder / name for folder in (audio.parent.parent / "lyrics", audio.parent) for name in names]


def _songs(inputs: Inputs, stored: StoredScores, data: PreparedData, gaps: Gaps) -> list[Song]:
    """The chosen tracks whose audio is there."""
    chosen, rows = choose(stored.scored, stored.thresholds), data.tracks(inputs.split)
    judged = mistakes.judged(stored.scored, stored.thresholds, inputs.vocabulary.names, list(chosen.values()))
    songs = []
    for kind, track_judged in zip(chosen, judged, strict=True):
        track = {"title": "", "artist": ""} | rows[track_judged.index]
        audio = mistakes.locate(track, data.path)
        if audio.is_file():
            songs.append(Song(kind, track, track_judged, audio))
        else:
            gaps.add("explained", f"{track['id']} is not explained: its audio, {audio}, is not there.")
    return songs


def _load(inputs: Inputs, stored: StoredScores) -> Model:
    from mgc_jax import api
    from mgc_jax.runtime import compilation_cache

    compilation_cache.keep()
    model = api.load(inputs.folder.path)
    if (step := int(model.state.step)) != stored.step:
        raise InputError(
            f"the best checkpoint is that of step {step} by now, and the evaluation is of step {stored.step}; "
            "run mgc-jax evaluate again."
        )
    return model


def _entry(model: Model, stored: StoredScores, song: Song) -> dict[str, Any]:
    from mgc_jax.explain.text import summary

    lyrics, with_lyrics = None, song.judged.with_lyrics and model.reads_lyrics
    if with_lyrics:
        lyrics = _lyrics(model, lyrics_files(song.track, song.audio), int(stored.scored.words[song.judged.index]))
    explanation = model.explain(song.audio, lyrics, genres=genres_to_explain(song.judged))
    return {
        **_drawn(explanation),
        "summary": summary(explanation),
        "genres": explanation.genres,
        "windows": (len(explanation.windows), explanation.prediction.windows),
        "lyrics_lost": with_lyrics and lyrics is None,
        "player": mistakes.player(song.audio),
    }


def _lyrics(model: Model, files: Sequence[Path], digest: int) -> str | None:
    """The text of the first file whose tokens are those that were evaluated, by their ``digest``."""
    from mgc_jax.evaluation.steps import words_digest

    for file in files:
        try:
            text = read_lyrics_file(file)
        except LyricsError:
            continue
        if words_digest(model.tokens(text), model.config.lyrics.max_tokens) == digest:
            return text
    return None


def _drawn(explanation: Explanation) -> dict[str, str | None]:
    """The ``picture`` of what moved the genres, without the heading that the page has already, and that of the
    ``attention``, if there is any."""
    from mgc_jax.plots import explanations

    attention = explanation.attention
    effects = [*explanations.effects(explanation), explanations.shares(explanation)]
    looks = attention is not None and len(attention.words) > 0
    return {
        "picture": png_data_uri(explanations.compose(explanation, effects), DPI),
        "attention": png_data_uri(explanations.compose(explanation, [explanations.attention(explanation)]), DPI)
        if looks
        else None,
    }
