"""Train, validation and test: label-stratified, over recordings or over whole artists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.prepare import groups
from data_pipeline.prepare.artists import identities
from data_pipeline.schema import SPLITS, SplitKind


def assign(
    track_ids: Sequence[str],
    artists: Sequence[str | None],
    labels: np.ndarray,
    *,
    kind: SplitKind,
    fractions: Sequence[float],
    seed: int,
    recordings: np.ndarray | None = None,
) -> np.ndarray:
    """The split's name of every track, (N,) str, a function of the arguments alone.

    ``labels`` (N, G) multi-hot; ``recordings`` (N,) numbers, the same for tracks that are one recording and stay
    together. ``random`` stratifies recordings after Sechidis et al. (2011); ``artist`` keeps every artist, as
    :mod:`artists` knows them, on one side and weighs artists by their tracks (a track without artist is an artist of
    its own). Raises InputError when a split would be empty.
    """
    shares = np.asarray(fractions, np.float64)
    labels = np.asarray(labels, bool)
    copies = np.arange(len(track_ids)) if recordings is None else np.asarray(recordings)
    keys: list[set[object]] = [{int(copy)} for copy in copies]
    if kind == "artist":
        for own, names in zip(keys, identities(artists), strict=True):
            own |= names
    belonging = groups.sharing(keys)
    num_groups = int(belonging.max()) + 1 if len(belonging) else 0
    if num_groups < len(SPLITS):
        unit = "tracks" if kind == "random" else "artists"
        if len(np.unique(copies)) < len(copies):
            unit = f"different {unit} ({len(copies)} with copies, which data.duplicates=ignore parts)"
        raise InputError(f"{num_groups} {unit} cannot be split into {', '.join(SPLITS)}; at least 3 are needed.")
    random = np.random.RandomState(seed % 2**32)
    if kind == "random":
        of_group = np.zeros((num_groups, labels.shape[1]), bool)
        np.logical_or.at(of_group, belonging, labels)
        sides = _stratify_tracks(of_group, shares, random)
    else:
        sides = _stratify_groups(labels, belonging, num_groups, shares, random)
    sides = _without_empty_sides(sides, np.bincount(belonging))
    return np.array(SPLITS)[sides[belonging]]


def _stratify_tracks(labels: np.ndarray, shares: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A side (N,) in 0..2 for every track by iterative stratification."""
    from iterstrat.ml_stratifiers import IterativeStratification

    order = random.permutation(len(labels))
    sides = np.empty(len(labels), np.int64)
    sides[order] = IterativeStratification(labels=labels[order], r=shares, random_state=random)
    return sides


def _stratify_groups(
    labels: np.ndarray, belonging: np.ndarray, num_groups: int, shares: np.ndarray, random: np.random.RandomState
) -> np.ndarray:
    """A side (A,) for every artist: the largest first, each to the side that lacks most of what it brings."""
    # The last column counts tracks, so that the sides' sizes are balanced like one more genre.
    brought = np.zeros((num_groups, labels.shape[1] + 1))
    np.add.at(brought, belonging, np.column_stack([labels, np.ones(len(labels), bool)]))
    totals = np.maximum(brought.sum(axis=0), 1)
    brought /= totals
    lacking = np.repeat(shares[:, None], brought.shape[1], axis=1)
    sides = np.empty(num_groups, np.int64)
    shuffled = random.permutation(num_groups)
    for group in shuffled[np.argsort(-brought[shuffled, -1], kind="stable")]:
        sides[group] = np.argmax(lacking @ brought[group])
        lacking[sides[group]] -= brought[group]
    return sides


def _without_empty_sides(sides: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The sides with the smallest group of the fullest side moved to any side that got nothing."""
    sides = sides.copy()
    for side in range(len(SPLITS)):
        if not (sides == side).any():
            fullest = np.bincount(sides, minlength=len(SPLITS)).argmax()
            candidates = np.flatnonzero(sides == fullest)
            sides[candidates[sizes[candidates].argmin()]] = side
    return sides
