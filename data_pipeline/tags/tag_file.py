"""The tags of one music file (the only file that knows mutagen): ID3, Vorbis comments, MP4, APEv2 and ASF.

Tags are read as they are; whether "Rock; Pop" is one genre or two is not asked here. Genres are written as each format
has several values: ID3 with NUL between them, Vorbis comments as several fields, MP4 as several values of one atom,
APEv2 and ASF as a list. ID3v2.3 has NUL too, as Mp3tag writes it and mutagen and TagLib read it: a slash would cut
"R&B/Soul" in two.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mutagen
from mutagen.apev2 import APENoHeaderError, APEv2
from mutagen.asf import ASFTags
from mutagen.id3 import ID3, TCON, Encoding
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4Tags

from data_pipeline.errors import InputError
from data_pipeline.tags.languages import short_code

_NAMES = {
    ID3: {
        "artist": "TPE1",
        "album_artist": "TPE2",
        "album": "TALB",
        "title": "TIT2",
        "language": "TLAN",
        "genres": "TCON",
    },
    MP4Tags: {
        "artist": "\xa9ART",
        "album_artist": "aART",
        "album": "\xa9alb",
        "title": "\xa9nam",
        "language": "----:com.apple.iTunes:LANGUAGE",
        "genres": "\xa9gen",
    },
    APEv2: {
        "artist": "Artist",
        "album_artist": "Album Artist",
        "album": "Album",
        "title": "Title",
        "language": "Language",
        "genres": "Genre",
    },
    ASFTags: {
        "artist": "Author",
        "album_artist": "WM/AlbumArtist",
        "album": "WM/AlbumTitle",
        "title": "Title",
        "language": "WM/Language",
        "genres": "WM/Genre",
    },
}
_VORBIS = {
    "artist": "artist",
    "album_artist": "albumartist",
    "album": "album",
    "title": "title",
    "language": "language",
    "genres": "genre",
}
_LYRICS = re.compile(r"(?:un)?(?:sync(?:ed|hroni[sz]ed)?)?lyrics?|\xa9lyr|wm/lyrics")


class TagError(InputError):
    """Why a file's tags cannot be read or written, in a few words."""


@dataclasses.dataclass(frozen=True)
class Tags:
    """What a file's tags say of a song; empty where they say nothing.

    ``language`` is a code of two letters where it can be. ``lyrics`` are as they are embedded, time stamps and all.
    """

    genres: tuple[str, ...] = ()
    artist: str = ""
    album_artist: str = ""
    album: str = ""
    title: str = ""
    language: str = ""
    lyrics: str = ""


def read(path: Path) -> Tags:
    """The tags of the file at ``path``; raises TagError where it is no music file or its tags are broken."""
    with _blamed("read"):
        audio = _opened(path)
        main = Tags() if audio.tags is None else _tags(audio.tags)
        beside = _ape_beside(audio, path)
        if beside is None:
            return main
        filled = {name: value for name, value in dataclasses.asdict(_tags(beside)).items() if not getattr(main, name)}
        return dataclasses.replace(main, **filled)


def write_genres(path: Path, genres: Sequence[str]) -> None:
    """Let the file at ``path`` have these genres in the place of its own, in its kind of tags and their version, and
    nothing else changed; ID3v2.2, which is not written, becomes 2.3.

    The file is changed in place: give it a copy. Raises TagError where its tags cannot be written, or would not be the
    same but for the genres.
    """
    with _blamed("written"):
        audio = _opened(path)
        if audio.tags is None:
            audio.add_tags()
        before = _others(audio.tags)
        if isinstance(audio.tags, ID3):
            _save_id3(audio, genres, path)
        else:
            _set(audio.tags, genres)
            audio.save()
        beside = _ape_beside(audio, path)
        if beside is not None and "Genre" in beside:
            _set(beside, genres)
            beside.save(path)
        after = _opened(path)
        written = _tags(after.tags).genres if after.tags is not None else ()
        if written != tuple(genres) or _others(after.tags) != before:
            raise TagError("tags cannot be written so that all others stay")


def _save_id3(audio: Any, genres: Sequence[str], path: Path) -> None:
    """In the version that is there, whose frames are not translated, so that only the genres change."""
    major = audio.tags.version[1] if audio.tags.version[0] == 2 and not _is_new(audio) else 4
    if major == 3:
        audio = type(audio)(path, translate=False)
    version = 4 if major == 4 else 3
    if major == 2:
        audio.tags.update_to_v23()
    latin = all(name.isascii() for name in genres)
    encoding = Encoding.LATIN1 if latin else Encoding.UTF8 if version == 4 else Encoding.UTF16
    audio.tags.setall("TCON", [TCON(encoding=encoding, text=list(genres))])
    audio.save(v2_version=version, v23_sep=None)


