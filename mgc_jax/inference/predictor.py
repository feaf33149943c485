"""Songs in, genres out: windows of the sound and word pieces of the lyrics through a trained model."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import jax
import numpy as np

from data_pipeline import audio as sound
from data_pipeline.audio import Window, Windows
from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.lyrics.reading import LyricsError, read_lyrics_text
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from data_pipeline.schema import AUDIO
from mgc_jax.config import Config
from mgc_jax.evaluation.steps import EvaluationStep, make_embedding_step, make_evaluation_step
from mgc_jax.inference import prediction, recording
from mgc_jax.inference.prediction import Prediction, WeightedMean
from mgc_jax.inference.recording import WINDOW_BATCH, Audio
from mgc_jax.network import build
from mgc_jax.network.audio_features import audio_features
from mgc_jax.network.state import ModelState, Network
from mgc_jax.runs.workdir import Workdir
from mgc_jax.runtime import sharding


@dataclasses.dataclass(frozen=True)
class Embedding:
    """Where a song is, each the mean over its windows, of which the louder ones count more.

    ``audio`` (C,) and ``lyrics`` (C,) are g_a(E_a) and g_l(E_l), which the A-L loss makes alike for the two sides of
    one song; ``lyrics`` is None for a song without. ``fused`` (D,) is what the genres are told from.
    """

    audio: np.ndarray
    lyrics: np.ndarray | None
    fused: np.ndarray


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

    @cached_property
    def evaluation_step(self) -> EvaluationStep:
        """The compiled step that scores tracks; see :func:`mgc_jax.evaluation.steps.make_evaluation_step`."""
        return make_evaluation_step(self.network)

    @cached_property
    def _embedding_step(self) -> EvaluationStep:
        return make_embedding_step(self.network)

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
            InputError: the audio cannot be decoded, or the lyrics are no text or larger than 1 MiB.
        """
        tokens = self.tokens(lyrics)
        return self.predict_windows(recording.name(audio), self.windows(audio, rate), tokens)

    def predict_windows(self, name: str, windows: Windows, tokens: np.ndarray) -> Prediction:
        """As :meth:`predict` does, of a song whose windows were laid and whose lyrics are ``tokens`` (n,) already."""
        scores = WeightedMean()
        for out, weights in self._outputs(self.evaluation_step, windows, tokens):
            scores.add(out["scores"], weights)
        return prediction.of_scores(name, self.vocabulary.names, scores, self.thresholds, windows, len(tokens))

    def embed(self, audio: Audio, lyrics: str | None = None, *, rate: int | None = None) -> Embedding:
        """Where a song is in the model's spaces; arguments and errors as :meth:`predict` has them.

        Raises:
            InputError: also where the model is one of the paper's rivals, which have no such space.
        """
        if not build.uses_bert(self.config):
            raise InputError(f"A model with model.architecture {self.config.model.architecture} has no embeddings.")
        tokens = self.tokens(lyrics)
        means: dict[str, WeightedMean] = {}
        for out, weights in self._outputs(self._embedding_step, self.windows(audio, rate), tokens):
            for name, values in out.items():
                means.setdefault(name, WeightedMean()).add(values, weights)
        mean = {name: value().astype(np.float32) for name, value in means.items()}
        return Embedding(mean["audio"], mean["lyrics"] if len(tokens) else None, mean["fused"])

    def text(self, lyrics: str | None) -> str | None:
        """Lyrics as the model is given them; None for no words."""
        if lyrics is not None and not isinstance(lyrics, str):
            raise InputError(f"Lyrics are text, not {type(lyrics).__name__}: read the file first.")
        try:
            return read_lyrics_text(lyrics) if lyrics else None
        except LyricsError as error:
            raise InputError(f"These lyrics cannot be used: {error}.") from None

    def tokens(self, lyrics: str | None) -> np.ndarray:
        """Word-piece ids (n,) of a song's lyrics, cut at the model's length; none for no lyrics."""
        text = self.text(lyrics)
        return self.tokenizer.encode(text) if text else np.zeros(0, np.uint16)

    def clips(self, audio: Audio, rate: int | None = None) -> Iterator[tuple[float, np.ndarray]]:
        """The windows of a song: start in s and what the model hears, see :meth:`hear`; raises InputError as
        :meth:`predict` does."""
        for group in _groups(self.windows(audio, rate)):
            heard = self.hear([window.samples for window in group])
            yield from zip([window.start for window in group], heard, strict=True)

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

    def batch(self, clips: list[np.ndarray], tokens: np.ndarray, rows: int = WINDOW_BATCH) -> dict[str, jax.Array]:
        """Clips, as :meth:`hear` gives them, that share their lyrics as an evaluation batch on the devices, filled up
        with zeros to so many ``rows`` at least."""
        shards = self.network.mesh.shape["data"]
        size = -(-max(rows, len(clips)) // shards) * shards
        sounds = np.zeros((size, *clips[0].shape), clips[0].dtype)
        sounds[: len(clips)] = clips
        row = np.zeros(self.config.lyrics.max_tokens, np.int32)
        row[: len(tokens)] = tokens
        batch = {
            AUDIO[self.spec.input]: sounds,
            "tokens": np.tile(row, (size, 1)),
            "num_tokens": np.full(size, len(tokens), np.int32),
            "labels": np.zeros((size, self.vocabulary.size), np.uint8),
            "index": np.arange(size, dtype=np.int32),
            "weight": np.ones(size, np.float32),
        }
        return sharding.place_batch(batch, self.network.mesh)

    def _outputs(
        self, step: EvaluationStep, windows: Windows, tokens: np.ndarray
    ) -> Iterator[tuple[Mapping[str, np.ndarray], np.ndarray]]:
        """What ``step`` makes of a song's windows N, some at a time, and how much each counts (N,)."""
        rows = 0
        for group in _groups(windows):
            # A short song is not computed as a long one; a power of two, for each size is compiled by itself.
            rows = rows or 1 << (len(group) - 1).bit_length()
            batch = self.batch(self.hear([window.samples for window in group]), tokens, rows)
            out = jax.device_get(step(self.state, self.network.frozen, batch))
            weights = np.array([window.weight for window in group])
            yield {name: value[: len(group)] for name, value in out.items()}, weights


def _groups(windows: Windows) -> Iterator[list[Window]]:
    """As many windows as are computed at once."""
    remaining = iter(windows)
    while group := list(itertools.islice(remaining, WINDOW_BATCH)):
        yield group
