"""``mgc-jax tag``: a dry run, writing, going on, taking back, and what goes wrong on the way."""

import csv
import errno
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
from pathlib import Path

import filelock
import pytest

import mgc_jax
from data_pipeline.tags import tag_file
from mgc_jax.cli import main
from mgc_jax.inference import tagger
from mgc_jax.tagging import rewrite
from mgc_jax.tagging.policy import Policy
from mgc_jax.tagging.songs import Tagging
from tests.support.pitch_tagger import HIGH, LOW, by_pitch
from tests.support.tagged_files import song

KINDS = ("mp3", "flac", "ogg", "opus", "wav")


@pytest.fixture
def music(tmp_path, monkeypatch):
    """A folder with songs of every format that is decoded here, and files that are none."""
    monkeypatch.setitem(tagger.TAGGERS, "musicnn", by_pitch)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "music"
    for number, kind in enumerate(KINDS):
        song(folder / f"{number}.{kind}", ["Old"] if number % 2 else [], pitch=(LOW, HIGH)[number % 2])
    (folder / "broken.mp3").write_bytes(b"no music")
    song(folder / "silent.wav").write_bytes(song(folder / "s.wav").read_bytes()[:44] + bytes(96_000))
    (folder / "s.wav").unlink()
    (folder / ".hidden.mp3").touch()
    return folder


def tag(*arguments, workdir="musicnn"):
    return main(["tag", *map(str, arguments), "--workdir", workdir])


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def genres(folder):
    return {path.name: tag_file.read(path).genres for path in sorted(folder.iterdir()) if path.name[0].isdigit()}


def test_without_write_nothing_is_changed(music, tmp_path, capsys):
    before = digests(music)
    assert tag(music, "--mode", "append", "--json", "plan.json", "--csv", "plan.csv") == 1
    assert digests(music) == before
    assert not list(tmp_path.glob("genres.undo*"))
    told = capsys.readouterr().out
    assert "Old; High Life" in told
    assert "7 songs: 5 would be written, 2 failed" in told
    assert "Nothing was changed; the same command with --write does it." in told
    assert "1 hidden files" in told
    plan = json.loads((tmp_path / "plan.json").read_text())
    rows = {row["file"].rpartition("/")[2]: row for row in plan}
    assert rows["1.flac"]["old"] == ["Old"]
    assert rows["1.flac"]["new"] == ["Old", "High Life"]
    assert list(rows["1.flac"]["scores"]) == ["High Life"]
    assert rows["broken.mp3"]["note"].startswith("tags cannot be read")
    assert rows["silent.wav"]["note"].startswith("silent")
    with (tmp_path / "plan.csv").open(newline="") as file:
        table = {row["file"].rpartition("/")[2]: row for row in csv.DictReader(file)}
    assert json.loads(table["1.flac"]["new"]) == ["Old", "High Life"]
    assert table["broken.mp3"]["action"] == "failed"


@pytest.mark.parametrize(
    ("mode", "flac", "mp3"),
    [
        ("keep", ("Old",), ("Low Fi",)),
        ("append", ("Old", "High Life"), ("Low Fi",)),
        ("replace", ("High Life",), ("Low Fi",)),
    ],
)
def test_what_is_written_is_taken_back(music, tmp_path, mode, flac, mp3, capsys):
    before = digests(music)
    assert tag(music, "--mode", mode, "--write") == 1  # for two failed
    assert genres(music)["1.flac"] == flac
    assert genres(music)["0.mp3"] == genres(music)["4.wav"] == mp3
    told = capsys.readouterr().out
    assert "mgc-jax tag --undo genres.undo.jsonl takes it back" in told
    assert main(["tag", "--undo", "genres.undo.jsonl"]) == 0
    assert digests(music) == before
    count = 3 if mode == "keep" else 5
    assert f"{count} changes were taken back; 0 files were as before already, 0 failed" in capsys.readouterr().out


