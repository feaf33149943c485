"""``mgc-jax tag``."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipeline import extras
from data_pipeline.errors import InputError
from mgc_jax.cli.arguments import add_json, add_namer, add_workers, at_least, number_between, writable
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import load_namer, num_workers

if TYPE_CHECKING:
    from mgc_jax.api import Model, Tagger
    from mgc_jax.tagging.policy import Policy
    from mgc_jax.tagging.songs import Row, Tagging

LOG = Path("genres.undo.jsonl")
_CHOICES = ("mode", "min_score", "max_genres", "none_if_unsure", "tree_use")
_TOLD = {  # actions and what is printed of them at the end, without and with --write
    "write": ("would be written", "were written"),
    "done": ("were written by an earlier run",) * 2,
    "keep": ("keep the genres that they have",) * 2,
    "unchanged": ("have these genres already",) * 2,
    "unsure": ("stay as they are, for the model is not sure",) * 2,
    "failed": ("failed",) * 2,
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "songs", type=Path, nargs="*", metavar="SONG", help="a file, or a folder with all that is in it"
    )
    add_namer(parser, required=False)
    parser.add_argument("--write", action="store_true", help="write the tags; without it nothing is changed")
    mode = "what songs that have a genre get: keep it, append to it, or replace it (default %(default)s)"
    parser.add_argument("--mode", choices=("keep", "append", "replace"), default="keep", help=mode)
    log = "where it is written what each file was (default %(default)s)"
    parser.add_argument("--log", type=writable, default=LOG, metavar="FILE", help=log)
    undo = "take back what a log says, the last change first, to the last byte; the model and all else is left out"
    parser.add_argument("--undo", type=Path, metavar="LOG", help=undo)
    genres = parser.add_argument_group("which genres")
    text = "from which score on a genre is named (default: the model's thresholds)"
    genres.add_argument("--min-score", type=number_between(0, 1), metavar="P", help=text)
    text = "write so many at most (default: all)"
    genres.add_argument("--max-genres", type=at_least(1), default=0, metavar="N", help=text)
    text = "where no genre reaches its threshold, write none instead of the best one"
    genres.add_argument("--none-if-unsure", action="store_true", help=text)
    text = "write the genres in this text file only, one a line"
    genres.add_argument("--whitelist", type=Path, metavar="FILE", help=text)
    text = "a tree of genres in YAML, as beets has it"
    genres.add_argument("--tree", type=Path, metavar="FILE", help=text)
    text = "write the genres above a genre in its place or beside it (default %(default)s)"
    genres.add_argument("--tree-use", choices=("canonical", "parents"), default="canonical", help=text)
    text = "spellings in YAML, such as hip hop: Hip-Hop"
    genres.add_argument("--aliases", type=Path, metavar="FILE", help=text)
    text = "Hip Hop, or hip hop as the model has it (default %(default)s)"
    genres.add_argument("--case", choices=("title", "model"), default="title", help=text)
    genres.add_argument("--per-album", action="store_true", help="one set for an album: the mean of its songs' scores")
    text = "leave out the words in tags and beside songs"
    parser.add_argument("--no-lyrics", action="store_true", help=text)
    add_workers(parser)
    add_json(parser)
    parser.add_argument("--csv", type=writable, metavar="FILE", help="the same as a table")


def _run(options: argparse.Namespace) -> int:
    extras.check("Tagging songs", "tags")
    if options.undo is not None:
        if options.songs or options.workdir or options.genres or options.write:
            raise InputError("--undo takes back all that the log says: leave out songs, the model and --write.")
        return _undo(options.undo)
    if not options.songs or options.workdir is None:
        raise InputError("Give songs or folders and --workdir, or --undo with a log.")
    if options.tree_use == "parents" and options.tree is None:
        raise InputError("--tree-use needs a --tree.")
    from data_pipeline.sources.walk import Walk
    from mgc_jax.tagging.policy import read_policy

    policy = read_policy(
        whitelist=options.whitelist,
        tree=options.tree,
        aliases=options.aliases,
        capitals=options.case == "title",
        **{name: getattr(options, name) for name in _CHOICES},
    )
    walk = Walk()
    files = list(walk.songs(options.songs))
    rows = [_failure(file, reason) for file, reason in walk.failures]
    for row in rows:
        _show(row)
    model = load_namer(options.workdir, options.genres)
    policy.check(model.genres)
    try:
        _tag(options, model, policy, files, rows)
    finally:
        _keep(options, rows)
    _tell(options, rows)
    if walk.hidden or walk.repeated:
        print(f"{walk.hidden} hidden files and folders and {walk.repeated} links to the same songs were passed by")
    return int(any(row.action == "failed" for row in rows))


def _tag(
    options: argparse.Namespace, model: Model | Tagger, policy: Policy, files: Sequence[Path], rows: list[Row]
) -> None:
    """Append to ``rows`` what becomes of each song; raises Stopped, between two songs, where somebody asked to stop."""
    from data_pipeline.storage.alone import alone
    from mgc_jax.tagging.songs import Tagging
    from mgc_jax.tagging.undo_log import UndoLog

    settings = _settings(options, model)
    tagging = Tagging(model, policy, None, settings, options.per_album, with_words=not options.no_lyrics)
    if not options.write:
        _go_through(options, tagging, files, rows)
        return
    log_file = options.log
    with alone(_lock(log_file), f"{log_file} is in use by another mgc-jax tag; wait for it, or give another --log."):
        log = UndoLog(log_file)
        try:
            _go_through(options, dataclasses.replace(tagging, log=log), files, rows)
        finally:
            log.close()


def _go_through(options: argparse.Namespace, tagging: Tagging, files: Sequence[Path], rows: list[Row]) -> None:
    from mgc_jax.runtime.progress import Counter as Stages
    from mgc_jax.runtime.progress import Progress
    from mgc_jax.runtime.signals import StopRequest

    before, rest = len(rows), list[list[Path]]()
    with StopRequest() as stop:

        def check(done: int) -> None:
            if stop.due() and done < len(files):
                raise stop.obeyed(f"stopped after {done} of {len(files)} songs")

        def add(row: Row) -> None:
            rows.append(row)
            _show(row)

        def counted() -> Iterator[Path]:
            for done, file in enumerate(files):
                stages("read tags", done, len(files))
                check(len(rows) - before)
                yield file
            stages("read tags", len(files), len(files))

        with Stages("songs") as stages:
            for row in tagging.unheard(counted(), rest):
                add(row)
        songs = sum(map(len, rest))
        with (
            closing(Progress("tag", len(files), "songs", initial=len(files) - songs)) as progress,
            closing(tagging.heard(rest, workers=num_workers(options, songs))) as made,
        ):
            for row in made:
                add(row)
                progress.update(1)
                check(len(rows) - before)


def _lock(log: Path) -> Path:
    return log.with_name(f"{log.name}.lock")


def _settings(options: argparse.Namespace, model: Model | Tagger) -> str:
    """A digest of all that genres depend on."""
    from data_pipeline.storage.files import sha256

    files = {name: _content(getattr(options, name)) for name in ("whitelist", "tree", "aliases")}
    step = getattr(getattr(model, "state", None), "step", 0)
    told = {name: getattr(options, name) for name in (*_CHOICES, "case", "per_album", "no_lyrics")}
    return sha256([str(options.workdir), int(step), list(model.genres), told, files])


def _content(file: Path | None) -> str:
    return file.read_text(encoding="utf-8-sig") if file else ""


def _failure(file: str, reason: str) -> Row:
    from mgc_jax.inference.recording import name
    from mgc_jax.tagging.songs import Row

    return Row(name(file), "failed", note=reason)


def _show(row: Row) -> None:
    """The line of a song whose tags change or cannot, and of one whose genres are not known."""
    from mgc_jax.runtime.progress import show

    if row.action in ("write", "failed", "unsure"):
        new = "; ".join(row.new) if row.action == "write" else row.action
        note = f" ({row.note})" if row.note else ""
        file = row.file.removeprefix(f"{os.getcwd()}{os.sep}")
        show(f"{file:<48}  {'; '.join(row.old) or '-':<24}  -> {new}{note}")


def _tell(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    counts = Counter[str](row.action for row in rows)
    told = [f"{counts[action]} {words[options.write]}" for action, words in _TOLD.items() if counts[action]]
    print(f"{len(rows)} songs: {', '.join(told) or 'none'}")
    if not options.write:
        print("Nothing was changed; the same command with --write does it.")
    elif counts["write"] or counts["done"]:
        print(f"mgc-jax tag --undo {options.log} takes it back")


def _keep(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """The plan as --json and --csv have it, in the order of the files' names."""
    from data_pipeline.storage.files import written_whole
    from data_pipeline.storage.json_file import write_json

    rows = sorted(rows, key=lambda row: row.file)
    if options.json:
        write_json(options.json, [row.to_json() for row in rows])
    if options.csv:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "action", "old", "new", "note"])
        for row in rows:
            lists: list[Any] = [json.dumps(genres, ensure_ascii=False) for genres in (row.old, row.new)]
            writer.writerow([row.file, row.action, *lists, row.note])
        with written_whole(options.csv) as file:
            file.write(text.getvalue().encode(errors="backslashreplace"))


