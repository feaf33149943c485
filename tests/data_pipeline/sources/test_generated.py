"""The generated corpus: reproducible, resumable, and with the label statistics that it promises."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline.errors import InputError
from data_pipeline.sources import generated, read_corpus, synth, words, world

TRACKS, SECONDS = 20, 3.0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "corpus"
    generated.write_corpus(folder, tracks=TRACKS, seconds=SECONDS, workers=1)
    return folder


@pytest.fixture(scope="module")
def plans() -> list[world.Plan]:
    return world.make_plans(800, 0)


def test_workers_do_not_change_the_bytes(corpus: Path, tmp_path: Path) -> None:
    seen = []
    generated.write_corpus(
        tmp_path / "c", tracks=TRACKS, seconds=SECONDS, workers=2, progress=lambda *now: seen.append(now)
    )
    assert contents(tmp_path / "c") == contents(corpus)
    assert seen[-1] == (TRACKS, TRACKS)


def test_another_seed_is_another_corpus(corpus: Path, tmp_path: Path) -> None:
    generated.write_corpus(tmp_path / "c", tracks=TRACKS, seconds=SECONDS, seed=1, workers=1)
    assert not set(contents(tmp_path / "c")).intersection(f"audios/{p.id}.mp3" for p in world.make_plans(TRACKS, 0))


def test_resume_after_a_kill(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contents(corpus)
    folder = tmp_path / "c"
    render, calls = synth.render, []

    def killed(*args: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return render(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(synth, "render", killed)
    with pytest.raises(KeyboardInterrupt):
        generated.write_corpus(folder, tracks=TRACKS, seconds=SECONDS, workers=1)
    assert not (folder / "id_genres.csv").exists(), "an unfinished corpus must not look like one"
    generated.write_corpus(folder, tracks=TRACKS, seconds=SECONDS, workers=1)
    assert contents(folder) == whole
    assert len(calls) <= TRACKS + 1, "tracks that were done are kept"
    calls.clear()
    generated.write_corpus(folder, tracks=TRACKS, seconds=SECONDS, workers=1)
    assert not calls, "a complete corpus is left as it is"
    with pytest.raises(InputError, match="other arguments"):
        generated.write_corpus(folder, tracks=TRACKS, seconds=SECONDS, seed=5)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        generated.write_corpus(tmp_path, tracks=TRACKS)
    with pytest.raises(InputError, match="not empty"):
        generated.write_corpus(tmp_path / "mine.txt", tracks=TRACKS)


@pytest.mark.parametrize("bad", [{"tracks": 19}, {"seconds": 2.9}, {"seconds": float("nan")}, {"seed": -1}])
def test_arguments_out_of_range(tmp_path: Path, bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        generated.write_corpus(tmp_path / "c", **bad)  # type: ignore[arg-type]
    assert not (tmp_path / "c").exists()


def test_files_are_music(corpus: Path) -> None:
    tracks = read_corpus(corpus).tracks
    dirty = {plan.id for plan in world.make_plans(TRACKS, 0) if plan.dirt}
    for track in tracks:
        if track.id not in dirty:
            samples, rate = soundfile.read(track.audio)
            assert rate == synth.SAMPLE_RATE
            assert samples.ndim == 1
            assert abs(samples.size / rate - SECONDS) < 0.2
            assert np.abs(samples).max() > 0.05
    for name in ("id_tags.csv", "id_metadata.csv", "listening_history.csv", "readme.txt"):
        assert (corpus / name).stat().st_size


def test_label_statistics(plans: list[world.Plan]) -> None:
    counts = collections.Counter(genre for plan in plans for genre in plan.genres)
    share = {genre: count / len(plans) for genre, count in counts.items()}
    assert len(share) == len(world.ALL_GENRES) >= 20
    assert 2.0 <= sum(share.values()) <= 2.5
    assert 0.2 <= share["rock"] == max(share.values()) <= 0.32
    assert min(share.values()) >= 0.015
    languages = collections.Counter(plan.language for plan in plans)
    assert 0.05 <= languages["INTRUMENTAL"] / len(plans) <= 0.13
    assert 0.06 <= (languages["pt"] + languages["es"]) / len(plans) <= 0.15
    tracks_per_artist = len(plans) / len({plan.artist for plan in plans})
    assert 4 <= tracks_per_artist <= 6


def test_children_bring_their_parents(plans: list[world.Plan]) -> None:
    for child, parent in (
        ("hard rock", "rock"),
        ("rap", "hip hop"),
        ("techno", "electronic"),
        ("death metal", "metal"),
    ):
        of_child = [plan for plan in plans if child in plan.genres]
        of_parent = [plan for plan in plans if parent in plan.genres]
        both = sum(parent in plan.genres for plan in of_child)
        assert both / len(of_child) > 0.5
        assert both / len(of_child) > both / len(of_parent)


def test_dirt_is_counted(plans: list[world.Plan]) -> None:
    kinds = collections.Counter(plan.dirt for plan in plans if plan.dirt)
    assert sum(kinds.values()) == round(world.DIRT_SHARE * len(plans))
    assert set(kinds) == set(world.DIRT)


def test_dirt_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "DIRT_SHARE", 0.5)
    generated.write_corpus(tmp_path / "c", tracks=20, seconds=3.0, workers=1)
    by_kind = {plan.dirt: plan for plan in world.make_plans(20, 0)}
    assert set(world.DIRT) <= set(by_kind)

    def audio(kind: str) -> Path:
        return tmp_path / "c" / "audios" / f"{by_kind[kind].id}.mp3"

    assert audio("empty audio").stat().st_size == 0
    assert np.abs(soundfile.read(audio("silent audio"))[0]).max() < 1e-3
    assert 0 < audio("truncated audio").stat().st_size < 2000
    assert audio("text as audio").read_bytes().startswith(b"<html>")
    assert not audio("missing audio").exists()
    assert generated.lyrics_bytes(by_kind["empty lyrics"], 0) == b""
    with pytest.raises(UnicodeDecodeError):
        generated.lyrics_bytes(by_kind["latin-1 lyrics"], 0).decode()
    reasons = {row.id: row.reason for row in read_corpus(tmp_path / "c").rejected}
    assert reasons[by_kind["missing audio"].id] == "no audio file"
    assert "duplicate" in reasons[by_kind["duplicate row"].id]


def test_lyrics(plans: list[world.Plan]) -> None:
    for plan in plans[:200]:
        text = generated.lyrics_bytes(plan, 0)
        if plan.dirt is None and plan.language != "INTRUMENTAL":
            lines = [line for line in text.decode().splitlines() if line]
            assert 12 <= len(lines) <= 40
            assert "{" not in text.decode()
    for genre in world.GENRES.values():
        assert set(genre.topics) <= set(words.TOPICS)


def test_every_genre_sounds() -> None:
    for genre in world.GENRES.values():
        assert set(genre.sounds) <= set(synth.SOUNDS)
        assert set(genre.mixes) | set(genre.parents) <= set(world.GENRES)
    for name, sound in synth.SOUNDS.items():
        for pair in ((name,), (name, "pop")):
            samples = synth.render(pair, 3.0, np.random.default_rng(1), np.random.default_rng(2))
            assert samples.dtype == np.float32
            assert samples.shape == (3 * synth.SAMPLE_RATE,)
            assert 0.3 < np.abs(samples).max() <= 0.9
        assert sound.drums in synth.DRUMS
