"""Built-in models, which have heard real music elsewhere: they name genres without any training here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from data_pipeline.storage.files import sha256
from mgc_jax.inference import batches, prediction
from mgc_jax.inference.batches import Pass, Row
from mgc_jax.inference.listening import Clip, FrontEnd, Heard, Sound, listen
from mgc_jax.inference.prediction import Prediction
from mgc_jax.inference.recording import Audio
from mgc_jax.inference.song import Failure, Song, as_song, failure
from mgc_jax.models import musicnn
from mgc_jax.network.audio_encoders import audio_encoder
from mgc_jax.runs import addresses
from mgc_jax.runtime import sharding

THRESHOLD = 0.2
"""From which mean probability on musicnn's genres are named, each by the same: nothing was calibrated. A genre that is
in a song throughout gets .3 to .9, the ones beside it about .2."""
AT_ONCE = 24
"""Seconds of a song that are heard at once, as far as whole windows allow."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tagger:
    """A model that was trained elsewhere; see :func:`mgc_jax.load`. It hears songs and reads no lyrics."""

    name: str
    genres: tuple[str, ...]
    """Its G genres."""
    spec: AudioSpec
    """Of the windows that it hears by themselves."""
    scores: Callable[[jax.Array], jax.Array]
    """Windows (N, P) float32 -> the probability (N, G) of each genre in each window."""
    about: str
    """What it learned from or how it judges, and so what it cannot know."""
    threshold: float = THRESHOLD
    """From which score on a genre is named."""
    repeats: bool = False
    """Whether a song shorter than a window is repeated in it."""
    licence: str = ""
    """Of its weights, as far as it is known."""
    licence_warning: str = ""
    """A sentence where its weights may not be used commercially."""

    @property
    def reads_lyrics(self) -> bool:
        """Whether it takes the words of songs."""
        return False

    @property
    def digest(self) -> str:
        """Of all that its results depend on."""
        return sha256([self.name, self.genres, self.threshold, self.about])

    @property
    def thresholds(self) -> np.ndarray:
        """(G,), from which score on each genre is named."""
        return np.full(len(self.genres), self.threshold)

    def predict(self, audio: Audio, lyrics: str | None = None, *, rate: int | None = None) -> Prediction:
        """Rank the genres of a song of any format and length; each one's score is the mean over consecutive windows,
        weighted by their level, without those that are far quieter than the loudest.

        Args:
            audio: a path, the bytes of a file, or an array of samples.
            lyrics: none.
            rate: of the samples of an array, in Hz.

        Raises:
            InputError: the audio cannot be decoded, or there are lyrics.
        """
        (found,) = self._through(listen([Song(audio, lyrics, rate)], self.front_end, 0))
        if found.error:
            raise found.error
        return self._predicted(found)

    def predict_many(
        self, songs: Iterable[Audio | tuple[Audio, str | None] | Song], *, workers: int = 0
    ) -> Generator[Prediction | Failure, None, None]:
        """What :meth:`predict` says of each of many songs, as :meth:`mgc_jax.Model.predict_many` does."""
        yield from self.predict_heard(listen(map(as_song, songs), self.front_end, workers))

    def predict_heard(
        self, heard: Iterable[tuple[Song, Sound | InputError]]
    ) -> Generator[Prediction | Failure, None, None]:
        """As :meth:`predict_many` does, of what :func:`listen` gives."""
        for found in self._through(heard):
            yield failure(found.song, found.error) if found.error else self._predicted(found)

    @property
    def front_end(self) -> FrontEnd:
        """How windows are cut; they are heard as samples."""
        return FrontEnd(self.spec, spectrograms=False, repeat=self.repeats)

    def warm_up(self) -> None:
        """Compile what songs of any length need, so that the first one need not wait."""
        clip = Clip(np.zeros(self.spec.num_samples, np.float32), 1.0)
        list(self._through([(Song(b""), Heard((clip,), 0.0))]))

    @cached_property
    def _mesh(self) -> Mesh:
        return sharding.make_mesh()

    @property
    def at_once(self) -> int:
        """How many windows are heard together: always as many, which is compiled once."""
        return max(1, round(AT_ONCE / self.spec.seconds)) * self._mesh.size

    def window_scores(self, clips: Sequence[np.ndarray]) -> jax.Array:
        """The probability (``at_once``, G) of each genre in each of so many clips (samples,) or fewer, and of silence
        in the rows behind them."""
        windows = np.zeros((self.at_once, self.spec.num_samples), np.float32)
        if len(clips):
            windows[: len(clips)] = clips
        return self.scores(sharding.place_batch({"windows": windows}, self._mesh)["windows"])

    def _through(self, heard: Iterable[tuple[Song, Sound | InputError]]) -> Iterator[Pass]:
        def compute(rows: Sequence[Row], _: int) -> dict[str, jax.Array]:
            return {"scores": self.window_scores([row.clip for row in rows])}

        return batches.through((self._begun(song, sound) for song, sound in heard), compute, self.at_once)

    def _begun(self, song: Song, sound: Sound | InputError) -> Pass:
        if isinstance(sound, InputError):
            return Pass(song, None, error=sound)
        try:
            song.check_wordless(self.name)
        except InputError as error:
            return Pass(song, None, error=error)
        return Pass(song, sound)

    def _predicted(self, song: Pass) -> Prediction:
        assert song.sound is not None
        return prediction.of_scores(song.song.name, self.genres, song.means["scores"], self.thresholds, song.sound)


def built_in(place: str | Path) -> Tagger | None:
    """The built-in model of this name; None where the ``place`` is the folder or the address of something else.

    Raises:
        InputError: its weights are not to be had.
    """
    return TAGGERS[str(place)]() if addresses.is_built_in(place) else None


def _musicnn() -> Tagger:
    encoder = audio_encoder("musicnn")
    columns = np.array([musicnn.TAGS.index(genre) for genre in musicnn.GENRES])

    @jax.jit
    def scores(weights: dict, windows: jax.Array) -> jax.Array:
        tokens = encoder.apply(weights, windows)
        return musicnn.tag_probabilities(weights, tokens[:, 0, : musicnn.POOLED])[:, columns]

    return Tagger(
        name=encoder.name,
        genres=musicnn.GENRES,
        spec=AudioSpec(encoder.rate, musicnn.N_FFT, musicnn.HOP, musicnn.N_MELS, encoder.window / encoder.rate),
        scores=partial(scores, jax.device_put(encoder.weights)),
        licence=encoder.licence,
        about="It learned from 200 000 songs what listeners called them on Last.fm until 2011, most of them known in "
        "the USA: younger genres and those of other parts of the world it does not know.",
    )


TAGGERS: dict[str, Callable[[], Tagger]] = {"musicnn": _musicnn}
"""By the names of :data:`mgc_jax.runs.addresses.BUILT_IN`."""
