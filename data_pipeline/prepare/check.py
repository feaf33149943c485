"""What prepare would do with a corpus, found out in seconds: by its tables, and by a sample of its files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.genres import make_vocabulary
from data_pipeline.lyrics.reading import Lyrics
from data_pipeline.prepare import selection, source_files
from data_pipeline.prepare.decode import Decoded, Outcome, decode_apart
from data_pipeline.prepare.genre_report import genre_lines, genre_report
from data_pipeline.prepare.options import PrepareOptions
from data_pipeline.prepare.source_files import FileState
from data_pipeline.schema import Corpus, Rejected, Track
from data_pipeline.storage.files import escaped

SAMPLE = 24
"""Files that are decoded."""
_EXAMPLES = 3
_COMPARED = 2000
"""Files whose bytes are compared at most."""
_DEALT = 5000
"""Tracks of a corpus whose split is tried out at most; for more it takes long, and none is empty."""

T = TypeVar("T")


def check(
    corpus: Corpus,
    options: PrepareOptions,
    *,
    sample: int = SAMPLE,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, Any]:
    """What prepare would read, change, leave out and ask about; ``sample`` tracks are decoded.

    ``progress(done, total)`` counts these. ``failure`` is the sentence that prepare would end with, or None; whatever
    a failure leaves unknown is missing or empty.
    """
    failure, worth, filtered = None, list[Track](), list[Rejected]()
    try:
        worth, filtered = selection.candidates(corpus, options.data)
    except InputError as error:
        failure = str(error)
    tried = _tried(worth, sample, options, progress)
    splits, genres = dict[str, int](), 0
    if worth:
        try:
            splits, genres = _dealt(corpus, worth, filtered, tried, options)
        except InputError as error:
            failure = str(error)
    broken = [Rejected(outcome.id, outcome.file, outcome.reason) for outcome in tried.values() if outcome.reason]
    tracks = corpus.tracks
    return {
        "source": corpus.source,
        "tracks_read": len(tracks) + len(corpus.rejected),
        "worth_decoding": len(worth),
        "rejected": _reasons(corpus.rejected),
        "filtered": _reasons(filtered),
        "changed": dict(corpus.changed),
        "notes": list(corpus.notes),
        "formats": _counted(track.audio.suffix.lower() or "no suffix" for track in tracks),
        "tried": {"files": len(tried), "left_out": _reasons(broken)},
        "copies": same_bytes([track.audio for track in tracks]),
        "languages": _counted(track.language or "unknown" for track in tracks),
        "lyrics": {
            "files": sum(track.lyrics_file is not None for track in tracks),
            "texts": sum(track.lyrics_text is not None for track in tracks),
            "tried_with_words": sum(outcome.lyrics.text is not None for outcome in tried.values()),
        },
        "artists": len({track.artist for track in tracks} - {None}),
        "tracks_without_artist": sum(track.artist is None for track in tracks),
        "genres_kept": genres,
        "splits": splits,
        **genre_report(tracks, options.data),
        "failure": failure,
    }


def exit_code(findings: Mapping[str, Any]) -> int:
    """0 where there is nothing to say, 1 where prepare would work and there is something to look at, 2 where it would
    fail."""
    if findings["failure"]:
        return 2
    parts = ("rejected", "filtered", "changed", "notes", "copies", "near_duplicates")
    return int(any(findings[part] for part in parts) or bool(findings["tried"]["left_out"]))


def lines(findings: Mapping[str, Any]) -> list[str]:
    """The same for a person."""
    read, worth, tried = findings["tracks_read"], findings["worth_decoding"], findings["tried"]
    said = [f"{read} tracks in {findings['source']}: {worth} would be decoded, {read - worth} left out"]
    said += [*_reason_lines(findings["rejected"]), *_reason_lines(findings["filtered"])]
    said += [f"  changed: {count} {what}" for what, count in findings["changed"].items()]
    said += findings["notes"]
    if findings["formats"]:
        failing = sum(reason["tracks"] for reason in tried["left_out"])
        said.append(f"files: {_listed(findings['formats'])}; of {tried['files']} tried, {failing} would be left out")
        said += _reason_lines(tried["left_out"])
    if copies := findings["copies"]:
        said.append(f"{sum(map(len, copies)) - len(copies)} files are copies of others, byte by byte:")
        said += [f"  {' = '.join(map(escaped, group[:_EXAMPLES]))}" for group in copies[:_EXAMPLES]]
    lyrics = findings["lyrics"]
    said.append(
        f"lyrics: {lyrics['files']} files, {lyrics['texts']} texts; languages: {_listed(findings['languages'])}"
    )
    said.append(f"artists: {findings['artists']}; {findings['tracks_without_artist']} tracks have none")
    said += genre_lines(findings)
    if findings["genres_kept"]:
        said.append(f"genres that would be learned: {findings['genres_kept']} of {len(findings['vocabulary'])}")
    if findings["splits"]:
        said.append(f"split: {', '.join(f'{count} {name}' for name, count in findings['splits'].items())}")
    return said


def same_bytes(files: Sequence[Path]) -> list[list[str]]:
    """Groups of files that hold the same bytes; of more than 2000 files of like size so many are compared."""
    alike = _alike(files, _size)
    spread = np.linspace(0, len(alike) - 1, min(len(alike), _COMPARED)).astype(int)
    alike = _alike([alike[i] for i in spread], lambda file: (_size(file), _beginning(file)))
    groups: dict[str, list[str]] = {}
    for file in alike:
        groups.setdefault(source_files.digest(file), []).append(str(file))
    return [group for digest, group in groups.items() if digest and len(group) > 1]


def _alike(files: Sequence[T], of: Callable[[T], Hashable]) -> list[T]:
    """The files that are not the only one of what ``of`` says of them."""
    found = {file: of(file) for file in files}
    times = Counter(found.values())
    return [file for file in files if times[found[file]] > 1]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _beginning(file: Path) -> bytes:
    """The sha256 of the first 64 KiB; of nothing for a file that cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.sha256(opened.read(1 << 16)).digest()
    except OSError:
        return b""


