"""Windows of many songs in batches of one size: every song gets the mean of its own, in order, and few are held."""

from __future__ import annotations

import gc
import weakref

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from mgc_jax.inference import batches
from mgc_jax.inference.batches import Pass
from mgc_jax.inference.listening import Clip, Heard
from mgc_jax.inference.song import Song


def songs(lengths, seed=0):
    """Songs of so many windows of one number each; a negative length breaks off, and 0 cannot be heard."""
    rng = np.random.default_rng(seed)
    for number, length in enumerate(lengths):
        clips = tuple(Clip(rng.normal(size=1), float(rng.uniform(0.1, 1))) for _ in range(abs(length)))
        if not length:
            yield Pass(Song(str(number)), None, error=InputError("no song"))
        else:
            yield Pass(Song(str(number)), Heard(clips, 0.0) if length > 0 else Broken(clips))


class Broken(Heard):
    """A sound that ends by an error."""

    def __init__(self, clips):
        super().__init__(clips, 0, frozenset())

    def __iter__(self):
        yield from self.clips
        raise InputError("gone")


@given(st.lists(st.integers(-5, 30), max_size=12), st.integers(1, 9))
def test_every_song_has_the_mean_of_its_windows(lengths, size):
    computed = []

    def compute(rows, filled_to):
        assert 1 <= len(rows) <= filled_to <= size
        computed.append((len(rows), filled_to))
        values = np.full((filled_to, 1), np.nan)  # which no song may take
        values[: len(rows)] = [row.clip for row in rows]
        return {"value": values}

    found = list(batches.through(songs(lengths), compute, size))
    assert [one.song.audio for one in found] == [str(number) for number in range(len(lengths))]
    for one, length in zip(found, lengths, strict=True):
        if length > 0:
            clips = one.sound.clips
            wanted = np.average([clip.values for clip in clips], 0, [clip.weight for clip in clips])
            np.testing.assert_allclose(one.means["value"](), wanted, atol=1e-12)
            assert one.means["value"].number == length
        else:
            assert str(one.error) == ("gone" if length else "no song")
    assert sum(number for number, _ in computed) == sum(map(abs, lengths))
    assert {filled for _, filled in computed[:-1]} <= {size}  # the last one alone is not full


def test_few_songs_are_held_however_many_there_are():
    alive = weakref.WeakSet()
    most = 0

    def noted():
        for song in songs([3] * 200):
            alive.add(song)
            yield song

    for _ in batches.through(noted(), lambda rows, size: {"value": np.zeros((size, 1))}, 8):
        gc.collect(0)
        most = max(most, len(alive))
    assert most <= 10
