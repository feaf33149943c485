"""The genres of a cell are the same in whatever notation a table writes them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.sources.genre_lists import NO_GENRES, read_column

NAMES = ("Rock", "R&B", "Drum & Bass", "Rock 'n' Roll", "post-rock", "Folk, World, & Country", "Música", "ロック")
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)

LISTS = {
    "JSON": json.dumps,
    "JSON in Unicode": lambda items: json.dumps(items, ensure_ascii=False),
    "a Python list": repr,
    "a Python tuple": lambda items: repr(tuple(items)),
    "a Python set": lambda items: "{" + repr(items)[1:-1] + "}",
    "a frozenset": lambda items: "frozenset({" + repr(items)[1:-1] + "})",
    "a numpy array": lambda items: str(np.array(items, object)),
    "a numpy array's repr": lambda items: repr(np.array(items, object)),
    "a PostgreSQL array": lambda items: "{" + ",".join(f'"{item}"' if "," in item else item for item in items) + "}",
    "entities": lambda items: json.dumps([item.replace("&", "&amp;").replace("'", "&#39;") for item in items]),
    "a list in a list": lambda items: json.dumps([items]),
    "JSON's own list": list,
}
SEPARATED = {
    ";": lambda items: ";".join(items),
    "|": lambda items: " | ".join(items),
    "NUL": lambda items: "\0".join(items),
    "\\\\": lambda items: r"\\".join(items),
    "TAB": lambda items: "\t".join(items),
    "new lines": lambda items: "\r\n".join(items),
    ",": lambda items: ",".join(items),
    "a comma and a blank": lambda items: ", ".join(items),
    " / ": lambda items: " / ".join(items),
    "a full-width comma": lambda items: "、".join(items),
    "quoted": lambda items: ", ".join(f'"{item}"' for item in items),
    "entities": lambda items: ";".join(item.replace("&", "&amp;").replace("'", "&#39;") for item in items),
    "double entities": lambda items: ";".join(item.replace("&", "&amp;amp;") for item in items),
}


@pytest.mark.parametrize("notation", LISTS)
@given(rows=st.lists(names, min_size=1, max_size=5))
def test_a_list_in_any_notation(notation, rows):
    column = read_column([LISTS[notation](row) for row in rows])
    assert column.genres == [tuple(row) for row in rows]
    assert not column.missing
    assert not column.whole


@pytest.mark.parametrize("notation", SEPARATED)
@given(rows=st.lists(names, min_size=1, max_size=5))
def test_a_column_with_any_separator(notation, rows):
    column = read_column([SEPARATED[notation](row) for row in [*rows, ["Rock", "Pop"]]])
    assert column.genres == [tuple(row) for row in [*rows, ["Rock", "Pop"]]]


@given(rows=st.lists(names, min_size=1, max_size=5), draw=st.data())
def test_notations_mixed_in_one_column(rows, draw):
    kinds = [*LISTS.values(), SEPARATED[";"]]
    column = read_column([draw.draw(st.sampled_from(kinds))(row) for row in rows])
    assert column.genres == [tuple(row) for row in rows]


@given(st.lists(st.text(max_size=30) | st.sampled_from(["['a', 'b", "[[[", "['a' 5]", "{'a': 1}", "array([", "(("])))
def test_whatever_a_cell_holds_there_are_names_or_a_reason(cells):
    for genres in read_column(cells).genres:
        assert genres
        if isinstance(genres, tuple):
            assert all(name == name.strip() != "" for name in genres)
            "".join(genres).encode()


CELLS = {
    "['rock', None, nan]": ("rock",),
    "['rock', 'nan']": ("rock",),
    "[rock, pop]": ("rock", "pop"),
    "['rock 'n' roll', 'pop']": ("rock 'n' roll", "pop"),
    "[b'rock', u'pop']": ("rock", "pop"),
    r"['m\xfasica', 'caf\u00e9', 'it\'s']": ("música", "café", "it's"),
    "['rock'\n 'pop']": ("rock", "pop"),
    "Index(['rock', 'pop'], dtype='object')": ("rock", "pop"),
    "(Neo) Soul": ("(Neo) Soul",),
    "('rock', 'pop')": ("rock", "pop"),
    "('rock',)": ("rock",),
    "set()": NO_GENRES,
    "[]": NO_GENRES,
    "nan": NO_GENRES,
    "N/A": NO_GENRES,
    "['']": NO_GENRES,
    "[1, 2]": "genres hold something that is not a text",
    "[{'genre_id': '21'}]": "genres hold something that is not a text",
    "['rock' 'pop' ... 'jazz']": "the list of genres is cut off (...)",
    "['rock', 'pop": "the list of genres is cut off (...)",
    "R&amp;B": ("R&B",),
    "Folk, World, & Country": ("Folk, World, & Country",),
    "Funk / Soul": ("Funk / Soul",),
    '"Folk, World", Rock': ("Folk, World", "Rock"),
    "'Folk, World', Rock": ("Folk, World", "Rock"),
    "rock, pop, & jazz, rock": ("rock", "pop", "jazz"),
    "rock,": ("rock",),
    "Hip-Hop/Rap": ("Hip-Hop/Rap",),
    "\"['rock', 'pop']\"": ("rock", "pop"),
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_of_a_column_with_commas(cell):
    assert read_column([cell, "a, b", "c, d"]).genres[0] == CELLS[cell]


@pytest.mark.parametrize("value", [None, float("nan"), ""])
def test_an_empty_cell(value):
    assert read_column([value]).genres == [NO_GENRES]


def test_what_is_no_text_is_refused():
    assert "neither a text nor a list" in read_column([True]).genres[0]
    for value in (
        [5],
        [1, 0, 1],
        ["rock", True],
        {"id": 5},
        [{"id": 5, "count": 3}],
        {"a": {"b": 1}},
        "[1, 0]",
        "[{}, 5]",
    ):
        assert "not a text" in read_column([value]).genres[0]


def test_a_column_with_bars_keeps_its_commas():
    cells = ["Blues, Roots, & Acoustic", "Rock|Pop", "Country", "Blues, Roots, & Acoustic|Folk"]
    column = read_column(cells)
    assert column.separator == "|"
    assert column.genres == [(cells[0],), ("Rock", "Pop"), ("Country",), (cells[0], "Folk")]
    assert column.whole == (cells[0],)


def test_a_known_name_among_others_hides_no_comma():
    column = read_column(["Folk, World, & Country", "Country", "Folk, World, & Country, Rock"])
    assert column.genres == [("Folk, World, & Country",), ("Country",), ("Folk, World, & Country", "Rock")]
    column = read_column(["Folk, World, & Country;Rock", "Folk, World, & Country, Rock", "Pop;Rock"])
    assert column.genres[1] == ("Folk, World, & Country", "Rock")


def test_a_list_of_lines_with_bullets():
    assert read_column(["- rock\n- post-rock", "pop\n* rock"]).genres == [("rock", "post-rock"), ("pop", "rock")]


def test_an_item_of_a_list_that_holds_a_separator_is_told():
    column = read_column([["rock;pop"], ["jazz", "Blues, Roots & Acoustic"]])
    assert column.genres == [("rock;pop",), ("jazz", "Blues, Roots & Acoustic")]
    assert column.whole == ("rock;pop",)


def test_a_series_with_an_ampersand_is_no_list_of_the_genres_in_it():
    cells = ["Blues, Roots, & Acoustic", "Rock|Blues", "Roots|Acoustic", "Acoustic"]
    assert read_column(cells).genres[0] == (cells[0],)
    assert read_column(cells[:1]).genres == [(cells[0],)]


def test_one_odd_cell_does_not_turn_a_column_of_commas():
    column = read_column([*(f"rock, style {i}" for i in range(9)), "hip hop; rap"])
    assert column.separator == ","
    assert column.genres[0] == ("rock", "style 0")
    assert column.genres[-1] == ("hip hop; rap",)
    assert column.whole == ("hip hop; rap",)


def test_a_second_separator_separates_what_other_rows_name():
    column = read_column(["rock;pop", "jazz;rock", "rock, jazz", "soul, polka"])
    assert column.genres == [("rock", "pop"), ("jazz", "rock"), ("rock", "jazz"), ("soul, polka",)]
    assert (column.also, column.whole) == (("rock, jazz",), ("soul, polka",))


def test_a_given_separator_is_the_only_one():
    cells = ["rock/pop", "jazz; soul/rock", "post-rock - pop", "a, b"]
    assert read_column(cells, "/").genres[:2] == [("rock", "pop"), ("jazz; soul", "rock")]
    assert read_column(cells, " - ").genres[2] == ("post-rock", "pop")
    assert read_column(cells, ";").genres[3] == ("a, b",)


def test_missing_values_are_counted():
    column = read_column(["rock;nan", "None", "unknown|pop", ["jazz", None]], ";")
    assert column.missing == 3
    assert column.genres == [("rock",), NO_GENRES, ("unknown|pop",), ("jazz",)]


@pytest.mark.parametrize("null", ["\\N", "#VALUE!", "#N/A", "[]"])
def test_a_null_of_a_database_or_of_excel_is_no_genre(null):
    column = read_column(["rock", null, "pop", null])
    assert column.genres == [("rock",), NO_GENRES, ("pop",), NO_GENRES]
    assert (column.separator, column.missing) == ("", 2)


def test_the_number_of_an_id3_genre_is_none_of_its_name():
    cells = [
        "(17)Rock",
        "(4)Eurodisco",
        "(17)(6)",
        "(80)",
        "(RX)",
        "(255)",
        "(Neo) Soul",
        "(60)s",
        "Rock|(17)|(3)Dance",
    ]
    assert read_column(cells).genres == [
        ("Rock",),
        ("Disco", "Eurodisco"),
        ("Rock", "Grunge"),
        ("Folk",),
        ("Remix",),
        NO_GENRES,
        ("(Neo) Soul",),
        ("(60)s",),
        ("Rock", "Dance"),
    ]


@pytest.mark.parametrize("cells", [["17", "rock", "pop"], [17, "0", "12"], ["17.0", "255", "6"]])
def test_numbers_that_are_all_id3s_are_its_genres(cells):
    column = read_column(cells)
    assert column.genres[0] == ("Rock",)
    assert column.notes() == [f"Genres that are numbers are read as ID3's: {cells[0]} is 'Rock'; else give names."]


@pytest.mark.parametrize("other", ["1984", "500", "0.5"])
def test_numbers_of_which_one_is_none_of_id3s_are_asked_about(other):
    column = read_column(["17", other, "rock", "80s"])
    assert column.genres == [("17",), (other,), ("rock",), ("80s",)]
    assert column.notes() == ["2 of 4 genres have no letter, such as '17': names are wanted."]


WEIGHTED = {
    "colons": lambda name, weight: f"{name}:{weight}",
    "equals": lambda name, weight: f"{name} = {weight}",
    "parentheses": lambda name, weight: f"{name} ({weight})",
    "per cent": lambda name, weight: f"{name} {weight}%",
    "brackets": lambda name, weight: f"{name} [{weight}]",
}
LISTED = {
    "objects": lambda pairs: [{"name": name, "count": weight} for name, weight in pairs],
    "other objects": lambda pairs: [{"weight": weight, "genre": name, "url": "x"} for name, weight in pairs],
    "an object": dict,
    "pairs": lambda pairs: [list(pair) for pair in pairs],
    "tags": lambda pairs: {"tags": [{"tag": name, "score": weight} for name, weight in pairs]},
}
weighted_rows = st.lists(
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 99) | st.just(0.25), min_size=1), min_size=1, max_size=4
)


@pytest.mark.parametrize("notation", WEIGHTED)
@pytest.mark.parametrize("separator", ["|", ";", ", "])
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(["rock", "Hip Hop", "R&B", "80s"]), st.integers(1, 99)), max_size=4)
)
def test_weights_in_a_text_are_taken_off(notation, separator, rows):
    cells = [separator.join(WEIGHTED[notation](*pair) for pair in row.items()) for row in rows]
    assert read_column(cells).genres == [tuple(row) or NO_GENRES for row in rows]


@pytest.mark.parametrize("notation", LISTED)
@given(rows=weighted_rows)
def test_weights_in_a_list_are_taken_off(notation, rows):
    values = [LISTED[notation](row.items()) for row in rows]
    for cells in (values, [*map(json.dumps, values)], [*map(repr, values)]):
        assert read_column(cells).genres == [tuple(row) for row in rows]


def test_a_weight_of_nothing_is_no_genre():
    cells = ['{"rock": 1, "jazz": 0}', "rock=1;jazz=0", "[('rock', 5), ('jazz', 0)]", {"rock": True, "jazz": False}]
    column = read_column(cells)
    assert column.genres == [("rock",)] * 4
    assert column.changes()["genres with a weight, which was taken off"] >= 4


def test_a_name_with_a_number_is_a_name():
    assert read_column(["Top 40", "pop (1984)", "2 step", "UK82", "Italo: disco"]).genres == [
        ("Top 40",),
        ("pop (1984)",),
        ("2 step",),
        ("UK82",),
        ("Italo: disco",),
    ]


def test_weights_alone_may_separate():
    assert read_column(["rock:100 hip hop:20", "jazz:5"]).genres == [("rock", "hip hop"), ("jazz",)]


@pytest.mark.parametrize("cell", ["Rock/Pop", "rock > pop", "#rock #pop", "rock+pop", "rock → pop"])
def test_a_sign_between_genres_of_other_cells_is_told(cell):
    column = read_column([cell, "Rock", "Pop", "Jazz"])
    assert column.genres[0] == (cell,)
    assert "stays whole" in column.notes()[0]
    assert bool(read_column([cell, "Rock", "Jazz"]).notes()) == cell.startswith("#")


def test_numbers_in_the_place_of_names_are_told():
    assert read_column(["1", "999"]).notes() == ["2 of 2 genres have no letter, such as '1': names are wanted."]
    assert not read_column(["80s", "2 step"]).notes()


def test_a_cell_of_a_novels_length_takes_no_time():
    assert "longer than" in read_column(["rock " * 20_000]).genres[0]
    for sign in "['\"\\ ,;":
        read_column([sign * 16_000])


def test_of_two_separators_the_one_of_more_rows_is_the_columns():
    genres = read_column(["rock;pop", "rock"] * 7 + ["polka|rock"]).genres
    assert genres[0] == ("rock", "pop")
    assert genres[-1] == ("polka|rock",)


@pytest.mark.parametrize(
    ("cells", "genres"),
    [
        (["rock\t100", "pop\t3\tjazz\t0"], [("rock",), ("pop",)]),
        (["rock 100, pop 3", "jazz 55, soul 2"], [("rock", "pop"), ("jazz", "soul")]),
        (["50% rock / 50% pop", "100% jazz"], [("rock", "pop"), ("jazz",)]),
        (["rock (indie, alternative)", "pop, jazz"], [("rock (indie, alternative)",), ("pop", "jazz")]),
        (["http://dbpedia.org/resource/Rock_music", "https://x.org/g/R%26B/"], [("Rock music",), ("R&B",)]),
        (["UB 40, Top 40", "Area 51"], [("UB 40", "Top 40"), ("Area 51",)]),
    ],
)
def test_odd_columns(cells, genres):
    assert read_column(cells).genres == genres
