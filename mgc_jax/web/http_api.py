"""The routes of the HTTP API: what they take, and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import fastapi_offline
from fastapi import Depends, FastAPI, File, Form, Request, Security, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from data_pipeline.errors import InputError
from data_pipeline.genre_names import key
from data_pipeline.lyrics.encoder import encoder_digest, public_name
from data_pipeline.lyrics.reading import MAX_BYTES
from mgc_jax.api import Model, Tagger
from mgc_jax.inference.prediction import Prediction
from mgc_jax.inference.song import Failure, Song
from mgc_jax.version import __version__
from mgc_jax.web import fields, form_text, metrics
from mgc_jax.web.gate import problem
from mgc_jax.web.queue import FullError, Job, Result, SongQueue, UnavailableError, Work
from mgc_jax.web.schema import (
    EmbedAnswer,
    Encoder,
    ExplainAnswer,
    Health,
    ModelAnswer,
    PredictAnswer,
    Problem,
)

ABOUT = (
    "Names the genres of a song from its audio and its lyrics, and says why. Whatever goes wrong is told as `error`."
)
PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "The token is missing or wrong."},
    413: {"model": Problem, "description": "The song or its lyrics are too large."},
    415: {"model": Problem, "description": "The body is no multipart/form-data."},
    422: {"model": Problem, "description": "The song cannot be used, or a field is wrong."},
    429: {"model": Problem, "description": "As many songs wait as may; Retry-After says when to try again, in s."},
    503: {"model": Problem, "description": "The server starts or stops, or there was no answer in time."},
}
Audio = Annotated[UploadFile, File(description="A file of any format and length.")]
Lyrics = Annotated[str, Form(description="The words as text; left out for none.")]
MinScore = Annotated[
    float | None, Form(ge=0, le=1, description="Predict genres from this score on, and not from their thresholds.")
]
MaxGenres = Annotated[int, Form(ge=0, description="Predict so many genres at most; 0 for all.")]
Genres = Annotated[list[str], Form(description="Which genres to explain; left out for the predicted ones.")]


def http_api(songs: SongQueue, *, token: bool) -> FastAPI:
    """The API as a web application; ``token`` says whether its documentation is to ask for one."""
    api = fastapi_offline.FastAPIOffline(
        redoc_url=None,
        title="mgc-jax",
        version=__version__,
        description=ABOUT,
        dependencies=[Security(HTTPBearer(auto_error=False))] if token else [],
    )
    _tell_problems(api)
    about = _about(songs.model)

    @api.post(
        "/v1/predict",
        responses=PROBLEMS,
        response_model_exclude_unset=True,
        dependencies=[Depends(fields.only("audio", "lyrics", "min_score", "max_genres"))],
    )
    async def predict(
        request: Request, audio: Audio, lyrics: Lyrics = "", min_score: MinScore = None, max_genres: MaxGenres = 0
    ) -> PredictAnswer:
        """The score of every genre, and the genres that are predicted."""
        result = await _answered(songs, Work.PREDICT, request, audio, lyrics)
        assert isinstance(result, Prediction)
        record = _named(result.limited(min_score, max_genres).to_json(), audio)
        return PredictAnswer(**record, thresholds=about.thresholds, model=about.id)

    @api.post("/v1/embed", responses=PROBLEMS, dependencies=[Depends(fields.only("audio", "lyrics"))])
    async def embed(request: Request, audio: Audio, lyrics: Lyrics = "") -> EmbedAnswer:
        """Vectors of the song: what the genres are told from, its sound, and its lyrics."""
        result: Any = await _answered(songs, Work.EMBED, request, audio, lyrics)
        words = None if result.lyrics is None else result.lyrics.tolist()
        vectors = {"fused": result.fused.tolist(), "audio": result.audio.tolist(), "lyrics": words}
        return EmbedAnswer(file=_name(audio), **vectors, model=about.id)

    @api.post(
        "/v1/explain",
        responses=PROBLEMS,
        response_model_exclude_unset=True,
        dependencies=[Depends(fields.only("audio", "lyrics", "genres"))],
    )
    async def explain(request: Request, audio: Audio, lyrics: Lyrics = "", genres: Genres = []) -> ExplainAnswer:  # noqa: B006
        """The seconds, words and related genres that speak for the genres of a song and against them."""
        result: Any = await _answered(songs, Work.EXPLAIN, request, audio, lyrics, genres or None)
        reasons = result.to_json()
        return ExplainAnswer(**reasons | {"prediction": _named(reasons["prediction"], audio)}, model=about.id)

    @api.get("/v1/model", responses={401: PROBLEMS[401]}, name="model")
    async def described() -> ModelAnswer:
        """The genres of the model, their thresholds, and what it was made of."""
        return about

    @api.get("/health", responses={503: PROBLEMS[503]})
    async def health() -> Health:
        """Whether songs are taken; 503 while the server starts and stops."""
        if songs.state != "ready":
            raise UnavailableError(f"The server is {songs.state}.")
        return Health(state=songs.state)

    @api.get("/metrics", response_class=Response, name="metrics")
    async def measured() -> Response:
        """Requests, songs and times, in Prometheus' form."""
        return Response(songs.metrics.text(), media_type=metrics.CONTENT_TYPE)

    return api


