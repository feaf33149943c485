"""Tracks -> cleaned lyrics and sound on disk, in chunks, by workers; a killed run goes on where it was.

Sound is a spectrogram (T, M) uint8, or a frozen encoder's outputs (S, H) float16. Axis letters: T frames, M mel bands,
S audio tokens, H the encoder's width.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipeline.audio import AudioError, load_clip, log_mel
from data_pipeline.lyrics import reading
from data_pipeline.lyrics.reading import Lyrics, LyricsError
from data_pipeline.prepare import arrays, audio_features, source_files, workers
from data_pipeline.prepare import fingerprints as audio_fingerprints
from data_pipeline.prepare.audio_features import AudioEncoding
from data_pipeline.prepare.earlier import Earlier, Known, Sounds
from data_pipeline.prepare.options import PrepareOptions, Progress, as_a_whole
from data_pipeline.prepare.source_files import FileState
from data_pipeline.prepare.workers import Executor
from data_pipeline.schema import Track
from data_pipeline.storage.files import replacing, sha256

NO_LYRICS = "no lyrics"
_CRASHED = "cannot be decoded: the decoder crashed"
_NONE = Lyrics(None, "none in the corpus")
_CHUNK = 32


class _Chunk(NamedTuple):
    """What a worker is given at once."""

    number: int
    places: tuple[int, ...]
    """The tracks' numbers among all."""
    tracks: tuple[Track, ...]
    digest: str
    """Of all that its files depend on, the states of the tracks' files among it."""
    known: Sounds | None = None
    """What an earlier data set has of these tracks' sound, or of none of them."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one track: ``reason`` is None for a decoded one, which is row ``row`` of its chunk."""

    id: str
    file: str
    row: int
    reason: str | None
    broken: bool
    lyrics: Lyrics
    sources: list[FileState]
    """Of the audio file, and of the lyrics where they are a file."""
    sound: tuple[str, ...] = ()
    """What was done with its sound."""


class Sound(NamedTuple):
    """A decoded clip: what is stored of it, and its fingerprint (D,) int8."""

    values: np.ndarray
    fingerprint: np.ndarray


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What became of the tracks.

    ``outcomes`` are in the tracks' order; ``fresh`` of them are of this call, the others of a killed one before it, or
    of an earlier data set.
    ``fingerprints`` (N, D) int8 are of the tracks without a reason, in their order.
    """

    outcomes: list[Outcome]
    chunks: list[int]
    """The number of each track's chunk."""
    fresh: int
    fingerprints: np.ndarray

    def sound(self, index: int) -> tuple[int, int]:
        """Where the sound of the track at ``index`` lies: the number of its chunk, and its row."""
        return self.chunks[index], self.outcomes[index].row

    def fingerprints_of(self, indices: Sequence[int]) -> np.ndarray:
        """The fingerprints (n, D) of some decoded tracks."""
        rows = np.cumsum([outcome.reason is None for outcome in self.outcomes]) - 1
        return self.fingerprints[rows[indices]]


def decode(
    tracks: Sequence[Track],
    work: Path,
    options: PrepareOptions,
    encoding: AudioEncoding | None,
    executor: Executor,
    progress: Progress,
    earlier: Earlier | None = None,
) -> Decoded:
    """Decode what ``work`` does not hold yet; chunks of other tracks, options or files than now are decoded anew.

    Sound that an ``earlier`` data set of the same options has is taken from there.

    ``executor`` has the workers, which must see ``work`` and the corpus; the audio encoder, where there is one, works
    in this process behind them. ``progress`` is called with the stages "look at files" and "decode".
    """
    work.mkdir(exist_ok=True)
    with as_a_whole(progress, "look at files", len(tracks)):
        chunks = _chunks(tracks, options, encoding.digest if encoding else "", earlier)
        todo = [chunk for chunk in chunks if not _is_done(work, chunk)]
    for chunk in todo:
        _forget(work, chunk.number)
    done = len(tracks) - sum(len(chunk.tracks) for chunk in todo)
    progress("decode", done, len(tracks))
    if encoding:
        for number in {chunk.number for chunk in chunks} - {chunk.number for chunk in todo}:
            audio_features.encode(arrays.file(work, number), encoding)
    for chunk in _run(todo, work, options, executor):
        if encoding:
            audio_features.encode(arrays.file(work, chunk.number), encoding)
        done += len(chunk.tracks)
        progress("decode", done, len(tracks))
    fresh = sum(len(chunk.tracks) for chunk in todo if chunk.known is None)
    return _together(chunks, work, fresh)


