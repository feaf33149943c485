"""Files that somebody took for lyrics and that are no text."""

from __future__ import annotations

import codecs
import json

_MAGIC = {
    b"{\\rtf": "an RTF document",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a document of an older Office",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"ID3\x02": "an MP3 file",
    b"ID3\x03": "an MP3 file",
    b"ID3\x04": "an MP3 file",
    b"fLaC\x00": "a FLAC file",
    b"OggS\x00": "an Ogg file",
    b"SQLite format 3\x00": "a database",
    b"bplist00": "a property list",
    b"\x7fELF": "a program",
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
