"""Raw corpus -> sharded data set: filter, decode, check, split, write; a killed run continues where it was.

The folder it leaves: ``dataset.json`` (written last: the mark of completeness), ``genres.json``, ``report.json``,
``quarantine.tsv``, ``tracks.tsv``, ``sources.json`` (the states of the files that it was made from),
``fingerprints.npy`` of the examples' sound, and the shards. Until then ``work/`` holds what was decoded, in chunks.
Where a finished one is renewed, that happens in a folder beside it, which takes its place when all is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import extras
from data_pipeline.audio import RANGE_DB
from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import encoder_digest, locate_encoder
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from data_pipeline.prepare import earlier, examples, finished, room, selection, source_files
from data_pipeline.prepare import report as reports
from data_pipeline.prepare.audio_features import AudioEncoding
from data_pipeline.prepare.decode import Decoded, decode
from data_pipeline.prepare.earlier import Earlier
from data_pipeline.prepare.examples import Examples
from data_pipeline.prepare.finished import Finished
from data_pipeline.prepare.lyric_features import Encode, LyricFeatures, padded
from data_pipeline.prepare.options import PrepareOptions, Progress, as_a_whole
from data_pipeline.prepare.selection import DecodedTrack, Selection
from data_pipeline.prepare.shards import Part, Shape
from data_pipeline.prepare.workers import Executor, Processes
from data_pipeline.reading.prepared_data import FORMAT
from data_pipeline.schema import AUDIO, SPLITS, Corpus
from data_pipeline.storage import bucket
from data_pipeline.storage.alone import alone
from data_pipeline.storage.bucket import Bucket
from data_pipeline.storage.exchange import exchange
from data_pipeline.storage.files import final_name, sha256_of_rows, write_tsv, written_whole
from data_pipeline.storage.json_file import read_json, write_json

_SHARDS = "shards"
_LOCK = "lock"
_FILES = (
    _LOCK,
    "dataset.json",
    "genres.json",
    "report.json",
    "quarantine.tsv",
    "tracks.tsv",
    source_files.NAME,
    earlier.FINGERPRINTS,
    "work",
    _SHARDS,
)


def prepare(
    corpus: Corpus,
    out: str | Path,
    options: PrepareOptions,
    *,
    encode: Encode | None = None,
    audio_encoding: AudioEncoding | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """Writes the data set of ``corpus`` to ``out``, a folder or an address like ``gs://bucket/folder``.

    ``encode`` is the lyrics encoder, wanted where ``options.lyrics.input`` is ``features``; ``audio_encoding`` is the
    audio encoder, wanted where ``options.audio.input`` is.
    ``executor`` has the workers: without it, processes of this machine.
    ``progress(stage, done, total)`` is called with the stages "filter", "look at files", "decode", "find copies",
    "split", "lyrics", "encode", "write", "count", "clean up" and "upload". A
    complete data set of the same corpus, files and options is left alone. Of one whose tables or files changed since,
    only these are decoded anew; it stays whole until the new one takes its place, which is the same as one made from
    nothing. ``tell`` is called with a sentence about either. Returns the data set's report. Raises InputError in one
    sentence for whatever stands in the way.
    """
    extras.check("Preparing a data set", "train")
    progress = progress or (lambda stage, done, total: None)
    if bucket.is_address(out):
        return _prepare_for_bucket(corpus, Bucket(str(out)), options, encode, audio_encoding, executor, progress, tell)
    out = Path(out)
    try:
        return _prepare(corpus, out, options, encode, audio_encoding, executor, progress, tell)
    except OSError as error:
        raise InputError(f"The data set cannot be written to {out}: {error.strerror or error}.") from error


def _prepare_for_bucket(
    corpus: Corpus,
    target: Bucket,
    options: PrepareOptions,
    encode: Encode | None,
    audio_encoding: AudioEncoding | None,
    executor: Executor | None,
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    names = target.names()
    _check_own(target.address, names)
    there = finished.look(target.address, names, target.read_text, corpus, options)
    if there and there.changes:
        raise InputError(f"{there.news(target.address)}; delete it, or choose another --out.")
    if there:
        report = there.report
        tell(_nothing_done(target.address))
    else:
        target.check_writable()
        folder = target.staging()
        report = prepare(
            corpus, folder, options, encode=encode, audio_encoding=audio_encoding, executor=executor, progress=progress
        )
        target.upload(folder, functools.partial(progress, "upload"))
        shutil.rmtree(folder, ignore_errors=True)
    return report


def _prepare(
    corpus: Corpus,
    out: Path,
    options: PrepareOptions,
    encode: Encode | None,
    audio_encoding: AudioEncoding | None,
    executor: Executor | None,
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    if (encode is None) != (options.lyrics.input == "tokens"):
        raise ValueError(f"lyrics.input {options.lyrics.input!r} and encode do not fit each other")
    if (audio_encoding is None) != (options.audio.input == "spectrogram"):
        raise ValueError(f"audio.input {options.audio.input!r} and audio_encoding do not fit each other")
    there = _claim(out, corpus, options)
    if there and not there.changes:
        _remove_rest(out)
        tell(_nothing_done(str(out)))
        return there.report
    with alone(out / _LOCK, f"{out} is being prepared by another process; wait for it, or give another --out."):
        there = _claim(out, corpus, options)  # of another process that ended meanwhile
        make = functools.partial(
            _make,
            corpus,
            options=options,
            encode=encode,
            audio_encoding=audio_encoding,
            executor=executor,
            progress=progress,
        )
        if there is None:
            report = make(out)
        elif there.changes is None:
            report = there.report
        else:
            tell(f"{there.news(str(out))}: what did not change is taken from it")
            report = _renew(out.resolve(), there, corpus, options, audio_encoding, make)
        with contextlib.suppress(OSError):  # whoever opened it already will find a complete data set
            (out / _LOCK).unlink()
        return report


def _renew(
    out: Path,
    there: Finished,
    corpus: Corpus,
    options: PrepareOptions,
    audio_encoding: AudioEncoding | None,
    make: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """Makes the data set beside the finished one, with what it has, and gives it its place."""
    beside = _beside(out)
    beside.mkdir(exist_ok=True)
    _check_own(str(beside), [entry.name for entry in beside.iterdir()])
    try:
        new = _look(beside, corpus, options)
    except InputError:  # of other tracks or options, or the old one of a renewal that was killed behind the exchange
        shutil.rmtree(beside)
        beside.mkdir()
        new = None
    if new is None or new.changes:
        (beside / "dataset.json").unlink(missing_ok=True)
        lyrics_encoder = encoder_digest(locate_encoder(options.lyrics.encoder))
        audio_encoder = audio_encoding.digest if audio_encoding else ""
        make(beside, known=Earlier(out, there.sources, audio_encoder, lyrics_encoder))
    shutil.copymode(out, beside)
    exchange(beside, out)
    shutil.rmtree(beside, ignore_errors=True)
    return read_json(out / "report.json")


def _beside(out: Path) -> Path:
    """Where a finished data set is renewed: on the same disk."""
    return out.with_name(f".{out.name}.renewed")


def _remove_rest(out: Path) -> None:
    """Removes what a killed preparation left of a data set that is complete."""
    shutil.rmtree(out / "work", ignore_errors=True)
    beside = _beside(out.resolve())
    if beside.is_dir() and all(final_name(entry.name) in _FILES for entry in beside.iterdir()):
        shutil.rmtree(beside, ignore_errors=True)


def _make(
    corpus: Corpus,
    out: Path,
    *,
    options: PrepareOptions,
    encode: Encode | None,
    audio_encoding: AudioEncoding | None,
    executor: Executor | None,
    progress: Progress,
    known: Earlier | None = None,
) -> dict[str, Any]:
    started = time.monotonic()
    for rest in out.glob("*.partial"):  # of a run that was killed
        rest.unlink(missing_ok=True)
    encoder = locate_encoder(options.lyrics.encoder)
    tokenizer = LyricsTokenizer(encoder, options.lyrics.max_tokens)

    audio = options.audio
    audio_shape = audio_encoding[1:3] if audio_encoding else (audio.num_frames, audio.n_mels)
    with as_a_whole(progress, "filter", len(corpus.tracks)):
        tracks, filtered = selection.candidates(corpus, options.data)
    room.check(out, out / "work", len(tracks), Shape(audio.input, audio_shape, 0, 0, 0).bytes)
    decoding = time.monotonic()
    workers = executor or Processes(options.workers)
    decoded = decode(tracks, out / "work", options, audio_encoding, workers, progress, known)
    decode_seconds = time.monotonic() - decoding
    chosen = selection.select(corpus, tracks, filtered, decoded, options.data, progress)

    members = [item for name in SPLITS for item in chosen.members[name]]
    tokens = {name: _tokenise(chosen.members[name], tokenizer, progress) for name in SPLITS}
    features = None
    if encode:
        features = LyricFeatures(
            out / "work" / "features",
            [ids for name in SPLITS for ids in tokens[name]],
            options.lyrics.max_tokens,
            encode,
            identity=f"{encoder_digest(encoder)} {options.lyrics.window}",
            progress=functools.partial(progress, "encode"),
            earlier=known.lyrics([item.track for item in members]) if known else None,
        )
    writing = time.monotonic()
    shards = _write_shards(
        out, chosen, decoded, tokens, options, features, audio_shape, executor or Processes(1), progress
    )
    write_seconds = time.monotonic() - writing

    with as_a_whole(progress, "count", len(members)):
        content = _content(members, decoded, options)
        dataclasses.replace(chosen.vocabulary, data_sha256=content).save(out / "genres.json")
        left_out = [dataclasses.astuple(rejected) for rejected in (*chosen.quarantine, *chosen.filtered)]
        write_tsv(out / "quarantine.tsv", ["id", "file", "reason"], left_out)
        _write_tracks(out / "tracks.tsv", chosen, decoded, tokens)
        with written_whole(out / earlier.FINGERPRINTS) as file:
            np.save(file, decoded.fingerprints_of([item.index for item in members]), allow_pickle=False)
        report = reports.counts(corpus, chosen, tokens, options)
        report["sound"] = reports.sound(decoded.outcomes)
        report["timing"] = {
            "decode_s": round(decode_seconds, 3),
            "write_s": round(write_seconds, 3),
            "total_s": round(time.monotonic() - started, 3),
            "tracks_decoded": decoded.fresh,
            "decoded_tracks_per_s": round(decoded.fresh / max(decode_seconds, 1e-9), 2),
        }
        report["tracks_per_second"] = round(decoded.fresh / max(time.monotonic() - started, 1e-9), 2)
        write_json(out / "report.json", report)
        meta = {
            "format": FORMAT,
            "audio": dataclasses.asdict(audio),
            "audio_encoder": audio_encoding and audio_encoding.to_json(),
            "reference": "clip maximum",
            "range_db": RANGE_DB,
            "lyrics": {
                "encoder": options.lyrics.encoder,
                "sha256": encoder_digest(encoder),
                "max_tokens": options.lyrics.max_tokens,
                "window": options.lyrics.window,
                "dtype": tokenizer.dtype.name,
                "input": options.lyrics.input,
                "width": features.width if features else 0,
            },
            "source": corpus.source,
            "num_genres": chosen.vocabulary.size,
            "splits": {name: len(chosen.members[name]) for name in SPLITS},
            "shards": shards,
            "options": options.content(),
            "digest": finished.digest(corpus, options),
            "data_sha256": content,
        }
        sources = source_files.sources(corpus, {outcome.id: outcome.sources for outcome in decoded.outcomes})
        write_json(out / source_files.NAME, sources, indent=None)
        write_json(out / "dataset.json", meta)
    with as_a_whole(progress, "clean up", len(tracks)):
        shutil.rmtree(out / "work", ignore_errors=True)
    return report


def _claim(out: Path, corpus: Corpus, options: PrepareOptions) -> Finished | None:
    """Makes or checks the folder; returns the complete data set that is in it, else None."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    there = _look(out, corpus, options)
    if (there is None or there.changes) and not os.access(out, os.W_OK | os.X_OK):
        raise InputError(f"{out} cannot be written to; choose another --out.")
    return there