def _is_new(audio: Any) -> bool:
    """Whether the tags were added just now."""
    return not audio.tags.size


def _opened(path: Path) -> Any:
    if not path.stat().st_size:
        raise TagError("empty file")
    audio = mutagen.File(path)
    if audio is None:
        raise TagError("no music file whose tags can be read")
    return audio


def _ape_beside(audio: Any, path: Path) -> APEv2 | None:
    """The APEv2 tag that an MP3 may have beside its ID3."""
    if not isinstance(audio, MP3):
        return None
    try:
        return APEv2(path)
    except APENoHeaderError:
        return None


def _names(tags: Any) -> dict[str, str]:
    return next((names for kind, names in _NAMES.items() if isinstance(tags, kind)), _VORBIS)


def _tags(tags: Any) -> Tags:
    names = _names(tags)
    fields = {field: "; ".join(_values(tags, name)) for field, name in names.items() if field != "genres"}
    fields["language"] = short_code(fields["language"])
    return Tags(genres=tuple(_genres(tags, names["genres"])), lyrics=_lyrics(tags), **fields)


def _genres(tags: Any, name: str) -> Iterator[str]:
    if isinstance(tags, ID3):
        values = [genre for frame in tags.getall(name) for genre in frame.genres]
    else:
        values = _values(tags, name)
    return (text for value in values if (text := _clean(value)))


def _values(tags: Any, name: str) -> list[str]:
    """The texts of a tag, which may have several."""
    if isinstance(tags, ID3):
        found: Iterable[Any] = (text for frame in tags.getall(name) for text in frame.text)
    elif name not in tags:
        return []
    else:
        value = tags[name]
        found = value if isinstance(value, list) else value if _is_listed(value) else [value]
    texts = (item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in found)
    return [text for item in texts if (text := _clean(item))]


def _clean(text: str) -> str:
    """Without NULs, white space around it, and halves of surrogate pairs, which no file could hold."""
    return text.replace("\0", "").encode(errors="replace").decode().strip()


def _is_listed(value: Any) -> bool:
    """Whether an APEv2 value is a text, which may be several."""
    return hasattr(value, "__getitem__") and hasattr(value, "kind") and value.kind == 0


def _lyrics(tags: Any) -> str:
    """The words that are embedded, those without time first."""
    if isinstance(tags, ID3):
        texts = [frame.text for frame in tags.getall("USLT")]
        texts += [text for frame in tags.getall("TXXX") if _is_lyrics(frame.desc) for text in frame.text]
        texts += [_untimed([text for text, _ in frame.text]) for frame in tags.getall("SYLT")]
    else:
        texts = [
            text for name in sorted({*tags.keys()}, reverse=True) if _is_lyrics(name) for text in _values(tags, name)
        ]
    return next((words for text in texts if (words := _clean(text))), "")


def _is_lyrics(name: str) -> bool:
    return _LYRICS.fullmatch(re.sub(r"[\s_-]|^----:com\.apple\.itunes:", "", name.lower())) is not None


def _untimed(pieces: list[str]) -> str:
    """Lines of pieces with a time each, which are lines, or syllables where line ends are among them."""
    return "".join(pieces) if any("\n" in piece for piece in pieces) else "\n".join(pieces)


def _others(tags: Any) -> dict[str, str]:
    """All but the genres, as texts that can be compared."""
    if isinstance(tags, ID3):
        frames = {name: repr(frame) for name, frame in tags.items() if frame.FrameID != "TCON"}
        return frames | {f"unknown {i}": repr(data) for i, data in enumerate(tags.unknown_frames)}
    genres = _names(tags)["genres"].lower()
    return {name: repr(tags[name]) for name in {*tags.keys()} if name.lower() not in (genres, "gnre")}


def _set(tags: Any, genres: Sequence[str]) -> None:
    tags[_names(tags)["genres"]] = list(genres)


@contextlib.contextmanager
def _blamed(what: str) -> Iterator[None]:
    """Whatever mutagen raises inside is the file's fault: broken files make it raise nearly anything."""
    try:
        yield
    except (TagError, OSError, MemoryError) as error:
        if isinstance(error, OSError):
            raise TagError(f"tags cannot be {what}: {error.strerror or error}") from error
        raise
    except Exception as error:
        if isinstance(error.__context__, OSError) and isinstance(error, mutagen.MutagenError):
            error = error.__context__
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        reason = "the file is broken" if reason in ("", "None") else reason
        raise TagError(f"tags cannot be {what}: {reason:.200}") from error
