"""Lyrics files and texts -> the words that are sung; prediction reads them as preparation does."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.lyrics import absence, documents, encodings, markup

MAX_BYTES = 1 << 20

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_PAGE = re.compile(r"\A\s*(?:<!doctype html|<html)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^<>]{0,200}>([^<>]{0,300})", re.IGNORECASE)
_INVISIBLE = "\ufeff\u200b\u2060"


class LyricsError(InputError):
    """Why a lyrics file cannot be used, in a few words fit for ``quarantine.tsv``."""


@dataclasses.dataclass(frozen=True)
class Lyrics:
    """What a file or a text gives.

    ``text`` is None where there are no lyrics, and ``absence`` then says why; ``encoding`` is empty for what was given
    as text; ``stripped`` counts how often each rule of :mod:`markup` applied.
    """

    text: str | None
    absence: str | None = None
    encoding: str = ""
    stripped: Mapping[str, int] = dataclasses.field(default_factory=dict)


def read_file(path: Path, language: str | None = None) -> Lyrics:
    """The lyrics in a file of any encoding, which is found with the help of the track's ``language``, a code.

    Raises:
        LyricsError: the file cannot be opened, is too large, is no text, or its encoding is not known.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LyricsError(f"lyrics cannot be opened: {error.strerror or error}") from error
    text, encoding = decoded(content, language)
    return dataclasses.replace(read_text(text), encoding=encoding)


def decoded(content: bytes, language: str | None = None) -> tuple[str, str]:
    """The text of a file's bytes and their encoding; raises LyricsError as :func:`read_file` does."""
    _check_size(len(content))
    if kind := documents.what(content):
        raise LyricsError(f"lyrics are not text: {kind}")
    try:
        return encodings.decode(content, language)
    except encodings.NotTextError as error:
        raise LyricsError("lyrics are not text") from error
    except encodings.EncodingError as error:
        raise LyricsError(f"encoding of the lyrics is not known: {error}") from error


def read_text(text: str) -> Lyrics:
    """The lyrics in a text; raises LyricsError for what is too long or not text."""
    _check_size(len(text))
    if len(_CONTROL.findall(text)) > len(text) / 50 or "\x00" in text:
        raise LyricsError("lyrics are not text")
    if kind := documents.what(text[:100].encode("utf-8", "replace")):
        raise LyricsError(f"lyrics are not text: {kind}")
    if documents.is_json(text):
        raise LyricsError("lyrics are not text: JSON")
    # Half of a character of two halves, as JSON may have and where an emoji was cut, is nothing a tokenizer takes.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    whole = _CONTROL.sub(" ", re.sub(r"\r(?!\n)", "\n", whole))
    words, stripped = markup.strip(whole.strip().strip(_INVISIBLE))
    words = _CONTROL.sub(" ", words).strip().strip(_INVISIBLE).strip()
    if stripped:
        words = re.sub(r"\n[^\S\n]*\n\s+", "\n\n", words)
    why = absence.kind(words)
    if why == absence.EMPTY and "instrumental" in whole.casefold():  # a heading alone
        why = absence.INSTRUMENTAL
    elif _PAGE.match(whole):
        title = _TITLE.search(whole)
        why = absence.ERROR_PAGE if absence.is_error_page(f"{title[1] if title else ''}\n{words}") else why
    return Lyrics(None if why else words, why, stripped=stripped)


def read_lyrics_file(path: Path, language: str | None = None) -> str | None:
    """The text of :func:`read_file`."""
    return read_file(path, language).text


def read_lyrics_text(text: str) -> str | None:
    """The text of :func:`read_text`."""
    return read_text(text).text


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise LyricsError("lyrics are larger than 1 MiB")
