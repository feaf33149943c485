"""The world of the generated corpus: genres, artists and what each track is, before any sound or word is made.

What can be told from what (``A`` audio, ``L`` lyrics, ``A+L`` only both together, ``G`` only the other genres):

===================  =====  =================================================================================
genre                from   because
===================  =====  =================================================================================
rock, hard rock      A      guitars: distortion and tempo rise from indie rock over rock to hard rock
metal, punk          A      low fast palm mutes and double kick; very fast down strokes, bright and dry
electronic, house    A      saws without swing; four on the floor with offbeat hats (lyrics: shared "night")
techno, ambient      A      hard kick and hiss, no chords; long pads without drums
jazz                 A      ride and walking bass (topic "smoke" helps)
blues, reggae        A, L   shuffle, topic "blues"; offbeat chords and deep bass, topic "unity"
hip hop              A      slow kick-snare and spoken rhythm; its topics belong to rap, soul and pop as well
folk                 A      plucked strings without drums (topics shared with country, singer-songwriter)
pop, soul            A      clean and bright; electric piano and organ
indie rock           A+L    between pop and rock in sound, its topic shared with pop
rap                  A+L    the sound of hip hop, and "boast", which hard rock has too
emo                  A+L    the sound of punk, and "sorrow", which pop, soul and blues have too
death metal          A+L    the sound of metal, and "gore", which punk has too
country              A+L    the sound of folk, and "country", which rock and blues have too
r&b                  A+L    the sound of soul, and "desire", which pop and hip hop have too
gospel               L      "faith" over the sound of soul, folk or blues
christmas            L      "winter" over the sound of pop, jazz, soul or folk
singer-songwriter    L      "diary" over the sound of folk, pop or indie rock
classic rock, dance  G      a rule over the other genres of the track, with no sound or topic
===================  =====  =================================================================================

The ceiling is under 1 by design: labels are dropped (8 % each) or spurious (4 % of tracks), 15 % of tracks have
the sound of another genre, 15 % are off topic, and parents and rule genres come with a probability.
"""

from __future__ import annotations

import dataclasses
import string

import numpy as np

TRACKS_PER_ARTIST, AT_HOME, MIXED = 5.0, 0.8, 0.65
DROPPED_LABEL, SPURIOUS_LABEL, ATYPICAL_SOUND, OFF_TOPIC = 0.08, 0.04, 0.15, 0.15

DIRT_SHARE = 0.03
DIRT = (
    *("empty audio", "silent audio", "missing lyrics", "truncated audio", "missing audio", "duplicate row"),
    *("empty lyrics", "text as audio", "latin-1 lyrics"),
)
"""What can be wrong with a track; a counted share of the tracks, each kind in turn."""


@dataclasses.dataclass(frozen=True)
class Genre:
    """A genre's rate as a track's first genre (per cent, before normalisation), and what comes with it."""

    rate: float
    topics: tuple[str, ...]
    parents: dict[str, float] = dataclasses.field(default_factory=dict)
    """Probability that a track of this genre carries the other label too."""
    mixes: tuple[str, ...] = ()
    """Genres that its artists also play; half of a mixed track's sound and topics."""
    sounds: tuple[str, ...] = ()
    """The genres whose sound it borrows; empty for a sound of its own."""
    instrumental: float = 0.02


