import os
import platform
import threading

import librosa
import numpy as np
import pytest
import soundfile

from data_pipeline import mel
from data_pipeline.audio import AudioError, AudioSpec, Windows, load_clip, log_mel, mel_frequencies
from data_pipeline.errors import InputError

SPEC = AudioSpec(seconds=3.0)


def tone(seconds, rate=22050, hertz=440.0, channels=1):
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * hertz * time) + 0.01 * np.random.default_rng(0).standard_normal(len(time))
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def peak_hertz(samples, rate=22050):
    return np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples)


def test_the_papers_spectrogram_has_1292_frames():
    assert AudioSpec().num_frames == 1292
    assert AudioSpec().num_samples == 661500


def test_log_mel_is_librosas_to_one_step():
    samples = load_like_music(SPEC)
    power = librosa.feature.melspectrogram(y=samples, sr=22050, n_fft=2048, hop_length=512, n_mels=128)
    expected = librosa.power_to_db(power, ref=np.max, top_db=80).T  # -80 .. 0 dB
    stored = log_mel(samples, SPEC)
    assert stored.shape == (SPEC.num_frames, 128)
    assert stored.dtype == np.uint8
    assert stored.max() == 255
    decoded = stored.astype(np.float64) * 80 / 255 - 80
    assert np.abs(decoded - expected).max() <= 80 / 255 / 2 + 1e-3


@pytest.mark.parametrize(
    ("n_mels", "rate", "n_fft"),
    [(128, 22050, 2048), (96, 16000, 512), (40, 8000, 256), (256, 44100, 4096), (20, 1000, 128), (1, 22050, 2048)],
)
def test_mel_bands_are_librosas(n_mels, rate, n_fft):
    edges = librosa.mel_frequencies(n_mels + 2, fmin=0.0, fmax=rate / 2)
    np.testing.assert_allclose(mel.frequencies(n_mels, rate), edges, rtol=1e-12)
    bank = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels)
    np.testing.assert_allclose(mel.filters(n_mels, rate, n_fft), bank, rtol=1e-6)


def test_bands_that_stay_empty_are_said():
    with pytest.warns(UserWarning, match="of 128 mel bands lie between the bins of an FFT of 64"):
        bank = mel.filters(128, 22050, 64)
    assert not bank.any(axis=1).all()


@pytest.mark.parametrize("rate", [8000, 22051, 44100, 48000])
@pytest.mark.parametrize("seconds", [1.0, 1.37, 3.0, 3.1])
def test_a_clip_is_resampled_as_librosa_does_it(tmp_path, rate, seconds):
    song = tone(seconds, rate)[:, 0]
    soundfile.write(tmp_path / "a.wav", song, rate, subtype="FLOAT")
    theirs = librosa.resample(song[: 3 * rate], orig_sr=rate, target_sr=SPEC.sample_rate, res_type="soxr_hq")[
        : SPEC.num_samples
    ]
    ours = load_clip(tmp_path / "a.wav", SPEC)
    np.testing.assert_array_equal(ours, np.pad(theirs, (0, SPEC.num_samples - len(theirs))))


@pytest.mark.parametrize("band", [10, 40, 100])
def test_a_tone_at_a_bands_frequency_is_loudest_in_that_band(band):
    hertz = mel_frequencies(SPEC)
    assert hertz.shape == (128,)
    levels = log_mel(tone(3.0, hertz=hertz[band])[:, 0], SPEC).astype(np.float64).mean(0)
    assert levels.argmax() == band


def load_like_music(spec):
    random = np.random.default_rng(0)
    return (tone(spec.seconds)[:, 0] * random.random(spec.num_samples) ** 3).astype(np.float32)


def test_digital_silence_is_the_floor():
    assert log_mel(np.zeros(SPEC.num_samples, np.float32), SPEC).max() == 0


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.wav", 8000, 1), ("a.wav", 96000, 2), ("a.flac", 44100, 2), ("a.ogg", 22050, 1), ("a.mp3", 44100, 2)],
)
def test_formats_rates_and_channels(tmp_path, name, rate, channels):
    soundfile.write(tmp_path / name, tone(4, rate, channels=channels), rate)
    clip = load_clip(tmp_path / name, SPEC)
    assert clip.shape == (SPEC.num_samples,)
    assert clip.dtype == np.float32
    assert abs(peak_hertz(clip) - 440) < 2
    assert 0.2 < np.abs(clip[2000:-2000]).max() < 0.6


def test_a_short_clip_is_padded_with_zeros(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1.5), 22050)
    clip = load_clip(tmp_path / "a.wav", SPEC)
    assert np.abs(clip[: 33075 - 10]).max() > 0.3
    assert not clip[33075:].any()


def test_a_truncated_mp3_is_used_as_far_as_it_goes(tmp_path):
    soundfile.write(tmp_path / "a.mp3", tone(10), 22050, format="MP3")
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 5])
    clip = load_clip(tmp_path / "a.mp3", AudioSpec(seconds=8.0))
    assert np.abs(clip[:22050]).max() > 0.3
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 50])
    with pytest.raises(AudioError):
        load_clip(tmp_path / "a.mp3", SPEC)


