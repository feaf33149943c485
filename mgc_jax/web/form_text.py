"""Text of a form as the bytes that came: who sends a file of words says nothing of its encoding."""

from __future__ import annotations

import codecs
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.lyrics import reading

CHARSET = "mgc-jax-form"
"""UTF-8 in which a byte that is none stays what it is; Starlette would take the whole text for Latin-1."""
_UTF_8 = codecs.lookup("utf-8")


def _decode(content: Any, errors: str = "strict") -> tuple[str, int]:
    return bytes(content).decode(errors="surrogateescape"), len(content)


def _find(name: str) -> codecs.CodecInfo | None:
    ours = name.replace("_", "-") == CHARSET
    return codecs.CodecInfo(_UTF_8.encode, _decode, name=CHARSET) if ours else None


codecs.register(_find)


def words(text: str) -> str:
    """Words in whatever encoding they came; raises InputError where it is not known, or they are no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return reading.decoded(text.encode(errors="surrogateescape"))[0]
        except reading.LyricsError as error:
            raise InputError(f"These lyrics cannot be used: {error}.") from None
    return text


def printable(name: str) -> str:
    """A name of a file that can be written as JSON."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
