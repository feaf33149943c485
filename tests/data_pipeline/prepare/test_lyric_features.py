"""The frozen encoder's outputs: every track gets its own, whatever batch it was in, and a killed run goes on."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.prepare.lyric_features import AT_ONCE, STRIDE, LyricFeatures

MAX_TOKENS = 150


class Encoder:
    """Outputs that tell the token, its place and the number of tokens; gives up at a call, if wanted."""

    def __init__(self, fails_at: int | None = None):
        self.shapes, self._fails_at = [], fails_at

    def __call__(self, tokens, num_tokens):
        if len(self.shapes) == self._fails_at:
            raise KeyboardInterrupt
        self.shapes.append(tokens.shape)
        place = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        total = np.broadcast_to(num_tokens[:, None], tokens.shape)
        return np.stack([tokens, place, total], axis=-1).astype(np.float32) / 8


def draw(lengths):
    rng = np.random.default_rng(len(lengths))
    return [rng.integers(1, 2000, length).astype(np.uint16) for length in lengths]


def features(folder, tokens, encode, identity="one", progress=lambda done, total: None):
    return LyricFeatures(folder, tokens, MAX_TOKENS, encode, identity, progress)


@settings(max_examples=25)
@given(st.lists(st.integers(0, MAX_TOKENS), min_size=1, max_size=100))
def test_every_track_has_its_own_outputs_and_nothing_behind(lengths):
    tokens, encoder = draw(lengths), Encoder()
    with tempfile.TemporaryDirectory() as folder:
        stored = features(Path(folder), tokens, encoder)
        assert stored.width == 3
        for i, ids in enumerate(tokens):
            expected = Encoder()(ids[None], np.array([len(ids)]))[0]
            np.testing.assert_array_equal(stored[i], expected.astype(np.float16))
    if any(lengths):
        assert {rows for rows, _ in encoder.shapes} == {AT_ONCE}
        assert {length for _, length in encoder.shapes} <= {STRIDE, 2 * STRIDE, MAX_TOKENS}
        paddings = [min(-(-length // STRIDE) * STRIDE, MAX_TOKENS) for length in lengths if length]
        assert len(encoder.shapes) == sum(-(-paddings.count(padding) // AT_ONCE) for padding in set(paddings))


def test_short_lyrics_are_not_padded_to_the_longest():
    encoder = Encoder()
    with tempfile.TemporaryDirectory() as folder:
        features(Path(folder), draw([MAX_TOKENS, *[5] * (2 * AT_ONCE)]), encoder)
    assert encoder.shapes == [(AT_ONCE, STRIDE), (AT_ONCE, STRIDE), (AT_ONCE, MAX_TOKENS)]


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    tokens = draw(range(1, 121))
    whole = features(tmp_path / "whole", tokens, Encoder())
    with pytest.raises(KeyboardInterrupt):
        features(tmp_path / "killed", tokens, Encoder(fails_at=2))
    (tmp_path / "killed" / "000002.npy.partial").write_bytes(b"\x93NUMPY cut off")
    again, done = Encoder(), []
    resumed = features(tmp_path / "killed", tokens, again, progress=lambda *told: done.append(told))
    assert len(again.shapes) == 4 - 2
    assert done == [(32, 120), (64, 120), (96, 120), (120, 120)]
    for i in range(len(tokens)):
        np.testing.assert_array_equal(resumed[i], whole[i])


@pytest.mark.parametrize("change", ["encoder", "lyrics"])
def test_outputs_of_others_are_not_taken(tmp_path, change):
    tokens = draw([3, 40])
    features(tmp_path, tokens, Encoder())
    encoder = Encoder()
    if change == "lyrics":
        tokens = [tokens[0], tokens[1][::-1].copy()]
    features(tmp_path, tokens, encoder, identity="two" if change == "encoder" else "one")
    assert len(encoder.shapes) == 1
