"""Sound of the generated corpus: drums, bass, chords and a lead per genre, synthesised with numpy.

Units: Hz, seconds, beats (four to a bar), semitones over A1 = 55 Hz. Hits and notes are rendered once per track and
then only added, which is what makes a 30 s track take a fraction of the time of its MP3 encoding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.fft

SAMPLE_RATE = 22_050
"""Hz, mono."""

Steps = tuple[float, ...]
"""Times of hits within a bar, in beats."""

_EIGHTHS = tuple(np.arange(0, 4, 0.5).tolist())
_SIXTEENTHS = tuple(np.arange(0, 4, 0.25).tolist())
_SWUNG = (0.0, 1.0, 1.67, 2.0, 3.0, 3.67)
_SHUFFLE = (0.0, 0.67, 1.0, 1.67, 2.0, 2.67, 3.0, 3.67)

DRUMS: dict[str, dict[str, Steps]] = {
    "none": {},
    "backbeat": {"kick": (0, 2, 2.5), "snare": (1, 3), "hat": _EIGHTHS},
    "light": {"kick": (0, 2), "rim": (1, 3), "hat": (0, 1, 2, 3)},
    "four": {"kick": (0, 1, 2, 3), "clap": (1, 3), "open": (0.5, 1.5, 2.5, 3.5)},
    "techno": {"kick": (0, 1, 2, 3), "hat": _SIXTEENTHS},
    "electro": {"kick": (0, 1.75, 2.5), "clap": (1, 3), "hat": _SIXTEENTHS},
    "boombap": {"boom": (0, 0.75, 2.25), "snare": (1, 3), "hat": _EIGHTHS},
    "punk": {"kick": (0, 1, 2, 3), "snare": (0.5, 1.5, 2.5, 3.5), "crash": (0, 1, 2, 3)},
    "double": {"kick": _SIXTEENTHS, "snare": (1, 3), "crash": (0, 2)},
    "swing": {"ride": _SWUNG, "rim": (1, 3)},
    "shuffle": {"kick": (0, 2), "snare": (1, 3), "hat": _SHUFFLE},
    "one drop": {"kick": (2,), "rim": (2,), "hat": _SWUNG},
}
BASS: dict[str, Steps] = {
    "none": (),
    "roots": (0, 2),
    "eighths": _EIGHTHS,
    "walking": (0, 1, 2, 3),
    "offbeat": (0.5, 1.5, 2.5, 3.5),
    "sixteenths": _SIXTEENTHS,
    "dub": (0, 0.67, 1.5, 2.67, 3),
    "sub": (0, 2.25),
}
CHORDS: dict[str, tuple[Steps, float]] = {
    "none": ((), 0.0),
    "pad": ((0,), 4.4),
    "pluck": (_EIGHTHS, 1.2),
    "strum": ((0, 1, 1.5, 2.5, 3, 3.5), 0.8),
    "drive": (_EIGHTHS, 0.5),
    "chug": (_SIXTEENTHS, 0.2),
    "stab": ((0.5, 1.25, 2.5, 3.25), 0.3),
    "skank": ((0.5, 1.5, 2.5, 3.5), 0.22),
    "comp": ((0, 1.67, 3), 0.5),
    "keys": ((0, 1.5, 2), 1.6),
}
"""Onsets in beats, and how long a chord sounds in beats."""


@dataclasses.dataclass(frozen=True)
class Sound:
    """How a genre sounds. Levels are linear, 0 to 1."""

    tempo: tuple[float, float]
    """Beats a minute, lowest and highest."""
    drums: str
    bass: str
    chords: str
    lead: str
    """``sung``, ``spoken``, ``growled``, ``horn``, ``arp`` or ``none``."""
    drum_level: float = 0.6
    bass_level: float = 0.5
    chord_level: float = 0.5
    harmonics: float = 1.5
    """Partial k of a chord's note has the amplitude k**-harmonics: small is bright."""
    drive: float = 0.0
    """0 clean, 1 heavily distorted guitars."""
    hiss: float = 0.0
    tilt: float = 0.0
    """Spectral tilt of the mix, dB per octave about 800 Hz."""
    minor: float = 0.5
    """Probability of a minor key."""