def test_an_interrupted_run_goes_on(music, monkeypatch, capsys):
    before = digests(music)
    heard, write = [], rewrite.write_genres

    def interrupted(file, *rest):
        if len(heard) == 2:
            raise KeyboardInterrupt
        heard.append(file.name)
        write(file, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(rewrite, "write_genres", interrupted)
        assert tag(music, "--mode", "append", "--write", "--json", "plan.json") == 130
    assert [row["action"] for row in json.loads(Path("plan.json").read_text())] == ["write", "write", "failed"]
    capsys.readouterr()
    assert tag(music, "--mode", "append", "--write", "--json", "plan.json") == 1
    assert "7 songs: 3 were written, 2 were written by an earlier run, 2 failed" in capsys.readouterr().out
    rows = {row["file"].rpartition("/")[2]: row for row in json.loads(Path("plan.json").read_text())}
    assert rows["1.flac"]["action"] == "done"
    assert rows["1.flac"]["new"] == ["Old", "High Life"]
    main(["tag", "--undo", "genres.undo.jsonl"])
    assert digests(music) == before


@pytest.mark.parametrize("workers", [0, 2])
def test_who_asks_to_stop_is_obeyed_behind_a_song_and_the_rest_is_done_later(music, monkeypatch, capsys, workers):
    before, written, write = digests(music), [], rewrite.write_genres

    def stopping(file, *rest):
        write(file, *rest)
        written.append(file.name)
        if len(written) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(rewrite, "write_genres", stopping)
    arguments = [music, "--mode", "append", "--write", "--workers", workers]
    assert tag(*arguments) == 143
    assert capsys.readouterr().err.splitlines()[-1] == (
        "mgc-jax: stopped after 3 of 7 songs; run the same command again to go on."
    )
    assert written == ["0.mp3", "1.flac"]
    assert tag(*arguments) == 1
    assert "7 songs: 3 were written, 2 were written by an earlier run, 2 failed" in capsys.readouterr().out
    assert not multiprocessing.active_children()
    main(["tag", "--undo", "genres.undo.jsonl"])
    assert digests(music) == before


def test_who_asks_to_stop_while_tags_are_read_is_obeyed(music, monkeypatch, capsys):
    before, opened, seen = digests(music), Tagging._opened, []

    def stopping(self, file):
        seen.append(file)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return opened(self, file)

    monkeypatch.setattr(Tagging, "_opened", stopping)
    assert tag(music, "--mode", "append", "--write") == 130
    assert len(seen) == 2
    assert "stopped after 0 of 7 songs" in capsys.readouterr().err
    assert digests(music) == before


@pytest.mark.parametrize("more", [[], ["--per-album"]])
def test_workers_change_nothing(music, tmp_path, more):
    for number in range(6):
        song(music / f"8{number}.ogg", album="One", artist="A", pitch=(HIGH, LOW)[number % 2])
    for workers in (0, 2):
        plan = ["--mode", "append", "--json", f"{workers}.json", "--workers", workers]
        assert tag(music, *plan, *more) == 1
    plans = [json.loads((tmp_path / f"{workers}.json").read_text()) for workers in (0, 2)]
    for one, other in zip(*plans, strict=True):
        assert one.pop("scores") == pytest.approx(other.pop("scores"))
        assert one == other
    assert len(plans[0]) == 13


def test_songs_are_decoded_ahead_of_the_model(music, monkeypatch):
    given = []
    listen = tagger.listen
    monkeypatch.setattr(
        tagger, "listen", lambda songs, front_end, workers: given.append(workers) or listen(songs, front_end, 0)
    )
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    tag(music)  # two keep what they have, one is broken
    tag(music, "--mode", "append")
    assert given == [0, 3]  # a few do not pay for processes


def test_progress_has_a_rate_and_says_how_long_it_takes(music, capsys):
    tag(music, "--mode", "append")
    error = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"read tags: 7/7 songs, [\d.]+/s, 00:00 left", error[0])
    assert re.fullmatch(r"tag: 7/7 songs, [\d.]+/s, 00:00 left", error[-1])


def test_a_file_that_changes_or_goes_meanwhile_is_said_and_costs_no_other(music, monkeypatch, capsys):
    listen = tagger.listen

    def changing(songs, front_end, workers):
        for one, sound in listen(songs, front_end, workers):
            if one.audio.name == "0.mp3":
                os.utime(one.audio, ns=(5, 5))
            yield one, sound

    monkeypatch.setattr(tagger, "listen", changing)
    opened = Tagging._opened

    def vanishing(self, file):
        found = opened(self, file)
        if file.name == "1.flac" and file.exists():
            file.unlink()
        return found

    monkeypatch.setattr(Tagging, "_opened", vanishing)
    kept = digests(music)["0.mp3"]
    assert tag(music, "--mode", "append", "--write") == 1
    told = capsys.readouterr().out
    assert "failed (changed while its genres were being found)" in told
    assert "failed (cannot be opened: No such file or directory)" in told
    assert "7 songs: 3 were written, 4 failed" in told
    assert digests(music)["0.mp3"] == kept