async def _answered(
    songs: SongQueue, work: Work, request: Request, audio: UploadFile, lyrics: str, genres: Sequence[str] | None = None
) -> Result:
    """What the model says of a song; whatever goes wrong is raised."""
    lyrics = form_text.words(lyrics)
    _check(songs.model, work, lyrics, genres)
    songs.check()
    answer = asyncio.wrap_future(songs.submit(Job(work, Song(await audio.read(), lyrics or None), genres)))
    gone = asyncio.ensure_future(_gone(request))
    either: set[asyncio.Future[Any]] = {answer, gone}
    try:
        await asyncio.wait(either, timeout=songs.timeout, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise HTTPException(499, "Nobody waits for it.") if gone.done() else songs.too_late()
        result = answer.result()
    finally:
        answer.cancel()  # drops what nobody waits for
        gone.cancel()
    if isinstance(result, Failure):
        raise InputError(f"{_name(audio)}: {result.reason}.")
    return result


async def _gone(request: Request) -> None:
    """Wait until whoever asked hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _check(model: Model | Tagger, work: Work, lyrics: str, genres: Sequence[str] | None) -> None:
    """Raise InputError for what the model is not to be asked."""
    if work.value not in _works(model):
        raise InputError(f"This model does not {work.value}: it answers {' and '.join(_works(model))}.")
    if len(lyrics.encode(errors="replace")) > MAX_BYTES:
        raise HTTPException(413, f"The lyrics are larger than {MAX_BYTES >> 20} MiB.")
    if lyrics and not _reads(model, work):
        raise InputError("This model hears a song and reads no lyrics: leave them out.")
    Song(b"", lyrics).words()
    known = {key(name) for name in model.genres}
    unknown = next((name for name in genres or () if key(name) not in known), None)
    if unknown is not None:
        raise InputError(f"The model knows no genre {unknown!r}; GET /v1/model names those that it knows.")


def _reads(model: Model | Tagger, work: Work) -> bool:
    return model.embeds_lyrics if work is Work.EMBED and isinstance(model, Model) else model.reads_lyrics


def _works(model: Model | Tagger) -> list[str]:
    if isinstance(model, Tagger):
        return [Work.PREDICT.value, Work.EXPLAIN.value]
    return [work.value for work in Work if work is not Work.EMBED or model.embeds]


def _about(model: Model | Tagger) -> ModelAnswer:
    trained: dict[str, Any] = {"step": None, "audio_encoder": None, "lyrics_encoder": None}
    if not isinstance(model, Tagger):
        heard = model.features and model.features.encoder
        words = Encoder(
            name=public_name(model.config.lyrics.encoder), sha256=encoder_digest(model.encoder), licence=None
        )
        sound = heard and Encoder(name=heard.name, sha256=heard.digest, licence=heard.licence or None)
        trained = {"step": int(model.state.step), "audio_encoder": sound or None, "lyrics_encoder": words}
    return ModelAnswer(
        id=model.digest,
        name=model.name if isinstance(model, Tagger) else model.folder.path.absolute().name,
        version=__version__,
        licence=model.licence or None,
        genres=list(model.genres),
        thresholds=dict(zip(model.genres, model.thresholds.tolist(), strict=True)),
        window_seconds=model.spec.seconds,
        reads_lyrics=model.reads_lyrics,
        answers=_works(model),
        **trained,
    )


def _name(audio: UploadFile) -> str:
    return form_text.printable(audio.filename or "song")[-255:]


def _named(record: dict[str, Any], audio: UploadFile) -> dict[str, Any]:
    return record | {"file": _name(audio)}


def _tell_problems(api: FastAPI) -> None:
    """Each kind of error as its status and one sentence."""

    async def bad_input(_: Request, error: Exception) -> JSONResponse:
        return problem(422, str(error))

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        field = first["loc"][-1]
        if first["type"] == "missing":
            return problem(422, f"The field {field} is missing.")
        return problem(422, f"The field {field} cannot be used: {first['msg']}.")

    async def of_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        sentence = str(error.detail)
        if "exceeded maximum size" in sentence:  # of a field
            return problem(413, f"A field may have {MAX_BYTES >> 20} MiB, and one has more.")
        return problem(error.status_code, SENTENCES.get(error.status_code, sentence), dict(error.headers or {}))

    async def unavailable(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, UnavailableError)
        wait = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
        return problem(429 if isinstance(error, FullError) else 503, str(error), wait)

    async def broken(_: Request, error: Exception) -> JSONResponse:
        return problem(500, f"The server failed on this request ({type(error).__name__}); its standard error says why.")

    for kind, handler in (
        (InputError, bad_input),
        (RequestValidationError, invalid),
        (HTTPException, of_http),
        (UnavailableError, unavailable),
        (Exception, broken),
    ):
        api.add_exception_handler(kind, handler)


SENTENCES = {
    400: "The body is no multipart/form-data that can be read.",
    404: "There is nothing at this address; /docs says what there is.",
    405: "This address is asked in another way; /docs says how.",
}
"""In place of Starlette's words."""
