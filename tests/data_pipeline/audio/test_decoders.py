"""Two decoders that hear the same, and say in one sentence why they hear nothing."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from data_pipeline.audio import AudioError, AudioSpec, ffmpeg, libsndfile, load_clip
from data_pipeline.audio.stream import decoded
from tests.support import sounds

RATE = 44_100
SPEC = AudioSpec(sample_rate=8000, seconds=3.0)


def samples(decoding) -> np.ndarray:
    found = [part for _, part in decoding.chunks()]
    decoding.close()
    return np.concatenate(found)


def both(content: bytes, container: str) -> tuple[np.ndarray, np.ndarray]:
    return samples(libsndfile.Decoding(io.BytesIO(content))), samples(ffmpeg.Decoding(io.BytesIO(content), container))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("kind", "subtype", "container"),
    [
        *(("WAV", "PCM_16", "wav"), ("WAV", "PCM_U8", "wav"), ("WAV", "PCM_24", "wav"), ("WAV", "PCM_32", "wav")),
        *(("WAV", "FLOAT", "wav"), ("WAV", "DOUBLE", "wav"), ("WAV", "ULAW", "wav"), ("AIFF", "PCM_16", "aiff")),
        *(("FLAC", "PCM_16", "flac"), ("FLAC", "PCM_24", "flac"), ("AU", "PCM_16", "au"), ("CAF", "PCM_16", "caf")),
    ],
)
def test_lossless_files_sound_the_same_bit_by_bit(kind, subtype, container, channels):
    song = sounds.music(2.3, RATE, channels)
    ours, theirs = both(sounds.file(song, RATE, kind, subtype), container)
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("kind", "subtype", "container"), [("MP3", None, "mp3"), ("OGG", "VORBIS", "ogg"), ("OGG", "OPUS", "ogg")]
)
def test_lossy_files_sound_the_same_but_for_rounding(kind, subtype, container):
    rate = 48_000 if subtype == "OPUS" else RATE
    ours, theirs = both(sounds.file(sounds.music(2.3, rate, 2), rate, kind, subtype), container)
    assert len(ours) == round(2.3 * rate)
    assert len(theirs) - len(ours) in range(2)
    np.testing.assert_allclose(theirs[: len(ours)], ours, atol=1e-3 if subtype == "OPUS" else 2e-6)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_that_is_read_in_pieces_is_what_it_is_in_one(mode):
    content = sounds.file(sounds.music(5.3), kind="MP3", bitrate_mode=mode)
    whole, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    np.testing.assert_allclose(samples(libsndfile.Decoding(io.BytesIO(content))), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("codec", "container"), [("alac", "ipod"), ("wavpack", "wv"), ("flac", "matroska"), ("tta", "tta")]
)
def test_what_only_one_decodes_is_what_was_encoded(codec, container):
    song = np.round(sounds.music(2.3, RATE, 2) * 2**15) / 2**15
    layout = "s16p" if codec in ("alac", "wavpack") else "s16"
    content = sounds.by_ffmpeg(song.astype(np.float32), codec, container, RATE, format=layout)
    with decoded(content) as stream:
        found = np.concatenate(list(stream.seconds()))
        assert "decoded with ffmpeg" in stream.notes
    np.testing.assert_allclose(found, song.mean(axis=1), atol=2**-15)


@pytest.mark.parametrize(("codec", "container", "close"), [("aac", "ipod", 0.05), ("libopus", "webm", 0.05)])
def test_lossy_codecs_begin_where_the_music_does(codec, container, close):
    song = sounds.music(2.3, 48_000)
    with decoded(sounds.by_ffmpeg(song, codec, container, 48_000, bit_rate=192_000)) as stream:
        found = np.concatenate(list(stream.seconds()))[: len(song)]
    shifts = {shift: np.dot(song[9_600:-9_600], np.roll(found, shift)[9_600:-9_600]) for shift in range(-960, 961, 4)}
    assert abs(max(shifts, key=shifts.__getitem__)) <= 4


@pytest.mark.parametrize(
    ("codec", "container", "layout"), [("aac", "ipod", "7.1"), ("wavpack", "wv", "7.1"), ("aac", "adts", "5.1")]
)
def test_surround_sound_is_mixed(codec, container, layout):
    channels = np.stack([sounds.music(2.3, RATE, seed=i) for i in range(int(layout[0]) + 1)], axis=1)
    with decoded(sounds.by_ffmpeg(channels, codec, container, RATE)) as stream:
        found = np.concatenate(list(stream.seconds()))
    assert len(found) / RATE == pytest.approx(2.3, abs=0.05)
    assert found.std() == pytest.approx(channels.mean(axis=1).std(), rel=0.15)


def test_the_track_that_is_marked_is_heard_of_several_or_the_first():
    content, other = io.BytesIO(), sounds.music(3.0, RATE, pitch=440.0)
    with av.open(content, "w", format="matroska") as target:
        tracks = [target.add_stream("flac", rate=RATE, layout="mono") for _ in range(2)]
        for track, song in zip(tracks, (sounds.music(3.0, RATE), other), strict=True):
            frame = av.AudioFrame.from_ndarray((song * 2**15).astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            converted = av.AudioResampler(track.codec_context.format, "mono", RATE, frame_size=4096)
            track.codec_context.open(strict=False)
            for part in [*converted.resample(frame), *converted.resample(None), None]:
                target.mux(track.encode(part))
    with decoded(content.getvalue()) as stream:
        found = np.concatenate(list(stream.seconds()))
    assert np.corrcoef(found, sounds.music(3.0, RATE)[: len(found)])[0, 1] > 0.99


def video(with_sound: bool) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as target:
        picture = target.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        track = target.add_stream("aac", rate=RATE, layout="mono") if with_sound else None
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), i, np.uint8), format="rgb24")
            frame.pts = i
            target.mux(picture.encode(frame))
        target.mux(picture.encode(None))
        if track:
            frame = av.AudioFrame.from_ndarray(sounds.music(2.0, RATE)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            track.codec_context.open(strict=False)
            converted = av.AudioResampler("fltp", "mono", RATE, frame_size=1024)
            for part in [*converted.resample(frame), *converted.resample(None), None]:
                target.mux(track.encode(part))
    return content.getvalue()


def test_of_a_video_the_sound_is_heard():
    assert load_clip(video(True), AudioSpec(seconds=2.0)).std() == pytest.approx(sounds.music(2.0).std(), rel=0.1)
    with pytest.raises(AudioError, match=r"^not audio: no sound track in it$"):
        load_clip(video(False), AudioSpec(seconds=2.0))


M4A = sounds.by_ffmpeg(sounds.music(3.0, RATE), "aac", "ipod", RATE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (M4A[: len(M4A) // 2], r"^cannot be decoded: moov atom not found$"),
        (b"\0\0\0\x18ftypM4A " + bytes(3000), r"^cannot be decoded: moov atom not found$"),
        (b"\x1aE\xdf\xa3" + bytes(3000), r"^cannot be decoded: .+"),
        (b"wvpk" + bytes(3000), r"^cannot be decoded: .+"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n", "^not audio: format not recognised$"),
        (b"ffconcat version 1.0\nfile song.wav\n", "^not audio: format not recognised$"),
        (b"just words, no music " * 99, "^not audio: format not recognised$"),
        (np.random.default_rng(0).bytes(9999), "^not audio: format not recognised$"),
    ],
)
def test_the_reason_is_told_in_a_sentence_and_nowhere_else(content, reason, capfd):
    with pytest.raises(AudioError, match=reason):
        load_clip(content, AudioSpec(seconds=2.0))
    assert capfd.readouterr().err == ""


def test_an_unknown_coding_is_said():
    content = sounds.by_ffmpeg(sounds.music(2.0, 48_000), "libopus", "webm", 48_000)
    with pytest.raises(AudioError, match=r"^cannot be decoded: unknown coding$"):
        load_clip(content.replace(b"A_OPUS", b"A_OPOS"), AudioSpec(seconds=2.0))


def test_damaged_packets_are_left_out_and_too_many_are_told():
    content = bytearray(sounds.by_ffmpeg(sounds.music(6.0, RATE), "aac", "adts", RATE))
    whole = load_clip(bytes(content), AudioSpec(seconds=6.0))
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    assert load_clip(bytes(content), AudioSpec(seconds=6.0)).std() == pytest.approx(whole.std(), rel=0.1)


def written(tmp_path, samples, subtype="FLOAT"):
    soundfile.write(tmp_path / "song.wav", samples, RATE, subtype)
    return tmp_path / "song.wav"


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("gain", [0.5, 1.05, 4.0, 30.0])
def test_a_mix_in_floats_that_goes_over_full_scale_is_the_same_music(tmp_path, subtype, gain):
    song = sounds.music(3.0, RATE)
    song = song / np.abs(song).max()
    loud = load_clip(written(tmp_path, song * gain, subtype), SPEC)
    np.testing.assert_allclose(loud, load_clip(written(tmp_path, song), SPEC) * gain, atol=1e-4 * gain)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("scale", [100.0, 743_000.0, 2.0**15, 2.0**31, 1e30])
def test_samples_far_over_full_scale_are_refused_wherever_they_are(tmp_path, channels, scale):
    song = np.repeat(sounds.music(3.0, RATE)[:, None], channels, axis=1)
    song[2 * RATE :, 0] *= scale / np.abs(song[2 * RATE :]).max()
    with pytest.raises(AudioError, match=r"^samples far over full scale: up to [\d.e+]+ where 1 is the most$"):
        load_clip(written(tmp_path, song), SPEC)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_integers_that_a_header_calls_floats_are_refused(tmp_path, dtype):
    song = sounds.music(3.0, RATE)
    whole = (song / np.abs(song).max() * 0.9 * np.iinfo(dtype).max).astype(dtype)
    with pytest.raises(AudioError, match=r"contains NaN or infinite samples|far over full scale"):
        load_clip(written(tmp_path, whole.view(np.float32)), SPEC)


def test_one_sample_of_one_channel_that_is_no_number_is_refused(tmp_path):
    song = np.repeat(sounds.music(3.0, RATE)[:, None], 2, axis=1)
    song[RATE, 1] = np.nan
    with pytest.raises(AudioError, match="contains NaN or infinite samples"):
        load_clip(written(tmp_path, song), SPEC)
