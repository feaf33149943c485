"""The genres that have a number in ID3 tags: those of ID3v1, and Winamp's."""

from __future__ import annotations

import re

NAMES = (
    "Blues|Classic Rock|Country|Dance|Disco|Funk|Grunge|Hip-Hop|Jazz|Metal|New Age|Oldies|Other|Pop|R&B|Rap|"
    "Reggae|Rock|Techno|Industrial|Alternative|Ska|Death Metal|Pranks|Soundtrack|Euro-Techno|Ambient|Trip-Hop|"
    "Vocal|Jazz+Funk|Fusion|Trance|Classical|Instrumental|Acid|House|Game|Sound Clip|Gospel|Noise|Alt. Rock|Bass|"
    "Soul|Punk|Space|Meditative|Instrumental Pop|Instrumental Rock|Ethnic|Gothic|Darkwave|Techno-Industrial|"
    "Electronic|Pop-Folk|Eurodance|Dream|Southern Rock|Comedy|Cult|Gangsta Rap|Top 40|Christian Rap|Pop/Funk|"
    "Jungle|Native American|Cabaret|New Wave|Psychedelic|Rave|Showtunes|Trailer|Lo-Fi|Tribal|Acid Punk|Acid Jazz|"
    "Polka|Retro|Musical|Rock & Roll|Hard Rock|Folk|Folk-Rock|National Folk|Swing|Fast-Fusion|Bebop|Latin|"
    "Revival|Celtic|Bluegrass|Avantgarde|Gothic Rock|Progressive Rock|Psychedelic Rock|Symphonic Rock|Slow Rock|"
    "Big Band|Chorus|Easy Listening|Acoustic|Humour|Speech|Chanson|Opera|Chamber Music|Sonata|Symphony|"
    "Booty Bass|Primus|Porn Groove|Satire|Slow Jam|Club|Tango|Samba|Folklore|Ballad|Power Ballad|Rhythmic Soul|"
    "Freestyle|Duet|Punk Rock|Drum Solo|A Cappella|Euro-House|Dance Hall|Goa|Drum & Bass|Club-House|Hardcore|"
    "Terror|Indie|BritPop|Afro-Punk|Polsk Punk|Beat|Christian Gangsta Rap|Heavy Metal|Black Metal|Crossover|"
    "Contemporary Christian|Christian Rock|Merengue|Salsa|Thrash Metal|Anime|JPop|Synthpop|Abstract|Art Rock|"
    "Baroque|Bhangra|Big Beat|Breakbeat|Chillout|Downtempo|Dub|EBM|Eclectic|Electro|Electroclash|Emo|"
    "Experimental|Garage|Global|IDM|Illbient|Industro-Goth|Jam Band|Krautrock|Leftfield|Lounge|Math Rock|"
    "New Romantic|Nu-Breakz|Post-Punk|Post-Rock|Psytrance|Shoegaze|Space Rock|Trop Rock|World Music|Neoclassical|"
    "Audiobook|Audio Theatre|Neue Deutsche Welle|Podcast|Indie Rock|G-Funk|Dubstep|Garage Rock|Psybient"
).split("|")
"""By their numbers."""

_WORDS = {"RX": "Remix", "CR": "Cover"}
_REFERENCES = re.compile(r"((?:\((?:\d{1,3}|RX|CR)\))+)\s*(?=[^\W\d_]{2}|\Z)")
_NONE = 255
_NUMBER = re.compile(r"\d{1,3}(?:\.0)?")


def is_number(name: str) -> bool:
    """Whether a name is a bare number of a genre, or the one that means none."""
    return _NUMBER.fullmatch(name) is not None and (int(float(name)) < len(NAMES) or int(float(name)) == _NONE)


def of_number(name: str) -> str:
    """The genre of a bare number, empty for none."""
    number = int(float(name))
    return NAMES[number] if number < len(NAMES) else ""


def references(name: str) -> list[str] | None:
    """The genres that a name with numbers in parentheses refers to, and what it says behind them; None for any other.

    >>> references("(4)Eurodisco"), references("(17)(6)"), references("(255)"), references("(Neo) Soul")
    (['Disco', 'Eurodisco'], ['Rock', 'Grunge'], [], None)
    """
    match = _REFERENCES.match(name)
    if match is None:
        return None
    codes = re.findall(r"\d+|RX|CR", match[1])
    known = [_WORDS.get(code) or (NAMES[int(code)] if int(code) < len(NAMES) else "") for code in codes]
    return [genre for genre in dict.fromkeys([*known, name[match.end() :].strip()]) if genre]