def test_a_truncated_flac_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(10), 22050)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 3])
    with pytest.raises(AudioError, match=r"truncated: 3\.\d of 10\.0 s decoded"):
        load_clip(tmp_path / "a.flac", AudioSpec(seconds=10.0))


def write_nan(path):
    samples = tone(2)
    samples[100] = np.nan
    soundfile.write(path, samples, 22050, subtype="FLOAT", format="WAV")


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("a.mp3", lambda path: path.write_bytes(b""), "empty file"),
        ("a.mp3", lambda path: path.write_bytes(bytes(5000)), "not audio|cannot be decoded|no samples"),
        ("a.mp3", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9), "not audio: a PNG"),
        ("a.mp3", lambda path: path.write_bytes(b"just words, no music " * 99), "not audio|cannot be decoded"),
        ("a.mp3", lambda path: soundfile.write(path, tone(2) * 0, 22050, format="MP3"), "silent"),
        ("a.wav", lambda path: soundfile.write(path, tone(2) * 0, 22050), "silent"),
        ("a.wav", write_nan, "NaN"),
        ("a.wav", lambda path: soundfile.write(path, tone(0.5), 22050), "shorter than 1 s"),
        ("a.wav", lambda path: soundfile.write(path, np.zeros((0, 1)), 22050), "no samples"),
        ("a.wav", lambda path: None, "cannot be opened"),
        ("a.wav", lambda path: path.mkdir(), "cannot be opened"),
    ],
)
def test_what_is_not_usable_audio_is_refused_with_the_reason(tmp_path, name, write, reason):
    write(tmp_path / name)
    with pytest.raises(AudioError, match=reason):
        load_clip(tmp_path / name, SPEC)
    with pytest.raises(AudioError, match=reason):
        list(Windows(tmp_path / name, SPEC))


@pytest.mark.parametrize(
    ("seconds", "starts"), [(2.0, [0]), (3.0, [0]), (3.5, [0]), (6.0, [0, 3]), (7.5, [0, 3, 4.5]), (9.2, [0, 3, 6])]
)
def test_windows_cover_a_file_of_any_length(tmp_path, seconds, starts):
    soundfile.write(tmp_path / "a.wav", tone(seconds, 8000), 8000)
    found = list(Windows(tmp_path / "a.wav", SPEC))
    assert [start for start, *_ in found] == pytest.approx(starts)
    assert all(samples.shape == (SPEC.num_samples,) for _, samples, _ in found)


def test_windows_skip_silence(tmp_path):
    samples = tone(9)
    samples[3 * 22050 : 6 * 22050] = 0
    soundfile.write(tmp_path / "a.wav", samples, 22050)
    assert [start for start, *_ in Windows(tmp_path / "a.wav", SPEC)] == [0, 6]


@pytest.mark.parametrize("change", [{"sample_rate": 0}, {"n_mels": 1.5}, {"seconds": 0.2}, {"hop_length": True}])
def test_a_spec_is_checked(change):
    with pytest.raises(InputError, match="audio"):
        AudioSpec(**change)


def test_threads_that_decode_at_once_leave_standard_error_as_it_was(tmp_path, monkeypatch):
    """The first one in is the first one out."""
    soundfile.write(tmp_path / "a.mp3", tone(4), 22050, format="MP3")
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    original = soundfile.SoundFile.__init__

    def open_in_turn(self, *arguments, **options):
        mine, other = {"first": (first_is_in, second_is_in), "second": (second_is_in, first_is_out)}[
            threading.current_thread().name
        ]
        mine.set()
        assert other.wait(60)
        original(self, *arguments, **options)

    monkeypatch.setattr(soundfile.SoundFile, "__init__", open_in_turn)
    clips = []

    def decode():
        clips.append(load_clip(tmp_path / "a.mp3", SPEC))
        first_is_out.set()

    before = os.fstat(2)
    first, second = (threading.Thread(target=decode, name=name) for name in ("first", "second"))
    first.start()
    assert first_is_in.wait(60)
    second.start()
    first.join()
    second.join()
    assert len(clips) == 2
    assert os.path.samestat(os.fstat(2), before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there the descriptor itself is exchanged")
def test_a_noisy_decoder_is_silenced_and_nobody_else(tmp_path, monkeypatch, capfd):
    """A page that says goodbye while a song is decoded was not heard."""
    soundfile.write(tmp_path / "a.mp3", tone(4), 22050, format="MP3")
    content = (tmp_path / "a.mp3").read_bytes()
    half = len(content) // 2
    (tmp_path / "a.mp3").write_bytes(content[:half] + b"junk" * 150 + content[half:])
    soundfile.read(tmp_path / "a.mp3")
    assert "Illegal Audio-MPEG-Header" in capfd.readouterr().err
    read = soundfile.SoundFile.read

    def read_and_speak(self, *arguments, **options):
        os.write(2, b"somebody else\n")
        return read(self, *arguments, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", read_and_speak)
    load_clip(tmp_path / "a.mp3", SPEC)
    told = capfd.readouterr().err
    assert set(told.splitlines()) == {"somebody else"}
