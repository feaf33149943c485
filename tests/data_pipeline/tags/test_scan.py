"""A folder of tagged songs becomes a manifest that is read back with the same genres, artists and words."""

import json
import os

import filelock
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.genre_names import is_missing
from data_pipeline.sources import read_corpus
from data_pipeline.storage.files import read_tsv
from data_pipeline.tags import scan as scanning
from data_pipeline.tags.scan import scan
from data_pipeline.tags.tag_file import Tags
from mgc_jax.cli import main
from tests.support.tagged_files import FORMATS, song

WORDS = 'Line "one", two\n\n\tlast; line'


@pytest.fixture
def music(tmp_path):
    """One song of every format, and what else lies in folders."""
    folder = tmp_path / "music"
    for number, kind in enumerate(FORMATS):
        song(folder / "all" / f"{number}.{kind}", ["Rock", "R&B/Soul"], artist=f"Ärtist {number}", lyrics=WORDS)
    song(folder / "side.mp3", ["Folk, World, & Country"], artist="A")
    (folder / "side.lrc").write_text("[00:01.00]la la")
    (folder / "side.txt").write_text("not these")
    song(folder / "none.flac")
    (folder / "none.TXT").write_text("words")
    (folder / "broken.mp3").write_bytes(b"")
    (folder / "cover.jpg").touch()
    (folder / ".DS_Store").touch()
    return folder


@pytest.mark.parametrize("suffix", scanning.SUFFIXES)
@pytest.mark.parametrize("inside", [False, True])
def test_a_scanned_folder_is_read_as_a_corpus(music, tmp_path, suffix, inside):
    out = (music if inside else tmp_path) / f"songs{suffix}"
    found = scan([music], out)
    assert (found.songs, found.without_genres, found.without_lyrics, found.genres) == (len(FORMATS) + 2, 1, 0, 3)
    assert (found.unreadable, found.hidden, found.others, found.repeated) == (1, 1, 4 + inside, 0)
    corpus = read_corpus(out)
    assert [(line.reason, line.id.endswith("none.flac")) for line in corpus.rejected] == [("no genres", True)]
    tracks = {track.audio.name: track for track in corpus.tracks}
    assert len(tracks) == len(FORMATS) + 1
    for number, kind in enumerate(FORMATS):
        track = tracks[f"{number}.{kind}"]
        assert (track.genres, track.artist, track.lyrics_text) == (("Rock", "R&B/Soul"), f"Ärtist {number}", WORDS)
    assert tracks["side.mp3"].genres == ("Folk, World, & Country",)
    assert tracks["side.mp3"].lyrics_file == music / "side.lrc"
    assert not corpus.notes
    assert list(read_tsv(found.failures_file))[1:] == [[str(music / "broken.mp3"), "empty file"]]
    left = {path.name for path in out.parent.iterdir() if path.name.startswith("songs")}
    assert left == {out.name, f"{out.name}.unreadable.tsv"}


def test_one_text_of_several_genres_is_split_as_a_manifest_column_is():
    names = scanning._split(["Rock; Pop", "Jazz", "Rock/Jazz", "R&B/Soul", "unknown", "Hip-Hop / Rap"])
    assert names == {
        "Rock; Pop": ("Rock", "Pop"),
        "Jazz": ("Jazz",),
        "Rock/Jazz": ("Rock", "Jazz"),
        "R&B/Soul": ("R&B/Soul",),
        "unknown": (),
        "Hip-Hop / Rap": ("Hip-Hop / Rap",),
    }


