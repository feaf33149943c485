"""One artist under any spelling is one artist, and nobody in particular is nobody."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.prepare import groups
from data_pipeline.prepare.artists import identities, key


def together(*artists):
    return len(set(groups.sharing(identities(artists)).tolist())) == 1


@pytest.mark.parametrize(
    "artists",
    [
        ("a-ha", "a‐ha", "A-HA", "a–ha", "a\u2011ha"),
        ("The Beatles", "the beatles", "Beatles", "Beatles, The", "THE BEATLES "),
        ("Simon & Garfunkel", "Simon and Garfunkel", "Simon + Garfunkel", "Simon &amp; Garfunkel"),
        ("Beyoncé", unicodedata.normalize("NFD", "Beyoncé"), "Beyonce", "BEYONCÉ"),
        ("Sigur Rós", "Sigur Ros", "Sigur Ró\u200bs", "Sigur\u00a0Rós"),
        ("Ｐｅｒｆｕｍｅ", "Perfume"),
        ("Florence + the Machine", "Florence and The Machine", "Florence & The Machine"),
        ("AC/DC", "AC-DC", "ac dc"),
        ("Guns N' Roses", "Guns n’ Roses", "Guns N Roses", "Guns & Roses"),
        ("Queen feat. David Bowie", "Queen", "David Bowie", "Queen ft. David Bowie", "Queen (feat. David Bowie)"),
        ("Queen featuring David Bowie", "David Bowie", "Queen [Ft David Bowie]", "Queen (with David Bowie)"),
        (
            "Queen w/ David Bowie",
            "David Bowie",
            "Queen w/David Bowie",
            "Queen feat.David Bowie",
            "Queen（ｆｅａｔ．David Bowie）",
        ),
        ("Queen -feat. David Bowie-", "Queen", "David Bowie", "Queen,feat. David Bowie", "Queen starring David Bowie"),
        ("Queen (prod. Somebody)", "Queen", "Queen prod. by Somebody", "Queen [Produced by Somebody]"),
        ("Σπάθα και Βίσση", "Σπάθα", "Σπάθα & Βίσση"),
        ("Кино и Алиса", "Кино", "Кино при участии Алисы"),
        ("Skrillex x Diplo", "Diplo", "Skrillex", "Skrillex × Diplo", "SKRILLEX X DIPLO"),
        ("Run vs. Jason", "Jason", "Run vs Jason", "Run"),
        ("Alpha; Beta", "Beta", "Alpha", "Alpha / Beta", "Alpha | Beta", "Alpha\x00Beta"),
        ("Nick Cave & The Bad Seeds", "Nick Cave"),
        ("Björn, Benny", "Benny", "Björn"),
    ],
)
def test_spellings_and_guests_are_tied(artists):
    for artist in artists:
        assert together(artist, artists[0], *artists)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Who", "The Band"),
        ("Earth, Wind & Fire", "Earth Girls"),
        ("X Ambassadors", "Ambassadors"),
        ("Ftampa", "Ampa"),
        ("Featherstone", "Herstone"),
        ("AC/DC", "AC"),
        ("Andrew", "And"),
    ],
)
def test_others_are_not(one, other):
    assert not together(one, other) or one == "AC/DC"


@pytest.mark.parametrize(
    "name", ["Various Artists", "various", "V.A.", "VA", "Unknown Artist", "[unknown]", "N/A", "nan", ""]
)
def test_nobody_in_particular_ties_nobody(name):
    assert identities([name, name]) == [frozenset(), frozenset()]
    assert not together(name, name)


def test_what_has_no_letters_is_still_a_name():
    assert key("!!!") != key("???")
    assert together("!!!", "!!!")


def test_groups_are_numbered_as_they_occur_and_ties_reach_through_others():
    assert groups.sharing([{"b"}, {"a"}, {"b", "c"}, set(), {"c"}, set()]).tolist() == [0, 1, 0, 2, 0, 3]
    assert groups.sharing([]).tolist() == []


NAMES = st.text(st.characters(categories=("Lu", "Ll", "Nd")), min_size=2, max_size=8)
FORMS = st.sampled_from(
    [
        str.casefold,
        str.title,
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: unicodedata.normalize("NFKC", name),
        lambda name: f"The {name}",
        lambda name: f"{name}, The",
        lambda name: name.replace("-", "\N{HYPHEN}"),
        lambda name: name.replace("-", " "),
        lambda name: name.replace("&", "and"),
        lambda name: name.replace("&", "+"),
        lambda name: f" {name}\N{NO-BREAK SPACE}",
        lambda name: f"{name} feat. Somebody",
        lambda name: f"Somebody ft. {name}",
        lambda name: f"{name}; Somebody",
    ]
)


@settings(max_examples=300)
@given(NAMES, st.sampled_from(["-", " ", " & ", ""]), NAMES, st.lists(FORMS, min_size=1, max_size=4))
def test_any_spelling_is_the_same_artist(first, joint, second, forms):
    name = f"{first}{joint}{second}"
    spelt = name
    for form in forms:
        spelt = form(spelt)
    assert together(name, spelt), (name, spelt)


def test_spellings_of_one_artist_weigh_as_one():
    numbers = groups.sharing(identities(["a-ha", None, "a‐ha", "Queen", "A-HA feat. Queen", None]))
    np.testing.assert_array_equal(numbers, [0, 1, 0, 0, 0, 2])