def _undo(path: Path) -> int:
    from data_pipeline.storage.alone import alone
    from data_pipeline.tags.tag_file import TagError
    from mgc_jax.runtime.progress import Progress, show
    from mgc_jax.runtime.signals import StopRequest
    from mgc_jax.tagging.rewrite import take_back
    from mgc_jax.tagging.undo_log import UndoLog

    if not path.is_file():
        raise InputError(f"{path} is no log of mgc-jax tag: there is no such file.")
    counts: Counter[str] = Counter()
    with alone(_lock(path), f"{path} is in use by another mgc-jax tag; wait for it."):
        log = UndoLog(path)
        progress = Progress("undo", log.num_changes, "changes")
        with StopRequest() as stop:
            try:
                for number, change in log.changes():
                    try:
                        counts["restored" if take_back(change) else "same"] += 1
                        log.undone(number)
                    except TagError as error:
                        counts["failed"] += 1
                        show(f"{_failure(change.file, '').file}: {error}")
                    progress.update(1)
                    if stop.due():
                        raise stop.obeyed(f"stopped after {counts.total()} changes")
            finally:
                progress.close()
                log.close()
    print(
        f"{counts['restored']} changes were taken back; {counts['same']} files were as before already, "
        f"{counts['failed']} failed"
    )
    return int(counts["failed"] > 0)


COMMAND = Command(
    "tag",
    help="write the genres that a model names into the tags of songs; a dry run without --write",
    example="mgc-jax tag my_music --workdir run --mode append --write",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
