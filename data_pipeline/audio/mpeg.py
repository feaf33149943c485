"""The frames of an MP3 file, by which alone it tells how long it is and where another one begins.

Decoders believe the first frame, which may be no sound but a header ("Xing", "Info" or "VBRI") with a number of frames:
they stop there, whatever follows. ISO/IEC 11172-3 and 13818-3 have the frames, LAME's source code the header.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # Hz, by the version
_V1, _V2 = 3, 2
_LAYER_1, _LAYER_2, _LAYER_3 = 3, 2, 1
_KBITS = {
    (_V1, _LAYER_1): range(32, 449, 32),
    (_V1, _LAYER_2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (_V1, _LAYER_3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (_V2, _LAYER_1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (_V2, _LAYER_2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (_V2, _LAYER_3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MONO = 3
_FIRST_WITHIN = 4 << 20  # bytes in which the first frame must lie


class _Kind(NamedTuple):
    """What all frames of one stream have in common."""

    version: int
    layer: int
    rate: int
    mono: bool


@dataclasses.dataclass
class Stream:
    """Frames that last so many ``seconds``, [start, stop) in the file; ``patches`` mend their number in the header."""

    start: int
    stop: int
    patches: dict[int, bytes]
    seconds: float = 0.0
    frames: int = 0
    claimed: int | None = None
    claim_at: int = 0


def streams(content: bytes, start: int) -> list[Stream]:
    """The streams of an MP3 file, one behind the other; none where it is none."""
    found: list[Stream] = []
    kind, in_step, at = None, False, start
    while at + 4 <= len(content):
        frame = _frame(content, at)
        if frame is None or not ((in_step and frame[0] == kind) or _confirmed(content, at, frame)):
            in_step = False
            at += _tag_length(content, at) or 1
            at = content.find(b"\xff", at) if content[at : at + 3] not in (b"ID3", b"TAG") else at
            if at < 0 or (not found and at > start + _FIRST_WITHIN):
                break
            continue
        of_frame, length = frame
        header = _header(content, at, of_frame)
        if header or of_frame != kind or not found:
            found.append(Stream(at, at, {}))
            kind = of_frame
        stream = found[-1]
        if header:
            stream.claimed, stream.claim_at = header
        else:
            stream.frames += 1
            stream.seconds += _samples(of_frame) / of_frame.rate
        at += length
        stream.stop, in_step = min(at, len(content)), True
    found = [stream for stream in found if stream.frames]
    for stream in found:
        # A file that was cut off keeps its claim: what is missing is to be seen.
        keeps = stream.claimed is None or (stream.frames <= stream.claimed and stream is found[-1])
        if not keeps and stream.frames != stream.claimed:
            stream.patches[stream.claim_at] = stream.frames.to_bytes(4, "big")
    return found


def _samples(kind: _Kind) -> int:
    if kind.layer == _LAYER_1:
        return 384
    return 576 if kind.layer == _LAYER_3 and kind.version != _V1 else 1152


def tag_length(content: bytes) -> int:
    """Bytes of the ID3v2 tag that ``content`` begins with, 0 for none; its first ten are enough."""
    if len(content) < 10 or content[:3] != b"ID3" or max(content[6:10]) > 127 or 255 in content[3:5]:
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte
    return 10 + size + 10 * bool(content[5] & 0x10)  # a footer


def _tag_length(content: bytes, at: int) -> int:
    """Bytes of the tag at this place, 0 where there is none that is worth jumping over: one that claims to go on behind
    the end of the file says nothing of where the music is."""
    length = _claimed_tag_length(content, at)
    return length if at + length <= len(content) else 0


def _claimed_tag_length(content: bytes, at: int) -> int:
    if content[at : at + 3] == b"TAG":
        return 128
    if content[at : at + 8] == b"APETAGEX":
        size = int.from_bytes(content[at + 12 : at + 16], "little")
        return 32 + size if content[at + 23 : at + 24] >= b"\x20" else 32  # of a header, or a footer
    return tag_length(content[at : at + 10])


def _frame(content: bytes, at: int) -> tuple[_Kind, int] | None:
    """The kind and the length in bytes of the frame at this place."""
    return _parsed(int.from_bytes(content[at : at + 4], "big") >> 6)


@functools.lru_cache(maxsize=4096)
def _parsed(bits: int) -> tuple[_Kind, int] | None:
    """Of the first 26 bits of a frame; None where they are none, or of a bit rate that is not in the tables."""
    if bits >> 15 != 0x7FF:
        return None
    version, layer = bits >> 13 & 3, bits >> 11 & 3
    bit_rate, rate, padding, mode = bits >> 6 & 15, bits >> 4 & 3, bits >> 3 & 1, bits & 3
    if version == 1 or layer == 0 or bit_rate in (0, 15) or rate == 3:
        return None
    hertz = _RATES[version][rate]
    kbits = _KBITS[_V1 if version == _V1 else _V2, layer][bit_rate - 1]
    kind = _Kind(version, layer, hertz, mode == _MONO)
    if layer == _LAYER_1:
        return kind, (12_000 * kbits // hertz + padding) * 4
    slots = 72_000 if layer == _LAYER_3 and version != _V1 else 144_000
    return kind, slots * kbits // hertz + padding


def _confirmed(content: bytes, at: int, frame: tuple[_Kind, int]) -> bool:
    """Whether a frame is followed by another one of its kind, or ends with the file."""
    kind, length = frame
    behind = at + length
    following = _frame(content, behind) if behind + 4 <= len(content) else None
    return behind == len(content) or (following is not None and following[0] == kind)


def _header(content: bytes, at: int, kind: _Kind) -> tuple[int | None, int] | None:
    """The number of frames that a frame's header claims, None where it names none, and where it stands; None for a
    frame of sound."""
    if kind.layer != _LAYER_3:
        return None
    side = ((32, 17) if kind.version == _V1 else (17, 9))[kind.mono]
    tag = at + 4 + side
    if content[tag : tag + 4] in (b"Xing", b"Info"):
        has_frames = content[tag + 7 : tag + 8] and content[tag + 7] & 1
        return (int.from_bytes(content[tag + 8 : tag + 12], "big") if has_frames else None), tag + 8
    if content[at + 36 : at + 40] == b"VBRI":
        return int.from_bytes(content[at + 50 : at + 54], "big"), at + 50
    return None
