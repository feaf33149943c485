"""``mgc-jax prepare``."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from data_pipeline.extras import needed
from mgc_jax.cli.arguments import add_config, at_least, local, place
from mgc_jax.cli.command import Command

if TYPE_CHECKING:
    from data_pipeline.prepare.workers import Executor


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    source = "a folder in Music4All's layout, or a manifest (.csv, .tsv, .json, .jsonl)"
    parser.add_argument("--source", type=local, required=True, metavar="DIR_OR_MANIFEST", help=source)
    out = "a folder, or an address like gs://bucket/folder"
    parser.add_argument("--out", type=place, required=True, metavar="DIR", help=out)
    parser.add_argument("--workers", type=at_least(0), default=0, metavar="N", help="processes; 0 = one a core")
    beam = "work by Apache Beam with these pipeline options, e.g. --beam='--runner=DirectRunner --direct_num_workers=4'"
    parser.add_argument("--beam", metavar="OPTIONS", help=beam)


_COPIES = {
    "group": "each recording is kept on one side of the split",
    "drop": "all but the first are left out",
    "ignore": "they may stand on both sides of the split",
}


def _run(options: argparse.Namespace) -> None:
    from data_pipeline.prepare.genre_report import genre_lines
    from data_pipeline.prepare.options import PrepareOptions
    from data_pipeline.prepare.pipeline import prepare
    from data_pipeline.sources import read_corpus
    from mgc_jax.config import recipes
    from mgc_jax.network import build
    from mgc_jax.network.audio_features import audio_features
    from mgc_jax.runtime.progress import Counter, stage

    settings = recipes.load(options.config, options.overrides)
    workers = _beam(options.beam) if options.beam is not None else None
    encode = build.lyrics_encoder(settings) if settings.lyrics.input == "features" else None
    audio_encoding = build.audio_encoding(settings) if build.has_audio_encoder(settings) else None
    if audio_encoding and (warning := audio_features(settings.audio).encoder.licence_warning):
        print(warning)
    stage(f"reading {options.source}")
    with Counter("tracks", upload="files", read="rows") as counter:
        report = prepare(
            read_corpus(options.source, settings.data.genre_separator, partial(counter, "read")),
            options.out,
            PrepareOptions(settings.data, settings.audio, settings.lyrics, options.workers),
            encode=encode,
            audio_encoding=audio_encoding,
            executor=workers,
            progress=counter,
            tell=print,
        )
    splits = ", ".join(f"{n} {name}" for name, n in report["splits"].items())
    print(f"{splits} tracks with {len(report['genres'])} genres in {options.out}")
    if left_out := report["tracks_read"] - report["tracks_kept"]:
        print(f"{left_out} tracks were left out; {options.out}/quarantine.tsv says why")
    changed = [f"changed: {count} {what}" for what, count in report["changed"].items()]
    for line in (*changed, *report["notes"], *genre_lines(report)):
        print(line)
    if copies := report["duplicates"]["groups"]:
        count, first = report["duplicates"]["tracks"], " and ".join(copies[0][:2])
        what = _COPIES[settings.data.duplicates]
        print(
            f"{count} tracks are {len(copies)} recordings (first: {first}): {what}; {options.out}/report.json has all"
        )


def _beam(pipeline_options: str) -> Executor:
    with needed("--beam", "beam"):
        from data_pipeline.prepare.beam import Beam
    return Beam(pipeline_options)


COMMAND = Command(
    "prepare",
    help="decode, check and split a corpus and write the sharded data set",
    example="mgc-jax prepare --config manifest --source my_songs.csv --out data",
    add_arguments=_add_arguments,
    run=_run,
)
