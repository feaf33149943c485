"""Genres go into files and are taken back: the old bytes to the last one, the sound never touched, nothing lost."""

import errno
import hashlib
import json
import os
import resource

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.tags import tag_file
from data_pipeline.tags.tag_file import TagError
from mgc_jax.tagging import rewrite, undo_log
from mgc_jax.tagging.undo_log import UndoLog
from tests.support.tagged_files import FORMATS, decoded, encoded, song

LONG = [f"genre number {i}" for i in range(400)]  # which no padding has room for


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written(path, genres, log, settings="s"):
    old = tag_file.read(path).genres
    rewrite.write_genres(path, old, genres, rewrite.identity(path), log, settings)


def undo(log_file):
    log = UndoLog(log_file)
    done = []
    for number, change in log.changes():
        done.append(rewrite.take_back(change))
        log.undone(number)
    log.close()
    return done


@pytest.fixture
def log(tmp_path):
    log = UndoLog(tmp_path / "log.jsonl")
    yield log
    log.close()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("genres", [["Pop"], ["Hip Hop", "Música"], LONG], ids=["one", "two", "long"])
@pytest.mark.parametrize("tagged", [False, True])
def test_undo_gives_every_byte_back(kind, genres, tagged, tmp_path, log):
    texts = {"artist": "A", "lyrics": "la " * 3000} if tagged else {}
    path = song(tmp_path / f"a.{kind}", ["Old"] if tagged else [], **texts)
    os.chmod(path, 0o640)
    os.utime(path, ns=(10**18, 10**18))
    before, sound = digest(path), decoded(path)
    written(path, genres, log)
    assert tag_file.read(path).genres == tuple(genres)
    np.testing.assert_array_equal(decoded(path), sound)
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_mtime_ns > 10**18
    assert log.path.stat().st_size < 40_000
    assert undo(log.path) == [True]
    assert digest(path) == before
    assert path.stat().st_mtime_ns == 10**18
    assert path.stat().st_mode & 0o777 == 0o640
    assert {item.name for item in tmp_path.iterdir()} == {path.name, "log.jsonl"}


def test_several_changes_of_a_file_are_taken_back_in_order(tmp_path, log):
    path = song(tmp_path / "a.mp3", ["Old"])
    before = digest(path)
    for genres in (["One"], ["Two", "Three"], LONG):
        written(path, genres, log)
    assert undo(log.path) == [True] * 3
    assert digest(path) == before
    assert undo(log.path) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([kind for kind in FORMATS if kind != "m4a"]),
    old=st.lists(st.text(min_size=1, max_size=300).map(str.strip).filter(bool), max_size=3),
    new=st.lists(
        st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1).map(str.strip).filter(bool),
        min_size=1,
        max_size=5,
    ),
)
def test_any_genres_are_taken_back(kind, old, new, tmp_path):
    path = song(tmp_path / f"a.{kind}", [name.replace("\0", "") or "x" for name in old])
    before, sound = digest(path), decoded(path)
    log = UndoLog(tmp_path / "any.jsonl")
    try:
        written(path, new, log)
    except TagError:  # such as "(1" in ID3, which reads it as another genre: the file is left alone
        assert digest(path) == before
        return
    finally:
        log.close()
    np.testing.assert_array_equal(decoded(path), sound)
    undo(log.path)
    assert digest(path) == before


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path, log):
    path = song(tmp_path / "a.mp3", ["Old"])
    seen = rewrite.identity(path)
    os.utime(path, ns=(5, 5))
    before = digest(path)
    with pytest.raises(TagError, match="changed while its genres were being found"):
        rewrite.write_genres(path, ["Old"], ["New"], seen, log, "")
    assert digest(path) == before
    assert not log.path.exists()