def _tried(
    tracks: Sequence[Track], sample: int, options: PrepareOptions, progress: Callable[[int, int], object]
) -> dict[str, Outcome]:
    """What becomes of some tracks, spread over all, by id."""
    some = [tracks[i] for i in np.linspace(0, len(tracks) - 1, min(sample, len(tracks))).astype(int)]
    tried: dict[str, Outcome] = {}
    for outcome, _ in decode_apart(some, options):
        tried[outcome.id] = outcome
        progress(len(tried), len(some))
    return tried


def _dealt(
    corpus: Corpus,
    tracks: Sequence[Track],
    filtered: Sequence[Rejected],
    tried: Mapping[str, Outcome],
    options: PrepareOptions,
) -> tuple[dict[str, int], int]:
    """How many tracks each split would have, and how many genres there would be, if what was not tried is sound; no
    splits for a large corpus."""
    data = options.data
    if len(tracks) > _DEALT:
        lists = [track.genres for track in tracks]
        return {}, make_vocabulary(lists, data.min_genre_tracks, data.max_genres, data.aliases).size
    lyrics, unread = Lyrics(None, "not read"), FileState(None, None, None, None)
    outcomes = [
        tried.get(track.id) or Outcome(track.id, str(track.audio), 0, None, False, lyrics, [unread]) for track in tracks
    ]
    unknown = np.zeros((sum(outcome.reason is None for outcome in outcomes), 1), np.int8)
    chosen = selection.select(corpus, tracks, filtered, Decoded(outcomes, [], 0, unknown), data)
    return {name: len(members) for name, members in chosen.members.items()}, chosen.vocabulary.size


def _reasons(rows: Iterable[Rejected]) -> list[dict[str, Any]]:
    """The reasons by how often they occur, with some of the files."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(selection.kind(row.reason), []).append(row.file)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [{"reason": reason, "tracks": len(files), "files": files[:_EXAMPLES]} for reason, files in ranked]


def _reason_lines(reasons: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"  {entry['tracks']}: {entry['reason']} ({', '.join(map(escaped, entry['files']))})" for entry in reasons]


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _listed(counts: Mapping[str, int], most: int = 8) -> str:
    shown = [f"{name} ({count})" for name, count in list(counts.items())[:most]]
    return ", ".join(shown + [f"{len(counts) - most} more"] * (len(counts) > most)) or "none"
