"""Into which windows an encoder cuts a clip, and when its tokens were heard."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mgc_jax.models.audio_encoder import AudioWindows

RATE = 10


@st.composite
def windows_and_clips(draw):
    window = draw(st.integers(1, 60))
    hop = draw(st.integers(max(1, window // 2), window))
    tokens = draw(st.integers(1, window))
    return AudioWindows("mine", RATE, window, hop, 0, tokens, width=3), draw(st.integers(window, 300))


@given(windows_and_clips())
def test_every_token_has_a_time_and_all_that_is_heard_is_some_tokens(drawn):
    windows, samples = drawn
    times = windows.token_times(samples)
    assert times.shape == (windows.num_tokens(samples), 2)
    assert (times[:, 1] > times[:, 0]).all()
    assert (times >= 0).all()
    assert (times <= samples / RATE).all()
    ends = (windows.starts(samples)[-1] + windows.window) / RATE
    middles = (np.arange(round(ends * RATE * 4)) + 0.5) / (4 * RATE)
    heard = (times[:, :1] <= middles) & (middles < times[:, 1:])
    assert heard.any(axis=0).all()


def test_windows_that_overlap_by_more_than_a_token_hear_the_same_time_twice():
    """CLAP's 8 tokens of 10 s, a clip of 25 s: the third window begins at 15 s, in the middle of the second."""
    clap = AudioWindows("clap", 48_000, 480_000, 480_000, 0, tokens=8, width=1024)
    times = clap.token_times(25 * 48_000)
    np.testing.assert_allclose(times[15], [18.75, 20])
    np.testing.assert_allclose(times[16], [15, 16.25])
    # AST's third window begins within the last second of the second.
    ast = AudioWindows("ast", 16_000, 164_080, 163_840, 0, tokens=10, width=768)
    times = ast.token_times(30 * 16_000)
    assert (np.diff(times[:, 0]) > 0).all()
    np.testing.assert_allclose(times[19, 1], times[20, 0])
