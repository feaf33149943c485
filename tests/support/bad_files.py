"""Broken, odd and merely unusual tracks beside sound ones, in one manifest, for tests/test_bad_input.py."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from tests.support import sounds

RATE = 22050
NUM_SOUND = 9
SETTINGS = [
    *("--config.audio.seconds=3.0", "--config.audio.n_mels=32", "--config.lyrics.encoder=minilm"),
    *("--config.lyrics.max_tokens=24", "--config.data.min_genre_tracks=4"),
]

Bytes = bytes | None
Columns = dict[str, str]


def tone(rate: int = RATE, seconds: float = 3.2, channels: int = 1) -> np.ndarray:
    """A chord and a little noise, (n,) or (n, channels)."""
    time = np.arange(int(rate * seconds)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    wave = 0.2 * np.sin(2 * np.pi * 220 * time) + 0.2 * np.sin(2 * np.pi * 330 * time) + 0.02 * noise
    return wave if channels == 1 else np.stack([wave] * channels, axis=1)


def encoded(wave: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """The bytes of an audio file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def wav(change: Callable[[np.ndarray], np.ndarray | None] = lambda wave: None) -> bytes:
    """A float WAV of the tone after ``change``, which may work in place."""
    wave = tone()
    changed = change(wave)
    return encoded(wave if changed is None else changed, subtype="FLOAT")


def mp3(keep: float = 1.0) -> bytes:
    """The first part of an MP3 of the tone."""
    content = encoded(tone(), kind="MP3")
    return content[: int(len(content) * keep)]


class Odd(NamedTuple):
    """One track of the manifest: its id, its files, its columns, and what has to become of it.

    ``reason`` is a fragment of its line in quarantine.tsv; None means that it is in the data set, with the words
    ``lyrics`` and the title ``title``.
    """

    id: str
    reason: str | None
    audio: Bytes = b"tone"
    lyrics_file: Bytes = None
    columns: Columns = {}  # noqa: RUF012 - never written to
    lyrics: str | None = None
    suffix: str = ".wav"
    title: str = ""