def _chunks(tracks: Sequence[Track], options: PrepareOptions, encoder: str, earlier: Earlier | None) -> list[_Chunk]:
    """The tracks in chunks, those whose sound an earlier data set has apart from the others."""
    known = [earlier and earlier.known(track) for track in tracks]
    groups = [[i for i, of in enumerate(known) if of is None], [i for i, of in enumerate(known) if of is not None]]
    parts = [group[first : first + _CHUNK] for group in groups for first in range(0, len(group), _CHUNK)]
    chunks = []
    for number, places in enumerate(parts):
        own, of = tuple(tracks[i] for i in places), [found for i in places if (found := known[i])]
        rows = [[track.row(), source_files.look(track)] for track in own]
        digest = sha256([rows, dataclasses.asdict(options.audio), encoder, options.data.require_lyrics, of])
        sounds = earlier.sounds(of) if earlier and of else None
        chunks.append(_Chunk(number, tuple(places), own, digest, sounds))
    return chunks


def _together(chunks: Sequence[_Chunk], work: Path, fresh: int) -> Decoded:
    """What the chunks' files hold, in the tracks' order."""
    found: list[tuple[int, int, Outcome]] = []
    fingerprints: dict[int, np.ndarray] = {}
    for chunk in chunks:
        with _outcome_file(work, chunk.number).open(encoding="utf-8") as file:
            next(file)
            found += ((i, chunk.number, _outcome(line)) for i, line in zip(chunk.places, file, strict=True))
        fingerprints[chunk.number] = np.load(_fingerprint_file(work, chunk.number))
    found.sort(key=lambda entry: entry[0])
    rows = [fingerprints[number][outcome.row] for _, number, outcome in found if outcome.reason is None]
    together = np.stack(rows) if rows else next(iter(fingerprints.values()))
    return Decoded([entry[2] for entry in found], [entry[1] for entry in found], fresh, together)


def _run(todo: Sequence[_Chunk], work: Path, options: PrepareOptions, executor: Executor) -> Iterator[_Chunk]:
    """Decodes the chunks and yields each one as soon as its files are in place."""
    decoded = set()
    job = functools.partial(_decode_chunk, work=work, options=options)
    for chunk in executor(job, todo, functools.partial(_is_done, work)):
        decoded.add(chunk.number)
        yield chunk
    # A decoder that takes its process down is found by giving it the tracks of the chunks it hit one by one.
    for chunk in todo:
        if chunk.number not in decoded:
            if not _is_done(work, chunk):
                _decode_chunk(chunk, work, options, apart=True)
            yield chunk


def _decode_chunk(chunk: _Chunk, work: Path, options: PrepareOptions, apart: bool = False) -> None:
    """Decodes one chunk to ``<number>.npy`` (n, T, M), or to waveforms for the audio encoder, and ``<number>.jsonl``,
    whose first line, the chunk's digest, marks it as done."""
    sounds: list[np.ndarray] = []
    fingerprints: list[np.ndarray] = []
    outcomes = []
    if chunk.known:
        decoded = _kept(chunk.tracks, chunk.known, options)
    elif apart:
        decoded = decode_apart(chunk.tracks, options)
    else:
        decoded = (decode_track(track, options) for track in chunk.tracks)
    for outcome, sound in decoded:
        if sound is not None:
            outcome = dataclasses.replace(outcome, row=len(sounds))
            sounds.append(sound.values)
            fingerprints.append(sound.fingerprint)
        outcomes.append(outcome)
    audio, target = options.audio, arrays.file(work, chunk.number)
    none = np.zeros((0, audio.num_frames, audio.n_mels), np.uint8)
    if audio.input != "spectrogram" and not chunk.known:
        target, none = audio_features.waveforms(target), np.zeros((0, audio.num_samples), np.float32)
    empty = audio_fingerprints.of_clip(np.zeros(audio.num_samples, np.float32), audio.sample_rate)[None][:0]
    # Two workers may be given the same chunk.
    with replacing(_fingerprint_file(work, chunk.number)) as partial, partial.open("wb") as file:
        np.save(file, np.stack(fingerprints) if fingerprints else empty, allow_pickle=False)
    with replacing(target) as partial, partial.open("wb") as file:
        np.save(file, np.stack(sounds) if sounds else none, allow_pickle=False)
    with replacing(_outcome_file(work, chunk.number)) as partial, partial.open("w", encoding="utf-8") as text:
        text.write(f"{chunk.digest}\n")
        text.writelines(json.dumps(dataclasses.asdict(outcome)) + "\n" for outcome in outcomes)


