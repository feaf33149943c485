"""Songs in, genres out: windows of the sound and word pieces of the lyrics through a trained model."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from data_pipeline import audio as sound
from data_pipeline.audio import Windows
from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from data_pipeline.schema import AUDIO
from data_pipeline.storage.files import sha256
from mgc_jax.config import Config
from mgc_jax.evaluation.steps import (
    EvaluationStep,
    make_embedding_step,
    make_evaluation_step,
    make_lyrics_step,
    make_score_step,
)
from mgc_jax.inference import batches, prediction, recording
from mgc_jax.inference.batches import Pass, Row
from mgc_jax.inference.listening import Clip, FrontEnd, Heard, Listening, Sound, listen
from mgc_jax.inference.prediction import Prediction
from mgc_jax.inference.recording import WINDOW_BATCH, Audio
from mgc_jax.inference.song import Failure, Song, as_song, failure
from mgc_jax.network import build
from mgc_jax.network.audio_features import audio_features
from mgc_jax.network.state import ModelState, Network
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime import sharding

LYRICS_BATCH = 8
"""Songs whose words an accelerator reads at once; a CPU gains nothing by more than one."""
LYRICS_LENGTHS = 4
"""Lengths of lyrics for which their encoder is compiled: short ones are not computed as long ones."""


@dataclasses.dataclass(frozen=True)
class Embedding:
    """Where a song is, each the mean over its windows, of which the louder ones count more.

    ``audio`` (C,) and ``lyrics`` (C,) are g_a(E_a) and g_l(E_l), which the A-L loss makes alike for the two sides of
    one song; ``lyrics`` is None for a song without, and of a model that was taught none. ``fused`` (D,) is what the
    genres are told from, which ``ranked`` has with their scores, best first. ``lyrics_problem`` says why words that
    were found cannot be used.
    """

    audio: np.ndarray
    lyrics: np.ndarray | None
    fused: np.ndarray
    ranked: tuple[tuple[str, float], ...]
    lyrics_problem: str = ""


class Predictor:
    """A trained model and what lies between a song and its inputs."""

    def __init__(
        self,
        folder: Workdir,
        config: Config,
        vocabulary: GenreVocabulary,
        network: Network,
        state: ModelState,
        encoder: Path,
    ):
        self.folder, self.config, self.vocabulary = folder, config, vocabulary
        self.network, self.state = network, state
        self.encoder = encoder
        """The folder of the lyrics encoder."""
        self.tokenizer = LyricsTokenizer(encoder, config.lyrics.max_tokens)
        self.spec = config.audio
        self.features = audio_features(config.audio) if build.has_audio_encoder(config) else None
        """The frozen audio encoder, where the model hears its outputs."""

    @property
    def genres(self) -> tuple[str, ...]:
        """The names of its G genres."""
        return self.vocabulary.names

    @property
    def reads_lyrics(self) -> bool:
        """Whether the genres that it names depend on the words of songs."""
        return build.modalities(self.config)[1]

    @property
    def embeds_lyrics(self) -> bool:
        """Whether its embeddings depend on the words of songs: by the genres, or by the A-L loss."""
        return self.embeds and build.reads_words(self.config)

    @cached_property
    def digest(self) -> str:
        """Of all that its predictions depend on: what it has learned, its settings, encoders and thresholds."""
        return sha256([self.embedding_digest, self.thresholds.tolist()])

    @cached_property
    def embedding_digest(self) -> str:
        """Of all that its vectors and scores depend on: what it has learned, its settings and encoders."""
        learned = hashlib.sha256()
        for leaf in jax.tree.leaves((self.state.params, self.state.batch_stats, self.state.constants)):
            learned.update(np.ascontiguousarray(leaf).tobytes())
        parts = (self.config.audio, self.config.lyrics, self.config.model)
        settings = [dataclasses.asdict(part) | {"encoder": ""} for part in parts]
        encoders = build.encoders_digest(self.config, self.encoder)
        return sha256([learned.hexdigest(), settings, encoders, self.genres])

    @cached_property
    def evaluation_step(self) -> EvaluationStep:
        """The compiled step that scores tracks; see :func:`mgc_jax.evaluation.steps.make_evaluation_step`."""
        return make_evaluation_step(self.network)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """(G,) calibrated thresholds, or 0.5 where the run was never evaluated."""
        stored = self.folder.thresholds()
        return np.full(self.vocabulary.size, 0.5) if stored is None else stored

    def predict(self, audio: Audio, lyrics: str | None = None, *, rate: int | None = None) -> Prediction:
        """Rank the genres of a song of any format and length, given its lyrics as text or not at all.

        Each genre's score is the mean over consecutive windows of the training clip's length, weighted by their level;
        what is far quieter than the loudest is left out: see :class:`data_pipeline.audio.Windows`.

        Args:
            audio: a path, the bytes of a file, or an array of samples.
            rate: of the samples of an array, in Hz.

        Raises:
            InputError: the audio cannot be decoded, or the lyrics are no text, larger than 1 MiB, or given to a model
                that reads none.
        """
        return self._predicted(self._alone(self._score_step, Song(audio, lyrics, rate)))

    def predict_many(
        self, songs: Iterable[Audio | tuple[Audio, str | None] | Song], *, workers: int = 0
    ) -> Generator[Prediction | Failure, None, None]:
        """What :meth:`predict` says of each of many songs, in their order, and why it cannot of others.

        Lyrics are read by their encoder once a song, and windows of several songs share a batch. Songs are taken a few
        at a time, however many there are.

        Args:
            songs: each is its audio, a pair of audio and lyrics, or a :class:`Song`.
            workers: processes that decode ahead of the model; 0 decodes in this one. A program that wants some must
                have an ``if __name__ == "__main__"``.

        Raises:
            InputError: processes cannot be started.
        """
        yield from self.predict_heard(self._heard(songs, workers))

    def predict_heard(
        self, heard: Iterable[tuple[Song, Sound | InputError]]
    ) -> Generator[Prediction | Failure, None, None]:
        """As :meth:`predict_many` does, of what :func:`listen` gives."""
        for found in self._through(self._score_step, heard):
            yield failure(found.song, found.error) if found.error else self._predicted(found)

    def predict_listening(self, song: Song, sound: Listening) -> Prediction:
        """As :meth:`predict` does, of a song that is decoded already."""
        return self._predicted(self._alone(self._score_step, song, sound))

    def _predicted(self, song: Pass) -> Prediction:
        assert song.sound is not None
        scores, tokens = song.means["scores"], len(song.tokens) if self.reads_lyrics else None
        found = prediction.of_scores(song.song.name, self.vocabulary.names, scores, self.thresholds, song.sound, tokens)
        return dataclasses.replace(found, lyrics_problem=song.song.lyrics_problem if self.reads_lyrics else "")

    def embed(self, audio: Audio, lyrics: str | None = None, *, rate: int | None = None) -> Embedding:
        """Where a song is in the model's spaces; arguments and errors as :meth:`predict` has them.

        Raises:
            InputError: also where the model is one of the paper's rivals, which have no such space.
        """
        return self._embedded(self._alone(self._embedding_step, Song(audio, lyrics, rate)))

    def embed_many(
        self, songs: Iterable[Audio | tuple[Audio, str | None] | Song], *, workers: int = 0
    ) -> Generator[Embedding | Failure, None, None]:
        """Where each of many songs is, in their order, as :meth:`predict_many` says their genres."""
        yield from self.embed_heard(self._heard(songs, workers))

    def embed_heard(
        self, heard: Iterable[tuple[Song, Sound | InputError]]
    ) -> Generator[Embedding | Failure, None, None]:
        """As :meth:`embed_many` does, of what :func:`listen` gives."""
        for found in self._through(self._embedding_step, heard):
            yield failure(found.song, found.error) if found.error else self._embedded(found)

    def _embedded(self, song: Pass) -> Embedding:
        mean = {name: value().astype(np.float32) for name, value in song.means.items()}
        ranked = prediction.ranking(self.vocabulary.names, mean["scores"])
        lyrics = mean["lyrics"] if len(song.tokens) else None
        return Embedding(mean["audio"], lyrics, mean["fused"], ranked, song.song.lyrics_problem)

    def embed_words(self, lyrics: str | None) -> np.ndarray:
        """Where words without a song are: g_l(E_l) (C,), as ``lyrics`` of :class:`Embedding` for a song with them.

        Raises:
            InputError: there are no words, they are no text or larger than 1 MiB, or the model has no such space.
        """
        self._check_embeds()
        tokens = self.tokens(lyrics)
        if not len(tokens):
            raise InputError("There are no words to compare.")
        silence = self.front_end.clip(np.zeros(self.spec.num_samples, np.float32))  # what is heard moves no words
        row = Row(Pass(Song(b"", lyrics), None, tokens), silence, 1.0)
        return jax.device_get(self._outputs(self._embedding_step, [row], 1)["lyrics"])[0]

    @property
    def compares_words(self) -> bool:
        """Whether it has learned, by the A-L loss, a space in which sound and words can be compared."""
        return build.uses_bert(self.config) and self.config.loss.contrastive_weight > 0

    @property
    def embeds(self) -> bool:
        """Whether it has embeddings."""
        return build.uses_bert(self.config)

    @property
    def embedding_widths(self) -> tuple[int, int]:
        """D and C of its embeddings; raises InputError where it has none."""
        self._check_embeds()
        return self.config.model.width, self.config.model.contrastive_width

    def warm_up(self) -> None:
        """Compile what songs of any length with lyrics of any length need, so that the first ones need not wait."""
        clip = Clip(self.front_end.clip(np.zeros(self.spec.num_samples, np.float32)), 1.0)
        most, longest = self._at_once(WINDOW_BATCH), self.config.lyrics.max_tokens
        sizes = [1 << power for power in range((most - 1).bit_length())] + [most]
        for step in (self._score_step, self._embedding_step) if self.embeds else (self._score_step,):
            for number, windows in enumerate([*sizes, *sizes[-1:] * (LYRICS_LENGTHS - len(sizes))]):
                length = min(longest, -(-longest // LYRICS_LENGTHS) * (number % LYRICS_LENGTHS + 1))
                tokens = np.resize(self.tokenizer.encode("la"), length)
                list(self._computed(step, [Pass(Song(b""), Heard((clip,) * windows, 0.0), tokens)]))

    def tokens(self, lyrics: str | None) -> np.ndarray:
        """Word-piece ids (n,) of a song's lyrics, cut at the model's length; none for no lyrics."""
        return self._encoded(Song(b"", lyrics).words())

    def words(self, song: Song) -> str:
        """The words of a song that its genres depend on; empty for none, and for a model that reads none.

        Raises:
            InputError: as :meth:`predict` does.
        """
        return self._words_for(self._score_step, song)

    def _words_for(self, step: _Step, song: Song) -> str:
        if not step.reads:
            song.check_wordless(str(self.folder.path))
            return ""
        return song.words() or ""

    def _encoded(self, text: str | None) -> np.ndarray:
        return self.tokenizer.encode(text) if text else np.zeros(0, np.uint16)

    def clips(self, audio: Audio, rate: int | None = None) -> Iterator[tuple[float, np.ndarray]]:
        """The windows of a song: start in s and what the model hears, see :meth:`hear`; raises InputError as
        :meth:`predict` does."""
        windows = iter(self.windows(audio, rate))
        while group := list(itertools.islice(windows, WINDOW_BATCH)):
            yield from zip(
                [window.start for window in group], self.hear([window.samples for window in group]), strict=True
            )

    def hear(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Clips (samples,) as the model takes them: log-mels (T, M) uint8, or the frozen audio encoder's outputs
        (S, H), rounded as they are stored."""
        if self.features:
            return list(self.features(np.stack(clips)).astype(np.float16))
        return [sound.log_mel(samples, self.spec) for samples in clips]

    @cached_property
    def silence(self) -> np.ndarray:
        """A clip without a sound, as :meth:`hear` gives it."""
        return self.hear([np.zeros(self.spec.num_samples, np.float32)])[0]

    def windows(self, audio: Audio, rate: int | None = None) -> Windows:
        """The windows of a song; raises InputError as :meth:`predict` does."""
        return recording.windows(audio, rate, self.spec)

    @cached_property
    def front_end(self) -> FrontEnd:
        """What is made of a window before the model hears it: a log-mel, or nothing where an audio encoder follows."""
        return FrontEnd(self.spec, spectrograms=self.features is None)

    @cached_property
    def _score_step(self) -> _Step:
        return _Step(make_score_step(self.network), self.reads_lyrics)

    @cached_property
    def _embedding_step(self) -> _Step:
        self._check_embeds()
        return _Step(make_embedding_step(self.network), self.embeds_lyrics)

    def _check_embeds(self) -> None:
        if not self.embeds:
            raise InputError(f"A model with model.architecture {self.config.model.architecture} has no embeddings.")

    @cached_property
    def _lyrics_step(self) -> EvaluationStep:
        return make_lyrics_step(self.network)

    def _heard(
        self, songs: Iterable[Audio | tuple[Audio, str | None] | Song], workers: int
    ) -> Iterator[tuple[Song, Sound | InputError]]:
        return listen(map(as_song, songs), self.front_end, workers)

    def _through(self, step: _Step, heard: Iterable[tuple[Song, Sound | InputError]]) -> Iterator[Pass]:
        """Songs with the means of what ``step`` makes of their windows."""
        return self._computed(step, (self._begun(step, song, sound) for song, sound in heard))

    def _begun(self, step: _Step, song: Song, sound: Sound | InputError) -> Pass:
        if isinstance(sound, InputError):
            return Pass(song, None, error=sound)
        try:
            return Pass(song, sound, self._encoded(self._words_for(step, song)))
        except InputError as error:
            return Pass(song, None, error=error)

    def _computed(self, step: _Step, songs: Iterable[Pass]) -> Iterator[Pass]:
        return batches.through(songs, functools.partial(self._outputs, step), self._at_once(WINDOW_BATCH))

    def _at_once(self, of_a_device: int) -> int:
        return of_a_device * self.network.mesh.shape["data"]

    def _alone(self, step: _Step, song: Song, sound: Listening | None = None) -> Pass:
        tokens = self._encoded(self._words_for(step, song))  # what is wrong with words is told before it is decoded
        (found,) = self._computed(step, [Pass(song, sound or self.front_end.listening(song), tokens)])
        if found.error:
            raise found.error
        return found

    def _outputs(self, step: _Step, rows: Sequence[Row], size: int) -> dict[str, jax.Array]:
        """What ``step`` makes of windows, which are filled up to ``size`` rows, or to what the devices share evenly."""
        size = -(-size // self._at_once(1)) * self._at_once(1)
        clips = [row.clip for row in rows]
        if self.features:
            clips = self.hear(clips)
        sounds = np.zeros((size, *clips[0].shape), clips[0].dtype)
        sounds[: len(rows)] = clips
        numbers = np.zeros(size, np.int32)
        if step.reads:
            numbers[: len(rows)] = [len(row.song.tokens) for row in rows]
        batch = {AUDIO[self.spec.input]: sounds, "num_tokens": numbers, **self._words(rows, numbers)}
        return step.compiled(self.state, self.network.frozen, sharding.place_batch(batch, self.network.mesh))

    def _words(self, rows: Sequence[Row], numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The lyrics of each window's song: its tokens (N, L), or what their encoder makes of them (N, L, H)."""
        length = self.config.lyrics.max_tokens
        if not build.uses_bert(self.config):
            tokens = np.zeros((len(numbers), length), np.int32)
            for row, number, own in zip(rows, numbers, tokens, strict=False):
                own[:number] = row.song.tokens[:number]
            return {"tokens": tokens}
        words = np.zeros((len(numbers), length, self._lyrics_width), build.compute_dtype(self.config))
        if numbers.any():
            self._read([row.song for row in rows])
        for row, number, own in zip(rows, numbers, words, strict=False):
            if number and row.song.words is not None:
                own[: len(row.song.words)] = row.song.words
        return {"lyrics_features": words}

    @cached_property
    def _lyrics_width(self) -> int:
        return build.bert_config(self.encoder).hidden_size

    def _read(self, songs: Iterable[Pass]) -> None:
        """Let the lyrics encoder read the words of songs that it has not read yet."""
        unread = [song for song in dict.fromkeys(songs) if len(song.tokens) and song.words is None]
        on_cpu = self.network.mesh.devices.flat[0].platform == "cpu"
        size = self._at_once(1 if on_cpu else LYRICS_BATCH)
        longest = self.config.lyrics.max_tokens
        step = -(-longest // LYRICS_LENGTHS)
        for first in range(0, len(unread), size):
            group = unread[first : first + size]
            length = min(longest, -(-max(len(song.tokens) for song in group) // step) * step)
            tokens = np.zeros((size, length), np.int32)
            numbers = np.ones(size, np.int32)
            for row, song in enumerate(group):
                tokens[row, : len(song.tokens)], numbers[row] = song.tokens, len(song.tokens)
            batch = sharding.place_batch({"tokens": tokens, "num_tokens": numbers}, self.network.mesh)
            read = self._lyrics_step(self.state, self.network.frozen, batch)["lyrics_features"]
            for song, words in zip(group, jax.device_get(read), strict=False):
                song.words = words


class _Step(NamedTuple):
    """A compiled step, and whether its outputs depend on the words."""

    compiled: EvaluationStep
    reads: bool
