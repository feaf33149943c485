"""Files that somebody took for lyrics and that are no text."""

from __future__ import annotations

import codecs
import json

from data_pipeline.signatures import SIGNATURES

_MAGIC = SIGNATURES | {
    b"ID3\x02": "an MP3 file",
    b"ID3\x03": "an MP3 file",
    b"ID3\x04": "an MP3 file",
    b"fLaC\x00": "a FLAC file",
    b"OggS\x00": "an Ogg file",
}
_ZIP = b"PK\x03\x04"
_PACKED = {
    b"word/": "a DOCX document",
    b"xl/": "an XLSX document",
    b"ppt/": "a PPTX document",
    b"opendocument.text": "an ODT document",
    b"epub+zip": "an EPUB document",
    b"Index/": "a Pages document",
}


def what(content: bytes) -> str | None:
    """The kind of file, by its first bytes; None for what may be text."""
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.startswith(_ZIP):
        return next((name for mark, name in _PACKED.items() if mark in content), "a ZIP archive")
    if content.startswith(b"RIFF") and content[8:12] in (b"WAVE", b"AVI ", b"WEBP"):
        return "a RIFF file"
    if content[4:8] == b"ftyp":
        return "an MP4 file"
    content = content.lstrip() if content.lstrip()[:5] == b"{\\rtf" else content
    return next((name for magic, name in _MAGIC.items() if content.startswith(magic)), None)


def is_json(text: str) -> bool:
    """Whether the text is the JSON that a web service answers."""
    if not text.lstrip().startswith(("{", "[{")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
