"""Windows of lyrics: which words stand in them, and whose state comes out for each word."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from mgc_jax.models.bert import Bert
from mgc_jax.models.lyric_windows import count, read_in_windows, stride
from tests.support.tiny_bert import TINY

FIRST, LAST = 101, 102


def texts(numbers, length, padding=0):
    """Lyrics whose words are counted: [CLS] 1000 1001 .. [SEP]."""
    tokens = np.full((len(numbers), length), padding, np.int32)
    for row, number in zip(tokens, numbers, strict=True):
        row[:number] = [FIRST, *range(1000, 1000 + number - 2), LAST]
    return tokens, np.arange(length) < np.array(numbers)[:, None]


class Witness:
    """An encoder whose states are the token, and how many real words stand before and behind it in its window."""

    def __call__(self, tokens, mask):
        self.tokens, self.mask = np.asarray(tokens), np.asarray(mask)
        place = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        behind = mask.sum(1, keepdims=True) - 1 - place
        return jnp.stack([tokens, place, behind], axis=-1).astype(jnp.float32)


@settings(max_examples=40)
@given(st.sampled_from([(8, 9), (8, 41), (9, 40), (13, 41), (24, 97)]), st.data())
def test_every_word_has_its_own_state_from_the_middle_of_a_window(shape, data):
    window, length = shape
    numbers = data.draw(st.lists(st.integers(2, length), min_size=3, max_size=3))
    tokens, mask = texts(numbers, length, padding=7)
    witness = Witness()
    out = np.asarray(read_in_windows(witness, jnp.asarray(tokens), jnp.asarray(mask), window))
    np.testing.assert_array_equal(out[..., 0][mask], tokens[mask])
    words = window - 2
    for row, number in zip(out, numbers, strict=True):
        for j in range(1, number - 1):
            before, behind = row[j, 1] - 1, row[j, 2] - 1  # without [CLS] and [SEP]
            assert before >= min(j - 1, words // 4)
            assert behind >= min(number - 2 - j, words // 4)
    # Each window reads as lyrics of its own.
    for pieces, real in zip(witness.tokens, witness.mask, strict=True):
        held = pieces[real]
        assert held[0] == FIRST
        assert len(held) == 1 or held[-1] == LAST
        assert (np.diff(held[1:-1]) == 1).all()
    assert len(witness.tokens) == count(length, window) * len(numbers)


def test_windows_are_as_many_as_the_lyrics_need():
    assert [count(length, 128) for length in (9, 128, 129, 191, 192, 512)] == [1, 1, 2, 2, 3, 8]
    assert stride(128) == 63


@pytest.mark.parametrize("first_position", [0, 2])
def test_lyrics_that_fit_are_read_as_ever_and_longer_ones_differ(first_position):

    config = dataclasses.replace(TINY, first_position=first_position)
    whole, cut = Bert(config, rngs=nnx.Rngs(0)), Bert(config, window=11, rngs=nnx.Rngs(0))
    tokens, mask = texts([11, 2, 7, 17], 17)
    tokens = np.where(tokens >= 1000, tokens - 900, np.where(tokens > 0, tokens - 98, 0)) % 101
    once, pieced = (np.asarray(read(bert, tokens, mask)) for bert in (whole, cut))
    np.testing.assert_allclose(pieced[:3][mask[:3]], once[:3][mask[:3]], atol=1e-5)
    assert np.abs(pieced[3] - once[3]).max() > 1e-3
    # Masked places do not matter, however many there are.
    noise = np.where(mask, tokens, 3)
    wide = np.pad(noise, ((0, 0), (0, 30)), constant_values=5)
    padded = np.asarray(read(cut, wide, np.pad(mask, ((0, 0), (0, 30)))))[:, :17]
    np.testing.assert_allclose(padded[mask], pieced[mask], atol=1e-5)


def test_far_more_than_the_encoder_knows_is_read():
    bert = Bert(TINY, window=TINY.max_tokens, rngs=nnx.Rngs(0))
    tokens, mask = texts([150, 2], 150)
    tokens[1, :2], mask[1, :2] = 0, [True, False]  # no lyrics: the null token
    out = np.asarray(read(bert, tokens % 101, mask))
    assert out.shape == (2, 150, TINY.hidden_size)
    assert np.isfinite(out).all()


def read(bert, tokens, mask):
    graph, state = nnx.split(bert)
    return jax.jit(lambda s, t, m: nnx.merge(graph, s)(t, m))(state, tokens, mask)
