import io
import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.lyrics.reading import (
    MAX_BYTES,
    LyricsError,
    read_file,
    read_lyrics_file,
    read_lyrics_text,
    read_text,
)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"You &amp; me\n", "You & me"),
        ("\ufeffcafé".encode(), "café"),
        ("café".encode("utf-16"), "café"),
        ("café".encode("latin-1"), "café"),
        (b"", None),
        (b" \r\n\t", None),
        (b"INSTRUMENTAL", None),
        (b"[Intrumental]\n", None),
        (b"instrumental love", "instrumental love"),
        ("愛してる".encode(), "愛してる"),
    ],
)
def test_text_is_read_whatever_its_encoding(tmp_path, content, text):
    (tmp_path / "a.txt").write_bytes(content)
    assert read_lyrics_file(tmp_path / "a.txt") == text


@pytest.mark.parametrize(
    "content", [b"la\x00la", bytes(range(32)) * 20, b"a" * (MAX_BYTES + 1), b"\xff\xfe\x00\xd8\x00"]
)
def test_what_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(LyricsError):
        read_lyrics_file(tmp_path / "a.txt")


def test_half_an_emoji_is_one_sign_that_cannot_be_read():
    joined, half = "la \ud83c\udfb5 la", "la la \ud83c"
    assert read_lyrics_text(joined) == "la \N{MUSICAL NOTE} la"
    assert read_lyrics_text(half) == "la la \N{REPLACEMENT CHARACTER}"
    read_lyrics_text(half).encode()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(LyricsError, match="cannot be opened"):
        read_lyrics_file(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *[
            (text, "instrumental")
            for text in (
                "[00:00.00]Instrumental",
                "This song is an instrumental",
                "This is an instrumental track.",
                "Hollow Moon is an instrumental",
                "(Instrumental)",
                "[Instrumental]",
                "[Instrumental]\n[Instrumental]",
                "Instrumental track",
                "INTRUMENTAL",
                "instrumentale",
                "Instrumental-Musik",
                "インストゥルメンタル",
                "纯音乐，请欣赏",
                "[00:00.00]純音樂",
                "Инструментал",
                "<p>Instrumental</p>",
            )
        ],
        *[(text, "a word for a missing value") for text in ("nan", "NaN", "None", "n/a", "null", "[null]")],
        *[(text, "no words") for text in ("♪", "♪ ♫ ♪", "...", "-", "***\n---")],
        *[
            (text, "not available")
            for text in (
                "Lyrics not available",
                "Sorry, we don't have the lyrics for this song yet.",
                "We do not have the lyrics for Hollow Moon.",
                "Lyrics for this song have yet to be released. Please check back once the song has been released.",
                "No lyrics found",
                "暂无歌词",
            )
        ],
        *[
            (text, "an error page")
            for text in (
                "404 Not Found\nnginx/1.18.0",
                "Not Found\nThe requested URL /song was not found on this server.",
                "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1><hr>nginx</body></html>",
                "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Wait.</body></html>",
                "<html><head><title>Page not found - Songs</title></head><body><p>Try the search.</p></body></html>",
            )
        ],
        *[(text, "empty") for text in ("", " \n", "[00:12.00]\n[00:13.00]", "<p></p>")],
    ],
)
def test_what_says_that_there_are_no_lyrics_is_none(text, kind):
    lyrics = read_text(text)
    assert (lyrics.text, lyrics.absence) == (None, kind)


@pytest.mark.parametrize(
    "text",
    [
        "instrumental love",
        "Nothing compares\nNone of you",
        "404 nights without you\nI walk alone",
        "the page you turned\nI can't find the words",
        "An instrumental in my head\nplays on and on",
    ],
)
def test_songs_about_such_words_are_songs(text):
    assert read_text(text).text == text


def packed(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "<w:t>Walking home</w:t>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{\\rtf1\\ansi Walking home}", "an RTF document"),
        (b"\xef\xbb\xbf\r\n{\\rtf1\\ansi Walking home}", "an RTF document"),
        ("{\\rtf1\\ansi Walking home}".encode("utf-16"), "an RTF document"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
        (packed("word/document.xml"), "a DOCX document"),
        (packed("song.txt"), "a ZIP archive"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"ID3\x03\x00\x00", "an MP3 file"),
        (json.dumps({"error": "no such song"}).encode(), "JSON"),
    ],
)
def test_documents_are_named(tmp_path, content, kind):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(LyricsError, match=f"^lyrics are not text: {kind}$"):
        read_file(tmp_path / "a.txt")


def test_an_unknown_encoding_is_said_and_not_guessed(tmp_path):
    (tmp_path / "a.txt").write_bytes(bytes(range(128, 256)))
    with pytest.raises(LyricsError, match=r"^encoding of the lyrics is not known: "):
        read_file(tmp_path / "a.txt")


def test_a_file_says_what_was_done_with_it(tmp_path):
    (tmp_path / "a.txt").write_bytes("[ti:Été]\n[00:01.00]L’été\n[00:02.00]est déjà fini".encode("cp1252"))
    lyrics = read_file(tmp_path / "a.txt")
    assert (lyrics.text, lyrics.encoding) == ("L’été\nest déjà fini", "cp1252")
    assert lyrics.stripped == {"time stamps": 2, "file tags": 1}


PARTS = st.sampled_from(
    [
        *("love", "oh oh", "R&B", "&amp;", "&amp;lt;", "<br/>", "<3", "[Chorus]", "(x2)", "[00:12.34]", "<00:12.34>"),
        *("12 Contributors", "Lyrics", "Embed", "You might also like", "[ar:a]", "<b>", "</b>", "WEBVTT", "\n\n", "♪"),
        *("1\n00:01.000 --> 00:02.000", "Instrumental", "<!--", "-->", "<script>", "</script>", "{\\\\an8}", "\r\n"),
    ]
)


@settings(max_examples=200)
@given(st.lists(st.tuples(PARTS, st.sampled_from(["", " ", "\n"])), max_size=12))
def test_what_was_read_once_is_read_the_same_again(parts):
    """Predict's command reads a file, and the model reads its text."""
    once = read_text("".join(part + end for part, end in parts)).text
    assert once is None or read_text(once).text == once
