"""Files of many kinds, whole, joined, with wrong headers: as long as they sound, and said where they are not."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.audio import AudioError, AudioSpec, Windows, load_clip, mpeg
from data_pipeline.audio.recording import Recording
from data_pipeline.audio.stream import CUT_OFF, JOINED, ONE_CHANNEL, decoded
from tests.support import sounds

RATE = 22_050
BY_LIBSNDFILE = [
    *(("WAV", None), ("WAV", "FLOAT"), ("WAV", "PCM_24"), ("FLAC", None), ("MP3", None), ("OGG", "VORBIS")),
    *(("OGG", "OPUS"), ("AIFF", None), ("AU", None), ("CAF", None), ("W64", None)),
]
BY_FFMPEG = [
    *(("aac", "ipod"), ("alac", "ipod"), ("libopus", "webm"), ("wavpack", "wv"), ("flac", "matroska"), ("tta", "tta")),
    *(("aac", "mp4"), ("wmav2", "asf"), ("flac", "ogg"), ("pcm_s16le", "avi"), ("libopus", "mp4")),
]
FRAMES = [("aac", "adts"), ("mp2", "mp2"), ("ac3", "ac3"), ("aac", "mpegts")]
"""These say nothing of what an encoder put before the music and behind it."""
TAG = b"ID3\x03\x00\x00" + bytes([0, 64, 0, 0]) + b"\xff\xfb\x90\x44" * (64 << 12)  # 1 MiB that looks like frames
APE = b"APETAGEX\xd0\x07\0\0" + (132).to_bytes(4, "little") + b"\1\0\0\0\0\0\0\x80" + bytes(8)


def hear(source: Recording) -> tuple[np.ndarray, int, set[str]]:
    with decoded(source) as stream:
        samples = np.concatenate(list(stream.seconds()))
    return samples, stream.rate, stream.notes


def seconds(source: Recording) -> float:
    samples, rate, _ = hear(source)
    return len(samples) / rate


def file(kind: str, how: str | None, length: float, rate: int = 48_000, **music: Any) -> bytes:
    if kind.isupper():
        return sounds.file(sounds.music(length, rate, **music), rate, kind, how)
    options = {"bit_rate": 128_000} if kind == "wmav2" else {}
    return sounds.by_ffmpeg(sounds.music(length, rate, **music), kind, how or "", rate, **options)


@pytest.mark.parametrize(("kind", "how"), [*BY_LIBSNDFILE, *BY_FFMPEG])
@settings(max_examples=6)
@given(hundredths=st.integers(110, 700))
def test_any_container_is_as_long_as_it_sounds(kind, how, hundredths):
    length = hundredths / 100
    assert seconds(file(kind, how, length)) == pytest.approx(length, abs=0.05 if kind == "wmav2" else 0.002)


@pytest.mark.parametrize(("kind", "how"), FRAMES)
def test_bare_frames_are_as_long_as_it_sounds_but_for_the_encoders_ends(kind, how):
    assert 3.0 <= seconds(file(kind, how, 3.0)) < 3.06
    joined = hear(file(kind, how, 3.0) + file(kind, how, 2.0, seed=1))[0]
    assert 5.0 <= len(joined) / 48_000 < 5.12


@pytest.mark.parametrize(("kind", "how"), [*BY_LIBSNDFILE, *BY_FFMPEG])
def test_joined_files_are_read_to_the_end(kind, how):
    first, second, third = (file(kind, how, length, seed=seed) for seed, length in enumerate((3.0, 2.0, 1.5)))
    samples, rate, notes = hear(first + second + third)
    assert len(samples) / rate == pytest.approx(6.5, abs=0.06 if kind == "wmav2" else 0.004)
    assert JOINED in notes
    apart = np.concatenate([hear(part)[0] for part in (first, second, third)])
    np.testing.assert_array_equal(samples, apart)


@pytest.mark.parametrize(
    ("kind", "how"), [("WAV", None), ("FLAC", None), ("MP3", None), ("OGG", "VORBIS"), ("AU", None)]
)
def test_joined_files_may_have_other_rates_and_channels(kind, how):
    first, second = file(kind, how, 3.0, 22_050), file(kind, how, 2.0, 44_100, channels=2)
    for content, rate in ((first + second, 22_050), (second + first, 44_100)):
        samples, found, _ = hear(content)
        assert (found, len(samples) / found) == (rate, pytest.approx(5.0, abs=0.002))
    samples, *_ = hear(first + second)
    resampled = hear(second)[0]
    assert np.std(samples[-22_050:]) == pytest.approx(np.std(resampled[-44_100:]), rel=0.1)


def test_opus_streams_are_joined_too():
    assert seconds(file("OGG", "OPUS", 3.0, 48_000) + file("OGG", "OPUS", 2.0, 16_000)) == pytest.approx(5.0, abs=1e-3)


def test_a_joined_part_that_is_broken_is_said():
    with pytest.raises(AudioError, match=r"recording 2 of those joined in this file\)$"):
        hear(file("FLAC", None, 3.0) + file("FLAC", None, 3.0)[:60])


TELL_THEIR_LENGTH = [
    *(
        ("WAV", None),
        ("WAV", "FLOAT"),
        ("FLAC", None),
        ("MP3", None),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("AIFF", None),
    ),
    *(("AU", None), ("W64", None), ("libopus", "webm"), ("wavpack", "wv"), ("flac", "matroska"), ("tta", "tta")),
]


@pytest.mark.parametrize(("kind", "how"), TELL_THEIR_LENGTH)
def test_a_file_that_is_cut_off_is_used_as_far_as_it_goes_and_that_is_said(kind, how):
    content = file(kind, how, 6.0)
    whole, rate, notes = hear(content)
    assert CUT_OFF not in notes
    samples, _, notes = hear(content[: int(0.7 * len(content))])
    assert CUT_OFF in notes
    assert 3.0 <= len(samples) / rate < 5.2
    heard_alike = len(samples) - rate // 10  # a lossy decoder's last frame
    np.testing.assert_allclose(samples[:heard_alike], whole[:heard_alike], atol=1e-6)


def test_a_flac_with_a_broken_place_is_used_up_to_it():
    content = bytearray(file("FLAC", None, 6.0))
    whole = hear(bytes(content))[0]
    place = int(0.8 * len(content))
    content[place : place + 60] = bytes(60)
    samples, rate, notes = hear(bytes(content))
    assert CUT_OFF in notes
    assert 4.0 < len(samples) / rate < 5.5
    np.testing.assert_array_equal(samples, whole[: len(samples)])
    content[1000:1060] = bytes(60)
    with pytest.raises(AudioError, match=r"truncated: .* of 6.0 s|cannot be decoded"):
        hear(bytes(content))


def test_a_flac_from_a_pipe_does_not_tell_its_length():
    content = file("FLAC", None, 3.0)
    streamed = content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]  # STREAMINFO's total samples: 0
    samples, _, notes = hear(streamed)
    np.testing.assert_array_equal(samples, hear(content)[0])
    assert CUT_OFF not in notes


# ---- MP3 ----------------------------------------------------------------------------------------------------------


def mp3(length: float = 6.0, mode: str = "CONSTANT", rate: int = RATE, **music: Any) -> bytes:
    return sounds.file(sounds.music(length, rate, **music), rate, "MP3", bitrate_mode=mode)


def claiming(content: bytes, change: Any) -> bytes:
    """The MP3 with another number of frames in its header."""
    place = content.find(b"Xing") + 8
    frames = change(int.from_bytes(content[place : place + 4], "big"))
    return content[:place] + frames.to_bytes(4, "big") + content[place + 4 :]


def without_header(content: bytes) -> bytes:
    return content[mpeg._frame(content, 0)[1] :]


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE", "AVERAGE"])
@pytest.mark.parametrize("change", [lambda n: n // 3, lambda n: 1, lambda n: 0, lambda n: n - 1, lambda n: n])
def test_a_header_that_claims_too_few_frames_is_not_believed(mode, change):
    content = mp3(mode=mode)
    np.testing.assert_array_equal(hear(claiming(content, change))[0], hear(content)[0])


def test_a_header_that_claims_too_many_is_as_good_as_a_file_that_was_cut_off():
    content = mp3()
    samples, _, notes = hear(claiming(content, lambda n: 3 * n))
    assert len(samples) / RATE == pytest.approx(6.0, abs=0.03)
    assert CUT_OFF in notes
    samples, _, notes = hear(content[: len(content) // 2])
    assert len(samples) / RATE == pytest.approx(3.0, abs=0.1)
    assert CUT_OFF in notes


@pytest.mark.parametrize("tag", [b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b"APETAGEX\xd0\x07\0\0\xff\xff\xff\x7f" + bytes(16)])
def test_a_tag_that_claims_more_than_the_file_has_hides_no_music(tag):
    content, padding = mp3(), bytes(50)
    assert seconds(tag + padding + content) == pytest.approx(6.0, abs=0.03)
    assert seconds(content + tag + padding + content) == pytest.approx(12.0, abs=0.06)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_without_a_header_the_frames_are_counted(mode):
    bare = without_header(mp3(mode=mode))
    assert seconds(bare) == pytest.approx(6.0, abs=0.1)
    assert seconds(bare + bare) == pytest.approx(12.0, abs=0.2)
    assert seconds(bare + without_header(mp3(4.0, rate=44_100, channels=2))) == pytest.approx(10.0, abs=0.2)


@pytest.mark.parametrize(
    "content",
    [
        TAG + mp3(),
        TAG + TAG + mp3(),
        mp3() + b"TAG" + b"x" * 125,
        mp3() + APE.replace(b"\x80", b"\xa0", 1) + b"\xff\xfbA" * 33 + b"x" + APE + b"TAG" + b"x" * 125,
        bytes(1 << 16) + mp3(),
        b"no music \xff\xe0 " * 999 + mp3(),
        TAG + bytes(999) + mp3(),
    ],
    ids=["ID3v2", "ID3v2 twice", "ID3v1", "APE", "zeros", "junk", "ID3v2 and zeros"],
)
def test_tags_and_padding_are_no_sound(content):
    samples, _, notes = hear(content)
    np.testing.assert_array_equal(samples, hear(mp3())[0])
    assert notes == {"decoded with libsndfile"}


@pytest.mark.parametrize("between", [TAG, b"TAG" + b"x" * 125, bytes(5000), np.random.default_rng(0).bytes(5000)])
def test_what_lies_between_joined_mp3s_is_no_sound(between):
    content = mp3() + between + mp3(4.0, "VARIABLE", seed=1)
    assert seconds(content) == pytest.approx(10.0, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "how"), [("FLAC", None), ("WAV", None), ("OGG", "VORBIS"), ("aac", "adts"), ("tta", "tta")]
)
def test_some_players_put_their_tag_before_everything(kind, how):
    content = file(kind, how, 2.0)
    np.testing.assert_array_equal(hear(TAG + content)[0], hear(content)[0])


# ---- WAV ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 2 * RATE * 2, 2, 99 * RATE * 2])
@pytest.mark.parametrize("whole", [0, 0xFFFFFFFF, None])
def test_a_wav_file_of_unknown_or_wrong_length_is_read_to_its_end(size, whole):
    """As programs write it that write into a pipe, or were killed."""
    content = bytearray(sounds.file(sounds.music(6.0)))
    content[40:44] = size.to_bytes(4, "little")
    if whole is not None:
        content[4:8] = whole.to_bytes(4, "little")
    np.testing.assert_array_equal(hear(bytes(content))[0], hear(sounds.file(sounds.music(6.0)))[0])


def test_chunks_behind_the_samples_are_no_sound():
    content = sounds.file(sounds.music(2.0))
    more = b"LIST" + (26).to_bytes(4, "little") + b"INFOISFT" + (14).to_bytes(4, "little") + b"Lavf62.12.102\0"
    assert seconds(content + more) == seconds(content) == 2.0
    assert seconds(content + bytes(100)) == seconds(content + b"TAG" + b"x" * 125) == 2.0


# ---- Pipes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "how"), [("MP3", None), ("WAV", None), ("OGG", "VORBIS"), ("aac", "ipod")])
def test_a_pipe_is_read_as_a_file(tmp_path, kind, how):
    content, spec = file(kind, how, 3.0), AudioSpec(seconds=1.5)
    os.mkfifo(tmp_path / "pipe")
    for read in (lambda source: load_clip(source, spec), lambda source: next(iter(Windows(source, spec))).samples):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
        writer.start()
        np.testing.assert_array_equal(read(tmp_path / "pipe"), read(content))
        writer.join()


def test_an_endless_stream_is_refused(monkeypatch):
    monkeypatch.setattr("data_pipeline.audio.recording.LARGEST_PIPE", 1 << 20)
    with pytest.raises(AudioError, match="a stream of more than 1 MiB"):
        load_clip(Path("/dev/zero"), AudioSpec())


# ---- Channels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("residue", [1.0, 0.99])
def test_of_a_mix_that_cancels_itself_one_channel_is_taken(residue):
    song = sounds.music(3.0)
    samples, _, notes = hear(sounds.file(np.stack([0.9 * song, -0.9 * residue * song], axis=1), subtype="FLOAT"))
    np.testing.assert_array_equal(samples, (0.9 * song).astype(np.float32))
    assert ONE_CHANNEL in notes


@pytest.mark.parametrize("right", [0.0, 1.0, 0.5, -0.5])
def test_other_channels_are_mixed(right):
    song = sounds.music(3.0)
    stereo = np.stack([song, right * song], axis=1).astype(np.float32)
    samples, _, notes = hear(sounds.file(stereo, subtype="FLOAT"))
    np.testing.assert_array_equal(samples, stereo.mean(axis=1))
    assert ONE_CHANNEL not in notes
    apart = np.stack([song, sounds.music(3.0, seed=5, pitch=311.0)], axis=1)
    assert ONE_CHANNEL not in hear(sounds.file(apart))[2]
    assert ONE_CHANNEL not in hear(sounds.file(np.stack([song, *[0 * song] * 5], axis=1)))[2]