def decode_apart(tracks: Sequence[Track], options: PrepareOptions) -> Iterator[tuple[Outcome, Sound | None]]:
    """Decodes one track at a time in another process, so that a process that ends names its track."""
    rest = list(tracks)
    while rest:
        with workers.pool(1) as pool:
            while rest:
                track = rest.pop(0)
                try:
                    yield pool.submit(decode_track, track, options).result()
                except BrokenProcessPool:
                    files = source_files.look(track)
                    yield Outcome(track.id, str(track.audio), -1, _CRASHED, True, _NONE, files), None
                    break


def _kept(tracks: Sequence[Track], known: Sounds, options: PrepareOptions) -> Iterator[tuple[Outcome, Sound | None]]:
    """The tracks with their sound as an earlier data set has it; lyrics are read anew, which takes no time."""
    sounds, fingerprints = known.read()
    for track, of, values, fingerprint in zip(tracks, known.known, sounds, fingerprints, strict=True):
        yield decode_track(track, options, (of, Sound(values, fingerprint)))


def decode_track(
    track: Track, options: PrepareOptions, kept: tuple[Known, Sound] | None = None
) -> tuple[Outcome, Sound | None]:
    """One track's lyrics and spectrogram (T, M), or its waveform (samples,) for the audio encoder; or why it is left
    out. The sound may be ``kept`` from an earlier data set."""
    audio, files = str(track.audio), source_files.read(track, kept[0].sha256 if kept else "")
    try:
        lyrics = _lyrics(track)
    except LyricsError as error:
        return Outcome(track.id, str(track.lyrics_file or audio), -1, str(error), True, _NONE, files), None
    if options.data.require_lyrics and lyrics.text is None:
        return Outcome(track.id, audio, -1, NO_LYRICS, False, lyrics, files), None
    if kept:
        return Outcome(track.id, audio, 0, None, False, lyrics, files, kept[0].sound), kept[1]
    notes: set[str] = set()
    try:
        clip = load_clip(track.audio, options.audio, notes)
    except AudioError as error:
        return Outcome(track.id, audio, -1, str(error), True, lyrics, files), None
    sound = Sound(
        log_mel(clip, options.audio) if options.audio.input == "spectrogram" else clip,
        audio_fingerprints.of_clip(clip, options.audio.sample_rate),
    )
    return Outcome(track.id, audio, 0, None, False, lyrics, files, tuple(sorted(notes))), sound


def _lyrics(track: Track) -> Lyrics:
    if track.lyrics_file is not None:
        return reading.read_file(track.lyrics_file, track.language)
    return reading.read_text(track.lyrics_text) if track.lyrics_text else _NONE


def _outcome(line: str) -> Outcome:
    content = json.loads(line)
    files = [FileState(*state) for state in content["sources"]]
    read = {"lyrics": Lyrics(**content["lyrics"]), "sources": files, "sound": tuple(content["sound"])}
    return Outcome(**content | read)


def _is_done(work: Path, chunk: _Chunk) -> bool:
    try:
        with _outcome_file(work, chunk.number).open(encoding="utf-8") as file:
            return file.readline().rstrip("\n") == chunk.digest
    except FileNotFoundError:
        return False


def _forget(work: Path, number: int) -> None:
    """Removes what was made of other tracks or files; the mark of completeness first."""
    sound = arrays.file(work, number)
    for file in (_outcome_file(work, number), sound, audio_features.waveforms(sound), _fingerprint_file(work, number)):
        file.unlink(missing_ok=True)


def _outcome_file(work: Path, number: int) -> Path:
    return work / f"{number:06d}.jsonl"


def _fingerprint_file(work: Path, number: int) -> Path:
    return arrays.file(work, number).with_suffix(".fingerprints.npy")
