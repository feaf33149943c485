"""What the HTTP API answers, as types with examples, from which its documentation is made."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

RECORD: dict[str, Any] = {
    "file": "song.mp3",
    "predicted": ["indie rock", "rock"],
    "genres": [{"name": "indie rock", "score": 0.81}, {"name": "rock", "score": 0.64}, {"name": "jazz", "score": 0.02}],
    "windows": 7,
    "windows_too_quiet": 0,
    "sound": [],
    "seconds": 203.4,
    "lyrics_tokens": 118,
    "lyrics_problem": "",
}
MODEL = "3f2a9c0d5b6e71844fd0a3c2b1e09f8d7c6b5a4938271605f4e3d2c1b0a99887"


_SOUND, _WORDS = "not there for a model that does not listen", "not there for a model that reads none"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Answer):
    """What went wrong."""

    error: str = Field(description="One sentence.", examples=["song.mp3: not audio: a PNG image."])


class GenreScore(_Answer):
    """A genre and its score, from 0 to 1."""

    name: str
    score: float


class Record(_Answer):
    """What `mgc-jax predict --json` says of a song."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": RECORD})

    file: str = Field(description="The name that the song was sent under.")
    predicted: list[str] = Field(description="The genres that reach their thresholds; the best one where none does.")
    genres: list[GenreScore] = Field(description="All genres, best first.")
    windows: int = Field(description="Stretches of sound whose scores were averaged.")
    windows_too_quiet: int = Field(description="Stretches that were left out, as they are far quieter than the rest.")
    sound: list[str] = Field(description="What was done with the recording that is not a matter of course.")
    seconds: float = Field(description="How long the recording is.")
    lyrics_tokens: int = Field(0, description=f"Word pieces of lyrics that were read; {_WORDS}.")
    lyrics_problem: str = Field("", description=f"Why words that were found cannot be used, or empty; {_WORDS}.")


class PredictAnswer(Record):
    """The genres of a song."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": RECORD | {"thresholds": {"indie rock": 0.41, "rock": 0.38, "jazz": 0.5}, "model": MODEL}
        },
    )

    thresholds: dict[str, float] = Field(description="From which score on each genre is predicted.")
    model: str = Field(description="The id of the model, as `GET /v1/model` tells it.")


class EmbedAnswer(_Answer):
    """Where a song is in the spaces of the model, as `mgc-jax embed` writes it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "file": "song.mp3",
                "fused": [0.12, -0.4],
                "audio": [0.7, 0.7],
                "lyrics": [0.6, 0.8],
                "model": MODEL,
            }
        },
    )

    file: str
    fused: list[float] = Field(description="What the genres are told from.")
    audio: list[float] = Field(description="The sound, in the space that it shares with lyrics.")
    lyrics: list[float] | None = Field(description="The lyrics in that space; null without lyrics.")
    model: str


class GenreReasons(_Answer):
    """What makes the score of a genre: parts of its logit (log-odds)."""

    name: str
    score: float
    logit: float
    threshold: float = Field(description="A logit too.")
    base: float = Field(description="The logit of a silent song without lyrics.")
    sound: float = Field(0.0, description=f"What the sound adds; {_SOUND}.")
    words: float = Field(0.0, description=f"What the lyrics add; {_WORDS}.")
    graph: float | None = Field(description="What related genres change, which is in the parts already.")
    related: dict[str, float] = Field(description="What each other genre does, the largest effects first.")


class SegmentReasons(_Answer):
    """A stretch of the song, in s, and what it does to the logit of each explained genre."""

    start: float
    end: float
    effect: dict[str, float]


class WordReasons(_Answer):
    """A word of the lyrics and what it does to the logit of each explained genre; null where it is not read."""

    word: str
    line: int
    group: int = Field(description="Words with the same number were taken away together; -1: not read.")
    effect: dict[str, float] | None


class AttentionWeights(_Answer):
    """What the two cross-attentions look at: rows add up to 1."""

    seconds: list[list[float]]
    words: list[int]
    to_words: list[list[float]]
    to_seconds: list[list[float]]


class ExplainAnswer(_Answer):
    """Why a song got its genres, as `mgc-jax explain --json` has it, with the id of the model."""

    prediction: Record
    uses_audio: bool
    uses_lyrics: bool
    windows: list[list[float]] = Field(description="Start and end of the stretches that were explained, in s.")
    genres: list[GenreReasons]
    segments: list[SegmentReasons] = Field([], description=f"The stretches and their effects; {_SOUND}.")
    words: list[WordReasons] = Field([], description=f"The words and their effects; {_WORDS}.")
    words_not_read: int = Field(0, description=f"Words that the model does not read; {_WORDS}.")
    attention: AttentionWeights | None
    model: str


class Encoder(_Answer):
    """A pretrained encoder inside the model."""

    name: str
    sha256: str
    licence: str | None


class ModelAnswer(_Answer):
    """What is served."""

    id: str = Field(description="A digest of all that answers depend on.")
    name: str
    version: str = Field(description="Of mgc-jax.")
    step: int | None = Field(description="How far a trained model was trained; null for a built-in one.")
    licence: str | None = Field(description="Of the weights, where it is known.")
    genres: list[str]
    thresholds: dict[str, float]
    window_seconds: float
    reads_lyrics: bool
    answers: list[str] = Field(description="Which of predict, embed and explain it answers.")
    audio_encoder: Encoder | None
    lyrics_encoder: Encoder | None


class Health(_Answer):
    """Whether songs are taken."""

    state: str = Field(examples=["ready"])
