"""Which genres may be one: asked about, and never merged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.prepare.near_duplicates import near_duplicates, suggested_aliases


def pairs(*names: str) -> dict[frozenset[str], str]:
    found = near_duplicates({name: 10 - i for i, name in enumerate(names)})
    return {frozenset(pair.genres): pair.why for pair in found}


SAME = [
    ("hip hop", "hiphop"),
    ("hip-hop", "hiphop"),
    ("r&b", "rnb"),
    ("drum & bass", "drum and bass"),
    ("drum and bass", "drum n bass"),
    ("drum & bass", "drum'n'bass"),
    ("rock 'n' roll", "rock and roll"),
    ("forró", "forro"),
    ("synth pop", "synthpop"),
]
PLURAL = [("chanson", "chansons"), ("brass band", "brass bands")]
TYPO = [
    ("electronic", "eletronic"),
    ("alternative rock", "altenative rock"),
    ("reggae", "regage"),
    ("country", "countryy"),
    ("progressive rock", "progresive rock"),
    ("psychedelic", "psychadelic"),
    ("metal", "metl"),
    ("rock", "rokc"),
    ("bass", "brass"),
]
OTHER = [
    ("funk", "punk"),
    ("rap metal", "trap metal"),
    ("k-pop", "j-pop"),
    ("house", "mouse"),
    ("art punk", "art funk"),
    ("80s rock", "90s rock"),
    ("pop rock", "pop"),
    ("techno", "tekno"),
    ("new wave", "dark wave"),
]


@pytest.mark.parametrize(
    ("pair", "why"),
    [(p, "the same letters") for p in SAME]
    + [(p, "a plural") for p in PLURAL]
    + [(p, "one letter apart") for p in TYPO],
)
def test_pairs_that_may_be_one(pair, why):
    assert pairs(*pair) == pairs(*pair[::-1]) == {frozenset(pair): why}


@pytest.mark.parametrize("pair", OTHER)
def test_pairs_that_are_two(pair):
    assert pairs(*pair) == {}


def test_what_is_suggested():
    tracks = {"hip-hop": 40, "hiphop": 7, "hip hops": 1, "country": 9, "countri": 3, "sting": 5, "swing": 6}
    tracks |= {"bass": 90, "brass": 2}
    assert suggested_aliases(near_duplicates(tracks)) == {
        "hiphop": "hip-hop",
        "hip hops": "hip-hop",
        "countri": "country",
    }


@given(st.dictionaries(st.sampled_from([name for pair in SAME + PLURAL + TYPO for name in pair]), st.integers(1, 99)))
def test_suggestions_lead_to_names_that_stay(tracks):
    aliases = suggested_aliases(near_duplicates(tracks))
    assert not set(aliases) & set(aliases.values())
    assert set(aliases) | set(aliases.values()) <= set(tracks)
