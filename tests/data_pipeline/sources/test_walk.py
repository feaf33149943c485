"""Which songs lie in a folder: each once, in order, and what is passed by is counted."""

import os

import pytest

from data_pipeline.errors import InputError
from data_pipeline.sources.walk import Walk, is_hidden


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder, *places):
    walk = Walk()
    return walk, [os.path.relpath(path, folder) for path in walk.songs(places or [folder])]


def test_folders_are_walked_in_the_order_of_names(tmp_path):
    make(tmp_path, "b/2.flac", "b/1.MP3", "a/x/1.ogg", "c.opus", "cover.jpg", "b/notes.txt")
    walk, songs = found(tmp_path)
    assert songs == ["c.opus", "a/x/1.ogg", "b/1.MP3", "b/2.flac"]
    assert (walk.others, walk.hidden, walk.repeated, walk.failures) == (2, 0, 0, [])


def test_hidden_and_system_files_are_counted(tmp_path):
    make(tmp_path, ".DS_Store", "._a.mp3", "@eaDir/a.mp3", "#recycle/b.mp3", ".Trash-1000/c.mp3", "Thumbs.db", "a.mp3")
    make(tmp_path, "System Volume Information/x.mp3", "...And You Will Know Us/1.mp3")
    walk, songs = found(tmp_path)
    assert songs == ["a.mp3", "...And You Will Know Us/1.mp3"]
    assert walk.hidden == 7
    assert not is_hidden("...Baby One More Time.mp3")


def test_links_are_followed_and_loops_end(tmp_path):
    make(tmp_path, "a/1.mp3", "elsewhere/2.mp3")
    (tmp_path / "a" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "again.mp3").symlink_to(tmp_path / "a" / "1.mp3")
    (tmp_path / "a" / "other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a" / "self.mp3").symlink_to(tmp_path / "a" / "self.mp3")
    (tmp_path / "a" / "gone.mp3").symlink_to(tmp_path / "nowhere.mp3")
    walk, songs = found(tmp_path, tmp_path / "a", tmp_path / "a" / "1.mp3")
    assert songs == ["a/1.mp3", "a/other/2.mp3"]
    assert walk.repeated == 3
    reasons = dict(walk.failures)
    assert set(reasons) == {str(tmp_path / "a" / "self.mp3"), str(tmp_path / "a" / "gone.mp3")}
    assert all(reason.startswith("cannot be opened") for reason in reasons.values())


def test_what_is_named_itself_may_be_called_anything(tmp_path):
    make(tmp_path, "song.bin", ".hidden.mp3")
    assert found(tmp_path, tmp_path / "song.bin", tmp_path / ".hidden.mp3")[1] == ["song.bin", ".hidden.mp3"]


def test_a_place_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        list(Walk().songs([tmp_path / "nowhere"]))


def test_no_regular_file_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")
    walk, songs = found(tmp_path)
    assert songs == []
    assert walk.failures == [(str(tmp_path / "pipe.mp3"), "no regular file")]
