import json
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline import genres
from data_pipeline.errors import InputError

LISTS = [("rock", "Pop"), ("rock",), ("r b", "lo fi"), ("r&amp;b",), ("lo-fi", "r&b"), ("hip  hop", "rock")]
WORDS = st.sampled_from(["rock", "pop", "r&b", "r b", "lo-fi", "Lo Fi", "hip hop", "jazz", "drum & bass", ""])


def test_spellings_of_one_genre_are_counted_together():
    vocabulary = genres.make_vocabulary(LISTS, min_tracks=2)
    assert vocabulary.names == ("r&b", "rock", "lo-fi")
    assert vocabulary.counts.tolist() == [3, 3, 2]
    assert vocabulary.encode(["R B"]).tolist() == [1, 0, 0]
    assert vocabulary.encode(["lo fi", "unknown", "ROCK "]).tolist() == [0, 1, 1]
    assert vocabulary.encode([]).dtype == np.uint8


def test_aliases_lead_to_the_named_genre():
    vocabulary = genres.make_vocabulary(
        [("hiphop",), ("hip hop",), ("rap",)], aliases={"Hiphop": "hip hop", "emcee": "rap"}
    )
    assert vocabulary.names == ("hip hop", "rap")
    assert vocabulary.encode(["HIPHOP"]).tolist() == [1, 0]
    assert vocabulary.encode(["emcee"]).tolist() == [0, 1]


def test_max_genres_keeps_the_most_frequent():
    assert genres.make_vocabulary(LISTS, max_genres=1).names == ("r&b",)


def test_no_genre_left_is_said():
    with pytest.raises(InputError, match="at least 9 tracks"):
        genres.make_vocabulary(LISTS, min_tracks=9)


@given(st.lists(st.lists(WORDS, max_size=4), min_size=1, max_size=12), st.integers(0, 3), st.data())
def test_statistics_equal_plain_loops(lists, max_genres, data):
    if not any(genre for labels in lists for genre in labels):
        return
    vocabulary = genres.make_vocabulary(lists, max_genres=max_genres)
    part = data.draw(st.lists(st.sampled_from(lists), max_size=8))
    with mock.patch.object(genres, "_ROWS", 3):
        counted = vocabulary.with_statistics(part)
    assert sorted(counted.names) == sorted(vocabulary.names)
    rows = [set(np.flatnonzero(counted.encode(labels))) for labels in part]
    for i in range(counted.size):
        for j in range(counted.size):
            assert counted.cooccurrence[i, j] == sum(i in row and j in row for row in rows)
    assert counted.counts.tolist() == np.diag(counted.cooccurrence).tolist()
    keys = [(-int(c), n) for c, n in zip(counted.counts, counted.names, strict=True)]
    assert keys == sorted(keys)
    assert counted.num_tracks == len(part)


def test_save_and_load(tmp_path):
    vocabulary = genres.make_vocabulary(LISTS, aliases={"beats": "lo-fi"})
    vocabulary.save(tmp_path / "genres.json")
    loaded = genres.GenreVocabulary.load(tmp_path / "genres.json")
    assert loaded == vocabulary
    assert loaded != genres.make_vocabulary(LISTS, max_genres=2)
    assert loaded.encode(["beats"]).sum() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"format": 7},
        {"names": []},
        {"names": ["rock", "rock"]},
        {"names": "rock"},
        {"counts": [1]},
        {"counts": [1.5, 1.0]},
        {"counts": None},
        {"cooccurrence": [[2, 1], [0, 1]]},
        {"cooccurrence": [[2, 1], [1, 2]]},
        {"cooccurrence": [[2, 1], [1]]},
        {"num_tracks": 1},
        {"num_tracks": "2"},
        {"aliases": {"a": "polka"}},
        {"aliases": [1]},
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(tmp_path, change):
    path = tmp_path / "genres.json"
    genres.make_vocabulary([("rock", "pop"), ("rock",)]).save(path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | change))
    with pytest.raises(InputError, match="broken"):
        genres.GenreVocabulary.load(path)


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00"])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, content):
    (tmp_path / "genres.json").write_text(content)
    with pytest.raises(InputError):
        genres.GenreVocabulary.load(tmp_path / "genres.json")
    with pytest.raises(InputError):
        genres.GenreVocabulary.load(tmp_path / "missing.json")


def test_a_name_for_all_the_rest_is_no_genre_unless_an_alias_says_so():
    lists = [["rock", "Other"], ["misc.", "pop"], ["Other"], ["(No Genre)", "rock"]]
    found = genres.count_genres(lists)
    assert found.tracks == {"rock": 2, "pop": 1}
    assert found.catch_alls == {"other": 2, "misc.": 1}
    assert genres.count_genres(lists, {"other": "other"}).tracks == {"other": 2, "rock": 2, "pop": 1}
    assert genres.count_genres(lists, {"misc.": "experimental"}).tracks == {"rock": 2, "experimental": 1, "pop": 1}
    vocabulary = genres.make_vocabulary(lists)
    assert vocabulary.names == ("rock", "pop")
    assert vocabulary.encode(["Other"]).tolist() == [0, 0]