SOUNDS: dict[str, Sound] = {
    "rock": Sound((108, 132), "backbeat", "eighths", "drive", "sung", 0.6, 0.5, 0.45, 1.2, 0.35),
    "indie rock": Sound((118, 142), "backbeat", "roots", "strum", "sung", 0.45, 0.4, 0.5, 1.3, 0.12, 0.02, 1.0),
    "hard rock": Sound((120, 148), "backbeat", "eighths", "drive", "sung", 0.7, 0.5, 0.65, 1.0, 0.7, 0.0, 0.5),
    "punk": Sound((170, 205), "punk", "eighths", "drive", "sung", 0.7, 0.4, 0.65, 0.8, 0.65, 0.0, 1.5, 0.2),
    "metal": Sound((150, 190), "double", "eighths", "chug", "growled", 0.7, 0.5, 0.8, 0.9, 1.0, 0.0, -0.5, 1.0),
    "pop": Sound((98, 124), "backbeat", "roots", "keys", "sung", 0.5, 0.45, 0.4, 1.4, 0.0, 0.0, 1.0, 0.25),
    "electronic": Sound((108, 130), "electro", "sixteenths", "stab", "arp", 0.55, 0.45, 0.4, 1.0, 0.1, 0.0, 0.5),
    "house": Sound((120, 127), "four", "offbeat", "stab", "sung", 0.75, 0.5, 0.45, 1.2, 0.0, 0.0, 0.0),
    "techno": Sound((130, 144), "techno", "sub", "none", "none", 0.9, 0.4, 0.0, 1.0, 0.1, 0.05, -1.0, 1.0),
    "ambient": Sound((60, 76), "none", "none", "pad", "none", 0.0, 0.3, 0.7, 1.9, 0.0, 0.015, -1.5),
    "hip hop": Sound((82, 98), "boombap", "sub", "keys", "spoken", 0.8, 0.6, 0.22, 1.9, 0.05, 0.02, -1.0, 0.8),
    "folk": Sound((88, 116), "none", "none", "pluck", "sung", 0.0, 0.2, 0.6, 1.5, 0.0, 0.01, 0.0, 0.35),
    "soul": Sound((76, 104), "light", "dub", "keys", "sung", 0.45, 0.55, 0.5, 2.2, 0.05, 0.01, -0.8, 0.5),
    "jazz": Sound((130, 190), "swing", "walking", "comp", "horn", 0.35, 0.6, 0.35, 1.9, 0.0, 0.008, -0.3, 0.6),
    "blues": Sound((72, 104), "shuffle", "walking", "comp", "sung", 0.5, 0.5, 0.5, 1.2, 0.3, 0.01, -0.3, 0.3),
    "reggae": Sound((68, 84), "one drop", "dub", "skank", "sung", 0.5, 0.8, 0.55, 1.3, 0.0, 0.0, -0.5, 0.3),
}
"""Genres that have a sound of their own."""

_PROGRESSIONS = ((0, 7, 9, 5), (0, 5, 7, 5), (0, 9, 5, 7), (0, 0, 5, 7), (0, 10, 5, 0), (0, 3, 5, 7))


def render(
    sounds: tuple[str, ...], seconds: float, artist: np.random.Generator, rng: np.random.Generator
) -> np.ndarray:
    """A track of ``seconds`` s: float32 (samples,), at most .9 in magnitude.

    ``sounds`` are one or two keys of SOUNDS, the stronger first. ``artist`` draws the artist's traits and must be
    seeded alike for all of an artist's tracks; ``rng`` draws the rest.
    """
    sound = SOUNDS[sounds[0]]
    traits = _Traits.draw(artist)
    if len(sounds) > 1:
        sound = _blend(sound, SOUNDS[sounds[1]], rng)
    tempo = rng.uniform(*sound.tempo) * traits.pace
    track = _Track(round(seconds * SAMPLE_RATE), 60.0 / tempo, rng)
    key = (int(rng.integers(0, 12)) if rng.random() < 0.4 else traits.key) + traits.tuning
    minor = rng.random() < sound.minor
    progression = _PROGRESSIONS[int(rng.integers(len(_PROGRESSIONS)))]
    roots = [key + step for step in progression]

    _play_drums(track, sound)
    _play_bass(track, sound, roots)
    guitars = _Track(track.mix.size, track.beat, rng)
    _play_chords(guitars, sound, roots, minor, traits)
    if sound.drive > 0:
        guitars.mix = np.tanh(guitars.mix * (1 + 25 * sound.drive)) * np.float32(0.5)
    track.mix += guitars.mix * np.float32(sound.chord_level)
    if len(sounds) > 1 and SOUNDS[sounds[1]].chords != sound.chords:
        other = SOUNDS[sounds[1]]
        layer = _Track(track.mix.size, track.beat, rng)
        _play_chords(layer, other, roots, minor, traits)
        if other.drive > 0:
            layer.mix = np.tanh(layer.mix * (1 + 25 * other.drive)) * np.float32(0.5)
        track.mix += layer.mix * np.float32(0.6 * other.chord_level)
    _play_lead(track, sound, key, minor, traits)
    return _master(track.mix, sound, traits, rng)


