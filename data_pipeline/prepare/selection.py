"""Which tracks of a corpus become examples, in which split, and why the others do not: small decisions, no decoding."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipeline import genres
from data_pipeline.errors import InputError
from data_pipeline.genre_names import normalise
from data_pipeline.genres import GenreVocabulary
from data_pipeline.lyrics.reading import Lyrics
from data_pipeline.prepare import duplicates, splits
from data_pipeline.prepare.decode import NO_LYRICS, Decoded
from data_pipeline.prepare.options import DataConfig, Progress, as_a_whole
from data_pipeline.schema import SPLITS, Corpus, Rejected, Track

COPY = "a copy"
_NO_GENRE_OF_ITS_OWN = "a genre that names none"


@dataclasses.dataclass(frozen=True)
class DecodedTrack:
    """A decoded track on its way into the shards; ``index`` is its own among the candidates."""

    track: Track
    lyrics: Lyrics
    index: int


@dataclasses.dataclass(frozen=True)
class Selection:
    """The examples of every split, their genres with the training split's statistics, and what was left out.

    ``quarantine`` is broken, ``filtered`` is not wanted.
    """

    vocabulary: GenreVocabulary
    members: Mapping[str, Sequence[DecodedTrack]]
    quarantine: tuple[Rejected, ...]
    filtered: tuple[Rejected, ...]
    copies: tuple[tuple[str, ...], ...]
    """The ids of tracks that are one recording, where there are several."""


def candidates(corpus: Corpus, wanted: DataConfig) -> tuple[list[Track], list[Rejected]]:
    """The tracks worth decoding, by the tables alone, and the others with the reason."""
    languages = {language.casefold() for language in wanted.languages}
    filtered: list[Rejected] = []
    passed: list[Track] = []
    seen: set[str] = set()
    for track in corpus.tracks:
        reason = None
        if track.id in seen:
            reason = "the id occurs twice"
        elif languages and (track.language or "").casefold() not in languages:
            reason = f"language {track.language or 'unknown'} is not among {', '.join(wanted.languages)}"
        elif wanted.require_lyrics and not (track.lyrics_file or track.lyrics_text):
            reason = NO_LYRICS
        elif not track.genres:
            reason = "no genre"
        elif len(genres.catch_alls(track.genres, wanted.aliases)) == len({*map(normalise, track.genres)}):
            reason = f"{_NO_GENRE_OF_ITS_OWN}: {', '.join(track.genres)}"
        seen.add(track.id)
        if reason is None:
            passed.append(track)
        else:
            filtered.append(Rejected(track.id, str(track.audio), reason))
    if not passed:
        raise InputError(_nothing_left(corpus.rejected, filtered))
    # Counts only fall from here on, so a track without a frequent genre can be spared the decoding.
    frequent = genres.make_vocabulary([track.genres for track in passed], wanted.min_genre_tracks, 0, wanted.aliases)
    worth: list[Track] = []
    for track in passed:
        if frequent.encode(track.genres).any():
            worth.append(track)
        else:
            filtered.append(Rejected(track.id, str(track.audio), _rare(wanted)))
    return worth, filtered


def select(
    corpus: Corpus,
    tracks: Sequence[Track],
    filtered: Sequence[Rejected],
    decoded: Decoded,
    wanted: DataConfig,
    progress: Progress = lambda stage, done, total: None,
) -> Selection:
    """What ``candidates`` gave, after it was decoded; ``progress`` is called with "find copies" and "split".

    Raises:
        InputError: no track or no genre is left, or a split would be empty.
    """
    quarantine, filtered = [*corpus.rejected], [*filtered]
    kept: list[DecodedTrack] = []
    for index, (track, outcome) in enumerate(zip(tracks, decoded.outcomes, strict=True)):
        if outcome.reason is None:
            kept.append(DecodedTrack(track, outcome.lyrics, index))
        else:
            (quarantine if outcome.broken else filtered).append(Rejected(track.id, outcome.file, outcome.reason))
    if not kept:
        raise InputError(_nothing_left(quarantine, filtered))
    contents = [decoded.outcomes[item.index].sources[0].sha256 or item.track.id for item in kept]
    with as_a_whole(progress, "find copies", len(kept)):
        recordings = duplicates.find(contents, decoded.fingerprints)
    alike: dict[int, list[DecodedTrack]] = {}
    for item, recording in zip(kept, recordings.tolist(), strict=True):
        alike.setdefault(recording, []).append(item)
    copies = tuple(tuple(item.track.id for item in items) for items in alike.values() if len(items) > 1)
    if wanted.duplicates == "drop":
        kept = [items[0] for items in alike.values()]
        for first, *others in alike.values():
            filtered += [Rejected(x.track.id, str(x.track.audio), f"{COPY}: of {first.track.id}") for x in others]
    if wanted.duplicates != "group":
        recordings = np.arange(len(kept))
    vocabulary = genres.make_vocabulary(
        [item.track.genres for item in kept], wanted.min_genre_tracks, wanted.max_genres, wanted.aliases
    )
    labelled, together = [], []
    for item, recording in zip(kept, recordings, strict=True):
        if vocabulary.encode(item.track.genres).any():
            labelled.append(item)
            together.append(recording)
        else:
            filtered.append(Rejected(item.track.id, str(item.track.audio), _rare(wanted)))
    with as_a_whole(progress, "split", len(labelled)):
        sides = splits.assign(
            [item.track.id for item in labelled],
            [item.track.artist for item in labelled],
            vocabulary.encode_all([item.track.genres for item in labelled]),
            kind=wanted.split,
            fractions=wanted.fractions,
            seed=wanted.split_seed,
            recordings=np.array(together),
        )
    members = {name: [item for item, side in zip(labelled, sides, strict=True) if side == name] for name in SPLITS}
    vocabulary = vocabulary.with_statistics([item.track.genres for item in members["train"]])
    return Selection(vocabulary, members, tuple(quarantine), tuple(filtered), copies)


def _rare(wanted: DataConfig) -> str:
    among = f" among the {wanted.max_genres} most frequent" if wanted.max_genres else ""
    return f"no genre with at least {wanted.min_genre_tracks} tracks{among}"


def _nothing_left(rejected: Sequence[Rejected], filtered: Sequence[Rejected]) -> str:
    reasons = Counter(kind(r.reason) for r in (*rejected, *filtered))
    if not reasons:
        return "The corpus has no tracks; check --source."
    reason, count = reasons.most_common(1)[0]
    return f"No track is left: {count} of {reasons.total()} were left out because: {reason}."


def kind(reason: str) -> str:
    """A reason without its details, for counting."""
    return reason.split(":")[0]
