"""What a file is by its first bytes, and which parts of it are recordings of their own: files may be joined.

Decoders read the first recording and take the rest for nothing. Names are those of FFmpeg's demuxers, of which none is
asked that a file's bytes do not call for: some of them read lists of other files, or the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from data_pipeline.audio import mpeg

_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
_MAGIC = {
    "wav": rb"(?:RIFF|RF64|RIFX).{4}WAVE",
    "avi": rb"RIFF.{4}AVI ",
    "aiff": rb"FORM.{4}AIF[FC]",
    "flac": rb"fLaC",
    "ogg": rb"OggS",
    "mov": rb"[\x00-\x0f].{3}(?:ftyp|moov|mdat|wide|free|skip|pnot)",
    "matroska": rb"\x1aE\xdf\xa3",
    "asf": re.escape(_ASF),
    "wv": rb"wvpk",
    "ape": rb"MAC [^ ]",
    "caf": rb"caff",
    "au": rb"\.snd",
    "w64": rb"riff\x2e\x91\xcf\x11",
    "aac": rb"\xff[\xf0\xf1\xf8\xf9]",
    "amr": rb"#!AMR",
    "tta": rb"TTA1",
    "mpc": rb"MP\+",
    "mpc8": rb"MPCK",
    "tak": rb"tBaK",
    "dsf": rb"DSD ",
    "flv": rb"FLV\x01",
    "rm": rb"\.RMF",
    "ac3": rb"\x0bw",
    "mpeg": rb"\x00\x00\x01\xba",
    "mpegts": rb"G.{187}G.{187}G",
}
_CONTAINERS = {name: re.compile(magic, re.DOTALL) for name, magic in _MAGIC.items()}
_ANOTHER = {  # enough of the beginning of another recording of the kind not to be met with by chance
    "wav": rb"(?:RIFF|RF64).{4}WAVE(?:fmt |JUNK|ds64|bext|LIST)",
    "avi": rb"RIFF.{4}AVI LIST",
    "aiff": rb"FORM.{4}AIF[FC](?:COMM|FVER)",
    "flac": rb"fLaC[\x00\x80]\x00\x00\x22",
    "mov": rb"\x00\x00\x00[\x0c-\x40]ftyp[0-9A-Za-z ]{4}",
    "matroska": rb"\x1aE\xdf\xa3.{0,80}?(?:webm|matroska)",
    "asf": re.escape(_ASF),
    "caf": rb"caff\x00[\x01\x02]\x00\x00desc",
    "au": rb"\.snd\x00\x00.{6}\x00\x00\x00[\x01-\x1b]",
    "tta": rb"TTA1\x01\x00",
    "ape": rb"MAC [\x6e-\x96]\x0f\x00\x00",
    "w64": rb"riff\x2e\x91\xcf\x11\xa5\xd6",
    # A block that is the first of its samples, and these the first of all.
    "wv": rb"wvpk.{4}[\x02-\x10]\x04.{6}\x00{4}.{5}[" + re.escape(bytes(b for b in range(256) if b & 8)) + rb"]",
}
_NEXT = {name: re.compile(start, re.DOTALL) for name, start in _ANOTHER.items()}
_KNOWS_ITS_END = ("flac", "caf", "au")  # its decoder stops where the header says
_HEAD, _CHUNK, _OVERLAP = 512, 1 << 20, 128
_MISSING = 1 << 14  # bytes at the end that a header may claim by mistake
_LENGTH_UNKNOWN = (0, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x7FFFF000, 0x80000000)


class Part(NamedTuple):
    """A recording in a file: its ``container`` ("" for an unknown one), its bytes [start, stop), and what of them is to
    be read otherwise. ``seconds`` are what it must hold, where its bytes tell; ``cut`` says that its end is missing,
    where its decoder does not."""

    container: str
    start: int
    stop: int
    patches: Mapping[int, bytes]
    seconds: float = 0.0
    cut: bool = False


def parts(file: BinaryIO) -> Iterator[Part]:
    """The recordings in a file, one behind the other; they are looked for as far as they are asked for."""
    size = file.seek(0, 2)
    start = _behind_tags(file, size)
    file.seek(start)
    head = file.read(_HEAD)
    container = next((name for name, magic in _CONTAINERS.items() if magic.match(head)), "")
    if container == "ogg":
        for first, last, ended in _ogg(file, start, size):
            yield Part("ogg", first, last, {}, cut=not ended)
    elif container:
        yield from _joined(file, container, start, size)
    else:
        streams = _mpeg(file, start)
        for stream in streams:
            yield Part("mp3", stream.start, stream.stop, stream.patches, stream.seconds)
        if not streams:
            yield Part("", start, size, {})


def _behind_tags(file: BinaryIO, size: int) -> int:
    """Where the music begins behind any number of ID3v2 tags, which some players put before every kind of file."""
    start = 0
    while start < size:
        file.seek(start)
        length = mpeg.tag_length(file.read(10))
        if not length:
            break
        start += length
    return start if start < size else 0


def _mpeg(file: BinaryIO, start: int) -> list[mpeg.Stream]:
    """The streams of an MP3 file; none where it is none."""
    file.seek(start)
    if b"\xff" not in file.read(_CHUNK):
        return []
    file.seek(0)
    return mpeg.streams(file.read(), start)


def _joined(file: BinaryIO, container: str, start: int, size: int) -> Iterator[Part]:
    """The parts of a file of which each begins as the first."""
    lazy = container in _KNOWS_ITS_END
    while start < size:
        stop = size if lazy else _next(file, container, _claimed_end(file, container, start), size)
        patches, missing = (
            _wav(file, start, stop) if container == "wav" else ({}, _missing(file, container, start, stop))
        )
        yield Part(container, start, stop, patches, cut=missing > _MISSING)
        start = _next(file, container, start + 4, size) if lazy else stop


def _claimed_end(file: BinaryIO, container: str, start: int) -> int:
    """Where another recording may begin at the earliest."""
    file.seek(start + 4)
    length = int.from_bytes(file.read(4), "little" if container == "wav" else "big")
    known = container in ("wav", "aiff") and length not in _LENGTH_UNKNOWN
    return start + (8 + length if known else 4)


def _missing(file: BinaryIO, container: str, start: int, stop: int) -> int:
    """How many bytes of samples a header claims that are not there."""
    if container == "aiff":
        return _claimed_end(file, container, start) - stop
    file.seek(start)
    head = file.read(24)
    if container == "w64":
        return int.from_bytes(head[16:24], "little") - (stop - start)
    if container == "au":
        header, length = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        return 0 if length in _LENGTH_UNKNOWN else header + length - (stop - start)
    return 0


def _next(file: BinaryIO, container: str, start: int, size: int) -> int:
    """Where the next recording begins, or ``size``."""
    pattern = _NEXT.get(container)
    while pattern and start < size:
        file.seek(start)
        content = file.read(_CHUNK + _OVERLAP)
        if found := pattern.search(content):
            return start + found.start()
        start += _CHUNK
    return size


def _ogg(file: BinaryIO, start: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """The links of a chain of Ogg streams (RFC 3533), and whether they have their ends: each begins with pages that are
    marked as beginnings, and its last page is marked as the end."""
    first, at, beginning, ended = start, start, True, False
    while at < size:
        file.seek(at)
        head = file.read(27 + 255)
        if head[:4] != b"OggS" or len(head) < 27:
            file.seek(at)
            found = file.read(_CHUNK).find(b"OggS", 1)
            at = at + found if found > 0 else at + _CHUNK - 4
            continue
        begins = bool(head[5] & 2)
        if begins and not beginning:
            yield first, at, ended
            first = at
        beginning = begins
        at += 27 + head[26] + sum(head[27 : 27 + head[26]])
        ended = bool(head[5] & 4) and at <= size
    yield first, size, ended


def _wav(file: BinaryIO, start: int, stop: int) -> tuple[dict[int, bytes], int]:
    """The size of a WAV file's samples where its header says none, or stops in the midst of them; and how many bytes of
    them are missing."""
    at = start + 12
    while at + 8 <= stop:
        file.seek(at)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] != b"data":
            at += 8 + length + length % 2
            continue
        rest, behind = stop - at - 8, at + 8 + length + length % 2
        if length in _LENGTH_UNKNOWN or (behind < stop - 8 and not _is_chunk(file, behind, stop)):
            return {at + 4: min(rest, 0xFFFFFFFF).to_bytes(4, "little")}, 0
        return {}, length - rest
    return {}, 0


def _is_chunk(file: BinaryIO, at: int, stop: int) -> bool:
    """Whether what lies behind the samples may be something else: a chunk, another recording, a tag, or padding."""
    file.seek(at)
    head = file.read(12)
    name, length = head[:4], int.from_bytes(head[4:8], "little")
    if name in (b"RIFF", b"RF64", b"ID3\x03", b"ID3\x04") or name.startswith(b"TAG") or not any(head):
        return True
    return re.fullmatch(rb"[ -~]{4}", name) is not None and at + 8 + length <= stop