def test_an_interrupted_scan_goes_on(music, tmp_path, monkeypatch):
    out = tmp_path / "songs.csv"
    read, seen = scanning.read, []

    def interrupted(path):
        seen.append(path.name)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(scanning, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scan([music], out)
    assert not out.exists()
    with (tmp_path / "songs.csv.scanned.jsonl").open("ab") as journal:
        journal.write(b'{"file": "cut o')
    first = music / seen[0] if (music / seen[0]).exists() else music / "all" / seen[0]
    os.utime(first, ns=(1, 1))  # it changed meanwhile
    done, seen[:] = seen[1:3], [""] * 9
    scan([music], out)
    assert not set(seen) & set(done)
    assert first.name in seen
    again = tmp_path / "again.csv"
    scan([music], again)
    assert out.read_bytes() == again.read_bytes()


def test_what_goes_while_it_is_scanned_is_said_and_costs_no_other(music, tmp_path, monkeypatch):
    read = scanning.read

    def vanishing(path):
        if path.name == "none.flac":
            (music / "side.mp3").unlink()
        return read(path)

    monkeypatch.setattr(scanning, "read", vanishing)
    found = scan([music], tmp_path / "songs.csv")
    assert found.songs == len(FORMATS) + 1
    reasons = dict(list(read_tsv(found.failures_file))[1:])
    assert reasons[str(music / "side.mp3")] == "tags cannot be read: No such file or directory"


def test_two_scans_do_not_write_one_manifest(music, tmp_path):
    out = tmp_path / "songs.csv"
    with filelock.FileLock(f"{out}.lock"), pytest.raises(InputError, match="another scan"):
        scan([music], out)


def test_names_that_are_no_text_and_odd_names_survive(tmp_path):
    folder = tmp_path / "music"
    names = [b"caf\xe9.mp3", b" blank .mp3", b'quote",comma.mp3', b"two\nlines.mp3", b"~home.mp3", b"back\\slash.mp3"]
    made = song(tmp_path / "made.mp3", ["Rock"], artist="A")
    folder.mkdir()
    for name in names:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(made.read_bytes())
    for suffix in scanning.SUFFIXES:
        assert scan([folder], tmp_path / f"songs{suffix}").songs == len(names)
        corpus = read_corpus(tmp_path / f"songs{suffix}")
        assert {os.fsencode(track.audio.name) for track in corpus.tracks} == set(names)
        assert not corpus.rejected


def test_a_folder_of_very_many_songs_is_scanned_with_flat_memory_and_in_order(tmp_path, monkeypatch):
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(3000):
        (folder / f"{number:06d}.mp3").write_bytes(b"x")
    monkeypatch.setattr(scanning, "read", lambda path: Tags(genres=("Rock",), title=path.stem))
    counts = []
    scan([folder], tmp_path / "songs.jsonl", lambda *count: counts.append(count))
    titles = [json.loads(line)["title"] for line in (tmp_path / "songs.jsonl").open()]
    assert titles == [f"{number:06d}" for number in range(3000)]
    assert counts[0] == ("scan", 0, 3000)
    assert counts[-1] == ("scan", 3000, 3000)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    genres=st.lists(
        st.text(
            st.characters(min_codepoint=33, blacklist_categories=("Cs", "Cc", "Cf", "Zs", "Zl", "Zp")), min_size=3
        ).filter(lambda name: name.isalnum() and not name.isnumeric() and not is_missing(name)),  # no number of ID3
        min_size=1,
        max_size=4,
        unique_by=str.casefold,
    ),
    words=st.text(st.characters(blacklist_categories=("Cs", "Cc"))).filter(lambda text: not is_missing(text)),
)
def test_any_genres_and_words_come_back_from_the_manifest(genres, words, tmp_path, monkeypatch):
    (tmp_path / "a.mp3").write_bytes(b"x")
    monkeypatch.setattr(scanning, "read", lambda path: Tags(genres=tuple(genres), lyrics=words.strip()))
    for suffix in scanning.SUFFIXES:
        scan([tmp_path / "a.mp3"], tmp_path / f"songs{suffix}")
        corpus = read_corpus(tmp_path / f"songs{suffix}")
        assert not corpus.rejected
        assert corpus.tracks[0].genres == tuple(genres)
        assert (corpus.tracks[0].lyrics_text or "") == words.strip()


def test_the_command_counts_and_says_where_the_reasons_are(music, tmp_path, capsys):
    out = tmp_path / "songs.csv"
    assert main(["scan", str(music), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert f"{len(FORMATS) + 2} songs with 3 genres in {out}; 1 have no genres, 0 no lyrics" in told
    assert f"1 files could not be read; {out}.unreadable.tsv says why" in told
    assert "1 hidden or of a system, 4 no songs" in told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "--out", "songs.csv"], "nowhere does not exist"),
        ([".", "--out", "songs.xlsx"], "must end in .csv or .jsonl"),
        ([".", "--out", "away/songs.csv"], "no folder away"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["scan", *arguments])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert sentence in capsys.readouterr().err