def test_a_full_disk_stops_at_the_first_song_that_cannot_be_logged(music, monkeypatch, capsys):
    """The log cannot grow: no file is touched. A file cannot be written: it is said, and the others are."""
    before, sync, copy = digests(music), os.fsync, shutil.copyfile

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def log_full(number):
        if os.path.exists("genres.undo.jsonl") and os.path.samestat(os.fstat(number), os.stat("genres.undo.jsonl")):
            full()
        sync(number)

    with monkeypatch.context() as patch:
        patch.setattr("mgc_jax.tagging.undo_log.os.fsync", log_full)
        assert tag(music, "--mode", "append", "--write") == 2
    assert "cannot be written (No space left on device): no more files are changed." in capsys.readouterr().err
    assert digests(music) == before
    with monkeypatch.context() as patch:
        patch.setattr(rewrite.shutil, "copyfile", lambda file, to: full() if file.suffix == ".ogg" else copy(file, to))
        assert tag(music, "--mode", "append", "--write") == 1
    told = capsys.readouterr().out
    assert "2.ogg" in told
    assert "failed (cannot be written: No space left on device)" in told
    assert "7 songs: 4 were written, 3 failed" in told
    assert sorted(digests(music)) == sorted(before)
    main(["tag", "--undo", "genres.undo.jsonl"])
    assert digests(music) == before


def test_links_that_go_in_circles_hidden_files_and_those_of_systems_are_passed_by(music, capsys):
    (music / "up").symlink_to(music)
    (music / "self").symlink_to(music / "self")
    (music / "again.flac").symlink_to(music / "1.flac")
    (music / "@eaDir").mkdir()
    song(music / "@eaDir" / "thumb.mp3")
    assert tag(music) == 1
    told = capsys.readouterr().out
    assert "7 songs: " in told
    assert "2 hidden files and folders and 2 links to the same songs were passed by" in told


def test_other_settings_are_another_run(music):
    tag(music, "--mode", "append", "--write")
    tag(music, "--mode", "replace", "--write", "--min-score", "0.1", "--max-genres", "3")
    assert genres(music)["1.flac"] == ("High Life", "Rock")


def test_whitelist_tree_and_aliases(music, tmp_path):
    (tmp_path / "tree.yaml").write_text("- african:\n  - high life\n- electronic:\n  - low fi\n")
    (tmp_path / "allowed.txt").write_text("african\nelectronic\n")
    (tmp_path / "spelled.yaml").write_text("electronic: Electronica\n")
    files = ["--tree", "tree.yaml", "--whitelist", "allowed.txt", "--aliases", "spelled.yaml"]
    tag(music, "--mode", "replace", "--write", *files)
    assert genres(music)["0.mp3"] == ("Electronica",)
    assert genres(music)["1.flac"] == ("African",)


def test_a_whitelist_of_other_genres_is_refused(music, tmp_path, capsys):
    before = digests(music)
    (tmp_path / "allowed.txt").write_text("Jazz\nafrican\n")
    assert tag(music, "--mode", "replace", "--write", "--whitelist", "allowed.txt") == 2
    assert "The whitelist has no genre that could be written: the model knows " in capsys.readouterr().err
    assert digests(music) == before
    (tmp_path / "tree.yaml").write_text("- african:\n  - high life\n")
    assert tag(music / "1.flac", "--mode", "replace", "--whitelist", "allowed.txt", "--tree", "tree.yaml") == 0


def test_unsure_songs_stay(music, capsys):
    before = digests(music)
    assert tag(music / "0.mp3", "--mode", "replace", "--min-score", "0.99", "--none-if-unsure", "--write") == 0
    assert "1 stay as they are, for the model is not sure" in capsys.readouterr().out
    assert digests(music) == before


def test_an_album_gets_one_set(music, capsys):
    for number, pitch in enumerate((HIGH, HIGH, LOW)):
        song(music / f"8{number}.ogg", album="One", artist="A", pitch=pitch)
    song(music / "90.ogg", album="Two", artist="A", pitch=LOW)
    tag(music, "--mode", "replace", "--write", "--per-album", "--min-score", "0.5")
    written = genres(music)
    assert [written[f"8{number}.ogg"] for number in range(3)] == [("High Life",)] * 3
    assert written["90.ogg"] == ("Low Fi",)
    assert written["1.flac"] == ("High Life",)
    capsys.readouterr()
    assert tag(music, "--mode", "replace", "--write", "--per-album", "--min-score", "0.5") == 1
    assert "9 were written by an earlier run, 2 failed" in capsys.readouterr().out


