"""``mgc-jax embed``."""

from __future__ import annotations

import argparse
from functools import partial

from mgc_jax.cli.arguments import add_model, add_songs, local
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import find_songs, load_model, num_workers, settle, with_words


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_songs(parser)
    out = "where fused.npy, audio.npy, lyrics.npy and ids.jsonl are written; gone on with if they are there"
    parser.add_argument("--out", type=local, required=True, metavar="DIR", help=out)
    parser.add_argument("--retry", action="store_true", help="try the songs again that failed before")


def _run(options: argparse.Namespace) -> None:
    from mgc_jax.inference import collection, results

    found = find_songs(options)
    model = load_model(options.workdir)
    found.songs = with_words(found.songs, wanted=model.embeds_lyrics and not options.no_lyrics)
    place = results.embeddings(options.out, *model.embedding_widths)
    made_by = {
        "command": "embed",
        "workdir": options.workdir if isinstance(options.workdir, str) else str(options.workdir.absolute()),
        "step": int(model.state.step),
        "model": model.embedding_digest,
        "compares_words": model.compares_words,
    }
    with place.opened(made_by) as output:
        embed = partial(model.embed_many, workers=num_workers(options, len(found.songs)))
        summary = collection.carry_out(embed, found, output, "embed", retry=options.retry)
    settle(options, summary, place.failures)


COMMAND = Command(
    "embed",
    help="write where songs are in a model's spaces: their vectors as .npy files",
    example="mgc-jax embed my_music --workdir run --out embeddings",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
