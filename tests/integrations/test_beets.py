"""The plugin in a real beets: while songs are imported, and as a command."""

import contextlib
import io
import logging
import shutil

import pytest

from mgc_jax.inference import tagger
from tests.support.pitch_tagger import HIGH, LOW, by_pitch
from tests.support.recipe import ROOT
from tests.support.tagged_files import song

pytest.importorskip("beets")
import beets
import beets.plugins
import beets.ui
from mediafile import MediaFile

CONFIG = """
directory: {folder}/library
library: {folder}/library.db
pluginpath: {plugins}
plugins: mgcjax
import: {{autotag: no, copy: yes, write: yes}}
mgcjax: {{{choices}}}
"""


@pytest.fixture
def beet(tmp_path, monkeypatch):
    """Runs beets with these choices of the plugin and arguments; gives what it prints."""
    monkeypatch.setitem(tagger.TAGGERS, "musicnn", by_pitch)
    monkeypatch.setenv("BEETSDIR", str(tmp_path))

    def run(*arguments, choices=""):
        text = CONFIG.format(folder=tmp_path, plugins=ROOT / "integrations" / "beets" / "beetsplug", choices=choices)
        (tmp_path / "config.yaml").write_text(text)
        beets.config.clear()
        beets.config.read()
        beets.plugins._instances.clear()
        output = io.StringIO()
        handler = logging.StreamHandler(output)
        logging.getLogger("beets").addHandler(handler)
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                beets.ui._raw_main(list(map(str, arguments)))
        finally:
            logging.getLogger("beets").removeHandler(handler)
            beets.plugins.BeetsPlugin.listeners.clear()
            beets.plugins.BeetsPlugin._raw_listeners.clear()
            beets.plugins._instances.clear()
        return output.getvalue()

    return run


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    for number, pitch in enumerate((HIGH, HIGH, LOW)):
        song(folder / f"{number}.flac", album="One", artist="A", title=f"song {number}", pitch=pitch)
    song(folder / "3.mp3", ["Old"], album="One", artist="A", title="song 3", pitch=HIGH)
    return folder


def genres(tmp_path):
    return {path.stem: MediaFile(path).genres for path in (tmp_path / "library").rglob("*.*")}


def test_imported_songs_get_genres(beet, music, tmp_path):
    beet("import", "-q", music, choices="min_score: 0.5")
    assert sorted(map(str, genres(tmp_path).values())) == ["None"] * 3 + ["['Old']"]  # as they were, as asked for
    beet("write")
    assert sorted(map(str, genres(tmp_path).values())) == ["['High Life']"] * 3 + ["['Old']"]
    assert beet("ls", "-f", "$title: $genres", "title:song 2").strip().endswith("song 2: High Life")


def test_each_song_by_itself_and_other_choices(beet, music, tmp_path):
    beet("import", "-q", music, choices="per_album: no, mode: append, capitals: no, max_genres: 1")
    beet("write")
    written = sorted(map(tuple, genres(tmp_path).values()))
    assert written == [("Old", "high life"), ("high life",), ("high life",), ("low fi",)]


def test_the_command_names_what_is_in_the_library(beet, music, tmp_path):
    quiet = "auto: no, min_score: 0.5"
    beet("import", "-q", music, choices=quiet)
    assert sorted(map(str, genres(tmp_path).values())) == ["None"] * 3 + ["['Old']"]
    told = beet("-v", "mgcjax", "--pretend", choices=quiet)
    assert "High Life" in told
    assert sorted(map(str, genres(tmp_path).values())) == ["None"] * 3 + ["['Old']"]
    beet("mgcjax", "--mode", "replace", choices=quiet)
    assert genres(tmp_path) == {name: ["High Life"] for name in genres(tmp_path)}
    assert beet("ls", "-a", "-f", "$genres").strip() == "High Life"


def test_a_song_that_cannot_be_heard_and_a_wrong_configuration_cost_no_import(beet, music, tmp_path):
    content = (music / "0.flac").read_bytes()
    (music / "0.flac").write_bytes(content[: len(content) // 8])
    beet("import", "-q", music, choices="min_score: 0.5, per_album: no")
    assert len(genres(tmp_path)) == 4
    shutil.rmtree(tmp_path / "library")
    (tmp_path / "library.db").unlink()
    told = beet("import", "-q", music, choices="tree: gone.yaml")
    assert "cannot be read" in told
    assert len(genres(tmp_path)) == 4
    with pytest.raises(beets.ui.UserError, match="cannot be read"):
        beet("mgcjax", choices="tree: gone.yaml")
