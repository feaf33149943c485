"""What in a song speaks for a genre and what against it, as numbers; :mod:`mgc_jax.explain.explainer` finds them.

Axis letters: K windows, M mel bands, N segments, W words, R words that are read, S stretches of seconds, E explained
genres, G genres.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from data_pipeline.lyric_words import Words
from mgc_jax.inference.prediction import Prediction


class Spectrogram(NamedTuple):
    """What a song sounds like: ``levels`` (columns, M) uint8 from 80 dB under each window's maximum (0) to that (255),
    each column ``seconds`` long, and the centre ``hz`` (M,) of each band."""

    levels: np.ndarray
    seconds: float
    hz: np.ndarray


class Attention(NamedTuple):
    """What the two cross-attentions look at, means over heads; every row adds up to 1.

    ``seconds`` (S, 2) s are the stretches of the song that one audio token each is pooled from, window after window,
    and ``words`` (R,) the numbers of the words that are read. ``to_words`` (S, R + 1): how much each stretch looks at
    each word, all word pieces of it together, and at what is no word ([CLS], [SEP]). ``to_seconds`` (R + 1, S): how
    much each word, and what is no word, looks at each stretch, means over its word pieces and over the windows.
    """

    seconds: np.ndarray
    words: np.ndarray
    to_words: np.ndarray
    to_seconds: np.ndarray


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why a song got its genres, as changes of logits: a genre's log-odds, means over ``windows``, of which the louder
    ones count more.

    Effects are found by occlusion: something is taken away, the model is asked again, and what the logit loses is the
    effect, so that a positive one speaks for the genre. Effects overlap and need not add up to the logit.

    - ``segments`` (N, 2) s, ``segment_effect`` (N, E): stretches of the log-mel spectrogram set to silence (80 dB under
      the window's maximum), each about a twelfth of a window long, or 0.7 s. The effect is on the logit of the
      segment's own window. Silence is what sound is compared with: a pause is an event too, and from a stretch that is
      quiet already little can be taken away.
    - ``words``, and ``word_effect`` (W, E): each word with all its word pieces replaced by the tokenizer's mask, mean
      over the windows; NaN for words that the model does not read, which stand behind its ``max_tokens`` or are nothing
      to its tokenizer. At most 64
      times: of more words, those that share their number in ``groups`` (W,) (-1: not read) are masked together and
      share their effect. A mask is a strange sight as such, and more so for a model that never learned it
      (``architecture=pandeya``): compare words with each other rather than with 0.
    - ``base``, ``sound_part``, ``words_part`` (E,) add up to ``logits`` (E,): the logit of a silent song without
      lyrics, and the exact Shapley values of two players, sound and words. The model rarely or never met such songs:
      silent clips are dropped from training, and so are tracks without lyrics where ``data.require_lyrics`` says so
      (then the token that stands for no lyrics was never trained). Take the parts for directions, not measurements.
    - ``graph`` (E,): the logits minus those that the same weights give without edges between genres, and ``related``
      (E, G): the logits minus those without the one edge from each other genre. Both are in the three parts already.
      None for a model without a genre graph.
    - ``attention``: None but for ``fusion=scma`` with lyrics. It shows what is compared with what, not what decides.

    ``windows`` (K, 2) s are those that were explained: at most 8, evenly chosen among the song's sounding
    ``prediction.windows``; the song is ``seconds`` long. ``thresholds`` (E,) are logits too; what decides is the mean
    score of all windows, which is not that of the mean logit, and where no genre reaches its threshold the best one is
    predicted all the same. ``names`` (G,) are all genres.
    ``uses_audio`` and ``uses_lyrics`` say which of the two modalities the model takes at all; of the other one there is
    no effect, and no word.
    """

    prediction: Prediction
    genres: tuple[str, ...]
    logits: np.ndarray
    thresholds: np.ndarray
    base: np.ndarray
    sound_part: np.ndarray
    words_part: np.ndarray
    graph: np.ndarray | None
    related: np.ndarray | None
    seconds: float
    windows: np.ndarray
    segments: np.ndarray
    segment_effect: np.ndarray
    words: Words
    groups: np.ndarray
    word_effect: np.ndarray
    attention: Attention | None
    spectrogram: Spectrogram
    names: tuple[str, ...]
    uses_audio: bool
    uses_lyrics: bool

    @property
    def words_not_read(self) -> int:
        """How many words stand behind the model's ``max_tokens``, or are nothing to its tokenizer."""
        return int((self.groups < 0).sum())

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """What adds up to the ``logits``, each (E,) with a name for people: the ``base``, and the parts of what the
        model takes."""
        parts = {"sound": self.sound_part} if self.uses_audio else {}
        if self.uses_lyrics:
            parts["words"] = self.words_part
        without = {"sound": "silence", "words": "no words"}
        return {", ".join(without[name] for name in parts): self.base, **parts}

    def neighbours(self, genre: int) -> list[tuple[str, float]]:
        """The other genres and what the edge from each does to the logit, the largest effects first."""
        if self.related is None:
            return []
        order = np.argsort(-np.abs(self.related[genre]), kind="stable")
        return [(self.names[i], float(self.related[genre, i])) for i in order if self.names[i] != self.genres[genre]]

    def to_json(self) -> dict[str, Any]:
        """The form of ``mgc-jax explain --json``, in which nothing stands of what the model does not take."""
        scores = dict(self.prediction.ranked)

        def by_genre(effects: np.ndarray) -> dict[str, float]:
            return dict(zip(self.genres, effects.tolist(), strict=True))

        genres = [
            {
                "name": name,
                "score": scores[name],
                "logit": float(self.logits[i]),
                "threshold": float(self.thresholds[i]),
                "base": float(self.base[i]),
                **{name: float(part[i]) for name, part in self.parts.items() if part is not self.base},
                "graph": None if self.graph is None else float(self.graph[i]),
                "related": dict(self.neighbours(i)),
            }
            for i, name in enumerate(self.genres)
        ]
        words = [
            {"word": word, "line": int(line), "group": int(group), "effect": by_genre(effect) if group >= 0 else None}
            for word, line, group, effect in zip(
                self.words.words, self.words.lines, self.groups, self.word_effect, strict=True
            )
        ]
        segments = [
            {"start": float(start), "end": float(end), "effect": by_genre(effect)}
            for (start, end), effect in zip(self.segments, self.segment_effect, strict=True)
        ]
        attention = None
        if self.attention is not None:
            attention = {name: value.tolist() for name, value in self.attention._asdict().items()}
        of_sound = {"segments": segments} if self.uses_audio else {}
        of_words = {"words": words, "words_not_read": self.words_not_read} if self.uses_lyrics else {}
        return {
            "prediction": self.prediction.to_json(),
            "uses_audio": self.uses_audio,
            "uses_lyrics": self.uses_lyrics,
            "windows": self.windows.tolist(),
            "genres": genres,
            **of_sound,
            **of_words,
            "attention": attention,
        }