GENRES: dict[str, Genre] = {
    "rock": Genre(9, ("love", "road", "country", "sorrow"), {}, ("pop", "blues", "folk", "hip hop")),
    "indie rock": Genre(8, ("indie", "love"), {"rock": 0.6}, ("pop", "folk", "electronic")),
    "hard rock": Genre(5.5, ("road", "boast"), {"rock": 0.75}, ("metal", "blues")),
    "punk": Genre(5.5, ("rebellion", "gore"), {"rock": 0.65}, ("metal", "reggae", "indie rock")),
    "emo": Genre(5.5, ("sorrow",), {"rock": 0.55, "punk": 0.5}, ("pop",), ("punk",)),
    "metal": Genre(6, ("darkness", "rebellion"), {"rock": 0.3}, ("hard rock",)),
    "death metal": Genre(4.5, ("gore",), {"metal": 0.85}, ("hard rock", "punk"), ("metal",)),
    "pop": Genre(10, ("love", "night", "indie", "sorrow", "desire"), {}, ("electronic", "rock", "r&b", "soul")),
    "electronic": Genre(5, ("night", "love"), {}, ("pop", "ambient", "hip hop"), instrumental=0.2),
    "house": Genre(5, ("night",), {"electronic": 0.75}, ("pop", "soul"), instrumental=0.2),
    "techno": Genre(5.5, ("night",), {"electronic": 0.7}, ("house", "ambient"), instrumental=0.35),
    "ambient": Genre(5.5, ("night", "nature"), {"electronic": 0.65}, ("jazz", "folk"), instrumental=0.4),
    "hip hop": Genre(5, ("street", "love", "desire"), {}, ("soul", "jazz", "electronic")),
    "rap": Genre(8, ("boast",), {"hip hop": 0.85}, ("r&b",), ("hip hop",)),
    "folk": Genre(5, ("nature", "love"), {}, ("indie rock", "ambient")),
    "country": Genre(5.5, ("country",), {"folk": 0.4}, ("rock", "blues"), ("folk",)),
    "singer-songwriter": Genre(
        6, ("diary",), {"folk": 0.45, "pop": 0.3}, ("country", "indie rock"), ("folk", "pop", "indie rock")
    ),
    "soul": Genre(4.5, ("love", "sorrow", "street"), {}, ("pop", "jazz", "blues")),
    "r&b": Genre(5, ("desire",), {"soul": 0.5, "pop": 0.35}, ("hip hop",), ("soul",)),
    "gospel": Genre(5, ("faith",), {"soul": 0.45}, ("r&b",), ("soul", "folk", "blues")),
    "christmas": Genre(5, ("winter",), {"pop": 0.4}, ("jazz", "soul"), ("pop", "jazz", "soul", "folk")),
    "jazz": Genre(5, ("smoke", "love"), {}, ("soul", "blues"), instrumental=0.35),
    "blues": Genre(5, ("blues", "sorrow", "country"), {"rock": 0.3}, ("jazz", "soul")),
    "reggae": Genre(5, ("unity",), {}, ("hip hop", "pop")),
}

RULES: dict[str, dict[str, float]] = {
    "classic rock": {"hard rock": 0.55, "blues": 0.35, "rock": 0.12},
    "dance": {"house": 0.6, "techno": 0.35, "pop": 0.1, "electronic": 0.15},
}
"""Genres that follow from the track's other genres, with the largest probability that applies."""

ALL_GENRES = (*GENRES, *RULES)
SOUNDING = tuple(name for name, genre in GENRES.items() if not genre.sounds)
"""The genres with a sound of their own."""


@dataclasses.dataclass(frozen=True)
class Artist:
    """Somebody with a style: a home genre, others that they also play, and a language."""

    name: str
    home: str
    also: tuple[str, ...]
    language: str
    seed: tuple[int, int]
    """Seeds the artist's sound and favourite words."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a track is, before it sounds: everything that the tables say, and what audio and lyrics are made from."""

    index: int
    id: str
    artist: Artist
    title: str
    album: str
    genres: tuple[str, ...]
    own: tuple[str, ...]
    """The one or two genres that it was made as, before parents, rules and noise; the stronger one first."""
    sounds: tuple[str, ...]
    """One or two genres with a sound of their own, the stronger one first."""
    topics: tuple[str, ...]
    language: str
    """``en``, ``pt``, ``es`` or ``INTRUMENTAL``, the corpus's spelling."""
    dirt: str | None


