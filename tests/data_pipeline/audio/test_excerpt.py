"""Which stretch of a long recording becomes the example."""

import itertools

import numpy as np
import pytest

from data_pipeline.audio import AudioError, AudioSpec, as_file, excerpt, load_clip
from data_pipeline.audio.excerpt import BEGINNING_SKIPPED
from data_pipeline.audio.stream import Stream
from data_pipeline.errors import InputError
from tests.support.sounds import hiss, music

RATE = 22_050
WAYS = ("start", "middle", "loudest")


def clip(*parts: np.ndarray, way: str = "start", seconds: float = 6.0, notes: set[str] | None = None) -> np.ndarray:
    spec = AudioSpec(seconds=seconds, excerpt=way)
    return load_clip(as_file(np.concatenate(parts), RATE), spec, notes)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [2.0, 6.0, 6.03, 6.9])
def test_a_recording_as_long_as_a_clip_is_taken_from_its_beginning(way, length):
    song = np.append(silence(0.5), music(length - 0.5))
    np.testing.assert_array_equal(clip(song, way=way)[: round(length * RATE)], song[: 6 * RATE])
    late = np.append(hiss(4.0), music(length)[: round(length * RATE) - 4 * RATE]) if length > 5 else song
    np.testing.assert_array_equal(clip(late, way=way)[: len(late)], late[: 6 * RATE])


@pytest.mark.parametrize(
    "before", [silence(7.0), hiss(7.0), hiss(7.0, dbfs=-65), 0.01 * hiss(7.0), silence(40.0), hiss(40.0)]
)
def test_silence_and_hiss_before_the_music_are_skipped(before):
    notes: set[str] = set()
    np.testing.assert_array_equal(clip(before, music(9.0), notes=notes), music(9.0)[: 6 * RATE])
    assert BEGINNING_SKIPPED in notes


def test_music_that_ends_too_early_is_taken_with_what_is_before_it():
    found = clip(silence(7.0), music(5.0))
    np.testing.assert_array_equal(found, np.append(silence(1.0), music(5.0)))


@pytest.mark.parametrize("quiet", [0.0, 0.3, 0.9])
def test_a_moment_of_quiet_stays(quiet):
    notes: set[str] = set()
    song = np.append(silence(quiet), music(9.0))
    np.testing.assert_array_equal(clip(song, notes=notes), song[: 6 * RATE])
    assert BEGINNING_SKIPPED not in notes


def test_a_quiet_beginning_is_music_where_it_is_not_40_db_under_the_rest():
    song = np.append(0.05 * music(7.0), music(9.0))
    np.testing.assert_array_equal(clip(song), song[: 6 * RATE])
    quiet = 1e-3 * music(20.0)
    np.testing.assert_array_equal(clip(quiet), quiet[: 6 * RATE])


def test_the_middle_is_that_of_what_sounds():
    song = music(30.0)
    np.testing.assert_array_equal(clip(song, way="middle"), song[12 * RATE : 18 * RATE])
    np.testing.assert_array_equal(clip(hiss(10.0), song, hiss(60.0), way="middle"), song[12 * RATE : 18 * RATE])


def test_the_loudest_stretch_has_the_most_energy():
    song = music(30.0)
    song[: 11 * RATE] *= 0.5
    song[17 * RATE :] *= 0.7
    np.testing.assert_array_equal(clip(song, way="loudest"), song[11 * RATE : 17 * RATE])


@pytest.mark.parametrize("way", WAYS)
def test_silence_is_said_to_be_silence(way, monkeypatch):
    with pytest.raises(AudioError, match=r"^silent: throughout$"):
        clip(silence(20.0), way=way)
    monkeypatch.setattr(excerpt, "SEARCHED", 60)
    with pytest.raises(AudioError, match=r"^silent: for its first 1 min$"):
        clip(silence(70.0), music(9.0), way=way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("offset", [0.5, -0.3, 0.123])
def test_a_constant_offset_is_no_sound(way, offset):
    with pytest.raises(AudioError, match=r"^silent: a constant offset and nothing else$"):
        clip(silence(20.0) + np.float32(offset), way=way)


@pytest.mark.parametrize(("way", "most"), [("start", 31), ("middle", 60), ("loudest", 60)])
def test_no_more_is_read_than_is_needed(way, most, monkeypatch):
    read = []
    original = Stream.seconds
    monkeypatch.setattr(Stream, "seconds", lambda self: (read.append(1) or s for s in original(self)))
    monkeypatch.setattr(excerpt, "SEARCHED", 60)
    clip(*itertools.repeat(music(10.0), 9), way=way, seconds=30.0)
    assert len(read) <= most


def test_another_choice_is_none():
    with pytest.raises(InputError, match=r"audio\.excerpt is 'end', but must be one of start, middle, loudest"):
        AudioSpec(excerpt="end")
