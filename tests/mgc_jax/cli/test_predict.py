"""``mgc-jax predict`` on collections: which songs, an output that is gone on with, and what fails on the way."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline.errors import InputError
from mgc_jax.cli import main
from mgc_jax.inference import found_songs, tagger
from mgc_jax.inference.found_songs import find, key
from mgc_jax.inference.song import Song
from tests.support.pitch_tagger import HIGH, LOW, by_pitch
from tests.support.recipe import ROOT

RATE = 16_000


def sound(file: Path, pitch: float = LOW, seconds: float = 3.0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * RATE)) / RATE
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * pitch * time), RATE)
    return file


@pytest.fixture
def music(tmp_path, monkeypatch) -> Path:
    """Four songs in folders, one that is none, and what is passed by."""
    monkeypatch.setitem(tagger.TAGGERS, "musicnn", by_pitch)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "music"
    for number, name in enumerate(("a/1.wav", "a/2.flac", "b/3.ogg", "4.wav")):
        sound(folder / name, (LOW, HIGH)[number % 2])
    (folder / "b" / "broken.mp3").write_bytes(b"no music")
    (folder / ".hidden.wav").touch()
    (folder / "cover.jpg").touch()
    (folder / "a" / "loop").symlink_to(folder)
    return folder


def predict(*arguments, workdir="musicnn", workers=0) -> int:
    return main(["predict", *map(str, arguments), "--workdir", workdir, "--workers", str(workers)])


def lines(file) -> list[dict]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def genres(file="out.jsonl") -> dict[str, list[str]]:
    return {os.path.basename(line["file"]): line["predicted"] for line in lines(file)}


ALL = {"1.wav": ["low fi"], "2.flac": ["high life"], "3.ogg": ["low fi"], "4.wav": ["high life"]}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_is_predicted_song_by_song(music, capsys, workers):
    assert predict(music, "--out", "out.jsonl", workers=workers) == 2
    assert genres() == ALL
    assert [os.path.basename(line["file"]) for line in lines("out.jsonl")] == ["4.wav", "1.wav", "2.flac", "3.ogg"]
    (failure,) = lines("out.jsonl.failures.jsonl")
    assert failure["file"] == str(music / "b" / "broken.mp3")
    assert "not audio" in failure["reason"] or "cannot be decoded" in failure["reason"]
    told = capsys.readouterr()
    assert "4 songs are new in out.jsonl" in told.out
    assert "1 hidden or of a system, 1 no songs by their names, 1 links" in told.out
    assert "1 of 5 songs failed; out.jsonl.failures.jsonl says why, and --retry tries them again." in told.err
    assert sorted(path.name for path in Path().glob("out*")) == [
        "out.jsonl",
        "out.jsonl.failures.jsonl",
        "out.jsonl.settings.json",
    ]


def test_the_same_command_again_does_nothing_and_still_tells_of_failures(music, capsys):
    predict(music, "--out", "out.jsonl")
    before = Path("out.jsonl").read_bytes(), Path("out.jsonl.failures.jsonl").read_bytes()
    capsys.readouterr()
    assert predict(music, "--out", "out.jsonl") == 2
    assert (Path("out.jsonl").read_bytes(), Path("out.jsonl.failures.jsonl").read_bytes()) == before
    told = capsys.readouterr()
    assert "0 songs are new in out.jsonl, 4 were there already" in told.out
    assert "1 of 5 songs failed" in told.err


def test_retry_tries_what_failed_again_and_a_changed_song_is_done_anew(music):
    assert predict(music, "--out", "out.jsonl") == 2
    sound(music / "b" / "good.wav").rename(music / "b" / "broken.mp3")
    os.utime(music / "b" / "broken.mp3", ns=(1, 1))
    sound(music / "a" / "1.wav", HIGH, seconds=4)
    assert predict(music, "--out", "out.jsonl", "--retry") == 0
    assert genres() == ALL | {"1.wav": ["high life"], "broken.mp3": ["low fi"]}
    assert len(lines("out.jsonl")) == 5
    assert not Path("out.jsonl.failures.jsonl").exists()


def test_what_failed_is_left_alone_without_retry(music, monkeypatch):
    assert predict(music, "--out", "out.jsonl") == 2
    heard = []
    through = tagger.Tagger._through
    monkeypatch.setattr(tagger.Tagger, "_through", lambda *given: heard.append(1) or through(*given))
    state = os.stat(music / "b" / "broken.mp3")
    assert predict(music, "--out", "out.jsonl") == 2
    assert predict(music, "--out", "out.jsonl", "--retry") == 2
    assert len(lines("out.jsonl.failures.jsonl")) == 1
    assert os.stat(music / "b" / "broken.mp3").st_mtime_ns == state.st_mtime_ns


def test_what_changes_or_goes_while_it_is_being_heard_is_told_and_done_by_the_next_command(music, monkeypatch, capsys):
    (music / "b" / "broken.mp3").unlink()
    listen = tagger.listen

    def changing(songs, front_end, workers):
        for one, sound_of_it in listen(songs, front_end, workers):
            if one.audio.name == "4.wav":  # the first one: the others are heard later
                sound(music / "a" / "1.wav", HIGH, seconds=4)
                (music / "a" / "2.flac").unlink()
            yield one, sound_of_it

    with monkeypatch.context() as patch:
        patch.setattr(tagger, "listen", changing)
        assert predict(music, "--out", "out.jsonl") == 2
    assert genres() == {"4.wav": ["high life"], "1.wav": ["high life"], "3.ogg": ["low fi"]}
    assert lines("out.jsonl.failures.jsonl")[0]["reason"] == "cannot be opened: No such file or directory"
    capsys.readouterr()
    assert predict(music, "--out", "out.jsonl") == 0
    assert "1 songs are new in out.jsonl, 2 were there already" in capsys.readouterr().out
    assert genres() == {"4.wav": ["high life"], "1.wav": ["high life"], "3.ogg": ["low fi"]}


def test_files_that_nobody_may_write_are_predicted(music):
    for path in music.rglob("*.*"):
        path.chmod(0o444)
    assert predict(music, "--out", "out.jsonl") == 2
    assert genres() == ALL


def test_csv_has_a_column_for_each_genre(music):
    odd = sound(music / "c" / 'with, "quotes"\nand\rlines.wav', HIGH)
    assert predict(odd, music / "4.wav", "--out", "out.csv") == 0
    assert predict(music / "a" / "1.wav", "--out", "out.csv") == 0
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert not any("lyrics" in column for column in rows[0])  # which this model does not read
    assert [row["file"] for row in rows] == [str(odd), str(music / "4.wav"), str(music / "a" / "1.wav")]
    assert [json.loads(row["predicted"]) for row in rows] == [["high life"], ["high life"], ["low fi"]]
    assert float(rows[2]["genre:low fi"]) == pytest.approx(0.9)
    whole = Path("out.csv").read_bytes()
    for end in range(len(whole) - 300, len(whole), 7):  # killed while the last row, or the one before, was written
        Path("out.csv").write_bytes(whole[:end])
        assert predict(odd, music / "4.wav", music / "a" / "1.wav", "--out", "out.csv") == 0
        assert sorted(Path("out.csv").read_bytes().split(b"\n")) == sorted(whole.split(b"\n"))


def test_a_line_that_was_being_written_is_cut_off(music):
    songs = [music / "4.wav", music / "a" / "1.wav"]
    assert predict(*songs, "--out", "out.jsonl") == 0
    whole = Path("out.jsonl").read_bytes()
    for end in (0, 5, whole.index(b"\n"), whole.index(b"\n") + 1, len(whole) - 1):
        Path("out.jsonl").write_bytes(whole[:end])
        assert predict(*songs, "--out", "out.jsonl") == 0
        assert Path("out.jsonl").read_bytes() == whole


def test_an_output_of_something_else_is_refused(music, monkeypatch, capsys):
    song = music / "4.wav"
    assert predict(song, "--out", "out.jsonl") == 0
    Path("own.jsonl").write_text('{"mine": 1}\n')
    monkeypatch.setitem(
        tagger.TAGGERS, "musicnn", lambda: by_pitch().__class__(**{**vars(by_pitch()), "threshold": 0.5})
    )
    for out, said in (
        ("out.jsonl", "was written with another model or other thresholds (mgc-jax predict --workdir musicnn"),
        ("own.jsonl", "own.jsonl is there, and mgc-jax predict did not write it; give another --out."),
    ):
        before = Path(out).read_bytes()
        capsys.readouterr()
        assert predict(song, "--out", out) == 2
        assert said in capsys.readouterr().err
        assert Path(out).read_bytes() == before


def test_lists_of_files(music, monkeypatch, capsys):
    odd = sound(music / "odd\nname é.wav")
    other = sound(music / "other.wav", HIGH).rename(music / os.fsdecode(b"caf\xe9.wav"))
    (music / "a" / "loop").unlink()
    Path("list").write_bytes(b"\0".join(map(os.fsencode, [odd, other, music / "a"])))
    assert predict("--files-from", "list", "--out", "out.jsonl") == 0
    assert len(lines("out.jsonl")) == 4
    assert lines("out.jsonl")[1]["file"].endswith("caf\\xe9.wav")
    Path("list").write_bytes(b"music/4.wav\r\n\nmusic/b/3.ogg")
    with open("list") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert predict("--files-from", "-", "--json", "out.json") == 0
    assert [song["file"] for song in json.loads(Path("out.json").read_text())] == ["music/4.wav", "music/b/3.ogg"]
    assert predict("--files-from", "lost") == 2
    assert "lost cannot be read (No such file or directory)" in capsys.readouterr().err


def test_a_manifest_without_genres(music, capsys):
    (music / "songs.csv").write_text("audio,lyrics\na/1.wav,la la la\nlost.wav,\n4.wav,\n")
    assert predict("--manifest", music / "songs.csv", "--out", "out.jsonl") == 2  # this model reads no words
    assert genres() == {"1.wav": ["low fi"], "4.wav": ["high life"]}
    assert lines("out.jsonl.failures.jsonl")[0]["reason"] == "songs.csv:3: no audio file"
    (music / "songs.csv").write_text("audio,lyrics\na/1.wav,la la la\n4.wav,\n")
    assert predict("--manifest", music / "songs.csv", "--out", "out.jsonl") == 0
    assert not Path("out.jsonl.failures.jsonl").exists()


def test_many_failures_are_one_sentence(music, capsys):
    assert predict(*(f"lost{number}.mp3" for number in range(20)), music / "4.wav") == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == "mgc-jax: 20 of 21 songs failed."
    assert "lost7.mp3: cannot be opened: No such file or directory." in told.err.splitlines()
    assert "4.wav" in told.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["empty"], "There are no songs in empty."),
        (["no_audio"], "There are no songs in no_audio (2 entries were passed by: 1 hidden"),
        (["music", "--lyrics", "a.txt"], "--lyrics is for AUDIO files"),
        (["a.mp3", "--out", "x.jsonl", "--json", "y.json"], "--out and --json hold the same"),
        (["a.mp3", "--retry"], "--retry goes with --out"),
        (["--files-from", "nothing"], "There are no songs in nothing."),
    ],
)
def test_what_names_no_songs_is_refused(music, arguments, said, capsys):
    Path("empty").mkdir()
    Path("no_audio").mkdir()
    for name in ("no_audio/cover.jpg", "no_audio/.hidden.mp3", "nothing", "a.txt"):
        Path(name).touch()
    assert predict(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_an_out_of_another_kind_is_refused(music, capsys):
    with pytest.raises(SystemExit, match="2"):
        predict(music, "--out", "out.txt")
    assert "'out.txt' must end in .jsonl or .csv" in capsys.readouterr().err


def test_a_hundred_thousand_names_are_a_list(tmp_path):
    (tmp_path / "list").write_text("\n".join(f"songs/{number}.mp3" for number in range(100_000)))
    assert len(find([], str(tmp_path / "list")).songs) == 100_000


def test_keys_tell_songs_and_their_states_apart(tmp_path):
    song = sound(tmp_path / "a.wav")
    words = tmp_path / "a.txt"
    words.write_text("la")
    songs = [Song(song), Song(song, "la"), Song(song, "la la"), Song(song, lyrics_file=words), Song(tmp_path / "b.wav")]
    keys = [key(one) for one in songs]
    assert len(set(keys)) == len(keys)
    assert len({one.split("-")[0] for one in keys}) == 2
    os.utime(song, ns=(1, 1))
    assert key(Song(song)) != keys[0]
    assert key(Song(Path(os.path.relpath(song)))) == key(Song(song))


def test_a_list_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        found_songs.read_list(str(tmp_path))


class Stalled:
    """The command in a process of its own that has come to its last song, which is a pipe that nobody writes to."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.songs = [sound(folder / f"{number}.wav", (LOW, HIGH)[number % 2], seconds=30) for number in range(4)]
        self.pipe = folder / "pipe.wav"
        os.mkfifo(self.pipe)
        (folder / "list").write_text("\n".join(map(str, [*self.songs, self.pipe])))
        self.arguments = ["predict", "--workdir", "musicnn", "--files-from", str(folder / "list")]
        self.arguments += ["--out", str(folder / "out.jsonl"), "--workers", str(workers)]
        command = [sys.executable, "-m", "tests.support.pitch_command", *self.arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.writer = self.pipe.open("wb")  # returns when the pipe is being read

    def end(self) -> tuple[int, str]:
        self.writer.close()
        error = self.process.communicate(timeout=60)[1]
        return self.process.returncode, error


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_is_gone_on_with(tmp_path, monkeypatch, workers):
    stalled = Stalled(tmp_path, workers)
    stalled.process.kill()
    assert stalled.end()[0] == -signal.SIGKILL
    out = tmp_path / "out.jsonl"
    written = out.read_bytes()
    if not workers:  # of what other processes hear, none may have been computed yet
        assert 1 <= written.count(b"\n") <= 4
    out.write_bytes(written + b'{"file": "half a')
    stalled.pipe.unlink()
    sound(stalled.pipe)
    monkeypatch.setitem(tagger.TAGGERS, "musicnn", by_pitch)
    assert main(stalled.arguments) == 0
    assert out.read_bytes().startswith(written)
    assert [line["file"] for line in lines(out)] == [*map(str, stalled.songs), str(stalled.pipe)]


def test_sigterm_ends_it_in_order_and_a_second_command_is_refused(tmp_path, monkeypatch, capsys):
    stalled = Stalled(tmp_path, 0)
    monkeypatch.setitem(tagger.TAGGERS, "musicnn", by_pitch)
    assert main(stalled.arguments) == 2
    assert "out.jsonl is being written by another mgc-jax predict; wait for it." in capsys.readouterr().err
    stalled.process.send_signal(signal.SIGTERM)
    code, error = stalled.end()
    assert code == 143
    assert error.splitlines()[-1].startswith("mgc-jax: stopped after ")
    assert error.splitlines()[-1].endswith("of 5 songs; run the same command again to go on.")
    stalled.pipe.unlink()
    sound(stalled.pipe)
    assert main([*stalled.arguments, "--retry"]) == 0
    assert len(lines(tmp_path / "out.jsonl")) == 5
