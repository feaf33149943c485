"""A text of its own language comes back from each of its encodings, or it is said that the encoding is not known."""

import codecs
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.lyrics.encodings import EncodingError, NotTextError, decode
from tests.support.foreign_lines import ENCODINGS, LINES

PAIRS = [(language, encoding) for language, encodings in ENCODINGS.items() for encoding in encodings]


@pytest.mark.parametrize(("language", "encoding"), PAIRS)
def test_a_song_comes_back(language, encoding):
    text = "\n".join(LINES[language])
    assert decode(text.encode(encoding))[0] == text


DOS = {"fr": "cp850", "de": "cp850", "es": "cp850", "pt": "cp850", "it": "cp850", "sv": "cp850"} | {
    "pl": "cp852",
    "cs": "cp852",
    "hu": "cp852",
    "tr": "cp857",
    "el": "cp737",
    "he": "cp862",
    "zh": "hz",
}


@pytest.mark.parametrize(("language", "encoding"), [(code, name) for code, name in DOS.items() if code in LINES])
@pytest.mark.parametrize("first", [0, 20])
def test_a_few_lines_of_dos_come_back(language, encoding, first):
    text = "\n".join(LINES[language][first : first + 10]).translate(str.maketrans("‘’“”–—", "''\"\"--"))
    assert decode(text.encode(encoding, "ignore"))[0] == text.encode(encoding, "ignore").decode(encoding)


VIETNAMESE = """Đêm nay trời mưa rơi trên phố vắng
Anh nhớ em từng phút từng giây
Mùa thu đi qua lá vàng rơi đầy"""
KAZAKH = "Бүгін түнде жаңбыр жауады қалада\nмен сені күтемін есігіңнің алдында"
TONES = "\u0300\u0301\u0303\u0309\u0323"


def in_cp1258(text):
    """Letters, each with its tone behind it."""
    letters = unicodedata.normalize("NFD", text)
    return b"".join(unicodedata.normalize("NFC", part).encode("cp1258") for part in re.split(f"([{TONES}])", letters))


@pytest.mark.parametrize("language", [None, "vi"])
def test_vietnamese_of_windows_has_its_tones_in_its_letters(language):
    assert decode(in_cp1258(VIETNAMESE), language) == (VIETNAMESE, "cp1258")


@pytest.mark.parametrize(("language", "encoding"), [("el", "mac_greek"), ("ar", "cp720")])
@pytest.mark.parametrize("first", [0, 6])
def test_seldom_encodings_are_not_taken_for_frequent_ones(language, encoding, first):
    text = "\n".join(LINES[language][first : first + 8])
    content = text.encode(encoding, "ignore")
    assert decode(content) == (content.decode(encoding), encoding)


def test_kazakh_is_not_taken_for_russian():
    assert decode(KAZAKH.encode("kz1048")) == (KAZAKH, "kz1048")


@settings(max_examples=100)
@given(st.sampled_from([("ru", "cp1251"), ("fr", "cp1252"), ("de", "cp1252"), ("el", "cp1253")]), st.data())
def test_files_of_two_encodings_that_were_joined_are_read_line_by_line(pair, data):
    language, encoding = pair
    lines = data.draw(st.lists(st.sampled_from(LINES[language]), min_size=20, max_size=40))
    cut = data.draw(st.integers(5, len(lines) - 10))
    parts = ["\n".join(lines[:cut]).encode(), "\n".join(lines[cut:]).encode(encoding)]
    for content in (b"\n".join(parts), b"\n".join(parts[::-1])):
        text, name = decode(content)
        expected = lines if content.startswith(parts[0]) else [*lines[cut:], *lines[:cut]]
        assert text.split("\n") == expected
        assert name == f"utf-8 with lines in {encoding}"


@pytest.mark.parametrize("language", sorted(LINES))
def test_utf_7_is_read_where_it_says_something(language):
    text = "\n".join(LINES[language][:5])
    assert decode(text.encode("utf-7"))[0] == text
    plain = "rock+roll, 1+1=2 and a+b ~{ah~} +yeah- +love- +hate-"
    assert decode(plain.encode()) == (plain, "utf-8")


@settings(max_examples=300)
@given(st.data())
def test_a_few_lines_come_back_or_are_not_guessed(data):
    language, encoding = data.draw(st.sampled_from(PAIRS))
    lines = data.draw(st.lists(st.sampled_from(LINES[language]), min_size=5, unique=True))
    text = "\n".join(lines * data.draw(st.integers(1, 3)))
    try:
        assert decode(text.encode(encoding), language)[0] == text
    except EncodingError:
        assert len(lines) < 8


def test_one_line_is_right_or_unknown_and_mostly_right_with_its_language():
    right = {False: 0, True: 0}
    wrong = {False: 0, True: 0}
    total = 0
    for language, encoding in PAIRS:
        for line in LINES[language]:
            total += 1
            for hinted in (False, True):
                try:
                    same = decode(line.encode(encoding), language if hinted else None)[0] == line
                    right[hinted] += same
                    wrong[hinted] += not same
                except EncodingError:
                    pass
    assert right[False] / total > 0.9
    assert right[True] / total > 0.95
    assert max(wrong.values()) / total < 0.025


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("You\u2019re \u201ccool\u201d \u2013 yes".encode("cp1252"), "You\u2019re \u201ccool\u201d \u2013 yes"),
        (b"caf\xe9", "café"),
        (b"na\xefve\n" + b"we walk along the line\n" * 30, "naïve\n" + "we walk along the line\n" * 30),
        ("НОЧНОЙ ВЕТЕР ИДЁТ\nЧЕРЕЗ МОСТ".encode("cp1251"), "НОЧНОЙ ВЕТЕР ИДЁТ\nЧЕРЕЗ МОСТ"),
        ("Baby 널 원해, show me love".encode("cp949"), "Baby 널 원해, show me love"),
        ("love €5".encode("cp1252"), "love €5"),
        ("愛してる".encode("utf-8-sig"), "愛してる"),
        *[("愛 oh".encode(name), "愛 oh") for name in ("utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le")],
        (codecs.BOM_UTF32_BE + "愛 oh".encode("utf-32-be"), "愛 oh"),
    ],
)
def test_short_texts(content, text):
    assert decode(content)[0] == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (("愛してる\n" * 3).encode() + b"\xff\n" + "愛".encode(), "愛してる\n" * 3 + "\ufffd\n愛"),
        ("愛してる 愛".encode()[:-1], "愛してる \ufffd"),
    ],
)
def test_a_few_broken_bytes_are_said_and_spoil_nothing_else(content, text):
    assert decode(content) == (text, "utf-8 with broken bytes")


@pytest.mark.parametrize(
    ("language", "text"), [("ko", "사랑해"), ("kor", "사랑해"), ("pl", "dziękuję"), ("ru", "я"), ("zh-TW", "我愛你")]
)
def test_the_language_helps_where_a_text_is_short(language, text):
    encoding = {"ko": "cp949", "kor": "cp949", "pl": "cp1250", "ru": "cp1251", "zh-TW": "big5"}[language]
    assert decode(text.encode(encoding), language)[0] == text


@pytest.mark.parametrize(
    "content",
    [
        bytes(range(128, 256)),
        "El niño duerme junto al mar y la noche canta una canción".encode("cp037"),
        b"\xed\xa0\x80\xed\xb0\x80" * 3,
    ],
)
def test_what_no_language_has_is_unknown(content):
    with pytest.raises(EncodingError):
        decode(content)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\xd8\x00", b"\x00\xff\x01\xfe"])
def test_what_is_no_text_is_said(content):
    with pytest.raises(NotTextError):
        decode(content)
