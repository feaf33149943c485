import functools
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline import genres
from data_pipeline.errors import InputError
from data_pipeline.prepare import splits
from data_pipeline.prepare.options import DataConfig
from data_pipeline.schema import SPLITS
from data_pipeline.sources import world

USUAL = DataConfig()
assign = functools.partial(splits.assign, kind=USUAL.split, fractions=USUAL.fractions, seed=USUAL.split_seed)


def corpus(num_tracks=600, num_genres=7, num_artists=90, seed=1):
    random = np.random.default_rng(seed)
    style = random.random((num_artists, num_genres)) < 0.3
    who = np.minimum(random.geometric(0.03, num_tracks) - 1, num_artists - 1)
    labels = (style[who] & (random.random((num_tracks, num_genres)) < 0.8)).astype(np.uint8)
    artists = [None if i % 11 == 0 else f"artist {a}" for i, a in enumerate(who)]
    return [f"t{i}" for i in range(num_tracks)], artists, labels


@pytest.mark.parametrize(("kind", "tolerance"), [("random", 0.02), ("artist", 0.06)])
def test_sizes_and_genres_follow_the_fractions(kind, tolerance):
    ids, artists, labels = corpus()
    sides = assign(ids, artists, labels, kind=kind, seed=3)
    for name, fraction in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        assert abs((sides == name).mean() - fraction) < tolerance
        share = labels[sides == name].sum(axis=0) / labels.sum(axis=0)
        assert np.abs(share - fraction).max() < 2 * tolerance


def test_an_artist_is_on_one_side_only():
    ids, artists, labels = corpus()
    sides = assign(ids, artists, labels, kind="artist")
    for artist in set(artists) - {None}:
        assert len({side for side, a in zip(sides, artists, strict=True) if a == artist}) == 1
    alone = {side for side, a in zip(sides, artists, strict=True) if a is None}
    assert len(alone) > 1
    random = assign(ids, artists, labels, kind="random")
    assert len({side for side, a in zip(random, artists, strict=True) if a == "artist 0"}) > 1


@pytest.mark.parametrize("kind", ["random", "artist"])
def test_the_seed_decides(kind):
    ids, artists, labels = corpus()
    one, again, other = (assign(ids, artists, labels, kind=kind, seed=s) for s in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


@settings(max_examples=40)
@given(st.integers(3, 20), st.sampled_from(["random", "artist"]), st.integers(0, 2**40))
def test_no_split_is_empty(num_tracks, kind, seed):
    labels = np.random.default_rng(seed).integers(0, 2, (num_tracks, 3))
    artists = [str(i % max(3, num_tracks // 2)) for i in range(num_tracks)]
    sides = assign([str(i) for i in range(num_tracks)], artists, labels, kind=kind, seed=seed)
    assert set(sides) == set(SPLITS)


def test_what_cannot_be_split_is_said():
    labels = np.ones((4, 1))
    with pytest.raises(InputError, match="2 artists"):
        assign(list("abcd"), ["x", "x", "y", "y"], labels, kind="artist")
    with pytest.raises(InputError, match="2 tracks"):
        assign(list("ab"), ["x", "y"], labels[:2])
    with pytest.raises(InputError, match="random, artist"):
        DataConfig(split="album")
    for fractions in ((0.7, 0.3, 0.0), (0.5, 0.5), (0.7, 0.2, 0.2)):
        with pytest.raises(InputError, match="fractions"):
            DataConfig(fractions=fractions)


@pytest.mark.parametrize(("kind", "digest"), [("artist", "d9c115e927f45b4c"), ("random", "e5b49d82150c468c")])
def test_the_splits_of_the_published_figures_stay_as_they_were(kind, digest):
    """Recorded before artists had identities and recordings copies: clean names without copies are split as ever."""
    plans = world.make_plans(800, 0)
    vocabulary = genres.make_vocabulary([plan.genres for plan in plans], 2, 0, {})
    plans = [plan for plan in plans if vocabulary.encode(plan.genres).any()]
    labels = vocabulary.encode_all([plan.genres for plan in plans])
    sides = assign([plan.id for plan in plans], [plan.artist.name for plan in plans], labels, kind=kind, seed=5)
    assert hashlib.sha256(" ".join(sides).encode()).hexdigest()[:16] == digest


@settings(max_examples=40)
@given(st.lists(st.integers(0, 12), min_size=12, max_size=60), st.sampled_from(["random", "artist"]))
def test_copies_are_never_parted(recordings, kind):
    if len(set(recordings)) < 3:
        return
    labels = np.random.default_rng(len(recordings)).integers(0, 2, (len(recordings), 3))
    ids = [str(i) for i in range(len(recordings))]
    sides = assign(ids, ids, labels, kind=kind, recordings=np.array(recordings))
    assert set(sides) == set(SPLITS)
    for recording in set(recordings):
        assert len({side for side, own in zip(sides, recordings, strict=True) if own == recording}) == 1