def test_a_file_that_changed_after_it_was_tagged_is_not_taken_back(tmp_path, log):
    path = song(tmp_path / "a.mp3", ["Old"])
    written(path, ["New"], log)
    tag_file.write_genres(path, ["Mine"])
    with pytest.raises(TagError, match="has changed since"):
        undo(log.path)
    assert tag_file.read(path).genres == ("Mine",)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_leaves_the_file(kind, tmp_path, log, monkeypatch):
    path = song(tmp_path / f"a.{kind}", ["Old"], lyrics="la")
    before = digest(path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for module, name in ((rewrite.shutil, "copyfile"), (tag_file, "write_genres"), (rewrite.os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(TagError, match="No space left"):
                rewrite.write_genres(path, ["Old"], ["New"], rewrite.identity(path), log, "")
        assert digest(path) == before
        assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_log_on_a_full_disk_stops_before_the_file_is_touched(tmp_path, monkeypatch):
    path, other = song(tmp_path / "a.mp3", ["Old"]), song(tmp_path / "b.mp3", ["Old"])
    log = UndoLog(tmp_path / "log.jsonl")
    written(path, ["New"], log)
    good, before, sync = log.path.read_bytes(), digest(other), os.fsync

    def full(number):
        if os.fstat(number).st_ino == log.path.stat().st_ino:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(number)

    with monkeypatch.context() as patch:
        patch.setattr(undo_log.os, "fsync", full)
        with pytest.raises(InputError, match=r"cannot be written \(No space left on device\): no more files"):
            written(other, ["New"], log)
    assert log.path.read_bytes() == good
    assert digest(other) == before
    written(other, ["New"], log)
    log.close()
    assert undo(log.path) == [True, True]


def test_a_log_that_has_no_room_for_a_line_keeps_those_that_it_has(tmp_path):
    """Here the system itself refuses the bytes, of which some are written."""
    log = UndoLog(tmp_path / "log.jsonl")
    path = song(tmp_path / "a.mp3", ["Old"])
    written(path, ["New"], log)
    good, change = log.path.read_bytes(), log.last(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) + 20, limits[1]))
    try:
        for _ in range(2):
            with pytest.raises(InputError, match=r"cannot be written \(File too large\): no more files are changed"):
                log.add(change)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.path.read_bytes() == good
    log.add(change)
    log.close()
    assert UndoLog(log.path).num_changes == 2


def test_what_was_logged_but_not_written_is_nothing_to_take_back(tmp_path, log, monkeypatch):
    path = song(tmp_path / "a.mp3", ["Old"])
    before = digest(path)
    with monkeypatch.context() as patch:
        patch.setattr(rewrite.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            written(path, ["New"], log)
    assert digest(path) == before
    assert undo(log.path) == [False]
    assert digest(path) == before


def test_a_line_that_a_kill_cut_off_does_not_count(tmp_path, log):
    path = song(tmp_path / "a.mp3", ["Old"])
    before = digest(path)
    written(path, ["New"], log)
    log.close()
    for rest in (b'{"number": 1, "file', b""):
        with log.path.open("ab") as file:
            file.write(rest)
        again = UndoLog(log.path)
        assert again.num_changes == 1
        written(path, [f"Newer {len(rest)}"], again)
        again.close()
        undone = UndoLog(log.path)
        (number, change), *_ = undone.changes()
        rewrite.take_back(change)
        undone.undone(number)
        undone.close()
    assert undo(log.path) == [True]
    assert digest(path) == before


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b'{"log": "another"}\n', b"\xff\xfe\n", b'{"log": "mgc-jax tag", "version": 1}\n{"number": 1}\n'],
)
def test_what_is_no_log_is_refused(content, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no log of mgc-jax tag"):
        UndoLog(path)
    assert path.read_bytes() == content


def test_a_log_that_was_tampered_with_makes_no_other_file(tmp_path, log):
    path = song(tmp_path / "a.mp3", ["Old"])
    written(path, ["New"], log)
    log.close()
    lines = log.path.read_text().splitlines()
    entry = json.loads(lines[1])
    entry["recipe"] = [[0, 5]]
    log.path.write_text("\n".join([lines[0], json.dumps(entry)]) + "\n")
    after = digest(path)
    with pytest.raises(TagError, match="does not say enough"):
        undo(log.path)
    assert digest(path) == after


def test_read_only_files_and_folders_are_said(tmp_path, log, monkeypatch):
    path = song(tmp_path / "a.mp3", ["Old"])
    path.chmod(0o444)
    with pytest.raises(TagError, match="read-only"):
        written(path, ["New"], log)
    path.chmod(0o644)

    def refused(self, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(rewrite.Path, "touch", refused)
    with pytest.raises(TagError, match="cannot be written: Permission denied"):
        written(path, ["New"], log)
    assert tag_file.read(path).genres == ("Old",)


def test_names_of_any_bytes_and_length(tmp_path, log):
    for name in (b"caf\xe9.mp3", b"x" * 251 + b".mp3", b"two\nlines.mp3"):
        path = song(tmp_path / "made.mp3", ["Old"]).rename(
            os.path.join(os.fsencode(tmp_path), name).decode(errors="surrogateescape")
        )
        written(path, ["New"], log)
    assert undo(log.path) == [True] * 3


def test_the_rest_of_a_file_may_be_anything(tmp_path, log):
    """Bytes after the music, a second tag, a broken one: whatever is written, the old file comes back."""
    for number, (head, tail) in enumerate(
        [(b"", b"junk" * 99), (b"ID3\4\0\0\0\0\0\0", b""), (b"\0" * 700, b"APETAGEX" + bytes(24))]
    ):
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(head + encoded("mp3") + tail)
        before = digest(path)
        try:
            written(path, LONG, log)
        except TagError:
            assert digest(path) == before
            continue
        undo(log.path)
        assert digest(path) == before
