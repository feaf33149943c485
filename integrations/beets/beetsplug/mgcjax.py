"""Genres by mgc-jax for `beets`_: while songs are imported, and by ``beet mgcjax``.

In beets' configuration::

    pluginpath: /where/mgc-jax/is/integrations/beets/beetsplug
    plugins: mgcjax
    mgcjax:
        workdir: musicnn        # or a run's folder, an exported model, hf://user/name
        auto: yes               # while importing
        per_album: yes          # one set for an album: the mean of its songs' scores
        mode: keep              # the genres that are there; or append, replace
        min_score: null         # the model's own thresholds
        max_genres: 0           # all
        none_if_unsure: no
        whitelist: null         # a text file, one genre a line
        tree: null              # as beets' genres-tree.yaml
        tree_use: canonical     # or parents
        aliases: null           # spellings, in YAML
        capitals: yes           # Hip Hop instead of hip hop

.. _beets: https://beets.io
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beets import ui
from beets.importer import ImportSession, ImportTask
from beets.library import Item, Library
from beets.plugins import BeetsPlugin

import mgc_jax
from data_pipeline.errors import InputError
from mgc_jax.inference.song import Failure, Song
from mgc_jax.tagging.policy import MODES, TREE_USES, Policy, has_genre, read_policy

_DEFAULTS: dict[str, Any] = {
    "workdir": "musicnn",
    "auto": True,
    "per_album": True,
    "mode": "keep",
    "min_score": None,
    "max_genres": 0,
    "none_if_unsure": False,
    "whitelist": None,
    "tree": None,
    "tree_use": "canonical",
    "aliases": None,
    "capitals": True,
}


class MgcJaxPlugin(BeetsPlugin):
    """Names the genres of items by a model."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add(_DEFAULTS)
        if self.config["auto"].get(bool):
            self.import_stages = [self.imported]

    @functools.cached_property
    def model(self) -> Any:
        """What ``workdir`` names, loaded when the first song is there."""
        workdir = self.config["workdir"].as_str()
        return mgc_jax.load(workdir if workdir == "musicnn" or "://" in workdir else os.path.expanduser(workdir))

    @functools.cached_property
    def policy(self) -> Policy:
        """The rest of the configuration."""
        score = self.config["min_score"].get()
        return read_policy(
            **{name: self._file(name) for name in ("whitelist", "tree", "aliases")},
            capitals=self.config["capitals"].get(bool),
            mode=self.config["mode"].as_choice(list(MODES)),
            min_score=None if score is None else float(score),
            max_genres=self.config["max_genres"].get(int),
            none_if_unsure=self.config["none_if_unsure"].get(bool),
            tree_use=self.config["tree_use"].as_choice(list(TREE_USES)),
        )

    def _file(self, name: str) -> Path | None:
        return Path(self.config[name].as_filename()) if self.config[name].get() else None

    def imported(self, session: ImportSession, task: ImportTask) -> None:
        """Name the genres of what is being imported. beets writes them with all else where it applies a match; songs
        that are imported as they are it leaves so, and ``beet write`` writes them."""
        try:
            self._name(list(task.imported_items()))
        except InputError as error:  # of a configuration: the songs are imported all the same
            self._log.error("{}", error)

    def commands(self) -> list[ui.Subcommand]:
        """``beet mgcjax QUERY``."""
        command = ui.Subcommand("mgcjax", help="name genres by a model of mgc-jax")
        command.parser.add_option("-p", "--pretend", action="store_true", help="show the genres, and change nothing")
        command.parser.add_option("-m", "--mode", choices=MODES, help="keep, append to or replace the genres there are")

        def run(library: Library, options: Any, arguments: list[str]) -> None:
            if options.mode:
                self.config["mode"].set(options.mode)
            albums: dict[int | None, list[Item]] = {}
            for item in library.items(arguments):
                albums.setdefault(item.album_id, []).append(item)
            try:
                for items in albums.values():
                    self._name(items, pretend=options.pretend, write=ui.should_write())
            except InputError as error:
                raise ui.UserError(str(error)) from None

        command.func = run
        return [command]

    def _name(self, items: Sequence[Item], *, pretend: bool = False, write: bool = False) -> None:
        """The genres of the songs of one album, or of songs without one."""
        together = self.config["per_album"].get(bool) and len({item.album_id for item in items}) == 1
        for group in [items] if together else [[item] for item in items]:
            self._name_alike(group, pretend=pretend, write=write)

    def _name_alike(self, items: Sequence[Item], *, pretend: bool, write: bool) -> None:
        if self.policy.mode == "keep" and all(has_genre(item.genres or ()) for item in items):
            return
        heard: list[tuple[Item, dict[str, float]]] = []
        model = self.model
        self.policy.check(model.genres)
        songs = [
            Song(Path(os.fsdecode(item.path)), item.lyrics or None if model.reads_lyrics else None) for item in items
        ]
        for item, found in zip(items, model.predict_many(songs), strict=True):
            if isinstance(found, Failure):
                self._log.warning("{}: {}", found.file, found.reason)
            else:
                heard.append((item, dict(found.ranked)))
        if not heard:
            return
        mean = {name: sum(scores[name] for _, scores in heard) / len(heard) for name in model.genres}
        thresholds = dict(zip(model.genres, model.thresholds.tolist(), strict=True))
        named = self.policy.genres(mean, thresholds)
        for item, _ in heard:
            old = tuple(item.genres or ())
            new = self.policy.merged(old, named)
            if new == old:
                continue
            self._log.info("{}: {} -> {}", item, "; ".join(old) or "-", "; ".join(new))
            if pretend:
                continue
            item.genres = list(new)
            item.store()
            if write:
                item.try_write()
        self._store_album(items, pretend)

    def _store_album(self, items: Sequence[Item], pretend: bool) -> None:
        """The album's genres are those of its songs, where all have the same."""
        album = items[0].get_album()
        if album is None or pretend:
            return
        all_genres = {tuple(item.genres or ()) for item in album.items()}
        if len(all_genres) == 1:
            album.genres = list(all_genres.pop())
            album.store(inherit=False)