@dataclasses.dataclass(frozen=True)
class _Traits:
    """What is an artist's own."""

    key: int
    tuning: float  # semitones
    pace: float
    tilt: float  # dB per octave
    peak: float  # Hz, of a resonance
    peak_gain: float  # dB
    colour: np.ndarray  # (8,) factors on the first partials
    voice: float  # semitones over the key
    formant: float  # Hz

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Traits:
        return cls(
            key=int(rng.integers(0, 12)),
            tuning=rng.uniform(-0.5, 0.5),
            pace=rng.uniform(0.94, 1.06),
            tilt=rng.normal(0, 0.8),
            peak=float(np.exp(rng.uniform(np.log(300), np.log(5000)))),
            peak_gain=rng.uniform(-6, 6),
            colour=rng.uniform(0.4, 1.6, 8),
            voice=float(rng.choice([12, 19, 24])),
            formant=rng.uniform(500, 1500),
        )


def _blend(first: Sound, second: Sound, rng: np.random.Generator) -> Sound:
    """Numbers go a third of the way to ``second``; each pattern is taken over with that probability."""
    values = {}
    for field in dataclasses.fields(Sound):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name == "tempo":
            # Half-way between two tempi is neither genre's, so a track has the one or the other.
            values[field.name] = a if rng.random() < 0.7 else b
        elif isinstance(a, str):
            values[field.name] = a if rng.random() < 0.65 else b
        else:
            values[field.name] = a + 0.35 * (b - a)
    return Sound(**values)


class _Track:
    """A mix that hits and notes are added to."""

    def __init__(self, samples: int, beat: float, rng: np.random.Generator) -> None:
        self.mix = np.zeros(samples, np.float32)
        self.beat = beat  # seconds
        self.rng = rng
        self.bars = int(np.ceil(samples / SAMPLE_RATE / beat / 4))

    def add(self, sound: np.ndarray, bar: int, step: float, gain: float = 1.0) -> None:
        # People play within some milliseconds of the beat.
        start = round(((bar * 4 + step) * self.beat + self.rng.uniform(0, 0.008)) * SAMPLE_RATE)
        end = min(start + sound.size, self.mix.size)
        if start < end:
            self.mix[start:end] += sound[: end - start] * np.float32(gain)


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / np.float32(SAMPLE_RATE)


def _note(semitones: float, seconds: float, partials: np.ndarray, attack: float, decay: float) -> np.ndarray:
    """A note as float32: partials with the given amplitudes, decay in s (0 = held), band-limited."""
    hertz = 55.0 * 2 ** (semitones / 12)
    count = max(1, min(partials.size, int(0.45 * SAMPLE_RATE / hertz)))
    spectrum = np.zeros(1025, np.complex64)
    spectrum[1 : count + 1] = -0.5j * partials[:count]
    table = (scipy.fft.irfft(spectrum) * 2048).astype(np.float32)
    time = _time(seconds)
    wave = table[(time * np.float32(hertz * 2048)).astype(np.int32) & 2047]
    envelope = np.minimum(time / np.float32(attack), 1)
    envelope *= np.exp(-time / np.float32(decay)) if decay else np.float32(1)
    envelope *= np.minimum((np.float32(seconds) - time) / np.float32(0.02), 1)
    return wave * envelope / np.float32(np.abs(partials).sum())