def _look(folder: Path, corpus: Corpus, options: PrepareOptions) -> Finished | None:
    names = [entry.name for entry in folder.iterdir()]
    _check_own(str(folder), names)
    return finished.look(str(folder), names, lambda name: (folder / name).read_text(encoding="utf-8"), corpus, options)


def _check_own(where: str, names: Sequence[str]) -> None:
    foreign = sorted(name for name in names if final_name(name) not in _FILES)
    if foreign:
        raise InputError(f"{where} already holds other files ({foreign[0]}); choose an empty folder as --out.")


def _nothing_done(where: str) -> str:
    return f"{where} holds this data set already, and its source files have not changed: nothing was done"


def _content(members: Sequence[DecodedTrack], decoded: Decoded, options: PrepareOptions) -> str:
    """A sha256 over the options and the examples, wherever their files lie: another one is another data set."""
    rows = (
        [
            item.track.id,
            item.track.genres,
            item.track.lyrics_text,
            [state.sha256 for state in decoded.outcomes[item.index].sources],
        ]
        for item in members
    )
    return sha256_of_rows(itertools.chain([options.content()], rows))


def _tokenise(items: Sequence[DecodedTrack], tokenizer: LyricsTokenizer, progress: Progress) -> list[np.ndarray]:
    """The word pieces of every track, none for a track without lyrics."""
    tokens = [np.zeros(0, tokenizer.dtype)] * len(items)
    with_text = [i for i, item in enumerate(items) if item.lyrics.text is not None]
    for first in range(0, len(with_text), 512):
        part = with_text[first : first + 512]
        for i, ids in zip(part, tokenizer.encode_batch([items[i].lyrics.text or "" for i in part]), strict=True):
            tokens[i] = ids
        progress("lyrics", first + len(part), len(with_text))
    return tokens


