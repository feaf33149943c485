"""One song after the other gets its genres and their reasons, until the queue is closed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from data_pipeline.errors import InputError
from mgc_jax.api import Model, Tagger
from mgc_jax.inference.recording import WINDOW_BATCH
from mgc_jax.web import result
from mgc_jax.web.neighbours import SimilarSongs


class SongQueue:
    """Where songs are handed in, from any thread; it works on one at a time."""

    def __init__(self, model: Model | Tagger, similar: SimilarSongs | None = None):
        self.model, self.similar = model, similar
        self._thresholds = dict(zip(model.genres, model.thresholds.tolist(), strict=True))
        self._turn = threading.Lock()
        self.closed = False

    def warm_up(self) -> None:
        """Compile for a short song and for a long one, so that the first song need not wait for it."""
        seconds, rate = WINDOW_BATCH * self.model.spec.seconds, self.model.spec.sample_rate
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, int(seconds * rate)).astype(np.float32)
        if not isinstance(self.model, Tagger):
            result.reasons(self.model.explain(noise[: 2 * rate], "a word and another one", rate=rate))
        self.model.predict(noise, rate=rate)
        if self.similar:
            self.similar.found(noise[: 2 * rate], rate=rate)

    def answer(self, song: str | None, lyrics: str) -> tuple[str, str]:
        """The genres of a file and their reasons, as HTML; a mistake is told in place of the genres."""
        if not song:
            return result.problem("There is no song yet: drop one, or choose a file."), ""
        with self._turn:
            if self.closed:
                return result.problem("The page was closed before this song's turn came."), ""
            if not Path(song).exists():
                return result.problem("This song was deleted meanwhile, as all are after a while: drop it again."), ""
            try:
                return self._named(song, lyrics)
            except InputError as error:
                return result.problem(str(error).replace(song, Path(song).name)), ""

    def _named(self, song: str, lyrics: str) -> tuple[str, str]:
        if isinstance(self.model, Tagger):
            return result.genres(self.model.predict(song, lyrics), self._thresholds), ""
        explanation = self.model.explain(song, lyrics)
        similar = self.similar.found(song, lyrics) if self.similar else ""
        return result.genres(explanation.prediction, self._thresholds) + similar, result.reasons(explanation)

    @property
    def busy(self) -> bool:
        """Whether a song is worked on."""
        return self._turn.locked()

    def close(self) -> None:
        """Refuse every song whose turn has not come, and wait for the one that is worked on."""
        self.closed = True
        with self._turn:
            pass