def _noise(rng: np.random.Generator, seconds: float, decay: float, difference: int) -> np.ndarray:
    """Decaying noise; each difference is a high-pass of 6 dB per octave."""
    time = _time(seconds)
    noise = rng.standard_normal(time.size + difference, dtype=np.float32)
    return np.diff(noise, difference) * np.exp(-time / np.float32(decay)) * np.float32(0.3 / 2**difference)


def _kick(rng: np.random.Generator, low: float, decay: float) -> np.ndarray:
    time = _time(decay * 4)
    phase = 2 * np.pi * (low * time + 4.0 * (1 - np.exp(-time * 35)))
    return (np.sin(phase) * np.exp(-time / decay)).astype(np.float32)


def _play_drums(track: _Track, sound: Sound) -> None:
    rng = track.rng
    makers: dict[str, Callable[[], np.ndarray]] = {
        "kick": lambda: _kick(rng, 52, 0.07),
        "boom": lambda: _kick(rng, 42, 0.22),
        "snare": lambda: _noise(rng, 0.25, 0.06, 0) * 1.5 + _note(21, 0.25, np.ones(2), 0.001, 0.05),
        "rim": lambda: _noise(rng, 0.06, 0.012, 0) + _note(38, 0.06, np.ones(3), 0.001, 0.012),
        "clap": lambda: _noise(rng, 0.2, 0.045, 1) * 2,
        "hat": lambda: _noise(rng, 0.08, 0.02, 2),
        "open": lambda: _noise(rng, 0.25, 0.09, 2) * 1.3,
        "ride": lambda: _noise(rng, 0.4, 0.15, 2) * 0.6 + _note(74, 0.4, np.ones(2), 0.001, 0.1) * 0.15,
        "crash": lambda: _noise(rng, 0.6, 0.25, 1) * 0.5,
    }
    for name, steps in DRUMS[sound.drums].items():
        hit = makers[name]()
        for bar in range(track.bars):
            for step in steps:
                track.add(hit, bar, step, sound.drum_level * rng.uniform(0.8, 1.0))


def _play_bass(track: _Track, sound: Sound, roots: list[float]) -> None:
    steps = BASS[sound.bass]
    if not steps:
        return
    deep = sound.bass in ("sub", "dub")
    partials = np.arange(1, 9) ** (-3.0 if deep else -1.3)
    length = track.beat * {"sub": 1.5, "dub": 0.9, "roots": 1.8, "sixteenths": 0.22}.get(sound.bass, 0.5)
    offsets = (0, 4, 7, 9) if sound.bass == "walking" else (0,)
    notes = {
        (root, offset): _note(root % 12 - (5 if deep else 0) + offset, length, partials, 0.005, length)
        for root in roots
        for offset in offsets
    }
    for bar in range(track.bars):
        for index, step in enumerate(steps):
            note = notes[roots[bar % 4], offsets[index % len(offsets)]]
            track.add(note, bar, step, sound.bass_level)


def _play_chords(track: _Track, sound: Sound, roots: list[float], minor: bool, traits: _Traits) -> None:
    steps, beats = CHORDS[sound.chords]
    if not steps:
        return
    partials = np.arange(1, 41) ** -sound.harmonics
    partials[:8] *= traits.colour
    power = sound.drive > 0.3
    third = 3 if minor else 4
    intervals = (0, 7, 12) if power else (12, 12 + third, 19, 24)
    if sound.chords == "comp" and not power:
        intervals = (12, 12 + third, 22, 26)
    attack, decay = (0.5, 0.0) if sound.chords == "pad" else (0.004, beats * track.beat * 0.6)
    chords: dict[float, list[np.ndarray]] = {}
    for root in roots:
        base = 12 + root % 12
        notes = [_note(base + i, beats * track.beat, partials, attack, decay) for i in intervals]
        chords[root] = notes if sound.chords == "pluck" else [np.sum(notes, axis=0)]
    for bar in range(track.bars):
        notes = chords[roots[bar % 4]]
        for index, step in enumerate(steps):
            track.add(notes[index % len(notes)], bar, step, track.rng.uniform(0.8, 1.0) * 0.6)