def make_plans(tracks: int, seed: int) -> list[Plan]:
    """Plan a corpus; the same arguments give the same plans, and no audio is made."""
    world = np.random.default_rng([seed, tracks, 1])
    count = max(2, round(tracks / TRACKS_PER_ARTIST))
    rates = np.cumsum([genre.rate for genre in GENRES.values()])
    # Even steps through the rates and not draws: in a small corpus too, every genre then has its share of artists.
    steps = (world.permutation(count) + world.random()) / count * rates[-1]
    homes = [list(GENRES)[index] for index in np.searchsorted(rates, steps)]
    artists = [_make_artist(world, seed, number, home) for number, home in enumerate(homes)]
    share = world.dirichlet(np.full(count, 12.0))
    owners = world.choice(count, tracks, p=share)
    dirty = world.permutation(tracks)[: round(tracks * DIRT_SHARE)]
    dirt = {int(track): DIRT[number % len(DIRT)] for number, track in enumerate(dirty)}
    plans = [_make_plan(index, artists[owners[index]], seed, dirt.get(index)) for index in range(tracks)]
    if len({plan.id for plan in plans}) < tracks:  # 62**16 ids: only a broken generator gets here
        raise AssertionError("two tracks drew the same id")
    return plans


def _make_artist(rng: np.random.Generator, seed: int, number: int, home: str) -> Artist:
    mixes = GENRES[home].mixes
    also = tuple(map(str, rng.permutation(mixes)[:2])) if mixes else ()
    first = rng.choice(["Velvet", "Paper", "Northern", "Señor", "Black", "Golden", "The Lost", "Little", "Björn &"])
    second = rng.choice(["Harbour", "Foxes", "Parade", "Mañana", "Engine", "Sisters", "Orchard", "Machine", "Crows"])
    language = str(rng.choice(["en", "pt", "es"], p=[0.91, 0.06, 0.03]))
    return Artist(f"{first} {second} {number + 1}", home, also, language, (seed, number))


def _make_plan(index: int, artist: Artist, seed: int, dirt: str | None) -> Plan:
    rng = np.random.default_rng([seed, index])
    letters = np.array(list(string.ascii_letters + string.digits))
    id_ = "".join(rng.choice(letters, 16))

    first = artist.home if rng.random() < AT_HOME else str(rng.choice(artist.also or list(GENRES)))
    own = [first]
    if artist.also and rng.random() < MIXED:
        own.append(str(rng.choice([name for name in (*artist.also, artist.home) if name != first])))
    true = list(own)
    for name in own:
        true += [parent for parent, chance in GENRES[name].parents.items() if rng.random() < chance]
    for name, rule in RULES.items():
        if rng.random() < max((rule.get(other, 0.0) for other in true), default=0.0):
            true.append(name)

    sounds = [str(rng.choice(GENRES[name].sounds or [name])) for name in own]
    topics = [topic for name in own for topic in rng.permutation(GENRES[name].topics)[:2]]
    if rng.random() < ATYPICAL_SOUND:
        sounds = [str(rng.choice(SOUNDING))]
    if rng.random() < OFF_TOPIC:
        topics = list(GENRES[str(rng.choice(list(GENRES)))].topics)[:2]
    language = artist.language
    if rng.random() < max(GENRES[name].instrumental for name in own):
        language = "INTRUMENTAL"
    elif rng.random() < 0.02:
        language = str(rng.choice(["en", "pt", "es"]))
    if dirt == "latin-1 lyrics":
        language = "pt"
    elif dirt is not None and "lyrics" in dirt:
        language = artist.language

    labels = [name for name in dict.fromkeys(true) if rng.random() >= DROPPED_LABEL] or [first]
    if rng.random() < SPURIOUS_LABEL:
        labels.append(str(rng.choice(ALL_GENRES)))
    place = rng.choice(["Harbour", "Winter", "Glass", "Fire", "Blue Room", "Morning", "Rain &amp; Dust", "Road"])
    return Plan(
        index=index,
        id=id_,
        artist=artist,
        title=f"{place} No. {int(rng.integers(1, 99))}",
        album=f"{place} Songs",
        genres=tuple(map(str, rng.permutation(list(dict.fromkeys(labels))))),
        own=tuple(own),
        sounds=tuple(dict.fromkeys(sounds)),
        topics=tuple(map(str, dict.fromkeys(topics))),
        language=language,
        dirt=dirt,
    )
