"""Raw corpus -> sharded data set: filter, decode, check, split, write; a killed run continues where it was.

The folder it leaves: ``dataset.json`` (written last: the mark of completeness), ``genres.json``, ``report.json``,
``quarantine.tsv``, ``tracks.tsv`` and the shards. Until then ``work/`` holds what was decoded, in chunks.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import genres as genres_module
from data_pipeline import lyrics, splits
from data_pipeline.audio import RANGE_DB, AudioError, AudioSpec, load_clip, log_mel
from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.input import FORMAT
from data_pipeline.json_file import read_json
from data_pipeline.lyric_features import Encode, LyricFeatures, padded
from data_pipeline.schema import LYRICS_INPUTS, SPLITS, Corpus, Rejected, Track

Progress = Callable[[str, int, int], None]

_CHUNK = 32
_SHARDS = "shards"
_FILES = ("dataset.json", "genres.json", "report.json", "quarantine.tsv", "tracks.tsv", "work", _SHARDS)
_CRASHED = "cannot be decoded: the decoder crashed"
_NO_LYRICS = "no lyrics"


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """What to keep, how to split it and how to analyse it.

    ``languages``: empty keeps all. ``max_genres``: 0 keeps all genres with ``min_genre_tracks`` tracks.
    ``lyrics_input``: ``tokens``, or ``features`` to store the frozen encoder's outputs with them.
    ``workers``: 0 means one per core.
    """

    languages: tuple[str, ...] = ()
    require_lyrics: bool = False
    min_genre_tracks: int = 100
    max_genres: int = 0
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    split: str = "random"
    fractions: tuple[float, ...] = (0.7, 0.1, 0.2)
    seed: int = 0
    audio: AudioSpec = dataclasses.field(default_factory=AudioSpec)
    encoder: str = "minilm"
    max_tokens: int = 512
    lyrics_input: str = "tokens"
    workers: int = 0

    def content(self) -> dict[str, Any]:
        """Everything that the data set depends on, as JSON."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "workers"}


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """What became of one track: ``reason`` is None for a decoded one, which is row ``row`` of its chunk."""

    id: str
    file: str
    row: int
    reason: str | None
    broken: bool
    text: str | None


@dataclasses.dataclass(frozen=True)
class _Kept:
    """A decoded track on its way into the shards."""

    track: Track
    text: str | None
    chunk: int
    row: int


