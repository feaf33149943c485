"""What of a recording is heard, and how much it counts: noise behind, before and between is no music."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.audio import AudioError, AudioSpec, Windows, as_file
from tests.support.sounds import file, hiss, music

RATE = 22_050
SPEC = AudioSpec(seconds=3.0)
SONG = music(9.0)


def heard(*parts: np.ndarray, spec: AudioSpec = SPEC, rate: int = RATE) -> Windows:
    return Windows(as_file(np.concatenate(parts), rate), spec)


def dither(seconds: float) -> np.ndarray:
    return (np.random.default_rng(2).integers(-6, 7, round(seconds * RATE)) / 2**15).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def same(ours: Windows, theirs: Windows) -> None:
    ours_, theirs_ = list(ours), list(theirs)
    assert [window.start for window in ours_] == [window.start for window in theirs_]
    for one, other in zip(ours_, theirs_, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert one.weight == other.weight


@pytest.mark.parametrize("length", [3.0, 4.5, 5.0, 6.0, 6.5, 7.7, 9.0])
@pytest.mark.parametrize("noise", [hiss(60.0), dither(60.0), silence(60.0), hiss(8.0), hiss(1.5), hiss(60.0, dbfs=-65)])
def test_noise_behind_a_song_changes_nothing(length, noise):
    song = music(length)
    ours = heard(song, noise)
    same(ours, heard(song))
    assert ours.too_quiet in (len(noise) // (3 * RATE), len(noise) // (3 * RATE) - 1)
    assert heard(song).too_quiet == 0


@settings(max_examples=40)
@given(samples=st.integers(4 * RATE, 9 * RATE), seconds=st.integers(2, 20))
def test_a_song_of_any_length_is_heard_as_it_is_alone(samples, seconds):
    ours, alone = list(heard(SONG[:samples], hiss(seconds))), list(heard(SONG[:samples]))
    assert [w.start for w in ours] == pytest.approx([w.start for w in alone], abs=0.12)
    assert [w.weight for w in ours] == pytest.approx([w.weight for w in alone], rel=0.05)


@pytest.mark.parametrize("noise", [hiss(7.0), dither(7.0), silence(7.0)])
def test_noise_before_a_song_is_skipped(noise):
    found = list(heard(noise, SONG))
    assert [window.start for window in found] == [7.0, 10.0, 13.0]
    for window, alone in zip(found, heard(SONG), strict=True):
        np.testing.assert_array_equal(window.samples, alone.samples)


@pytest.mark.parametrize("places", [[0], [88_199], [50_000], [0, 88_199], [1000, 200_000, 400_000]])
def test_clicks_have_a_weight(places):
    clicks = silence(max(places) // RATE + 1)
    clicks = np.append(clicks, silence(max(0.0, 4 - len(clicks) / RATE)))
    clicks[places] = 1.0
    found = list(heard(clicks))
    assert found
    assert all(window.weight > 0.1 for window in found)


def test_something_is_heard_where_the_loudest_second_lies_in_no_window():
    beeps = np.tile(np.concatenate([music(0.1) * 0.02, silence(2.8)]), 4)
    found = heard(music(0.3), silence(5.0), beeps)
    assert len(list(found)) == len(list(found)) > 0


def test_a_moment_of_quiet_before_a_song_is_left_as_it_is():
    assert [window.start for window in heard(silence(0.9), SONG)] == [0, 3, 6]


def test_a_hidden_track_is_heard_and_the_silence_before_it_is_not():
    found = heard(SONG, silence(20.0), music(4.0, seed=4))
    assert [window.start for window in found] == [0, 3, 6, 29, 30]
    assert found.too_quiet == 6
    found = heard(SONG, hiss(20.0), music(4.0, seed=4), hiss(10.0))
    assert [window.start for window in found] == [0, 3, 6, 29, 30]
    assert found.too_quiet == 6 + 3


def test_a_short_pause_is_part_of_the_music():
    assert [window.start for window in heard(SONG, silence(2.0), SONG)] == pytest.approx([0, 3, 6, 9, 12, 15, 17])


def test_the_louder_one_counts_more_by_its_amplitude():
    loud, soft = music(3.0), 0.1 * music(3.0)
    first, second = heard(loud, soft)
    assert second.weight / first.weight == pytest.approx(0.1, rel=1e-4)
    assert first.weight == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(("under", "windows"), [(30.0, 3), (38.0, 3), (43.0, 2), (60.0, 2)])
def test_the_gate_is_40_db_under_the_loudest_second(under, windows):
    noise = hiss(3.0, dbfs=20 * np.log10(music(1.0).std()) - under)
    found = heard(music(6.0), noise)
    assert len(list(found)) == windows
    assert found.too_quiet == 3 - windows


def test_the_windows_that_were_left_out_at_the_gate_are_counted_once():
    clicks = hiss(9.0, dbfs=-80)
    clicks[:: RATE // 2] = 0.01  # a run-out groove: there is always something, and never much
    found = heard(SONG, clicks)
    for _ in range(2):
        assert [window.start for window in found] == [0, 3, 6]
        assert found.too_quiet == 3


def test_a_fade_out_counts_less_and_less():
    fade = np.geomspace(1.0, 1e-4, 12 * RATE).astype(np.float32)
    found = list(heard(music(6.0), music(12.0) * fade))
    weights = [window.weight for window in found]
    assert weights[2:] == sorted(weights[2:], reverse=True)
    assert found[-1].start < 12.0


def test_an_offset_is_no_sound():
    found = heard(SONG, np.full(20 * RATE, 0.1, np.float32) + hiss(20.0))
    assert [window.start for window in found] == pytest.approx([0, 3, 6], abs=0.11)


def test_an_offset_alone_is_silence():
    with pytest.raises(AudioError, match=r"^silent: a constant offset and nothing else$"):
        heard(np.full(7 * RATE, 0.3, np.float32))


def test_clicks_are_heard_where_there_is_nothing_else():
    clicks = silence(60.0)
    clicks[20 * RATE :: 20 * RATE] = 1.0
    found = list(heard(clicks))
    assert found
    assert all(window.samples.any() and window.weight > 0 for window in found)
    sparse = silence(60.0)
    sparse[5 * RATE : 5 * RATE + 9] = 1.0  # louder than all that follows, and over at once
    sparse[30 * RATE :: RATE] = 0.02
    assert len(list(heard(sparse))) >= 1


def test_a_quiet_recording_is_heard_as_a_loud_one():
    loud, soft = list(heard(SONG)), list(heard(1e-2 * SONG))
    assert [window.start for window in soft] == [window.start for window in loud]
    assert [window.weight for window in soft] == pytest.approx([window.weight for window in loud], rel=1e-5)


@pytest.mark.parametrize("length", [1.0, 1.7, 3.0])
def test_a_song_that_fits_into_a_window_is_taken_as_it_is(length):
    (window,) = heard(silence(0.5), music(length - 0.5))
    np.testing.assert_array_equal(window.samples[: round(length * RATE)], np.append(silence(0.5), music(length - 0.5)))
    assert not window.samples[round(length * RATE) :].any()


def test_a_long_recording_is_read_again_and_not_kept(monkeypatch):
    short = list(heard(SONG, hiss(9.0), SONG))
    monkeypatch.setattr("data_pipeline.audio.windows._KEPT", RATE)
    again = heard(SONG, hiss(9.0), SONG)
    assert again._kept is None
    for one, other in zip(again, short, strict=True):
        assert (one.start, one.weight) == (other.start, other.weight)
        np.testing.assert_array_equal(one.samples, other.samples)


@pytest.mark.parametrize(("kind", "rate"), [("MP3", 44_100), ("OGG", 48_000), ("FLAC", 11_025), ("WAV", 22_051)])
def test_of_any_rate_and_format(kind, rate):
    content = file(np.concatenate([music(9.0, rate), hiss(30.0, rate)]), rate, kind)
    found = Windows(content, SPEC)
    assert [window.start for window in found] == pytest.approx([0, 3, 6], abs=0.05)
    assert found.too_quiet in (9, 10)
