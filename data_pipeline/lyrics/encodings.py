"""Bytes -> text, whatever their encoding: what a file proves is believed, what is left is guessed by its languages."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import re
import unicodedata
from collections import Counter

from data_pipeline.errors import InputError
from data_pipeline.lyrics.languages import ALPHABETS, CHARACTERS, languages, logarithm, script

CANDIDATES = (
    "cp1252", "cp1251", "cp932", "gb18030", "big5", "cp949", "euc_jp", "cp1250", "koi8_r", "cp1253", "cp1254", "cp1255",
    "cp1256", "cp1257", "cp874", "iso8859_2", "iso8859_5", "iso8859_6", "koi8_u", "cp866", "mac_cyrillic", "mac_roman",
    "cp850", "cp852", "cp857", "cp737", "cp862", "cp950", "big5hkscs", "utf_16_le", "utf_16_be",
    "cp1258", "mac_greek", "cp720", "kz1048",
)  # fmt: skip
"""The encodings that are guessed among, the likelier ones first: it decides where they give the same text."""

_UNSURE = 1.7
"""By so much (in nats) the best guess must be likelier than the next."""
_UNLIKELY = -5.2
"""The likelihood that each byte beyond ASCII must have on average (in nats)."""
_HINT = 4.0
"""What the track's own language adds."""
_PRIOR = {"cp1252": 2.3, "mac_roman": -4.0, "mac_cyrillic": -4.0, "cp866": -2.0} | dict.fromkeys(
    ("cp850", "cp852", "cp857", "cp737", "cp862", "mac_greek", "cp720"), -4.0
)
"""What text files often or seldom are, before one looks."""
_LISTED = 4.0
"""What charset-normalizer adds, for which the text is not too messy."""
_SAMPLE = 20_000  # bytes that are guessed from
_OF_ONE_BYTE = frozenset(
    name for name in CANDIDATES if name.startswith(("cp1", "iso8859", "koi8")) and name != "cp1258"
)
"""What older lines in a file of UTF-8 may be in."""
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff\ue000-\uf8ff]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_ASCII = re.compile(r"[\x00-\x7f]")
_TONE = re.compile("[\u0300\u0301\u0303\u0309\u0323]")  # of Vietnamese
_DASH = re.compile(r"(?<=[^\W\d_])–(?=[^\W\d_])")  # where MacRoman has an ñ
_WORD = re.compile(r"\w+")
_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


class EncodingError(InputError):
    """Nobody can tell what the bytes mean."""


class NotTextError(EncodingError):
    """The bytes are no text in any encoding."""


def decode(content: bytes, language: str | None = None) -> tuple[str, str]:
    """The text, and the name of its encoding.

    A byte order mark, valid UTF-8, the zeros of UTF-16 and UTF-32 and the escapes of ISO-2022, HZ and UTF-7 are
    proofs. Where files of two encodings were joined, lines that are not UTF-8 are guessed by themselves. UTF-8 with a
    few broken bytes is UTF-8, with U+FFFD for these. The rest is guessed: by the likelihood of the
    text in each of the :mod:`languages`, of which ``language``, a code, is the likeliest beforehand.

    Raises:
        NotTextError: it is no text.
        EncodingError: no guess is good, or two are equally good.
    """
    for mark, name in _MARKS:
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(name), name.rstrip("-bel")
            except UnicodeDecodeError:
                raise NotTextError("the byte order mark is that of another encoding") from None
    for proof in (_escaped, _wide, _utf_8):
        if found := proof(content):
            return found
    if found := _joined(content, language) or _nearly_utf_8(content):
        return found
    if b"\x00" in content:
        raise NotTextError("zeros are no text")
    return _guess(content, language)


_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)


def _escaped(content: bytes) -> tuple[str, str] | None:
    """ISO-2022 of Japan or Korea, HZ of China, and UTF-7, which are ASCII but for their escapes."""
    for name, escape in (("iso2022_kr", b"\x1b$)C"), ("iso2022_jp_ext", b"\x1b$"), ("iso2022_jp_ext", b"\x1b(J")):
        if escape in content and content.isascii():
            try:
                return content.decode(name), name
            except UnicodeDecodeError:
                continue
    for name, escape in (("hz", b"~{"), ("utf-7", b"+")):  # which somebody may write for other reasons
        if escape in content and content.isascii():
            with contextlib.suppress(UnicodeDecodeError):
                text = content.decode(name)
                enough = len(_BEYOND_ASCII.findall(text)) > 2
                if enough and not _CONTROL.search(text) and _quality(text) > 2 * _UNLIKELY:
                    return text, name
    return None