ODD = [
    # Audio.
    Odd("zero-bytes", "empty file", b"", suffix=".mp3"),
    Odd("truncated-mp3", "truncated", mp3(0.08), suffix=".mp3"),
    Odd("half-an-mp3", None, mp3(0.7), suffix=".mp3"),
    Odd("truncated-wav", "shorter than 1 s", encoded(tone())[:900]),
    Odd("half-a-second", "shorter than 1 s", encoded(tone(seconds=0.5))),
    Odd("header-only", "no samples", encoded(np.zeros(0))),
    Odd("silence", "silent", wav(np.zeros_like)),
    Odd("silent-mp3", "silent", encoded(np.zeros(RATE * 3), kind="MP3"), suffix=".mp3"),
    Odd("nan", "contains NaN", wav(lambda wave: wave.__setitem__(1000, np.nan))),
    Odd("infinite", "contains NaN or infinite", wav(lambda wave: wave.__setitem__(slice(5, 9), np.inf))),
    Odd("enormous", "far over full scale", wav(lambda wave: wave * 1e30)),
    Odd("picture", "not audio: a PNG image", b"\x89PNG\r\n\x1a\n" + bytes(900), suffix=".mp3"),
    Odd("page", "not audio: an HTML page", b"<html><h1>404 Not Found</h1></html>", suffix=".mp3"),
    Odd("words", "not audio: format not recognised", b"this is not music\n" * 50, suffix=".mp3"),
    Odd("folder", "no audio file", None, suffix=".mp3"),
    Odd("gone", "no audio file", columns={"audio": "nowhere.mp3"}),
    Odd("no-audio", "no audio", columns={"audio": ""}),
    Odd("nul-path", "no audio file", columns={"audio": "a\0b.mp3"}),
    Odd("endless-path", "a path that no file can have", columns={"audio": "a" * 5000}),
    Odd("8-khz", None, encoded(tone(8000), 8000)),
    Odd("96-khz-stereo", None, encoded(tone(96_000, channels=2), 96_000)),
    Odd("flac-named-mp3", None, encoded(tone(), kind="FLAC"), suffix=".mp3"),
    Odd("long-header", None, mp3(), suffix=".MP3"),
    Odd("m4a", None, sounds.by_ffmpeg(tone(), "aac", "ipod"), suffix=".m4a"),
    Odd("wma", None, sounds.by_ffmpeg(tone(44_100), "wmav2", "asf", 44_100, bit_rate=128_000), suffix=".wma"),
    Odd("half-an-m4a", "moov atom not found", sounds.by_ffmpeg(tone(), "aac", "ipod")[:9000], suffix=".m4a"),
    Odd("playlist", "not audio: format not recognised", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", suffix=".m4a"),
    Odd("joined-mp3s", None, mp3() + mp3(), suffix=".mp3"),
    Odd("channels-cancel", None, encoded(tone(channels=2) * [1, -1], subtype="FLOAT")),
    Odd("late-music", None, encoded(np.append(np.zeros(RATE * 7), tone()))),
    # Lyrics.
    Odd("utf-16", None, lyrics_file="love é me".encode("utf-16"), lyrics="love é me"),
    Odd("utf-8-bom", None, lyrics_file=b"\xef\xbb\xbflove", lyrics="love"),
    Odd("latin-1", None, lyrics_file="não sei".encode("latin-1"), lyrics="não sei"),
    Odd("entities", None, lyrics_file=b"rock &amp; roll &quot;baby&quot;", lyrics='rock & roll "baby"'),
    Odd("inline-entities", None, columns={"lyrics": "rock &amp; roll"}, lyrics="rock & roll"),
    Odd("empty-lyrics", None, lyrics_file=b""),
    Odd("blank-lyrics", None, lyrics_file=b" \r\n\t "),
    Odd("instrumental", None, lyrics_file=b"INSTRUMENTAL"),
    Odd("intrumental", None, lyrics_file=b"[Intrumental]\n"),
    Odd("intrumental-language", None, lyrics_file=b"love", columns={"language": "INTRUMENTAL"}),
    Odd("binary-lyrics", "lyrics are not text", lyrics_file=bytes(range(32)) * 20),
    Odd("odd-utf-16", "lyrics are not text", lyrics_file=b"\xff\xfea\x00b"),
    Odd("huge-lyrics", "lyrics are larger than 1 MiB", lyrics_file=b"love " * 220_000),
    Odd("huge-inline", "lyrics are larger than 1 MiB", columns={"lyrics": "love " * 220_000}),
    Odd("long-inline", None, columns={"lyrics": "love " * 40_000}, lyrics="love " * 40_000),
    Odd("binary-inline", "lyrics are not text", columns={"lyrics": "lo\0ve"}),
    Odd("no-lyrics-file", "no lyrics file away.txt", columns={"lyrics_file": "away.txt"}),
    # The table.
    Odd("../climber", "the id cannot be a file name"),
    Odd("..", "the id cannot be a file name"),
    Odd("sound-0", "the id 'sound-0' is taken by an earlier row"),
    Odd("same-audio", "an earlier row has the same audio file", columns={"audio": "sound-0.wav"}),
    Odd("no-genre", "no genres", columns={"genres": " ; ,"}),
    Odd("rare-genre", "no genre with at least 4 tracks", columns={"genres": "polka"}),
    Odd("half-rare", None, columns={"genres": "polka|Rock"}),
    Odd("quoted", None, columns={"title": 'He said "go", twice'}, title='He said "go", twice'),
    Odd("two-lines", None, columns={"title": "one\ntwo\tthree"}, title="one two three"),
]


def write(folder: Path) -> Path:
    """Write the files and ``manifest.csv``, with a byte order mark, and return its path."""
    folder.mkdir(parents=True)
    table = io.StringIO(newline="")
    names = ("id", "audio", "genres", "title", "lyrics_file", "lyrics", "language")
    writer = csv.DictWriter(table, names, restval="")
    writer.writeheader()
    sound = encoded(tone())
    for i in range(NUM_SOUND):
        (folder / f"sound-{i}.wav").write_bytes(sound)
        genres = "rock;pop" if i % 2 else "rock"
        writer.writerow({"id": f"sound-{i}", "audio": f"sound-{i}.wav", "genres": genres, "lyrics": "la la la"})
    for i, odd in enumerate(ODD):
        row = {"id": odd.id, "audio": f"odd-{i}{odd.suffix}", "genres": "rock, pop"}
        if odd.audio is None:
            (folder / row["audio"]).mkdir()
        else:
            (folder / row["audio"]).write_bytes(sound if odd.audio == b"tone" else odd.audio)
        if odd.lyrics_file is not None:
            row["lyrics_file"] = f"odd-{i}.txt"
            (folder / row["lyrics_file"]).write_bytes(odd.lyrics_file)
        writer.writerow(row | odd.columns)
    # A row that is too short, one whose quotation mark is never closed, and one after it.
    table.write("short,row\r\n")
    table.write('unclosed,sound-1.wav,rock,"Never closed,,,\r\n')
    (folder / "last.wav").write_bytes(sound)
    writer.writerow({"id": "last", "audio": "last.wav", "genres": "rock", "title": '12" mix, live'})
    path = folder / "manifest.csv"
    path.write_bytes(table.getvalue().encode("utf-8-sig"))
    return path