def _write_shards(
    out: Path,
    chosen: Selection,
    decoded: Decoded,
    tokens: Mapping[str, Sequence[np.ndarray]],
    options: PrepareOptions,
    features: LyricFeatures | None,
    audio_shape: tuple[int, int],
    executor: Executor,
    progress: Progress,
) -> dict[str, list[dict[str, Any]]]:
    """Writes all splits; ``features`` are in the splits' order."""
    progress("write", 0, sum(map(len, chosen.members.values())))  # TensorFlow's import takes its time
    from data_pipeline.prepare import (
        builder,  # TensorFlow is imported here and not before, and in no process that decodes
    )

    work, audio, width = out / "work", options.audio.input, features.width if features else 0
    dtype = next((ids.dtype.name for part in tokens.values() for ids in part), "uint16")
    lengths = [len(ids) for part in tokens.values() for ids in part]
    parts: dict[str, tuple[int, Part]] = {}
    first = 0
    for name in SPLITS:
        members, last = chosen.members[name], first + len(chosen.members[name])
        ids, num_tokens = padded(tokens[name], options.lyrics.max_tokens)
        examples.save(
            work / name,
            {
                "sound": np.array([decoded.sound(item.index) for item in members]),
                "tokens": ids,
                "num_tokens": num_tokens,
                "labels": chosen.vocabulary.encode_all([item.track.genres for item in members]),
                "id": np.array([item.track.id for item in members]),
                **({"lyrics_features": features.positions[first:last]} if features else {}),
            },
        )
        encoded = work / "features" if features else None
        parts[name] = (len(members), Examples(work / name, AUDIO[audio], work, encoded, width))
        first = last
    shutil.rmtree(out / _SHARDS, ignore_errors=True)
    shards = builder.write(
        out / _SHARDS,
        shape=Shape(
            audio,
            audio_shape,
            options.lyrics.max_tokens,
            chosen.vocabulary.size,
            width,
            dtype,
            mean_tokens=sum(lengths) / len(lengths),
        ),
        splits=parts,
        executor=executor,
        progress=functools.partial(progress, "write"),
    )
    for files in shards.values():
        for shard in files:
            shard["file"] = f"{_SHARDS}/{shard['file']}"
    return shards


def _write_tracks(path: Path, chosen: Selection, decoded: Decoded, tokens: Mapping[str, Sequence[np.ndarray]]) -> None:
    """``tracks.tsv``: who the examples are, in their order."""
    rows = []
    for name in SPLITS:
        for i, item in enumerate(chosen.members[name]):
            track = item.track
            said = (" ".join((text or "").split()) for text in (track.artist, track.title))
            sound = "; ".join(decoded.outcomes[item.index].sound)
            rows.append((name, i, track.id, *said, str(track.audio), len(tokens[name][i]), sound))
    write_tsv(path, ["split", "index", "id", "artist", "title", "audio", "tokens", "sound"], rows)