def _wide(content: bytes) -> tuple[str, str] | None:
    """UTF-16 or UTF-32 without a mark: of ASCII, blanks and line ends among it, they have zeros on one side."""
    zeros = content.count(b"\x00")
    if zeros == 0:
        return None
    for name, size in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        side = slice(size - 1, None, size) if name.endswith("le") else slice(0, None, size)
        if len(content) % size or content[side].count(b"\x00") < (len(content) // 4 if size == 4 else 0.6 * zeros):
            continue
        try:
            text = content.decode(name)
        except UnicodeDecodeError:
            continue
        if not _CONTROL.search(text) and _quality(text) > 2 * _UNLIKELY:
            return text, name[:6]
    return None


def _utf_8(content: bytes) -> tuple[str, str] | None:
    try:
        return content.decode(), "utf-8"
    except UnicodeDecodeError:
        return None


def _joined(content: bytes, language: str | None) -> tuple[str, str] | None:
    """Lines in UTF-8 and lines in an older encoding, as of files that were joined: where the former are a proof, and of
    the latter, which hold hardly anything that may be UTF-8, the encoding is sure."""
    lines = content.split(b"\n")
    others = [line for line in lines if _utf_8(line) is None]
    if len(others) == len(lines) or b"\x00" in content or not any(_SEQUENCE.search(x) for x in lines if _utf_8(x)):
        return None
    rest = b"\n".join(others)
    beyond = sum(byte > 127 for byte in rest)
    if 2 * sum(map(len, _SEQUENCE.findall(rest))) > beyond or _is_cut(content):
        return None
    try:
        _, name = _guess(rest, language)
    except EncodingError:
        return None
    if name not in _OF_ONE_BYTE:
        return None
    text = "\n".join(line.decode() if _utf_8(line) else _decoded(line, name) for line in lines)
    return text, f"utf-8 with lines in {name}"


def _nearly_utf_8(content: bytes) -> tuple[str, str] | None:
    """UTF-8 with a broken byte for every four characters beyond ASCII, or cut within its last one."""
    whole = len(_SEQUENCE.findall(content))
    text = content.decode(errors="replace")
    if b"\x00" not in content and whole and (_is_cut(content) or 4 * text.count("\ufffd") <= whole):
        return text, "utf-8 with broken bytes"
    return None


def _is_cut(content: bytes) -> bool:
    """Whether it is UTF-8 but for its last character, of which there is a part."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


def _decoded(content: bytes, name: str) -> str:
    """The text; Vietnamese of Windows has its tones behind the letters."""
    text = content.decode(name, errors="replace")
    return unicodedata.normalize("NFC", text) if name == "cp1258" else text


def _guess(content: bytes, language: str | None) -> tuple[str, str]:
    from charset_normalizer import from_bytes  # takes a while, and most files are UTF-8

    sample = content[:_SAMPLE].rpartition(b"\n")[0] if len(content) > _SAMPLE else content
    texts: dict[str, list[str]] = {}
    for name in CANDIDATES:
        with contextlib.suppress(UnicodeDecodeError):
            sample.decode(name)
            texts.setdefault(_decoded(sample, name), []).append(name)
    matches = from_bytes(sample, cp_isolation=list(CANDIDATES))
    shortlist = {CANDIDATES[0]} | {name for match in matches for name in match.could_be_from_charset}
    likely: list[tuple[float, str]] = []
    for text, (name, *others) in texts.items():
        if _CONTROL.search(text):
            continue
        lines = "\n".join(dict.fromkeys(text.split("\n")))  # what is repeated says nothing more
        beyond = _bytes_beyond_ascii(lines, name)
        likelihood = _likelihood(lines, language)
        if likelihood >= _UNLIKELY * beyond - _UNSURE:
            listed = 0.0 if shortlist.isdisjoint({name, *others}) else _LISTED
            likely.append((likelihood + _PRIOR.get(name, 0.0) + listed, name))
    ranked = sorted(likely, key=lambda guess: -guess[0])
    if not ranked:
        raise EncodingError("no encoding gives a text of any language")
    if len(ranked) > 1 and ranked[0][0] - ranked[1][0] < _UNSURE:
        raise EncodingError(f"it may be {ranked[0][1]} or {ranked[1][1]}")
    name = ranked[0][1]
    return _decoded(content, name), name


def _bytes_beyond_ascii(text: str, name: str) -> int:
    if name == "cp1258":
        marks = unicodedata.normalize("NFD", text)
        letters = unicodedata.normalize("NFC", _TONE.sub("", marks))
        return len(_TONE.findall(marks)) + len(_BEYOND_ASCII.findall(letters))
    return len(text.encode(name)) - (2 if name.startswith("utf_16") else 1) * len(_ASCII.findall(text))


def _quality(text: str) -> float:
    """The likelihood of each character beyond ASCII, on average."""
    beyond = len(_BEYOND_ASCII.findall(text))
    return _likelihood(text, None) / beyond if beyond else 0.0


def _likelihood(text: str, hint: str | None) -> float:
    """The logarithm of the text's probability in the language that gives the highest one."""
    counts = Counter(_BEYOND_ASCII.findall(text))
    hinted = languages(hint)
    best = max(
        sum(count * logarithm(language, character) for character, count in counts.items())
        + (_HINT if language in hinted else 0.0)
        for language in (*ALPHABETS, *CHARACTERS)
    )
    odd = -3.0 * len(_DASH.findall(text))
    if not (words := [word for word in _WORD.findall(text) if not word.isascii()]):
        return best + odd
    if all(map(str.isupper, words)):
        return best + odd - 4.0 + sum(_oddity(word.lower()) for word in words)
    return best + odd + sum(map(_oddity, words))


def _oddity(word: str) -> float:
    """What a word costs for its capitals and for letters of two alphabets, or digits, in it (in nats)."""
    cost = -4.0 * sum(
        one.isascii() != two.isascii() and (one.isdigit() or two.isdigit() or script(max(one, two)) != "LATIN")
        for one, two in itertools.pairwise(word)
    )
    if word.islower() or not (capitals := sum(map(str.isupper, word))):
        return cost
    if capitals == len(word):
        return cost - 3.5
    first = 0.0 if word[0].isascii() else 2.3
    return cost - first - 4.0 * sum(one.islower() and two.isupper() for one, two in itertools.pairwise(word))