def prepare(
    corpus: Corpus,
    out: Path,
    options: PrepareOptions,
    *,
    encode: Encode | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the data set of ``corpus`` to ``out`` and returns its report.

    ``encode`` is the lyrics encoder, wanted where ``options.lyrics_input`` is ``features``.
    ``progress(stage, done, total)`` is called with the stages "decode", "lyrics", "encode" and "write". A complete
    data set of the same corpus and options is left alone. Raises InputError in one sentence for whatever stands in
    the way.
    """
    out = Path(out)
    try:
        return _prepare(corpus, out, options, encode, progress or (lambda stage, done, total: None))
    except OSError as error:
        raise InputError(f"The data set cannot be written to {out}: {error.strerror or error}.") from error


def _prepare(
    corpus: Corpus, out: Path, options: PrepareOptions, encode: Encode | None, progress: Progress
) -> dict[str, Any]:
    if options.lyrics_input not in LYRICS_INPUTS or (encode is None) != (options.lyrics_input == "tokens"):
        raise ValueError(f"lyrics_input {options.lyrics_input!r} and encode do not fit each other")
    started = time.monotonic()
    digest = _digest(corpus, options)
    complete = _claim(out, digest)
    if complete is not None:
        return complete
    if options.split not in splits.KINDS:
        raise InputError(f"The split must be one of {', '.join(splits.KINDS)}, not {options.split!r}.")
    encoder = lyrics.locate_encoder(options.encoder)
    tokenizer = lyrics.LyricsTokenizer(encoder, options.max_tokens)

    candidates, filtered = _filter(corpus, options)
    quarantine = [*corpus.rejected]
    decoding = time.monotonic()
    outcomes, decoded_now = _decode(candidates, out / "work", options, progress)
    decode_seconds = time.monotonic() - decoding
    kept: list[_Kept] = []
    for i, (track, outcome) in enumerate(zip(candidates, outcomes, strict=True)):
        if outcome.reason is None:
            kept.append(_Kept(track, outcome.text, i // _CHUNK, outcome.row))
        else:
            (quarantine if outcome.broken else filtered).append(Rejected(track.id, outcome.file, outcome.reason))
    if not kept:
        raise InputError(_nothing_left(quarantine, filtered))

    vocabulary = genres_module.build(
        [item.track.genres for item in kept], options.min_genre_tracks, options.max_genres, options.aliases
    )
    labelled = [item for item in kept if vocabulary.encode(item.track.genres).any()]
    without = {id(item) for item in labelled}
    filtered += [
        Rejected(item.track.id, str(item.track.audio), _rare(options)) for item in kept if id(item) not in without
    ]
    sides = splits.assign(
        [item.track.id for item in labelled],
        [item.track.artist for item in labelled],
        vocabulary.encode_all([item.track.genres for item in labelled]),
        kind=options.split,
        fractions=options.fractions,
        seed=options.seed,
    )
    members = {name: [item for item, side in zip(labelled, sides, strict=True) if side == name] for name in SPLITS}
    vocabulary = vocabulary.with_statistics([item.track.genres for item in members["train"]])

    tokens = {name: _tokenise(members[name], tokenizer, progress) for name in SPLITS}
    features = None
    if encode:
        everyones = [ids for name in SPLITS for ids in tokens[name]]
        features = LyricFeatures(
            out / "work" / "features",
            everyones,
            options.max_tokens,
            encode,
            identity=lyrics.encoder_digest(encoder),
            progress=functools.partial(progress, "encode"),
        )
    writing = time.monotonic()
    shards = _write_shards(out, members, tokens, vocabulary, options, features, progress)
    write_seconds = time.monotonic() - writing

    vocabulary.save(out / "genres.json")
    _write_tsv(
        out / "quarantine.tsv", ["id", "file", "reason"], [dataclasses.astuple(r) for r in quarantine + filtered]
    )
    _write_tsv(
        out / "tracks.tsv",
        ["split", "index", "id", "artist", "title", "audio", "tokens"],
        [
            (
                *(name, i, item.track.id, item.track.artist or "", item.track.title or ""),
                *(str(item.track.audio), len(tokens[name][i])),
            )
            for name in SPLITS
            for i, item in enumerate(members[name])
        ],
    )
    report = _report(corpus, quarantine, filtered, members, tokens, vocabulary, options)
    report["timing"] = {
        "decode_s": round(decode_seconds, 3),
        "write_s": round(write_seconds, 3),
        "total_s": round(time.monotonic() - started, 3),
        "tracks_decoded": decoded_now,
        "decoded_tracks_per_s": round(decoded_now / max(decode_seconds, 1e-9), 2),
    }
    report["tracks_per_second"] = round(decoded_now / max(time.monotonic() - started, 1e-9), 2)
    _write_json(out / "report.json", report)
    meta = {
        "format": FORMAT,
        "audio": dataclasses.asdict(options.audio),
        "reference": "clip maximum",
        "range_db": RANGE_DB,
        "lyrics": {
            "encoder": options.encoder,
            "sha256": lyrics.encoder_digest(encoder),
            "max_tokens": options.max_tokens,
            "input": options.lyrics_input,
            "width": features.width if features else 0,
        },
        "num_genres": vocabulary.size,
        "split_kind": options.split,
        "split_seed": options.seed,
        "splits": {name: len(members[name]) for name in SPLITS},
        "shards": shards,
        "options": options.content(),
        "digest": digest,
    }
    _write_json(out / "dataset.json", meta)
    shutil.rmtree(out / "work", ignore_errors=True)
    return report


def _claim(out: Path, digest: str) -> dict[str, Any] | None:
    """Makes or checks the folder; returns the report of a complete data set with this digest, else None."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name.removesuffix(".partial") not in _FILES)
    if foreign:
        raise InputError(f"{out} already holds other files ({foreign[0]}); choose an empty folder as --out.")
    if not os.access(out, os.W_OK | os.X_OK):
        raise InputError(f"{out} cannot be written to; choose another --out.")
    if not (out / "dataset.json").exists():
        return None
    try:
        meta, report = read_json(out / "dataset.json"), read_json(out / "report.json")
        same = meta["digest"] == digest
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise InputError(f"The data set in {out} is broken; delete it or choose another --out.") from error
    if not same:
        raise InputError(
            f"{out} holds a data set of another corpus or with other options; delete it or choose another --out."
        )
    shutil.rmtree(out / "work", ignore_errors=True)
    return report


def _digest(corpus: Corpus, options: PrepareOptions) -> str:
    """A sha256 over the corpus's tables and the options (files are named, not read)."""
    return _sha256([options.content(), [_row(track) for track in corpus.tracks], [r.id for r in corpus.rejected]])


def _row(track: Track) -> list[Any]:
    return [str(v) if isinstance(v, Path) else v for v in dataclasses.astuple(track)]


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _filter(corpus: Corpus, options: PrepareOptions) -> tuple[list[Track], list[Rejected]]:
    """The tracks worth decoding, by the tables alone, and the others with the reason."""
    languages = {language.casefold() for language in options.languages}
    filtered: list[Rejected] = []
    passed: list[Track] = []
    seen: set[str] = set()
    for track in corpus.tracks:
        reason = None
        if track.id in seen:
            reason = "the id occurs twice"
        elif languages and (track.language or "").casefold() not in languages:
            reason = f"language {track.language or 'unknown'} is not among {', '.join(options.languages)}"
        elif options.require_lyrics and track.lyrics_file is None and not lyrics.clean(track.lyrics_text):
            reason = _NO_LYRICS
        elif not track.genres:
            reason = "no genre"
        seen.add(track.id)
        if reason is None:
            passed.append(track)
        else:
            filtered.append(Rejected(track.id, str(track.audio), reason))
    if not passed:
        raise InputError(_nothing_left(corpus.rejected, filtered))
    # Counts only fall from here on, so a track without a frequent genre can be spared the decoding.
    frequent = genres_module.build([track.genres for track in passed], options.min_genre_tracks, 0, options.aliases)
    candidates = []
    for track in passed:
        if frequent.encode(track.genres).any():
            candidates.append(track)
        else:
            filtered.append(Rejected(track.id, str(track.audio), _rare(options)))
    return candidates, filtered


def _rare(options: PrepareOptions) -> str:
    among = f" among the {options.max_genres} most frequent" if options.max_genres else ""
    return f"no genre with at least {options.min_genre_tracks} tracks{among}"


def _nothing_left(rejected: Sequence[Rejected], filtered: Sequence[Rejected]) -> str:
    reasons = Counter(_kind(r.reason) for r in (*rejected, *filtered))
    if not reasons:
        return "The corpus has no tracks; check --source."
    reason, count = reasons.most_common(1)[0]
    return f"No track is left: {count} of {reasons.total()} were left out because: {reason}."


def _kind(reason: str) -> str:
    """A reason without its details, for counting."""
    return reason.split(":")[0]


def _decode(tracks: list[Track], work: Path, options: PrepareOptions, progress: Progress) -> tuple[list[_Outcome], int]:
    """The outcome of every track, and how many were decoded by this call rather than by a killed one before it."""
    plan = _sha256([[_row(t) for t in tracks], dataclasses.asdict(options.audio), options.require_lyrics, _CHUNK])
    plan_file = work / "plan"
    if not plan_file.is_file() or plan_file.read_text(encoding="ascii") != plan:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        plan_file.write_text(plan, encoding="ascii")
    chunks = [tracks[first : first + _CHUNK] for first in range(0, len(tracks), _CHUNK)]
    open_chunks = [i for i in range(len(chunks)) if not _outcome_file(work, i).is_file()]
    remaining = sum(len(chunks[i]) for i in open_chunks)
    done = len(tracks) - remaining
    progress("decode", done, len(tracks))
    for i in _run(chunks, open_chunks, work, options):
        done += len(chunks[i])
        progress("decode", done, len(tracks))
    outcomes = []
    for i in range(len(chunks)):
        with _outcome_file(work, i).open(encoding="utf-8") as file:
            outcomes += [_Outcome(**json.loads(line)) for line in file]
    return outcomes, remaining


def _run(chunks: list[list[Track]], todo: list[int], work: Path, options: PrepareOptions) -> Iterator[int]:
    """Decodes the chunks ``todo`` and yields each one's number as soon as its files are in place."""
    workers = min(options.workers or os.cpu_count() or 1, len(todo))
    if workers <= 1:
        for i in todo:
            _decode_chunk(i, chunks[i], work, options)
            yield i
        return
    crashed: list[int] = []
    with _pool(workers) as pool:
        futures = {}
        try:
            for i in todo:
                try:
                    futures[pool.submit(_decode_chunk, i, chunks[i], work, options)] = i
                except BrokenProcessPool:
                    crashed.append(i)
            for future in concurrent.futures.as_completed(futures):
                try:
                    future.result()
                except BrokenProcessPool:
                    crashed.append(futures[future])
                else:
                    yield futures[future]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if crashed:
        _check_pool()
    # A decoder that takes its process down is found by giving it the tracks of the chunks it hit one by one.
    for i in sorted(crashed):
        if not _outcome_file(work, i).is_file():
            _decode_chunk(i, chunks[i], work, options, apart=True)
        yield i


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Fresh processes with one numerical thread each, that end when this process ends."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _check_pool() -> None:
    """Raises InputError when it is not the music that ends the worker processes."""
    try:
        with _pool(1) as pool:
            pool.submit(int).result()
    except BrokenProcessPool as error:
        raise InputError(
            "Worker processes cannot be started; guard your script with if __name__ == '__main__' or use workers=1."
        ) from error


def _end_with_parent() -> None:
    """Ends this worker when the process that started it was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _decode_chunk(number: int, tracks: list[Track], work: Path, options: PrepareOptions, apart: bool = False) -> None:
    """Decodes one chunk to ``<number>.npy`` (n, T, M) and ``<number>.jsonl``; the latter marks it as done."""
    spectrograms: list[np.ndarray] = []
    outcomes = []
    decoded = _decode_apart(tracks, options) if apart else (_decode_track(track, options) for track in tracks)
    for outcome, spectrogram in decoded:
        if spectrogram is not None:
            outcome = dataclasses.replace(outcome, row=len(spectrograms))
            spectrograms.append(spectrogram)
        outcomes.append(outcome)
    shape = (0, options.audio.num_frames, options.audio.n_mels)
    partial = work / f"{number:06d}.partial"
    with partial.open("wb") as file:
        np.save(file, np.stack(spectrograms) if spectrograms else np.zeros(shape, np.uint8), allow_pickle=False)
    partial.replace(_spectrogram_file(work, number))
    with partial.open("w", encoding="utf-8") as text:
        text.writelines(json.dumps(dataclasses.asdict(outcome)) + "\n" for outcome in outcomes)
    partial.replace(_outcome_file(work, number))


def _decode_apart(tracks: list[Track], options: PrepareOptions) -> Iterator[tuple[_Outcome, np.ndarray | None]]:
    """Decodes one track at a time in another process, so that a process that ends names its track."""
    rest = list(tracks)
    while rest:
        with _pool(1) as pool:
            while rest:
                track = rest.pop(0)
                try:
                    yield pool.submit(_decode_track, track, options).result()
                except BrokenProcessPool:
                    yield _Outcome(track.id, str(track.audio), -1, _CRASHED, True, None), None
                    break


def _decode_track(track: Track, options: PrepareOptions) -> tuple[_Outcome, np.ndarray | None]:
    """One track's lyrics and spectrogram (T, M), or why it is left out."""
    try:
        if track.lyrics_file is not None:
            text = lyrics.read_lyrics_file(track.lyrics_file)
        else:
            text = lyrics.read_lyrics_text(track.lyrics_text or "")
    except lyrics.LyricsError as error:
        return _Outcome(track.id, str(track.lyrics_file or track.audio), -1, str(error), True, None), None
    audio = str(track.audio)
    if options.require_lyrics and text is None:
        return _Outcome(track.id, audio, -1, _NO_LYRICS, False, None), None
    try:
        spectrogram = log_mel(load_clip(track.audio, options.audio), options.audio)
    except AudioError as error:
        return _Outcome(track.id, audio, -1, str(error), True, None), None
    return _Outcome(track.id, audio, 0, None, False, text), spectrogram


def _spectrogram_file(work: Path, number: int) -> Path:
    return work / f"{number:06d}.npy"


def _outcome_file(work: Path, number: int) -> Path:
    return work / f"{number:06d}.jsonl"


def _tokenise(items: list[_Kept], tokenizer: lyrics.LyricsTokenizer, progress: Progress) -> list[np.ndarray]:
    """The word pieces of every track, none for a track without lyrics."""
    tokens = [np.zeros(0, np.uint16)] * len(items)
    places = [i for i, item in enumerate(items) if item.text is not None]
    for first in range(0, len(places), 512):
        part = places[first : first + 512]
        for i, ids in zip(part, tokenizer.encode_batch([items[i].text or "" for i in part]), strict=True):
            tokens[i] = ids
        progress("lyrics", first + len(part), len(places))
    return tokens


def _write_shards(
    out: Path,
    members: Mapping[str, list[_Kept]],
    tokens: Mapping[str, list[np.ndarray]],
    vocabulary: GenreVocabulary,
    options: PrepareOptions,
    features: LyricFeatures | None,
    progress: Progress,
) -> dict[str, list[dict[str, Any]]]:
    """Writes all splits; ``features`` are in the splits' order."""
    from data_pipeline import builder  # TensorFlow is imported here and not before, and in no worker

    sizes = [len(members[name]) for name in SPLITS]
    total = sum(sizes)
    first = dict(zip(SPLITS, itertools.accumulate(sizes[:-1], initial=0), strict=True))
    chunks: dict[int, np.ndarray] = {}
    written = 0

    def examples(name: str) -> Iterator[dict[str, Any]]:
        nonlocal written
        for i, item in enumerate(members[name]):
            if item.chunk not in chunks:
                if len(chunks) >= 256:
                    chunks.clear()
                chunks[item.chunk] = np.load(_spectrogram_file(out / "work", item.chunk), mmap_mode="r")
            yield {
                "spectrogram": np.array(chunks[item.chunk][item.row]),
                "tokens": padded([tokens[name][i]], options.max_tokens)[0][0],
                **({"lyrics_features": features[first[name] + i]} if features else {}),
                "num_tokens": len(tokens[name][i]),
                "labels": vocabulary.encode(item.track.genres),
                "index": i,
                "id": item.track.id,
            }
            written += 1
            progress("write", written, total)

    width = features.width if features else 0
    shutil.rmtree(out / _SHARDS, ignore_errors=True)
    shards = builder.write(
        out / _SHARDS,
        shape=builder.Shape(options.audio.num_frames, options.audio.n_mels, options.max_tokens, vocabulary.size, width),
        splits={name: (len(members[name]), examples(name)) for name in SPLITS},
    )
    for files in shards.values():
        for shard in files:
            shard["file"] = f"{_SHARDS}/{shard['file']}"
    return shards


def _report(
    corpus: Corpus,
    quarantine: Sequence[Rejected],
    filtered: Sequence[Rejected],
    members: Mapping[str, list[_Kept]],
    tokens: Mapping[str, list[np.ndarray]],
    vocabulary: GenreVocabulary,
    options: PrepareOptions,
) -> dict[str, Any]:
    """The counts that ``report.json`` holds."""
    labels = {name: vocabulary.encode_all([item.track.genres for item in members[name]]) for name in SPLITS}
    per_track = np.concatenate([part.sum(axis=1) for part in labels.values()])
    lengths = np.array([len(ids) for part in tokens.values() for ids in part])
    sung = lengths[lengths > 0]
    return {
        "tracks_read": len(corpus.tracks) + len(corpus.rejected),
        "tracks_kept": len(per_track),
        "splits": {name: len(members[name]) for name in SPLITS},
        "split_kind": options.split,
        "rejected": dict(Counter(_kind(r.reason) for r in quarantine).most_common()),
        "filtered": dict(Counter(r.reason for r in filtered).most_common()),
        "labels": {
            "genres": vocabulary.size,
            "cardinality": round(float(per_track.mean()), 4),
            "distribution": {str(n): int((per_track == n).sum()) for n in np.unique(per_track)},
        },
        "lyrics": {
            "with": len(sung),
            "without": len(lengths) - len(sung),
            "coverage": round(len(sung) / len(lengths), 4),
            "median_tokens": float(np.median(sung)) if len(sung) else 0.0,
            "at_max_tokens": int((lengths == options.max_tokens).sum()),
        },
        "artists": {name: len({item.track.artist for item in members[name]} - {None}) for name in SPLITS},
        "genres": [
            {"genre": genre} | {name: int(labels[name][:, g].sum()) for name in SPLITS}
            for g, genre in enumerate(vocabulary.names)
        ],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _write_tsv(path: Path, header: list[str], rows: Sequence[Sequence[Any]]) -> None:
    """Tab-separated lines; control characters inside a field become spaces."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in (header, *rows):
            cells = ("".join(c if c.isprintable() else " " for c in str(cell)) for cell in row)
            file.write("\t".join(cells) + "\n")