def test_read_only_files_are_said_in_the_dry_run_already(music, capsys):
    (music / "0.mp3").chmod(0o444)
    assert tag(music / "0.mp3") == 1
    assert "failed (read-only)" in capsys.readouterr().out


def test_two_commands_do_not_share_a_log(music, capsys):
    before = digests(music)
    with filelock.FileLock("genres.undo.jsonl.lock"):
        assert tag(music, "--write") == 2
        assert "in use by another mgc-jax tag" in capsys.readouterr().err
    assert digests(music) == before


def test_what_changed_since_is_not_taken_back_but_all_else_is(music, capsys):
    before = digests(music)
    tag(music, "--mode", "append", "--write")
    tag_file.write_genres(music / "1.flac", ["Mine"])
    (music / "0.mp3").rename(music / "moved.mp3")
    capsys.readouterr()
    assert main(["tag", "--undo", "genres.undo.jsonl"]) == 1
    told = capsys.readouterr().out
    assert "1.flac: has changed since; it is left as it is" in told
    assert "0.mp3: cannot be opened: No such file or directory" in told
    assert "3 changes were taken back" in told
    assert {name: digest for name, digest in digests(music).items() if name in ("2.ogg", "3.opus", "4.wav")} == {
        name: digest for name, digest in before.items() if name in ("2.ogg", "3.opus", "4.wav")
    }
    (music / "moved.mp3").rename(music / "0.mp3")
    assert main(["tag", "--undo", "genres.undo.jsonl"]) == 1
    assert digests(music)["0.mp3"] == before["0.mp3"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "--workdir", "musicnn"], "nowhere does not exist"),
        (["music"], "Give songs or folders and --workdir, or --undo"),
        ([], "Give songs or folders and --workdir, or --undo"),
        (["music", "--undo", "log"], "leave out songs"),
        (["--undo", "gone.jsonl"], "there is no such file"),
        (["--undo", "music/0.mp3"], "is no log of mgc-jax tag"),
        (["music", "--workdir", "musicnn", "--tree-use", "parents"], "needs a --tree"),
        (["music", "--workdir", "musicnn", "--tree", "gone.yaml"], "gone.yaml cannot be read"),
        (["music", "--workdir", "musicnn", "--min-score", "2"], "2 is not from 0 to 1"),
        (["music", "--workdir", "musicnn", "--log", "away/log"], "no folder away"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, music, capsys):
    try:
        code = main(["tag", *arguments])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_that_reads_is_given_the_words(run, corpus, tmp_path, monkeypatch):
    """Embedded ones, or those in a file beside the song; what is no text is said, and the song is heard only."""
    model = mgc_jax.load(run)
    words = "love on the radio all night"
    heard = song(tmp_path / "a.flac", lyrics=words)
    shutil.copy(song(tmp_path / "b.flac"), tmp_path / "c.flac")
    (tmp_path / "b.lrc").write_text(words)
    song(tmp_path / "d.flac", lyrics="la \x01\x02\x03" * 9)
    tagging = Tagging(model, Policy(min_score=0.0))
    rest: list[list[Path]] = []
    assert not list(tagging.unheard(sorted(tmp_path.glob("*.flac")), rest))
    rows = {row.file[-6:]: row for row in tagging.heard(rest)}
    spelled = Policy(min_score=0.0).spelling
    for name, text in (("a.flac", words), ("b.flac", words), ("c.flac", None), ("d.flac", None)):
        expected = model.predict(heard, text).ranked
        assert rows[name].scores == pytest.approx({spelled(genre): score for genre, score in expected})
    assert rows["d.flac"].note == "heard only: lyrics are not text (in its tags)"
    assert rows["a.flac"].scores != rows["c.flac"].scores
    monkeypatch.chdir(tmp_path)
    assert main(["tag", ".", "--workdir", str(run), "--min-score", "0", "--no-lyrics", "--json", "plan.json"]) == 0
    plan = {row["file"][-6:]: row for row in json.loads(Path("plan.json").read_text())}
    assert plan.keys() == rows.keys()
    for row in plan.values():
        assert row["scores"] == pytest.approx(dict(rows["c.flac"].scores))
        assert not row["note"]
