"""``mgc-jax check``."""

from __future__ import annotations

import argparse
from functools import partial

from data_pipeline import extras
from data_pipeline.errors import InputError
from mgc_jax.cli.arguments import add_config, add_json, at_least, local
from mgc_jax.cli.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, required=False)
    source = "a folder in Music4All's layout, or a manifest (.csv, .tsv, .json, .jsonl)"
    parser.add_argument("--source", type=local, required=True, metavar="DIR_OR_MANIFEST", help=source)
    text = "files that are decoded (default %(default)s)"
    parser.add_argument("--sample", type=at_least(0), default=24, metavar="N", help=text)
    add_json(parser)


def _run(options: argparse.Namespace) -> int:
    from data_pipeline.prepare import check
    from data_pipeline.prepare.options import PrepareOptions
    from data_pipeline.sources import read_corpus
    from data_pipeline.storage.json_file import write_json
    from mgc_jax.config import recipes
    from mgc_jax.runtime.progress import Counter

    extras.check("Checking a catalogue", "train")
    settings = recipes.load(options.config, options.overrides)
    prepared_as = PrepareOptions(settings.data, settings.audio, settings.lyrics)
    with Counter("tracks", read="rows") as counter:
        corpus = read_corpus(options.source, settings.data.genre_separator, partial(counter, "read"))
        findings = check.check(
            corpus,
            prepared_as,
            sample=options.sample,
            progress=partial(counter, "decode"),
        )
    for line in check.lines(findings):
        print(line)
    if options.json:
        write_json(options.json, findings)
    if findings["failure"]:
        raise InputError(f"prepare would fail: {findings['failure']}")
    return check.exit_code(findings)


COMMAND = Command(
    "check",
    help="what prepare would do with a corpus, in seconds; exit code 1 where there is something to look at",
    example="mgc-jax check --config manifest --source my_songs.csv --json check.json",
    add_arguments=_add_arguments,
    run=_run,
)
