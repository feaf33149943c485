"""One genre has one name, however it is spelt; what is no genre has none."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.genre_names import is_missing, key, normalise, spaced

TWINS = {
    "r&b": ["R&B", "R & B", "r&amp;b", "R&amp;amp;B", "R&#38;B", "R\u200b&B", "Ｒ＆Ｂ", " r& b ", "R\xa0&\xa0B"],
    "post-rock": [
        "Post-Rock",
        "post - rock",
        *(f"post{dash}rock" for dash in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"),
        "post\u2013\xadrock",
        "post -\u3000rock",
    ],
    "forró": [
        "FORRÓ",
        "forro\u0301",
        "Forró\ufeff",
        "for\u200dró",
        "forró\ufe0f",
        "\u202aforró\u202c",
        "&ldquo;&rdquo;forró",
    ],
    "rock 'n' roll": ["Rock ’n’ Roll", "rock &#39;n&#39; roll", "rock ‘n’  roll", "rock `n´ roll", "rock\tʼn’\nroll"],
    "piyano": ["PİYANO", "Pi̇yano", "PIYANO", "pıyano"],
    "straße": ["STRASSE", "Straße", "STRAẞE"],
    "drum & bass": ["Drum &amp; Bass", "drum&bass", "DRUM  &  BASS"],
    "folk/world": ["Folk / World", "folk/world"],
}
TWINS["forró"].pop()  # quotation marks are signs that are seen


@pytest.mark.parametrize("name", TWINS)
def test_spellings_that_look_alike_are_one_genre(name):
    assert {key(spelling) for spelling in TWINS[name]} == {key(name)}


def test_what_differs_to_the_eye_stays_apart():
    names = ["hip hop", "hip-hop", "hiphop", "r&b", "rnb", "r b", "country", "& country", "pop", "k-pop", "80s", "8 os"]
    assert len({key(name) for name in names}) == len(names)


def test_a_bare_ampersand_is_no_entity():
    assert normalise("Soul&notes;") == "soul&notes;"
    assert normalise("funk&times") == "funk&times"
    assert normalise("Drum &ampere; Bass") == "drum &ampere; bass"


@given(st.text(max_size=20))
def test_a_spelling_and_a_key_are_their_own(text):
    assert normalise(normalise(text)) == normalise(text)
    assert key(normalise(text)) == key(text) == key(unicodedata.normalize("NFD", text).upper().lower())
    assert normalise(text) == unicodedata.normalize("NFC", normalise(text))
    normalise(text).encode()
    is_missing(text)
    spaced(text)


@pytest.mark.parametrize("text", ["r&b", "R & B", "r&amp;b", "R B"])
def test_the_spelling_with_spaces(text):
    assert spaced(text) == "r b"


@pytest.mark.parametrize("text", ["& country", "country &", "- rock", "&"])
def test_a_fragment_has_no_spelling_with_spaces(text):
    assert spaced(text) == key(text)


@pytest.mark.parametrize(
    "text",
    """nan NaN None N/A n&nbsp;/&nbsp;a null - – unknown <NA> NaT [] {} ? \u200b #N/A ... \\N &nbsp; NULL ''""".split(),
)
def test_words_for_a_missing_value_are_no_genre(text):
    assert is_missing(text)


@pytest.mark.parametrize(
    "text", ["other", "nu", "no wave", "none of the above", "🎸", "ロック", "80s", "r&b", "+/- pop"]
)
def test_other_words_are(text):
    assert not is_missing(text)
