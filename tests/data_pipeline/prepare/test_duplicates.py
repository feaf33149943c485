"""One recording under several names is found; different songs that sound alike are not taken for one."""

import dataclasses
import io
import shutil

import numpy as np
import pytest
import soundfile
import soxr

from data_pipeline.audio import AudioSpec, load_clip
from data_pipeline.prepare import duplicates, fingerprints
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import SPLITS, Corpus
from data_pipeline.sources import synth
from tests.support import music

SPEC = AudioSpec(seconds=13.0)


def song(style, seed):
    """A song of the generator: of one style, songs share their tempo, drums and instruments."""
    return synth.render((style,), SPEC.seconds, np.random.default_rng(1), np.random.default_rng([seed, 5]))


def encoded(samples, rate=synth.SAMPLE_RATE, format="WAV", subtype="PCM_16", **how):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype, **how)
    return file.getvalue()


def mp3(samples, quality, rate=synth.SAMPLE_RATE):
    how = {"bitrate_mode": "CONSTANT", "compression_level": quality}
    return encoded(samples, rate, "MP3", "MPEG_LAYER_III", **how)


def fingerprint(content):
    return fingerprints.of_clip(load_clip(content, SPEC), SPEC.sample_rate)


@pytest.fixture(scope="module")
def songs():
    styles = sorted(synth.SOUNDS)
    return [song(style, seed) for style in styles[:: max(1, len(styles) // 8)] for seed in range(4)]


def late(samples, seconds):
    return np.concatenate([np.zeros(round(seconds * synth.SAMPLE_RATE), np.float32), samples])


COPIES = {
    "MP3 of 40 kbit/s": lambda y: mp3(y, 0.8),
    "MP3 of 130 kbit/s": lambda y: mp3(y, 0.2),
    "Ogg": lambda y: encoded(y, format="OGG", subtype="VORBIS", compression_level=0.8),
    "FLAC at 44.1 kHz": lambda y: encoded(soxr.resample(y, synth.SAMPLE_RATE, 44100), 44100, "FLAC"),
    "softer": lambda y: encoded(0.4 * y),
    "louder by encoder's delay": lambda y: mp3(np.clip(1.1 * late(y, 0.05), -1, 1), 0.5),
    "stereo": lambda y: encoded(np.stack([y, 0.8 * y], axis=1)),
}


def test_other_encodings_of_a_recording_are_found_and_other_songs_are_not(songs):
    own = np.stack([fingerprint(encoded(samples)) for samples in songs])
    for how, copy in COPIES.items():
        copies = np.stack([fingerprint(copy(samples)) for samples in songs[::3]])
        both = np.concatenate([own, copies])
        found = duplicates.find([str(i) for i in range(len(both))], both)
        expected = [*range(len(own)), *range(0, len(own), 3)]
        assert found.tolist() == expected, how


def test_short_clips_that_share_a_beat_are_not_one_recording():
    """Of four thousand songs of 6 s, two different ones correlated by .84."""
    steps = 22
    random = np.random.default_rng(0)
    common, *own = random.normal(scale=20.0, size=(3, steps, fingerprints.BANDS))
    alike = np.stack([(common + 0.44 * one).ravel() for one in own]).astype(np.int8)
    correlation = float(np.corrcoef(alike)[0, 1])
    assert 0.8 < correlation < 0.86
    assert duplicates.find(["a", "b"], alike).tolist() == [0, 1]
    long = np.tile(alike, 3)  # what they have in common for 16 s is no chance
    assert duplicates.find(["a", "b"], long).tolist() == [0, 0]


def test_the_same_bytes_are_one_recording_even_if_too_short_to_tell():
    nothing = np.zeros((4, 48), np.int8)
    assert duplicates.find(["a", "b", "a", "c"], nothing).tolist() == [0, 1, 0, 2]


def test_many_tracks_take_no_square_of_time(monkeypatch):
    random = np.random.default_rng(0)
    prints = random.integers(-60, 60, (3000, 240)).astype(np.int8)
    prints[1500:2500] = prints[7]  # a thousand copies of one
    prints[2999] = np.clip(prints[11] + random.integers(-9, 9, 240), -120, 120)
    seen = []
    original = duplicates._neighbours
    monkeypatch.setattr(
        duplicates, "_neighbours", lambda buckets: seen.extend(pairs := list(original(buckets))) or pairs
    )
    found = duplicates.find([str(i) for i in range(len(prints))], prints)
    assert len(set(found)) == 3000 - 1000 - 1
    assert found[2999] == found[11]
    assert len(seen) < 3000 * 48 * 40


def copied(corpus, folder):
    """The corpus, with bit-by-bit copies of its tracks t001 to t005 under other ids and artists."""
    folder.mkdir()
    tracks = list(corpus.tracks)
    for i in range(1, 6):
        file = folder / f"copy{i}.wav"
        shutil.copy(tracks[i].audio, file)
        tracks.append(dataclasses.replace(tracks[i], id=f"u{i:03d}", audio=file, artist=f"other {i}"))
    return Corpus(tuple(tracks), corpus.rejected)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    return copied(music.corpus(folder / "corpus", 40), folder / "copies")


def sides(out):
    data = PreparedData(out)
    return {id: split for split in SPLITS for id in data.track_ids(split)}


@pytest.mark.parametrize("split", ["random", "artist"])
def test_copies_stay_on_one_side(corpus, tmp_path, split):
    report = prepare(corpus, tmp_path / "out", music.options(split=split))
    side = sides(tmp_path / "out")
    pairs = [[f"t{i:03d}", f"u{i:03d}"] for i in range(1, 6)]
    assert report["duplicates"] == {"tracks": 10, "recordings": 5, "groups": pairs}
    assert all(side[one] == side[two] for one, two in pairs)


def test_copies_are_dropped_or_ignored_if_wanted(corpus, tmp_path):
    report = prepare(corpus, tmp_path / "drop", music.options(duplicates="drop"))
    assert report["filtered"]["a copy"] == 5
    assert not [id for id in sides(tmp_path / "drop") if id.startswith("u")]
    assert "a copy: of t003" in (tmp_path / "drop" / "quarantine.tsv").read_text("utf-8")
    report = prepare(corpus, tmp_path / "ignore", music.options(duplicates="ignore"))
    assert report["duplicates"]["recordings"] == 5
    side = sides(tmp_path / "ignore")
    assert any(side[f"t{i:03d}"] != side[f"u{i:03d}"] for i in range(1, 6))