def _play_lead(track: _Track, sound: Sound, key: float, minor: bool, traits: _Traits) -> None:
    if sound.lead == "none":
        return
    rng = track.rng
    scale = (0, 3, 5, 7, 10) if minor else (0, 2, 4, 7, 9)
    if sound.lead in ("spoken", "growled"):
        _play_voice_without_pitch(track, sound, traits)
        return
    base = 12 + key % 12 + traits.voice
    partials = np.arange(1, 21) ** -1.2
    if sound.lead == "sung":
        hertz = 55 * 2 ** (base / 12) * np.arange(1, 21)
        partials = np.arange(1, 21) ** -0.8 * (0.15 + np.exp(-((np.log2(hertz / traits.formant) / 0.5) ** 2)))
    beats, steps = {"arp": (0.25, _SIXTEENTHS), "horn": (0.9, (0.0, 0.67, 1.0, 2.0, 2.67, 3.67))}.get(
        sound.lead, (1.1, (0.0, 1.0, 1.5, 2.5, 3.5))
    )
    notes = [_note(base + step, beats * track.beat, partials, 0.02, beats * track.beat) for step in scale]
    degree = 0
    for bar in range(track.bars):
        if sound.lead != "arp" and bar % 4 == 3:
            continue  # a breath
        for step in steps:
            degree = int(np.clip(degree + rng.integers(-2, 3), 0, 4))
            if sound.lead == "arp" or rng.random() < 0.8:
                track.add(notes[degree], bar, step, 0.4)


def _play_voice_without_pitch(track: _Track, sound: Sound, traits: _Traits) -> None:
    """Syllables in sixteenths: a buzz about a low pitch with moving formants, rough for a growl."""
    rng = track.rng
    growl = sound.lead == "growled"
    length = track.beat * (0.9 if growl else 0.25)
    syllables = []
    for _ in range(5):
        pitch = (2 if growl else 14) + rng.uniform(-1, 1)
        hertz = 55 * 2 ** (pitch / 12) * np.arange(1, 41)
        centre = traits.formant * rng.uniform(0.6, 1.6)
        partials = 0.05 + np.exp(-((np.log2(hertz / centre) / 0.4) ** 2))
        voice = _note(pitch, length, partials, 0.01, length * 0.7) * 3
        rough = _noise(rng, length, length, 0 if growl else 1)[: voice.size]
        syllables.append(voice + rough * np.float32(0.8 if growl else 0.25))
    for bar in range(track.bars):
        for step in (0.0, 2.0) if growl else _SIXTEENTHS:
            if rng.random() < 0.75:
                track.add(syllables[int(rng.integers(5))], bar, step, 0.35)


def _master(mix: np.ndarray, sound: Sound, traits: _Traits, rng: np.random.Generator) -> np.ndarray:
    """Hiss, the equaliser of genre and artist, a level."""
    # Every recording has some noise; the square makes loud hiss rare.
    hiss = sound.hiss + 0.01 * rng.random() ** 2
    mix = mix + rng.standard_normal(mix.size, dtype=np.float32) * np.float32(hiss)
    size = scipy.fft.next_fast_len(mix.size, real=True)
    hertz = np.maximum(np.arange(size // 2 + 1, dtype=np.float32) * np.float32(SAMPLE_RATE / size), 30)
    octaves = np.log2(hertz / np.float32(800))
    tilt = sound.tilt + traits.tilt + rng.normal(0, 0.4)
    decibels = np.clip(octaves * np.float32(tilt), -18, 18)
    decibels += np.float32(traits.peak_gain) * np.exp(-((octaves - np.log2(traits.peak / 800)) ** 2) * 3)
    gain = np.exp(decibels * np.float32(np.log(10) / 20)).astype(np.float32)
    spectrum = scipy.fft.rfft(mix, size) * gain
    out = scipy.fft.irfft(spectrum, size)[: mix.size]
    peak = float(np.abs(out).max()) or 1.0
    return (out * np.float32(rng.uniform(0.5, 0.9) / peak)).astype(np.float32)
